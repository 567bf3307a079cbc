"""A turn in a terminal: finished Markdown goes to the scrollback, the rest is redrawn below it.

Shows the original text (nothing there renders HTML) without the characters that drive a terminal. Where
no terminal listens, the plain text is written as it grows, once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from typing import NamedTuple, TextIO

from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text

from codex_magic.protocol.plain import without_controls

from . import items
from .items import Block, MarkdownBlock, NoticeBlock, ReasoningBlock
from .pace import Surface
from .page import Pace
from .parsing import References, parse_blocks, parse_inline
from .safe_markdown import SafeMarkdown
from .view import TurnView

Line = list[Segment]

TERMINAL = Pace(floor=1 / 15)

LIVE_CHARS = 4_000
"""Characters at the end of an open passage that are redrawn: a screenful, so that each redraw costs the same."""


def terminal_surface(file: TextIO | None = None) -> Surface:
    """Return what redraws where `file` (standard output) is a terminal that can, and writes plain text elsewhere."""
    file = file or sys.stdout
    can_redraw = file.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    return RichSurface(file) if can_redraw else PlainSurface(file)


class PlainSurface:
    """Writes every character of `view.plain()` once, as soon as it is final: for pipes, files and dumb terminals."""

    pace = TERMINAL

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._written = ""

    def update(self, view: TurnView) -> None:
        text = view.plain()
        if not text.startswith(self._written):
            self._file.write("\n\n")
            self._written = ""
        self._file.write(text[len(self._written) :])
        self._file.flush()
        self._written = text

    def pause(self, end: str = "\n\n") -> None:
        if self._written and not self._written.endswith("\n"):
            self._file.write(end)
            self._file.flush()

    def close(self, view: TurnView) -> None:
        self.update(view)
        self.pause("\n")


class RichSurface:
    """Rich on a terminal. Between the first `update` and `close` the cursor is hidden and `print` goes above the live part."""

    pace = TERMINAL

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file, force_jupyter=False, highlight=False)
        self._live = self._new_live()
        self._any = False
        self._done = self._passages = 0
        self._text = SafeMarkdown()
        """That of the open block; so many of its passages are printed."""

    def _new_live(self) -> Live:
        return Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            vertical_overflow="crop",
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=sys.stderr.isatty(),
        )

    def update(self, view: TurnView) -> None:
        self._live.start()  # does nothing the second time
        closed = self._take_closed(view)
        # One write for both: a redraw between them would show a passage twice.
        with self._console:
            self._print(closed)
            self._live.update(_Some(self._open_parts(view), _tail), refresh=True)

    def pause(self) -> None:
        self._live.stop()
        self._live = self._new_live()  # it would go on drawing where it stood

    def close(self, view: TurnView) -> None:
        self._live.stop()
        self._print([*self._take_closed(view), *chain.from_iterable(map(_lines, view.below()))])

    def _print(self, parts: list[RenderableType]) -> None:
        for part in parts:
            if self._any:
                self._console.print()
            self._console.print(part)
            self._any = True

    def _take_closed(self, view: TurnView) -> list[RenderableType]:
        """Return what will not change any more, once."""
        # The width of the terminal written to; rich asks the standard streams, and only those.
        size = os.get_terminal_size(self._file.fileno())
        if size.columns and size.lines:
            self._console.size = size
        closed: list[RenderableType] = []
        for block in view.blocks[self._done :]:
            closed.extend(self._finished_parts(block))
            if not block.closed:
                break
            self._done += 1
        return closed

    def _finished_parts(self, block: Block) -> list[RenderableType]:
        if not isinstance(block, MarkdownBlock):
            return _lines(block) if block.closed else []
        if block.safe is not self._text:
            self._text, self._passages = block.safe, 0
        self._text.read()
        passages = self._text.sources[self._passages :]
        self._passages += len(passages)
        if block.closed:
            passages.append(self._text.stream.open.source)
        return [markdown(each, self._text.stream.references) for each in passages if each.strip()]

    def _open_parts(self, view: TurnView) -> list[RenderableType]:
        parts: list[RenderableType] = []
        for block in view.blocks[self._done :]:
            if not isinstance(block, MarkdownBlock):
                parts.extend(_lines(block))
            elif (text := self._text.stream.open.source).strip():
                references, is_short = self._text.stream.references, len(text) <= LIVE_CHARS
                parts.append(markdown(text, references) if is_short else Text(text[-LIVE_CHARS:]))
        return parts


class _Some(NamedTuple):
    """Those lines of what is drawn that `choose` takes; each part has an empty one above it."""

    parts: list[RenderableType]
    choose: Callable[[list[Line], Console], list[Line]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines: list[Line] = []
        for part in self.parts:
            lines += [[], *console.render_lines(part, options, pad=False)]
        for line in self.choose(lines, console):
            yield from line
            yield Segment.line()


def _tail(lines: list[Line], console: Console) -> list[Line]:
    """As many as the screen holds."""
    return lines[-max(1, console.size.height - 2) :]


def _trimmed(lines: list[Line], console: Console) -> list[Line]:
    """Without the empty ones around; the surface sets the space between parts."""
    drawn = [index for index, line in enumerate(lines) if any(text.strip() for text, *_ in line)]
    return lines[drawn[0] : drawn[-1] + 1] if drawn else []


def markdown(text: str, references: References | None = None) -> RenderableType:
    """Return Markdown as a terminal shows it."""
    references = references or {}
    shown = Markdown("", hyperlinks=False)
    shown.parsed = [each for token in parse_blocks(text, references) for each in _rich(token, references)]
    return _Some([shown], _trimmed)


def _rich(token: Token, references: References) -> list[Token]:
    """Return a block's token as rich knows it: formulas are their source."""

    def inline(text: str) -> list[Token]:
        sources = {"math": "info", "text_special": "content"}
        return [
            Token("text", "", 0, content=getattr(each, sources[each.type])) if each.type in sources else each
            for each in parse_inline(text, references)
        ]

    def row(cells: Sequence[str]) -> list[Token]:
        styles = (_STYLES[mark[0] + mark[-1]] for mark in token.meta["marks"])
        return _within("tr", *(_within("td", inline(cell), style=next(styles)) for cell in cells))

    if token.type == "inline":
        return inline(token.content)
    if token.type == "math_block":
        return _within("paragraph", [Token("text", "", 0, content=token.info)])
    if token.type != "table":
        return [token]
    head, *rows = token.meta["rows"]
    return _within("table", _within("thead", row(head)), _within("tbody", *map(row, rows)))


def _within(name: str, *tokens: list[Token], style: str = "") -> list[Token]:
    inside = chain.from_iterable(tokens)
    return [Token(f"{name}_open", "", 1, {"style": style}), *inside, Token(f"{name}_close", "", -1)]


_STYLES = {":-": "text-align:left", "-:": "text-align:right", "::": "text-align:center", "--": ""}


_COLOURS = {items.QUIET: "dim", items.ERROR: "red", items.WARNING: "yellow"}


def _lines(block: Block) -> list[RenderableType]:
    if isinstance(block, MarkdownBlock | NoticeBlock):
        style = _COLOURS.get(block.form, "") if isinstance(block, NoticeBlock) else ""
        return [Text(text, style)] if (text := block.plain()) else []
    if isinstance(block, ReasoningBlock):
        return [] if block.closed else [Text(block.line(), style="italic dim")]
    return [
        Text.assemble((without_controls(row.plain()), "bold"), (f"\n{row.body}" if row.body else "", "dim"))
        for row in block.rows
    ]
