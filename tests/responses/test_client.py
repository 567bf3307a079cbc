"""Both clients over real sockets: streams, retries, what is sent, how it ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading

import httpx
import pytest

from codex_magic.protocol.errors import (
    AuthError,
    BlockedError,
    CodexError,
    ContextWindowError,
    RateLimitError,
    ServiceError,
    StreamError,
    TimedOutError,
    UnreachableError,
    UsageLimitError,
)
from codex_magic.protocol.secrets import hide
from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.events import (
    Event,
    OutputTextDelta,
    ResponseCompleted,
    ResponseCreated,
    UnknownEvent,
)
from codex_magic.responses.parameters import Timeouts
from codex_magic.responses.provider import chatgpt, custom
from codex_magic.responses.streaming import AsyncResponseStream
from tests.responses.conftest import Asker
from tests.responses.wire import (
    CREATED,
    DROP,
    HANG,
    Answer,
    Wire,
    completed,
    delta,
    event,
    failed,
    good,
    message,
    plain,
    stream,
)

LIMIT = {"error": {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": 1795217439}}


def test_a_stream_becomes_events_and_a_response(ask: Asker, wire: Wire) -> None:
    wire.answer(stream(*good("Hello"), openai_model="m-2", x_codex_turn_state="ts"))
    response = ask()
    assert (response.output_text, response.status, response.model) == ("Hello", "completed", "m-2")
    assert response.turn_state == "ts"
    assert [type(event) for event in ask.events][:2] == [ResponseCreated, OutputTextDelta]
    assert isinstance(ask.events[-1], ResponseCompleted)


def test_an_answer_in_single_bytes(ask: Asker, wire: Wire) -> None:
    text = "".join(chr(code) for code in (0x2028, 0x85, 0x1F600)) + "é"
    wire.answer(stream(*(bytes([byte]) for byte in b"".join(good(text)))))
    assert ask().output_text == text


def test_unknown_events_are_passed_on(ask: Asker, wire: Wire) -> None:
    wire.answer(stream(CREATED, event("response.new", x=1), completed()))
    ask()
    assert UnknownEvent("response.new", {"type": "response.new", "x": 1}) in ask.events


def test_without_stream_the_response_comes_whole(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good("Hello")))
    assert client.responses.create("hi", model="m").output_text == "Hello"


def test_without_stream_the_response_comes_whole_to_async_code(wire: Wire, settings: Settings) -> None:
    wire.answer(stream(*good("Hello")))

    async def main() -> str:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            return (await client.responses.create("hi", model="m")).output_text

    assert asyncio.run(main()) == "Hello"


# What is sent ------------------------------------------------------------------------------------


def test_the_session_is_named_four_times(ask: Asker, wire: Wire) -> None:
    wire.answer(stream(*good()))
    ask(prompt_cache_key="k", turn_state="ts")
    (seen,) = wire.requests
    named = {seen.headers[name] for name in ("session-id", "thread-id", "x-client-request-id")}
    assert named == {seen.json["prompt_cache_key"]} == {"k"}
    assert seen.headers["x-codex-turn-state"] == "ts"


def test_calls_of_one_client_share_a_session(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good()))
    for _ in range(2):
        client.responses.create("hi", model="m")
    assert len({seen.headers["session-id"] for seen in wire.requests}) == 1


def test_the_codex_backend_is_told_who_asks(wire: Wire, settings: Settings) -> None:
    wire.answer(stream(*good()))
    settings.codex_home.mkdir()
    tokens = {"access_token": "secret", "account_id": "acc"}
    (settings.codex_home / "auth.json").write_text(json.dumps({"tokens": tokens}))
    mine = Settings(settings.codex_home, settings.home, base_url=f"{wire.url}/codex", originator="né")
    with Client(chatgpt(mine), settings=mine) as client:
        client.responses.create("hi", model="m")
    (seen,) = wire.requests
    assert seen.path == "/codex/responses"
    assert seen.headers["authorization"] == "Bearer secret"
    assert seen.headers["chatgpt-account-id"] == "acc"
    assert seen.headers["accept"] == "text/event-stream"
    assert seen.headers["originator"] == "n%C3%A9"
    assert seen.headers["version"] == settings.client_version
    assert seen.headers["user-agent"].startswith("n%C3%A9/")


def test_a_connection_serves_one_request_after_another(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good()))
    for _ in range(3):
        client.responses.create("hi", model="m")
    assert wire.connections == 1


def test_cookies_are_kept(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good(), set_cookie="__cf_bm=1; path=/"), stream(*good()))
    for _ in range(2):
        client.responses.create("hi", model="m")
    assert wire.requests[1].headers["cookie"] == "__cf_bm=1"


# Failures and retries ----------------------------------------------------------------------------

OVERLOADED = {"error": {"code": "server_is_overloaded"}}


@pytest.mark.parametrize(
    ("answer", "error", "waits"),
    [
        (plain(500), ServiceError, [0.2, 0.4, 0.8, 1.6]),
        (plain(502, b"<html>", content_type="text/html"), ServiceError, [0.2, 0.4, 0.8, 1.6]),
        (plain(503, OVERLOADED), ServiceError, [0.2, 0.4, 0.8, 1.6]),
        ([DROP], UnreachableError, [0.2, 0.4, 0.8, 1.6]),
        (plain(429, retry_after="1"), RateLimitError, [1.0] * 5),
        (plain(429, LIMIT), UsageLimitError, []),
        (plain(401), AuthError, []),
        (plain(403, b"<!DOCTYPE html>Just a moment"), BlockedError, []),
        (plain(200, b"Sign in to this network", content_type="text/html"), BlockedError, []),
        (plain(400, {"error": {"code": "context_length_exceeded"}}), ContextWindowError, []),
        (stream(CREATED, failed("rate_limit_exceeded", "try again in 1.5s")), RateLimitError, [1.5] * 5),
        (stream(CREATED, failed("context_length_exceeded", "")), ContextWindowError, []),
        (stream(CREATED, failed("server_is_overloaded", "")), ServiceError, []),
        (stream(CREATED, event("error", **LIMIT, status_code=429)), UsageLimitError, []),
        (stream(CREATED, event("error", code="x")), ServiceError, [0.2, 0.4, 0.8, 1.6, 3.2]),
        (stream(CREATED), StreamError, [0.2, 0.4, 0.8, 1.6, 3.2]),
        (stream(CREATED, DROP), StreamError, [0.2, 0.4, 0.8, 1.6, 3.2]),
        (stream(CREATED, delta("Hel")), StreamError, []),
        (stream(CREATED, delta("Hel"), failed("new_code", "")), ServiceError, []),
        (stream(message("a"), DROP), StreamError, []),
    ],
)
def test_a_failure_that_stays(
    ask: Asker, wire: Wire, answer: Answer, error: type[CodexError], waits: list[float]
) -> None:
    wire.answer(answer)
    with pytest.raises(error) as caught:
        ask()
    assert type(caught.value) is error
    assert [round(wait, 6) for wait in ask.waits] == waits
    assert len(wire.requests) == len(waits) + 1 == len(ask.retried) + 1


def test_a_failure_that_passes(ask: Asker, wire: Wire) -> None:
    wire.answer(plain(500), [DROP], stream(CREATED, DROP), stream(*good("Hello")))
    assert ask().output_text == "Hello"
    assert [type(error) for error in ask.retried] == [ServiceError, UnreachableError, StreamError]
    assert len({seen.body for seen in wire.requests}) == 1


def test_the_text_before_a_break_is_whole_where_its_end_might_have_gone_on_as_a_secret(
    ask: Asker, wire: Wire
) -> None:
    hide("llo-is-how-a-secret-begins")
    wire.answer(stream(CREATED, delta("He"), delta("llo"), DROP))
    with pytest.raises(StreamError) as caught:
        ask()
    assert caught.value.response.output_text == "Hello"


def test_a_drop_inside_an_event_keeps_the_text_before(ask: Asker, wire: Wire) -> None:
    wire.answer(stream(CREATED, delta("Hel"), delta("lö")[:-20], DROP))
    with pytest.raises(StreamError) as caught:
        ask()
    assert caught.value.response.output_text == "Hel"


def test_a_failure_keeps_the_text_before(ask: Asker, wire: Wire) -> None:
    wire.answer(stream(CREATED, delta("Hel"), event("error", **LIMIT, status_code=429)))
    with pytest.raises(UsageLimitError) as caught:
        ask()
    assert caught.value.response.output_text == "Hel"
    assert [type(event) for event in ask.events] == [ResponseCreated, OutputTextDelta]


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (completed(), None),
        (failed("invalid_prompt", "No"), CodexError),
        (event("error", **LIMIT), CodexError),
    ],
)
def test_the_end_is_the_last_event_not_the_last_byte(
    ask: Asker, wire: Wire, end: bytes, error: type[CodexError] | None
) -> None:
    wire.answer(stream(CREATED, message("a"), end, HANG))
    if error is None:
        assert ask().output_text == "a"
    else:
        with pytest.raises(error):
            ask()
    assert wire.left.wait(10)


def test_no_server(ask: Asker) -> None:
    ask.provider = custom("http://127.0.0.1:1")
    with pytest.raises(UnreachableError, match="can't be reached") as caught:
        ask()
    assert caught.value.response is None
    assert len(ask.waits) == 4


def test_a_read_limit_before_the_first_byte(ask: Asker, wire: Wire) -> None:
    wire.answer([HANG])
    ask.timeout = Timeouts(first_byte=0.05)
    with pytest.raises(TimedOutError, match="did not answer"):
        ask()
    assert len(wire.requests) == 5


def test_a_read_limit_inside_the_answer(ask: Asker, wire: Wire) -> None:
    wire.answer(stream(CREATED, delta("Hel"), HANG))
    ask.timeout = Timeouts(idle=0.5)
    with pytest.raises(StreamError, match="silent") as caught:
        ask()
    assert caught.value.response.output_text == "Hel"


def test_an_answer_that_is_compressed_all_the_same(ask: Asker, wire: Wire) -> None:
    wire.answer(stream(gzip.compress(b"".join(good("Hello"))), content_encoding="gzip"))
    assert ask().output_text == "Hello"


# Ending early ------------------------------------------------------------------------------------


def test_closing_lets_go_of_the_socket_at_once(wire: Wire, client: Client) -> None:
    wire.answer(stream(CREATED, delta("Hel"), HANG))
    with client.responses.create("hi", model="m", stream=True) as events:
        assert isinstance(next(events), ResponseCreated)
        assert isinstance(next(events), OutputTextDelta)
    assert wire.left.wait(10)
    assert list(events) == []
    assert events.response.output_text == "Hel"
    with pytest.raises(StreamError):
        events.get_final_response()


def test_another_thread_can_end_a_stream_that_waits(wire: Wire, client: Client) -> None:
    wire.answer(stream(CREATED, delta("Hel"), HANG))
    events = client.responses.create("hi", model="m", stream=True)
    next(events)
    next(events)
    seen: list[object] = []
    reader = threading.Thread(target=lambda: seen.extend(events))
    reader.start()
    events.close()
    reader.join(10)
    assert not reader.is_alive()
    assert seen == []


def test_cancelling_an_async_reader_lets_go_of_the_socket(wire: Wire, settings: Settings) -> None:
    wire.answer(stream(CREATED, delta("Hel"), HANG))

    async def main() -> str:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            events = await client.responses.create("hi", model="m", stream=True)
            await anext(events)
            await anext(events)
            reading = asyncio.create_task(events.get_final_response())
            await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            return events.response.output_text

    assert asyncio.run(main()) == "Hel"
    assert wire.left.wait(10)


def test_aclose_lets_go_of_the_socket(wire: Wire, settings: Settings) -> None:
    wire.answer(stream(CREATED, delta("Hel"), HANG))

    async def main() -> None:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            async with await client.responses.create("hi", model="m", stream=True) as events:
                await anext(events)
            assert [event async for event in events] == []

    asyncio.run(main())
    assert wire.left.wait(10)


def test_another_task_can_end_a_stream_that_waits(wire: Wire, settings: Settings) -> None:
    wire.answer(stream(CREATED, delta("Hel"), HANG))

    async def main() -> list[Event]:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            events = await client.responses.create("hi", model="m", stream=True)
            await anext(events)
            await anext(events)
            reading = asyncio.create_task(_all(events))
            await asyncio.sleep(0)
            await events.aclose()
            return await reading

    assert asyncio.run(main()) == []
    assert len(wire.requests) == 1


async def _all(events: AsyncResponseStream) -> list[Event]:
    return [event async for event in events]


def test_nothing_of_httpx_leaks(ask: Asker, wire: Wire) -> None:
    wire.answer([b"nonsense\r\n\r\n", DROP])
    with pytest.raises(UnreachableError) as caught:
        ask()
    assert isinstance(caught.value.__cause__, httpx.HTTPError)
