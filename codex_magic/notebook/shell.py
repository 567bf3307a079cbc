"""The IPython shell that runs the cells: which cell runs, how a failed one ends, what an upgrade means for it.

Imported by `%load_ext`, so it imports nothing that costs.
"""

from __future__ import annotations

import os
import re
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from traitlets import Bool, Float, HasTraits, Int, Unicode

from .. import __file__ as _FILE
from .. import __version__
from ..protocol.ids import is_cell_id

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

shells: WeakValueDictionary[int, InteractiveShell] = WeakValueDictionary()
"""The shells with the extension by their `id()`: a rewritten cell finds its own, whatever its names mean."""


def is_kernel(shell: InteractiveShell) -> bool:
    """Whether a front end shows rich output, as opposed to a terminal."""
    return getattr(shell, "kernel", None) is not None


def request(shell: InteractiveShell) -> dict[str, Any]:
    """Return the message that the kernel is handling; nothing in a terminal."""
    if (kernel := getattr(shell, "kernel", None)) is None:
        return {}
    try:
        return kernel.get_parent("shell") or {}
    except TypeError:  # xeus-python's names no channel
        return kernel.get_parent() or {}


def message_id(message: dict[str, Any]) -> str:
    return str((message.get("header") or {}).get("msg_id") or "")


def client_of(message: dict[str, Any]) -> str | None:
    """Return the session of who sent the message."""
    session = (message.get("header") or {}).get("session")
    return session if isinstance(session, str) else None


def cell_id(shell: InteractiveShell) -> str | None:
    """Return the id of the running cell as its front end sent it; `None` when it sends none."""
    metadata: dict[str, Any] = request(shell).get("metadata") or {}
    cells = [metadata.get(name) for name in ("cellId", "cell_id")]
    cell = next((each for each in cells if isinstance(each, str) and each), None)
    if cell is None or is_cell_id(cell):
        return cell
    # VS Code's address of a cell is made of its place: the next session's cell there is another.
    return f"{Path(connection_file(getattr(shell, 'kernel', None)) or '').stem}:{cell}"


def connection_file(kernel: Any) -> str | None:
    """Return the path of the kernel's connection file; its name holds the kernel's id, which a restart keeps."""
    file = getattr(getattr(kernel, "parent", None), "connection_file", None)
    return str(file) if file else None


def _setting(help: str, default: str = "") -> Unicode[str, str | bytes]:
    return Unicode(default, help=help).tag(config=True)


class NotebookSettings(HasTraits):
    """What a user sets for a notebook with %config or in ipython_config.py; empty stands for the default."""

    model = _setting("The model; empty: the provider's own default.")
    provider = _setting("chatgpt, openai, local or a base URL; empty: what is signed in.")
    effort = _setting("How long the model thinks; empty: the model's own default.")
    verbosity = _setting("low, medium or high; empty: the model's own default.")
    tier = _setting("The service tier; empty: the account's default.")
    instructions = _setting("Instructions for the model; empty: the default ones.")
    context = _setting(
        "What of the notebook goes along with a question: none, above, outputs or all.", "above"
    )
    sample_rows = Int(
        5, min=0, help="Rows of a mentioned table that go along; 0: how it is built alone."
    ).tag(config=True)

    reads = _setting(
        "Whether the model may read variables, cells, outputs and files on its own: ask, yes or no.", "ask"
    )
    answers = _setting(
        "Whether stored answers will do: auto, keep, new or replay; empty: CODEX_MAGIC_ANSWERS, or auto."
    )
    runs = _setting("Whether the model may run code in this kernel: ask, probes or no.", "ask")
    trial = Bool(False, help="Whether code is tried in a copy of the kernel before you are asked.").tag(
        config=True
    )
    trial_seconds = Float(20.0, min=0.1, help="Until code that is tried is stopped.").tag(config=True)
    secrets = _setting(
        "Names of variables whose texts are never sent, with blanks between; `a.b['c']` will do."
    )
    prompts = _setting(
        "The folder of your own prompts for `%codex fix` and its like; empty: beside the threads."
    )

    suggestions = Bool(
        False,
        help="Whether a model suggests in a terminal how the code that is typed continues. JupyterLab: see its settings.",
    ).tag(config=True)
    suggestion_model = _setting("The model that suggests; empty: a small one of those that are offered.")
    suggestion_tokens = Int(
        200_000, min=0, help="Tokens that suggestions may cost in a day, in all kernels and terminals."
    ).tag(config=True)

    engine = _setting(
        "Who answers: backend, or app-server, the agent that runs commands and edits files.", "backend"
    )
    sandbox = _setting("What the agent may access: read-only, workspace-write or full-access.", "read-only")
    approval = _setting("Who approves the agent's actions: ask, untrusted, deny or auto.", "ask")
    cwd = _setting("The folder the agent works in; empty: the kernel's own.")


class _WithoutTraceback(BaseException):
    def _render_traceback_(self) -> list[str]:
        return []


class CellFailed(_WithoutTraceback, Exception):
    """Ends a cell as failed, without a traceback: what happened is on screen, and its text for papermill."""


class CellStopped(_WithoutTraceback, KeyboardInterrupt):
    """The user stopped the cell."""


class NotSent(Exception):
    """The user took a question back while it waited for the answer before it."""


TOGETHER_SECONDS = 0.1
"""Between two cells that a front end sends in one go; nobody presses a key so fast."""


