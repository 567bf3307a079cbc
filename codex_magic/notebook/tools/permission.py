"""Whether the model may read the notebook, or run code: the setting, what was allowed before, else a question.

A yes for good is kept in the thread store: it is the user's own file, whatever profile a kernel starts with, and it
knows notebooks by more than their path. The notebook itself, or its folder, may come from somebody else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from ...protocol.errors import StoreError
from ...protocol.policy import policy_bounds
from ...protocol.types import (
    ApprovalDecision,
    ApprovalRequest,
    Decision,
    ReadingApproval,
    RunApproval,
    ToolCallApproval,
)
from ...responses.tools import ToolCallError
from ..gathering import folder_of
from ..options import READS, reads, runs
from ..screen import ago, count

if TYPE_CHECKING:
    from ...waiting import Steps
    from ..session import Session

Ask = Callable[[ApprovalRequest], Awaitable[ApprovalDecision | None]]
"""Takes a question to the user; `None`: nobody answered."""

EVERYWHERE = ""
"""Stands for all notebooks in the store."""

PROBE, COMMIT = "probe", "commit"
"""Scopes of code that runs: what it binds is dropped, or stays."""

YES = (Decision.accept, Decision.accept_for_session, Decision.accept_always)


class ReadPermission:
    """The permission of one turn: it is asked for at the first call, and its answer holds to the end of the turn."""

    def __init__(self, session: Session, ask: Ask, path: str | None) -> None:
        self._session, self._ask = session, ask
        self._folder = os.path.abspath(folder_of(path))
        self._answers: list[ApprovalDecision | None] = []

    async def question_for(self, call: ToolCallApproval) -> ReadingApproval | None:
        """Return the question that this call raises, `None` where it is allowed already."""
        if await self.is_allowed():
            return None
        return ReadingApproval(**asdict(call), folder=self._folder)

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

    async def is_allowed(self) -> bool:
        word = reads(self._session.settings.reads)
        if word == "ask" and not any(answer in YES for answer in self._answers):
            is_allowed = self._session.readable == self._folder or await _is_kept(self._session)
            if is_allowed:
                self._session.extension.questions.use(("read", self._folder))
            return is_allowed
        return word != "no"


def scope_of(word: object) -> str:
    """Return what a call's word for its scope stands for: code stays by exactly one word alone."""
    return COMMIT if word == COMMIT else PROBE


class RunPermission:
    """What may run in one turn: a quiet probe, what the user says yes to, and what they said yes to for good."""

    def __init__(self, session: Session, reading: ReadPermission) -> None:
        self._session, self._reading = session, reading
        self._allowed: set[tuple[str, str]] = set()
        self._quiet: set[tuple[str, str]] = set()

    async def question_for(self, call: ToolCallApproval) -> RunApproval | None:
        """Return what the user is asked before this code runs; `None` where nothing needs to be asked."""
        arguments = call.arguments if isinstance(call.arguments, dict) else {}
        code, scope = str(arguments.get("code") or ""), scope_of(arguments.get("scope"))
        word = runs(self._session.settings.runs)
        if word == "no" or (word == "probes" and scope != PROBE) or not code.strip():
            return None  # `take` says why
        if scope == PROBE and reads(self._session.settings.reads) == "no":
            return None
        from .changes import facts

        seen = facts(code, dict(self._session.shell.user_ns), stays=scope == COMMIT)
        is_quiet = seen is None and (code, scope) not in self._session.acting
        if is_quiet and await self._reading.is_allowed():
            self._quiet.add((code, scope))
            return None
        from .trial import why_not

        only_looks = [("It seems to", "only look"), ("Afterwards", "its names are dropped")]
        told, no_trial = tuple(seen or only_looks), why_not(self._session.shell)
        return RunApproval(**asdict(call), code=code, stays=scope == COMMIT, facts=told, no_trial=no_trial)

    def decide(self, request: RunApproval, decision: ApprovalDecision | None) -> ApprovalDecision | None:
        """Note the answer to a question."""
        if decision in (Decision.accept, Decision.accept_in_kernel):
            self._allowed.add((request.code, COMMIT if request.stays else PROBE))
        return decision

    def take(self, code: str, scope: str) -> bool:
        """Return whether it runs without a yes, as a quiet probe. Raises ToolCallError where it may not run."""
        key = code, scope
        word = runs(self._session.settings.runs)
        if word == "no":
            raise ToolCallError("Not run: the user's settings let you run no code.")
        if scope == PROBE and reads(self._session.settings.reads) == "no":
            raise ToolCallError("Not run: the user's settings let you read nothing.")
        if word == "probes" and scope != PROBE:
            raise ToolCallError("Not run: the user's settings let you probe only: show the code instead.")
        if key in self._allowed:
            self._allowed.discard(key)
            return False
        if key in self._quiet:
            return True
        raise ToolCallError("Not run: nobody has allowed this code.")


async def _allow(session: Session, answer: ApprovalDecision, folder: str) -> None:
    """Keep a yes; where it can't be kept, or nobody knows which notebook this is, it holds for this kernel."""
    notebook = EVERYWHERE if answer is Decision.accept_always else await session.notebook_id()
    if notebook is not None:
        with suppress(StoreError):
            await session.codex.store.run(lambda store: store.allow_reading(notebook))
            return
    session.readable = folder


async def _is_kept(session: Session) -> bool:
    if not policy_bounds().always:
        return False
    kept, _ = await _kept(session)
    return bool(kept)


async def _kept(session: Session, *, forget: bool = False) -> tuple[dict[str, int], int]:
    """Return what allows to read this notebook, with the time of the yes, and how many others may be read.

    `forget`: take it back before. A store that can't be used allows nothing.
    """
    with suppress(StoreError):
        ids = [EVERYWHERE, *filter(None, [await session.notebook_id()])]
        if forget:
            await session.codex.store.run(lambda store: store.forget_reading(ids))
        kept = await session.codex.store.run(lambda store: store.readable())
        return {each: since for each, since in kept.items() if each in ids}, len(kept.keys() - {*ids})
    return {}, 0


def forget_reading(session: Session) -> Steps[None]:
    """Take back what allows to read this notebook without a question."""
    session.readable = None
    yield from session.wait(_kept(session, forget=True))
    questions = session.extension.questions
    for grant in questions.grants():
        if isinstance(grant.question.request, ReadingApproval):
            questions.revoke(grant)


def show_or_set(session: Session, word: str) -> Steps[None]:
    """Show whether the model may read the notebook, or set it; `ask` takes back what was allowed. Raises OptionError."""
    settings, screen = session.settings, session.screen
    if word:
        settings.reads = reads(word)
    if word == "ask":
        yield from forget_reading(session)
    kept, others = yield from session.wait(_kept(session))
    screen.say(f"Reads: {settings.reads} ({READS[reads(settings.reads)]})")
    names = {each: "every notebook" if each == EVERYWHERE else "this notebook" for each in kept}
    rows = [(names[each], ago(since)) for each, since in kept.items()]
    rows += [("this notebook, until its kernel ends", "")] if session.readable is not None else []
    rows += [(count(others, "other notebook"), "")] if others else []
    if rows:
        screen.table(("Allowed without a question", "Since"), rows, note="Take it back: `%codex reads ask`")
