"""`%codex approvals`, `approve` and `decline`: the questions of the whole kernel, where there are no buttons for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.errors import OptionError
from ..protocol.types import (
    CommandApproval,
    Decision,
    DeclineBecause,
    FileChangeApproval,
    PermissionsApproval,
    ToolCallApproval,
)
from .desk import question_markdown, question_plain
from .screen import words

if TYPE_CHECKING:
    from .question import Question
    from .session import Session

LIST = "What waits: `%codex approvals`"


def approvals(session: Session, rest: str) -> None:
    """Show what waits for an answer, whole, and what was approved for longer; `revoke N` takes that back."""
    if rest:
        _revoke(session, int(rest.split()[1]))
        return
    questions, screen = session.extension.questions, session.screen
    waiting, lasting = questions.waiting(), questions.lasting()
    for question in waiting:
        number, text = question.number, question.text
        hint = f"Answer: `%codex approve {number}` or `%codex decline {number} WHY`"
        plain = f"[{number}] {question_plain(text)}\n{hint}\n"
        if screen.rich:
            markdown = f"{question_markdown(text)}\n\n{words(hint)}"
            screen.page.say({"text/markdown": markdown, "text/plain": plain})
        else:
            print(plain)  # noqa: T201  # a terminal reads standard output
        question.show()
    if not waiting:
        screen.say("Nothing waits for your approval.")
    if lasting:
        note = "Take one back, so that it is asked about again: `%codex approvals revoke N`"
        rows = [(each.number, *each.grant(), _holder(each)) for each in lasting]
        screen.table(("#", "Approved", "What", "Kept by"), rows, note=note)


def approve(session: Session, rest: str) -> None:
    """Raises OptionError for a question that is not open, or that nobody can have read yet."""
    question = _question(session, int(rest))
    if question.shown_at is None or session.runs.sent_at < question.shown_at:
        question_is = f"Question {question.number} has come or been shown after this cell was run."
        raise OptionError(question_is, hint=f"Read it first, then run the cell again. {LIST}")
    question.answer(Decision.accept)
    session.screen.say(f"Approved: {question.text.title}")


def decline(session: Session, rest: str) -> None:
    number, _, why = rest.partition(" ")
    question = _question(session, int(number))
    question.answer(DeclineBecause(why.strip()) if why.strip() else Decision.decline)
    session.screen.say(f"Declined: {question.text.title}")


def _question(session: Session, number: int) -> Question:
    waiting = session.extension.questions.waiting()
    question = next((each for each in waiting if each.number == number), None)
    if question is None:
        raise OptionError(f"No question {number} waits for an answer.", hint=LIST)
    return question


_PROGRAMS = CommandApproval | FileChangeApproval | PermissionsApproval
"""What the codex program asks, which remembers what was approved for longer."""


def _holder(question: Question) -> str:
    if not isinstance(question.request, _PROGRAMS):
        return "this kernel"
    ends = "until it ends" if question.answered.result() is Decision.accept_for_session else "for good"
    return f"the codex program, {ends}"


def _revoke(session: Session, number: int) -> None:
    """Raises OptionError for what is not held here."""
    questions = session.extension.questions
    question = next((each for each in questions.lasting() if each.number == number), None)
    if question is None:
        raise OptionError(
            f"Nothing was approved for longer under {number}.", hint="`%codex approvals` lists it."
        )
    if not isinstance(question.request, ToolCallApproval):
        hint = "The codex program ends with the kernel; what it keeps for good is in the `rules` folder of its home."
        raise OptionError("This approval can't be taken back here.", hint=hint)
    session.codex.ask_again(question.request)
    questions.revoke(question)
    session.screen.say(f"Taken back. You will be asked again: {question.text.title}")
