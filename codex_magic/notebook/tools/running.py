"""`run_python`: code that the model runs where the data is, and how it is undone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...context.cells import clean_output
from ...engines.replay import framed
from ...protocol.errors import OptionError
from ...responses.tools import ToolCallError
from ..context import learn_secrets
from ..gathering import divided, readable
from .permission import COMMIT, PROBE, scope_of
from .workbench import Workbench

if TYPE_CHECKING:
    from ..context import Context
    from ..errands import Report
    from ..session import Session
    from .execution import Execution
    from .permission import RunPermission
    from .place import Place

TOKENS = 4_000
"""Of what one run shows; the user sees all of it."""

MOST_IMAGES = 3


async def run(
    session: Session, context: Context, permission: RunPermission, place: Place, code: str, scope: str = PROBE
) -> Any:
    """Run what is allowed; return what came of it, masked and marked as data. Raises ToolCallError.

    What stays runs in a cell of its own below the one that asks, where a page adds one; else in the one that asks,
    and is kept as the next cell.
    """
    scope = scope_of(scope)
    is_guarded, in_cell = permission.take(code, scope), None
    if scope == COMMIT:
        above = place.below or context.kernel.cell or ""
        work = {"kind": "add", "text": code, "cell_type": "code", "below": above, "runs": True}
        report = await session.extension.send_errand(place.output, work, place.page)
        if report is not None and report.outcome == "done":
            in_cell, place.below = report, report.cell
    is_probe = scope == PROBE
    result = await execute(
        session, context, place, code, in_cell=in_cell, is_probe=is_probe, is_guarded=is_guarded
    )
    return result if len(result) > 1 else result[0]


async def execute(
    session: Session,
    context: Context,
    place: Place,
    code: str,
    *,
    in_cell: Report | None = None,
    is_probe: bool = False,
    is_guarded: bool = False,
) -> list[Any]:
    """Run code that is allowed, in the cell that a page has made ready for it; return a text, then images.

    Raises ToolCallError.
    """
    bench = bench_of(session, place)
    failed, message = True, in_cell.message if in_cell is not None else None
    try:
        execution = await bench.run(code, is_probe=is_probe, is_guarded=is_guarded, message=message)
        failed = execution.error is not None
    finally:
        if in_cell is not None:
            session.extension.end_run(place.output, in_cell.errand, failed=failed)
    if not is_probe and not failed and in_cell is None:
        place.committed.append(code)
    if execution.acted:
        session.acting.add((code, PROBE if is_probe else COMMIT))
    if context.mask is not None:
        learn_secrets(context.mask, session.shell, context.path, session.settings.secrets)
    result = _told(execution, context.mask or str)
    if execution.error is not None:
        raise ToolCallError(result[0])
    return result


def bench_of(session: Session, place: Place) -> Workbench:
    if place.bench is None:
        place.bench = Workbench(session.shell, place, session.committed)
    bench: Workbench = place.bench
    return bench


def _told(execution: Execution, mask: Callable[[str], str]) -> list[Any]:
    shown, pictures = divided(readable(execution.outputs))
    images = [base64.b64decode(each.data) for each in pictures]
    text = clean_output(mask(shown), TOKENS)
    lines = [text] if text else []
    if execution.was_stopped:
        lines.append("[The user stopped it.]")
    elif execution.error is None and not text and not images:
        lines.append("[It shows nothing.]")
    if execution.is_partly_unheard:
        lines.append("[What the process that it started has printed itself is on the server's terminal.]")
    lines += [f"[changed: {mask(line)}]" for line in execution.changes]
    if execution.acted:
        lines.append(f"[It was not allowed to {execution.acted}; run it again and the user is asked.]")
    return [framed("kernel", "\n".join(lines)), *images[-MOST_IMAGES:]]


def undo(session: Session) -> None:
    """Put back what the latest code, or turn of the agent, has changed. Raises OptionError where the user changed it
    since."""
    if not session.committed:
        hint = "Only what code that Codex ran, or its agent, has changed since this kernel started can be undone."
        raise OptionError("There is nothing to undo.", hint=hint)
    commit = session.committed[-1]
    if since := commit.changed_since():
        if conflict := commit.conflict():
            session.screen.code(conflict, "diff")
        problem = f"Not undone: {', '.join(since)} changed since."
        raise OptionError(problem, hint="Delete or restore it yourself, or run the cells again that made it.")
    session.committed.pop()
    back, left = commit.undo()
    kept = f" Not put back: {', '.join(left)}." if left else ""
    session.screen.say(f"Undone: {', '.join(back) or 'nothing'}.{kept}")
