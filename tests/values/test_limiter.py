"""What all requests to a service wait for together, by a clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

import pytest

from codex_magic.values.limiter import Limiter


class Time:
    """A clock that goes on when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def limiter(time):
    return Limiter(time, time.sleep)


def admit(limiter: Limiter, *tokens: int) -> list[float]:
    async def all_of_them() -> list[float]:
        return [round(await limiter.admit(each), 1) for each in tokens]

    return asyncio.run(all_of_them())


def test_requests_leave_at_the_rate_after_a_burst(limiter):
    limiter.limit(60, None)
    assert admit(limiter, *[1] * 8) == [0, 0, 0, 0, 0, 1, 2, 3]


def test_tokens_count_as_they_were_used_and_not_as_they_were_estimated(limiter):
    limiter.limit(None, 6000)
    assert admit(limiter, 500, 500) == [0, 5]
    limiter.spent(500, 1500)
    assert admit(limiter, 100) == [16]


def test_a_request_larger_than_the_rate_leaves_when_nothing_else_has(limiter):
    limiter.limit(None, 60)
    assert admit(limiter, 1000, 1) == [0, 996]


def test_a_refusal_holds_back_all_for_as_long_as_the_service_says(limiter):
    admitted, _ = admit(limiter, 1, 1)
    assert limiter.refuse(admitted, 7)
    assert limiter.pause == 7
    assert admit(limiter, 1, 1) == [7, 7]


def test_refusals_without_a_word_wait_longer_each_time_but_those_of_one_burst_count_once(limiter, time):
    burst = admit(limiter, 1, 1, 1)
    for admitted in burst:
        limiter.refuse(admitted, None)
    first = limiter.pause
    [again] = admit(limiter, 1)
    limiter.refuse(again, None)
    assert limiter.pause == 2 * first
    limiter.spent(1, 1)
    admit(limiter, 1)
    limiter.refuse(time(), None)
    assert limiter.pause == first


def test_nobody_waits_for_hours(limiter):
    assert not limiter.refuse(0.0, 10_000)


def run(limiter: Limiter, time: Time, takes: Callable[[], bool], *, requests: int) -> int:
    """Send so many requests, 100 a second at most, until each was taken; returns how many were refused."""

    async def send_all() -> int:
        taken = refused = 0
        while taken < requests:
            admitted = await limiter.admit(1)
            time.now += 0.01
            if takes():
                limiter.spent(1, 1)
                taken += 1
            else:
                limiter.refuse(admitted, 1)
                refused += 1
        return refused

    return asyncio.run(send_all())


def limited(time: Time) -> Callable[[], bool]:
    """A service that takes 50 requests a second, and 50 at once after a second without any."""
    level, at = 50.0, 0.0

    def takes() -> bool:
        nonlocal level, at
        level, at = min(50.0, level + (time.now - at) * 50), time.now
        is_room = level >= 1
        level -= is_room
        return is_room

    return takes


def test_the_rate_of_a_service_is_learned_from_its_refusals(limiter, time):
    refused = run(limiter, time, limited(time), requests=5000)
    assert refused <= 20  # 50 without it
    assert time.now <= 5000 / 50 * 1.02


def test_a_service_that_takes_more_later_gets_more(limiter, time):
    run(limiter, time, limited(time), requests=500)
    began = time.now
    run(limiter, time, lambda: True, requests=50_000)
    assert time.now - began < 50_000 / 50 * 0.7


def test_refusals_that_have_nothing_to_do_with_the_rate_slow_nothing_down_for_good(limiter, time):
    numbers = count()
    refused = run(limiter, time, lambda: next(numbers) % 50 != 49, requests=5000)
    assert refused == 102
    assert time.now <= (5000 + refused) / 100 + refused * 1.01 + 5
