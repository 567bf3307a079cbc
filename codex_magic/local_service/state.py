"""What the endpoints of one running service share: touched on its own loop only, but for what they record."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from .accounts import Account, SignIn
from .conversation import Body, input_items
from .faults import Faults
from .pace import Pace

PRIMARY_SECONDS = 5 * 3600
SECONDARY_SECONDS = 7 * 24 * 3600


@dataclass(frozen=True)
class RecordedRequest:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """As sent, but decompressed."""
    json: Any
    """The decoded body; `None` when it is empty or no JSON."""
    at: float
    """`time.monotonic()` when the request was read."""


class Recorder:
    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.disconnects: list[RecordedRequest] = []
        """Requests whose client went away before the answer was complete."""
        self._changed = threading.Condition()

    def add(self, kind: list[RecordedRequest], request: RecordedRequest) -> None:
        with self._changed:
            kind.append(request)
            self._changed.notify_all()

    def wait(self, kind: list[RecordedRequest], path: str, *, timeout: float, count: int) -> RecordedRequest:
        """The `count`-th entry whose path ends with `path`; TimeoutError when it does not come."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                matching = [request for request in kind if request.path.endswith(path)]
                if len(matching) >= count:
                    return matching[count - 1]
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(matching)} of {count} came for {path!r} within {timeout} s")


@dataclass
class Quota:
    """The plan's two windows, which fill a little with every request. In whole percent: the CLI can't read others."""

    started: float = field(default_factory=time.time)
    requests: int = 0

    @property
    def primary(self) -> int:
        return min(95, 12 + self.requests)

    @property
    def secondary(self) -> int:
        return min(90, 31 + self.requests // 10)

    def headers(self, plan: str) -> dict[str, str]:
        windows = {
            "primary": self.window(self.primary, PRIMARY_SECONDS),
            "secondary": self.window(self.secondary, SECONDARY_SECONDS),
        }
        headers = {
            "x-codex-plan-type": plan,
            "x-codex-active-limit": "codex",
            "x-codex-primary-over-secondary-limit-percent": "0",
            "x-codex-credits-has-credits": "False",
            "x-codex-credits-unlimited": "False",
            "x-codex-credits-balance": "",
        }
        for name, window in windows.items():
            minutes = window.pop("limit_window_seconds") // 60
            for key, value in {**window, "window_minutes": minutes}.items():
                headers[f"x-codex-{name}-{key.replace('_', '-')}"] = str(value)
        return headers

    def usage(self, account: Account) -> dict[str, Any]:
        """Return the body of `/wham/usage`."""
        return {
            "user_id": account.user_id,
            "account_id": account.id,
            "email": account.email,
            "plan_type": account.plan,
            "rate_limit": {
                "allowed": True,
                "limit_reached": False,
                "primary_window": self.window(self.primary, PRIMARY_SECONDS),
                "secondary_window": self.window(self.secondary, SECONDARY_SECONDS),
            },
            "credits": {"has_credits": False, "unlimited": False, "balance": None},
            **dict.fromkeys(_NOTHING_TO_SAY),
        }

    def window(self, used: int, seconds: int) -> dict[str, Any]:
        reset_at = int(self.started) + seconds
        return {
            "used_percent": used,
            "limit_window_seconds": seconds,
            "reset_after_seconds": max(0, reset_at - int(time.time())),
            "reset_at": reset_at,
        }


_NOTHING_TO_SAY = (
    *("additional_rate_limits", "code_review_rate_limit", "spend_control"),
    *("rate_limit_reached_type", "promo"),
)


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
