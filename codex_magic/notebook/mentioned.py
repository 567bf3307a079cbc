"""What a question mentions, looked up in the live notebook: values, cells, outputs, files, changes."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..context.cells import Cell, cut_middle
from ..context.describe import describe
from ..context.mentions import Mention, insert, resolve, value_at
from ..protocol.types import ImageInput
from .gathering import Here, Outputs
from .naming import file_in, folder_and_files, is_file_in, names_of
from .recognition import read_cells
from .screen import count

TOKENS = 4_000
"""Of one file, diff or output; of all cells together."""

MOST_BYTES = 5_000_000
"""Of one file."""

GIT_SECONDS = 5.0

ID_CHARS = 8
"""So many of a cell's id name the cell."""

IMAGES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".gif": "gif", ".webp": "webp"}

GIT_DIFF = "git -c core.fsmonitor=false diff --no-color --no-ext-diff --no-textconv HEAD".split()
"""Runs no program that a repository names."""


class Mentioned(NamedTuple):
    """`title`: as it was mentioned; `note`: what the user should know of it."""

    title: str
    text: str
    images: tuple[ImageInput, ...] = ()
    note: str = ""


class NotThere(Exception):
    """What is mentioned is not there; says so."""


def resolved(here: Here, prompt: str, rows: int) -> tuple[str, list[Mentioned], list[str]]:
    """Return the prompt with expressions inserted, what it mentions, and what the user should know of that."""
    folder, files = folder_and_files(here.path)
    namespace = here.shell.user_ns
    named, notes = resolve(prompt, names_of(here.shell), is_file=partial(is_file_in, folder), files=files)
    looks: dict[str, Callable[[Mention], Mentioned]] = {
        "name": lambda m: _value(m.text, value_at(namespace, m.target), rows),
        "out": lambda m: _out(m, namespace, rows),
        "in": lambda m: Mentioned(m.text, _run(here, int(m.target))),
        "cell": lambda m: Mentioned(m.text, cell_at(here, m.target).source),
        "above": lambda m: Mentioned(m.text, _cells(here.around.above)),
        "cells": lambda m: Mentioned(m.text, _cells(here.around.all)),
        "error": lambda m: Mentioned(m.text, here.around.error or _nothing("No cell has failed.")),
        "output": lambda m: _output(here, m),
        "region": lambda m: _region(here, m),
        "selection": lambda m: Mentioned(m.text, _selection(here.kernel.selection)),
        "file": lambda m: read(m.text, file_in(folder, m.target), m.lines),
        "git": lambda m: Mentioned(m.text, _diff(folder)),
    }
    texts: dict[Mention, str] = {}
    mentioned: dict[str, Mentioned] = {}
    for mention in named:
        try:
            if mention.kind == "expression":
                texts[mention] = _cut(here, _text(here.shell, mention.target))
            elif mention.text not in mentioned:
                seen = looks[mention.kind](mention)
                mentioned[mention.text] = seen._replace(text=_cut(here, seen.text))
        except NotThere as reason:
            notes.append(f"{mention.text} is sent as plain text. {reason}")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # values and properties of the user's may raise anything
            notes.append(f"{mention.text} is sent as plain text: it raised {type(error).__name__}.")
    notes += [f"{each.title}: {each.note}" for each in mentioned.values() if each.note]
    return insert(prompt, texts), list(mentioned.values()), notes


def _cut(here: Here, text: str) -> str:
    """Return what fits of a text. Half a secret would not be found, so it is masked before."""
    return cut_middle(here.mask(text), TOKENS)


def _nothing(reason: str) -> Any:
    raise NotThere(reason)


def _value(title: str, value: object, rows: int) -> Mentioned:
    described = describe(value, rows=rows)
    return Mentioned(title, described.text, described.images, described.note)


def _out(mention: Mention, namespace: dict[str, Any], rows: int) -> Mentioned:
    values = namespace.get("Out", {})
    if int(mention.target) not in values:
        raise NotThere(f"Cell {mention.target} has returned nothing.")
    return _value(mention.text, values[int(mention.target)], rows)


def _text(shell: Any, expression: str) -> str:
    """Return the text of an expression's value: a text as it is."""
    value = shell.ev(expression)
    return value if isinstance(value, str) else str(value)


def _run(here: Here, number: int) -> str:
    run = next((run for run in here.kernel.runs if run.number == number), None)
    if run is None:
        raise NotThere(f"No cell {number} has run.")
    return f"{run.source}\n{run.error}".strip() if run.error else run.source


