"""How much of the ChatGPT plan is left, asked of the service; also a probe of whether a sign-in holds."""

from __future__ import annotations

import time
from typing import Any

import httpx
import msgspec

from ..protocol.errors import ConfigurationError, ServiceError
from ..protocol.types import RateLimits
from .client import AsyncClient, _Core, _Outgoing
from .limits import from_event


class Usage(msgspec.Struct, frozen=True):
    email: str | None
    plan: str | None
    limits: RateLimits


class _Window(msgspec.Struct):
    used_percent: float
    limit_window_seconds: int | None = None
    reset_after_seconds: float | None = None
    reset_at: float | None = None


class _Windows(msgspec.Struct):
    primary_window: _Window | None = None
    secondary_window: _Window | None = None


class _Answer(msgspec.Struct):
    email: str | None = None
    plan_type: str | None = None
    rate_limit: _Windows | None = None


async def ask_usage(client: AsyncClient, chatgpt_url: str) -> Usage:
    """What `/wham/usage` says about the account that `client` is signed in with. Raises CodexError."""
    return usage_of(await client._fetch(_ask(chatgpt_url)))


def ask_for_usage(core: _Core) -> _Outgoing:
    """The request. Raises ConfigurationError for a provider that is paid otherwise."""
    if not core.provider.is_codex:
        raise no_limits(f"The provider {core.provider.name!r}")
    return _ask(core.settings.chatgpt_url)


def no_limits(who: str) -> ConfigurationError:
    return ConfigurationError(
        f"{who} does not tell what is left.", hint="Only a ChatGPT plan has limits of this kind."
    )


def usage_of(answer: httpx.Response) -> Usage:
    return read_usage(answer.content, now=time.time())


def _ask(chatgpt_url: str) -> _Outgoing:
    """Behind another address than ChatGPT's own, the CLI asks at another path."""
    path = "/wham/usage" if chatgpt_url.endswith("/backend-api") else "/api/codex/usage"
    return _Outgoing("GET", chatgpt_url + path, {"Accept": "application/json"})


def read_usage(body: bytes, *, now: float) -> Usage:
    """Raises ServiceError for what can't be read. `now`: Unix seconds."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceError("The service's account of your limits can't be read.") from error
    windows = answer.rate_limit or _Windows()
    described = {
        "primary": _as_event(windows.primary_window),
        "secondary": _as_event(windows.secondary_window),
    }
    return Usage(answer.email, answer.plan_type, from_event(described, plan_type=answer.plan_type, now=now))


def _as_event(window: _Window | None) -> dict[str, Any] | None:
    """The window as a `codex.rate_limits` event spells it."""
    if window is None:
        return None
    seconds = window.limit_window_seconds
    return {
        "used_percent": window.used_percent,
        "window_minutes": seconds // 60 if seconds else None,
        "reset_at": window.reset_at,
        "reset_after_seconds": window.reset_after_seconds,
    }
