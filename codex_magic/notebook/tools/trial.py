"""Code tried before it is approved: in a forked copy of the kernel, where the data is, and of which nothing lasts.

The copy has no way back but three pipes, whose texts are taken for what they are: the code's own word. It ends by
itself, by its bounds, or by being killed, and never by the kernel's own ends (`atexit`, `finally`).
"""

from __future__ import annotations

import asyncio
import codecs
import ctypes
import os
import platform
import re
import selectors
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec
import psutil

from ...context.cells import clean_output
from ...protocol.plain import shorten
from ...protocol.types import Trial
from ..gathering import divided, readable
from .changes import Before
from .execution import AUDITED, Recorder, record_process

if TYPE_CHECKING:
    from .execution import Runner

MOST_BYTES = 2_000_000_000
"""Of memory that the code may take beside what the kernel has."""

SPARE_BYTES = 512_000_000
"""That the code may take beyond its bound, by raising it; what looks at the data afterwards needs some."""

MOST_OUTPUT_BYTES = 20_000_000
"""That the code may show: what is kept of it is bounded besides."""

TOKENS = 4_000
"""Of what is shown of it on the card."""

MOST_WRITTEN_BYTES = 500_000_000
"""Of temporary files, the only ones that it can write."""

MOST_IMAGES = 3

POLL_SECONDS = 0.05
"""Between two looks at whether the copy has ended, or grown too large."""

ERROR_CHARS = 300

MOST_CHANGES = 20

NO_CHANGE = "nothing in the variables"


# Where no copy is made


def why_not(shell: Any) -> str:
    """Return why code can't be tried in a copy of this kernel; empty where it can."""
    if not hasattr(os, "fork"):
        return "this system can't copy a running kernel"
    for look in _HAZARDS:
        with suppress(AttributeError):  # a library of another version, or that is just being imported
            if why := look(shell):
                return why
    return ""


def _devices(shell: Any) -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return "CUDA is in use"
    for each in os.listdir("/dev/fd"):
        with suppress(OSError):
            if re.match(r"/dev/(nvidia|kfd|dri/|accel|davinci)", os.readlink(f"/dev/fd/{each}")):
                return "a GPU is in use"
    return ""


_THREADED = {name.lower(): name for name in ("CuPy", "cuDF", "JAX", "MLX", "polars", "TensorFlow")}
"""Libraries whose own threads, or devices, do not work in a copy."""


def _libraries(shell: Any) -> str:
    name = next((name for module, name in _THREADED.items() if module in sys.modules), "")
    return f"{name} is loaded, which does not work in a copy" if name else ""


def _clusters(shell: Any) -> str:
    ray, dask, spark = (sys.modules.get(each) for each in ("ray", "distributed.client", "pyspark"))
    if ray is not None and ray.is_initialized():
        return "Ray is connected"
    if dask is not None and dask._get_global_client() is not None:
        return "a Dask client is connected"
    if spark is not None and spark.SparkContext._active_spark_context is not None:
        return "Spark is connected"
    return ""


_WINDOWS = re.compile(r"matplotlib\.backends\.backend_(qt|tk|gtk|wx|macosx)")
"""Backends that show figures in windows of their own."""


def _windows(shell: Any) -> str:
    is_open = getattr(shell, "active_eventloop", None) or any(map(_WINDOWS.match, list(sys.modules)))
    return "it has windows open, or may have (%gui, matplotlib)" if is_open else ""


def _mapped(shell: Any) -> str:
    if platform.system() == "Linux":
        return ""  # the copy gets its own
    kinds = {name: type(value).__name__ for name, value in dict(shell.user_ns).items()}
    name = next((name for name, kind in kinds.items() if kind in ("memmap", "mmap")), "")
    return f"{name} shares its memory with a file" if name else ""


_PARKS = frozenset({"threading.py", "queue.py", "selectors.py", "thread.py", "socket.py", "connection.py"})
"""Files of the standard library in which threads wait, and hold no lock meanwhile."""

