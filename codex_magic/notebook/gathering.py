"""The cells around the one that asks, as far as a kernel can know them.

Order, unsaved edits and Markdown are the front end's. A kernel has the file as it was saved last and what ran: these
are merged by cell id, and what could not be known is said.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..context.cells import Cell, State, clean_output, digest_of, is_ours
from ..protocol.ids import is_cell_id, names_a_cell
from .recognition import SavedCell, page_cells, read_cells
from .runs import Run, Runs
from .shell import cell_id

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..threads.store import TurnRecord


class Kernel(NamedTuple):
    """What a kernel knows when a cell asks. `cell`, `source`: of that cell.

    `is_one_of_many`: cells that were run together. `page`: the cells as they stand in JupyterLab, and `selection` what
    is selected there, where our extension tells them; else `None`. `regions`: of outputs, by the ids that the page has
    given them. `deleted`: the cells that are known to be gone, each with the time since when.
    """

    runs: list[Run]
    cell: str | None
    source: str
    began: float
    page: Sequence[SavedCell] = ()
    selection: str | None = None
    deleted: Mapping[str, float] = {}
    is_one_of_many: bool = False
    regions: Mapping[str, Region] = {}


class Region(NamedTuple):
    """A part of an output that somebody marked in the page: its picture as a data URL, or nothing, and its text."""

    cell: str
    picture: str
    text: str


class Output(NamedTuple):
    """`data`: text, or an image as base64 of its MIME type."""

    mime: str
    data: str


class Around(NamedTuple):
    """The cells above the one that asks, and all of the notebook's. `order`: what could not be known of it."""

    above: list[Cell]
    all: list[Cell]
    is_whole: bool
    order: str
    error: str


class Here(NamedTuple):
    """All that is known of the notebook when a cell asks."""

    shell: InteractiveShell
    path: str | None
    kernel: Kernel
    around: Around
    mask: Callable[[str], str] = str


def folder_of(path: str | None) -> Path:
    """Return the notebook's folder, where its files are looked for."""
    return Path(path).parent if path else Path(".")


Telling = Callable[[str | None, str], Mapping[str, Any] | None]
"""Returns what the page tells of a cell, by its id and source."""


def look(shell: InteractiveShell, runs: Runs, told: Telling) -> Kernel:
    """Return what the kernel knows now; in the thread of the cell that asks."""
    so_far, source = runs.so_far()
    cell = cell_id(shell)
    said = told(cell, source)
    if cell is None and said is not None:  # a server runs the cell, and does not say which it is
        cell = str(said["cell"])
        runs.cells.add(cell)
    selection = said.get("selection") if said is not None else None
    page = page_cells(said, {run.cell: run.source for run in so_far})
    if said is not None and page:
        runs.note_page(str(said.get("path")), {each.id for each in page if each.id})
    selected = selection if isinstance(selection, str) else None
    told_together = said.get("together") if said is not None else None
    is_one_of_many = runs.is_one_of_many if told_together is None else told_together is True
    return Kernel(so_far, cell, source, runs.began, page, selected, runs.deleted, is_one_of_many)


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


def deleted_turns(turns: Sequence[TurnRecord], kernel: Kernel, path: str | None) -> list[str]:
    """Return the ids of the turns whose cell is gone from the notebook, and their answer with it.

    A cell that was cut and pasted has another id: its answer stands in the notebook. What an earlier kernel asked is
    looked for in the page as far back as cells have kept their ids: the file has them, and one that asked earlier is
    still there.
    """
    asked = [turn for turn in turns if turn.cell_id is not None and names_a_cell(turn.cell_id)]
    saved, saved_at = (kernel.page, math.inf) if kernel.page else ([], 0.0)
    if not saved and any(turn.cell_id in kernel.deleted for turn in asked):
        saved, saved_at = _saved(path)
    cells, answers = {cell.id for cell in saved}, {turn for cell in saved for turn in cell.turn_ids}

    def stands(turn: TurnRecord) -> bool:
        is_there = turn.cell_id in cells or turn.id in answers
        return is_there and saved_at > kernel.deleted.get(turn.cell_id or "", 0)

    missing = [turn for turn in asked if not stands(turn)]
    gone = [turn.id for turn in missing if turn.cell_id in kernel.deleted]
    if not kernel.page:
        return gone
    known = {*kernel.deleted, *(run.cell for run in kernel.runs)}
    stable_since = min((turn.seq for turn in asked if turn.cell_id in cells), default=math.inf)
    earlier = [turn.id for turn in missing if turn.cell_id not in known and turn.seq > stable_since]
    return [*gone, *earlier] if earlier and _keeps_ids(path, cells) else gone


def _keeps_ids(path: str | None, page: set[str | None]) -> bool:
    """Whether the file is the one of that page, and its format has ids of cells."""
    saved, _ = _saved(path)
    ids = {cell.id for cell in saved}
    return None not in ids and not ids.isdisjoint(page)


