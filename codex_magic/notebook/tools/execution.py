"""Code that runs in the user's shell beside its cells: as a cell of theirs would, and without a trace in the shell.

IPython's own nested `run_cell` fires half of the hooks, rebinds `_`, and can't await in an asynchronous cell.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import functools
import getpass
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ...protocol.ids import new_id
from . import descriptors

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

Output = dict[str, Any]
"""As it stands in a notebook's file (nbformat)."""

MOST_CHARS = 100_000
"""Kept of the beginning of what one stream prints, and as many of its end."""

SHELLS = frozenset({"IPython", "ipykernel", "matplotlib", "matplotlib_inline"})
"""Whose hooks around a cell run: figures are shown by one, `%autoreload` is one. The user's own hooks are about
their cells, and would take this for one."""

NO_INPUT = "Nobody can type an answer while Codex runs code: leave input() out."
NO_EXIT = "exit"


class NoInput(EOFError):
    """Raised by `input()`; debuggers take it for the end of what is typed."""


@dataclass
class Execution:
    """What has become of code that ran; `outputs` in the order in which they came."""

    outputs: list[Output] = field(default_factory=list)
    error: BaseException | None = None
    was_stopped: bool = False
    """By the user, with whatever error that became."""
    acted: str = ""
    """What a guarded run was kept from: `write files`."""
    changes: list[str] = field(default_factory=list)
    """What differs in the namespace, a line each."""
    is_partly_unheard: bool = False
    """It has started a process whose own output nobody here can record."""


class Ends:
    """The beginning and the end of a text that may be endless."""

    def __init__(self) -> None:
        self._head, self._tail = "", deque[str]()
        self._tail_size = self._left_out = 0

    def add(self, text: str) -> None:
        room = MOST_CHARS - len(self._head)
        self._head += text[:room]
        if rest := text[room:]:
            self._tail.append(rest[-MOST_CHARS:])
            self._left_out += max(0, len(rest) - MOST_CHARS)
            self._tail_size += len(self._tail[-1])
        while self._tail and self._tail_size - len(self._tail[0]) >= MOST_CHARS:
            size = len(self._tail.popleft())
            self._tail_size -= size
            self._left_out += size

    def __str__(self) -> str:
        left_out = f"\n[{self._left_out:,} characters left out]\n" if self._left_out else ""
        return self._head + left_out + "".join(self._tail)


