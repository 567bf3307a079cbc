"""Runs the code of an answer in the cell that asked for it, after a person's yes.

IPython's `run_cell` inside a cell would count as a cell of its own, whose end it never tells (`post_run_cell`), and
can't await in a loop that runs. So only its innermost step is taken: errors, displays and `_` are as in any cell.
"""

from __future__ import annotations

import ast
import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from IPython.core.error import InputRejected
from IPython.core.interactiveshell import ExecutionResult

from ..protocol.types import Decision
from .desk import Desk
from .question import NOBODY, CodeRun, Question
from .runs import Run
from .session import Session, Steps, finished
from .shell import CellFailed, CellStopped
from .typed import interruptible


def run_after_yes(session: Session, code: str, failed: Run | None = None) -> Steps[None]:
    """Ask whether `code`, which may correct what `failed` ran, may run in this cell, and run it after a yes."""
    screen = session.screen
    shell: Any = session.shell  # IPython is untyped here
    number = len(shell.user_ns["In"]) - 1
    try:
        transformed = shell.transform_cell(code)
        name = shell.compile.cache(transformed, number, raw_code=code)
        tree = shell.transform_ast(shell.compile.ast_parse(transformed, filename=name))
    except _NO_CODE as problem:
        screen.say(f"It can't run as it is: {problem}.")
        return
    is_async = shell.should_run_async(code, transformed_cell=transformed)
    if is_async and screen.blocked and _has_loop():
        screen.say("It has an `await`, which can't run inside this cell: run the next cell.")
        return
    question = Question(CodeRun(code), os.getcwd())
    if (yield from _answer(session, question)) is not Decision.accept:
        nobody = "No one was available to approve: the code did not run."
        screen.say(nobody if question.reason == NOBODY else "Declined: the code did not run.")
        return
    screen.say("Approved. This runs here, in this cell:")
    screen.code(code, "python")
    error = yield from _run(session, tree, name, is_async=is_async)
    session.runs.note_rerun(number, code, failed, error)
    if error is None:
        screen.say("It ran to its end.")
    else:
        is_stop = isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
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


def _run(session: Session, tree: ast.Module, name: str, *, is_async: bool) -> Steps[BaseException | None]:
    """Return what it failed with, once IPython has shown that."""
    shell, result = session.shell, ExecutionResult(None)  # type: ignore[no-untyped-call]  # IPython's
    how = shell.ast_node_interactivity
    work = shell.run_ast_nodes(tree.body, name, how, compiler=shell.compile, result=result)
    if is_async:
        yield from _await(session, work)
    else:
        with interruptible():
            _step(work)
    shell.events.trigger("post_execute")  # figures are shown then
    return result.error_before_exec or result.error_in_exec


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _step(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that awaits nothing."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()


def _await(session: Session, work: Coroutine[Any, Any, Any]) -> Steps[None]:
    if not _has_loop():
        session.shell.loop_runner(work)
        return
    task, over = asyncio.ensure_future(work), Future[None]()
    task.add_done_callback(lambda _: over.set_result(None))
    try:
        yield from finished(over)
    except KeyboardInterrupt:
        task.cancel()
        yield from finished(over)
