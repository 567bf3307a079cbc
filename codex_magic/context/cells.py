"""What the model is told of the cells above a question: each once, again only when it has changed, nearest first. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Literal, NamedTuple

from .tokens import estimate

TOKENS = 6_000
"""Of all cells a model is told of; those nearest to the question stay."""

CELL_TOKENS = 2_000
"""Of one cell; the middle of a longer one is left out."""

OUTPUT_TOKENS = 400
"""Of one cell's outputs."""

State = Literal["ran", "failed", "changed", "not run"]

ORDER, ERROR = "order", "error"
"""Keys of `held` beside those of cells, which have a `#` before their id."""


@dataclass(frozen=True)
class Cell:
    """`number`: of its latest run in this kernel. `changed`: it ran, and was edited after that."""

    id: str
    number: int | None
    source: str
    state: State
    kind: str = "code"
    outputs: str = ""

    @property
    def label(self) -> str:
        if self.kind != "code":
            return f"[{self.kind}]"
        if self.number is None:
            return "(not run)"
        words = {"ran": "", "failed": ", failed", "changed": ", changed since it ran"}
        return f"In[{self.number}]{words.get(self.state, '')}"

    @cached_property
    def digest(self) -> str:
        """Of the text, and what else is told of it."""
        return f"{digest_of(f'{self.kind}{self.source}{self.outputs}')} {self.label}"


class CellsText(NamedTuple):
    """`text`: empty where the thread holds all of it. `held`: what it holds then."""

    text: str
    held: dict[str, str]
    told: int
    left_out: int


def cells_text(
    cells: Sequence[Cell],
    held: Mapping[str, str],
    *,
    error: str = "",
    existing: Set[str] | None = None,
    tokens: int = TOKENS,
    place: str = "above the question",
    mask: Callable[[str], str] = str,
) -> CellsText:
    """Return what is new of `cells`, top to bottom, and of the last error, to a thread that holds `held`.

    `mask`: what a text is before it is cut and leaves. `existing`: the ids of all cells of the notebook, where that is known: what is held and gone was deleted.
    """
    # What is kept of a cell, its digest, is of the text without secrets: a short one could be guessed from it.
    known = {id for key in held if key[0] == "#" for id in _ids_of(key)}
    if existing is not None and known and known.isdisjoint(existing):
        held = {}  # the thread is another notebook's
    shown = [
        replace(cell, source=mask(cell.source), outputs=mask(cell.outputs))
        for cell in _window(_distinct(cells), tokens)
    ]
    order = held.get(ORDER, "").split()
    ids = [digest_of(cell.id, 3) for cell in shown]
    if [id for id in order if id in ids] != [id for id in ids if id in order]:
        held, order = {}, []  # cells were moved: all is told anew
    parts, now = _news(shown, held, tokens)
    told, left_out = len(parts), len(cells) - len(shown)
    notes = [note for cell in shown if (note := _restated(cell, held))]
    now |= {f"#{cell.id}": cell.digest for cell in shown if _restated(cell, held)}
    if existing is not None:
        gone = [key for key in held if key[0] == "#" and held[key] and existing.isdisjoint(_ids_of(key))]
        labels = [held[key].partition(" ")[2] for key in gone]
        notes += [f"Deleted since: {', '.join(labels)}."] if gone else []
        now |= dict.fromkeys(gone, "")
    error = mask(error)
    stamp = digest_of(error)
    if error and held.get(ERROR) != stamp:
        parts.append(f"# %% The last error\n{error}")
        now[ERROR] = stamp
    if not parts and not notes:
        return CellsText("", {}, 0, left_out)
    now[ORDER] = " ".join([*ids, *(id for id in order if id not in ids)])
    head = "New or changed since the last question" if order else f"The cells {place}, top to bottom"
    about = f"{head}; of each the latest version. Outputs are told only where they are shown here."
    if left_out:
        about += f" {left_out} further up {'is' if left_out == 1 else 'are'} left out."
    return CellsText("\n\n".join([" ".join([about, *notes]), *parts]), now, told, left_out)


