"""Where the questions of one turn come to a person, one after the other.

By buttons where a front end has some that answer while the cell runs, else by a typed line, else the
answer is no. What was decided stays as plain lines below the answer.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..protocol.ids import new_id
from ..protocol.types import ApprovalDecision, ApprovalRequest
from .environment import hears_clicks, is_run_by_server, may_ask
from .identity import cell_id, is_kernel
from .question import ENDED, NOBODY, STOPPED, Question, decided, shown
from .say import lines_of, words

if TYPE_CHECKING:
    from ..display.page import Page
    from .approval_widget import ApprovalWidget
    from .session import Session


NO_BUTTONS = "This front end shows no buttons to answer with; to stop the cell is a no."


class Slot:
    """The output below an answer: what was decided so far, and the buttons while there are any.

    `page`: where it is shown; a terminal has none.
    """

    def __init__(self, page: Page | None) -> None:
        self.page = page
        self._id = new_id()
        self._decided: list[tuple[str, str]] = []

    def add(self, question: Question) -> None:
        """The line about what was decided, in place of whatever asked."""
        label, subject = decided(question)
        from ..display.safe_markdown import code_span

        self._decided.append((f"**{words(label)}:** {code_span(subject)}", f"{label}: {subject}"))
        if self.page is None:
            print(self._decided[-1][1])  # noqa: T201  # a terminal reads standard output
        self.show()

    def show(self, asking: str = "", controls: Mapping[str, object] | None = None) -> None:
        """While somebody is asked: with `controls` to answer, and `asking` for who can't see them."""
        if self.page is None:
            return
        lines = list(self._decided)
        if asking:
            lines.append((f"**{words(asking)}** {NO_BUTTONS}", f"{asking} {NO_BUTTONS}"))
        text = {
            "text/markdown": lines_of(markdown for markdown, _ in lines),
            "text/plain": "\n".join(plain for _, plain in lines),
        }
        self.page.show(self._id, {**(controls or {}), **text})


class Desk:
    """Made in the cell that asks; `put` takes a question to whoever paints the turn, who calls `take`.

    `pause` makes room for what is said in between.
    """

    def __init__(
        self, session: Session, put: Callable[[Question], None], *, background: bool = False
    ) -> None:
        self.slot = Slot(session.page if session.rich else None)
        shell = session.shell
        self._buttons = session.has_widgets and (background or (hears_clicks(shell) and not session.blocking))
        self._typed = may_ask(shell) and not background
        # A console drops what was typed ahead when it reads a line that is not shown; a notebook has a field.
        self._hidden = is_kernel(shell) and cell_id(shell) is None and not is_run_by_server(shell)
        self._folder = os.getcwd()
        self._put = put
        self._waiting: deque[Question] = deque()
        self._shown: Question | None = None
        self._widget: ApprovalWidget | None = None
        self._closed = False
        self._end = ENDED

    async def ask(self, request: ApprovalRequest) -> ApprovalDecision | None:
        """What the engine calls, in its own loop; cancelled when the turn ends. `None`: nobody answered."""
        if self._closed:
            return None
        question = Question(request, self._folder)
        self._put(question)
        try:
            return await asyncio.wrap_future(question.answered)
        finally:
            self._put(question)  # it is over

    def take(self, question: Question, *, pause: Callable[[], None]) -> None:
        """A question that has come, or is over. Raises KeyboardInterrupt from a typed answer."""
        if question in self._waiting and question.over:
            self._waiting.remove(question)
            self._settle(question)
        elif question is self._shown:
            self._settle(question)
        elif not question.over:
            self._waiting.append(question)
        while self._shown is None and self._waiting:
            self._show(self._waiting.popleft(), pause)

    def stop(self) -> None:
        """The turn is being stopped, and with it what is not answered; from any thread."""
        self._end = STOPPED

    def close(self, *, is_shown: bool = True) -> None:
        """Whatever is still open is no, and so told if there is a place for it."""
        self._closed = True
        left = [*([self._shown] if self._shown else []), *self._waiting]
        self._waiting.clear()
        for question in left:
            if is_shown:
                self._settle(question)
            else:
                question.refuse(self._end)

    def _show(self, question: Question, pause: Callable[[], None]) -> None:
        self._shown = question
        if self._buttons:
            from .approval_widget import ApprovalWidget

            self._widget = ApprovalWidget(question)
            self.slot.show(shown(question).title, self._widget.bundle)
            return
        pause()
        if self._typed:
            from .approval_text import ask_by_text

            ask_by_text(question, self.slot.page, hidden=self._hidden)
        else:
            question.refuse(NOBODY)
        self._settle(question)

    def _settle(self, question: Question) -> None:
        """A line in place of the buttons, which are gone then."""
        if not question.over or question.answered.cancelled():
            question.refuse(self._end)
        self.slot.add(question)
        if question is self._shown:
            self._shown = None
            if self._widget is not None:
                self._widget.close()
                self._widget = None
