"""How much of the ChatGPT plan is left, asked of the service; also a probe of whether a sign-in holds."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ..protocol.errors import ConfigurationError, ServiceError
from ..protocol.plain import decode_json
from ..protocol.types import RateLimits
from .failures import limits_from_event, number
from .transport import Outgoing, Transport


class Usage(msgspec.Struct, frozen=True):
    email: str | None
    plan: str | None
    limits: RateLimits


class _Answer(msgspec.Struct):
    email: str | None = None
    plan_type: str | None = None
    rate_limit: dict[str, Any] | None = None


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
        answer: _Answer = decode_json(body, _Answer)
        windows = {  # as a `codex.rate_limits` event spells them
            name.removesuffix("_window"): {
                **raw,
                "used_percent": float(raw["used_percent"]),
                "window_minutes": (number(raw.get("limit_window_seconds")) or 0) // 60,
            }
            for name, raw in (answer.rate_limit or {}).items()
            if isinstance(raw, dict)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ServiceError("The service's account of your limits can't be read.") from error
    limits = limits_from_event(windows, plan_type=answer.plan_type, now=now)
    return Usage(answer.email, answer.plan_type, limits)
