"""`%codex` and `%%codex`. Imported by `%load_ext`, so it imports nothing that costs: no httpx, no
ipywidgets, no Markdown, no SQLite before the first use."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from IPython.core.async_helpers import _asyncio_runner
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Unicode

from .outcome import CellStopped, silence, unsilence
from .upgrade import Installed, spare

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from IPython.core.interactiveshell import InteractiveShell

    from .session import Session


@magics_class
class CodexMagics(Magics):
    """Settings of the notebook; set them with %config CodexMagics.NAME = ... or in ipython_config.py."""

    model = Unicode("", help="The model; empty: the provider's own default.").tag(config=True)
    provider = Unicode("", help="chatgpt, openai, local or a base URL; empty: what is signed in.").tag(
        config=True
    )
    effort = Unicode("", help="How long the model thinks; empty: the model's own default.").tag(config=True)
    verbosity = Unicode("", help="low, medium or high; empty: the model's own default.").tag(config=True)
    tier = Unicode("", help="The service tier; empty: the account's default.").tag(config=True)
    instructions = Unicode("", help="What the model is told about where it is; empty: ours.").tag(config=True)

    engine = Unicode(
        "backend", help="Who answers: backend, or app-server, the agent that runs commands and edits files."
    ).tag(config=True)
    sandbox = Unicode(
        "read-only", help="What the agent reaches: read-only, workspace-write or full-access."
    ).tag(config=True)
    approval = Unicode("ask", help="Who says yes to the agent: ask, untrusted, deny or auto.").tag(
        config=True
    )
    cwd = Unicode("", help="The folder the agent works in; empty: the kernel's own.").tag(config=True)

    def __init__(self, shell: InteractiveShell, **kwargs: Any) -> None:
        super().__init__(shell=shell, **kwargs)
        self._session: Session | None = None
        self.cells: set[str] = set()
        """The ids of the cells that ran since the extension was loaded."""
        self.installed = Installed()
        self.number = next(_numbers)
        _by_number[self.number] = self

    @property
    def session(self) -> Session:
        """The state of this notebook; made at first use."""
        if self._session is None:
            from .session import Session

            assert self.shell is not None  # traitlets allows None; `load` passes it
            self._session = Session(self.shell, self)
        return self._session

    @no_var_expand
    @line_cell_magic
    def codex(self, line: str, cell: str | None = None) -> None:
        """`%%codex [options]` asks what the cell says; `%codex TEXT` asks in one line; `%codex help`."""
        self.run(line, cell)

    def run(self, line: str, cell: str | None) -> None:
        """Run the cell or line to its end, blocking."""
        from .cells import run
        from .drive import drive

        self.session.blocking = True
        try:
            with self.session.request(alone=False):
                drive(run(self.session, line, cell))
        except KeyboardInterrupt:  # it comes anywhere, between the steps too
            raise CellStopped from None

    async def run_async(self, line: str, cell: str | None) -> None:
        """The same in an async cell, so that buttons answer while it runs."""
        from .cells import run
        from .drive import drive_async

        self.session.blocking = False
        with self.session.request(alone=True):
            await drive_async(run(self.session, line, cell))

    def note_cell(self) -> None:
        """Remember the running cell: it tells which notebook this is."""
        from .identity import cell_id

        if self.shell is not None and (cell := cell_id(self.shell)) is not None:
            self.cells.add(cell)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class CodexCells:
    """An input transformer, first in line, so that a prompt arrives as it was typed.

    IPython's own steps would strip `>>> ` from a prompt and take a question mark at its end for a
    request for help. A `%%codex` cell, or a lone `%codex` line, becomes `await ...` in a kernel, so
    that buttons answer while it runs, and a plain magic call in a terminal, which stops that better.
    What runs inside another cell (`%%time`, `run_cell`) is transformed after that cell's request has begun
    to execute and stays a plain call too, since those callers can't await. Ends are not counted: IPython
    tells none of a nested `run_cell_async`.
    """

    def __init__(self, magics: CodexMagics, shell: InteractiveShell) -> None:
        self._number = magics.number
        self._shell = shell
        self._begun: deque[str | None] = deque(maxlen=_SUBSHELLS)

    def pre_execute(self) -> None:
        self._begun.append(self._request())
        spare(self._shell)

    def __call__(self, lines: list[str]) -> list[str]:
        start = next((n for n, line in enumerate(lines) if line.strip()), None)
        if start is None:
            return lines
        head, body = lines[start], "".join(lines[start + 1 :])
        if _is_magic(head, "%%codex"):
            return [self._call(head[len("%%codex") :].strip(), body)]
        if _is_magic(head, "%codex") and not body.strip():
            return [self._call(head[len("%codex") :].strip(), None)]
        return lines

    def _call(self, line: str, cell: str | None) -> str:
        way = "await __import__('codex_magic').run_cell" if self._can_await() else _BLOCKING
        return f"{way}({line!r}, {cell!r}, {self._number})\n"

    def _can_await(self) -> bool:
        """Our coroutines are asyncio's: `%autoawait trio` and its like can't run them."""
        shell: Any = self._shell
        return (
            shell.autoawait
            and shell.loop_runner is _asyncio_runner
            and self._request() not in (None, *self._begun)
        )

    def _request(self) -> str | None:
        """The id of the request that is being handled; `None` outside a kernel."""
        kernel: Any = getattr(self._shell, "kernel", None)
        header = (kernel.get_parent("shell") or {}).get("header") if kernel is not None else None
        return str(header["msg_id"]) if header else None


_SUBSHELLS = 32
"""Requests that execute at a time, at most."""

_BLOCKING = "__import__('codex_magic').run_cell_blocking"

_numbers = count(1)
_by_number: WeakValueDictionary[int, CodexMagics] = WeakValueDictionary()
"""So that a rewritten cell finds its own shell's magics, whatever its names mean and however many there are."""