class CellLog:
    """Notes the cells of one shell as they run; `runs` makes something of it."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self._at = self.began = time.time()
        self._lags: dict[str, float] = {}
        self._latest: tuple[str, float] | None = None
        self.is_one_of_many = False
        """Whether the running cell was sent right after the one before it, by a page where somebody is."""
        self.cells: set[str] = set()
        self.deleted: dict[str, float] = {}
        """The cells that are gone, as far as the front end said so, each with the time of that."""
        self.pages: dict[str, set[str]] = {}
        """The cells of each notebook, by its path, as our extension of the page told them last."""
        self.ended: dict[int, tuple[str, str | None, float, str]] = {}
        """By number: source, id, when it began, and what it failed with, in a line."""
        self.failure: tuple[int, BaseException] | None = None
        self.reruns: dict[int, tuple[str, str, int, BaseException | None]] = {}
        """By number, where a cell ran corrected code: its own text, the code, which cell that corrects, how it failed."""

    def begin(self) -> None:
        """Note that a cell begins: IPython's `pre_execute`."""
        self._at = time.time()
        sent = self._sent()
        if sent is not None:
            session, at = sent
            self._lags[session] = min(self._at - at, self._lags.get(session, self._at - at))
            if sent != self._latest:
                before, self._latest = self._latest, sent
                is_next = before is not None and before[0] == session and at - before[1] < TOGETHER_SECONDS
                # Programs that answer no questions (nbclient) send a cell when the one before it is done.
                is_page = bool((request(self.shell).get("content") or {}).get("allow_stdin"))
                self.is_one_of_many = is_next and is_page
        for deleted in (request(self.shell).get("metadata") or {}).get("deletedCells") or ():
            self.deleted[str(deleted)] = self._at
        if (cell := cell_id(self.shell)) is not None:
            self.cells.add(cell)
            self.deleted.pop(cell, None)  # the deletion was undone

    def _sent(self) -> tuple[str, float] | None:
        """Return the front end that sent the running cell, and when, by its own clock."""
        header = request(self.shell).get("header") or {}
        date = header.get("date")
        return (str(header.get("session")), date.timestamp()) if isinstance(date, datetime) else None

    def sent_at(self) -> float:
        """Return when the running cell was sent, in Unix seconds: not before that, and at most a message's way after.

        The clock of a front end may be wrong: what came the fastest of its messages tells how much.
        """
        if (sent := self._sent()) is None:
            return self._at
        session, at = sent
        return at + self._lags.get(session, 0.0)

    def end(self, result: Any) -> None:
        """Note how a cell has ended: IPython's `post_run_cell`."""
        number, info = result.execution_count, result.info
        if info is None or not info.store_history or number is None:
            return
        source, cell = str(info.raw_cell).rstrip("\n"), cell_id(self.shell)
        error = result.error_before_exec or result.error_in_exec
        asked, code, _, failure = self.reruns.get(number, ("", "", 0, None))
        if code and asked == source:
            source, error = code, failure
            if error is None:
                self.failure = None  # it was corrected
        if error is not None and not isinstance(error, CellFailed | CellStopped):
            self.ended[number] = (source, cell, self._at, _line(error))
            self.failure = number, error
            return
        self.ended[number] = (source, cell, self._at, "")
        if self.failure is not None:
            failed_source, failed_cell, *_ = self.ended[self.failure[0]]
            if (cell or source) == (failed_cell or failed_source):
                self.failure = None

    def failure_of(self, cell: str, number: int) -> str | None:
        """Return whether that run failed here: `last` if no other has since, `earlier`, or `None`."""
        _, ran, _, error = self.ended.get(number, ("", None, 0.0, ""))
        if not error or ran != cell:
            return None
        return "last" if self.failure is not None and self.failure[0] == number else "earlier"


def _line(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:1000]
    except Exception:  # noqa: BLE001  # an error's own `__str__` runs here
        return type(error).__name__


_PACKAGE = __package__.partition(".")[0]


class _SkippedModules(dict[str, bool]):
    """`skip_modules` of `%autoreload`, with all of ours among them, those not imported yet too.

    To reload them one by one mixes two versions of a class, and a turn would wait for an end of the other.
    """

    def __contains__(self, name: object) -> bool:
        ours = isinstance(name, str) and name.partition(".")[0] == _PACKAGE
        return ours or super().__contains__(name)


def skip_reload(shell: InteractiveShell) -> None:
    """Keep `%autoreload` from this package, if it is loaded by now."""
    reloader: Any = getattr(shell.magics_manager.registry.get("AutoreloadMagics"), "_reloader", None)
    if reloader is not None and not isinstance(reloader.skip_modules, _SkippedModules):
        reloader.skip_modules = _SkippedModules(reloader.skip_modules)


class Installed:
    """Watches for another version of this package on disk."""

    _modified_at = os.stat(_FILE).st_mtime_ns

    def news(self) -> str | None:
        """Return a sentence, once for each version that takes the place of this one."""
        try:
            if (modified_at := os.stat(_FILE).st_mtime_ns) == self._modified_at:
                return None
            text = Path(_FILE).read_text(encoding="utf-8")
        except OSError:  # an upgrade is under way
            return None
        self._modified_at = modified_at
        version = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
        if version is None or version[1] == __version__:
            return None
        return f"{_PACKAGE} {version[1]} is installed, this kernel runs {__version__}: restart the kernel."
