"""Whether the model may read the notebook: the setting, what was allowed before, else a question, once.

A yes for good is kept in the thread store: it is the user's own file, whatever profile a kernel starts with, and it
knows notebooks by more than their path. The notebook itself, or its folder, may come from somebody else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from ...protocol.errors import StoreError
from ...protocol.types import (
    ApprovalDecision,
    ApprovalRequest,
    Decision,
    ReadingApproval,
    ToolCallApproval,
)
from ..gathering import folder_of
from ..options import READS, reads
from ..screen import ago, count

if TYPE_CHECKING:
    from ..session import Session, Steps

Ask = Callable[[ApprovalRequest], Awaitable[ApprovalDecision | None]]
"""Takes a question to the user; `None`: nobody answered."""

EVERYWHERE = ""
"""Stands for all notebooks in the store."""

YES = (Decision.accept, Decision.accept_for_session, Decision.accept_always)


class ReadPermission:
    """The permission of one turn: it is asked for at the first call, and its answer holds to the end of the turn."""

    def __init__(self, session: Session, ask: Ask, path: str | None) -> None:
        self._session, self._ask = session, ask
        self._folder = os.path.abspath(folder_of(path))
        self._answers: list[ApprovalDecision | None] = []

    async def question_for(self, call: ToolCallApproval) -> ReadingApproval | None:
        """Return the question that this call raises, `None` where it is allowed already."""
        if await self._is_allowed():
            return None
        about = call.thread_id, call.turn_id, call.item_id, call.tool, call.arguments, call.namespace
        return ReadingApproval(*about, self._folder)

    async def decide(self, request: ApprovalRequest) -> ApprovalDecision | None:
        """Answer for the user what is decided already, and take all else to them. `None`: nobody answered."""
        if not isinstance(request, ReadingApproval):
            return await self._ask(request)
        if reads(self._session.settings.reads) == "no":
            return Decision.decline
        if not self._answers:
            answer = await self._ask(request)
            self._answers.append(answer)
            if answer in (Decision.accept_for_session, Decision.accept_always):
                kept = self._session.blocking.submit(_allow(self._session, answer, self._folder))
                await asyncio.wrap_future(kept)
        return self._answers[0]

    async def _is_allowed(self) -> bool:
        word = reads(self._session.settings.reads)
        if word == "ask" and not any(answer in YES for answer in self._answers):
            return self._session.readable == self._folder or await _is_kept(self._session)
        return word != "no"


async def _allow(session: Session, answer: ApprovalDecision, folder: str) -> None:
    """Keep a yes; where it can't be kept, or nobody knows which notebook this is, it holds for this kernel."""
    notebook = EVERYWHERE if answer is Decision.accept_always else await session.notebook_id()
    if notebook is not None:
        with suppress(StoreError):
            await session.codex.store.run(lambda store: store.allow_reading(notebook))
            return
    session.readable = folder


async def _is_kept(session: Session) -> bool:
    with suppress(StoreError):  # then nothing was allowed
        kept = await session.codex.store.run(lambda store: store.readable())
        return EVERYWHERE in kept or await session.notebook_id() in kept
    return False


def show_or_set(session: Session, word: str) -> Steps[None]:
    """Show whether the model may read the notebook, or set it; `ask` takes back what was allowed. Raises OptionError."""
    settings, screen = session.settings, session.screen
    if word:
        settings.reads = reads(word)
    here = yield from session.wait(session.notebook_id())
    if word == "ask":
        session.readable = None
        ids = [EVERYWHERE, *filter(None, [here])]
        yield from session.wait(session.codex.store.run(lambda store: store.forget_reading(ids)))
    screen.say(f"Reads: {settings.reads} ({READS[reads(settings.reads)]})")
    kept = yield from session.wait(session.codex.store.run(lambda store: store.readable()))
    rows = [(_name(each, here), ago(since)) for each, since in kept.items() if each in (EVERYWHERE, here)]
    if session.readable is not None:
        rows.append(("this notebook, until its kernel ends", ""))
    if others := len(kept.keys() - {EVERYWHERE, here}):
        rows.append((f"{count(others, 'other notebook')}", ""))
    if rows:
        screen.table(("Allowed without a question", "Since"), rows, note="Take it back: `%codex reads ask`")


def _name(notebook: str, here: str | None) -> str:
    return "every notebook" if notebook == EVERYWHERE else "this notebook"
