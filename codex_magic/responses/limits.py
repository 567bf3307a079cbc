"""How much of the plan is used, as the rate-limit headers and events tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol.types import RateLimits, RateLimitWindow

MAIN = "codex"
"""The limit family that counts for every Codex request; others belong to single models."""

_SHORT_WINDOW_MINUTES = 24 * 60
"""Up to here a window is the primary one (5 hours), above it the secondary (a week)."""

_MARK = "-primary-used-percent"


def from_headers(headers: Mapping[str, str], *, now: float) -> dict[str, RateLimits]:
    """Limit family -> its limits; empty when the headers name none. `now`: Unix seconds."""
    values = {name.lower(): value for name, value in headers.items()}
    families = [name[2 : -len(_MARK)] for name in values if name.startswith("x-") and name.endswith(_MARK)]
    return {family: _family(values, family, now) for family in families}


def from_event(rate_limits: Mapping[str, Any], *, plan_type: str | None, now: float) -> RateLimits:
    """The `rate_limits` of a `codex.rate_limits` event."""
    windows = [
        _window(
            used=raw.get("used_percent"),
            minutes=raw.get("window_minutes"),
            at=raw.get("reset_at", raw.get("resets_at")),
            after=raw.get("reset_after_seconds"),
            now=now,
        )
        for raw in (rate_limits.get("primary"), rate_limits.get("secondary"))
        if isinstance(raw, dict)
    ]
    return _by_length(windows, plan_type=plan_type, limit_id=MAIN)


def _family(values: Mapping[str, str], family: str, now: float) -> RateLimits:
    windows = [
        _window(
            used=values.get(f"x-{family}-{which}-used-percent"),
            minutes=values.get(f"x-{family}-{which}-window-minutes"),
            at=values.get(f"x-{family}-{which}-reset-at"),
            after=values.get(f"x-{family}-{which}-reset-after-seconds"),
            now=now,
        )
        for which in ("primary", "secondary")
    ]
    return _by_length(windows, plan_type=values.get("x-codex-plan-type") or None, limit_id=family)


def _window(*, used: Any, minutes: Any, at: Any, after: Any, now: float) -> RateLimitWindow | None:
    percent = number(used)
    if percent is None:
        return None
    length, resets_at, wait = number(minutes), number(at), number(after)
    if resets_at is None and wait is not None:
        resets_at = now + wait
    return RateLimitWindow(
        percent,
        window_duration_mins=int(length) if length else None,
        resets_at=int(resets_at) if resets_at is not None else None,
    )


def _by_length(windows: list[RateLimitWindow | None], *, plan_type: str | None, limit_id: str) -> RateLimits:
    """Free plans send their weekly window as the primary one, so the length decides, not the name."""
    present = [window for window in windows if window is not None]
    if len(present) == 1:
        long = (present[0].window_duration_mins or 0) > _SHORT_WINDOW_MINUTES
        primary, secondary = (None, present[0]) if long else (present[0], None)
    else:
        present.sort(key=lambda window: window.window_duration_mins or 0)
        primary, secondary = present or (None, None)
    return RateLimits(primary, secondary, plan_type=plan_type, limit_id=limit_id)


def number(value: Any) -> float | None:
    """Headers hold text, sometimes empty; events hold numbers."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e12 else None
