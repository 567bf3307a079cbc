"""Which notebook this kernel belongs to.

A notebook is what was asked and answered in it, not a path: JupyterLab names a notebook at its first save
and gives the old name to the next new one, files are moved and copied while their kernels run, and every
process that a kernel starts inherits its variables. `recognise` weighs the evidence.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from ..display import MIME
from ..protocol.ids import may_be_one_cell, names_a_cell, new_id
from .shell import connection_file

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..threads.store import NotebookClaim, NotebookRecord, Store


class _Answer(msgspec.Struct):
    turn: str | None = None


class _Data(msgspec.Struct, frozen=True):
    answer: _Answer | None = msgspec.field(name=MIME, default=None)


class _Output(msgspec.Struct):
    data: _Data = _Data()


class SavedCell(msgspec.Struct):
    id: str | None = None
    cell_type: str = "code"
    source: str | list[str] = ""
    outputs: list[_Output] = []

    @property
    def text(self) -> str:
        """Its source, without the ends of lines that front ends differ in."""
        return (self.source if isinstance(self.source, str) else "".join(self.source)).rstrip("\n")

    @property
    def turn_ids(self) -> set[str]:
        """The turns whose answers are among its outputs."""
        answers = (output.data.answer for output in self.outputs)
        return {answer.turn for answer in answers if answer is not None and answer.turn is not None}


class SavedNotebook(msgspec.Struct):
    """A notebook file as last saved."""

    cells: list[SavedCell]
    metadata: dict[str, Any] = {}

    @property
    def turn_ids(self) -> dict[str, str | None]:
        """The turns whose answers stand in it, each with its cell."""
        return {turn_id: cell.id for cell in self.cells for turn_id in cell.turn_ids}

    @property
    def lasting_ids(self) -> frozenset[str]:
        """Of its cells, those by which they are found again."""
        return frozenset(cell.id for cell in self.cells if cell.id is not None and names_a_cell(cell.id))

    @property
    def id(self) -> str | None:
        """The id that this notebook, or the one it is a copy of, has in the store."""
        ours = self.metadata.get(METADATA)
        id = ours.get("notebook") if isinstance(ours, dict) else None
        return id if isinstance(id, str) else None


METADATA = "codex_magic"
"""Of a notebook's metadata; our extension of the page writes it. `labextension/src/protocol.ts` has the same."""


class _PageCell(msgspec.Struct):
    id: str
    kind: str
    source: str | None = None
    turns: list[str] = []


def page_cells(run: object, ran: Mapping[str | None, str]) -> list[SavedCell]:
    """Return the cells as our extension of the page tells them; none where it tells nothing that can be read.

    `ran`: what ran in cells, by their ids, in place of what was too much for the page to tell.
    """
    try:
        cells = msgspec.convert(run["cells"], list[_PageCell]) if isinstance(run, Mapping) else []
    except (KeyError, msgspec.ValidationError):
        return []
    sources = [ran.get(each.id, "") if each.source is None else each.source for each in cells]
    return [
        SavedCell(each.id, each.kind, source, [_Output(_Data(_Answer(turn))) for turn in each.turns])
        for each, source in zip(cells, sources, strict=True)
    ]


class _PagePlace(msgspec.Struct):
    path: str = ""
    notebook: str | None = None


def _page_place(said: object) -> _PagePlace:
    """Return where the page says its notebook is, below the server's folder, and the id in its metadata."""
    try:
        return msgspec.convert(said or {}, _PagePlace)
    except msgspec.ValidationError:
        return _PagePlace()


