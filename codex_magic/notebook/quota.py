"""How much of a plan is left, in words and bars. Pure."""

from __future__ import annotations

from datetime import datetime

from ..protocol.errors import window_name
from ..protocol.types import RateLimits, RateLimitWindow

CELLS = 20
"""Characters of a bar."""


def windows(limits: RateLimits) -> list[RateLimitWindow]:
    """The windows there are, the one that will stop you first in front."""
    present = [window for window in (limits.primary, limits.secondary) if window is not None]
    return sorted(present, key=lambda window: -window.used_percent)


def name(window: RateLimitWindow) -> str:
    minutes = window.window_duration_mins
    return f"{window_name(minutes)} limit" if minutes else "limit"


def left(window: RateLimitWindow) -> int:
    """Percent."""
    return max(0, round(100 - window.used_percent))


def resets(window: RateLimitWindow) -> str:
    """When it is whole again, in local time; empty when the service did not say."""
    if window.resets_at is None:
        return ""
    return f"resets {datetime.fromtimestamp(window.resets_at).astimezone():%a %d %b %H:%M}"


def sentence(window: RateLimitWindow) -> str:
    return ", ".join(filter(None, [f"{name(window)}: {left(window)} % left", resets(window)]))


def bar(window: RateLimitWindow) -> str:
    """Full where something is left."""
    full = round(left(window) * CELLS / 100)
    return "█" * full + "░" * (CELLS - full)
