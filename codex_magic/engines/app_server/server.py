"""The codex program of one session: started at first use, ended after idle minutes, and started again.

The output of its commands goes to the model. So what holds a secret, and what the Jupyter server gave this
kernel alone, stays here. The program gets those variables that its own configuration names, its commands
none of them.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ... import __version__
from ...net import header_value, scrub
from ...protocol.errors import ConfigurationError
from ...protocol.secrets import HIDDEN, names_secret
from ...protocol.settings import Settings
from .connection import Answer, Connection

OLDEST = (0, 151, 0)  # the first version that speaks the protocol as it is spoken here

INSTALL = "Install it with `%pip install 'codex-magic[agent]'`, or set CODEX_MAGIC_CODEX_BIN to its path."


_FILES = ("auth.json", "config.toml")
_OF_THE_SERVER = ("JUPYTERHUB_", "JPY_")
_MANAGED = Path("/etc/codex")
_URL_WITH_PASSWORD = re.compile(r"[a-z][\w+.-]*://[^/\s@:]*:[^/\s@]+@", re.IGNORECASE)


@dataclass(frozen=True)
class Launch:
    """Ways of starting and greeting the program that are not as usual."""

    command: tuple[str, ...] | None = None  # all of it, in place of ours
    config: tuple[str, ...] = ()
    """`key=value`: keys of config.toml and their TOML values, for the whole process."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables besides those of this process, whatever they hold."""
    client_title: str = "codex_magic"
    client_version: str = __version__


class AppServer:
    """Belongs to the event loop it is first used in."""

    def __init__(self, settings: Settings, answer: Answer, launch: Launch | None = None) -> None:
        self._settings = settings
        self._answer = answer
        self._launch = launch or Launch()
        self.environment: Mapping[str, str] = {}  # the variables that the program was last started with
        self.metadata: dict[str, Any] | None = None  # the program's last answer to `initialize`
        self._connection: Connection | None = None
        self._changing = asyncio.Lock()
        self._users = 0
        self._idle: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """The running process, busy meanwhile. Raises ConfigurationError for no program, or one too old."""
        self._users += 1
        try:
            async with self._changing:
                if self._idle is not None:
                    self._idle.cancel()
                if self.running is None:
                    self._connection = await self._start()
                connection = self._connection
            assert connection is not None
            yield connection
        finally:
            self._users -= 1
            if not self._users:
                self._idle = asyncio.ensure_future(self._end_when_idle())

    @property
    def running(self) -> Connection | None:
        """The running process, if there is one."""
        return self._connection if self._connection and not self._connection.ended else None

    async def close(self) -> None:
        """End the process, whatever it does."""
        async with self._changing:
            if self._idle is not None:
                self._idle.cancel()
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _end_when_idle(self) -> None:
        while not self._users and self.running is not None:
            await asyncio.sleep(self._settings.agent_idle_seconds)
            async with self._changing:
                if not self._users and self.running is not None and not self.running.commands:
                    await self.running.close()
                    self._connection = None

    async def _start(self) -> Connection:
        command = self._command()
        connection = await Connection.start(command, self.environment, self._answer)
        name, launch = header_value(self._settings.originator), self._launch
        about = {"name": name, "title": launch.client_title, "version": launch.client_version}
        try:
            await connection.greet(about)
            version = re.match(r"[^/]*/(\d+)\.(\d+)\.(\d+)", str(connection.metadata.get("userAgent", "")))
            if version and tuple(map(int, version.groups())) < OLDEST:
                old, needed = (".".join(map(str, each)) for each in (version.groups(), OLDEST))
                hint = "Update it, or install the packaged one: `%pip install -U 'codex-magic[agent]'`."
                what = f"The codex program is version {old}; {needed} or newer is needed."
                raise ConfigurationError(what, hint=hint)
        except BaseException:
            connection.kill()
            await connection.close()
            raise
        self.metadata = connection.metadata
        return connection

    def _command(self) -> Sequence[str]:
        settings, launch = self._settings, self._launch
        home = settings.codex_home
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)  # without one the program ends at once
            files = [file for folder in (home, _MANAGED) for file in sorted(folder.glob("*.toml"))]
            texts = [file.read_text(errors="replace") for file in files if file.is_file()]
            # What may name a variable which the program, a provider or an MCP server of it reads.
            named = "\n".join((*launch.config, *texts))
            odd = [file for file in map(home.joinpath, _FILES) if file.exists() and not file.is_file()]
        except OSError as error:
            is_none = isinstance(error, FileExistsError | NotADirectoryError)
            why = "is not a folder" if is_none else f"can't be used ({error.strerror})"
            raise ConfigurationError(f"{error.filename or home} {why}.", hint="Check CODEX_HOME.") from error
        if odd:  # the program would wait for a pipe without end
            hint = "Move it away, then run the cell again."
            raise ConfigurationError(f"{odd[0]} is not a file.", hint=hint)
        command, path = launch.command, launch.env.get("PATH") or os.environ.get("PATH", os.defpath)
        if command is None:
            binary, folder = find_binary(settings)
            options = [part for setting in launch.config for part in ("-c", setting)]
            command = (binary, *options, "app-server")
            path = os.pathsep.join([path, folder]) if folder else path
        variables = {
            name: value
            for name, value in os.environ.items()
            if not is_withheld(name, value)
            or name.startswith("CODEX_")
            or _is_one_of(name, settings.agent_variables)
            or re.search(rf"\b{re.escape(name)}\b", named)
        }
        own = {"CODEX_HOME": os.path.abspath(home), "PATH": path}
        self.environment = {**variables, **launch.env, **own}
        return command


def find_binary(settings: Settings) -> tuple[str, str | None]:
    """Return the path of the settings' program, else of PATH's, else of the package's, and the folder of its tools."""
    chosen = shutil.which(os.path.expanduser(settings.codex_bin or "codex"))
    if chosen is not None:
        return os.path.abspath(chosen), None
    if settings.codex_bin is not None:
        hint = "Check CODEX_MAGIC_CODEX_BIN, or unset it."
        raise ConfigurationError(f"No such program: {settings.codex_bin!r}.", hint=hint)
    try:
        package = importlib.import_module("codex_cli_bin")
        path, folder = package.bundled_codex_path(), package.bundled_path_dir()
    except (ImportError, FileNotFoundError) as error:
        raise ConfigurationError("The codex program is not installed.", hint=INSTALL) from error
    return str(path), str(folder) if folder else None


def withheld(environment: Mapping[str, str], *, allowed: Sequence[str], key: str | None) -> list[str]:
    """Return the names of the program's variables that commands do not get. `key`: its provider's."""
    secret = {name for name, value in environment.items() if is_withheld(name, value) or value == key}
    return sorted(name for name in secret if not _is_one_of(name, allowed))


def is_withheld(name: str, value: str) -> bool:
    """Whether a variable stays here. A proxy does not: without it nothing is reached, password or not."""
    if name.upper().startswith(_OF_THE_SERVER) or names_secret(name):
        return True
    is_secret = _URL_WITH_PASSWORD.match(value) is not None or scrub(value.strip()) == HIDDEN
    return is_secret and not name.upper().endswith("_PROXY")


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
