"""`%codex` and `%%codex`. Imported by `%load_ext`, so it imports nothing that costs: no httpx, no
ipywidgets, no Markdown, no SQLite before the first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Unicode

from .outcome import silence, unsilence

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
        with self.session.request(alone=False):
            drive(run(self.session, line, cell))

    async def run_async(self, line: str, cell: str | None) -> None:
        """The same in an async cell, so that buttons answer while it runs."""
        from .cells import run
        from .drive import drive_async

        self.session.blocking = False
        with self.session.request(alone=True):
            await drive_async(run(self.session, line, cell))

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class CodexCells:
    """An input transformer, first in line, so that a prompt arrives as it was typed.

    IPython's own steps would strip `>>> ` from a prompt and take a question mark at its end for a
    request for help. A `%%codex` cell, or a lone `%codex` line, becomes `await ...` in a kernel, so
    that buttons answer while it runs, and a plain magic call in a terminal, which stops that better.
    What runs inside another cell (`%%time`, `run_cell`) is transformed while that cell executes and
    stays a plain call too, since those callers can't await.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._executing = 0

    def pre_execute(self) -> None:
        self._executing += 1

    def post_execute(self) -> None:
        self._executing = max(0, self._executing - 1)

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
        if self._can_await():
            return f"await __import__('codex_magic').run_cell({line!r}, {cell!r})\n"
        return f"__import__('codex_magic').run_cell_blocking({line!r}, {cell!r})\n"

    def _can_await(self) -> bool:
        in_kernel = getattr(self._shell, "kernel", None) is not None
        return in_kernel and self._shell.autoawait and not self._executing


def _is_magic(line: str, name: str) -> bool:
    return line.startswith(name) and line[len(name) : len(name) + 1] in ("", " ", "\t", "\n", "\r")


def loaded(shell: InteractiveShell) -> CodexMagics | None:
    """The magics of this shell, if the extension is loaded."""
    found = shell.magics_manager.registry.get("CodexMagics")
    return found if isinstance(found, CodexMagics) else None


def load(shell: InteractiveShell) -> None:
    if loaded(shell) is not None:
        return
    shell.register_magics(CodexMagics)
    _complete_with(shell)
    silence(shell)
    cells = CodexCells(shell)
    shell.input_transformers_cleanup.insert(0, cells)
    shell.events.register("pre_execute", cells.pre_execute)
    shell.events.register("post_execute", cells.post_execute)


def unload(shell: InteractiveShell) -> None:
    magics = loaded(shell)
    if magics is None:
        return
    magics.close()
    for cells in [step for step in shell.input_transformers_cleanup if isinstance(step, CodexCells)]:
        shell.input_transformers_cleanup.remove(cells)
        shell.events.unregister("pre_execute", cells.pre_execute)
        shell.events.unregister("post_execute", cells.post_execute)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("codex", None)
    shell.magics_manager.registry.pop("CodexMagics", None)
    shell.configurables.remove(magics)  # type: ignore[arg-type]  # a list of Configurables, typed by its first
    unsilence(shell)


def run_cell(line: str, cell: str | None) -> Coroutine[Any, Any, None]:
    """What a rewritten cell awaits."""
    return _magics().run_async(line, cell)


def run_cell_blocking(line: str, cell: str | None) -> None:
    """What a rewritten cell calls where nothing can be awaited."""
    _magics().run(line, cell)


def _magics() -> CodexMagics:
    from IPython.core.getipython import get_ipython

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
