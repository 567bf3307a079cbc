"""Trying again what a busy server refused."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

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

    The delay doubles, up to `max_delay_s`, give or take `jitter_ratio` of it. When `op` gives something to
    await, as `AsyncThread.run` does, so does this, and the same is done in awaiting it.
    """
    delays = [min(max_delay_s, initial_delay_s * 2**n) for n in range(max_attempts - 1)]
    pauses = [delay * random.uniform(1 - jitter_ratio, 1 + jitter_ratio) for delay in delays]
    while True:
        try:
            result = op()
        except Exception as error:
            if not pauses or not is_retryable_error(error):
                raise
        else:
            if inspect.isawaitable(result):
                return _awaiting(result, op, pauses)  # type: ignore[return-value]  # T is awaited
            return result
        time.sleep(pauses.pop(0))


async def _awaiting(result: Any, op: Callable[[], Any], pauses: list[float]) -> Any:
    for pause in pauses:
        try:
            return await result
        except Exception as error:
            if not is_retryable_error(error):
                raise
        await asyncio.sleep(pause)
        result = op()
    return await result
