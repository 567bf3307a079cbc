"""What the endpoints of one running service share. Touched on the service's own loop only."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .accounts import Account, SignIn
from .conversation import Body, input_items
from .faults import Faults
from .pace import Pace
from .recorder import RecordedRequest, Recorder

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
            **self._window("primary", self.primary, PRIMARY_SECONDS),
            **self._window("secondary", self.secondary, SECONDARY_SECONDS),
            "x-codex-primary-over-secondary-limit-percent": "0",
            "x-codex-credits-has-credits": "False",
            "x-codex-credits-unlimited": "False",
            "x-codex-credits-balance": "",
        }

    def event(self, plan: str) -> dict[str, Any]:
        """The first message of each response on a WebSocket."""
        windows = {
            "primary": self._told(self.primary, PRIMARY_SECONDS),
            "secondary": self._told(self.secondary, SECONDARY_SECONDS),
        }
        return {
            "type": "codex.rate_limits",
            "plan_type": plan,
            "rate_limits": {"allowed": True, "limit_reached": False, **windows},
            "credits": {"has_credits": False, "unlimited": False, "balance": None},
            "metered_limit_name": None,
        }

    def usage(self, account: Account) -> dict[str, Any]:
        """The body of `/wham/usage`."""
        windows = {
            "primary_window": self._described(self.primary, PRIMARY_SECONDS),
            "secondary_window": self._described(self.secondary, SECONDARY_SECONDS),
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

    def _window(self, name: str, used: int, seconds: int) -> dict[str, str]:
        window = self._described(used, seconds)
        return {
            f"x-codex-{name}-used-percent": str(used),
            f"x-codex-{name}-window-minutes": str(seconds // 60),
            f"x-codex-{name}-reset-at": str(window["reset_at"]),
            f"x-codex-{name}-reset-after-seconds": str(window["reset_after_seconds"]),
        }

    def _told(self, used: int, seconds: int) -> dict[str, Any]:
        window = self._described(used, seconds)
        del window["limit_window_seconds"]
        return {**window, "window_minutes": seconds // 60}

    def _described(self, used: int, seconds: int) -> dict[str, Any]:
        reset_at = int(self.started) + seconds
        return {
            "used_percent": used,
            "limit_window_seconds": seconds,
            "reset_after_seconds": max(0, reset_at - int(time.time())),
            "reset_at": reset_at,
        }


class State:
    def __init__(
        self,
        url: str,
        *,
        pace: Pace,
        strict: bool,
        open_access: bool,
        auto_approve: bool,
        websocket: bool,
    ) -> None:
        self.url = url
        self.pace = pace
        self.strict = strict
        self.open_access = open_access
        self.auto_approve = auto_approve
        self.websocket = websocket
        self.sockets: set[Callable[[], None]] = set()
        """What breaks each open WebSocket: the HTTP server forgets a connection when it is upgraded."""
        self.recorder = Recorder()
        self.faults = Faults()
        self.sign_in = SignIn(url)
        self.quota = Quota()
        self._sessions: dict[str, list[str]] = {}
        self._holds: list[asyncio.Event] = []

    def cached_tokens(self, session_id: str | None, body: Body) -> int:
        """The tokens that this session sent before in the same order; a session is its `session-id`."""
        if session_id is None:
            return 0
        parts = [json.dumps(body[key]) for key in ("model", "instructions", "tools") if key in body]
        parts += [json.dumps(item) for item in input_items(body)]
        before = self._sessions.get(session_id, [])
        self._sessions[session_id] = parts
        same = 0
        for old, new in zip(before, parts, strict=False):
            if old != new:
                break
            same += 1
        return sum(len(part) // 4 for part in parts[:same])

    async def hold(self, request: RecordedRequest) -> None:
        """Wait until `release`."""
        released = asyncio.Event()
        self._holds.append(released)
        self.recorder.add(self.recorder.held, request)
        await released.wait()

    def release(self) -> None:
        for released in self._holds:
            released.set()
        self._holds.clear()
