"""Every failure on demand, as a client sees it."""

from __future__ import annotations

import httpx
import pytest

from codex_magic.local_service.faults import Fault
from tests.local_service.raw_client import parse, text_of
from tests.service.faults import Faults


def broken(client):
    """The bytes that arrive before the stream breaks."""
    received = []
    asked = {"json": client.body(), "headers": client.headers}
    url = client.service.base_url + "/responses"
    with client.http.stream("POST", url, **asked) as response, pytest.raises(httpx.TransportError):
        received.extend(response.iter_raw())
    return b"".join(received)


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("usage_limit", 429, "usage_limit_reached"),
        ("usage_not_included", 429, "usage_not_included"),
        ("too_many_requests", 429, "rate_limit_exceeded"),
        ("overloaded", 503, "server_is_overloaded"),
        ("token_expired", 401, "token_expired"),
        ("token_invalidated", 401, "token_invalidated"),
        ("token_revoked", 401, "token_revoked"),
        ("model_not_found", 404, "model_not_found"),
        ("context_too_long", 400, "context_length_exceeded"),
    ],
)
def test_a_refusal_has_its_status_and_code(client, kind, status, code):
    client.service.faults.next(kind)
    refused = client.post()
    error = refused.json()["error"]
    assert refused.status_code == status
    assert code in (error.get("code"), error["type"])


def test_a_usage_limit_says_when_it_ends(client):
    client.service.faults.next("usage_limit", resets_in=60, plan="pro")
    error = client.post().json()["error"]
    assert (error["resets_in_seconds"], error["plan_type"]) == (60, "pro")
    assert error["resets_at"] > 0


def test_too_many_requests_says_how_long_to_wait(client):
    client.service.faults.next("too_many_requests", retry_after=7)
    assert client.post().headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("kind", "status"), [("cloudflare", 403), ("server_error", 500), ("bad_gateway", 502)]
)
def test_a_web_page_comes_in_place_of_an_answer(client, kind, status):
    client.service.faults.next(kind)
    page = client.post()
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")


def test_faults_come_first_in_first_out_and_then_stop(client):
    client.service.faults.next("overloaded", times=2)
    client.service.faults.next("usage_limit")
    assert [client.post().status_code for _ in range(4)] == [503, 503, 429, 200]


def test_a_fault_waits_for_its_own_path(client):
    client.service.faults.next("cloudflare", path="/wham/usage")
    assert client.post().status_code == 200
    assert client.http.get(client.service.chatgpt_url + "/wham/usage").status_code == 403


def test_cleared_faults_do_not_happen(client):
    client.service.faults.next("overloaded")
    client.service.faults.clear()
    assert client.post().status_code == 200


def test_an_unknown_fault_is_named(client):
    with pytest.raises(ValueError, match="flood"):
        client.service.faults.next("flood")
    assert "flood" in client.post("fault: flood").json()["detail"]
    assert "name=value" in client.post("fault: drop quickly").json()["detail"]


def test_a_prompt_can_ask_for_a_fault(client):
    assert client.post("fault: usage_limit\nhello").status_code == 429


def test_a_prompt_can_ask_for_a_fault_that_passes(client):
    prompt = "fault: overloaded times=2\nhello"
    assert [client.post(prompt).status_code for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize("kind", ["drop", "drop_in_character"])
def test_a_stream_breaks_within_an_event(client, kind):
    client.service.faults.next(kind, after=5)
    received = broken(client)
    assert received.count(b"event: response.output_text.delta") in (5, 6)
    assert not received.endswith(b"\n\n")


def test_a_stream_breaks_within_a_character(client):
    client.service.faults.next("drop_in_character")
    with pytest.raises(UnicodeDecodeError, match="unexpected end"):
        broken(client).decode()


def test_a_connection_is_refused(client):
    client.service.faults.next("refuse")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post()


@pytest.mark.parametrize("kind", ["idle", "no_first_byte", "error_then_open"])
def test_a_stream_falls_silent(client, kind):
    client.service.faults.next(kind)
    client.http.timeout = httpx.Timeout(20, read=0.3)
    assert b"completed" not in broken(client)
    client.service.wait_for_disconnect()


def test_no_headers_come_at_all(client):
    client.service.faults.next("no_headers")
    client.http.timeout = httpx.Timeout(20, read=0.3)
    with pytest.raises(httpx.ReadTimeout):
        client.post()


def test_headers_come_late(client):
    client.service.faults.next("slow_headers", seconds=0.05)
    assert client.post().status_code == 200


@pytest.mark.parametrize("kind", ["eof", "eof_before_end"])
def test_a_stream_ends_without_its_last_event(client, kind):
    client.service.faults.next(kind)
    assert not any(event["type"] == "response.completed" for event in client.events())


def test_all_items_are_whole_before_the_missing_end(client):
    client.service.faults.next("eof_before_end")
    assert client.events()[-1]["type"] == "response.output_item.done"


@pytest.mark.parametrize(
    "code", ["rate_limit_exceeded", "context_length_exceeded", "invalid_prompt", "cyber_policy"]
)
def test_a_response_fails_in_its_stream(client, code):
    client.service.faults.next(code)
    last = client.events()[-1]
    assert (last["type"], last["response"]["error"]["code"]) == ("response.failed", code)


def test_a_response_fails_with_any_code_and_message(client):
    client.service.faults.next("failed", code="bank_holiday", message="Come back tomorrow.", after=0)
    events = client.events()
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.failed",
    ]
    assert events[-1]["response"]["error"] == {"code": "bank_holiday", "message": "Come back tomorrow."}


