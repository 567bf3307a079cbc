"""Trying again what a busy server refused."""

import asyncio

import pytest

from codex_magic import (
    InvalidRequestError,
    RateLimitError,
    ServerBusyError,
    ServiceError,
    UsageLimitError,
    is_retryable_error,
    retry_on_overload,
)

BUSY = ServerBusyError("busy", code=-32001)


def failing(*failures):
    """An operation that fails with each of these in turn, then gives how often it was called."""
    calls = []

    def op():
        calls.append(1)
        if len(calls) <= len(failures):
            raise failures[len(calls) - 1]
        return len(calls)

    return op


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (BUSY, True),
        (RateLimitError("slow down"), True),
        (ServiceError("overloaded", status=503), True),
        (ServiceError("no capacity", code="server_is_overloaded"), True),
        (ServiceError("the process ended"), False),
        (UsageLimitError(), False),
        (InvalidRequestError("no"), False),
        (ValueError(), False),
    ],
)
def test_what_is_worth_another_try(error, again):
    assert is_retryable_error(error) is again


def test_a_busy_server_is_asked_again():
    assert retry_on_overload(failing(BUSY, BUSY), initial_delay_s=0) == 3


def test_the_last_failure_is_raised():
    with pytest.raises(ServerBusyError):
        retry_on_overload(failing(BUSY, BUSY), max_attempts=2, initial_delay_s=0)


def test_other_failures_are_raised_at_once():
    with pytest.raises(UsageLimitError):
        retry_on_overload(failing(UsageLimitError()), initial_delay_s=60)


@pytest.mark.parametrize(("failures", "kind"), [(2, None), (3, ServerBusyError)])
def test_what_is_awaited_is_asked_again_too(failures, kind):
    asked = failing(*[BUSY] * failures)

    async def op():
        return asked()

    awaited = retry_on_overload(op, initial_delay_s=0)
    if kind is None:
        assert asyncio.run(awaited) == 3
        return
    with pytest.raises(kind):
        asyncio.run(awaited)


def test_what_is_awaited_and_fails_otherwise_is_raised_at_once():
    async def op():
        raise UsageLimitError

    with pytest.raises(UsageLimitError):
        asyncio.run(retry_on_overload(op, initial_delay_s=60))
