"""`%codex approvals`, `approve` and `decline`: the questions of the whole kernel, where there are no buttons for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.errors import OptionError
from ..protocol.types import Decision, DeclineBecause, ReadingApproval
from .desk import question_markdown, question_plain
from .screen import words
from .tools.permission import forget_reading

if TYPE_CHECKING:
    from ..waiting import Steps
    from .open_questions import Grant
    from .question import Question
    from .session import Session

LIST = "What waits: `%codex approvals`"


def approvals(session: Session, rest: str) -> Steps[None]:
    """Show what waits for an answer, whole, and what was approved for longer; `revoke N` or `all` takes that back."""
    if rest:
        yield from _revoke(session, rest.split()[1])
        return
    questions, screen = session.extension.questions, session.screen
    waiting, grants = questions.waiting(), questions.grants()
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
    if grants:
        note = "Take one back, so that it is asked about again: `%codex approvals revoke N`, or `all`"
        rows = [(each.question.number, *each.question.grant(), *_standing(each)) for each in grants]
        screen.table(("#", "Approved", "What", "Used", "Until"), rows, note=note)


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


def _standing(grant: Grant) -> tuple[str, str]:
    """Return how often it was used, and how long it holds."""
    if not grant.is_kept_here:
        return "", "you remove its rule from Codex’s home"
    is_reading = isinstance(grant.question.request, ReadingApproval)
    uses = f"{grant.uses:,} time{'s' * (grant.uses != 1)}" if grant.uses else "not again yet"
    return uses, "you take it back" if is_reading else "the kernel ends"


def _revoke(session: Session, which: str) -> Steps[None]:
    """Raises OptionError for what is not held here."""
    questions, all_grants = session.extension.questions, session.extension.questions.grants()
    grants = [each for each in all_grants if which == "all" or each.question.number == int(which)]
    if not grants:
        nothing = "Nothing was approved for longer" + ("." if which == "all" else f" under {which}.")
        raise OptionError(nothing, hint="`%codex approvals` lists it.")
    here = [grant for grant in grants if grant.is_kept_here]
    for grant in here:
        if isinstance(grant.question.request, ReadingApproval):
            yield from forget_reading(session)
        else:
            questions.revoke(grant)
        session.screen.say(f"Taken back. You will be asked again: {grant.question.text.title}")
    if len(here) < len(grants):
        hint = "The codex program keeps it for good, in the `rules` folder of its home: remove it there."
        rest = f"{len(grants) - len(here)} of them" if here else "This approval"
        raise OptionError(f"{rest} can't be taken back here.", hint=hint)
