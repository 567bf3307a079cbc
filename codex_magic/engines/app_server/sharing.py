"""One app-server for all sessions of a user that would start the same one.

A thread is open in one process at a time; in a shared one several notebooks go on with the same thread.
Sessions find each other in a folder that only their user can enter, by a digest of what makes processes
the same. `keeper` starts the process and ends it after the last of them. Where that can't be (Windows, a
foreign folder, a path that is too long), each has a process of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from ... import __version__
from ...auth.credentials import credentials_of
from ...auth.storage import auth_path
from .frames import CLOSE, HELLO, PING, PONG, TEXT, WELCOME, Frames, frame
from .pipes import CHUNK, CLOSING_SECONDS, End, readable

log = logging.getLogger(__name__)

STARTING_SECONDS = 15.0
"""For the process to listen, which takes 80 ms, and 230 in a new CODEX_HOME."""

_STARTS = 3
"""Of a keeper that is gone before it has said anything."""

BREATH_SECONDS = 0.001
"""To let more of a fast stream arrive: to be woken costs as much as ten deltas."""

_AGAIN_SECONDS = 0.01
_LONGEST_PLACE = 100
"""Bytes of a socket's path: macOS has room for 103, and the app-server's own ends in `.s`."""

_ROOT = str(Path(__file__).parents[3])
_KEEP = f"import sys; sys.path.insert(0, sys.argv.pop(1)); from {__package__}.keeper import main; main()"

_OF_ONE_PROCESS = ("JPY_", "KERNEL_", "PYDEVD_", "SSH_", "TMUX")
_OF_ONE_PROCESS_NAMES = frozenset(
    "_ COLUMNS LINES OLDPWD PWD SHLVL STY TERM_SESSION_ID WINDOWID XDG_SESSION_ID".split()
)


def shared_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what tells one process or terminal from another: all that is left must be the same to share."""
    return {
        name: value
        for name, value in environment.items()
        if name not in _OF_ONE_PROCESS_NAMES and not name.startswith(_OF_ONE_PROCESS)
    }


async def join(
    command: Sequence[str], environment: Mapping[str, str], codex_home: Path
) -> SharedProcess | None:
    """The process of `command` that others use too, started if there is none; `None`: it can't be shared."""
    if sys.platform == "win32" or not sys.executable:
        return None
    environment = shared_environment(environment)
    try:
        place = _place(command, environment, codex_home)
        return await asyncio.wait_for(_join(place, command, environment), STARTING_SECONDS)
    except (OSError, EOFError, asyncio.TimeoutError, msgspec.DecodeError) as error:
        log.info("the app-server is not shared: %s", error or type(error).__name__)
        return None


async def _join(place: str, command: Sequence[str], environment: Mapping[str, str]) -> SharedProcess:
    starts = 0
    while True:
        with suppress(OSError, EOFError):
            keeper, pid = await _greeted(place)
            break
        if starts == _STARTS:
            raise ConnectionAbortedError("the keeper ended at once")
        if await _started(place, command, environment):
            starts += 1
        else:
            await asyncio.sleep(_AGAIN_SECONDS)  # another is starting, or ending
    try:
        return await _connected(place, keeper, pid)
    except BaseException:
        keeper[1].close()
        raise


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _greeted(place: str) -> tuple[Streams, int]:
    """A keeper that has said its process. Raises OSError or EOFError where there is none."""
    reader, writer = await asyncio.open_unix_connection(place)
    try:
        return (reader, writer), msgspec.json.decode(await _line(reader))["pid"]
    except BaseException:
        writer.close()
        raise


async def _connected(place: str, keeper: Streams, pid: int) -> SharedProcess:
    """Raises ConnectionError when the process has ended instead of listening."""
    ending = asyncio.ensure_future(_line(keeper[0]))
    try:
        while not ending.done():
            try:
                streams = await asyncio.open_unix_connection(f"{place}.s", limit=CHUNK)
            except OSError:
                await asyncio.wait({ending}, timeout=_AGAIN_SECONDS)
                continue
            streams[1].write(HELLO)
            if (await streams[0].readuntil(b"\r\n\r\n")).startswith(WELCOME):
                return SharedProcess(pid, streams, keeper, ending)
            streams[1].close()
            break
    except BaseException:
        ending.cancel()
        raise
    raise ConnectionRefusedError((await ending).decode(errors="replace"))


async def _started(place: str, command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether this has started a keeper. It is no child of ours: it may stay when we go."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-S", "-c", _KEEP, _ROOT, place, *command),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
        start_new_session=True,
    )
    from .keeper import TAKEN  # Windows can't import it

    code = await process.wait()
    if code not in (0, TAKEN):
        raise OSError(f"the keeper ended with exit code {code}")
    return code == 0


