"""What the reading tools give: variables, cells with outputs, and files, as data for the model.

Each call runs in a thread of its own, beside whatever cell runs, and sets nothing: it looks names up in a copy of the
namespace, and no code of a value's runs but what says what it is. A running cell may change a value meanwhile; it is
described as it is then, within the describers' limits.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...auth.storage import auth_path
from ...context.cells import CELL_TOKENS, OUTPUT_TOKENS, Cell, cut_middle, digest_of
from ...context.describe import Description, describe, headlines
from ...context.mentions import stored, value_at
from ...context.secrets import INSTRUCTION
from ...context.tokens import estimate
from ...engines.app_server.permissions import holds_secrets
from ...engines.replay import framed
from ...protocol.types import ImageInput
from ...responses.tools import ToolCallError
from .. import gathering
from ..context import learn_secrets
from ..gathering import Here, Outputs, folder_of
from ..mentioned import TOKENS, NotThere, cell_at
from ..mentioned import read as read_whole
from ..naming import file_in
from ..screen import count

if TYPE_CHECKING:
    from ..context import Context
    from ..session import Session

MOST_ROWS = 100
"""Of a table, however many are asked for."""

LIST_TOKENS = 2_000
"""Of a list of variables, files or matches."""

LINE_CHARS = 300
"""Of one line in a list."""

MOST_ENTRIES = 2_000
"""Of a folder, that are looked at."""

MOST_IMAGES = 3

Found = tuple[str, Iterable[ImageInput]]


def read(name: str, session: Session, context: Context, arguments: Mapping[str, Any]) -> Any:
    """Return what a tool reads: a masked text, marked as data, and images. Raises ToolCallError."""
    here = look(session, context)
    try:
        text, images = _READERS[name](here, context, session, **arguments)
    except NotThere as reason:
        raise ToolCallError(here.mask(str(reason))) from None
    text = framed("notebook", here.mask(text))
    if "«SECRET_" in text:
        text += f"\n{INSTRUCTION}"
    pictures = [base64.b64decode(image.url.partition(",")[2]) for image in images]
    return [text, *pictures[:MOST_IMAGES]] if pictures else text


def look(session: Session, context: Context) -> Here:
    """Return what is known of the notebook now, with the mask that knows what is secret now."""
    if context.mask is not None:
        learn_secrets(context.mask, session.shell, context.path, session.settings.secrets)
    kernel = context.kernel._replace(runs=session.runs.so_far()[0])
    around = gathering.around(kernel, context.path)
    return Here(session.shell, context.path, kernel, around, context.mask or str)


def _list_variables(here: Here, context: Context, session: Session, text: str = "") -> Found:
    names = {name: value for name, value in _variables(here).items() if text.lower() in name.lower()}
    if not names:
        return f"No variable's name contains {text!r}." if text else "There are no variables yet.", ()
    lines = headlines(names, rows=context.rows)
    return _listed(here, lines, len(names), "more variables; ask for some by `text`"), ()


def _inspect_variable(
    here: Here, context: Context, session: Session, name: str, rows: int | None = None
) -> Found:
    variables, target = _variables(here), name.strip().removeprefix("@")
    try:
        value = value_at(variables, target, stored)
    except LookupError as problem:
        root = re.split(r"[.\[]", target)[0]
        if root in variables:
            hint = "a property would run code" if "." in target else "there is no such entry"
            raise NotThere(f"{target} can't be looked up at {problem}: {hint}. Look at {root}.") from None
        near = get_close_matches(root, variables, n=3)
        raise NotThere(f"No variable {root!r}." + f" Near: {', '.join(near)}." * bool(near)) from None
    most = min(max(rows or 0, 0), MOST_ROWS) if rows is not None and context.rows else context.rows
    seen: Description = describe(value, name=target, rows=most, tokens=2_000 if rows else 800)
    return seen.text, seen.images


def _variables(here: Here) -> dict[str, Any]:
    """Return a copy of the user's names: a cell that runs goes on to change them."""
    names, hidden = dict(here.shell.user_ns), here.shell.user_ns_hidden
    users = (each for each in names.items() if type(each[0]) is str and each[0] not in hidden)
    return {name: value for name, value in users if name[:1] != "_"}


