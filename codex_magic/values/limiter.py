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


LEAST_SECONDS = 0.001  # of one wait: what is missing may be less than a clock can tell
LEAST_ANSWERS = 20  # between two refusals, from which on they tell the rate of the service
GROWTH, GROWTH_SECONDS = (
    1.02,
    5.0,
)  # of a rate that was learned, and how often: the service may take more by now
HELPED = 2  # times as many answers between refusals, else these have another reason than the rate


class Bucket:
    """A rate per minute, which what was not used of it lately is added to."""

    def __init__(self, per_minute: float, now: float, *, is_full: bool = True) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, self._per_second * BURST_SECONDS)
        self._level, self._at = self._most if is_full else 0.0, now

    def speed_up(self, times: float) -> None:
        self._per_second *= times

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
    """Requests and tokens per minute, and the pauses that a service wants. Belongs to one event loop.

    A service with a rate refuses at its end, wants a pause and is flooded again, which takes its share of the machine
    and of the time. So two refusals tell the rate, at which requests leave from then on.
    """

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
        self._pace: Bucket | None = None
        """The rate that was learned."""
        self._learns = True
        self._cycle: float | None = None
        """When the last refusal came that was not one of the same burst; since then so many were answered:"""
        self._answered = self._unpaced = 0
        self._grown_at = 0.0

    def limit(self, requests: float | None, tokens: float | None) -> None:
        """Hold these rates per minute from now on; `None` is no limit of ours."""
        now = self._clock()
        self._requests = Bucket(requests, now) if requests else None
        self._tokens = Bucket(tokens, now) if tokens else None
        self._cycle, self._learns = None, True

    @property
    def pause(self) -> float:
        """The seconds that everybody waits from now on because the service said so."""
        return max(0.0, self._until - self._clock())

    async def admit(self, tokens: int) -> float:
        """Wait until a request of about so many tokens may leave; return when it does, for `refuse`."""
        while (wait := self._wait(tokens)) > 0:
            await self._sleep(min(max(wait, LEAST_SECONDS), STEP_SECONDS))
        now = self._clock()
        if self._pace is not None and now - self._grown_at >= GROWTH_SECONDS:
            self._pace.speed_up(GROWTH)
            self._grown_at = now
        for bucket, amount in self._buckets(tokens):
            bucket.spend(amount, now)
        return now

    def spent(self, estimated: int, tokens: int) -> None:
        """Correct what `admit` took by what a request has really cost, and take note that it was answered."""
        self._refusals = 0
        self._answered += 1
        if self._tokens:
            self._tokens.spend(tokens - estimated, self._clock())

    def refuse(self, admitted: float, seconds: float | None) -> bool:
        """Let all wait because of a 429: `seconds` if the service named them. False: longer than anyone waits."""
        now = self._clock()
        if self._cycle is None or admitted > self._cycle:
            self._learn(now)
        if seconds is None:
            if admitted <= self._refused_at:  # it left before the last refusal came: that one counts for both
                return True
            self._refusals, self._refused_at = self._refusals + 1, now
            seconds = min(60.0, 0.5 * 2.0**self._refusals)
        self._until = max(self._until, now + min(seconds, LONGEST_PAUSE))
        return seconds <= LONGEST_PAUSE

    def _learn(self, now: float) -> None:
        """Take the answers since the last refusal for the rate of the service, unless that has not helped before."""
        began, answered = self._cycle, self._answered
        self._cycle, self._answered = now, 0
        if began is None or not self._learns:
            return
        if self._pace is not None and answered < HELPED * self._unpaced:
            self._pace, self._learns = None, False
        elif answered >= LEAST_ANSWERS:
            self._unpaced = self._unpaced if self._pace is not None else answered
            self._pace = Bucket(60 * answered / (now - began), now, is_full=False)
            self._grown_at = now

    def _wait(self, tokens: int) -> float:
        now = self._clock()
        waits = [bucket.wait(amount, now) for bucket, amount in self._buckets(tokens)]
        return max(self._until - now, *waits, 0.0)

    def _buckets(self, tokens: int) -> list[tuple[Bucket, float]]:
        pairs = ((self._requests, 1.0), (self._pace, 1.0), (self._tokens, float(tokens)))
        return [(bucket, amount) for bucket, amount in pairs if bucket is not None]
