"""Answers that are not a model's: tables, sentences, errors."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..protocol.errors import CodexError

if TYPE_CHECKING:
    from ..display.pace import Surface
    from .session import Session

ID_SHOWN = 13
"""Characters of a thread id in texts: its 48 bits of time, enough to tell threads apart."""


def surface_for(session: Session) -> Surface:
    """Where this session's turns are painted."""
    if session.rich:
        from ..display.jupyter import JupyterSurface

        return JupyterSurface(session.page)
    from ..display.terminal import TerminalSurface

    return TerminalSurface()


def say(session: Session, *lines: str) -> None:
    """Show lines of text, as they stand."""
    _show(session, lines_of(map(words, lines)), "\n".join(lines))


def say_table(
    session: Session, heads: Sequence[str], rows: Iterable[Sequence[object]], *, note: str = ""
) -> None:
    """Show a table of plain texts, and a line below it."""
    cells = [[str(value) for value in row] for row in rows]
    markdown = [_row(heads), _row(["---"] * len(heads)), *(_row([words(c) for c in row]) for row in cells)]
    plain = _columns([list(heads), *cells])
    if note:
        markdown += ["", words(note)]
        plain += ["", note]
    _show(session, "\n".join(markdown), "\n".join(plain))


def say_error(session: Session, error: CodexError) -> None:
    """Show an error: what happened, and what to do next."""
    text = str(error)
    _show(session, f"**Error:** {words(text)}", text)


def say_code(session: Session, text: str) -> None:
    """Show text as it stands, in a fixed-width font."""
    from ..display.safe_markdown import code_block

    _show(session, code_block(text), text)


def lines_of(markdown: Iterable[str]) -> str:
    """Markdown in which each of these stays a line of its own."""
    return "  \n".join(markdown)


def words(text: object) -> str:
    """Any text, to be read as it stands inside Markdown."""
    from ..display.safe_markdown import escape_markdown

    return escape_markdown(str(text))


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def ago(stamp: int) -> str:
    """How long ago a Unix time is, in the largest unit that fits."""
    seconds = max(0, int(time.time()) - stamp)
    if 86400 <= seconds < 2 * 86400:
        return "yesterday"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"{count(seconds // size, unit)} ago"
    return "just now"


def _show(session: Session, markdown: str, plain: str) -> None:
    if not session.rich:
        print(plain)  # noqa: T201  # a terminal reads standard output
        return
    session.page.say({"text/markdown": markdown, "text/plain": plain})


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
