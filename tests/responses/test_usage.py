"""What is left of the plan, as the service tells it when asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from codex_magic.protocol.errors import (
    CodexError,
    ConfigurationError,
    NotSignedInError,
    ServiceError,
    UsageLimitError,
)
from codex_magic.protocol.settings import Settings
from codex_magic.protocol.types import RateLimitWindow
from codex_magic.responses.client import AsyncClient, Client, Usage, fetch_usage, read_usage
from codex_magic.responses.exchange import RetryPolicy
from codex_magic.responses.provider import chatgpt, custom
from tests.known import some
from tests.service import LocalService


def asked(settings: Settings) -> Usage:
    async def ask() -> Usage:
        async with AsyncClient(
            chatgpt(settings), settings=settings, retry=RetryPolicy(request_retries=0)
        ) as client:
            return await fetch_usage(client.transport, settings.chatgpt_url)

    return asyncio.run(ask())


def test_the_service_names_account_plan_and_both_windows(service: LocalService) -> None:
    usage = asked(Settings.from_env())
    assert (usage.email, usage.plan) == ("someone@example.com", "plus")
    assert usage.limits.primary is not None
    assert usage.limits.secondary is not None
    assert [usage.limits.primary.window_duration_mins, usage.limits.secondary.window_duration_mins] == [
        300,
        10080,
    ]


def test_without_a_sign_in_it_is_not_asked(service: LocalService, home: Path) -> None:
    (home / ".codex" / "auth.json").unlink()
    with pytest.raises(NotSignedInError):
        asked(Settings.from_env())
    assert service.requests == []


@pytest.mark.parametrize("fault", ["cloudflare", "server_error", "refuse"])
def test_a_service_that_fails_is_a_sentence(service: LocalService, fault: str) -> None:
    service.faults.next(fault, path="/wham/usage", times=9)
    with pytest.raises(CodexError):
        asked(Settings.from_env())


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({}, None),
        ({"rate_limit": None}, None),
        ({"rate_limit": {"primary_window": {"used_percent": 7}}}, RateLimitWindow(7.0)),
        (
            {"rate_limit": {"primary_window": {"used_percent": 7, "reset_after_seconds": 5}}},
            RateLimitWindow(7.0, None, 1005),
        ),
    ],
)
def test_what_the_service_leaves_out_is_unknown(
    told: dict[str, object], left: RateLimitWindow | None
) -> None:
    assert read_usage(json.dumps(told).encode(), now=1000).limits.effective == left


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"rate_limit": {"primary_window": {}}}', b"\xff"])
def test_what_cannot_be_read_is_said(body: bytes) -> None:
    with pytest.raises(ServiceError, match="limits"):
        read_usage(body, now=0)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_client_asks_for_itself(service: LocalService, kind: str) -> None:
    settings = Settings.from_env()

    async def main() -> Usage:
        async with AsyncClient(chatgpt(settings)) as client:
            return await client.usage()

    with Client(chatgpt(settings)) as client:
        usage = client.usage() if kind == "sync" else asyncio.run(main())
    assert usage.plan == "plus"


def test_another_provider_has_no_plan(service: LocalService) -> None:
    with Client(custom(service.api_url, "key")) as client, pytest.raises(ConfigurationError, match="plan"):
        client.usage()
    assert service.requests == []


def test_every_answer_says_what_is_left(service: LocalService) -> None:
    """The refused one too."""
    with Client(chatgpt(Settings.from_env())) as client:
        before = client.rate_limits
        client.responses.create("hi", model="local-large")
        primary = some(some(client.rate_limits).primary)
        assert (before, primary) == (None, RateLimitWindow(13.0, 300, primary.resets_at))
        service.faults.next("usage_limit")
        with pytest.raises(UsageLimitError):
            client.responses.create("hi", model="local-large")
        assert some(some(client.rate_limits).effective).used_percent == 100
