"""What the endpoints of one running service share: touched on its own loop only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from .accounts import Account, SignIn
from .faults import Faults
from .stream import SHAPES, Pace

SECONDS = {"primary": 5 * 3600, "secondary": 7 * 24 * 3600}
"""How long each window of a plan is."""


@dataclass
class Quota:
    """The plan's two windows, which fill a little with every request. In whole percent: the CLI can't read others."""

    started: float = field(default_factory=time.time)
    requests: int = 0

    def windows(self) -> dict[str, dict[str, Any]]:
        used = {"primary": min(95, 12 + self.requests), "secondary": min(90, 31 + self.requests // 10)}
        return {
            name: {
                "used_percent": used[name],
                "limit_window_seconds": seconds,
                "reset_after_seconds": max(0, int(self.started) + seconds - int(time.time())),
                "reset_at": int(self.started) + seconds,
            }
            for name, seconds in SECONDS.items()
        }

    def headers(self, plan: str) -> dict[str, str]:
        headers = SHAPES["quota_headers"] | {"x-codex-plan-type": plan}
        for name, window in self.windows().items():
            minutes = window.pop("limit_window_seconds") // 60
            for key, value in {**window, "window_minutes": minutes}.items():
                headers[f"x-codex-{name}-{key.replace('_', '-')}"] = str(value)
        return headers

    def usage(self, account: Account) -> dict[str, Any]:
        """Return the body of `/wham/usage`."""
        windows = {f"{name}_window": window for name, window in self.windows().items()}
        return SHAPES["usage"] | {
            "user_id": account.user_id,
            "account_id": account.id,
            "email": account.email,
            "plan_type": account.plan,
            "rate_limit": {"allowed": True, "limit_reached": False, **windows},
        }


@dataclass
class State:
    url: str
    pace: Pace = field(default_factory=Pace)
    open_access: bool = False
    """Answer requests without credentials too."""
    middleware: Callable[[Any], Awaitable[None]] | None = None
    """Called with each endpoint when its request has been read; it may refuse it."""
    faults: Faults = field(default_factory=Faults)
    quota: Quota = field(default_factory=Quota)
    sign_in: SignIn = field(init=False)

    def __post_init__(self) -> None:
        self.sign_in = SignIn(self.url)