class Recorder:
    """Takes what the code of one context shows; passes it on where it `is_shown`."""

    refusal = "Nobody has allowed this code to {act}."

    def __init__(self, *, is_shown: bool, is_guarded: bool = False) -> None:
        self.is_shown, self.is_guarded = is_shown, is_guarded
        self.is_over = self.has_started_process = False
        self.acted = ""
        self._writing = threading.Lock()  # by its threads
        self._outputs: list[Output] = []
        self._shown: list[tuple[str, Output]] = []  # by display id
        self._clears = False

    def write(self, name: str, text: str) -> None:
        with self._writing:
            last = self._outputs[-1] if self._outputs else {}
            if last.get("name") != name:
                last = {"output_type": "stream", "name": name, "text": Ends()}
                self._outputs.append(last)
            last["text"].add(text)

    def take(self, name: str, text: str) -> bool:
        """Record what was written to a file descriptor; return whether it is shown, as what comes after the end is."""
        if self.is_over:
            return True
        self.write(name, text)
        return self.is_shown

    def publish(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Take a message of IPython's display publisher; return what is passed on of it."""
        content = message.get("content") or {}
        if message.get("msg_type") == "clear_output":
            self._clears = True
            return None  # it would clear the answer above as well
        transient = content.get("transient") or {}
        id = transient.get("display_id")
        old = next((output for each, output in self._shown if each == id), None)
        if message.get("msg_type") == "update_display_data":
            if old is not None:
                old.update(data=content.get("data"), metadata=content.get("metadata"))
            return message if self.is_shown else None
        cleared, self._clears = self._clears and bool(self._shown), False
        if cleared:  # an animation: what comes takes the place of what was there
            [(id, old), *_] = self._shown
            old.update(data=content.get("data"), metadata=content.get("metadata"))
            message = {**message, "msg_type": "update_display_data"}
            message["header"] = {**message["header"], "msg_type": "update_display_data"}
        else:
            id = id or new_id()
            data = {name: content.get(name) for name in ("data", "metadata")}
            output = {"output_type": "display_data", **data}
            self._outputs.append(output)
            self._shown.append((id, output))
        message = {**message, "content": {**content, "transient": {**transient, "display_id": id}}}
        return message if self.is_shown else None

    def fail(self, name: str, text: str, lines: list[str]) -> None:
        self._outputs.append({"output_type": "error", "ename": name, "evalue": text, "traceback": lines})

    def permits(self, event: str, args: tuple[Any, ...]) -> bool:
        """Whether an audit event that acts does no harm where this code runs."""
        return not self.is_guarded

    def guard(self, *, is_guarded: bool) -> None:
        """Begin or cease to refuse: how an error is shown is not the code's own."""
        self.is_guarded = is_guarded

    def outputs(self) -> list[Output]:
        return [
            {**output, "text": str(output["text"])} if output["output_type"] == "stream" else output
            for output in self._outputs
        ]


_recorder: ContextVar[Recorder | None] = ContextVar("codex_magic_recorder", default=None)
_of_process: Recorder | None = None  # records what no other one does
_of_threads: WeakKeyDictionary[threading.Thread, Recorder] = WeakKeyDictionary()
"""Of those that code has started: they have a context of their own."""


def record_process(recorder: Recorder) -> None:
    """Record, and guard, all that this process does from now on: it is a copy of the kernel that tries code."""
    global _of_process
    _of_process = recorder
    _watch()


def is_running() -> bool:
    """Whether this is called by code that Codex runs."""
    return _current() is not None


def _owner() -> Recorder | None:
    """Return the recorder of the code that runs here, in a task or thread of it that may go on after its end."""
    recorder = _recorder.get()
    if recorder is None and _of_threads:
        thread = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]  # makes no new one
        recorder = _of_threads.get(thread) if thread is not None else None
    return recorder or _of_process


def _current() -> Recorder | None:
    """Return what records here; what goes on after the end of the code is heard by nobody."""
    recorder = _owner()
    return _of_process if recorder is None or recorder.is_over else recorder


_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

STARTS_PROCESS = "start a process"

AUDITED = {
    "write files": "os.rename os.mkdir os.link os.symlink os.chmod os.chown os.truncate os.utime shutil.copyfile "
    "shutil.copytree shutil.move shutil.make_archive shutil.unpack_archive",
    "delete files": "os.remove os.rmdir shutil.rmtree",
    STARTS_PROCESS: "subprocess.Popen os.system os.exec os.fork os.forkpty os.spawn os.posix_spawn os.startfile "
    "pty.spawn",
    "use the network": "socket.connect socket.bind socket.sendto socket.getaddrinfo urllib.Request",
    "change the process": "os.putenv os.unsetenv os.chdir os.kill os.killpg signal.pthread_kill",
}
"""What Python tells of what code does (its audit events), by what is refused to code that nobody was asked about."""

_ACTS = {event: act for act, events in AUDITED.items() for event in events.split()}


@functools.cache
def _watch() -> None:
    """Begin to watch; such a hook stays for the life of the process."""
    sys.addaudithook(_audit)
    if sys.version_info < (3, 12):  # which tells of no thread
        start = threading.Thread.start

        @functools.wraps(start)
        def own(thread: threading.Thread) -> None:
            _note_thread(thread)
            start(thread)

        threading.Thread.start = own  # type: ignore[assignment, method-assign]


def _note_thread(thread: object) -> None:
    """Note whose thread is about to start."""
    starter = _owner()
    if starter is not None and isinstance(thread, threading.Thread):
        _of_threads[thread] = starter