def _distinct(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells with ids of their own: copied ones may share one, and those without any have their text's."""
    counts: Counter[str] = Counter()
    distinct = []
    for cell in cells:
        counts[cell.id] += 1
        again = counts[cell.id]
        distinct.append(replace(cell, id=f"{cell.id}{_AGAIN}{again}") if again > 1 else cell)
    return distinct


_AGAIN = "\n"  # is in few ids


def _ids_of(key: str) -> tuple[str, str]:
    """Return the id of a cell, as it is and as it is shared."""
    return key[1:], key[1:].rpartition(_AGAIN)[0] or key[1:]


def _window(cells: Sequence[Cell], tokens: int) -> list[Cell]:
    """Return the nearest cells that fit, top to bottom."""
    window: list[Cell] = []
    for cell in reversed(cells):
        tokens -= min(estimate(cell.source), CELL_TOKENS) + estimate(cell.outputs) + 8
        if tokens < 0 and window:
            break
        window.append(cell)
    return window[::-1]


def _news(window: Sequence[Cell], held: Mapping[str, str], tokens: int) -> tuple[list[str], dict[str, str]]:
    parts, now = [], {}
    before: Cell | None = None
    is_below = True  # the cell above is told right above, or there is none
    for cell in window:
        known = held.get(f"#{cell.id}", "").partition(" ")[0]
        if known == cell.digest.partition(" ")[0]:
            is_below = False
        else:
            place = f", below {before.label}" if before is not None and not is_below else ""
            text = cut_middle(cell.source.strip("\n"), min(CELL_TOKENS, tokens))
            output = f"\n# -> output\n{cell.outputs}" if cell.outputs else ""
            parts.append(f"# %% {cell.label}{place}{', in a new version' if known else ''}\n{text}{output}")
            now[f"#{cell.id}"] = cell.digest
            is_below = True
        before = cell
    return parts, now


def _restated(cell: Cell, held: Mapping[str, str]) -> str:
    """Say of a cell whose text is known that it ran again, or ended in another way."""
    known, _, label = held.get(f"#{cell.id}", "").partition(" ")
    digest, _, new = cell.digest.partition(" ")
    return f"{label} is now {new}." if known == digest and label != new else ""


def digest_of(text: str, size: int = 6) -> str:
    """Return `size` bytes in hexadecimal that stand for a text."""
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=size).hexdigest()


_OURS = re.compile(
    r"%{1,2}codex\b|%(?:load|reload|unload)_ext\s+codex_magic\b|%config\s+CodexMagics\b|get_ipython\(\)\.run_line_magic\(['\"]codex"
)


def is_ours(source: str) -> bool:
    """Whether a cell asks or sets up Codex and does nothing else: the thread holds its question and answer."""
    if "odex" not in source:  # most say nothing of it
        return False
    lines = [line.strip() for line in source.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    for line in lines:
        if line.startswith("%%codex"):
            return _OURS.match(line) is not None
        if not line.startswith("%%"):
            break
    return bool(lines) and all(_OURS.match(line) for line in lines)


_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def clean_output(text: str, tokens: int = OUTPUT_TOKENS) -> str:
    """Return an output as a reader would have it: no colours, progress bars at their end, repeats told once."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in _ANSI.sub("", text).split("\n"))
    return cut_middle("\n".join(_folded(_without_backspaces(line) for line in lines)).strip("\n"), tokens)


def _without_backspaces(line: str) -> str:
    while "\b" in line:
        shorter = re.sub(r"[^\x08]\x08", "", line)
        line = shorter if shorter != line else line.replace("\b", "")
    return line.rstrip()


def _folded(lines: Iterable[str]) -> Iterable[str]:
    for line, same in groupby(lines):
        times = sum(1 for _ in same)
        if times > 2 and line:
            yield f"{line}  [{times} times]"
        else:
            yield from [line] * min(times, 2)


def cut_middle(text: str, tokens: int) -> str:
    """Return at most about that many tokens of a text: its beginning and end, and how much is left out between."""
    if len(text) <= tokens or (whole := estimate(text)) <= tokens:
        return text
    lines = text.split("\n")
    if len(lines) < 5 or max(map(len, lines)) * 5 > len(text):  # a few long lines
        half = max(len(text) * tokens // whole // 2, 1)
        return f"{text[:half]} [... {len(text) - 2 * half} characters left out ...] {text[-half:]}"
    half = max(len(lines) * tokens // whole // 2, 1)
    between = len(lines) - 2 * half
    return "\n".join([*lines[:half], f"[... {between} lines left out ...]", *lines[-half:]])
