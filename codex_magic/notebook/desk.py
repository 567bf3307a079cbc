"""Where the questions of one turn come to a person, one after the other.

By a card of the page's extension, else by buttons where a front end has some that answer while the cell runs, else
by a typed line, else the answer is no; the first answer holds, whichever way it comes. What was decided stands in
the step it is about; only what has none is a line of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ..display.page import Page
from ..protocol.ids import new_id
from ..protocol.types import ApprovalDecision, ApprovalRequest, Decision, Notification, ReadingApproval
from ..waiting import Relay
from . import question as questions
from .environment import hears_clicks, is_run_by_server, may_ask
from .question import Question, QuestionText, choices, decision_line
from .screen import Screen, lines_of, words
from .shell import cell_id, is_kernel
from .typed import Superseded, read_typed_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .widgets import ApprovalWidget

NO_BUTTONS = "This front end shows no buttons. Stop the cell to decline."

PAGE_SECONDS = 2.0
"""Until a question that no page has taken is asked without it: the page may be closed, or another front end here."""


class Desk:
    """Made in the cell that asks. `news` brings what the engine tells, its questions, and what is to be called in
    that thread, to whoever paints the turn, who passes the questions to `take`."""

    def __init__(
        self, shell: InteractiveShell, screen: Screen, output: str, *, background: bool = False
    ) -> None:
        """`output`: the id of the answer of the turn; empty where nothing is asked in a turn, and no page may ask it."""
        self.news: Relay[Notification | Question | Callable[[], None]] = Relay()
        self._output, self._extension, self._background = output, screen.extension, background
        # The output below an answer, which a terminal lacks: what was decided, and buttons meanwhile.
        self._page, self._id, self._has_output = screen.page if screen.rich else None, new_id(), False
        self._decisions: list[tuple[str, str]] = []
        self._buttons = screen.has_widgets and (background or (hears_clicks(shell) and not screen.blocked))
        self._typed = may_ask(shell) and not background
        # A console drops what was typed ahead when it reads a line that is not shown; a notebook has a field.
        self._hidden = is_kernel(shell) and cell_id(shell) is None and not is_run_by_server(shell)
        self._folder = os.getcwd()
        # What shows an answer only at its end has no place for cards meanwhile.
        self._page_may_ask = bool(output) and screen.rich and screen.page.changes
        self._page_until: float | None = None
        self._waiting: deque[Question] = deque()
        self._shown: Question | None = None
        self._widget: ApprovalWidget | None = None
        self._closed = False
        self._end = questions.ENDED

    async def ask(self, request: ApprovalRequest) -> ApprovalDecision | None:
        """Called by the engine, in its loop; cancelled when the turn ends. `None`: nobody answered."""
        if self._closed:
            return None
        question = Question(request, self._folder, self._output)
        is_reading = isinstance(request, ReadingApproval)  # which holds in other kernels too
        if not is_reading and self._extension.questions.use(question.about):
            return Decision.accept_in_kernel
        question.changed = lambda: self.news.put(question)
        self._extension.questions.add(question)
        self.news.put(question)
        try:
            answer = await asyncio.wrap_future(question.answered)
            is_lasting = answer is Decision.accept_for_session and not is_reading
            return Decision.accept_in_kernel if is_lasting else answer
        finally:
            self._extension.questions.settle(question)
            self.news.put(question)  # it is over

    def take(self, question: Question, *, pause: Callable[[], None]) -> None:
        """Take a question that has come, is shown by a page, or is over. `pause` makes room on screen for a typed
        answer, which may raise KeyboardInterrupt."""
        is_known = question is self._shown or question in self._waiting
        if question.over:
            if is_known:
                self._settle(question)
        elif not is_known:
            self._waiting.append(question)
            if self._widget is not None:
                self._widget.count(1 + len(self._waiting))
        elif self._widget is not None and self._shown is not None and self._shown.on_page:
            self._close_widget()
            self._draw()
        self._extension.ask(self._output)
        self._show_next(pause)

    def due(self) -> float | None:
        """Seconds until `tick` has something to do."""
        if self._page_until is None or self._shown is None or self._shown.on_page:
            return None
        return max(0.0, self._page_until - time.monotonic())

    def tick(self, *, pause: Callable[[], None]) -> None:
        """Ask without the page what none has taken by now."""
        if self.due() == 0.0 and self._shown is not None:
            self._page_until, self._page_may_ask = None, False
            self._show(self._shown, pause)
            self._show_next(pause)

    def stop(self) -> None:
        """Say of what is not answered from now on that the turn was stopped; from any thread."""
        self._end = questions.STOPPED

    def close(self, *, is_shown: bool = True) -> None:
        """Answer no to whatever is still open, and say so if there is a place for it."""
        self._closed = True
        for question in [*filter(None, [self._shown]), *self._waiting]:
            if is_shown:
                self._settle(question)
            else:
                question.refuse(self._end)
        self._extension.ask(self._output)

    def _show_next(self, pause: Callable[[], None]) -> None:
        while self._shown is None and self._waiting:
            self._show(self._waiting.popleft(), pause)

    def _show(self, question: Question, pause: Callable[[], None]) -> None:
        self._shown = question
        if question.on_page or (self._page_may_ask and self._extension.is_attached):
            pause()  # its card stands below the answer
            self._page_until = time.monotonic() + PAGE_SECONDS
            return
        question.show()
        text = question.text
        by_command = f"Answer in another cell: `%codex approve {question.number}` or `%codex decline {question.number}`"
        if self._buttons:
            from .widgets import ApprovalWidget

            self._widget = ApprovalWidget(question)
            self._widget.count(1 + len(self._waiting))
            hint = by_command if self._background else NO_BUTTONS
            markdown, plain = f"**{words(text.title)}** {words(hint)}", f"{text.title} {hint}"
            self._draw(markdown, plain, self._widget.bundle)
            return
        pause()
        if self._background and self._page is not None:
            hint = words(by_command)
            self._draw(f"{question_markdown(text)}\n\n{hint}", f"{question_plain(text)}\n{by_command}")
            return
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
        if question in self._waiting:
            self._waiting.remove(question)
        if question is self._shown:
            self._close_widget()
            self._shown = self._page_until = None

    def _close_widget(self) -> None:
        if self._widget is not None:
            self._widget.close()
            self._widget = None

    def _draw(
        self, markdown: str = "", plain: str = "", controls: Mapping[str, object] | None = None
    ) -> None:
        """Show what was decided, and below it an open question; its texts are for who can't see `controls`."""
        if self._page is None:
            return
        self._has_output = True
        lines = lines_of(line for line, _ in self._decisions)
        texts = {
            "text/markdown": "\n\n".join(filter(None, (lines, markdown))),
            "text/plain": "\n".join([*(line for _, line in self._decisions), *filter(None, (plain,))]),
        }
        self._page.show(self._id, {**(controls or {}), **texts})