def test_a_rate_limit_says_when_to_try_again(client):
    client.service.faults.next("rate_limit_exceeded")
    assert "try again in 1.5s" in client.events()[-1]["response"]["error"]["message"]


def test_an_answer_is_incomplete(client):
    client.service.faults.next("incomplete", reason="content_filter")
    last = client.events()[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "content_filter"}


def test_an_error_event_ends_a_stream(client):
    client.service.faults.next("error")
    last = client.events()[-1]
    assert (last["type"], last["error"]["type"], last["status_code"]) == ("error", "usage_limit_reached", 429)


def test_an_event_of_3_mb_comes_and_the_answer_goes_on(client):
    client.service.faults.next("huge_event")
    response = client.post("echo: after it")
    assert len(response.content) > 3_000_000
    assert text_of(parse(response.content)) == "after it"


def test_another_model_answers(client):
    client.service.faults.next("reroute", to="local-small")
    assert client.post().headers["openai-model"] == "local-small"


def test_an_input_longer_than_the_context_window_fails(client):
    last = client.events("x" * 80_000, model="local-small")[-1]
    assert last["response"]["error"]["code"] == "context_length_exceeded"


def test_the_public_api_stops_at_the_most_tokens(client):
    body = {"model": "local-large", "input": "explain", "stream": True, "max_output_tokens": 10}
    stream = client.http.post(client.service.api_url + "/responses", json=body, headers=client.headers)
    assert parse(stream.content)[-1]["type"] == "response.incomplete"


def test_a_held_stream_goes_on_when_released(client):
    service = client.service
    service.faults.next("hold", after=2)
    url = service.base_url + "/responses"
    with client.http.stream(
        "POST", url, json=client.body("echo: 0123456789"), headers=client.headers
    ) as response:
        pieces = response.iter_raw()
        received = next(pieces)
        service.wait_for_hold()
        service.release()
        received += b"".join(pieces)
    assert text_of(parse(received)) == "0123456789"


def test_a_disconnect_during_a_hold_is_noticed(client):
    service = client.service
    service.faults.next("hold")
    url = service.base_url + "/responses"
    with client.http.stream("POST", url, json=client.body(), headers=client.headers):
        service.wait_for_hold()
    assert service.wait_for_disconnect().path.endswith("/responses")


def test_whoever_waits_in_vain_is_told(service):
    with pytest.raises(TimeoutError, match="/responses"):
        service.wait_for_request(timeout=0.01)


@pytest.mark.parametrize("kind", sorted(Faults().kinds))
def test_every_fault_can_be_written_into_a_prompt(kind):
    line = kind.replace("_", "-") + " after=4 seconds=0.5 plan=pro"
    fault = Fault(kind, {"after": 4, "seconds": 0.5, "plan": "pro"})
    assert Faults().marked(line, prompt="") == fault


def test_a_refused_websocket_leaves_the_fault_to_the_post(client):
    client.service.faults.next("usage_limit")
    upgrade = client.headers | {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert client.http.get(client.service.base_url + "/responses", headers=upgrade).status_code == 426
    assert client.post().status_code == 429
