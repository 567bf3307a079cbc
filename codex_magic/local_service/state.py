"""What the endpoints of one running service share. Touched on the service's own loop only."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from .accounts import Account, SignIn
from .conversation import Body, input_items
from .faults import Faults
from .pace import Pace
from .recorder import Recorder

PRIMARY_SECONDS = 5 * 3600
SECONDARY_SECONDS = 7 * 24 * 3600
PERCENT_A_REQUEST = 1


@dataclass
class Quota:
    """The plan's two windows, which fill a little with every request. In whole percent: the CLI can't read others."""

    started: float = field(default_factory=time.time)
    requests: int = 0

    @property
    def primary(self) -> int:
        return min(95, 12 + PERCENT_A_REQUEST * self.requests)

    @property
    def secondary(self) -> int:
        return min(90, 31 + PERCENT_A_REQUEST * self.requests // 10)

    def headers(self, plan: str) -> dict[str, str]:
        return {
            "x-codex-plan-type": plan,
            "x-codex-active-limit": "codex",
            **self._window_headers("primary", self.primary, PRIMARY_SECONDS),
            **self._window_headers("secondary", self.secondary, SECONDARY_SECONDS),
            "x-codex-primary-over-secondary-limit-percent": "0",
            "x-codex-credits-has-credits": "False",
            "x-codex-credits-unlimited": "False",
            "x-codex-credits-balance": "",
        }

    def usage(self, account: Account) -> dict[str, Any]:
        """The body of `/wham/usage`."""
        windows = {
            "primary_window": self.window(self.primary, PRIMARY_SECONDS),
            "secondary_window": self.window(self.secondary, SECONDARY_SECONDS),
        }
        return {
            "user_id": account.user_id,
            "account_id": account.id,
            "email": account.email,
            "plan_type": account.plan,
            "rate_limit": {"allowed": True, "limit_reached": False, **windows},
            "additional_rate_limits": None,
            "code_review_rate_limit": None,
            "credits": {"has_credits": False, "unlimited": False, "balance": None},
            "spend_control": None,
            "rate_limit_reached_type": None,
            "promo": None,
        }

    def _window_headers(self, name: str, used: int, seconds: int) -> dict[str, str]:
        window = self.window(used, seconds)
        return {
            f"x-codex-{name}-used-percent": str(used),
            f"x-codex-{name}-window-minutes": str(seconds // 60),
            f"x-codex-{name}-reset-at": str(window["reset_at"]),
            f"x-codex-{name}-reset-after-seconds": str(window["reset_after_seconds"]),
        }

    def window(self, used: int, seconds: int) -> dict[str, Any]:
        reset_at = int(self.started) + seconds
        return {
            "used_percent": used,
            "limit_window_seconds": seconds,
            "reset_after_seconds": max(0, reset_at - int(time.time())),
            "reset_at": reset_at,
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
    recorder: Recorder = field(default_factory=Recorder)
    quota: Quota = field(default_factory=Quota)
    sign_in: SignIn = field(init=False)
    _sent: dict[str, list[str]] = field(default_factory=dict)
    """The last request of each session."""

    def __post_init__(self) -> None:
        self.sign_in = SignIn(self.url)

    def cached_tokens(self, session_id: str | None, body: Body) -> int:
        """The tokens that this session sent before in the same order; a session is its `session-id`."""
        if session_id is None:
            return 0
        parts = [json.dumps(body[key]) for key in ("model", "instructions", "tools") if key in body]
        parts += map(json.dumps, input_items(body))
        before = self._sent.get(session_id, [])
        self._sent[session_id] = parts
        same = takewhile(lambda pair: pair[0] == pair[1], zip(before, parts, strict=False))
        return sum(len(part) // 4 for part, _ in same)