LINE, WRAPPED = "  | ", "  : "
"""Marks before a line of the model's, and before its continuation, so that none begins where our lines do."""


def ask_by_text(question: Question, page: Page | None, *, hidden: bool = False) -> None:
    """Show the question on `page`, else print it, and wait for a line. Raises KeyboardInterrupt.

    A page without controls may show nothing before its cell has ended: there it is in the prompt.
    `hidden`: where only a line that is not shown is sure to be typed after the question was.
    """
    text, above = question.text, ""
    if page is None:
        print(question_plain(text))  # noqa: T201  # a terminal reads standard output
    elif page.has_controls:
        page.say({"text/markdown": question_markdown(text), "text/plain": question_plain(text)})
    else:
        above = f"{question_plain(text)}\n"
    offered = {choice.key: choice for choice in choices(question.request)}
    legend = "\n".join(_wrapped(f"  {each.key}  {each.label}" for each in offered.values()))
    prompt = "Your answer, which is not shown [d]: " if hidden else "Your answer [d]: "
    key, reason = "", ""
    try:
        while key not in offered:
            line = read_typed_line(above + legend, prompt, hidden=hidden, answered=question.answered)
            key = "" if line is None else line.strip().lower() or "d"
            above = "Type one of these letters, and Enter:\n"
        if offered[key].takes_reason:
            what = "What should Codex do instead? "
            reason = read_typed_line("", what, hidden=hidden, answered=question.answered) or ""
    except Superseded:  # by a card, which came late
        return
    except (EOFError, OSError, RuntimeError):  # there is no line to be had
        question.refuse(questions.NOBODY)
    else:
        question.choose(key, reason)


def question_markdown(text: QuestionText) -> str:
    from ..display.safe_markdown import code_block

    parts = [f"**{words(text.title)}**"]
    for passage in text.passages:
        parts += [words(passage.title)] if passage.title else []
        parts.append(code_block(passage.text + "\n", passage.language))
    parts += [f"{label}: {words(value)}" for label, value in _facts(text)]
    return "\n\n".join(parts)


def _facts(text: QuestionText) -> list[tuple[str, str]]:
    """Return the facts, with what only a card can show."""
    return [*text.facts, *([("Figures", f"{len(text.images)}, not shown here")] if text.images else [])]


def question_plain(text: QuestionText) -> str:
    lines = [*_wrapped([text.title])]
    for passage in text.passages:
        lines += _wrapped([passage.title] if passage.title else [])
        lines += _wrapped(passage.text.split("\n"), LINE)
    return "\n".join([*lines, *_wrapped(f"{label}: {value}" for label, value in _facts(text))])


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