def read_notebook(path: str) -> SavedNotebook | None:
    """Return a notebook file as last saved; `None` where there is none that can be read."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=SavedNotebook)
    except (OSError, ValueError, RecursionError):  # DecodeError and ValidationError are ValueErrors
        return None


def read_cells(path: str) -> list[SavedCell] | None:
    """Return the cells of a notebook file as last saved; `None` where there is none that can be read."""
    notebook = read_notebook(path)
    return notebook.cells if notebook is not None else None


SERVER_SECONDS = 1.0  # the first question waits so long for the kernel's server to say where the notebook is


class Evidence(NamedTuple):
    """What this process can say of its notebook before anything is looked up."""

    connection: str | None  # the kernel's connection file, whose name restarts keep
    path: str | None  # of the notebook's file; a renamed notebook's kernel still has the old one
    name: str | None  # what else the server calls it, and nothing else
    cells: frozenset[str]  # those that ran here, by their ids in the file
    started: float  # when this process began, in Unix seconds
    is_located: bool = False  # whether the path has just come from the page or the server
    notebook: str | None = None  # the id in its metadata, as the page has it

    @property
    def here(self) -> str | None:
        return self.path or self.name

    @property
    def kernel(self) -> str | None:
        return Path(self.connection).stem if self.connection else None


class Recognition(NamedTuple):
    """The notebook this is: one of the store, or a new one with no thread yet."""

    id: str
    thread_id: str | None
    original: NotebookRecord | None
    """This new one is a copy of it; both go on, so it needs a fork of the thread."""
    evidence: Evidence


def gather(
    shell: InteractiveShell, cells: set[str], env: Mapping[str, str] | None = None, *, said: object = None
) -> Evidence | None:
    """Return the evidence of this kernel; `None` in a terminal, which has no notebook.

    `said`: what our extension of the page told last of its notebook.
    """
    import psutil

    if (kernel := getattr(shell, "kernel", None)) is None:
        return None
    env = os.environ if env is None else env
    connection, lasting = connection_file(kernel), frozenset(filter(names_a_cell, cells))
    path, name = _place(shell, env)
    path, started = path and os.path.realpath(path), psutil.Process().create_time()
    evidence = Evidence(connection, path, name, lasting, started)
    place = _page_place(said)
    if place.path and (server := _server(connection, env)) is not None:
        path = os.path.realpath(os.path.join(server.root_dir, place.path))
        if os.path.isfile(path):
            evidence = evidence._replace(path=path, is_located=True)
    return evidence._replace(notebook=place.notebook)


def recognise(store: Store, evidence: Evidence) -> Recognition:
    """Return the notebook that the evidence speaks for, else a new one. What is heavier comes first:

    1. the kernel, unless cells that ran here prove that the file at its path, which has answers of another
       notebook only, is this one's;
    2. the id in the notebook's metadata: where its notebook is still elsewhere, or open there, this is a copy;
    3. answers saved in the file, in the same way;
    4. cells that a notebook is known to have, unless it is still elsewhere: what has a copy's cells and no
       answers was copied before anything was asked;
    5. the path alone, where cells can't speak.
    """
    file = _File(evidence)
    if file.is_doubtful or not file.is_readable:
        evidence = _with_server_path(evidence)
        file = _File(evidence)
    here = evidence.here
    cells, kernel = file.cell_ids | evidence.cells, evidence.kernel
    name = evidence.notebook or file.id
    claims = store.notebook_claims(name=name, answers=file.answers, cells=cells, kernel=kernel, path=here)

    def weight(claim: NotebookClaim) -> tuple[int, ...]:
        # A copy inherits what speaks for its original, so it is the original's path or its own turns that decide.
        is_here, is_itself = claim.notebook.path == here, claim.notebook.id == name
        return claim.is_named, len(claim.answers), len(claim.cells), is_here, claim.own_answers, is_itself

    claims.sort(key=weight, reverse=True)
    best, new = next(iter(claims), None), Recognition(new_id(), None, None, evidence)
    if best is None:
        return new
    same = Recognition(best.notebook.id, best.notebook.thread_id, None, evidence)
    speaks = best.is_named or bool(best.answers)
    for claim in claims:
        is_anothers = best.is_named and evidence.notebook is not None and not claim.is_named
        is_anothers = is_anothers or (file.is_confirmed and bool(best.answers) and not claim.answers)
        if claim.is_kernel and not is_anothers:
            return same._replace(id=claim.notebook.id, thread_id=claim.notebook.thread_id)
    if speaks or best.cells:
        is_here = here is not None and best.notebook.path == here
        # Copies without id and answers can't be told apart: what one of them may be, none of them is.
        rivals = [best] if speaks else [claim for claim in claims if claim.cells]
        if not is_here:
            is_copy = any(_is_elsewhere(store, claim) for claim in rivals)
        else:
            is_copy = best.used_elsewhere and file.is_doubtful
        return new._replace(original=best.notebook if speaks else None) if is_copy else same
    is_by_path = not best.used_elsewhere and file.may_be(store, best.notebook)
    return same if evidence.name is not None or is_by_path else new


class _File:
    """What the file at the kernel's path says, if that is still the notebook's path."""

    def __init__(self, evidence: Evidence) -> None:
        self._saved = read_notebook(evidence.path) if evidence.path else None
        self._evidence = evidence
        self.is_readable = self._saved is not None
        self.is_confirmed = self._saved is not None and not self._saved.lasting_ids.isdisjoint(evidence.cells)
        """A cell that ran here is in it."""
        self.is_doubtful = False
        if self.is_readable and not self.is_confirmed:
            with suppress(OSError):  # it was removed meanwhile
                self.is_doubtful = os.stat(evidence.path or "").st_ctime > evidence.started
        """The file was written after the kernel began, perhaps in place of one that was renamed."""
        self._is_another = self.is_doubtful and not evidence.is_located and bool(evidence.cells)
        trusted = SavedNotebook([]) if self._is_another or self._saved is None else self._saved
        self.id, self.cell_ids, self.answers = trusted.id, trusted.lasting_ids, trusted.turn_ids

    def may_be(self, store: Store, notebook: NotebookRecord) -> bool:
        """Whether the notebook that was last at this path may still be there, though none of its ids is.

        What can't be read says nothing, but a notebook that sends ids would have sent a known one. Else a
        cell that has no lasting id must ask what the notebook asked, whatever its options.
        """
        if self._saved is None or self._is_another:
            return self._saved is None and not self._evidence.cells
        for (by, prompt), cell in product(store.notebook_prompts(notebook.id), self._saved.cells):
            head, _, body = cell.text.partition("\n")
            question = body.strip() or head.partition(" ")[2].strip()
            asks = question and head.startswith(("%%codex", "%codex")) and prompt.strip().endswith(question)
            if asks and may_be_one_cell(by, cell.id):
                return True
        return False


def _is_elsewhere(store: Store, claim: NotebookClaim) -> bool:
    """Whether another kernel has the notebook open, or its file is still where it was last seen."""
    notebook = claim.notebook
    if claim.used_elsewhere or not (saved := read_notebook(notebook.path) if notebook.path else None):
        return claim.used_elsewhere
    claims = store.notebook_claims(
        name=saved.id, answers=saved.turn_ids, cells=saved.lasting_ids, kernel=None, path=None
    )
    return any(each.notebook.id == notebook.id for each in claims)


class _Server(msgspec.Struct):
    url: str
    root_dir: str
    token: str = ""


class _ServerSession(msgspec.Struct):
    kernel: dict[str, Any]
    path: str = ""


def _server(connection: str | None, env: Mapping[str, str]) -> _Server | None:
    """Return the server of the kernel: it leaves its address and token beside the kernel's connection file."""
    launcher = env.get("JPY_PARENT_PID", "")
    if connection is None or not launcher.isdecimal():
        return None
    try:
        file = Path(connection).with_name(f"jpserver-{launcher}.json")
        return msgspec.json.decode(file.read_bytes(), type=_Server)
    except (OSError, ValueError, RecursionError):
        return None


