"""What a request shows that is no model's answer: tables, sentences, errors; and where answers are painted."""

from __future__ import annotations

import html
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import compress, zip_longest
from typing import TYPE_CHECKING

from ..display.page import Page, UpdatedPage
from ..display.table import CODE, aligned, without_marks
from ..protocol.errors import CodexError
from ..protocol.plain import without_controls
from .environment import PrintedPage, page_for, shows_widgets
from .shell import client_of, is_kernel
from .shell import request as running_request

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..display.pace import Painter
    from ..display.view import TurnView
    from .extension import Extension

VIEW = "application/vnd.jupyter.widget-view+json"

ID_SHOWN = 13  # characters of a thread id in texts: its 48 bits of time, enough to tell threads apart

_PAGE: ContextVar[Page | None] = ContextVar("page", default=None)
"""The page of the running request, by context: a button's callback may run beside a cell that waits."""


class Screen:
    """Where one shell shows things: a front end's outputs, or a terminal's standard output."""

    def __init__(self, shell: InteractiveShell, extension: Extension) -> None:
        self._shell, self.extension = shell, extension
        self.rich = is_kernel(shell)  # a front end shows Markdown, unlike a terminal
        self.blocked = False  # the running cell keeps the kernel busy while it waits: buttons may be dead

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

    def painter(self, view: TurnView, *, cell: str | None = None) -> Painter:
        """Return what paints a turn here. `cell`: the id of the cell that shows it, where a page may lose it."""
        from ..display.pace import LiveSurface, Painter

        if self.rich and not isinstance(self.page, PrintedPage):
            stream = self.extension.stream(view.id, cell, client_of(running_request(self._shell)))
            return Painter(LiveSurface(self.page, stream), view)
        from ..display.terminal import terminal_surface

        return Painter(terminal_surface(), view)

    def say(self, *lines: str) -> None:
        """Show lines of text; what stands between backticks is code."""
        self._show(lines_of(quiet(words(line)) for line in lines), "\n".join(lines))

    def table(
        self,
        heads: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        note: str = "",
        wraps: bool = False,
        bars: Sequence[int] = (),
    ) -> None:
        """Show a table of texts, and a line below it. With empty heads the first column names what the others say.

        A row of one cell is a title. `wraps`: in a terminal nothing is cut, nor is it without heads. `bars`:
        percents, one for each row, which HTML shows behind its name.
        """
        cells = [[" ".join(str(value).split()) for value in row] for row in rows]
        filled = [any(column) for column in zip_longest(*cells, fillvalue="")]
        heads, *cells = ([*compress(row, filled)] for row in (heads, *cells))
        is_page = not any(heads)
        listed = cells if is_page else [heads, *cells]
        lines = [_row(row, len(heads), names=1 if is_page else len(heads) * (row is heads)) for row in listed]
        for n, percent in enumerate(bars):
            bar = f'</th><td><progress max="100" value="{percent}"></progress></td>'
            lines[n] = lines[n].replace("</th>", bar, 1)
        markdown = "\n".join(["<table>", *lines, "</table>"])
        plain = [[without_marks(cell) for cell in row] for row in listed]
        shown = list(aligned(plain, wraps=wraps or is_page))
        if note:
            markdown += f"\n\n{quiet(words(note))}"
            shown += ["", note]
        self._show(markdown, "\n".join(shown))

    def error(self, error: CodexError) -> None:
        """Show what happened, and what to do next."""
        hint = f"<br>{words(error.hint)}" if error.hint else ""
        bar = '<blockquote style="border-left-color:#d32f2f;margin:.4em 0 .8em">'
        self._show(f"{bar}\n\n**Error: {words(error.message)}**{hint}\n\n</blockquote>", f"Error: {error}")

    def code(self, text: str, language: str = "") -> None:
        """Show text as it stands, in a fixed-width font; in colours where its language is known."""
        from ..display.safe_markdown import code_block

        if language == "diff" and not self.rich and sys.stdout.isatty():
            colors = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
            for line in without_controls(text).split("\n"):
                print(f"{colors.get(line[:1], '')}{line}\x1b[0m")  # noqa: T201
        else:
            self._show(code_block(text, language), text)

    def fold(self, title: str, text: str) -> None:
        """Show a text as it stands, below a title that opens it."""
        from ..display.safe_markdown import code_block

        body = f'<blockquote style="margin:.4em 0 .4em .3em">\n\n{code_block(text)}\n\n</blockquote>'
        head = f'<details style="margin-bottom:.6em"><summary>{marked_html(title)}</summary>'
        self._show(f"{head}{body}</details>", f"--- {title}\n{text}\n")

    def _show(self, markdown: str, plain: str) -> None:
        plain = without_marks(plain)
        if self.rich:
            self.page.say({"text/markdown": markdown, "text/plain": plain})
        else:
            print(without_controls(plain))  # noqa: T201  # a terminal reads standard output


def lines_of(markdown: Iterable[str]) -> str:
    """Join Markdown so that each of these stays a line of its own."""
    return "  \n".join(markdown)


def quiet(markdown: str) -> str:
    return f'<small style="opacity:.7">{markdown}</small>'


def words(text: object) -> str:
    """Return any text so that it reads as it stands inside Markdown, what is between backticks as code."""
    from ..display.safe_markdown import marked

    return marked(str(text))


def _row(cells: Sequence[str], columns: int, *, names: int) -> str:
    """Return a row of a table in HTML, which holds any text in every reader; `names` stand before the others."""
    if len(cells) < columns:
        return f'<tr><td colspan="{columns}"><b>{marked_html(cells[0])}</b></td></tr>'
    kinds = ["th"] * names + ["td"] * (len(cells) - names)
    row = (f"<{kind}>{marked_html(cell)}</{kind}>" for kind, cell in zip(kinds, cells, strict=True))
    return f"<tr>{''.join(row)}</tr>"


def marked_html(text: str) -> str:
    """Escape what is HTML, or mathematics to a reader that looks for it in the page."""
    marked = re.sub(r"[$\\]", lambda mark: f"<span>&#{ord(mark[0])};</span>", html.escape(text))
    return CODE.sub(r"<code>\1</code>", marked)


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
