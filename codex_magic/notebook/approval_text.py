"""A question answered by a typed line: in terminals, and in cells that keep the kernel busy."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from .question import NOBODY, Choice, Question, Shown, choices, shown
from .say import words
from .typed import typed_line

if TYPE_CHECKING:
    from ..display.page import Page

PROMPT = "Your answer [n]: "
HIDDEN_PROMPT = "Your answer, which is not shown [n]: "

LINE, WRAPPED = "  | ", "  : "
"""Before a line that is none of ours, and before what follows of it: so none of it begins where ours do."""


def ask_by_text(question: Question, page: Page | None, *, hidden: bool = False) -> None:
    """Show the question on `page`, else print it, and wait for a line. Raises KeyboardInterrupt.

    A page without controls may show nothing before its cell has ended: there it is in the prompt.
    `hidden`: where only a line that is not shown is sure to be typed after the question was.
    """
    asked, offered = shown(question), choices(question.request)
    above = ""
    if page is None:
        print(_plain(asked))  # noqa: T201  # a terminal reads standard output
    elif page.has_controls:
        page.say({"text/markdown": _markdown(asked), "text/plain": _plain(asked)})
    else:
        above = f"{_plain(asked)}\n"
    try:
        choice = _typed(offered, above, hidden=hidden)
    except (EOFError, OSError, RuntimeError):  # there is no line to be had
        question.refuse(NOBODY)
    else:
        question.answer(choice.decision)


def _typed(offered: list[Choice], above: str, *, hidden: bool) -> Choice:
    """What was chosen; an empty line is no, anything else is asked again."""
    keys = {choice.key: choice for choice in offered}
    width = shutil.get_terminal_size().columns
    lines = (_wrapped(f"  {choice.key}  {choice.label}", width, "") for choice in offered)
    legend = "\n".join(chain.from_iterable(lines))
    while True:
        line = typed_line(above + legend, HIDDEN_PROMPT if hidden else PROMPT, hidden=hidden)
        typed = "" if line is None else line.strip().lower() or "n"
        if typed in keys:
            return keys[typed]


def _markdown(asked: Shown) -> str:
    from ..display.safe_markdown import code_block

    parts = [f"**{words(asked.title)}**"]
    for passage in asked.passages:
        if passage.title:
            parts.append(words(passage.title))
        parts.append(code_block(passage.text + "\n", passage.language))
    parts += [f"{label}: {words(text)}" for label, text in asked.facts]
    return "\n\n".join(parts)


def _plain(asked: Shown) -> str:
    width = shutil.get_terminal_size().columns
    lines = [*_wrapped(asked.title, width, "")]
    for passage in asked.passages:
        if passage.title:
            lines += _wrapped(passage.title, width, "")
        for line in passage.text.split("\n"):
            lines += _wrapped(line, width, LINE)
    for label, text in asked.facts:
        lines += _wrapped(f"{label}: {text}", width, "")
    return "\n".join(lines)


def _wrapped(line: str, width: int, mark: str) -> Iterator[str]:
    """By us, since a terminal would begin the rest in its first column."""
    begun, left = mark, width - len(mark) - 1
    for char in line:
        columns = 8 if char == "\t" else 2 if unicodedata.east_asian_width(char) in "WFA" else 1
        if columns > left and begun not in (mark, WRAPPED):
            yield begun
            begun, left = WRAPPED, width - len(WRAPPED) - 1
        begun += char
        left -= columns
    yield begun
