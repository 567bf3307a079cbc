"""The kernel's life as the model may propose it: several cells run, a restart, an interrupt; a page does it after a yes.

A restart ends the kernel in which the turn runs. So the turn is stopped first and kept as interrupted. The page that
has the yes restarts the kernel, runs the cells and has the thread continue, in a turn that is told what came of it: no
kernel claims what only the next one can know.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from ...context.cells import is_ours
from ...protocol.plain import shorten
from ...protocol.types import CellApproval, CellStep
from ...responses.tools import ToolCallError
from ..mentioned import Mentioned
from ..options import engine
from ..screen import count
from . import running
from .changes import facts
from .reading import numbers_of

if TYPE_CHECKING:
    from ..context import Context
    from ..gathering import Here
    from ..recognition import SavedCell
    from ..session import RunningTurn, Session
    from .place import Place

STOP_SECONDS = 5.0
"""Until a cell that was interrupted counts as one that does not stop."""

ERROR_CHARS = 1_000

CONFLICT = "Nothing was done: one of those cells holds another text by now. Read the notebook again."

_CARRIED = ("instructions", "context", "rows")
_CARRIED_SETTINGS = ("model", "provider", "effort", "verbosity", "tier")
_AGENT_SETTINGS = ("sandbox", "approval", "cwd")
_SWITCHES = ("agent", "background", "trial", "no-mask")


# What would be done --------------------------------------------------------------------------------


def several(here: Here, change: CellApproval, cells: str) -> CellApproval:
    """Return the run of the cells that a range stands for. Raises NotThere, ToolCallError."""
    numbers = numbers_of(here, cells)
    steps, skipped = _steps(here, numbers[-1], first=numbers[0])
    if not steps:
        raise ToolCallError("Not run: there is no code in these cells.")
    return msgspec.structs.replace(change, steps=steps, facts=_facts(here, steps, skipped))


def restart(here: Here, change: CellApproval, session: Session, run_up_to: str) -> CellApproval:
    """Return the restart, with the cells that run after it. Raises NotThere, ToolCallError."""
    if session.unkept is not None:
        lost = "this conversation is in the kernel's memory only, and would be lost"
        raise ToolCallError(f"Not restarted: {lost}.")
    steps, skipped = _steps(here, numbers_of(here, run_up_to)[-1]) if run_up_to else ((), 0)
    told = [each for each in _facts(here, steps, skipped) if each[0] != "Can’t be undone"]
    if (others := len(session.running) - 1) > 0:
        told.append(("Also ends", count(others, "other answer")))
    told.append(("Afterwards", "this answer continues here"))
    return msgspec.structs.replace(change, name="the kernel", steps=steps, facts=tuple(told))


def interrupt(change: CellApproval, session: Session, place: Place) -> CellApproval:
    """Return the interrupt of what runs now. Raises ToolCallError where no cell of the user's does."""
    _, source = session.runs.so_far()
    if not (place.is_background and source):
        raise ToolCallError("Not interrupted: no cell of the user's runs.")
    return msgspec.structs.replace(change, name="the cell that runs now", base=source)


def _steps(here: Here, last: int, *, first: int = 0) -> tuple[tuple[CellStep, ...], int]:
    """Return the cells with code from the top, or from `first`, to `last`, and how many that ask Codex lie between.

    What sets Codex up has no number, and runs as well: it did when the notebook ran from the top.
    """
    cells = here.around.all
    numbers = {cell.id: number for number, cell in enumerate(cells, 1)}
    page: list[SavedCell] = list(here.kernel.page)
    place = {each.id: at for at, each in enumerate(page)}
    begin = place.get(cells[first - 1].id, 0) if first else 0
    end = place.get(cells[last - 1].id, -1) + 1
    between = [each for each in page[begin:end] if each.cell_type == "code"]
    names = {id: f"cell {number}" for id, number in numbers.items()}
    steps = [
        CellStep(str(each.id), names.get(str(each.id), "set-up of Codex"), each.text)
        for each in between
        if each.text.strip() and not asks(each.text)
    ]
    if not page:
        steps = [
            CellStep(cell.id, f"cell {number}", cell.source)
            for number, cell in enumerate(cells[:last], 1)
            if cell.kind == "code" and number >= first
        ]
    return tuple(steps), sum(asks(each.text) for each in between)


def asks(source: str) -> bool:
    """Whether a cell does nothing but ask Codex: it has its answer. A `%codex` line runs as with Run All."""
    return is_ours(source) and _ASKS.search(source) is not None


_ASKS = re.compile(
    r"^\s*(%%codex\b|%codex\s+(continue|fix|explain|review|test|doc|optimize)\b)", re.MULTILINE
)


def _facts(here: Here, steps: Iterable[CellStep], skipped: int) -> tuple[tuple[str, str], ...]:
    """Return what reading the code of all cells tells of what they do."""
    names = dict(here.shell.user_ns)
    told: dict[str, dict[str, None]] = {}
    for step in (each for each in steps if not is_ours(each.source)):
        for label, text in facts(step.source, names, stays=True) or ():
            if label != "Afterwards":
                told.setdefault(label, {})[text] = None
    merged = [(label, ", ".join(texts)) for label, texts in told.items()]
    return (*merged, *([("Skipped", f"{count(skipped, 'cell')} that asks Codex")] if skipped else []))


# Doing it ------------------------------------------------------------------------------------------