def _is_magic(line: str, name: str) -> bool:
    return line.startswith(name) and line[len(name) : len(name) + 1] in ("", " ", "\t", "\n", "\r")


def loaded(shell: InteractiveShell) -> CodexMagics | None:
    """The magics of this shell, if the extension is loaded."""
    found = shell.magics_manager.registry.get("CodexMagics")
    return found if isinstance(found, CodexMagics) else None


def load(shell: InteractiveShell) -> None:
    if loaded(shell) is not None:
        return
    magics = CodexMagics(shell)
    shell.register_magics(magics)
    magics.note_cell()
    shell.events.register("pre_execute", magics.note_cell)
    _complete_with(shell)
    silence(shell)
    spare(shell)
    cells = CodexCells(magics, shell)
    shell.input_transformers_cleanup.insert(0, cells)
    shell.events.register("pre_execute", cells.pre_execute)


def unload(shell: InteractiveShell) -> None:
    magics = loaded(shell)
    if magics is None:
        return
    magics.close()
    shell.events.unregister("pre_execute", magics.note_cell)
    for cells in [step for step in shell.input_transformers_cleanup if isinstance(step, CodexCells)]:
        shell.input_transformers_cleanup.remove(cells)
        shell.events.unregister("pre_execute", cells.pre_execute)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("codex", None)
    shell.magics_manager.registry.pop("CodexMagics", None)
    shell.configurables.remove(magics)  # type: ignore[arg-type]  # a list of Configurables, typed by its first
    unsilence(shell)


def run_cell(line: str, cell: str | None, number: int = 0) -> Coroutine[Any, Any, None]:
    """What a rewritten cell awaits; `number`: of its shell's magics, else IPython's own shell is meant."""
    return _magics(number).run_async(line, cell)


def run_cell_blocking(line: str, cell: str | None, number: int = 0) -> None:
    """What a rewritten cell calls where nothing can be awaited."""
    _magics(number).run(line, cell)


def _magics(number: int) -> CodexMagics:
    from IPython.core.getipython import get_ipython

    magics = _by_number.get(number)
    if magics is None:
        shell = get_ipython()
        magics = loaded(shell) if shell is not None else None
    if magics is None:
        raise RuntimeError("%load_ext codex_magic first")
    return magics


def _complete_with(shell: InteractiveShell) -> None:
    def complete(_: InteractiveShell, event: Any) -> list[str]:
        from .completion import complete as completions

        magics = loaded(shell)
        return completions(magics.session, event.line, event.symbol) if magics is not None else []

    for command in ("%codex", "%%codex"):
        shell.set_hook(  # type: ignore[no-untyped-call]  # IPython's hooks are untyped
            "complete_command", complete, str_key=command
        )
