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
from ..gathering import readable
from .permission import COMMIT, PROBE, scope_of
from .workbench import Workbench

if TYPE_CHECKING:
    from ..context import Context
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
    """Run what is allowed; return what came of it, masked and marked as data. Raises ToolCallError."""
    scope = scope_of(scope)
    is_guarded = permission.take(code, scope)
    execution = await bench_of(session, place).run(code, is_probe=scope == PROBE, is_guarded=is_guarded)
    if scope == COMMIT and execution.error is None:
        place.committed.append(code)
    if execution.acted:
        session.acting.add((code, scope))
    if context.mask is not None:
        learn_secrets(context.mask, session.shell, context.path, session.settings.secrets)
    result = _told(execution, context.mask or str)
    if execution.error is not None:
        raise ToolCallError(str(result[0] if isinstance(result, list) else result))
    return result


def bench_of(session: Session, place: Place) -> Workbench:
    if place.bench is None:
        place.bench = Workbench(session.shell, place, session.committed)
    bench: Workbench = place.bench
    return bench


def _told(execution: Execution, mask: Callable[[str], str]) -> Any:
    texts, images = [], []
    for output in readable(execution.outputs):
        if output.mime == "text/plain":
            texts.append(output.data)
        else:
            images.append(base64.b64decode(output.data))
    text = clean_output(mask("\n".join(texts)), TOKENS)
    lines = [text] if text else []
    if execution.was_stopped:
        lines.append("[The user stopped it.]")
    elif execution.error is None and not text and not images:
        lines.append("[It shows nothing.]")
    lines += [f"[changed: {mask(line)}]" for line in execution.changes]
    if execution.acted:
        lines.append(f"[It was not allowed to {execution.acted}; run it again and the user is asked.]")
    told = framed("kernel", "\n".join(lines))
    return [told, *images[-MOST_IMAGES:]] if images else told


def undo(session: Session) -> None:
    """Put back what the latest code, or turn of the agent, has changed. Raises OptionError where the user changed it
    since."""
    if not session.committed:
        hint = "Only what code that Codex ran, or its agent, has changed can be undone."
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