class SharedProcess:
    """A process that others may use too: what ends here is the way to it."""

    def __init__(self, pid: int, streams: Streams, keeper: Streams, heard: asyncio.Future[bytes]) -> None:
        self.pid = pid
        self._reader, self._writer = streams
        self._transport = cast(asyncio.Transport, self._writer.transport)  # a socket's has both directions
        self._keeper_reader, self._keeper = keeper
        self._frames = Frames()
        self._tickets: dict[int, _Ticket] = {}
        self._last = 0
        self._received_at = 0.0
        self._is_fast = False
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen(heard))

    async def read(self) -> bytes:
        while chunk := await self._received():
            lines = []
            for kind, payload in self._frames.feed(chunk):
                if kind == TEXT:
                    lines.append(payload)
                elif kind == PING:
                    self._writer.write(frame(PONG, payload))
                elif kind == CLOSE:
                    self._writer.close()
            if lines:
                return b"\n".join([*lines, b""])
        return b""

    async def send(self, line: bytes) -> None:
        self._writer.write(frame(TEXT, line.rstrip()))
        with suppress(ConnectionError):
            await self._writer.drain()

    @asynccontextmanager
    async def alone_in(self, thread_id: str, waits: Callable[[], None]) -> AsyncIterator[None]:
        self._last += 1
        number = self._last
        ticket = self._tickets[number] = _Ticket(asyncio.get_running_loop().create_future(), waits)
        self._tell(run=number, thread=thread_id)
        try:
            # When the process has ended, the next request to it says so.
            await asyncio.wait((ticket.go, self._end), return_when=asyncio.FIRST_COMPLETED)
            yield
        finally:
            del self._tickets[number]
            self._tell(done=number)

    def kill(self) -> None:
        self._tell(kill=True)
        self._writer.transport.abort()

    async def close(self) -> None:
        """The keeper's last word is that our turns have ended, and the process too if we were the last."""
        self._listening.cancel()
        self._writer.close()
        with suppress(OSError, asyncio.TimeoutError):
            self._keeper.write_eof()
            await asyncio.wait_for(self._keeper_reader.read(), CLOSING_SECONDS)
        self._keeper.close()
        for writer in (self._writer, self._keeper):
            with suppress(OSError):
                await writer.wait_closed()
        if not self._end.done():
            self._end.set_result(End(None))

    async def ended(self) -> End:
        await asyncio.wait({self._end}, timeout=CLOSING_SECONDS)
        self._writer.close()
        return self._end.result() if self._end.done() else End(None)

    async def _received(self) -> bytes:
        if self._is_fast:
            self._transport.pause_reading()
            await asyncio.sleep(BREATH_SECONDS)
            self._transport.resume_reading()
        try:
            chunk = await self._reader.read(CHUNK)
        except ConnectionError:
            return b""
        before, self._received_at = self._received_at, time.monotonic()
        self._is_fast = self._received_at - before < 2 * BREATH_SECONDS
        return chunk

    async def _listen(self, heard: Awaitable[bytes]) -> None:
        try:
            while "ended" not in (message := msgspec.json.decode(await heard)):
                self._hear(message)
                heard = _line(self._keeper_reader)
            said = tuple(readable(line.encode()) for line in message["said"])
            self._end.set_result(End(message["ended"], said))
        except (EOFError, OSError):
            self._end_unkept()
        self._keeper.close()

    def _hear(self, message: dict[str, Any]) -> None:
        ticket = self._tickets.get(message["go"] if "go" in message else message["wait"])
        if ticket is None:
            return
        if "go" in message:
            ticket.go.set_result(None)
        else:
            ticket.waits()

    def _end_unkept(self) -> None:
        """Without its keeper the process would stay for ever."""
        if not self._reader.at_eof():
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self._end.set_result(End(None))

    def _tell(self, **message: Any) -> None:
        self._keeper.write(msgspec.json.encode(message) + b"\n")


class _Ticket(NamedTuple):
    go: asyncio.Future[None]
    waits: Callable[[], None]


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Raises EOFError when there is none any more."""
    line = await reader.readline()
    if not line:
        raise EOFError("the keeper has gone")
    return line


def _place(command: Sequence[str], environment: Mapping[str, str], codex_home: Path) -> str:
    """The path of the keeper's socket. Raises OSError where there is no place for it."""
    program = os.stat(command[0])
    same = [
        __version__,
        [os.path.realpath(command[0]), program.st_mtime_ns, program.st_size],
        list(command),
        sorted(environment.items()),
        account_of(codex_home),
    ]
    digest = hashlib.sha256(msgspec.json.encode(same)).hexdigest()[:16]
    place = os.path.join(_folder(), digest)
    if len(os.fsencode(place)) > _LONGEST_PLACE:
        raise OSError("the path of the runtime folder is too long for a socket")
    return place


def account_of(codex_home: Path) -> list[str | None]:
    """Who is signed in: a running process does not notice when somebody else signs in."""
    try:
        stored = credentials_of(auth_path(codex_home).read_bytes())
    except (OSError, ValueError):
        return []
    key = hashlib.sha256(stored.api_key.encode()).hexdigest() if stored.api_key else None
    return [stored.mode, stored.account_id, key]


def _folder() -> str:
    """Where nobody else can come in. Raises PermissionError when somebody else has made it."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = os.path.join(
        base if os.path.isdir(base) else tempfile.gettempdir(), f"codex-magic-{os.getuid()}"
    )
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not private")
    return folder
