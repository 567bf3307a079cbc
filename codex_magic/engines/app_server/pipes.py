"""How lines of JSON go to an app-server and come back: here the pipes of a process of our own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from typing import Any, NamedTuple, Protocol

from ...net import one_line
from ...protocol.errors import ConfigurationError

CLOSING_SECONDS = 2.0
"""For the process to end by itself once its input is closed; it takes 20 to 120 ms."""

CHUNK = 1 << 20
_STDERR_LINES = 20
_ANSI = re.compile(r"\x1b\[[0-9;]*m")

# The kernel's Ctrl-C goes to its whole process group; a turn is interrupted by asking.
_APART: dict[str, Any] = (
    {
        "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    }
    if sys.platform == "win32"
    else {"start_new_session": True}
)


class End(NamedTuple):
    """`exit_code`: `None` when the process may be there still, and only the way to it is not."""

    exit_code: int | None
    said: Sequence[str] = ()
    """The last it wrote to stderr."""


class Pipe(Protocol):
    """The way to one app-server."""

    @property
    def pid(self) -> int:
        """Of the app-server."""

    def read(self) -> Awaitable[bytes]:
        """Some bytes of its lines; none at the end."""

    async def send(self, line: bytes) -> None:
        """Give it a line. At the end nothing happens."""

    def alone_in(self, thread_id: str, waits: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """While no other session that shares the process runs a turn in this thread.

        `waits` is called when one does, and this comes after it.
        """

    def kill(self) -> None:
        """End it at once, unless others have work there: then only the way to it."""

    async def close(self) -> None:
        """Take leave; a process of our own ends."""

    async def ended(self) -> End:
        """Wait for its end, once `read` has told it."""


class OwnProcess:
    """A process that ends with its input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._said: deque[str] = deque(maxlen=_STDERR_LINES)
        self._draining = asyncio.create_task(self._drain_stderr())

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str]) -> OwnProcess:
        """Raises ConfigurationError when it can't be started."""
        return cls(await _start(command, env))

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self) -> Awaitable[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout.read(CHUNK)

    async def send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        # A broken pipe is the end of the process, which whoever reads learns too.
        with suppress(ConnectionError):
            await self._process.stdin.drain()

    def alone_in(self, thread_id: str, waits: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Ask the process to end, and see to it that it does."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), CLOSING_SECONDS)
        except asyncio.TimeoutError:
            self.kill()
        # A program that it left behind may hold its output open.
        _, open_still = await asyncio.wait({self._draining}, timeout=CLOSING_SECONDS)
        for task in open_still:
            task.cancel()

    async def ended(self) -> End:
        code = await self._process.wait()
        await asyncio.wait({self._draining}, timeout=CLOSING_SECONDS)
        return End(code, tuple(self._said))

    async def _drain_stderr(self) -> None:
        assert self._process.stderr is not None
        rest = b""
        while chunk := await self._process.stderr.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-4096:]
            self._said.extend(map(readable, lines))


def readable(line: bytes) -> str:
    """A line of stderr without its colours."""
    return one_line(_ANSI.sub("", line.decode(errors="replace")))


async def _start(command: Sequence[str], env: Mapping[str, str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    try:
        return await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=CHUNK, env=dict(env), **_APART
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"{command[0]} can't be started: {reason}.", hint="Check CODEX_MAGIC_CODEX_BIN."
        ) from error
    except NotImplementedError as error:
        raise ConfigurationError(
            "The event loop of this program can't start other programs (Windows' selector loop).",
            hint="Use Codex instead of AsyncCodex: it has a loop of its own.",
        ) from error