def _read_notebook(here: Here, context: Context, session: Session, cell: str = "") -> Found:
    cells = here.around.all
    if not cells:
        return "The notebook has no cells besides questions to you.", ()
    numbers = numbers_of(here, cell)
    outputs = Outputs(here.shell, here.kernel, here.path, here.mask)
    order = f", {here.around.order}" if here.around.order else ""
    parts, left = [f"The notebook has {count(len(cells), 'cell')} besides questions to you{order}."], TOKENS
    for at, number in enumerate(numbers):
        shown = cells[number - 1]
        one = len(numbers) == 1
        head = f"# %% {number}: {shown.label}, revision {revision(here, shown)}\n"
        part = head + cut_middle(here.mask(shown.source), CELL_TOKENS)
        if output := outputs.text(shown, TOKENS // 2 if one else OUTPUT_TOKENS):
            part += f"\n# -> output\n{output}"
        left -= estimate(part)
        if left < 0 and at:
            parts.append(f"[cells {number}-{numbers[-1]} are left out; read them next]")
            break
        parts.append(part)
    images = [each for each in outputs.of(cells[numbers[0] - 1]) if each.mime != "text/plain"]
    urls = [ImageInput(f"data:{each.mime};base64,{each.data}") for each in images]
    return "\n\n".join(parts), urls if len(numbers) == 1 else ()


def revision(here: Here, cell: Cell) -> str:
    """Return what stands for the text of a cell as the model reads it: of a secret nothing could be guessed."""
    return digest_of(here.mask(cell.source), 4)


def numbers_of(here: Here, cell: str) -> list[int]:
    """Return the places, from 1, of the cells that `3`, `2-9`, `5-`, `In[7]`, an id or nothing stands for. Raises NotThere."""
    cells, wanted = here.around.all, cell.strip().strip("[]")
    if not wanted or wanted.lower() == "all":
        return [*range(1, len(cells) + 1)]
    if span := re.fullmatch(r"(\d+)\s*(?:-|:|\.\.|to)\s*(\d*)", wanted):
        numbers = [n for n in range(int(span[1]), int(span[2] or len(cells)) + 1) if 1 <= n <= len(cells)]
        return numbers or [_place(cells, cell_at(here, span[1]))]
    if run := re.fullmatch(r"@?In\s*\[?\s*(\d+)", wanted, re.IGNORECASE):
        place = next((n for n, each in enumerate(cells, 1) if each.number == int(run[1])), None)
        if place is None:
            raise NotThere(f"No cell is In[{run[1]}]; it may be a question to you, or have run again since.")
        return [place]
    return [_place(cells, cell_at(here, wanted))]


def _place(cells: list[Cell], cell: Cell) -> int:
    return cells.index(cell) + 1


def _search_notebook(here: Here, context: Context, session: Session, text: str) -> Found:
    outputs = Outputs(here.shell, here.kernel, here.path, here.mask)

    def lines() -> Iterator[str]:
        for number, cell in enumerate(here.around.all, 1):
            about = f"{number}: {cell.label}"
            # Masked before, so that nobody can try out what a secret begins with.
            for line in here.mask(cell.source).splitlines():
                yield f"{about}: {line.strip()}"
            for line in outputs.text(cell, CELL_TOKENS).splitlines():
                yield f"{about}, output: {line.strip()}"

    matches = [line for line in lines() if text.lower() in line.partition(": ")[2].lower()]
    if not matches:
        return f"{text!r} is in no cell and no output.", ()
    return _listed(here, matches, len(matches), "more matches"), ()


def _read_file(
    here: Here,
    context: Context,
    session: Session,
    path: str,
    start: int | None = None,
    end: int | None = None,
) -> Found:
    folder = folder_of(here.path).resolve()
    hidden = [auth_path(session.env.codex_home), session.env.home]
    target = (folder / path.strip()).resolve() if "\0" not in path else folder.parent
    if not target.is_relative_to(folder) or target.is_relative_to("/proc"):
        raise NotThere("Only files in the notebook's folder can be read.")
    if holds_secrets(target, hidden) or holds_secrets(folder / Path(path).name, hidden):
        raise NotThere("Files that hold secrets are not read.")
    if target.is_dir():
        entries = sorted(islice(target.iterdir(), MOST_ENTRIES), key=lambda each: (each.is_file(), each.name))
        names = [each.name + "/" * each.is_dir() for each in entries]
        return _listed(here, names, len(names), "more") if names else "The folder is empty.", ()
    found = file_in(folder, str(target))
    if found is None or holds_secrets(found, hidden):  # what it links to may have changed
        raise NotThere(f"There is no file {path!r}. The path {'.'!r} lists the folder.")
    lines = (start or 1, end or 10**9) if start or end else None
    seen = read_whole(path, found, lines)
    return cut_middle(here.mask(seen.text), TOKENS), seen.images


def _listed(here: Here, lines: Iterable[str], total: int, rest: str) -> str:
    """Return as many lines as there is room for, and how many are left."""
    shown: list[str] = []
    left = LIST_TOKENS
    for line in lines:
        line = here.mask(line)
        line = line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]}…"
        left -= estimate(line) + 1
        if left < 0:
            break
        shown.append(line)
    return "\n".join([*shown, f"[{total - len(shown)} {rest}]"] if len(shown) < total else shown)


_READERS: dict[str, Callable[..., Found]] = {
    "list_variables": _list_variables,
    "inspect_variable": _inspect_variable,
    "read_notebook": _read_notebook,
    "search_notebook": _search_notebook,
    "read_file": _read_file,
}
