"""Where the questions of one turn come to a person, one after the other.

By buttons where a front end has some that answer while the cell runs, else by a typed line, else the
answer is no. What was decided stands in the step it is about; only what has none is a line of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..display.page import Page
from ..protocol.ids import new_id
from ..protocol.types import ApprovalDecision, ApprovalRequest, Notification
from ..waiting import Relay
from . import question as questions
from .environment import hears_clicks, is_run_by_server, may_ask
from .question import Question, QuestionText, choices, decision_line, more_choices, question_text
from .screen import Screen, lines_of, words
from .shell import cell_id, is_kernel
from .typed import read_typed_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .widgets import ApprovalWidget

NO_BUTTONS = "This front end shows no buttons. Stop the cell to decline."


class Desk:
    """Made in the cell that asks. `news` brings what the engine tells, and its questions, to whoever paints the
    turn, who passes the questions to `take`."""

    def __init__(self, shell: InteractiveShell, screen: Screen, *, background: bool = False) -> None:
        self.news: Relay[Notification | Question] = Relay()
        # The output below an answer, which a terminal lacks: what was decided, and buttons meanwhile.
        self._page, self._id, self._has_output = screen.page if screen.rich else None, new_id(), False
        self._decisions: list[tuple[str, str]] = []
        self._buttons = screen.has_widgets and (background or (hears_clicks(shell) and not screen.blocked))
        self._typed = may_ask(shell) and not background
        # A console drops what was typed ahead when it reads a line that is not shown; a notebook has a field.
        self._hidden = is_kernel(shell) and cell_id(shell) is None and not is_run_by_server(shell)
        self._folder = os.getcwd()
        self._waiting: deque[Question] = deque()
        self._shown: Question | None = None
        self._widget: ApprovalWidget | None = None
        self._closed = False
        self._end = questions.ENDED

    async def ask(self, request: ApprovalRequest) -> ApprovalDecision | None:
        """Called by the engine, in its loop; cancelled when the turn ends. `None`: nobody answered."""
        if self._closed:
            return None
        question = Question(request, self._folder)
        self.news.put(question)
        try:
            return await asyncio.wrap_future(question.answered)
        finally:
            self.news.put(question)  # it is over

    def take(self, question: Question, *, pause: Callable[[], None]) -> None:
        """Take a question that has come, or is over. `pause` makes room on screen for a typed answer, which
        may raise KeyboardInterrupt."""
        if question in self._waiting and question.over:
            self._waiting.remove(question)
            self._settle(question)
        elif question is self._shown:
            self._settle(question)
        elif not question.over:
            self._waiting.append(question)
            if self._widget is not None:
                self._widget.count(1 + len(self._waiting))
        while self._shown is None and self._waiting:
            self._show(self._waiting.popleft(), pause)

    def stop(self) -> None:
        """Say of what is not answered from now on that the turn was stopped; from any thread."""
        self._end = questions.STOPPED

    def close(self, *, is_shown: bool = True) -> None:
        """Answer no to whatever is still open, and say so if there is a place for it."""
        self._closed = True
        left = [*filter(None, [self._shown]), *self._waiting]
        self._waiting.clear()
        for question in left:
            if is_shown:
                self._settle(question)
            else:
                question.refuse(self._end)

    def _show(self, question: Question, pause: Callable[[], None]) -> None:
        self._shown = question
        if self._buttons:
            from .widgets import ApprovalWidget

            self._widget = ApprovalWidget(question)
            self._widget.count(1 + len(self._waiting))
            self._draw(question_text(question).title, self._widget.bundle)
            return
        pause()
        if self._typed:
            ask_by_text(question, self._page, hidden=self._hidden)
        else:
            question.refuse(questions.NOBODY)
        self._settle(question)

    def _settle(self, question: Question) -> None:
        """Take the question and its buttons away, for a line about what was decided where no step tells it."""
        if not question.over or question.answered.cancelled():
            question.refuse(self._end)
        from ..display.safe_markdown import code_span

        if decision := decision_line(question):
            label, subject = decision
            self._decisions.append((f"**{words(label)}:** {code_span(subject)}", f"{label}: {subject}"))
            if self._page is None:
                print(self._decisions[-1][1])  # noqa: T201  # a terminal reads standard output
        if decision or self._has_output:
            self._draw()
        if question is self._shown:
            if self._widget is not None:
                self._widget.close()
            self._shown = self._widget = None

    def _draw(self, title: str = "", controls: Mapping[str, object] | None = None) -> None:
        """Show what was decided, with the `controls` of an open question, and its `title` for who can't see them."""
        if self._page is None:
            return
        self._has_output = True
        open_question = [(f"**{words(title)}** {NO_BUTTONS}", f"{title} {NO_BUTTONS}")] if title else []
        lines = [*self._decisions, *open_question]
        markdown, plain = lines_of(line for line, _ in lines), "\n".join(line for _, line in lines)
        self._page.show(self._id, {**(controls or {}), "text/markdown": markdown, "text/plain": plain})


