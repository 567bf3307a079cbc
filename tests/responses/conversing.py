"""The same call through the sync and the async client, to the local service in both of its manners."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.exchange import RetryPolicy
from codex_magic.responses.provider import Provider, chatgpt, custom
from tests.service import LocalService

Use = Callable[[Any], Any]
"""What to do with a client; what it gives may be awaitable."""


class Caller:
    """`call(lambda client: client.usage())` with the client of its kind; a fresh one each time."""

    def __init__(self, kind: str, manner: str, service: LocalService) -> None:
        self.kind = kind
        self.is_async = kind == "async"
        self.manner = manner
        self.service = service
        self.settings = Settings.from_env()

    @property
    def provider(self) -> Provider:
        return chatgpt(self.settings) if self.manner == "codex" else custom(self.service.api_url, "key")

    @property
    def base(self) -> str:
        """The path that the service's addresses begin with."""
        return "/backend-api/codex" if self.manner == "codex" else "/v1"

    def __call__(self, use: Use) -> Any:
        if self.is_async:
            return asyncio.run(self._async(use))
        with Client(self.provider, settings=self.settings, retry=RetryPolicy(0, 0)) as client:
            return use(client)

    async def _async(self, use: Use) -> Any:
        async with AsyncClient(self.provider, settings=self.settings, retry=RetryPolicy(0, 0)) as client:
            given = use(client)
            return await given if inspect.isawaitable(given) else given
