"""The cells around the one that asks, as far as a kernel can know them.

Order, unsaved edits and Markdown are the front end's. A kernel has the file as it was saved last and what ran: these
are merged by cell id, and what could not be known is said.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..context.cells import Cell, State, cells_text, digest_of, is_ours
from ..context.tokens import estimate
from ..protocol import types
from ..protocol.ids import is_cell_id
from .recognition import SavedCell, page_cells, read_cells
from .runs import Run, Runs
from .screen import count
from .shell import cell_id

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .extension import Extension


class Kernel(NamedTuple):
    """What a kernel knows when a cell asks. `cell`, `source`: of that cell; `scope`: above, outputs or all.

    `page`: the cells as they stand in JupyterLab, where our extension tells them.
    """

    runs: list[Run]
    cell: str | None
    source: str
    began: float
    scope: str
    page: Sequence[SavedCell] = ()


class Around(NamedTuple):
    """The cells above the one that asks, and all of the notebook's. `order`: what could not be known of it."""

    above: list[Cell]
    all: list[Cell]
    is_whole: bool
    order: str
    error: str

    @property
    def is_empty(self) -> bool:
        return not self.all and not self.error


class Told(NamedTuple):
    """`line`: of what goes along, for the user; empty for nothing."""

    inputs: list[types.InputItem]
    line: str


def look(shell: InteractiveShell, runs: Runs, scope: str, extension: Extension) -> Kernel:
    """Return what the kernel knows now; in the thread of the cell that asks."""
    so_far, source = runs.so_far()
    cell = cell_id(shell)
    return Kernel(so_far, cell, source, runs.began, scope, page_cells(extension.run(cell)))


def told(kernel: Kernel, around: Around, held: Mapping[str, str]) -> Told:
    """Return what a thread that holds `held` does not know yet."""
    existing = {cell.id for cell in around.all} if around.is_whole else None
    is_all = kernel.scope == "all"
    cells = around.all if is_all else around.above
    place = "of the notebook" if is_all else "above the question"
    text = cells_text(cells, held, error=around.error, existing=existing, place=place)
    if not text.text:
        return Told([], "")
    parts = [count(text.told, "cell")] if text.told else ["changes of the notebook"]
    if text.told and text.left_out:
        parts[0] += f" ({text.left_out} left out)"
    if text.told and around.order:
        parts[0] += f" {around.order}"
    line = f"Sent: {', '.join(parts)} · {tokens_words(estimate(text.text))} · `%codex peek`"
    return Told([types.ContextInput("notebook", text.text, text.held)], line)


def tokens_words(tokens: int) -> str:
    return f"{tokens / 1000:.1f}k tokens" if tokens >= 1000 else f"{tokens} tokens"


def around(kernel: Kernel, path: str | None) -> Around:
    """Return the notebook as its file, if it is this notebook's, and the runs tell it."""
    latest, error = _latest(kernel.runs), last_error(kernel)
    if kernel.page:
        return _merged(kernel.page, time.time(), latest, kernel)._replace(error=error)
    saved, saved_at = _saved(path)
    if not saved or not _is_this(saved, saved_at, kernel):
        cells = [cell for run in latest if (cell := _ran(run))]
        return Around(cells, cells, False, "in the order they ran" if kernel.cell else "", error)
    return _merged(saved, saved_at, latest, kernel)._replace(error=error)


def last_error(kernel: Kernel) -> str:
    """Return the error of the newest cell that failed and has not been run again, with its number."""
    failed = next((run for run in reversed(_latest(kernel.runs, moves=True)) if run.error), None)
    return f"In[{failed.number}] {failed.error}" if failed is not None else ""


def _latest(runs: Sequence[Run], *, moves: bool = False) -> list[Run]:
    """Return the latest run of each cell, where the cell ran first; `moves`: where it ran last.

    Without ids a cell is what it says, and what ran last counts.
    """
    latest: dict[str, Run] = {}
    for run in runs:
        key = run.cell or f"={run.source}"
        if moves or run.cell is None:
            latest.pop(key, None)
        latest[key] = run
    return list(latest.values())


_read: dict[str, tuple[int, int, list[SavedCell]]] = {}
"""The notebook file that was read last, by its path, with its time and size."""


