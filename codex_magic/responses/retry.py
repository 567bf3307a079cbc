"""When to ask again, and after how long. Pure: the caller waits and counts.

The policy knows only errors. That nothing is asked again after an answer began to show is the
exchange's part, because only it knows what was delivered.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.errors import (
    BlockedError,
    CodexError,
    RateLimitError,
    ServiceError,
    StreamError,
    UnreachableError,
    UsageLimitError,
)

_RETRIED_STATUSES = frozenset({500, 502, 503, 504})
_FINAL_CODES = frozenset({"server_is_overloaded", "slow_down"})
"""Inside a stream these mean "no capacity now": the service asks not to be asked again."""


@dataclass(frozen=True)
class RetryPolicy:
    """The waits double from `first_wait`, give or take a tenth; a wait that the service names wins."""

    request_retries: int = 4
    """After a failed connection or a 5xx answer."""
    stream_retries: int = 5
    """After a broken stream, a failure reported inside one, or "too many requests"."""
    first_wait: float = 0.2
    """Seconds."""
    longest_wait: float = 60.0
    """Seconds; a service that wants a longer pause is left to the user."""
    random: Callable[[], float] = random.random

    def decide(self, attempt: int, failure: CodexError) -> float | None:
        """Seconds to wait before asking again, `None` to give up. `attempt`: how often was asked again."""
        if attempt >= self._allowed(failure):
            return None
        wanted = failure.retry_after if isinstance(failure, RateLimitError) else None
        if wanted is None:
            return self.first_wait * 2.0**attempt * (0.9 + 0.2 * self.random())
        return wanted if wanted <= self.longest_wait else None

    def _allowed(self, failure: CodexError) -> int:
        match failure:
            case UsageLimitError() | BlockedError():
                return 0
            case RateLimitError() | StreamError():
                return self.stream_retries
            case UnreachableError():
                return self.request_retries
            case ServiceError(status=None):
                return 0 if failure.code in _FINAL_CODES else self.stream_retries
            case ServiceError():
                return self.request_retries if failure.status in _RETRIED_STATUSES else 0
        return 0


PATIENT = RetryPolicy()
"""What the clients do unless told otherwise."""
