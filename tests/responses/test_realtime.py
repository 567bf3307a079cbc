"""`client.realtime.calls`: an offer becomes an answer."""

from __future__ import annotations

from typing import Any

import pytest

from codex_magic.protocol.errors import AuthError, ConfigurationError, InvalidRequestError, ServiceError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import Client
from codex_magic.responses.provider import Provider
from tests.local_service.test_media import OFFER
from tests.responses.conftest import only_api, only_codex
from tests.responses.conversing import Caller
from tests.responses.wire import Wire, plain


def create(**options: Any) -> Any:
    return lambda client: client.realtime.calls.create(OFFER, **options)


@only_codex
def test_an_offer_is_answered(call: Caller) -> None:
    made = call(create())
    assert made.answer_sdp.startswith("v=0\r\n")
    assert made.call_id.startswith("rtc_")
    assert call.service.requests[-1].path == f"{call.base}/realtime/calls"


@only_codex
def test_a_call_of_a_plan(call: Caller) -> None:
    made = call(create(session={"id": "x", "voice": "sol"}, instructions="Be brief.", session_id="thread-1"))
    sent = call.service.requests[-1]
    session = {"model": "gpt-live-1-codex", "voice": "sol", "instructions": "Be brief."}
    assert sent.json == {"sdp": OFFER, "session": session}
    assert sent.query == {"intent": "quicksilver", "architecture": "avas"}
    headers = ("openai-alpha", "session-id", "thread-id")
    assert [sent.headers[name] for name in headers] == ["quicksilver=v2", "thread-1", "thread-1"]
    assert made.sideband_url == f"wss://api.openai.com/v1/live/{made.call_id}"


@only_api
def test_other_providers_make_no_calls(call: Caller) -> None:
    with pytest.raises(ConfigurationError, match="ChatGPT plan"):
        call(create())
    assert call.service.requests == []


def test_what_is_no_offer_is_not_sent(call: Caller) -> None:
    with pytest.raises(InvalidRequestError, match="SDP"):
        call(lambda client: client.realtime.calls.create("hello"))
    assert call.service.requests == []


@only_codex
def test_an_offer_of_nothing_is_refused(call: Caller) -> None:
    with pytest.raises(InvalidRequestError, match="media section"):
        call(lambda client: client.realtime.calls.create("v=0\r\n"))


@only_codex
def test_an_account_without_voice(call: Caller) -> None:
    call.service.faults.next("voice_denied")
    with pytest.raises(AuthError, match="Voice session access denied"):
        call(create())


@pytest.mark.parametrize("location", ["", "/v1/realtime/calls/", "/v1/realtime/calls/other"])
def test_a_call_without_a_name(wire: Wire, settings: Settings, location: str) -> None:
    wire.answer(plain(201, b"v=0\r\n", location=location))
    provider = Provider("chatgpt", wire.url, is_codex=True)
    with Client(provider, settings=settings) as client, pytest.raises(ServiceError, match="naming"):
        client.realtime.calls.create(OFFER)