_OURS = re.compile(r"[/\\](codex_magic|ipykernel|IPython|zmq|tornado|tqdm)[/\\]")


def _threads(shell: Any) -> str:
    """Return which thread runs that may hold a lock: in a copy nobody would release it."""
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        is_own = thread in (threading.main_thread(), threading.current_thread())
        if frame is not None and not is_own and not _is_harmless(frame):
            return f"the thread {thread.name} is running"
    return ""


def _is_harmless(frame: FrameType) -> bool:
    folder, file = os.path.split(frame.f_code.co_filename)
    is_parked = file in _PARKS and (folder + os.sep).startswith(os.path.dirname(os.__file__) + os.sep)
    each: FrameType | None = frame
    while each is not None and not is_parked:
        is_parked, each = _OURS.search(each.f_code.co_filename) is not None, each.f_back
    return is_parked


_HAZARDS: tuple[Callable[[Any], str], ...] = (_devices, _libraries, _clusters, _windows, _mapped, _threads)


# What the copy says


class _Text(msgspec.Struct, tag=True):
    name: Literal["stdout", "stderr"]
    text: str


class _Display(msgspec.Struct, tag=True):
    kind: Literal["display_data", "update_display_data", "clear_output"]
    data: dict[str, str] = {}
    id: str | None = None


class _Failure(msgspec.Struct, tag=True):
    name: str
    text: str
    lines: list[str]


class _Begun(msgspec.Struct, tag=True):
    """Comes before the code runs."""

    held: dict[str, str]


class _Ended(msgspec.Struct, tag=True):
    changes: list[str]
    acted: str = ""


class _Impossible(msgspec.Struct, tag=True):
    why: str


_Piece = _Text | _Display | _Failure | _Begun | _Ended | _Impossible

_MIMES = ("text/plain", "image/png", "image/jpeg")


class _Relay(Recorder):
    """In the copy: passes on what is shown, as it comes. Files may be written below `folder` alone."""

    refusal = "Code that is tried first can’t {act}."

    def __init__(self, pipe: int, folder: str) -> None:
        super().__init__(is_shown=False, is_guarded=True)
        self._pipe, self._lock = pipe, threading.RLock()
        self._folder = folder + os.sep
        self.are_files_held = False

    def permits(self, event: str, args: tuple[Any, ...]) -> bool:
        if event in ("os.putenv", "os.unsetenv", "os.chdir"):
            return True  # of the copy alone
        if event.split(".")[0] not in ("open", "os", "shutil") or event in _PROCESSES:
            return False
        is_relative = event != "open" and isinstance(args[-1], int) and args[-1] >= 0
        if self.are_files_held and is_relative:
            return True  # to an open folder: the system knows where that is
        if isinstance(args[0], int):
            return event == "open"
        paths = [each for each in args[:2] if isinstance(each, str | bytes | os.PathLike)]
        paths = paths[:1] if event == "open" else paths
        return all((os.path.realpath(os.fsdecode(each)) + os.sep).startswith(self._folder) for each in paths)

    def write(self, name: str, text: str) -> None:
        self.send(_Text("stderr" if name == "stderr" else "stdout", text))

    def publish(self, message: dict[str, Any]) -> None:
        content = message.get("content") or {}
        data = content.get("data") or {}
        kept = {mime: data[mime] for mime in _MIMES if isinstance(data.get(mime), str)}
        kind, id = message.get("msg_type"), (content.get("transient") or {}).get("display_id")
        if kind in ("display_data", "update_display_data", "clear_output"):
            self.send(_Display(kind, kept, id if isinstance(id, str) else None))

    def fail(self, name: str, text: str, lines: list[str]) -> None:
        self.send(_Failure(name, text, lines))

    def guard(self, *, is_guarded: bool) -> None:
        """Refuse on: all that this process does is the code's."""

    def send(self, piece: _Piece) -> None:
        data = memoryview(msgspec.json.encode(piece) + b"\n")
        with self._lock:
            while data:
                data = data[os.write(self._pipe, data) :]


