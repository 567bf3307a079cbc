"""How much of the ChatGPT plan is left, asked of the service; also a probe of whether a sign-in holds."""

from __future__ import annotations

import time

import msgspec

from ..protocol.errors import ConfigurationError, ServiceError
from ..protocol.types import RateLimits
from .failures import limits_from_event
from .transport import Outgoing, Transport


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


async def fetch_usage(transport: Transport, chatgpt_url: str | None = None) -> Usage:
    """Return what `/wham/usage` says about the account that is signed in, at `chatgpt_url` or the settings' own.

    Raises CodexError, ConfigurationError for a provider that is paid otherwise.
    """
    core = transport.core
    if chatgpt_url is None:
        if not core.provider.is_codex:
            raise no_limits(f"The provider {core.provider.name!r}")
        chatgpt_url = core.settings.chatgpt_url
    # Behind another address than ChatGPT's own, the CLI asks at another path.
    path = "/wham/usage" if chatgpt_url.endswith("/backend-api") else "/api/codex/usage"
    answer = await transport.fetch(Outgoing("GET", chatgpt_url + path, {"Accept": "application/json"}))
    return read_usage(answer.content, now=time.time())


def no_limits(who: str) -> ConfigurationError:
    return ConfigurationError(
        f"{who} does not tell what is left.", hint="Only a ChatGPT plan has limits of this kind."
    )


def read_usage(body: bytes, *, now: float) -> Usage:
    """Read an answer of `/wham/usage`. Raises ServiceError. `now`: Unix seconds."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceError("The service's account of your limits can't be read.") from error
    windows = answer.rate_limit or _Windows()
    # as a `codex.rate_limits` event spells them
    described = {
        name: window
        and {
            "used_percent": window.used_percent,
            "window_minutes": window.limit_window_seconds and window.limit_window_seconds // 60,
            "reset_at": window.reset_at,
            "reset_after_seconds": window.reset_after_seconds,
        }
        for name, window in (("primary", windows.primary_window), ("secondary", windows.secondary_window))
    }
    return Usage(
        answer.email, answer.plan_type, limits_from_event(described, plan_type=answer.plan_type, now=now)
    )