async def run_several(session: Session, context: Context, place: Place, change: CellApproval) -> Any:
    """Run cells one after the other, up to the first that fails; return what each gave. Raises ToolCallError."""
    told: list[Any] = []
    for at, step in enumerate(change.steps):
        work = {"kind": "run", "cell": step.cell, "base": step.source, "runs": True}
        report = await session.extension.send_errand(place.output, work, place.page)
        left = ", ".join(each.name for each in change.steps[at:])
        if report is None or report.outcome != "done":
            why = "holds another text by now" if report and report.outcome == "conflict" else "is not there"
            raise ToolCallError("\n".join([*_texts(told), f"{step.name} {why}. Not run: {left}"]))
        try:
            text, *images = await running.execute(session, context, place, report.source, in_cell=report)
        except ToolCallError as failure:
            rest = ", ".join(each.name for each in change.steps[at + 1 :]) or "nothing"
            lines = [*_texts(told), f"{step.name} failed:\n{failure}", f"Not run: {rest}"]
            raise ToolCallError("\n".join(lines)) from None
        told += [f"{step.name} ran:\n{text}", *images]
    return told


def _texts(told: Iterable[Any]) -> list[str]:
    return [each for each in told if isinstance(each, str)]


async def run_interrupt(session: Session, place: Place, change: CellApproval) -> str:
    """Have a page interrupt the kernel, and wait for the end of what runs. Raises ToolCallError."""
    ended: Future[None] = Future()

    def note(_: object) -> None:
        if not ended.done():
            ended.set_result(None)

    events: Any = session.shell.events  # IPython is untyped here
    events.register("post_run_cell", note)
    try:
        if not _still_runs(session, change):
            raise ToolCallError("Not interrupted: the cell has ended by itself.")
        report = await session.extension.send_errand(place.output, {"kind": "interrupt"}, place.page)
        if report is None or report.outcome != "done":
            raise ToolCallError("Not interrupted: the page that was to do it is gone.")
        await asyncio.wait({asyncio.wrap_future(ended)}, timeout=STOP_SECONDS)
    finally:
        events.unregister("post_run_cell", note)
    still = "It was interrupted, and still runs: it does not heed that."
    return still if _still_runs(session, change) else "It has ended."


def _still_runs(session: Session, change: CellApproval) -> bool:
    return session.runs.so_far()[1] == change.base


async def run_restart(session: Session, place: Place, change: CellApproval) -> None:
    """Hand the restart to a page, and end this turn: it is kept before the page goes on. Raises ToolCallError, CancelledError."""
    turn = next(each for each in session.running if each.output == place.output)
    work = {
        "kind": "restart",
        "cell": turn.context.kernel.cell or "",
        "steps": [msgspec.to_builtins(each) for each in change.steps],
        "code": _continuation(session, turn),
    }
    report = await session.extension.send_errand(place.output, work, place.page)
    if report is None or report.outcome == "unknown":
        raise ToolCallError("Not restarted: the page that was to do it is gone.")
    if report.outcome != "done":
        is_conflict = report.outcome in ("conflict", "gone")
        raise ToolCallError(CONFLICT if is_conflict else "Not restarted: this page can't.")
    place.restarts = True
    turn.over.add_done_callback(lambda _: session.extension.go(place.output, report.errand))
    turn.stop()
    await asyncio.Event().wait()  # cancelled with the turn


def _continuation(session: Session, turn: RunningTurn) -> str:
    """Return the line that continues this turn in a kernel which knows nothing of this one's settings."""
    options, settings = turn.options, session.settings
    is_agent = bool(options.values.get("agent")) or engine(settings.engine) != "backend"
    names = (*_CARRIED_SETTINGS, *(_AGENT_SETTINGS if is_agent else ()))
    values = {name: options.text(name) or str(getattr(settings, name) or "") for name in names}
    values |= {name: options.text(name) or "" for name in _CARRIED}
    switches = {name for name in _SWITCHES if options.values.get(name)} | ({"agent"} if is_agent else set())
    assert turn.handle is not None  # its tool is called
    values["thread"] = turn.handle.thread_id
    quoted = {name: value.replace('"', '\\"') for name, value in values.items() if value}
    words = [*(f"--{name}" for name in _SWITCHES if name in switches)]
    words += [f'--{name} "{value}"' for name, value in quoted.items()]
    return " ".join(["%codex continue", *words])


# After it ------------------------------------------------------------------------------------------


class _Ran(msgspec.Struct):
    """`outcome`: `ran`, `failed`, `changed` where the cell held another text, or `none` where it did not run."""

    name: str
    outcome: str
    text: str = ""


def after_restart(session: Session, said: object) -> list[Mentioned]:
    """Say what the page tells of the restart and the cells; return that for the model. Nothing where it tells nothing."""
    with suppress(msgspec.ValidationError):
        ran = msgspec.convert(said, list[_Ran])
        failed = [each for each in ran if each.outcome == "failed"]
        words = {"ran": "ran", "failed": "failed", "changed": "not run: the user has changed it since"}
        lines = [
            f"{each.name}: {words.get(each.outcome, 'not run')}"
            + (f": {shorten(each.text, ERROR_CHARS)}" if each.text else "")
            for each in ran
        ]
        did = sum(each.outcome == "ran" for each in ran)
        parts = [f"{count(did, 'cell')} ran"] if did else []
        parts += [f"{each.name} failed" for each in failed]
        if left := len(ran) - did - len(failed):
            parts.append(f"{left} did not run")
        session.screen.say(" · ".join(["The kernel was restarted", *parts]))
        begun = (
            "Your call of restart_kernel was approved by the user. It ended your answer above; nobody else stopped it. "
            "The kernel was restarted, and no variable of before is left."
        )
        return [Mentioned("the restart", "\n".join([begun, *lines]))]
    return []
