"""Answers that are not a model's: tables, sentences, errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..protocol.errors import CodexError

if TYPE_CHECKING:
    from ..display.pace import Surface
    from .session import Session


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
