"""The cell tools: the model proposes, the user decides, and a page does it; without a page the user is shown how.

A change is about a cell as the model has read it, which its revision says. A page does nothing to a cell that holds
another text by then, and the model is told what it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ...context.cells import Cell, cut_middle
from ...display.exact import text_diff
from ...engines.replay import framed
from ...engines.tools import loosened
from ...protocol.types import ApprovalDecision, CellApproval, Decision, ToolCallApproval
from ...responses.tools import ToolCallError
from ...waiting import awaited, in_thread
from ..gathering import Here
from ..mentioned import NotThere
from ..options import reads, runs
from ..recognition import page_cells
from . import lifecycle, running
from .changes import facts
from .reading import look, numbers_of, revision

if TYPE_CHECKING:
    from ..context import Context
    from ..errands import Report
    from ..session import Session
    from .permission import ReadPermission
    from .place import Place

Arguments = Mapping[str, Any]

MASKED = re.compile(r"«SECRET_\d+»")

READ_AGAIN = "Read it again before you change it."


class Plan(NamedTuple):
    """What a call would do. `decision`: the user's yes; `None` where nobody is asked, since no page can do it."""

    change: CellApproval
    decision: Decision | None = None


class Cells:
    """The cell tools of one turn: what each call would do, and what the user has said to it."""

    def __init__(
        self,
        session: Session,
        context: Context,
        reading: ReadPermission,
        place: Place,
        schemas: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """`schemas`: of the arguments of each tool."""
        self._session, self._context, self._reading, self._place = session, context, reading, place
        self._schemas = schemas
        self._plans: dict[tuple[str, str], Plan | ToolCallError] = {}

    async def question_for(self, call: ToolCallApproval) -> CellApproval | None:
        """Return what the user is asked; `None` where there is nothing to ask, and the call says why."""
        text = loosened(msgspec.json.encode(call.arguments or {}).decode(), self._schemas[call.tool])
        arguments = msgspec.json.decode(text)
        key = _key(call.tool, arguments)
        self._plans.pop(key, None)
        try:
            if reads(self._session.settings.reads) == "no":
                raise ToolCallError("Not done: the user's settings let you read nothing.")
            is_open = await self._update()
            here = await awaited(in_thread(partial(look, self._session, self._context), daemon=True))
            change = await self._planned(here, call, arguments)
        except NotThere as reason:
            self._plans[key] = ToolCallError(str(reason))
            return None
        except ToolCallError as problem:
            self._plans[key] = problem
            return None
        if not is_open and change.action != "add":
            self._plans[key] = Plan(change)
            return None
        return msgspec.structs.replace(change, arguments=arguments)

    def decide(self, request: CellApproval, decision: ApprovalDecision | None) -> ApprovalDecision | None:
        """Note the answer to a question; return it as the engine knows it."""
        if decision not in (Decision.accept, Decision.accept_and_run):
            return decision
        self._plans[_key(request.tool, request.arguments)] = Plan(request, Decision(decision))
        return Decision.accept

    async def run(self, name: str, arguments: Arguments) -> Any:
        """Do what was allowed; return what came of it. Raises ToolCallError."""
        plan = self._plans.pop(_key(name, arguments), None)
        if plan is None:
            raise ToolCallError("Not done: nobody has allowed this.")
        if isinstance(plan, ToolCallError):
            raise plan
        if plan.decision is None:
            return self._by_hand(plan.change)
        change, runs_then = plan.change, self._runs_then(plan)
        place = self._place
        if change.action == "restart":
            return await lifecycle.run_restart(self._session, place, change)
        if change.action == "interrupt":
            return await lifecycle.run_interrupt(self._session, place, change)
        if change.steps:
            return await lifecycle.run_several(self._session, self._context, place, change)
        work = _work(change, runs=runs_then)
        report = await self._session.extension.send_errand(place.output, work, place.page)
        if report is None:
            return await self._without_page(change, runs=runs_then)
        self._note(report)
        if report.outcome != "done":
            await self._fail(change, report)
        if change.action == "add":
            place.below = report.cell
        done = {"add": "Added", "edit": "Applied", "move": "Moved", "delete": "Deleted", "run": "Ran"}
        words = f"{done[change.action]}.{self._where(report)}"
        if not runs_then:
            return words + self._only_applied(plan)
        code = change.text if change.action == "add" else report.source
        return [words, *await running.execute(self._session, self._context, place, code, in_cell=report)]

    async def _update(self) -> bool:
        """Take in the cells as they stand in the page; return whether one is there that can change them."""
        report = await self._session.extension.send_errand(self._place.output, {"kind": "look"})
        if report is None or report.outcome != "done":
            return False
        self._note(report)
        return True

    def _note(self, report: Report) -> None:
        ran = {run.cell: run.source for run in self._session.runs.so_far()[0]}
        if cells := page_cells(report.said, ran):
            self._context.kernel = self._context.kernel._replace(page=cells)

    async def _planned(self, here: Here, call: ToolCallApproval, arguments: Arguments) -> CellApproval:
        """Return what a call would do. Raises NotThere, ToolCallError."""
        about = msgspec.structs.asdict(call)
        action = call.tool.partition("_")[0]
        if action in ("run", "restart", "interrupt") and (word := runs(self._session.settings.runs)) != "ask":
            what = "run no code" if word == "no" else "probe only"
            raise ToolCallError(f"Not run: the user's settings let you {what}.")
        if action == "add":
            text = self._own(str(arguments.get("source") or ""))
            kind: Any = arguments.get("kind") or "code"  # the schema holds it to the two words
            above = self._above(here, str(arguments.get("below") or ""))
            added = CellApproval(**about, action="add", text=text, below=above, kind=kind)
            return msgspec.structs.replace(added, facts=(*self._facts(added), *_below(here, above)))
        wanted = str(arguments.get("cell") or "")
        bare = CellApproval(**about, action=action)  # type: ignore[arg-type]  # as below
        if action == "restart":
            return lifecycle.restart(here, bare, self._session, str(arguments.get("run_up_to") or ""))
        if action == "interrupt":
            return lifecycle.interrupt(bare, self._session, self._place)
        if action == "run" and wanted.strip() and len(numbers_of(here, wanted)) > 1:
            return lifecycle.several(here, bare, wanted)
        cell = _one(here, wanted)
        change = CellApproval(
            **about,
            action=action,  # type: ignore[arg-type]  # the names of the tools are those of the actions
            cell=cell.id,
            name=f"cell [{cell.number or ' '}]",
            base=cell.source,
            kind="code" if cell.kind == "code" else "markdown",
        )
        if action in ("edit", "delete") and arguments.get("expected_revision") != revision(here, cell):
            raise ToolCallError(await self._conflict(here, cell))
        if action == "edit":
            change = self._edited(change, arguments)
        elif action == "run" and cell.kind != "code":
            raise ToolCallError("Not run: it is no code.")
        elif action == "move":
            below = self._above(here, str(arguments.get("below") or ""), default="")
            if below == cell.id:
                raise ToolCallError("Not moved: it can't be below itself.")
            return msgspec.structs.replace(change, below=below, facts=_below(here, below))
        return msgspec.structs.replace(change, facts=self._facts(change))

    def _edited(self, change: CellApproval, arguments: Arguments) -> CellApproval:
        """Put what is new in the place of what is old, which stands in the cell once. Raises ToolCallError."""
        old, new = str(arguments.get("old") or ""), str(arguments.get("new") or "")
        if MASKED.search(old):
            raise ToolCallError("Not changed: leave what is masked out of `old` and `new`.")
        old, new = old or change.base, self._own(new)
        if (times := change.base.count(old)) != 1 and old != change.base:
            where = f"is in the cell {times} times: take more around it" if times else "is not in the cell"
            raise ToolCallError(f"Not changed: `old` {where}.")
        text = new if old == change.base else change.base.replace(old, new)
        if text == change.base:
            raise ToolCallError("Not changed: the cell has this text already.")
        return msgspec.structs.replace(change, text=text, old=old, new=new)

    def _own(self, text: str) -> str:
        """Return text of the model's with lookups in place of secrets. Raises ToolCallError."""
        text = self._context.mask.restore(text) if self._context.mask is not None else text
        if MASKED.search(text):
            raise ToolCallError("Not done: write how to look it up in place of what is masked.")
        return text

    def _above(self, here: Here, below: str, *, default: str | None = None) -> str:
        """Return the id of the cell that one is put below; empty for the top. Raises NotThere, ToolCallError."""
        if below.strip() in ("0", "top"):
            return ""
        if below:
            return _one(here, below).id
        return default if default is not None else self._place.below or here.kernel.cell or ""

    def _facts(self, change: CellApproval) -> tuple[tuple[str, str], ...]:
        """Return what reading the code tells of what it does when it runs."""
        code = change.base if change.action == "run" else change.text
        if change.kind != "code" or change.action in ("move", "delete"):
            return ()
        seen = facts(code, dict(self._session.shell.user_ns), stays=True) or ()
        told = [each for each in seen if each[0] != "Afterwards"]
        if change.action == "run":
            return tuple(told)
        return tuple((f"If it runs: {label[0].lower()}{label[1:]}", text) for label, text in told)

    def _runs_then(self, plan: Plan) -> bool:
        if plan.change.action == "run":
            return True
        return plan.decision is Decision.accept_and_run and runs(self._session.settings.runs) == "ask"

    def _only_applied(self, plan: Plan) -> str:
        is_refused = plan.decision is Decision.accept_and_run
        if is_refused:
            return " It did not run: the user's settings let you run no code."
        return " It did not run." if plan.change.action in ("add", "edit") else ""

    def _where(self, report: Report) -> str:
        """Say what the model calls the cell by from now on."""
        with suppress(NotThere):
            here = look(self._session, self._context)
            cell = _one(here, report.cell)
            return f" It is cell {here.around.all.index(cell) + 1}, revision {revision(here, cell)}."
        return ""

    async def _fail(self, change: CellApproval, report: Report) -> None:
        """Say what a page has not done, and why. Raises ToolCallError."""
        if report.outcome == "conflict":
            here = look(self._session, self._context)
            raise ToolCallError(await self._conflict(here, _one(here, change.cell)))
        why = {
            "gone": "Not done: the user has deleted this cell. Read the notebook again.",
            "refused": "Not done: this page can't change the notebook.",
        }
        unknown = "The page did not say whether it was done. Read the notebook again."
        raise ToolCallError(why.get(report.outcome, unknown))

    async def _conflict(self, here: Here, cell: Cell) -> str:
        """Say that a cell is not what the model takes it for, and what it holds if it may read that."""
        words = "Conflict: the cell is not, or not any more, as you have read it. Nothing was changed."
        if not await self._reading.is_allowed():
            return f"{words} {READ_AGAIN}"
        text = framed("notebook", cut_middle(here.mask(cell.source), 2_000))
        return f"{words} It is revision {revision(here, cell)} now:\n{text}"

    def _by_hand(self, change: CellApproval) -> str:
        """Show what the user could do where no page does it. Raises ToolCallError."""
        self._place.put(partial(_show, self._session, change))
        shown = "The user is shown what it is, and may do it by hand."
        raise ToolCallError(f"Not done: this front end can't do it. {shown}")

    async def _without_page(self, change: CellApproval, *, runs: bool) -> Any:
        """Do without a page what it would have done, as far as a kernel can. Raises ToolCallError."""
        if change.action != "add":
            return self._by_hand(change)
        place, result = self._place, ["It did not run."]
        if runs:
            result = await running.execute(self._session, self._context, place, change.text)
        if place.is_background or not self._session.screen.rich:
            return result if runs else self._by_hand(change)
        place.committed.append(change.text)
        return ["It is put into the notebook as the next cell when this one has ended.", *result]


def _key(name: str, arguments: object) -> tuple[str, str]:
    return name, msgspec.json.encode(arguments, order="sorted").decode()


def _one(here: Here, cell: str) -> Cell:
    """Return the cell that a number, `In[7]` or an id stands for. Raises NotThere, ToolCallError."""
    numbers = numbers_of(here, cell) if cell.strip() else []
    if len(numbers) != 1:
        raise ToolCallError("Not done: name one cell, by its number.")
    return here.around.all[numbers[0] - 1]


def _below(here: Here, above: str) -> tuple[tuple[str, str], ...]:
    """Say where a cell comes."""
    if not above:
        return (("Where", "at the top"),)
    if above == here.kernel.cell:
        return (("Where", "below this cell"),)
    cell = next((each for each in here.around.all if each.id == above), None)
    name = f"cell [{cell.number or ' '}]" if cell is not None else "the cell that was added last"
    return (("Where", f"below {name}"),)


def _work(change: CellApproval, *, runs: bool) -> dict[str, Any]:
    """Return what a page does, as it reads it."""
    about: dict[str, tuple[str, ...]] = {
        "add": ("text", "below"),
        "edit": ("cell", "base", "text"),
        "run": ("cell", "base"),
        "move": ("cell", "base", "below"),
        "delete": ("cell", "base"),
    }
    work = {name: getattr(change, name) for name in about[change.action]}
    cell_type = {"cell_type": change.kind} if change.action == "add" else {}
    return {"kind": change.action, **work, **cell_type, "runs": runs}


def _show(session: Session, change: CellApproval) -> None:
    """Show a change that nobody has made, and how to make it."""
    what = {
        "add": "Codex proposes a new cell, which this front end can't add. Copy it:",
        "edit": f"Codex proposes a change of {change.name}. It is not applied; make it there:",
        "run": f"Codex proposes to run {change.name}. It did not run; run it yourself:",
        "move": f"Codex proposes to move {change.name}. It was not moved; move it yourself:",
        "delete": f"Codex proposes to delete {change.name}. It was not deleted; delete it yourself:",
        "restart": "Codex proposes to restart the kernel. It was not restarted; restart it yourself"
        + (", run these cells," if change.steps else "")
        + " and continue with `%codex continue`.",
        "interrupt": f"Codex proposes to interrupt {change.name}. It still runs; stop it yourself:",
    }
    code = "\n\n".join(each.source for each in change.steps) or change.text or change.base
    if change.steps and change.action == "run":
        what["run"] = f"Codex proposes to run {len(change.steps)} cells. They did not run; run them yourself:"
    session.screen.say(what[change.action])
    if change.action == "edit":
        session.screen.code(text_diff(change.base, change.text), "diff")
    elif code:
        session.screen.code(code, "python" if change.kind == "code" else "markdown")
