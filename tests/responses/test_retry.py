"""When to ask again: which failures, how often, after how long."""

from __future__ import annotations

import pytest

from codex_magic.protocol.errors import (
    AuthError,
    BlockedError,
    CodexError,
    ConfigurationError,
    ContextWindowError,
    InvalidRequestError,
    ModelNotFoundError,
    RateLimitError,
    ServiceError,
    StreamError,
    TimedOutError,
    UnreachableError,
    UsageLimitError,
)
from codex_magic.responses.exchange import RetryPolicy

POLICY = RetryPolicy(random=lambda: 0.5)


def waits(failure: CodexError, policy: RetryPolicy = POLICY) -> list[float]:
    found: list[float] = []
    while (wait := policy.decide(len(found), failure)) is not None:
        found.append(round(wait, 6))
    return found


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (UnreachableError("x"), [0.2, 0.4, 0.8, 1.6]),
        (TimedOutError("x"), [0.2, 0.4, 0.8, 1.6]),
        (ServiceError("x", status=500), [0.2, 0.4, 0.8, 1.6]),
        (ServiceError("x", status=502), [0.2, 0.4, 0.8, 1.6]),
        (ServiceError("x", status=504), [0.2, 0.4, 0.8, 1.6]),
        (ServiceError("x", status=503, code="server_is_overloaded"), [0.2, 0.4, 0.8, 1.6]),
        (ServiceError("x", status=501), []),
        (ServiceError("x", code="server_is_overloaded"), []),
        (ServiceError("x", code="slow_down"), []),
        (ServiceError("x", code="new_code"), [0.2, 0.4, 0.8, 1.6, 3.2]),
        (StreamError("x"), [0.2, 0.4, 0.8, 1.6, 3.2]),
        (RateLimitError("x"), [0.2, 0.4, 0.8, 1.6, 3.2]),
        (RateLimitError("x", retry_after=1.5), [1.5] * 5),
        (RateLimitError("x", retry_after=3600), []),
        (UsageLimitError(), []),
        (AuthError("x"), []),
        (BlockedError("x", status=503), []),
        (InvalidRequestError("x"), []),
        (ContextWindowError("x"), []),
        (ModelNotFoundError("x"), []),
        (ConfigurationError("x"), []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_waits(failure: CodexError, expected: list[float]) -> None:
    assert waits(failure) == expected


@pytest.mark.parametrize(("random", "first"), [(0.0, 0.18), (1.0, 0.22)])
def test_waits_vary_by_a_tenth(random: float, first: float) -> None:
    assert waits(StreamError("x"), RetryPolicy(random=lambda: random))[0] == first
