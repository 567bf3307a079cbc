"""The tools of a notebook's question, as the model is told of them on either engine.

That never changes within a thread: it stands at the beginning of each request, where the service caches it, and the
agent's program takes tools at a thread's begin only. Each is one entry here. It is read with the first question, so
what a tool does is imported when one is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from ...protocol.types import (
    ApprovalDecision,
    ApprovalRequest,
    CellApproval,
    Decision,
    DeclineBecause,
    FileChangeApproval,
    McpToolApproval,
    RunApproval,
    ToolCallApproval,
)
from ...responses.tools import Tool, tool
from ..options import reads, runs
from .permission import Ask, ReadPermission, RunPermission
from .place import Place

if TYPE_CHECKING:
    from ...threads.options import TurnOptions
    from ..context import Context
    from ..session import Session
    from .cells import Cells


class Entry(NamedTuple):
    """`parameters`: JSON schema of each. `run`: called as `run(name, session, context, **arguments)`."""

    name: str
    description: str
    parameters: dict[str, dict[str, Any]]
    required: tuple[str, ...]
    run: Callable[..., Any]

    @property
    def schema(self) -> dict[str, Any]:
        names = {"required": list(self.required)} if self.required else {}
        return {"type": "object", "properties": self.parameters, **names, "additionalProperties": False}


def _read(name: str, session: Session, context: Context, /, **arguments: Any) -> Any:
    from . import reading

    return reading.read(name, session, context, arguments)


async def _run(
    name: str, session: Session, context: Context, permission: RunPermission, place: Place, **arguments: Any
) -> Any:
    from . import running

    return await running.run(session, context, permission, place, **arguments)


async def _change(name: str, cells: CellTools, /, **arguments: Any) -> Any:
    return await cells.made().run(name, arguments)


def _text(description: str = "") -> dict[str, str]:
    return {"type": "string", **({"description": description} if description else {})}


ENTRIES = (
    Entry(
        "list_variables",
        "List the notebook's live variables with type and size.",
        {"text": _text("only names that contain it")},
        (),
        _read,
    ),
    Entry(
        "inspect_variable",
        "Describe a live variable: a table by columns, statistics and rows, code by its source.",
        {"name": _text('or a part: df["price"], model.layers[0]'), "rows": {"type": "integer"}},
        ("name",),
        _read,
    ),
    Entry(
        "read_notebook",
        "Read cells with their outputs, numbered from the top.",
        {"cell": _text("3, 2-9 or In[7]; all if left out")},
        (),
        _read,
    ),
    Entry(
        "search_notebook",
        "Find a text in the notebook's cells and outputs.",
        {"text": _text()},
        ("text",),
        _read,
    ),
    Entry(
        "read_file",
        "Read a text, PDF or image of the notebook's folder, or list a folder.",
        {
            "path": _text("relative"),
            "start": {"type": "integer", "description": "first line"},
            "end": {"type": "integer", "description": "last line"},
        },
        ("path",),
        _read,
    ),
)


RUN_PYTHON = Entry(
    "run_python",
    "Run Python in the user's live kernel; its output and what it changed come back. What acts asks the user.",
    {
        "code": _text("a whole cell; magics and await work"),
        "scope": {
            "type": "string",
            "enum": ["probe", "commit"],
            "description": "probe (default) to look: names it binds are dropped. commit: they stay",
        },
    },
    ("code",),
    _run,
)


_CELL = _text("its number in read_notebook")
_REVISION = _text("of the cell, from read_notebook")

CELL_TOOLS = (
    Entry(
        "add_cell",
        "Propose a new cell to the user, who may apply and run it.",
        {
            "source": _text(),
            "kind": {"type": "string", "enum": ["code", "markdown"]},
            "below": _text("number of a cell, 0 for the top; below this question if left out"),
        },
        ("source",),
        _change,
    ),
    Entry(
        "edit_cell",
        "Propose a change of a cell of the open notebook, whose file is never to be written.",
        {
            "cell": _CELL,
            "expected_revision": _REVISION,
            "old": _text("exact text that is once in the cell; empty for all of it"),
            "new": _text(),
        },
        ("cell", "expected_revision", "old", "new"),
        _change,
    ),
    Entry(
        "run_cell",
        "Propose to run a cell, or several one after the other.",
        {"cell": _text("its number in read_notebook; 3-9, or 5- to the end")},
        ("cell",),
        _change,
    ),
    Entry(
        "move_cell",
        "Propose to move a cell.",
        {"cell": _CELL, "below": _text("number of a cell, 0 for the top")},
        ("cell", "below"),
        _change,
    ),
    Entry(
        "delete_cell",
        "Propose to delete a cell.",
        {"cell": _CELL, "expected_revision": _REVISION},
        ("cell", "expected_revision"),
        _change,
    ),
    Entry(
        "restart_kernel",
        "Propose to restart the user's kernel, which loses all variables, and to run the cells from the top to one. "
        "Your answer ends with it, and continues when that is done.",
        {"run_up_to": _text("number of the last cell that runs; none runs if left out")},
        (),
        _change,
    ),
    Entry("interrupt_kernel", "Propose to interrupt the user's cell that runs now.", {}, (), _change),
)


class CellTools:
    """The cell tools of one turn, imported when the first is called."""

    def __init__(self, session: Session, context: Context, reading: ReadPermission, place: Place) -> None:
        self._about = session, context, reading, place
        self._cells: Cells | None = None

    def made(self) -> Cells:
        if self._cells is None:
            from .cells import Cells

            self._cells = Cells(*self._about, {entry.name: entry.schema for entry in CELL_TOOLS})
        return self._cells

    async def question_for(self, call: ToolCallApproval) -> CellApproval | None:
        return await self.made().question_for(call)


ALL = (*ENTRIES, *CELL_TOOLS, RUN_PYTHON)
NAMES = frozenset(entry.name for entry in ALL)


def offered(
    session: Session, ask: Ask, place: Place, context: Context, turn_options: TurnOptions
) -> TurnOptions:
    """Return the options of a turn that hand it the tools, and ask before they read or act. Raises OptionError.

    The agent is offered them whatever the settings say, since another set would begin its thread anew.
    """
    is_agent = turn_options["engine"] != "backend"
    reading = ReadPermission(session, ask, context.path)
    running = RunPermission(session, reading)
    cells = CellTools(session, context, reading, place)
    tools: list[Tool] = []
    may_read = reads(session.settings.reads) != "no"
    if is_agent or may_read:
        tools += [_tool(entry, reading, session, context) for entry in ENTRIES]
        tools += [_tool(entry, cells, cells) for entry in CELL_TOOLS]
    if is_agent or (may_read and runs(session.settings.runs) != "no"):
        tools.append(_tool(RUN_PYTHON, running, session, context, running, place))
    tools = [each for each in tools if session.tools.is_on(each.name)]
    tools += session.tools.offered(session.shell.user_ns, NAMES, context.notes)

    async def ask_here(request: ApprovalRequest) -> ApprovalDecision | None:
        decision = await ask(request)
        place.page = session.extension.questions.page_of(request)
        return decision

    async def decide(request: ApprovalRequest) -> ApprovalDecision | None:
        if isinstance(request, FileChangeApproval) and _is_of_notebook(request, context.path):
            note = "Codex wanted to write the file of a notebook that is open. It was told to change cells instead."
            place.put(partial(session.screen.say, note))
            return DeclineBecause(NO_FILE, by_user=False)
        if isinstance(request, RunApproval):
            return running.decide(request, await _ask_to_run(session, ask_here, place, request))
        if isinstance(request, CellApproval):
            return cells.made().decide(request, await ask_here(request))
        if isinstance(request, McpToolApproval):
            name = f"{request.server}.{request.tool}"
            return await reading.decide(request) if session.tools.is_on(name) else Decision.decline
        return await reading.decide(request)

    return {"tools": tools, "approvals": decide} if tools else {}


NO_FILE = (
    "Declined by codex_magic, before anybody was asked: this notebook is open, and who writes its file loses what is "
    "not saved. Use edit_cell, add_cell, move_cell and delete_cell."
)


def _is_of_notebook(request: FileChangeApproval, path: str | None) -> bool:
    """Whether a change would write this notebook's file; any notebook there is, where nobody knows which this is."""
    changed = [str(change.get("path")) for change in request.changes]
    notebooks = [each for each in changed if each.endswith(".ipynb") and os.path.exists(each)]
    return any(path is None or os.path.realpath(each) == os.path.realpath(path) for each in notebooks)


async def _ask_to_run(
    session: Session, ask: Ask, place: Place, request: RunApproval
) -> ApprovalDecision | None:
    """Ask, and ask again with what came of it when the user wants to see the code tried first."""
    tries = place.tries_first and not request.no_trial
    while (decision := Decision.try_first if tries else await ask(request)) is Decision.try_first:
        from .running import bench_of  # few turns run code

        bench, tries = bench_of(session, place), False
        seconds = session.settings.trial_seconds
        trial = await bench.try_first(request.code, stays=request.stays, seconds=seconds)
        request = replace(request, trial=trial)
    return decision


def _tool(entry: Entry, permission: ReadPermission | RunPermission | CellTools, *about: Any) -> Tool:
    return tool(
        partial(entry.run, entry.name, *about),
        name=entry.name,
        description=entry.description,
        input_schema=entry.schema,
        strict=False,
        question_for=permission.question_for,
        is_optional=True,
    )