def _audit(event: str, args: tuple[Any, ...]) -> None:
    act = _ACTS.get(event, "")
    if event == "open" and len(args) == 3:
        path, mode, flags = args
        writes = any(char in (mode or "") for char in "wax+") or (isinstance(flags, int) and flags & _WRITES)
        act = "write files" if writes and path != os.devnull else ""
    if event in ("_thread.start_new_thread", "_thread.start_joinable_thread"):
        _note_thread(getattr(args[0], "__self__", None))
    if not act:
        return
    recorder = _owner()
    if recorder is not None and act == STARTS_PROCESS:
        recorder.has_started_process = True
    if recorder is not None and not recorder.permits(event, args):
        where = str(args[0]) if args else ""
        if not where.endswith(".pyc") and "__pycache__" not in where:
            recorder.acted = recorder.acted or act
        raise PermissionError(recorder.refusal.format(act=act))


class _Tee:
    """A stream in whose place others are unchanged; what the code prints is recorded on its way."""

    def __init__(self, name: str, stream: Any) -> None:
        self._name, self._stream = name, stream

    def write(self, text: str) -> int:
        recorder = _current()
        if recorder is not None:
            recorder.write(self._name, text)
        if recorder is None or recorder.is_shown:
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Runner:
    """Runs code in the shell's own thread, one piece at a time; `interrupt` is for any thread.

    `is_users`: what it shows counts as the user's cell's own, in `_` and `Out`.
    """

    def __init__(self, shell: InteractiveShell, *, is_users: bool = False) -> None:
        self._shell: Any = shell  # IPython is half typed
        self._is_users = is_users
        self._task: asyncio.Task[None] | None = None
        self._file = ""  # of the code, in its tracebacks
        self._runs = False
        self._was_stopped = False

    async def run(
        self, code: str, *, is_probe: bool = False, is_guarded: bool = False, recorder: Recorder | None = None
    ) -> Execution:
        """Run `code`; what it fails with is in the result. A probe's names and outputs are dropped afterwards.

        `is_guarded`: what it does beyond this process's memory is refused, as far as Python tells of it.
        `recorder`: takes what is shown, in place of one of its own.
        """
        _watch()
        recorder = recorder or Recorder(is_shown=not is_probe, is_guarded=is_guarded)
        execution = Execution()
        self._was_stopped = False
        token = _recorder.set(recorder)
        try:
            with ExitStack() as stack:
                is_all_heard = stack.enter_context(self._output_recorded(recorder))
                stack.enter_context(self._nothing_asked())
                namespace = stack.enter_context(self._scratch()) if is_probe else self._shell.user_ns
                globals_ = namespace if is_probe else self._shell.user_global_ns
                self._hooks("pre_run_cell", code)
                try:
                    steps = self._compiled(code)
                    stack.enter_context(self._interruptible())
                    for step, is_async in steps:
                        await self._step(step, globals_, namespace, is_async=is_async)
                except BaseException as error:  # noqa: BLE001  # whatever the code raises is its result
                    execution.error = error
                    recorder.guard(is_guarded=False)
                    self._show_error(error, recorder)
                self._hooks("post_execute")
        finally:
            recorder.is_over = True
            recorder.guard(is_guarded=is_guarded)
            _recorder.reset(token)
        execution.outputs = recorder.outputs()
        execution.was_stopped, execution.acted = self._was_stopped, recorder.acted
        execution.is_partly_unheard = recorder.has_started_process and not is_all_heard
        return execution

    def interrupt(self) -> None:
        """Stop the code that runs, if some does; from any thread."""
        if not self._runs:
            return
        self._was_stopped = True
        main = threading.main_thread()
        if hasattr(signal, "pthread_kill") and main.ident is not None:
            signal.pthread_kill(main.ident, signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)

    async def _step(
        self, code: Any, globals_: dict[str, Any], namespace: dict[str, Any], *, is_async: bool
    ) -> None:
        if is_async:
            self._task = asyncio.current_task()
            try:
                await eval(code, globals_, namespace)  # with the user's yes
            finally:
                self._task = None
        else:
            exec(code, globals_, namespace)  # with the user's yes

    def _compiled(self, code: str) -> list[tuple[Any, bool]]:
        """Return the statements: each one's code, and whether it awaits."""
        shell = self._shell
        cell = shell.transform_cell(code)
        name = self._file = shell.compile.cache(cell, shell.execution_count, raw_code=code)
        nodes = shell.transform_ast(shell.compile.ast_parse(cell, filename=name)).body
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if shell.autoawait else 0
        steps = []
        with shell.compile.extra_flags(flags):
            for node, is_shown in _shown_nodes(nodes, shell.ast_node_interactivity, cell):
                module = ast.Interactive([node]) if is_shown else ast.Module([node], [])
                step = shell.compile(module, name, "single" if is_shown else "exec")
                steps.append((step, bool(step.co_flags & 0x80)))  # inspect.CO_COROUTINE
        return steps

    @contextmanager
    def _output_recorded(self, recorder: Recorder) -> Iterator[bool]:
        """Record what is shown; yields whether that is all, with what processes print by themselves."""
        shell = self._shell
        old = sys.stdout, sys.stderr, sys.displayhook
        sys.stdout, sys.stderr = _Tee("stdout", old[0]), _Tee("stderr", old[1])
        register = getattr(shell.display_pub, "register_hook", None)
        if register is not None:
            register(_publish)
        beside = descriptors.taken(old[:2], recorder.take) if _of_process is None else nullcontext(True)
        with shell.builtin_trap, beside as is_all_heard:
            sys.displayhook = old[2] if self._is_users else self._display
            try:
                yield is_all_heard
            finally:
                if register is not None:
                    shell.display_pub.unregister_hook(_publish)
                # Unless the code has put others in their place itself, and they stay.
                for name, stream in zip(("stdout", "stderr", "displayhook"), old, strict=True):
                    if isinstance(getattr(sys, name), _Tee) or name == "displayhook":
                        setattr(sys, name, stream)

    def _display(self, value: object) -> None:
        """Show a value; `_` and `Out` are about the user's own cells."""
        if value is None:
            return
        data, metadata = self._shell.display_formatter.format(value)
        if data:
            self._shell.display_pub.publish(data=data, metadata=metadata)

    @contextmanager
    def _nothing_asked(self) -> Iterator[None]:
        """Refuse `input()` and `exit`."""
        shell = self._shell

        def refuse_input(*args: object, **kwargs: object) -> str:
            raise NoInput(NO_INPUT)

        def refuse_exit() -> None:
            raise SystemExit(NO_EXIT)

        old = builtins.input, getpass.getpass
        builtins.input = getpass.getpass = refuse_input
        shell.ask_exit = refuse_exit
        try:
            yield
        finally:
            builtins.input, getpass.getpass = old
            del shell.ask_exit

    @contextmanager
    def _scratch(self) -> Iterator[dict[str, Any]]:
        """A namespace over the user's: what is bound in it, or in theirs meanwhile, is dropped."""
        shell, names = self._shell, self._shell.user_ns
        before, folder = dict(names), os.getcwd()
        scratch = shell.user_ns = dict(names)
        try:
            yield scratch
        finally:
            shell.user_ns = names
            for name in [name for name in names if name not in before]:
                del names[name]
            names.update(before)
            with suppress(OSError):
                if os.getcwd() != folder:  # else it would be told as something that the code has tried
                    os.chdir(folder)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """Let SIGINT stop this code, whether it computes or awaits: ipykernel's handler does the latter alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = None
        with suppress(RuntimeError):
            loop = asyncio.get_running_loop()

        def stop(number: int, frame: FrameType | None) -> None:
            self._was_stopped = True
            if self._task is None or loop is None or _runs(frame, self._file):
                raise KeyboardInterrupt
            loop.call_soon_threadsafe(self._task.cancel)

        old = signal.signal(signal.SIGINT, stop)
        self._runs = True
        try:
            yield
        finally:
            self._runs = False
            signal.signal(signal.SIGINT, old)

    def _hooks(self, event: str, *args: Any) -> None:
        """Call the shell's own hooks around a cell."""
        for hook in list(self._shell.events.callbacks.get(event, ())):
            module = str(getattr(hook, "__module__", ""))
            if module.partition(".")[0] in SHELLS:
                self._call_hook(hook, event, *args)

    def _call_hook(self, hook: Callable[..., Any], event: str, *args: Any) -> None:
        try:
            hook(*map(_info, args))
        except Exception:  # noqa: BLE001  # as IPython does
            sys.stderr.write(f"The hook {event} failed.\n{traceback.format_exc()}")

    def _show_error(self, error: BaseException, recorder: Recorder) -> None:
        try:
            lines = self._traceback(error)
        except Exception:  # noqa: BLE001  # an error's own methods run there
            lines = [f"{type(error).__name__}: {_text_of(error)}"]
        if recorder.is_shown:
            # As text of an error: as an error output papermill would call the whole notebook failed.
            self._plainly("\n".join(lines) + "\n")
        recorder.fail(type(error).__name__, _text_of(error), lines)

    def _plainly(self, text: str) -> None:
        """Print, without recording it a second time."""
        stream = sys.stderr
        (stream._stream if isinstance(stream, _Tee) else stream).write(text)

    def _traceback(self, error: BaseException) -> list[str]:
        from IPython.core.error import UsageError

        shell, kind = self._shell, type(error)
        if isinstance(error, UsageError):
            return [f"UsageError: {error}"]
        if isinstance(error, SystemExit | NoInput | asyncio.CancelledError) or self._was_stopped:
            return [f"{kind.__name__}: {_text_of(error)}".rstrip(": ")]
        trace = _below(error.__traceback__, self._file)
        if isinstance(error, SyntaxError):
            return list(shell.SyntaxTB.structured_traceback(kind, error, traceback.extract_tb(trace)))
        if hasattr(error, "_render_traceback_"):
            return list(error._render_traceback_())
        return list(shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=0))


