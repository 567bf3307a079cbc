"""Untrusted Markdown made safe before it leaves Python.

JupyterLab does not sanitise the Markdown of a live output, and nbconvert never does. So what a model writes
is parsed and written again: raw HTML is shown as text, images become links, links lead to http, https, mailto
or the same page only, formulas stand between dollars, and code stays what it is, byte for byte. The result is
safe at every moment of a stream, and closed: whatever follows it after an empty line is read on its own.
"""

from __future__ import annotations

import re

from .parsing import BlockStream, References, clean, parse_blocks
from .writing import BlockWriter, code_lines, code_span, plain_text

__all__ = ["SafeMarkdown", "code_block", "code_span", "escape_markdown", "marked", "safe_markdown"]


def safe_markdown(text: str) -> str:
    """Return the text as safe Markdown: what `SafeMarkdown` ends with, however it was fed."""
    return SafeMarkdown(text).text


class SafeMarkdown:
    """Safe Markdown of a text that is still coming in, at a cost linear in its length."""

    def __init__(self, text: str = "") -> None:
        self._stream = BlockStream()
        self._stream.feed(text)
        self._writer = BlockWriter()
        self._sources: list[str] = []
        self._closed: list[str] = []
        self._joined = ""
        self._targets: dict[str, tuple[str, str]] = {}

    def feed(self, delta: str) -> None:
        """More of the text, divided anywhere."""
        self._stream.feed(delta)

    @property
    def closed(self) -> list[str]:
        """The blocks that only a link definition can change; `text` is these and the open one, blank lines between."""
        self._read()
        return [block for block in self._closed if block]

    @property
    def sources(self) -> list[str]:
        """What the closed blocks were made from, without the blank lines of its own in `closed`."""
        self._read()
        return self._sources

    @property
    def references(self) -> References:
        """The link definitions so far."""
        return dict(self._stream.references)

    @property
    def open_source(self) -> str:
        """The source of the open block."""
        return self._stream.open.source

    @property
    def text(self) -> str:
        """Everything fed so far, as if it ended here."""
        self._writer.look_again()
        self._read()
        open_ = self._writer.write(self._stream.open.tokens, self._stream.references)
        return "\n\n".join(filter(None, (self._joined, open_)))

    def _read(self) -> None:
        passages = self._stream.read()
        references = self._stream.references
        targets = {label: (each["href"], each["title"]) for label, each in references.items()}
        if targets != self._targets:
            self._targets = targets
            self._writer.look_again(changed=True)
            self._closed = [
                self._writer.write(parse_blocks(source, dict(references)), references)
                if "[" in source
                else block
                for source, block in zip(self._sources, self._closed, strict=True)
            ]
            self._joined = "\n\n".join(filter(None, self._closed))
        self._sources += [passage.source for passage in passages]
        blocks = [self._writer.write(passage.tokens, references) for passage in passages]
        self._closed += blocks
        self._joined = "\n\n".join(filter(None, (self._joined, *blocks)))


def escape_markdown(text: str) -> str:
    """Any text shown literally, on one line: for names, titles and error sentences."""
    shown = plain_text(" ".join(text.split()))
    return re.sub(r"^(\d{1,9})(?=[.)](?:\s|$))", r"\1\\", re.sub(r"^(?=[-+#>=:])", r"\\", shown))


def marked(text: str) -> str:
    """Any text shown literally, on one line, but what is between backticks as code."""
    parts = _CODE.split(" ".join(text.split()))
    shown = (code_span(part) if n % 2 else _spaced(part) for n, part in enumerate(parts))
    return "".join(shown).strip()


_CODE = re.compile(r"`([^`]+)`")


def _spaced(part: str) -> str:
    """Keep that there is space around a part of a line."""
    return " " * part.startswith(" ") + escape_markdown(part) + " " * (part.endswith(" ") and part != " ")


def code_block(text: str, info: str = "") -> str:
    """Any text as a fenced block; `info` names its language."""
    return "\n".join(code_lines(clean(text), info))
