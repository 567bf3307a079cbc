"""Both clients behind one function, against a server that says what a test tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from codex_magic.protocol.errors import CodexError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.events import Event
from codex_magic.responses.exchange import RetryPolicy
from codex_magic.responses.parameters import Timeouts
from codex_magic.responses.provider import Provider, custom
from codex_magic.responses.response import Response
from tests.responses.conversing import Caller
from tests.responses.wire import Wire
from tests.service import LocalService


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(codex_home=tmp_path / "codex", home=tmp_path / "home")


class Asker:
    """Asks through the sync or the async client; `waits` are the pauses it would have made."""

    def __init__(self, kind: str, provider: Provider, settings: Settings) -> None:
        self.kind = kind
        self.provider = provider
        self.settings = settings
        self.waits: list[float] = []
        self.events: list[Event] = []
        self.retried: list[CodexError] = []
        self.timeout = Timeouts()

    def __call__(self, input: Any = "hi", **parameters: Any) -> Response:
        """The response; its events are in `events`, those before a failure too."""
        parameters = {"model": "m", "on_retry": lambda error, wait: self.retried.append(error), **parameters}
        run = self._sync if self.kind == "sync" else lambda *args: asyncio.run(self._async(*args))
        return run(input, parameters)

    def _sync(self, input: Any, parameters: dict[str, Any]) -> Response:
        with (
            Client(self.provider, sleep=self.waits.append, **self._options()) as client,
            client.responses.create(input, stream=True, **parameters) as stream,
        ):
            for event in stream:
                self.events.append(event)
            return stream.get_final_response()

    async def _async(self, input: Any, parameters: dict[str, Any]) -> Response:
        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        async with (
            AsyncClient(self.provider, sleep=sleep, **self._options()) as client,
            await client.responses.create(input, stream=True, **parameters) as stream,
        ):
            async for event in stream:
                self.events.append(event)
            return await stream.get_final_response()

    def _options(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "timeout": self.timeout,
            "retry": RetryPolicy(random=lambda: 0.5),
        }


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, wire: Wire, settings: Settings) -> Asker:
    return Asker(request.param, custom(wire.url, settings=settings), settings)


@pytest.fixture
def client(wire: Wire, settings: Settings) -> Iterator[Client]:
    with Client(custom(wire.url, settings=settings), settings=settings, sleep=lambda _: None) as client:
        yield client


@pytest.fixture(params=["codex", "api"])
def manner(request: pytest.FixtureRequest) -> str:
    """The Codex backend, or the public API."""
    return str(request.param)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, manner: str, service: LocalService) -> Caller:
    return Caller(request.param, manner, service)


only_codex = pytest.mark.parametrize("manner", ["codex"], indirect=True)
only_api = pytest.mark.parametrize("manner", ["api"], indirect=True)