def _publish(message: dict[str, Any]) -> dict[str, Any] | None:
    recorder = _current()
    return message if recorder is None else recorder.publish(message)


def _info(code: str) -> Any:
    from IPython.core.interactiveshell import ExecutionInfo

    new: Any = ExecutionInfo  # IPython is untyped here
    return new(code, store_history=False, silent=False, shell_futures=True, cell_id=None)


def _shown_nodes(nodes: list[ast.stmt], interactivity: str, cell: str) -> Iterator[tuple[ast.stmt, bool]]:
    """Say of each statement whether its value is shown, as `InteractiveShell.ast_node_interactivity` wants it."""
    from IPython.core.displayhook import DisplayHook

    last = nodes[-1] if nodes else None
    shows_assigned = interactivity == "last_expr_or_assign"
    if shows_assigned and isinstance(last, ast.Assign | ast.AnnAssign | ast.AugAssign):
        target = last.targets[0] if isinstance(last, ast.Assign) else last.target
        if isinstance(target, ast.Name):
            nodes = [*nodes, ast.fix_missing_locations(ast.Expr(ast.Name(target.id, ast.Load())))]
    ends_quietly: Any = DisplayHook.semicolon_at_end_of_expression  # IPython is untyped here
    is_quiet = interactivity == "none" or ends_quietly(cell)
    for number, node in enumerate(nodes, 1):
        is_last = number == len(nodes)
        is_wanted = is_last and (interactivity == "last" or isinstance(node, ast.Expr))
        yield node, (is_wanted or interactivity == "all") and not (is_quiet and is_last)


def _runs(frame: FrameType | None, name: str) -> bool:
    """Whether code of that name is on the stack."""
    while frame is not None:
        if frame.f_code.co_filename == name:
            return True
        frame = frame.f_back
    return False


def _below(trace: TracebackType | None, name: str) -> TracebackType | None:
    """Return the part of a traceback that begins in the code itself."""
    start = trace
    while start is not None and start.tb_frame.f_code.co_filename != name:
        start = start.tb_next
    return start or trace


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # an error's own `__str__` runs here
        return ""
