"""The questions of one kernel that wait for a person, whichever cell or turn in the background they come from.

What shows or answers them only mirrors this list: cards of a page, buttons, a typed line, `%codex approve N`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .question import Question, Request

MOST_ANSWERED = 64
"""Still known after their answer, for a page that asks again because it has not heard it."""


class OpenQuestions:
    """From any thread. Each question has a number of its own, which no other one in this kernel ever has."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Question] = {}
        self._lasting: list[Question] = []
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
        """Note what was approved for longer than once."""
        if question.is_lasting():
            with self._lock:
                self._lasting.append(question)

    def lasting(self) -> list[Question]:
        """Return those whose answer holds for longer than once, oldest first."""
        with self._lock:
            return list(self._lasting)

    def revoke(self, question: Question) -> None:
        with self._lock:
            self._lasting.remove(question)

    def page_of(self, request: Request) -> str:
        """Return the session of the page where that was answered; empty where it was none."""
        with self._lock:
            return next((each.page for each in self._known.values() if each.request is request), "")

    def find(self, id: str) -> Question | None:
        """Return the question of exactly this id, also after its answer."""
        with self._lock:
            return self._known.get(id)
