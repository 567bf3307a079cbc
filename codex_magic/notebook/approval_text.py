"""A question answered by a typed line: in terminals, and in cells that keep the kernel busy."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..protocol.types import Decision
from .question import NOBODY, Choice, Question, Shown, choices, cut, shown
from .say import words

if TYPE_CHECKING:
    from ..display.page import Page

PROMPT = "Your answer [n]: "


def ask_by_text(question: Question, page: Page | None) -> None:
    """Show the question on `page`, else print it, and wait for a line.

    A page without controls may show nothing before its cell has ended: there it is in the prompt.

    Raises KeyboardInterrupt, after which the answer is no."""
    asked, offered = shown(question), choices(question.request)
    above = ""
    if page is None:
        print(_plain(asked))  # noqa: T201  # a terminal reads standard output
    elif page.has_controls:
        page.say({"text/markdown": _markdown(asked), "text/plain": _plain(asked)})
    else:
        above = f"{_plain(asked)}\n"
    try:
        choice = _typed(offered, above)
    except KeyboardInterrupt:
        question.answer(Decision.cancel)
        raise
    except (EOFError, OSError, RuntimeError):  # there is no line to be had
        question.refuse(NOBODY)
    else:
        question.answer(choice.decision)


def _typed(offered: list[Choice], above: str) -> Choice:
    """What was chosen; an empty line is no, anything else is asked again."""
    keys = {choice.key: choice for choice in offered}
    legend = "\n".join(f"  {choice.key}  {choice.label}" for choice in offered)
    while True:
        with interruptible():
            typed = input(f"{above}{legend}\n{PROMPT}").strip().lower() or "n"
        if typed in keys:
            return keys[typed]


@contextmanager
def interruptible() -> Iterator[None]:
    """An async cell takes Ctrl-C as its cancellation, which a line being read would not notice."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _markdown(asked: Shown) -> str:
    from ..display.safe_markdown import code_block

    parts = [f"**{words(asked.title)}**"]
    for passage in asked.passages:
        if passage.title:
            parts.append(words(passage.title))
        text, left = cut(passage.text)
        parts.append(code_block(text, passage.language))
        if left:
            parts.append(f"… {left} more lines")
    parts += [f"{label}: {words(text)}" for label, text in asked.facts]
    return "\n\n".join(parts)


def _plain(asked: Shown) -> str:
    lines = [asked.title]
    for passage in asked.passages:
        if passage.title:
            lines.append(passage.title)
        text, left = cut(passage.text)
        lines += [f"    {line}" for line in text.split("\n")]
        if left:
            lines.append(f"    … {left} more lines")
    lines += [f"{label}: {text}" for label, text in asked.facts]
    return "\n".join(lines)
