"""Untrusted Markdown made safe before it leaves Python.

JupyterLab does not sanitise the Markdown of a live output, and nbconvert never does. So what a model writes
is parsed and written again: raw HTML is shown as text, images become links, links lead to http, https, mailto
or the same page only, formulas stand between dollars, and code stays what it is, byte for byte. The result is
safe at every moment of a stream, and closed: whatever follows it after an empty line is read on its own.

The turn view (view.py) feeds the deltas of each message to a `SafeMarkdown`, and reads its `text` at each repaint.
"""

from __future__ import annotations

import re

from .parsing import BlockStream, clean, parse_blocks
from .table import CODE
from .unsettled import settled_end
from .writing import BlockWriter, code_lines, code_span, plain_text

__all__ = ["SafeMarkdown", "code_block", "code_span", "escape_markdown", "marked", "safe_markdown"]


def safe_markdown(text: str) -> str:
    """Return the text as safe Markdown: what `SafeMarkdown` ends with, however it was fed."""
    return SafeMarkdown(text).text


class SafeMarkdown:
    """Safe Markdown of a text that is still coming in, at a cost linear in its length."""

    def __init__(self, text: str = "") -> None:
        self.stream = BlockStream()
        self.stream.feed(text)
        self._writer = BlockWriter()
        self.sources: list[str] = []
        """What the closed blocks were made from, as of the last `read`."""
        self._closed: list[str] = []
        """The finished blocks, which only a later link definition changes."""
        self._joined = ""
        self._targets: dict[str, tuple[str, str]] = {}

    def feed(self, delta: str) -> None:
        """More of the text, divided anywhere."""
        self.stream.feed(delta)

    @property
    def text(self) -> str:
        """Everything fed so far, as if it ended here."""
        self._writer.look_again()
        self.read()
        open_ = self._writer.write(self.stream.open.tokens, self.stream.references)
        return "\n\n".join(filter(None, (self._joined, open_)))

    @property
    def settled(self) -> str:
        """The same without the beginning, at its end, of what only shows with more text what it is."""
        text, open_ = self.text, self.stream.open
        end = settled_end(open_.source) if open_.tokens and open_.tokens[0].type != "fence" else None
        if end is None:
            return text
        references = self.stream.references
        rest = self._writer.write(parse_blocks(open_.source[:end], dict(references)), references)
        return "\n\n".join(filter(None, (self._joined, rest)))

    def read(self) -> None:
        """Take in what has been fed."""
        passages = self.stream.read()
        references = self.stream.references
        targets = {label: (each["href"], each["title"]) for label, each in references.items()}
        if targets != self._targets:
            self._targets = targets
            self._writer.look_again(changed=True)
            self._closed = [
                self._writer.write(parse_blocks(source, dict(references)), references)
                if "[" in source
                else block
                for source, block in zip(self.sources, self._closed, strict=True)
            ]
            self._joined = "\n\n".join(filter(None, self._closed))
        self.sources += [passage.source for passage in passages]
        blocks = [self._writer.write(passage.tokens, references) for passage in passages]
        self._closed += blocks
        self._joined = "\n\n".join(filter(None, (self._joined, *blocks)))


def escape_markdown(text: str) -> str:
    """Any text shown literally, on one line: for names, titles and error sentences."""
    shown = plain_text(" ".join(text.split()))
    return re.sub(r"^(\d{1,9})(?=[.)](?:\s|$))", r"\1\\", re.sub(r"^(?=[-+#>=:])", r"\\", shown))


def marked(text: str) -> str:
    """Any text shown literally, on one line, but what is between backticks as code."""

    def spaced(part: str) -> str:
        return " " * part.startswith(" ") + escape_markdown(part) + " " * part.endswith(" ")

    parts = CODE.split(" ".join(text.split()))
    return "".join(code_span(part) if n % 2 else spaced(part) for n, part in enumerate(parts)).strip()


def code_block(text: str, info: str = "") -> str:
    """Any text as a fenced block; `info` names its language."""
    return "\n".join(code_lines(clean(text), info))