def last_error(kernel: Kernel) -> str:
    """Return the error of the newest cell that failed and has not been run again or corrected, with its number."""
    corrected = {run.corrects for run in kernel.runs if run.corrects and not run.error}
    latest = reversed(_latest(kernel.runs, moves=True))
    failed = next((run for run in latest if run.error and run.number not in corrected), None)
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
    ids = (kernel.cell, *(run.cell for run in kernel.runs))
    ran = {id for id in ids if id is not None and is_cell_id(id)}
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
        last = place
        lowest = lowest if is_ours(run.source) else max(lowest, place)
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
    is_current = asking is not None and saved[asking].text == kernel.source.strip("\n")
    # Where one stands that no save has seen, is a guess; without ids it may be another version of a saved one.
    is_current = is_current and not any(_ran(run) for runs in unsaved.values() for run in runs)
    return Around(cells[:above], cells, True, "" if is_current else "as last saved", "")


class _Places:
    """Finds the saved cell of each run: by id, else, where ids are not the file's, by what it says."""

    def __init__(self, saved: Sequence[SavedCell]) -> None:
        self._by_id = {cell.id: place for place, cell in enumerate(saved) if cell.id is not None}
        self._by_source: dict[str, list[int]] = {}
        for place, cell in enumerate(saved):
            if cell.cell_type == "code":
                self._by_source.setdefault(cell.text, []).append(place)

    def take(self, run: Run) -> int | None:
        if run.cell in self._by_id:
            return self._by_id[run.cell]
        if run.cell is not None and is_cell_id(run.cell):
            return None
        places = self._by_source.get(run.source, [])
        return places.pop(0) if places else None


def _cell(saved: SavedCell, run: Run | None, saved_at: float, kernel: Kernel) -> Cell | None:
    """Return a cell of the file in its latest version: what was saved after it ran is newer."""
    source = saved.text
    is_edited = run is not None and run.source != source and not run.corrects
    if run is None or (is_edited and (run.at or kernel.began) < saved_at):
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


class _SavedOutput(msgspec.Struct):
    text: str | list[str] = ""
    data: dict[str, Any] = {}
    ename: str = ""
    evalue: str = ""


class _SavedOutputs(msgspec.Struct):
    id: str | None = None
    execution_count: int | None = None
    outputs: list[_SavedOutput] = []


class _WithOutputs(msgspec.Struct):
    cells: list[_SavedOutputs]


class Outputs:
    """The outputs of cells: as the file has them, where it was saved since they ran; else as IPython keeps them."""

    def __init__(
        self, shell: InteractiveShell, kernel: Kernel, path: str | None, mask: Callable[[str], str] = str
    ) -> None:
        self._mask = mask  # before anything is cut: half a secret would not be found
        self._kept = getattr(getattr(shell, "history_manager", None), "outputs", {})
        self._ran = {run.number: run for run in kernel.runs}
        self._saved: dict[str | None, _SavedOutputs] = {}
        self._saved_at = 0.0
        if path is not None and os.path.exists(path):
            try:
                cells = msgspec.json.decode(Path(path).read_bytes(), type=_WithOutputs).cells
                self._saved = {cell.id: cell for cell in cells}
                self._saved_at = os.stat(path).st_mtime
            except (OSError, ValueError, RecursionError):  # half written, or no notebook
                self._saved = {}

    def of(self, cell: Cell) -> list[Output]:
        saved = self._saved.get(cell.id)
        run = self._ran.get(cell.number or 0)
        if saved is not None and (run is None or self._is_current(saved, run)):
            return [output for each in saved.outputs for output in _outputs(each)]
        if run is None:
            return []
        kept = [output for each in self._kept.get(run.number, ()) for output in _kept(each.bundle)]
        return [*kept, *([Output("text/plain", run.error)] if run.error else [])]

    def text(self, cell: Cell, tokens: int) -> str:
        texts = [each.data.strip("\n") for each in self.of(cell) if each.mime == "text/plain"]
        return clean_output(self._mask("\n".join(texts)), tokens)

    def _is_current(self, saved: _SavedOutputs, run: Run) -> bool:
        return saved.execution_count == run.number and self._saved_at > run.at


def readable(outputs: Sequence[Mapping[str, Any]]) -> list[Output]:
    """Return what a reader takes of outputs as they stand in a notebook's file; of an error all of its lines."""
    texts = ["\n".join(each.get("traceback") or ()) or each.get("text") or "" for each in outputs]
    whole = [{**each, "ename": "", "text": text} for each, text in zip(outputs, texts, strict=True)]
    saved = msgspec.convert(whole, list[_SavedOutput])
    return [output for each in saved for output in _outputs(each)]


def divided(outputs: Iterable[Output]) -> tuple[str, list[Output]]:
    """Return the texts of outputs, and the images."""
    kinds: dict[bool, list[Output]] = {True: [], False: []}
    for output in outputs:
        kinds[output.mime == "text/plain"].append(output)
    return "\n".join(each.data for each in kinds[True]), kinds[False]


def _outputs(saved: _SavedOutput) -> list[Output]:
    if saved.ename:
        return [Output("text/plain", f"{saved.ename}: {saved.evalue}")]
    return [Output("text/plain", "".join(saved.text))] if saved.text else _kept(saved.data)


def _kept(bundle: dict[str, Any]) -> list[Output]:
    """Return what a reader would take of a MIME bundle: an image, else its text."""
    texts = {mime: "".join(value) for mime, value in bundle.items() if isinstance(value, str | list)}
    mime = next((m for m in ("stream", "image/png", "image/jpeg", "text/plain") if texts.get(m)), None)
    return [Output("text/plain" if mime == "stream" else mime, texts[mime])] if mime else []
