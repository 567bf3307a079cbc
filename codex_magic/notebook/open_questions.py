"""The questions of one kernel that wait for a person, whichever cell or turn in the background they come from.

What shows or answers them only mirrors this list: cards of a page, buttons, a typed line, `%codex approve N`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ..protocol.policy import policy_bounds
from ..protocol.types import Decision

if TYPE_CHECKING:
    from .question import Question, Request

MOST_ANSWERED = 64
"""Still known after their answer, for a page that asks again because it has not heard it."""


class Grant:
    """A yes that holds for longer than once. `uses`: how often it has answered since, as far as that is seen here."""

    def __init__(self, question: Question) -> None:
        self.question, self.uses = question, 0

    @property
    def is_kept_here(self) -> bool:
        """Whether it ends with this kernel, and not with something of the codex program's."""
        return isinstance(self.question.answered.result(), Decision)


class OpenQuestions:
    """From any thread. Each question has a number of its own, which no other one in this kernel ever has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Question] = {}
        self._grants: list[Grant] = []
        self._count = 0

    def add(self, question: Question) -> None:
        with self._lock:
            self._count += 1
            question.number = self._count
            answered = [id for id, each in self._known.items() if each.over]
            for id in answered[:-MOST_ANSWERED]:
                del self._known[id]
            self._known[question.id] = question

    def waiting(self, output: str | None = None) -> list[Question]:
        """Return those that are not answered, oldest first; `output`: only those of that answer's turn."""
        with self._lock:
            known = list(self._known.values())
        return [each for each in known if not each.over and output in (None, each.output)]

    def settle(self, question: Question) -> None:
        """Note what was approved for longer than once; the same that waits is approved with it."""
        if not question.is_lasting():
            return
        with self._lock:
            self._grants.append(Grant(question))
        for each in self.waiting():
            if each.about == question.about and self.use(each.about):
                each.answer(Decision.accept_in_kernel)

    def use(self, about: object) -> bool:
        """Whether a grant of this kernel is about exactly this, which counts as a use of it."""
        if not policy_bounds().always:
            return False
        with self._lock:
            same = [each for each in self._grants if each.is_kept_here and each.question.about == about]
            for grant in same[:1]:
                grant.uses += 1
        return bool(same)

    def grants(self) -> list[Grant]:
        """Return what was approved for longer than once, oldest first."""
        with self._lock:
            return list(self._grants)

    def revoke(self, grant: Grant) -> None:
        with self._lock:
            self._grants.remove(grant)

    def page_of(self, request: Request) -> str:
        """Return the session of the page where that was answered; empty where it was none."""
        with self._lock:
            return next((each.page for each in self._known.values() if each.request is request), "")

    def find(self, id: str) -> Question | None:
        """Return the question of exactly this id, also after its answer."""
        with self._lock:
            return self._known.get(id)
