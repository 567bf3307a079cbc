"""Trying again what a busy server refused."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from ..protocol.errors import BlockedError, RateLimitError, ServerBusyError, ServiceError, UsageLimitError

T = TypeVar("T")

OVERLOADED = ("server_is_overloaded", "slow_down")
"""What a service says inside an answer's stream, which has no status any more."""


def is_retryable_error(exc: BaseException) -> bool:
    """Whether the same call may succeed in a moment: overload and rate limits, not a used-up quota."""
    if isinstance(exc, ServiceError):
        busy = exc.status in (502, 503, 504, 529) or exc.code in OVERLOADED
        return busy and not isinstance(exc, BlockedError)
    if isinstance(exc, RateLimitError):
        return not isinstance(exc, UsageLimitError)
    return isinstance(exc, ServerBusyError)


def retry_on_overload(
    op: Callable[[], T],
    *,
    max_attempts: int = 3,
    initial_delay_s: float = 0.25,
    max_delay_s: float = 2.0,
    jitter_ratio: float = 0.2,
) -> T:
    """Call `op` until it succeeds, fails otherwise, or has failed `max_attempts` times.

    The delay doubles, up to `max_delay_s`, give or take `jitter_ratio` of it.
    """
    delay = initial_delay_s
    for _ in range(max_attempts - 1):
        try:
            return op()
        except Exception as error:
            if not is_retryable_error(error):
                raise
        time.sleep(delay * random.uniform(1 - jitter_ratio, 1 + jitter_ratio))
        delay = min(max_delay_s, delay * 2)
    return op()
