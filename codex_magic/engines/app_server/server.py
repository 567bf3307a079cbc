"""The app-server that a session uses: started or joined at first use, and again when it has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ... import __version__
from ...net import header_value
from ...protocol.settings import Settings
from .binary import check_version, find_binary
from .connection import Answer, Connection
from .environment import configuration, program_environment
from .pipes import OwnProcess, Pipe
from .sharing import join


@dataclass(frozen=True)
class Launch:
    """How the program is started and greeted, where that is not as usual."""

    command: tuple[str, ...] | None = None
    """All of it, in place of ours."""
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
        self._connection: Connection | None = None
        self.environment: Mapping[str, str] = {}
        """What the running process was started with."""
        self._starting = asyncio.Lock()

    async def connection(self) -> Connection:
        """The running process. Raises ConfigurationError when there is no program, or one too old."""
        async with self._starting:
            if self._connection is None or self._connection.ended:
                self._connection = await self._start()
            return self._connection

    async def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Any request of the protocol. Raises what `Connection.call` does."""
        connection = await self.connection()
        return await connection.call(method, params)

    @property
    def running(self) -> Connection | None:
        """The running process, if there is one."""
        return self._connection if self._connection and not self._connection.ended else None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self.running.pipe.pid if self.running else None

    async def close(self) -> None:
        async with self._starting:
            if self._connection is not None:
                await self._connection.close()
                self._connection = None

    async def _start(self) -> Connection:
        self._settings.codex_home.mkdir(
            mode=0o700, parents=True, exist_ok=True
        )  # it ends where there is none
        connection = await Connection.open(
            await self._pipe(),
            client={
                "name": header_value(self._settings.originator),
                "title": self._launch.client_title,
                "version": self._launch.client_version,
            },
            answer=self._answer,
        )
        try:
            check_version(str(connection.metadata.get("userAgent", "")))
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _pipe(self) -> Pipe:
        """To the process that others have or will have too, else to one of our own."""
        if self._launch.command is not None:
            self.environment = self._environment(None)
            return await OwnProcess.start(self._launch.command, self.environment)
        binary = find_binary(self._settings)
        options = [part for setting in self._launch.config for part in ("-c", setting)]
        command = [binary.path, *options]
        self.environment = environment = self._environment(binary.search_path)
        if self._settings.shared_agent:
            shared = await join(command, environment, self._settings.codex_home)
            if shared is not None:
                return shared
        return await OwnProcess.start([*command, "app-server"], environment)

    def _environment(self, search_path: str | None) -> dict[str, str]:
        path = self._launch.env.get("PATH") or os.environ.get("PATH", os.defpath)
        settings = self._settings
        variables = program_environment(
            os.environ,
            allowed=settings.agent_variables,
            configuration=configuration(settings.codex_home, self._launch.config),
        )
        return {
            **variables,
            **self._launch.env,
            "CODEX_HOME": os.path.abspath(self._settings.codex_home),
            "PATH": os.pathsep.join([path, search_path]) if search_path else path,
        }