def _with_server_path(evidence: Evidence) -> Evidence:
    """Return the evidence with the path that the kernel's server names, which follows what JupyterLab renames.

    Asks on the loopback only; on a hub the server takes another token and says no.
    """
    if (server := _server(evidence.connection, os.environ)) is None:
        return evidence
    from urllib.parse import urlsplit
    from urllib.request import ProxyHandler, Request, build_opener

    try:
        if urlsplit(server.url).hostname not in ("127.0.0.1", "localhost", "::1"):
            return evidence
        headers = {"Authorization": f"token {server.token}"} if server.token else {}
        request = Request(server.url.rstrip("/") + "/api/sessions", headers=headers)
        with build_opener(ProxyHandler({})).open(request, timeout=SERVER_SECONDS) as answer:
            sessions = msgspec.json.decode(answer.read(), type=list[_ServerSession])
    except (OSError, ValueError, RecursionError):  # no such server, or none that talks to us
        return evidence
    for session in sessions:
        if f"kernel-{session.kernel.get('id')}" == evidence.kernel and session.path:
            path = os.path.realpath(os.path.join(server.root_dir, session.path))
            if read_cells(path) is not None:
                return evidence._replace(path=path, is_located=True)
    return evidence


def _place(shell: InteractiveShell, env: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the path of the notebook's file, or what else it is called: by Jupyter Server, VS Code, or Colab."""
    session = env.get("JPY_SESSION_NAME")
    if session and not _is_inherited(session, env.get("JPY_PARENT_PID", "")):
        if session.endswith(".ipynb"):
            # Without a session's name it is relative to the server's folder; the kernel is in the notebook's.
            return session if os.path.isabs(session) else os.path.basename(session), None
        # The folder alone: the session has no name.
        return (session, None) if os.path.isdir(session) else (None, f"session:{session}")
    vscode = shell.user_ns.get("__vsc_ipynb_file__")
    if isinstance(vscode, str) and vscode:
        return vscode, None
    if "google.colab" in sys.modules and env.get("COLAB_NOTEBOOK_ID"):
        return None, f"colab:{env['COLAB_NOTEBOOK_ID']}"
    return None, None


def _is_inherited(session: str, launcher: str) -> bool:
    """Whether `JPY_SESSION_NAME` is of the kernel that began whoever launched this one (nbclient, papermill).

    A server has no such variable itself. Processes between the launcher and here (`conda run`) have it as we do.
    """
    import psutil

    ancestors = psutil.Process().parents()
    pids = [str(process.pid) for process in ancestors]
    between = pids.index(launcher) if launcher in pids else 0
    try:
        if any("ipykernel" in part for process in ancestors[:between] for part in process.cmdline()):
            return True
        return bool(ancestors) and ancestors[between].environ().get("JPY_SESSION_NAME") == session
    except psutil.Error:  # another user's, or gone
        return False
