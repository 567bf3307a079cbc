"""Untrusted Markdown made safe before it leaves Python.

JupyterLab does not sanitise the Markdown of a live output, and nbconvert never does. So what a model writes
is rewritten: raw HTML is shown as text, images become links, links lead to http, https, mailto or the same
page only, formulas stand between dollars, and code stays what it is, byte for byte. The result is safe at
every moment of a stream, and closed: whatever follows it after an empty line is read on its own.
"""

from __future__ import annotations

import re

from .blocks import Blocks
from .inlines import code_span, literal

__all__ = ["SafeMarkdown", "code_block", "code_span", "escape_markdown", "safe_markdown"]

# A longer line is text or code, never a heading, a table row or a fence.
_LONG_LINE = 4096
_UNPRINTABLE = re.compile("[\x00\ud800-\udfff]")


def safe_markdown(text: str) -> str:
    """The text as safe Markdown: what `SafeMarkdown` ends with, however it was fed."""
    stream = SafeMarkdown()
    stream.feed(text)
    return stream.text


class SafeMarkdown:
    """Safe Markdown of a text that is still coming in, at a cost linear in its length."""

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._tail: list[str] = []
        self._tail_size = 0
        self._in_long_line = False
        self._after_return = False
        self._begun = False

    @property
    def closed(self) -> list[str]:
        """The blocks that no later text changes; `text` is these and the open one, an empty line between."""
        return self._blocks.closed

    @property
    def text(self) -> str:
        """Everything fed so far, as if it ended here."""
        ending = self._blocks.copy()
        tail = "".join(self._tail)
        if self._in_long_line:
            ending.more(tail)
        elif tail:
            ending.line(tail)
        ending.finish()
        return "\n\n".join([*self._blocks.closed, *ending.closed])

    def feed(self, delta: str) -> None:
        """More of the text, divided anywhere."""
        if not delta:
            return
        delta = self._clean(delta)
        *lines, tail = delta.split("\n")
        for line in lines:
            self._add(line)
            self._end_line()
        self._add(tail)

    def _clean(self, delta: str) -> str:
        """Line ends as `\\n`, and what no reader can show as U+FFFD."""
        if self._after_return and delta.startswith("\n"):
            delta = delta[1:]
            self._after_return = False
        if delta:
            self._after_return = delta.endswith("\r")
        if not self._begun and delta:
            self._begun = True
            delta = delta.removeprefix("\ufeff")
        if "\r" in delta:
            delta = delta.replace("\r\n", "\n").replace("\r", "\n")
        return _UNPRINTABLE.sub("\ufffd", delta)

    def _add(self, part: str) -> None:
        if not part:
            return
        if self._in_long_line:
            self._blocks.more(part)
            return
        self._tail.append(part)
        self._tail_size += len(part)
        if self._tail_size > _LONG_LINE:
            line = "".join(self._tail)
            self._tail, self._tail_size, self._in_long_line = [], 0, True
            self._blocks.long_line(line[:_LONG_LINE])
            self._blocks.more(line[_LONG_LINE:])

    def _end_line(self) -> None:
        if not self._in_long_line:
            self._blocks.line("".join(self._tail))
        self._tail, self._tail_size, self._in_long_line = [], 0, False


def escape_markdown(text: str) -> str:
    """Any text shown literally, on one line: for names, titles and error sentences."""
    shown = literal(" ".join(text.split()))
    return re.sub(r"^(\d{1,9})(?=[.)](?:\s|$))", r"\1\\", re.sub(r"^(?=[-+#>=:])", r"\\", shown))


def code_block(text: str, info: str = "") -> str:
    """Any text as a fenced block; `info` names its language."""
    stream = SafeMarkdown()
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    word = info.split()[0] if info.split() else ""
    stream.feed(f"{fence}{word}\n{text.removesuffix(chr(10))}\n{fence}\n")
    return stream.text
