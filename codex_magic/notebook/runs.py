"""What ran in this kernel: which cell, in which version, to which end. Imported by `%load_ext`: nothing that costs."""

from __future__ import annotations

import time
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from .shell import CellFailed, CellStopped, cell_id, request

if TYPE_CHECKING:
    from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

ERROR_CHARS = 1_000
ERROR_FRAMES = 8


class Run(NamedTuple):
    """`cell`: its id as the front end sent it. `at`: when it began, in Unix seconds; 0 before the extension was loaded."""

    number: int
    source: str
    cell: str | None = None
    at: float = 0
    error: str = ""


class Runs:
    """Watches the cells of one shell from now on."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._runs: dict[int, Run] = {}
        self._deleted: dict[str, float] = {}
        self._at = self.began = time.time()
        self.failure: tuple[Run, BaseException] | None = (
            None  # the last one, unless the cell has run well since
        )
        self.cells: set[str] = set()
        """The ids of all that ran since: they tell which notebook this is."""

    def begin(self) -> None:
        """Note that a cell begins: IPython's `pre_execute`."""
        self._at = time.time()
        if (cell := cell_id(self._shell)) is not None:
            self.cells.add(cell)
        for deleted in (request(self._shell).get("metadata") or {}).get("deletedCells") or ():
            self._deleted[str(deleted)] = self._at

    def end(self, result: ExecutionResult) -> None:
        """Remember a cell that has ended: IPython's `post_run_cell`."""
        info, number = result.info, result.execution_count
        if info is None or not info.store_history or number is None:
            return
        error = result.error_before_exec or result.error_in_exec
        text = "" if error is None else error_text(self._shell, error)
        source = str(info.raw_cell).rstrip("\n")
        self._runs[number] = run = Run(number, source, cell_id(self._shell), self._at, text)
        if error is not None and text:
            self.failure = run, error
        elif self.failure and (run.cell or source) == (self.failure[0].cell or self.failure[0].source):
            self.failure = None

    def so_far(self) -> tuple[list[Run], str]:
        """Return what has run, oldest first, and the source of the cell that runs now, if it is kept."""
        history = getattr(self._shell, "history_manager", None)
        sources: list[str] = [str(each).rstrip("\n") for each in getattr(history, "input_hist_raw", [""])]
        runs: list[Run] = []
        for number, source in enumerate(sources[1:], 1):
            run = self._runs.get(number)
            # `%reset` begins to count anew.
            run = run if run is not None and run.source == source else None
            if run is None and number == len(sources) - 1:
                return runs, source
            run = run or Run(number, source)
            if run.cell is None or self._deleted.get(run.cell, 0) < run.at:
                runs.append(run)
        return runs, ""


def error_text(shell: Any, error: BaseException) -> str:
    """Return what a cell failed with and where, without values; nothing for a failed or stopped answer of ours."""
    if isinstance(error, CellFailed | CellStopped):
        return ""
    try:
        said = "".join(traceback.format_exception_only(error)).strip()
    except Exception as problem:  # noqa: BLE001  # an error's own `__str__` runs here
        said = f"{type(error).__name__} (its text fails with {type(problem).__name__})"
    said = said if len(said) <= ERROR_CHARS else f"{said[:ERROR_CHARS]}…"
    lines = [said, *_frames(shell, error.__traceback__)]
    return "\n".join(lines)


def _frames(shell: Any, trace: TracebackType | None) -> list[str]:
    """Return the way to the error, from the cell on."""
    name_of = getattr(shell.compile, "format_code_name", lambda name: None)
    frames, is_users = [], False
    for frame in traceback.extract_tb(trace):
        cell = name_of(frame.filename)
        is_users = is_users or cell is not None
        if is_users:
            place = cell[1] if cell else f"{frame.filename}, in {frame.name},"
            frames.append(f"  {place} line {frame.lineno}: {frame.line}")
    if len(frames) > ERROR_FRAMES:
        between = f"  [... {len(frames) - ERROR_FRAMES} frames left out ...]"
        frames = [*frames[: ERROR_FRAMES // 2], between, *frames[-ERROR_FRAMES // 2 :]]
    return frames
