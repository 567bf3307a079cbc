"""The app-server that a session uses: started or joined at first use, and again when it has ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from ... import __version__
from ...auth.network import header_value
from ...protocol.settings import Settings
from .binary import check_version, find_binary
from .connection import Answer, Connection
from .pipes import OwnProcess, Pipe
from .sharing import join


class AppServer:
    """Belongs to the event loop it is first used in.

    `config`: keys of config.toml and their TOML values, for the whole process.
    """

    def __init__(
        self, settings: Settings, answer: Answer, *, config: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._answer = answer
        self._config = dict(config or {})
        self._connection: Connection | None = None
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
    def pid(self) -> int | None:
        """Of the running process."""
        if self._connection is None or self._connection.ended:
            return None
        return self._connection.pipe.pid

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
                "title": "codex_magic",
                "version": __version__,
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
        binary = find_binary(self._settings)
        options = [part for key, value in self._config.items() for part in ("-c", f"{key}={value}")]
        command, environment = [binary.path, *options], self._environment(binary.search_path)
        if self._settings.shared_agent:
            shared = await join(command, environment, self._settings.codex_home)
            if shared is not None:
                return shared
        return await OwnProcess.start([*command, "app-server"], environment)

    def _environment(self, search_path: str | None) -> dict[str, str]:
        path = os.environ.get("PATH", os.defpath)
        return {
            **os.environ,
            "CODEX_HOME": os.path.abspath(self._settings.codex_home),
            "PATH": os.pathsep.join([path, search_path]) if search_path else path,
        }
