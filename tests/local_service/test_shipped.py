"""What the shipped service does by itself: no page to click on, few faults, no strictness."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from codex_magic.local_service import LocalService, start
from tests.local_service.raw_client import parse, text_of, user
from tests.local_service.test_media import OFFER
from tests.local_service.test_sign_in import CALLBACK, CHALLENGE, VERIFIER


@pytest.fixture
def service() -> Iterator[LocalService]:
    with start(open_access=True) as service:
        yield service


@pytest.fixture
def http(service: LocalService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, trust_env=False) as http:
        yield http


def ask(http: httpx.Client, text: str, **changes: object) -> httpx.Response:
    body = {"model": "local-large", "input": [user(text)], "stream": True, **changes}
    return http.post("/backend-api/codex/responses", json=body)


def test_it_answers_and_is_not_strict(http: httpx.Client) -> None:
    assert text_of(parse(ask(http, "echo: hello", temperature=1).content)) == "hello"


def test_to_open_a_sign_in_link_is_to_approve_it(http: httpx.Client) -> None:
    query = {"redirect_uri": CALLBACK, "code_challenge": CHALLENGE, "state": "a state"}
    back = http.get("/oauth/authorize", params=query).headers["location"]
    answer = parse_qs(urlsplit(back).query)
    assert (back.partition("?")[0], answer["state"]) == (CALLBACK, ["a state"])
    form = {"grant_type": "authorization_code", "code": answer["code"][0], "redirect_uri": CALLBACK}
    tokens = http.post("/oauth/token", data=form | {"code_verifier": VERIFIER}).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert http.get("/backend-api/wham/usage", headers=bearer).json()["plan_type"] == "plus"


def test_a_device_gets_a_code(http: httpx.Client) -> None:
    device = http.post("/api/accounts/deviceauth/usercode", json={}).json()
    assert len(device["user_code"]) == 10
    assert http.post("/api/accounts/deviceauth/token", json=device).status_code == 404


def test_a_model_it_does_not_have_is_refused(http: httpx.Client) -> None:
    assert "not supported" in ask(http, "hi", model="gpt-none").json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"role": "user", "content": [1]}]},
        {"input": [{"type": "function_call_output"}]},
        {"input": "hi", "tools": [{}]},
        {"input": "hi", "text": {"format": {"type": "json_schema"}}},
        {"input": 7},
        [],
    ],
)
def test_what_it_can_not_read_is_refused(http: httpx.Client, body: object) -> None:
    given = body | {"model": "local-large", "stream": True} if isinstance(body, dict) else body
    assert http.post("/backend-api/codex/responses", json=given).status_code == 400


def test_a_fault_it_does_not_have_is_named_beside_those_it_has(http: httpx.Client) -> None:
    refused = ask(http, "fault: flood").json()["detail"]
    assert "flood" in refused
    assert "usage_limit" in refused


def test_a_call_is_answered_with_every_section_declined(http: httpx.Client) -> None:
    answer = http.post("/backend-api/codex/realtime/calls", json={"sdp": OFFER})
    media = [line for line in answer.text.split("\r\n") if line.startswith("m=")]
    assert (answer.status_code, len(media)) == (201, OFFER.count("m="))
    assert all(line.split()[1] == "0" for line in media)


def test_a_picture_is_drawn(http: httpx.Client) -> None:
    [picture] = http.post("/backend-api/codex/images/generations", json={"prompt": "a cat"}).json()["data"]
    assert picture["b64_json"]
