"""Rate limits, from headers and from events."""

from __future__ import annotations

import pytest

from codex_magic.protocol.types import RateLimits, RateLimitWindow
from codex_magic.responses.failures import limits_from_event as from_event
from codex_magic.responses.failures import limits_from_headers

NOW = 1000.0


def from_headers(headers: dict[str, str]) -> RateLimits:
    limits = limits_from_headers(headers, now=NOW)
    assert limits is not None
    return limits


def codex(**values: str) -> dict[str, str]:
    return {f"x-codex-{name.replace('_', '-')}": value for name, value in values.items()}


FIVE_HOURS = codex(
    primary_used_percent="12.5", primary_window_minutes="300", primary_reset_at="5000", plan_type="plus"
)
WEEK = codex(
    secondary_used_percent="40", secondary_window_minutes="10080", secondary_reset_after_seconds="60"
)


def test_both_windows() -> None:
    limits = from_headers(FIVE_HOURS | WEEK)
    assert limits.primary == RateLimitWindow(12.5, 300, 5000)
    assert limits.secondary == RateLimitWindow(40.0, 10080, 1060)
    assert (limits.plan_type, limits.limit_id) == ("plus", "codex")


def test_a_weekly_window_sent_as_the_primary_one() -> None:
    headers = codex(primary_used_percent="3", primary_window_minutes="10080")
    limits = from_headers(headers)
    assert (limits.primary, limits.secondary) == (None, RateLimitWindow(3.0, 10080))


def test_windows_in_the_wrong_order() -> None:
    headers = codex(
        primary_used_percent="1",
        primary_window_minutes="10080",
        secondary_used_percent="2",
        secondary_window_minutes="300",
    )
    assert from_headers(headers).primary == RateLimitWindow(2.0, 300)


@pytest.mark.parametrize("odd", ["", "soon", "nan", "inf"])
def test_values_that_are_no_number_are_unknown(odd: str) -> None:
    headers = codex(primary_used_percent="7", primary_window_minutes=odd, primary_reset_at=odd)
    assert from_headers(headers).primary == RateLimitWindow(7.0)
    assert from_headers(codex(primary_used_percent=odd)) == RateLimits(limit_id="codex")


def test_limits_of_single_models_are_left_out() -> None:
    headers = {**FIVE_HOURS, "X-Codex-Bengalfox-Primary-Used-Percent": "99"}
    assert from_headers(headers) == from_headers(FIVE_HOURS)
    assert limits_from_headers({"X-Codex-Bengalfox-Primary-Used-Percent": "99"}, now=NOW) is None


def test_no_headers_no_limits() -> None:
    assert limits_from_headers({"content-type": "text/html"}, now=NOW) is None


def test_limits_of_an_event() -> None:
    windows = {"primary": {"used_percent": 1, "window_minutes": 300, "resets_at": 7}, "secondary": None}
    limits = from_event(windows, plan_type="pro", now=NOW)
    assert limits == RateLimits(RateLimitWindow(1.0, 300, 7), None, "pro", "codex")
