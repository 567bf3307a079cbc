"""What ran in this kernel: which cell, in which version, to which end."""

from __future__ import annotations

import time
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

from .shell import CellFailed, CellLog, CellStopped

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ERROR_CHARS = 1_000
ERROR_FRAMES = 8


class Run(NamedTuple):
    """`cell`: its id as the front end sent it. `at`: when it began, in Unix seconds; 0 before the extension was loaded.

    `corrects`: the number of the failed cell whose correction ran here; 0 for what ran as it stands in its cell.
    """

    number: int
    source: str
    cell: str | None = None
    at: float = 0
    error: str = ""
    corrects: int = 0


_AS_IT_STANDS = ("", "", 0, None)


class Runs:
    """What has run in one shell; `log` watches it since the extension was loaded."""

    def __init__(self, shell: InteractiveShell, log: CellLog) -> None:
        self._shell, self._log = shell, log
        self.began = log.began

    @property
    def cells(self) -> set[str]:
        """The ids of all that ran since: they tell which notebook this is."""
        return self._log.cells

    @property
    def sent_at(self) -> float:
        """When somebody ran the cell that runs now, in Unix seconds; it may have waited since."""
        return self._log.sent_at()

    @property
    def is_one_of_many(self) -> bool:
        """Whether the cell that runs now was sent together with the one before it."""
        return self._log.is_one_of_many

    @property
    def failure(self) -> tuple[Run, BaseException] | None:
        """The last one, unless the cell has run well since."""
        if self._log.failure is None:
            return None
        number, error = self._log.failure
        return self._run(number), error

    @property
    def deleted(self) -> dict[str, float]:
        """The cells that are gone, as far as that is known, each with the time since when it is."""
        return dict(self._log.deleted)

    def note_page(self, path: str, cells: set[str]) -> None:
        """Note which cells stand in the notebook at that path now: those that stood there before were deleted.

        Unless none is left: a notebook whose file has no ids of cells gets new ones whenever it is opened.
        """
        before = self._log.pages.get(path, set())
        gone = set[str]() if before.isdisjoint(cells) else before - cells
        kept = {id: at for id, at in self._log.deleted.items() if id not in cells}
        self._log.deleted = dict.fromkeys(gone, time.time()) | kept
        self._log.pages[path] = cells

    def note_rerun(self, number: int, code: str, failed: Run | None, error: BaseException | None) -> None:
        """Note that the cell of that number has run the code of an answer, which may correct a failed one."""
        asked = str(self._shell.user_ns["In"][number]) if self._history is None else self._history[number]
        corrects = failed.number if failed else number
        self._log.reruns[number] = (asked.rstrip("\n"), code.rstrip("\n"), corrects, error)

    @property
    def _history(self) -> list[str] | None:
        return getattr(getattr(self._shell, "history_manager", None), "input_hist_raw", None)

    def _run(self, number: int) -> Run:
        run = Run(number, *self._log.ended[number])
        _, code, corrects, _ = self._log.reruns.get(number, _AS_IT_STANDS)
        if code == run.source:
            run = run._replace(corrects=corrects)
        if self._log.failure is not None and self._log.failure[0] == number:
            return run._replace(error=error_text(self._shell, self._log.failure[1]))
        return run

    def so_far(self) -> tuple[list[Run], str]:
        """Return what has run, oldest first, and the source of the cell that runs now, if it is kept."""
        sources = [str(each).rstrip("\n") for each in self._history or [""]]
        runs: list[Run] = []
        for number, source in enumerate(sources[1:], 1):
            # `%reset` begins to count anew.
            asked, code, *_ = self._log.reruns.get(number, _AS_IT_STANDS)
            ran = code if code and asked == source else source
            is_known = number in self._log.ended and self._log.ended[number][0] == ran
            run = self._run(number) if is_known else None
            if run is None and number == len(sources) - 1:
                return runs, source
            run = run or Run(number, source)
            if run.cell is None or self._log.deleted.get(run.cell, 0) < run.at:
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
    frames, is_users = [], False
    for frame in traceback.extract_tb(trace):
        cell = shell.compile.format_code_name(frame.filename)
        is_users = is_users or cell is not None
        if is_users:
            place = cell[1] if cell else f"{frame.filename}, in {frame.name},"
            frames.append(f"  {place} line {frame.lineno}: {frame.line}")
    if len(frames) > ERROR_FRAMES:
        between = f"  [... {len(frames) - ERROR_FRAMES} frames left out ...]"
        frames = [*frames[: ERROR_FRAMES // 2], between, *frames[-ERROR_FRAMES // 2 :]]
    return frames