def _saved(path: str | None) -> tuple[list[SavedCell], float]:
    """Return the cells of the file, and when it was saved."""
    try:
        stat = os.stat(path or "")
    except OSError:
        return [], 0
    stamp = (stat.st_mtime_ns, stat.st_size)
    known = _read.get(path or "")
    if known is None or known[:2] != stamp:
        cells = read_cells(path or "")
        if cells is None:  # half written
            return [], 0
        _read.clear()
        known = _read[path or ""] = (*stamp, cells)
    return known[2], stat.st_mtime


def _is_this(saved: Sequence[SavedCell], saved_at: float, kernel: Kernel) -> bool:
    """Whether the file is this notebook's: a renamed notebook's old name may be another's by now."""
    ran = {
        id for id in (kernel.cell, *(run.cell for run in kernel.runs)) if id is not None and is_cell_id(id)
    }
    return not ran or saved_at < kernel.began or not ran.isdisjoint(cell.id for cell in saved)


def _merged(saved: Sequence[SavedCell], saved_at: float, latest: Sequence[Run], kernel: Kernel) -> Around:
    places = _Places(saved)
    run_of: dict[int, Run] = {}
    unsaved: dict[int, list[Run]] = {}
    last = -1  # where the cell that ran before was
    lowest = -1
    for run in latest:
        place = places.take(run)
        if place is not None:
            run_of[place] = run
        elif run.at <= saved_at and (run.at or kernel.began <= saved_at):
            continue  # deleted: the file was saved after it ran
        else:
            place = last
            unsaved.setdefault(place, []).append(run)
        last, lowest = place, max(lowest, place)
    asking = places.take(Run(0, kernel.source, kernel.cell))
    # One that is not saved yet counts as below all that ran.
    end = asking if asking is not None else lowest + 1 or len(saved)
    cells = [cell for run in unsaved.get(-1, ()) if (cell := _ran(run))]
    above = len(cells)
    for place, each in enumerate(saved):
        here = [_cell(each, run_of.get(place), saved_at, kernel)] if place != asking else []
        here += [_ran(run) for run in unsaved.get(place, ())]
        cells += [cell for cell in here if cell]
        above = len(cells) if place < end else above
    is_current = asking is not None and "".join(saved[asking].source).strip("\n") == kernel.source.strip("\n")
    return Around(cells[:above], cells, True, "" if is_current else "as last saved", "")


class _Places:
    """Finds the saved cell of each run: by id, else, where ids are not the file's, by what it says."""

    def __init__(self, saved: Sequence[SavedCell]) -> None:
        self._by_id = {cell.id: place for place, cell in enumerate(saved) if cell.id is not None}
        self._by_source: dict[str, list[int]] = {}
        for place, cell in enumerate(saved):
            if cell.cell_type == "code":
                self._by_source.setdefault("".join(cell.source).rstrip("\n"), []).append(place)

    def take(self, run: Run) -> int | None:
        if run.cell in self._by_id:
            return self._by_id[run.cell]
        if run.cell is not None and is_cell_id(run.cell):
            return None
        places = self._by_source.get(run.source, [])
        return places.pop(0) if places else None


def _cell(saved: SavedCell, run: Run | None, saved_at: float, kernel: Kernel) -> Cell | None:
    """Return a cell of the file in its latest version: what was saved after it ran is newer."""
    source = "".join(saved.source).rstrip("\n")
    if run is None or (run.source != source and (run.at or kernel.began) < saved_at):
        kind = saved.cell_type if saved.cell_type in ("code", "markdown") else "raw"
        state: State = "not run" if run is None else "changed"
        return _known(saved.id, run.number if run else None, source, state, kind)
    return _ran(run, id=saved.id)


def _ran(run: Run, *, id: str | None = None) -> Cell | None:
    return _known(id or run.cell, run.number, run.source, "failed" if run.error else "ran", "code")


def _known(id: str | None, number: int | None, source: str, state: State, kind: str) -> Cell | None:
    """Return the cell, if it says anything and is not a question or setting of ours."""
    if not source.strip() or (kind == "code" and is_ours(source)):
        return None
    return Cell(id or f"={digest_of(source)}", number, source, state, kind)
