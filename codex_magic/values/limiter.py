"""One limiter for all requests of this process to a service: what it refuses to one, all of them wait for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

LONGEST_PAUSE = 3600.0  # seconds; a service that wants a longer one is left to the user
BURST_SECONDS = 5.0  # of a rate that may be used at once
STEP_SECONDS = (
    1.0  # whoever waits looks again after so long: others may have used what there was, or been refused
)


class Bucket:
    """A rate per minute, which what was not used of it lately is added to."""

    def __init__(self, per_minute: float, now: float) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, self._per_second * BURST_SECONDS)
        self._level, self._at = self._most, now

    def wait(self, amount: float, now: float) -> float:
        """Return the seconds until there is room for `amount`; what is more than all waits for a full bucket."""
        self._fill(now)
        return max(0.0, min(amount, self._most) - self._level) / self._per_second

    def spend(self, amount: float, now: float) -> None:
        self._fill(now)
        self._level = min(self._most, self._level - amount)

    def _fill(self, now: float) -> None:
        self._level = min(self._most, self._level + (now - self._at) * self._per_second)
        self._at = now


class Limiter:
    """Requests and tokens per minute, and the pauses that a service wants. Belongs to one event loop."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._until = self._refused_at = -1.0
        self._refusals = 0  # in a row

    def limit(self, requests: float | None, tokens: float | None) -> None:
        """Hold these rates per minute from now on; `None` is no limit of ours."""
        now = self._clock()
        self._requests = Bucket(requests, now) if requests else None
        self._tokens = Bucket(tokens, now) if tokens else None

    @property
    def pause(self) -> float:
        """The seconds that everybody waits from now on because the service said so."""
        return max(0.0, self._until - self._clock())

    async def admit(self, tokens: int) -> float:
        """Wait until a request of about so many tokens may leave; return when it does, for `refuse`."""
        while (wait := self._wait(tokens)) > 0:
            await self._sleep(min(wait, STEP_SECONDS))
        now = self._clock()
        for bucket, amount in self._buckets(tokens):
            bucket.spend(amount, now)
        return now

    def spent(self, estimated: int, tokens: int) -> None:
        """Correct what `admit` took by what a request has really cost, and take note that it was answered."""
        self._refusals = 0
        if self._tokens:
            self._tokens.spend(tokens - estimated, self._clock())

    def refuse(self, admitted: float, seconds: float | None) -> bool:
        """Let all wait because of a 429: `seconds` if the service named them. False: longer than anyone waits."""
        now = self._clock()
        if seconds is None:
            if admitted <= self._refused_at:  # it left before the last refusal came: that one counts for both
                return True
            self._refusals, self._refused_at = self._refusals + 1, now
            seconds = min(60.0, 0.5 * 2.0**self._refusals)
        self._until = max(self._until, now + min(seconds, LONGEST_PAUSE))
        return seconds <= LONGEST_PAUSE

    def _wait(self, tokens: int) -> float:
        now = self._clock()
        waits = [bucket.wait(amount, now) for bucket, amount in self._buckets(tokens)]
        return max(self._until - now, *waits, 0.0)

    def _buckets(self, tokens: int) -> list[tuple[Bucket, float]]:
        pairs = ((self._requests, 1.0), (self._tokens, float(tokens)))
        return [(bucket, amount) for bucket, amount in pairs if bucket is not None]
