"""`%codex` and `%%codex`. Imported by `%load_ext`, so it imports nothing that costs: no httpx, no
ipywidgets, no Markdown, no SQLite before the first use."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from IPython.core.async_helpers import _asyncio_runner
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from .shell import Installed, NotebookSettings, cell_id, register, silence, skip_reload, unsilence

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .session import Session


@magics_class
class CodexMagics(NotebookSettings, Magics):
    """Settings of the notebook; set them with %config CodexMagics.NAME = ... or in ipython_config.py."""

    def __init__(self, shell: InteractiveShell, **kwargs: Any) -> None:
        super().__init__(shell=shell, **kwargs)
        self._session: Session | None = None
        self._cells: set[str] = set()
        self._installed = Installed()
        self.number = register(shell)

    @property
    def session(self) -> Session:
        """The state of this notebook; created at first use."""
        if self._session is None:
            from .session import Session

            assert self.shell is not None  # traitlets allows None; `load` passes it
            self._session = Session(self.shell, self, self._cells, self._installed)
        return self._session

    @no_var_expand
    @line_cell_magic
    def codex(self, line: str, cell: str | None = None) -> None:
        """`%%codex [options]` asks what the cell says; `%codex TEXT` asks in one line; `%codex help`."""
        from .cells import run_cell_blocking

        run_cell_blocking(line, cell, self.number)

    def note_cell(self) -> None:
        """Remember the running cell: it tells which notebook this is."""
        if self.shell is not None and (cell := cell_id(self.shell)) is not None:
            self._cells.add(cell)

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

    def __init__(self, shell: InteractiveShell, number: int) -> None:
        self._shell, self._number = shell, number
        self._executing: deque[str | None] = deque(maxlen=32)  # more than execute at a time

    def pre_execute(self) -> None:
        self._executing.append(self._request())
        skip_reload(self._shell)

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
        # `__import__` in one expression: the cell binds no name of ours, and no name of the user's is in its way.
        function = "run_cell" if self._can_await() else "run_cell_blocking"
        call = f"__import__('codex_magic').{function}({line!r}, {cell!r}, {self._number})\n"
        return f"await {call}" if self._can_await() else call

    def _can_await(self) -> bool:
        """Whether the cell may await: our coroutines are asyncio's, `%autoawait trio` can't run them."""
        shell: Any = self._shell
        runs_asyncio = shell.autoawait and shell.loop_runner is _asyncio_runner
        return runs_asyncio and self._request() not in (None, *self._executing)

    def _request(self) -> str | None:
        """Return the id of the request that is being handled; `None` outside a kernel."""
        kernel: Any = getattr(self._shell, "kernel", None)
        header = (kernel.get_parent("shell") or {}).get("header") if kernel is not None else None
        return str(header["msg_id"]) if header else None


def _is_magic(line: str, name: str) -> bool:
    return line.startswith(name) and line[len(name) : len(name) + 1] in ("", " ", "\t", "\n", "\r")


def loaded(shell: InteractiveShell) -> CodexMagics | None:
    """Return the magics of this shell, if the extension is loaded."""
    magics = shell.magics_manager.registry.get("CodexMagics")
    return magics if isinstance(magics, CodexMagics) else None


def load(shell: InteractiveShell) -> None:
    """Add the magics, their completion and the transformer, unless they are there."""
    if loaded(shell) is not None:
        return
    magics = CodexMagics(shell)
    shell.register_magics(magics)
    magics.note_cell()
    shell.events.register("pre_execute", magics.note_cell)

    def complete(_: InteractiveShell, event: Any) -> list[str]:
        from .commands import complete as completions

        current = loaded(shell)  # a hook stays when the extension is unloaded, or loaded again
        return completions(current.session, event.line, event.symbol) if current is not None else []

    for command in ("%codex", "%%codex"):
        shell.set_hook(  # type: ignore[no-untyped-call]  # IPython's hooks are untyped
            "complete_command", complete, str_key=command
        )
    silence(shell)
    skip_reload(shell)
    cells = CodexCells(shell, magics.number)
    shell.input_transformers_cleanup.insert(0, cells)
    shell.events.register("pre_execute", cells.pre_execute)


def unload(shell: InteractiveShell) -> None:
    """Take away what `load` has added."""
    if (magics := loaded(shell)) is None:
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
