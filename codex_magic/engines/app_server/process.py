"""The codex program as a child of this process, which ends with it, and the variables that it gets.

The output of a command goes to the model. So what holds a secret, and what the Jupyter server gave this
kernel alone, stays here. The program gets those that its own configuration names, its commands none of them.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...net import one_line, scrub
from ...protocol.errors import ConfigurationError
from ...protocol.secrets import HIDDEN, names_secret
from ...waiting import begin_anew_in_children

CLOSING_SECONDS = 2.0
"""Until a process whose input is closed is killed; to end by itself takes it 20 to 120 ms."""

CHUNK = 1 << 20
_STDERR_LINES = 20
_ANSI = re.compile(r"\x1b\[[0-9;]*m")

_OF_THE_SERVER = ("JUPYTERHUB_", "JPY_")
_OF_THE_PROGRAM = "CODEX_"
_MANAGED = Path("/etc/codex")
_URL_WITH_PASSWORD = re.compile(r"[a-z][\w+.-]*://[^/\s@:]*:[^/\s@]+@", re.IGNORECASE)

# The kernel's Ctrl-C goes to its whole process group; a turn is interrupted by a request.
_OWN_GROUP: dict[str, Any] = (
    {
        "creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        | getattr(subprocess, "CREATE_NO_WINDOW", 0)
    }
    if sys.platform == "win32"
    else {"start_new_session": True}
)


class Process:
    """A running program and its three pipes. It ends when its input is closed, so also with this process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.pid = process.pid
        self.last_words: deque[str] = deque(maxlen=_STDERR_LINES)
        """The last lines that it wrote to stderr, without their colours."""
        self._process = process
        self._input, self._output, self._errors = process.stdin, process.stdout, process.stderr
        self._draining = asyncio.create_task(self._drain_stderr())
        begin_anew_in_children(self)

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str]) -> Process:
        """Start it. Raises ConfigurationError when that can't be done."""
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe, limit=CHUNK, env=dict(env), **_OWN_GROUP
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
        return cls(process)

    def read(self) -> Awaitable[bytes]:
        """Read some bytes of its output; none at the end."""
        return self._output.read(CHUNK)

    async def write(self, line: bytes) -> None:
        """Write one line; ignored after the process has ended."""
        self._input.write(line)
        with suppress(ConnectionError):
            await self._input.drain()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Close its input, and kill it when it does not end by that."""
        self._input.close()
        try:
            await asyncio.wait_for(self._process.wait(), CLOSING_SECONDS)
        except asyncio.TimeoutError:
            self.kill()
        # A program that it left behind may hold its output open.
        _, unfinished = await asyncio.wait({self._draining}, timeout=CLOSING_SECONDS)
        for task in unfinished:
            task.cancel()

    async def wait(self) -> int:
        """Wait for its end and for its last words; gives the exit code."""
        code = await self._process.wait()
        await asyncio.wait({self._draining}, timeout=CLOSING_SECONDS)
        return code

    def forked(self) -> object:
        """Close the inherited input in a forked child, which would keep the program alive; see `waiting.begin_anew_in_children`."""
        pipe = self._input.transport.get_extra_info("pipe")
        if pipe is not None:
            pipe.close()
        return dict(vars(self))

    async def _drain_stderr(self) -> None:
        rest = b""
        while chunk := await self._errors.read(CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-4096:]
            readable = (one_line(_ANSI.sub("", line.decode(errors="replace"))) for line in lines)
            self.last_words.extend(filter(None, readable))


def is_withheld(name: str, value: str) -> bool:
    """Whether a variable stays here. A proxy does not: without it nothing is reached, password or not."""
    if name.upper().startswith(_OF_THE_SERVER) or names_secret(name):
        return True
    if name.upper().endswith("_PROXY"):
        return False
    return _URL_WITH_PASSWORD.match(value) is not None or scrub(value.strip()) == HIDDEN


def program_environment(
    variables: Mapping[str, str], *, allowed: Sequence[str], configuration: str
) -> dict[str, str]:
    """Return the variables that the program is started with.

    `allowed`: names that the user lets pass, with `*` for any characters; `configuration`: of the program.
    """
    return {
        name: value
        for name, value in variables.items()
        if not is_withheld(name, value)
        or name.startswith(_OF_THE_PROGRAM)
        or _is_one_of(name, allowed)
        or re.search(rf"\b{re.escape(name)}\b", configuration)
    }


def configuration(codex_home: Path, overrides: Sequence[str]) -> str:
    """Return all text that may name a variable which the program, a provider or an MCP server of it reads."""
    files = [*sorted(codex_home.glob("*.toml")), *sorted(_MANAGED.glob("*.toml"))]
    return "\n".join((*overrides, *(file.read_text(errors="replace") for file in files if file.is_file())))


def withheld(environment: Mapping[str, str], *, allowed: Sequence[str], key: str | None) -> list[str]:
    """Return the names of the program's variables that commands do not get. `key`: its provider's."""
    return sorted(
        name
        for name, value in environment.items()
        if (is_withheld(name, value) or (key is not None and value == key)) and not _is_one_of(name, allowed)
    )


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