_PROCESSES = frozenset(AUDITED["start a process"].split() + AUDITED["change the process"].split())


_UNHEARD = 74
"""Status of a copy that can't say how it ended."""


# The copy


def _try(
    shell: Any, runner: Runner, code: str, *, pipes: list[int], folder: str, stays: bool, seconds: float
) -> NoReturn:
    """Run `code` in the copy that this process is; never returns."""
    status = 1
    try:
        relay, own = _Relay(pipes[0], folder), _Relay(pipes[0], folder)
        own.send = relay.send  # type: ignore[method-assign]  # one lock for both
        try:
            held = _separate(shell, relay, pipes, folder, seconds)
        except Exception as error:  # whatever it is, nothing has run, and the card says why
            relay.send(_Impossible(f"{type(error).__name__}: {error}"))
            raise
        before = Before(shell.user_ns, code)
        own.are_files_held = relay.are_files_held
        relay.send(_Begun(held))
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        loop.run_until_complete(runner.run(code, is_probe=not stays, recorder=own))
        from . import confinement

        confinement.raise_memory()
        relay.send(_Ended(before.differences(), own.acted or relay.acted))
        status = 0
    except OSError:  # of a pipe: the code has closed it
        status = _UNHEARD
    finally:
        os._exit(status)


def _separate(shell: Any, relay: _Relay, pipes: list[int], folder: str, seconds: float) -> dict[str, str]:
    """Cut this copy off from all that it shares with the kernel; return what is held, and by what."""
    from . import confinement  # not on Windows

    confinement.leave_parent(seconds, MOST_BYTES, SPARE_BYTES)
    confinement.cut_off(pipes[1], pipes[2], pipes)
    shell.history_manager.writeout_cache = lambda *args, **kwargs: None
    kernel, streams = getattr(shell, "kernel", None), sys.modules.get("ipykernel.iostream")
    if kernel is not None:
        kernel.session.send = lambda *args, **kwargs: None
    if streams is not None:  # which would send what copies print to the kernel, over a socket of its own

        def write(stream: Any, text: str) -> int:
            relay.write(stream.name, text)
            return len(text)

        streams.OutStream.write, streams.OutStream.flush = write, lambda stream: None
        streams.IOPubThread.schedule = streams.IOPubThread.send_multipart = lambda *args, **kwargs: None
    _use_one_thread()
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    held = confinement.confine(folder)
    relay.are_files_held = confinement.FILES in held
    record_process(relay)
    return held


