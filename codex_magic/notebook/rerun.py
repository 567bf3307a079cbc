"""Runs the code of an answer in the cell that asked for it, after a person's yes, as a cell of the user's would run."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from contextvars import copy_context
from typing import Any

from IPython.core.error import InputRejected

from ..protocol.types import Decision
from ..waiting import Steps, finished
from .desk import Desk
from .question import NOBODY, CodeRun, Question
from .runs import Run
from .session import Session
from .shell import CellFailed, CellStopped
from .tools.changes import facts
from .tools.place import Place
from .tools.workbench import Workbench

MOST_SHOWN = 10
"""Names of which it is said what has changed."""


def run_after_yes(session: Session, code: str, failed: Run | None = None) -> Steps[None]:
    """Ask whether `code`, which may correct what `failed` ran, may run in this cell, and run it after a yes."""
    screen = session.screen
    shell: Any = session.shell  # IPython is untyped here
    number = len(shell.user_ns["In"]) - 1
    try:
        transformed = shell.transform_cell(code)
        shell.transform_ast(shell.compile.ast_parse(transformed))
    except _NO_CODE as problem:
        screen.say(f"It can't run as it is: {problem}.")
        return
    if screen.blocked and _has_loop() and shell.should_run_async(code, transformed_cell=transformed):
        screen.say("It has an `await`, which can't run inside this cell: run the next cell.")
        return
    seen = facts(code, dict(shell.user_ns), stays=True) or ()
    question = Question(CodeRun(code, tuple(seen)), os.getcwd())
    if (yield from _answer(session, question)) is not Decision.accept:
        nobody = "No one was available to approve: the code did not run."
        screen.say(nobody if question.reason == NOBODY else "Declined: the code did not run.")
        return
    screen.say("Approved. This runs here, in this cell:")
    screen.code(code, "python")
    place = Place(lambda errand: None, copy_context(), is_blocking=screen.blocked, is_background=False)
    bench = Workbench(session.shell, place, session.committed, is_users=True)
    try:
        execution = yield from finished(bench.begin(code))
    finally:
        bench.close()
    error = execution.error
    session.runs.note_rerun(number, code, failed, error)
    if error is None:
        changed = [f"Changed: {line}" for line in execution.changes[:MOST_SHOWN]]
        screen.say("It ran to its end.", *changed)
    else:
        is_stop = execution.was_stopped or isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
        screen.say("You stopped it." if is_stop else "It failed, as shown above.")
        raise CellStopped if is_stop else CellFailed(f"The code of the answer failed: {type(error).__name__}")


_NO_CODE = (SyntaxError, ValueError, TypeError, OverflowError, MemoryError, RecursionError, InputRejected)
"""What reading code raises: Python, and what the user has put between."""


def _answer(session: Session, question: Question) -> Steps[object]:
    desk = Desk(session.shell, session.screen, "")
    try:
        desk.take(question, pause=lambda: None)
        return (yield from finished(question.answered))
    except KeyboardInterrupt:
        session.screen.say("Stopped before it was answered: the code did not run.")
        raise
    finally:
        desk.close()


def _has_loop() -> bool:
    with suppress(RuntimeError):
        return bool(asyncio.get_running_loop())
    return False
