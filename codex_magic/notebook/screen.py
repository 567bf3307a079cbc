"""What a request shows that is no model's answer: tables, sentences, errors; and where answers are painted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from ..display.page import Page, UpdatedPage
from ..protocol.errors import CodexError
from .environment import page_for, shows_widgets
from .shell import is_kernel

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..display.pace import Painter
    from ..display.view import TurnView

VIEW = "application/vnd.jupyter.widget-view+json"

ID_SHOWN = 13  # characters of a thread id in texts: its 48 bits of time, enough to tell threads apart

_PAGE: ContextVar[Page | None] = ContextVar("page", default=None)
"""The page of the running request, by context: a button's callback may run beside a cell that waits."""


class Screen:
    """Where one shell shows things: a front end's outputs, or a terminal's standard output."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self.rich = is_kernel(shell)
        """Whether a front end shows Markdown, as opposed to a terminal."""
        self.blocked = False
        """Whether the running cell keeps the kernel busy while it waits, so that buttons may be dead."""

    @contextmanager
    def request(self, *, blocking: bool) -> Iterator[None]:
        """Give the running request a page of its own. One that does not block has its cell to itself."""
        self.blocked = blocking
        outer, page = _PAGE.get(), page_for(self._shell, alone=not blocking)
        _PAGE.set(page)
        try:
            yield
        finally:
            _PAGE.set(outer)
            page.close()

    @property
    def page(self) -> Page:
        """Where the running request's outputs go."""
        return _PAGE.get() or UpdatedPage()

    @property
    def has_widgets(self) -> bool:
        """Whether a person sees the widgets that the running request shows."""
        return self.page.has_controls and shows_widgets(self._shell)

    def painter(self, view: TurnView) -> Painter:
        """Return what paints a turn here."""
        from ..display.pace import Painter

        if self.rich:
            from ..display.jupyter import JupyterSurface

            return Painter(JupyterSurface(self.page), view)
        from ..display.terminal import TerminalSurface

        return Painter(TerminalSurface(), view)

    def say(self, *lines: str) -> None:
        """Show lines of text, as they stand."""
        self._show(lines_of(map(words, lines)), "\n".join(lines))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = "") -> None:
        """Show a table of plain texts, and a line below it."""
        cells = [[str(value) for value in row] for row in rows]
        marked = [[words(cell) for cell in row] for row in cells]
        markdown = [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *marked)]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        padded = [map(str.ljust, row, widths) for row in (heads, *cells)]
        plain = ["  ".join(row).rstrip() for row in padded]
        if note:
            markdown += ["", words(note)]
            plain += ["", note]
        self._show("\n".join(markdown), "\n".join(plain))

    def error(self, error: CodexError) -> None:
        """Show what happened, and what to do next."""
        self._show(f"**Error:** {words(error)}", str(error))

    def code(self, text: str) -> None:
        """Show text as it stands, in a fixed-width font."""
        from ..display.safe_markdown import code_block

        self._show(code_block(text), text)

    def _show(self, markdown: str, plain: str) -> None:
        if self.rich:
            self.page.say({"text/markdown": markdown, "text/plain": plain})
        else:
            print(plain)  # noqa: T201  # a terminal reads standard output


def lines_of(markdown: Iterable[str]) -> str:
    """Join Markdown so that each of these stays a line of its own."""
    return "  \n".join(markdown)


def words(text: object) -> str:
    """Return any text so that it reads as it stands inside Markdown."""
    from ..display.safe_markdown import escape_markdown

    return escape_markdown(str(text))


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ago(stamp: int) -> str:
    """Say how long ago a Unix time is, in the largest unit that fits."""
    seconds = max(0, int(time.time()) - stamp)
    if 86400 <= seconds < 2 * 86400:
        return "yesterday"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count(seconds // size, unit)} ago"
    return "just now"