def cell_at(here: Here, target: str) -> Cell:
    """Return a cell by its number from the top, or by its id or the beginning of that."""
    cells = here.around.all
    if target.isdecimal() and 1 <= int(target) <= len(cells):
        return cells[int(target) - 1]
    same = [cell for cell in cells if cell.id == target]
    begun = [cell for cell in cells if len(target) >= ID_CHARS and cell.id.startswith(target)]
    for cell in same or (begun if len(begun) == 1 else []):
        return cell
    raise NotThere(f"The notebook has {count(len(cells), 'cell')} besides questions.")


def _selection(selected: str | None) -> str:
    if selected is None:
        where = "What is selected is known in JupyterLab with the codex_magic extension alone"
        raise NotThere(f"{where}: copy the text into the question.")
    nothing = "Nothing is selected: select some text in a cell or an output first."
    return selected.strip("\n") or _nothing(nothing)


def _cells(cells: list[Cell]) -> str:
    if not cells:
        raise NotThere("There is no such cell.")
    return "\n\n".join(f"# %% {cell.label}\n{cell.source}" for cell in cells)


def _output(here: Here, mention: Mention) -> Mentioned:
    """Return the output of a cell, else the newest one above, images included."""
    outputs = Outputs(here.shell, here.kernel, here.path, here.mask)
    is_any = mention.target == mention.kind
    for cell in reversed(here.around.above) if is_any else [cell_at(here, mention.target)]:
        if found := outputs.of(cell):
            images = [each for each in found if each.mime != "text/plain"]
            pictures = (f"data:{each.mime};base64,{''.join(each.data.split())}" for each in images)
            urls = tuple(map(ImageInput, pictures))
            text = outputs.text(cell, TOKENS) or f"{count(len(urls), 'image')}, attached"
            return Mentioned(mention.text, f"Of {cell.label}:\n{text}", urls)
    which = "No cell above" if is_any else "It is no cell that"
    raise NotThere(f"{which} has an output that the kernel knows.")


def _region(here: Here, mention: Mention) -> Mentioned:
    """Return the part of an output that was marked in the page, with the cell that made it."""
    if (region := here.kernel.regions.get(mention.target)) is None:
        raise NotThere("This region is not known any more: mark it again.")
    images = (ImageInput(region.picture),) if region.picture else ()
    shown = "\n\n".join(filter(None, (region.text.strip("\n"), "A picture, attached." if images else "")))
    cell = cell_at(here, region.cell)
    text = f"A part of the output of {cell.label}:\n{shown}\n\n{cell.label} is:\n{cell.source}"
    return Mentioned(mention.text, text, images)


def read(title: str, path: Path | None, lines: tuple[int, int] | None) -> Mentioned:
    """Return a file's text or image; of a text these lines, from 1. Raises NotThere, OSError."""
    if path is None or path.stat().st_size > MOST_BYTES:
        raise NotThere(f"It is larger than {MOST_BYTES // 1_000_000} MB.")
    kind, data = path.suffix.lower(), path.read_bytes()
    if kind in IMAGES:
        url = f"data:image/{IMAGES[kind]};base64,{base64.b64encode(data).decode()}"
        return Mentioned(title, "An image, attached.", (ImageInput(url),))
    if kind == ".pdf":
        text = _pdf(path)
    elif kind == ".ipynb":
        saved = [cell for cell in read_cells(str(path)) or [] if cell.text.strip()]
        text = "\n\n".join(f"# %% [{cell.cell_type}]\n{cell.text}" for cell in saved)
    elif b"\0" in data[:8000]:
        raise NotThere("It is no text.")
    else:
        text = data.decode(errors="replace")
    if lines is None:
        return Mentioned(title, text)
    first, last = lines
    numbered = [f"{n}: {line}" for n, line in enumerate(text.splitlines(), 1) if first <= n <= last]
    if not numbered:
        raise NotThere(f"It has no line {first}.")
    return Mentioned(title, "\n".join(numbered))


def _pdf(path: Path) -> str:
    from pydoc import locate

    reader: Any = locate("pypdf.PdfReader")  # the user's, if it is installed
    if reader is None:
        raise NotThere("Reading a PDF needs pypdf: `%pip install pypdf`")
    return "\n\n".join(page.extract_text() for page in reader(path).pages[:50])


def _diff(folder: Path) -> str:
    quiet = subprocess.DEVNULL
    try:
        out = subprocess.check_output(GIT_DIFF, cwd=folder, timeout=GIT_SECONDS, stdin=quiet, stderr=quiet)
    except (OSError, subprocess.SubprocessError):
        raise NotThere("git finds no repository with a commit here.") from None
    return out.decode(errors="replace").strip() or _nothing("Nothing has changed.")
