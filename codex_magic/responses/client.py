"""`Client` and `AsyncClient`: one provider's resources.

`responses.stream(...)` returns a stream (streaming.py). It lets `Core` make the request, a POST to `/responses` of
the provider's base URL with its credentials, and `Transport` send it (transport.py); the server-sent events of the
answer come back through the stream's `Exchange` (exchange.py). All is written once, as coroutines: those of
`AsyncClient` suspend, those of `Client` block the calling thread, where functions and hooks run; a loop in the
background would make reading a stream cost half as much again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ..auth.sign_in import LoginHandler
from ..protocol.errors import ServiceError
from ..protocol.plain import decode_json
from ..protocol.settings import Settings
from ..protocol.types import RateLimits
from ..waiting import Direct, blocking
from . import media
from .exchange import PATIENT, RetryPolicy
from .failures import limits_from_event, no_limits, number
from .parameters import DEFAULT_TIMEOUTS, Timeouts
from .provider import Provider
from .responses import AsyncModels, AsyncResponses, Models, Responses
from .transport import Core, Outgoing, Transport


class Usage(msgspec.Struct, frozen=True):
    """How much of the ChatGPT plan is left."""

    email: str | None
    plan: str | None
    limits: RateLimits


class _Resources:
    """Everything that can be asked of one provider, over one transport."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._core = transport.core
        self.provider = transport.core.provider
        self.models = AsyncModels(transport)
        self.responses = AsyncResponses(transport, self.models)
        self.images = media.AsyncImages(transport)
        self.realtime = media.Realtime(media.AsyncCalls(transport))

    async def usage(self) -> Usage:
        """Ask the service what is left of the ChatGPT plan. Raises CodexError."""
        return await fetch_usage(self.transport)

    @property
    def rate_limits(self) -> RateLimits | None:
        """What is left of the plan by the latest answer's headers; `None` when none had it."""
        return self._core.rate_limits

    def abort(self) -> None:
        """End every answer that is being read or waited for, from any thread; see `ResponseStream.abort`."""
        self.transport.abort()

    async def aclose(self) -> None:
        """End the connections; the next request opens others."""
        await self.transport.close()


class AsyncClient(_Resources):
    """Responses and models of one provider, for asyncio. Connections are kept; `aclose()` ends them.

    As `Client`; `login_handler` is called in a thread of its own. Each event loop that it is used in has
    connections of its own, which `aclose()` there ends: call it before the end of each `asyncio.run`.
    """

    def __init__(
        self,
        provider: Provider | None = None,
        *,
        settings: Settings | None = None,
        timeout: float | Timeouts = DEFAULT_TIMEOUTS,
        max_retries: int | None = None,
        retry: RetryPolicy = PATIENT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        login_handler: LoginHandler | None = None,
    ) -> None:
        core = Core(provider, settings, timeout, retry, max_retries, login_handler)
        super().__init__(Transport(core, sleep))

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Client(Direct[_Resources]):
    """Responses and models of one provider, ChatGPT's unless told. Connections are kept; `close()` ends them.

    `timeout` is the longest silence to wait through, in seconds, or `Timeouts`; `max_retries` how often a failed
    request is sent again before anything was shown. `login_handler` is called when a request finds no ChatGPT
    sign-in: with a link for the user to open, to give back the address at which their browser ended.
    """

    def __init__(
        self,
        provider: Provider | None = None,
        *,
        settings: Settings | None = None,
        timeout: float | Timeouts = DEFAULT_TIMEOUTS,
        max_retries: int | None = None,
        retry: RetryPolicy = PATIENT,
        sleep: Callable[[float], None] = time.sleep,
        login_handler: LoginHandler | None = None,
    ) -> None:
        self._core = Core(provider, settings, timeout, retry, max_retries, login_handler)
        resources = _Resources(Transport(self._core, sleep, blocks=True))
        super().__init__(resources)
        self.provider = resources.provider
        self.models = Models(resources.models)
        self.responses = Responses(resources.responses)
        self.images = media.Images(resources.images)
        self.realtime = media.Realtime(media.Calls(resources.realtime.calls))

    usage = blocking(_Resources.usage)
    close = blocking(_Resources.aclose)

    @property
    def rate_limits(self) -> RateLimits | None:
        """What is left of the plan by the latest answer's headers; `None` when none had it."""
        return self._core.rate_limits

    def abort(self) -> None:
        """End every answer that is being read or waited for, from any thread; see `ResponseStream.abort`."""
        self.asynchronous.abort()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Account(msgspec.Struct):
    email: str | None = None
    plan_type: str | None = None
    rate_limit: dict[str, Any] | None = None


async def fetch_usage(transport: Transport, chatgpt_url: str | None = None) -> Usage:
    """Return what the service says of the account that is signed in, at `chatgpt_url` or the settings' own.

    Raises CodexError, ConfigurationError for a provider that is paid otherwise.
    """
    provider = transport.core.provider
    if chatgpt_url is None and not provider.is_codex:
        raise no_limits(f"The provider {provider.name!r}")
    url = chatgpt_url or transport.core.settings.chatgpt_url
    # Behind another address than ChatGPT's own, the CLI asks at another path.
    url += "/wham/usage" if url.endswith("/backend-api") else "/api/codex/usage"
    answer = await transport.fetch(Outgoing("GET", url, {"Accept": "application/json"}))
    return read_usage(answer.content, now=time.time())


def read_usage(body: bytes, *, now: float) -> Usage:
    """Read an answer of `/wham/usage`. Raises ServiceError. `now`: Unix seconds."""
    try:
        account: _Account = decode_json(body, _Account)
        windows = {  # as a `codex.rate_limits` event spells them
            name.removesuffix("_window"): {
                **raw,
                "used_percent": float(raw["used_percent"]),
                "window_minutes": (number(raw.get("limit_window_seconds")) or 0) // 60,
            }
            for name, raw in (account.rate_limit or {}).items()
            if isinstance(raw, dict)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError("The limits that the service sent can't be read.") from error
    limits = limits_from_event(windows, plan_type=account.plan_type, now=now)
    return Usage(account.email, account.plan_type, limits)
