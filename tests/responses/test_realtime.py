"""`client.realtime.calls`: an offer becomes an answer."""

from __future__ import annotations

from typing import Any

import pytest

from codex_magic.protocol.errors import AuthError, InvalidRequestError, ServiceError
from codex_magic.responses.client import Client
from tests.local_service.test_media import OFFER
from tests.responses.conftest import only_api, only_codex
from tests.responses.conversing import Caller
from tests.responses.wire import Wire, plain


def create(**options: Any) -> Any:
    return lambda client: client.realtime.calls.create(OFFER, **options)


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
def test_a_call_of_the_api(call: Caller) -> None:
    made = call(create(session={"model": "gpt-realtime-mini"}))
    sent = call.service.requests[-1]
    assert b'{"type":"realtime","model":"gpt-realtime-mini"}' in sent.body
    host = call.service.url.replace("http", "ws")
    assert made.sideband_url == f"{host}/v1/realtime?call_id={made.call_id}"


def test_what_is_no_offer_is_not_sent(call: Caller) -> None:
    with pytest.raises(InvalidRequestError, match="SDP"):
        call(lambda client: client.realtime.calls.create("hello"))
    assert call.service.requests == []


def test_an_offer_of_nothing_is_refused(call: Caller) -> None:
    with pytest.raises(InvalidRequestError, match="media section"):
        call(lambda client: client.realtime.calls.create("v=0\r\n"))


def test_an_account_without_voice(call: Caller) -> None:
    call.service.faults.next("voice_denied")
    with pytest.raises(AuthError, match="Voice session access denied"):
        call(create())


@pytest.mark.parametrize("location", ["", "/v1/realtime/calls/", "/v1/realtime/calls/other"])
def test_a_call_without_a_name(wire: Wire, client: Client, location: str) -> None:
    wire.answer(plain(201, b"v=0\r\n", location=location))
    with pytest.raises(ServiceError, match="naming"):
        client.realtime.calls.create(OFFER)