def _use_one_thread() -> None:
    """Keep libraries from waiting for threads that the kernel has and its copy has not."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
    if platform.system() == "Linux":
        with open("/proc/self/maps") as file:
            paths = set(re.findall(r"(/\S*lib(?:gomp|omp|iomp5)[-.\w]*\.so\S*)$", file.read(), re.M))
        for path in paths:
            with suppress(OSError, AttributeError):
                ctypes.CDLL(path).omp_set_num_threads(1)


# The kernel's side


class Copy:
    """A copy of the kernel that tries code; made in the shell's own thread, followed in a thread of its own.

    `done` has what came of it. `kill` is for any thread.
    """

    def __init__(
        self, shell: Any, runner: Runner, code: str, *, stays: bool, seconds: float, done: Future[Trial]
    ) -> None:
        """Raises OSError where there is no room for a copy."""
        self._seconds, self._done = seconds, done
        self._why_killed = ""
        self._is_over = threading.Lock()  # held once the process id may be another's
        self._folder = os.path.realpath(tempfile.mkdtemp(prefix="codex-magic-trial-"))
        pipes = [os.pipe() for _ in range(3)]
        self._ends = [end for end, _ in pipes]
        loop = asyncio._get_running_loop()
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()
        self._began = time.monotonic()
        try:
            with warnings.catch_warnings():  # of Python 3.12: that there are threads is known here
                warnings.simplefilter("ignore", DeprecationWarning)
                self._pid = os.fork()
        except OSError:
            for end in (end for pipe in pipes for end in pipe):
                os.close(end)
            os.rmdir(self._folder)
            raise
        if self._pid == 0:
            _leave_loop(loop)
            own = [end for _, end in pipes]
            _try(shell, runner, code, pipes=own, folder=self._folder, stays=stays, seconds=seconds)
        for _, end in pipes:
            os.close(end)
        threading.Thread(target=self._follow, name="codex_magic trial", daemon=True).start()

    def kill(self, why: str = "stopped by you") -> None:
        """End the copy, with whatever it has started."""
        with self._is_over:
            self._why_killed = self._why_killed or why
            for kill in (os.killpg, os.kill) if self._pid else ():
                with suppress(OSError):  # it has ended, or has not become a group yet
                    kill(self._pid, signal.SIGKILL)

    def _follow(self) -> None:
        streams = _Streams()
        try:
            self._read(streams)
        except Exception as error:  # noqa: BLE001  # the top of a thread: a person waits for the answer
            self.kill(f"stopped: {type(error).__name__}: {error}")
        seconds = time.monotonic() - self._began
        trial = streams.result(self._why_killed, self._reap(), seconds)
        with suppress(InvalidStateError):  # nobody waits any more
            self._done.set_result(trial)

    def _read(self, streams: _Streams) -> None:
        """Take what comes, until the process has ended or has reached a bound."""
        most = MOST_BYTES + _resident(os.getpid()) + SPARE_BYTES
        with selectors.DefaultSelector() as selector:
            for end, take in zip(self._ends, streams.takers, strict=True):
                selector.register(end, selectors.EVENT_READ, take)
            comes = True
            while comes and not self._why_killed:
                resident = _resident(self._pid)
                comes = resident > 0
                for key, _ in selector.select(POLL_SECONDS if comes else 0):
                    if data := os.read(key.fd, 65536):
                        comes = True
                        key.data(data)
                    else:
                        selector.unregister(key.fileobj)
                if time.monotonic() - self._began > self._seconds:
                    self.kill(f"stopped after {self._seconds:g} s, before its end")
                elif streams.size > MOST_OUTPUT_BYTES:
                    self.kill(f"stopped: it showed more than {MOST_OUTPUT_BYTES / 1e6:,.0f} MB")
                elif _written(self._folder) > MOST_WRITTEN_BYTES:
                    self.kill(f"stopped: it wrote more than {MOST_WRITTEN_BYTES / 1e6:,.0f} MB")
                elif resident > most:
                    self.kill(f"stopped: it took more than {MOST_BYTES / 1e9:g} GB of memory")

    def _reap(self) -> int | None:
        """End what it has started, too; return its status, `None` where somebody else has taken that."""
        self.kill("")
        status = None
        with self._is_over:
            with suppress(ChildProcessError):
                _, status = os.waitpid(self._pid, 0)
            self._pid = 0
        for end in self._ends:
            os.close(end)
        shutil.rmtree(self._folder, ignore_errors=True)
        return status


def _resident(pid: int) -> int:
    """Return how many bytes of memory a process has; 0 once it has ended."""
    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else max(1, process.memory_info().rss)
    except psutil.Error:
        return 0


def _written(folder: str) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(path, name)).st_size
    return size


def _leave_loop(loop: Any) -> None:
    """Make nothing run, as asyncio sees it: the copy begins in the middle of the kernel's event loop."""
    if loop is not None and (swap := getattr(asyncio.tasks, "_swap_current_task", None)) is not None:
        asyncio._set_running_loop(loop)
        swap(loop, None)
    asyncio._set_running_loop(None)


