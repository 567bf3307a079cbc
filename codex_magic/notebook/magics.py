"""`%codex` and `%%codex`. Imported by `%load_ext`, so it imports nothing that costs before the first use."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from threading import RLock
from typing import TYPE_CHECKING, Any

from IPython.core.async_helpers import _asyncio_runner
from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher
from IPython.core.inputtransformer2 import TransformerManager, make_tokens_by_line
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand

from ..protocol import use_host
from .shell import (
    CellFailed,
    CellLog,
    CellStopped,
    NotebookSettings,
    message_id,
    request,
    shells,
    skip_reload,
)

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..values.host import Host
    from .extension import Extension, Send, Suggesting
    from .runs import Runs
    from .session import Session


@magics_class
class CodexMagics(NotebookSettings, Magics):
    """Settings of the notebook; set them with %config CodexMagics.NAME = ... or in ipython_config.py."""

    def __init__(self, shell: InteractiveShell, **kwargs: Any) -> None:
        super().__init__(shell=shell, **kwargs)
        self._session: Session | None = None
        self.log = CellLog(shell)
        self._runs: Runs | None = None
        shells[id(shell)] = shell
        self._lock = RLock()  # the page's first word and the first cell come in threads of their own
        self._extension: Extension | None = None

    @property
    def past(self) -> Runs:
        """What has run in this shell; created at first use."""
        if self._runs is None:
            from .runs import Runs

            assert self.shell is not None  # traitlets allows None; `load` passes it
            self._runs = Runs(self.shell, self.log)
        return self._runs

    @property
    def extension(self) -> Extension:
        """What the page's own extension says and hears; created at first use."""
        with self._lock:
            if self._extension is None:
                from .extension import Extension

                kernel = getattr(self.shell, "kernel", None)
                self._extension = Extension(kernel, self.log, self._answer_panel, suggesting=self._suggesting)
            return self._extension

    def _suggesting(self, send: Send) -> Suggesting:
        from .page_requests import PageRequests  # most pages want none

        return PageRequests(lambda: self.session.suggestions, send)

    def turn_suggestions(self, _: object = None) -> None:
        """Show ghost text in a terminal as long as the settings say so."""
        from .ghost_text import turn  # few users have it

        assert self.shell is not None  # traitlets allows None; `load` passes it
        turn(self.shell, lambda: self.session.suggestions, self)

    def hear(self, stream: Any, identity: Any, message: dict[str, Any]) -> None:
        """Answer a request of the page's extension, in the kernel's control thread."""
        self.extension.hear(stream, identity, message)

    def _answer_panel(self, content: Mapping[str, Any]) -> dict[str, Any]:
        from .panel import answer

        return answer(self.session, content)

    @property
    def session(self) -> Session:
        """The state of this notebook; created at first use."""
        with self._lock:
            if self._session is None:
                from .session import Session

                assert self.shell is not None  # traitlets allows None; `load` passes it
                self._session = Session(self.shell, self, self.past, self.extension)
        self._session.heed_termination()  # where a page came first, it could not be in the main thread
        return self._session

    def as_host(self) -> Host:
        """Return what questions from Python go by in this notebook."""
        from .answers import NotebookHost

        return NotebookHost(self.session)

    @no_var_expand
    @line_cell_magic
    def codex(self, line: str, cell: str | None = None) -> None:
        """Ask Codex: the cell below `%%codex [OPTIONS]`, or one line, `%codex [OPTIONS] TEXT`.

        %codex Explain the difference between loc and iloc.
        %codex status

        `%codex help` lists all commands and options.
        """
        from .cells import run_cell_blocking

        run_cell_blocking(line, cell, id(self.shell))

    @context_matcher(identifier="codex_magic", priority=200)  # type: ignore[untyped-decorator]  # IPython's
    def complete(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete what stands behind `%codex` and `%%codex`, in place of what IPython offers there."""
        typed = context.text_until_cursor.lstrip()
        is_ours = _is_magic(typed, "%codex") or _is_magic(typed, "%%codex")
        if is_ours:
            from .commands import offers

            symbol = "" if typed[-1].isspace() else typed.split()[-1]
            if (words := offers(self.session, typed, symbol)) is not None:
                # What is typed stands for nothing to add: where we offer nothing, IPython offers all it has.
                found = [SimpleCompletion(word, type="codex") for word in words or [symbol]]
                return {"completions": found, "matched_fragment": symbol, "suppress": True}
        elif "%%codex" not in context.full_text:
            return {"completions": []}
        from . import completion

        if is_ours or completion.is_question(context):
            assert self.shell is not None  # traitlets allows None; `load` passes it
            return completion.complete(self.shell, context)
        return {"completions": []}

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class CodexCells:
    """An input transformer, first in line, so that a prompt arrives as it was typed.

    IPython's own steps would strip `>>> ` from a prompt and take a question mark at its end for a
    request for help. A `%%codex` cell, or a lone `%codex` line, becomes `await ...` in a kernel, so
    that buttons answer while it runs, and a plain magic call in a terminal, which stops that better.
    What runs inside another cell (`%%time`, `run_cell`) or among other code stays a plain call too: its
    callers can't await. Ends are not counted: IPython tells none of a nested `run_cell_async`.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._executing: deque[str] = deque(maxlen=32)  # more than execute at a time

    def pre_execute(self) -> None:
        self._executing.append(message_id(request(self._shell)))
        skip_reload(self._shell)

    def check_complete(self, cell: str) -> tuple[str, int | None]:
        """Answer a terminal whether the cell is whole: an empty line ends it. IPython would look at our `await`."""
        if not _is_magic(cell, "%%codex"):
            manager: TransformerManager = self._shell.input_transformer_manager
            answer: tuple[str, int | None] = TransformerManager.check_complete(manager, cell)
            return answer
        typed = cell[len("%%codex") :].rstrip(" \t")
        is_whole = typed.endswith("\n") and (typed.strip() or typed.endswith("\n\n"))
        return ("complete", None) if is_whole else ("incomplete", 0)

    def __call__(self, lines: list[str]) -> list[str]:
        start = next((n for n, line in enumerate(lines) if line.strip() and line[0] != "#"), None)
        if start is None:
            return lines
        head, body = lines[start], "".join(lines[start + 1 :])
        # Our coroutines are asyncio's, which `%autoawait trio` can't run; what runs inside another cell can't wait.
        runs_asyncio = self._shell.autoawait and self._shell.loop_runner is _asyncio_runner
        awaits = runs_asyncio and message_id(request(self._shell)) not in ("", *self._executing)
        if _is_magic(head, "%%codex"):
            return [self._call(head[len("%%codex") :].strip(), body, awaits=awaits)]
        if _is_magic(head, "%codex") and not body.strip():
            return [self._call(head[len("%codex") :].strip(), None, awaits=awaits)]
        if head.startswith("%%"):
            return lines
        calls = {
            n: question[1] + self._call(question[2], None, awaits=False)
            for n, line in enumerate(lines)
            if "%codex" in line
            and (question := re.fullmatch(_QUESTION, line))
            and _is_statement(lines[: n + 1])
        }
        return [calls.get(n, line) for n, line in enumerate(lines)]

    def _call(self, line: str, cell: str | None, *, awaits: bool) -> str:
        # `__import__` in one expression: the cell binds no name of ours, and no name of the user's is in its way.
        function = "run_cell" if awaits else "run_cell_blocking"
        call = f"__import__('codex_magic').{function}({line!r}, {cell!r}, {id(self._shell)})\n"
        return f"await {call}" if awaits else call


_QUESTION = r"(\s*(?:[^%#'\"]*=\s*)?)[%]codex\s+(.*\?)\s*"
"""A line that IPython would take for a request for help. Compiled where one may be: few notebooks have any."""


def _is_magic(line: str, name: str) -> bool:
    return line.startswith(name) and line[len(name) : len(name) + 1] in ("", " ", "\t", "\n", "\r")


def _is_statement(lines: list[str]) -> bool:
    """Whether a statement begins in the last line, as opposed to text inside a string."""
    code = [re.sub(r"%codex\b.*", "pass", line) for line in lines]
    starts = (token.start for line in make_tokens_by_line(code) for token in line if token.string.strip())
    return (len(lines), len(lines[-1]) - len(lines[-1].lstrip())) in starts


QUIET = (CellFailed, CellStopped)


def _show_nothing(
    shell: Any, kind: type[BaseException], error: BaseException, trace: object, tb_offset: object = None
) -> list[str]:
    """Show no traceback: what happened is on screen. Unattended, papermill and nbclient look for the sentence."""
    from .environment import is_attended

    if str(error) and not is_attended(shell):
        shell._showtraceback(kind, error, [f"{kind.__name__}: {error}"])
    else:
        shell._last_traceback = []  # ipykernel would send the one before with this cell's reply
    return []


PAGE_REQUEST = "codex_request"
"""The type of the messages that our extension of JupyterLab sends; it comes over the control channel."""

READY = "codex_ready"
"""The type of the message that they hear once it is read."""


def control_handlers(shell: InteractiveShell) -> dict[str, Any] | None:
    """Return what answers the kernel's control channel; a terminal has none."""
    return getattr(getattr(shell, "kernel", None), "control_handlers", None)


def greet(shell: InteractiveShell) -> None:
    """Tell the pages of this kernel that it reads their requests from now on; what they said before is lost."""
    kernel = shell.kernel  # type: ignore[attr-defined]  # only a kernel's shell has one
    if kernel.iopub_socket is not None:
        kernel.session.send(kernel.iopub_socket, READY, {}, parent={}, ident=READY.encode())


def loaded(shell: InteractiveShell) -> CodexMagics | None:
    magics = shell.magics_manager.registry.get("CodexMagics")
    return magics if isinstance(magics, CodexMagics) else None


def load(shell: InteractiveShell) -> None:
    """Add the magics, their completion and the transformer, unless they are there."""
    if loaded(shell) is not None:
        return
    magics = CodexMagics(shell)
    shell.register_magics(magics)
    magics.log.begin()
    shell.events.register("pre_execute", magics.log.begin)
    shell.events.register("post_run_cell", magics.log.end)

    shell.Completer.custom_matchers.append(magics.complete)
    if not shell.custom_exceptions:  # unless someone else handles some already
        shell.set_custom_exc(QUIET, _show_nothing)  # type: ignore[no-untyped-call]  # IPython is untyped here
    skip_reload(shell)
    if (handlers := control_handlers(shell)) is not None:
        handlers[PAGE_REQUEST] = magics.hear
        greet(shell)
    if hasattr(shell, "auto_suggest"):  # a terminal
        magics.observe(magics.turn_suggestions, "suggestions")
        if magics.suggestions:
            magics.turn_suggestions()
    cells = CodexCells(shell)
    shell.input_transformers_cleanup.insert(0, cells)
    shell.input_transformer_manager.check_complete = cells.check_complete
    shell.events.register("pre_execute", cells.pre_execute)
    use_host(magics.as_host)


def unload(shell: InteractiveShell) -> None:
    """Take away what `load` has added."""
    if (magics := loaded(shell)) is None:
        return
    magics.suggestions = False
    magics.close()
    use_host(None)
    if (handlers := control_handlers(shell)) is not None:
        handlers.pop(PAGE_REQUEST, None)
    shell.events.unregister("pre_execute", magics.log.begin)
    shell.events.unregister("post_run_cell", magics.log.end)
    manager = shell.input_transformer_manager
    for cells in [step for step in shell.input_transformers_cleanup if isinstance(step, CodexCells)]:
        shell.input_transformers_cleanup.remove(cells)
        shell.events.unregister("pre_execute", cells.pre_execute)
        if vars(manager).get("check_complete") == cells.check_complete:
            del manager.check_complete
    shell.Completer.custom_matchers.remove(magics.complete)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("codex", None)
    shell.magics_manager.registry.pop("CodexMagics", None)
    shell.configurables.remove(magics)  # type: ignore[arg-type]  # a list of Configurables, typed by its first
    if shell.custom_exceptions == QUIET:
        shell.set_custom_exc((), None)  # type: ignore[no-untyped-call]  # IPython is untyped here
