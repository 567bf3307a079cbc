"""Where other clients of this backend go wrong, each seen with them; here it is right."""

from __future__ import annotations

import pytest

from codex_magic.protocol.errors import ServiceError, StreamError, UsageLimitError
from codex_magic.responses.client import Client
from codex_magic.responses.events import OutputTextDelta
from tests.responses.wire import CREATED, DROP, Wire, completed, delta, event, good, stream
from tests.service import LocalService


def test_a_stream_arrives_while_it_is_made(service: LocalService) -> None:
    """codex-open-client reads the whole body before its first event."""
    service.faults.next("hold", after=1)
    with Client() as client, client.responses.stream("echo: one two three") as events:
        assert next(events.text_deltas()) == "one "
        service.wait_for_hold()
        service.release()
        assert events.get_final_response().output_text == "one two three"


def test_a_whole_response_has_its_output(service: LocalService) -> None:
    """codex-open-client reads the empty `output` of the last event."""
    with Client() as client:
        assert client.responses.create("echo: hi").output_text == "hi"


@pytest.mark.parametrize(
    "framed",
    [
        lambda raw: raw.replace(b"\n", b"\r\n"),
        lambda raw: raw.replace(b"data: ", b"data:"),
        lambda raw: b"\n".join(line for line in raw.split(b"\n") if not line.startswith(b"event:")),
    ],
    ids=["crlf", "no space", "no event name"],
)
def test_events_in_any_framing(wire: Wire, client: Client, framed: object) -> None:
    """codex-open-client finds none in these."""
    assert callable(framed)
    wire.answer(stream(framed(b"".join(good("Hello")))))
    assert client.responses.create("hi", model="m").output_text == "Hello"


def test_a_failure_says_why(service: LocalService) -> None:
    """codex-open-client gives a response with `error=None`."""
    with Client() as client, pytest.raises(ServiceError) as caught:
        client.responses.create("fault: failed code=slow_down\nhello")
    assert caught.value.code == caught.value.response.error["code"] == "slow_down"


def test_a_dropped_stream_is_an_error_of_ours(wire: Wire, client: Client) -> None:
    """codex-open-client lets httpx's through."""
    wire.answer(stream(CREATED, delta("Hel"), DROP))
    with pytest.raises(StreamError) as caught:
        client.responses.create("hi", model="m")
    assert caught.value.response.output_text == "Hel"


def test_a_used_up_quota_is_not_asked_again(service: LocalService) -> None:
    """codex-open-client and codex-backend-sdk do, up to three times."""
    service.faults.next("usage_limit", times=9)
    with Client() as client, pytest.raises(UsageLimitError) as caught:
        client.responses.create("hello", model="local-large")
    assert len(service.requests) == 1
    assert (caught.value.plan, caught.value.window) == ("plus", 300)


def test_a_refused_token_is_renewed(service: LocalService) -> None:
    """codex-open-client and codex-backend-sdk give up."""
    service.faults.next("token_expired")
    with Client() as client:
        assert client.responses.create("echo: hi", model="local-large").output_text == "hi"
    assert [request.path.rpartition("/")[2] for request in service.requests].count("token") == 1


def test_an_answer_cut_short_is_not_called_complete(service: LocalService) -> None:
    """codex-backend-sdk says `completed`."""
    with Client() as client:
        response = client.responses.create("fault: incomplete\nexplain lists")
    assert (response.status, response.incomplete_reason) == ("incomplete", "max_output_tokens")


def test_an_unknown_event_may_come_first(wire: Wire, client: Client) -> None:
    """openai-python's `responses.stream()` fails on anything before `response.created`."""
    wire.answer(stream(event("codex.rate_limits"), CREATED, delta("Hi"), completed()))
    with client.responses.stream("hi", model="m") as events:
        assert OutputTextDelta in map(type, events)


def test_the_final_response_of_the_helper_has_output(service: LocalService) -> None:
    """openai-python's has none here."""
    with Client() as client, client.responses.stream("echo: hi") as events:
        assert len(events.until_done().response.output) == 1


def test_one_connection_serves_all_requests(wire: Wire, client: Client) -> None:
    """codex-open-client makes a new one for each."""
    wire.answer(stream(*good()))
    for _ in range(3):
        client.responses.create("hi", model="m")
    assert wire.connections == 1