class _Streams:
    """What has come of the copy so far."""

    def __init__(self) -> None:
        self.size = 0
        self._recorder = Recorder(is_shown=False)
        self._rest = b""
        self._decoder = msgspec.json.Decoder(_Piece)
        self._begun: _Begun | None = None
        self._ended: _Ended | None = None
        self._failure: _Failure | None = None
        self._impossible = ""
        self.takers = (self._take_pieces, self._raw("stdout"), self._raw("stderr"))

    def _raw(self, name: str) -> Callable[[bytes], None]:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")

        def take(data: bytes) -> None:
            self.size += len(data)
            self._recorder.write(name, decoder.decode(data))

        return take

    def _take_pieces(self, data: bytes) -> None:
        self.size += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            with suppress(msgspec.MsgspecError):  # not what we write: the code has found the pipe
                self._take(self._decoder.decode(line))

    def _take(self, piece: _Piece) -> None:
        match piece:
            case _Text(name, text):
                self._recorder.write(name, text)
            case _Display(kind, data, id):
                content = {"data": data, "metadata": {}, "transient": {"display_id": id}}
                self._recorder.publish({"msg_type": kind, "header": {}, "content": content})
            case _Failure(name, text, lines):
                self._failure = piece
                self._recorder.fail(name, text, lines)
            case _Begun():
                self._begun = self._begun or piece
            case _Ended():
                self._ended = piece
            case _Impossible(why):
                self._impossible = why

    def result(self, why_killed: str, status: int | None, seconds: float) -> Trial:
        if self._begun is None:
            return Trial(f"not tried: {why_killed or self._impossible or _end(status)}")
        outcome = why_killed
        if not outcome and self._ended is None:
            outcome = _end(status)
        elif not outcome and self._failure is not None:
            error = shorten(f"{self._failure.name}: {self._failure.text}".rstrip(": "), ERROR_CHARS)
            outcome = f"failed after {seconds:.1f} s with {error}"
        ended = self._ended or _Ended([])
        outcome = outcome or f"ran to its end in {seconds:.1f} s"
        refusal, failure = _Relay.refusal.format(act=ended.acted), self._failure
        if ended.acted and failure is not None and refusal in failure.text:
            outcome = f"stopped after {seconds:.1f} s where it wanted to {ended.acted}, which a trial refuses"
        elif ended.acted:
            outcome += f". It wanted to {ended.acted}, which a trial refuses"
        shown, pictures = divided(readable(self._recorder.outputs()))
        images = [f"data:{each.mime};base64,{_NO_BASE64.sub('', each.data)}" for each in pictures]
        text = clean_output(shown, TOKENS)
        changes = tuple(ended.changes[:MOST_CHANGES] or ([NO_CHANGE] if self._ended else []))
        return Trial(outcome, _held(self._begun.held), text, tuple(images[-MOST_IMAGES:]), changes)


_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/=]")


def _end(status: int | None) -> str:
    """Say how a process ended that did not come to the end of the code."""
    code = os.waitstatus_to_exitcode(status) if status is not None else 0
    if code < 0:
        names = {signal.SIGXCPU: "it took too much time", signal.SIGALRM: "it took too much time"}
        return names.get(-code) or f"it crashed ({signal.Signals(-code).name}), as the kernel would"  # type: ignore[call-overload]
    if code == _UNHEARD:
        return "it closed all open files, so nothing more is known of it"
    return f"it ended its process (exit code {code}), as it would end the kernel"


def _held(held: Mapping[str, str]) -> str:
    from .confinement import FILES, REST

    by_python = [each for each in (FILES, REST) if each not in held]
    parts = [f"{what} by {held[what]}" for what in (FILES, REST) if what in held]
    if by_python:
        what = " and ".join(by_python)
        parts.append(f"{what} by Python’s own reports alone, which code in C does not make")
    return ", ".join(parts)
