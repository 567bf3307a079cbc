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

_FIELDS = ("used_percent", "window_minutes", "reset_at", "reset_after_seconds")
"""What is said of a window: in events by these names, in headers with `-` for `_`."""


def from_headers(headers: Mapping[str, str], *, now: float) -> dict[str, RateLimits]:
    """Return the limits by family; empty when the headers name none. `now`: Unix seconds."""
    values = {name.lower(): value for name, value in headers.items()}
    families = [name[2 : -len(_MARK)] for name in values if name.startswith("x-") and name.endswith(_MARK)]
    plan_type = values.get("x-codex-plan-type") or None
    rate_limits = {}
    for family in families:
        windows = []
        for which in ("primary", "secondary"):
            fields = {name: values.get(f"x-{family}-{which}-{name.replace('_', '-')}") for name in _FIELDS}
            windows.append(_window(fields, now))
        rate_limits[family] = _by_length(windows, plan_type=plan_type, limit_id=family)
    return rate_limits


def from_event(rate_limits: Mapping[str, Any], *, plan_type: str | None, now: float) -> RateLimits:
    """Return the limits that the `rate_limits` of a `codex.rate_limits` event tell. `now`: Unix seconds."""
    windows = [
        _window({"reset_at": raw.get("resets_at"), **raw}, now)
        for raw in (rate_limits.get("primary"), rate_limits.get("secondary"))
        if isinstance(raw, dict)
    ]
    return _by_length(windows, plan_type=plan_type, limit_id=MAIN)


def _window(values: Mapping[str, Any], now: float) -> RateLimitWindow | None:
    percent, minutes, resets_at, wait = (number(values.get(name)) for name in _FIELDS)
    if percent is None:
        return None
    if resets_at is None and wait is not None:
        resets_at = now + wait
    ends = None if resets_at is None else int(resets_at)
    return RateLimitWindow(percent, window_duration_mins=int(minutes) if minutes else None, resets_at=ends)


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