LINE, WRAPPED = "  | ", "  : "
"""Marks before a line of the model's, and before its continuation, so that none begins where our lines do."""


def ask_by_text(question: Question, page: Page | None, *, hidden: bool = False) -> None:
    """Show the question on `page`, else print it, and wait for a line. Raises KeyboardInterrupt.

    A page without controls may show nothing before its cell has ended: there it is in the prompt.
    `hidden`: where only a line that is not shown is sure to be typed after the question was.
    """
    text, above = question_text(question), ""
    if page is None:
        print(question_plain(text))  # noqa: T201  # a terminal reads standard output
    elif page.has_controls:
        page.say({"text/markdown": question_markdown(text), "text/plain": question_plain(text)})
    else:
        above = f"{question_plain(text)}\n"
    offered = {choice.key: choice for choice in (*choices(question.request), *more_choices(question.request))}
    legend = "\n".join(_wrapped(f"  {each.key}  {each.label}" for each in offered.values()))
    prompt = "Your answer, which is not shown [d]: " if hidden else "Your answer [d]: "
    key = ""
    try:
        while key not in offered:
            line = read_typed_line(above + legend, prompt, hidden=hidden)
            key = "" if line is None else line.strip().lower() or "d"
    except (EOFError, OSError, RuntimeError):  # there is no line to be had
        question.refuse(questions.NOBODY)
    else:
        question.answer(offered[key].decision)


def question_markdown(text: QuestionText) -> str:
    from ..display.safe_markdown import code_block

    parts = [f"**{words(text.title)}**"]
    for passage in text.passages:
        parts += [words(passage.title)] if passage.title else []
        parts.append(code_block(passage.text + "\n", passage.language))
    parts += [f"{label}: {words(value)}" for label, value in text.facts]
    return "\n\n".join(parts)


def question_plain(text: QuestionText) -> str:
    lines = [*_wrapped([text.title])]
    for passage in text.passages:
        lines += _wrapped([passage.title] if passage.title else [])
        lines += _wrapped(passage.text.split("\n"), LINE)
    return "\n".join([*lines, *_wrapped(f"{label}: {value}" for label, value in text.facts)])


def _wrapped(lines: Iterable[str], mark: str = "") -> Iterator[str]:
    """Break lines here, since a terminal would begin the rest in its first column."""
    width = shutil.get_terminal_size().columns
    for line in lines:
        begun, left = mark, width - len(mark) - 1
        for char in line:
            columns = 8 if char == "\t" else 2 if unicodedata.east_asian_width(char) in "WFA" else 1
            if columns > left and begun not in (mark, WRAPPED):
                yield begun
                begun, left = WRAPPED, width - len(WRAPPED) - 1
            begun += char
            left -= columns
        yield begun
