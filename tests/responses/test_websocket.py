"""`responses.connect()`, sync and async, against the local service's WebSocket and against servers that have none."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from codex_magic.protocol.errors import (
    AuthError,
    CodexError,
    ContextWindowError,
    InvalidRequestError,
    ResponseAborted,
    ServiceError,
    StreamError,
    UnreachableError,
    UsageLimitError,
)
from codex_magic.protocol.settings import Settings
from codex_magic.responses import websocket
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.events import Event, OutputTextDelta
from codex_magic.responses.parameters import Timeouts
from codex_magic.responses.provider import Provider, chatgpt, custom
from codex_magic.responses.response import Response
from codex_magic.responses.retry import RetryPolicy
from codex_magic.responses.websocket import Verdict, judge
from tests.responses.wire import HANG, Answer, Wire, good, plain, stream
from tests.service import LocalService, start
from tests.service.faults import HANDSHAKE
from tests.service.websocket import MESSAGE

MODEL = "local-large"
LITE = "x-openai-internal-codex-responses-lite"


class Talker:
    """One connection of the sync or the async client; `waits` are the pauses it would have made."""

    def __init__(self, kind: str, provider: Provider, settings: Settings, **options: Any) -> None:
        self.waits: list[float] = []
        self.events: list[Event] = []
        self.loop = asyncio.new_event_loop()
        options = {"settings": settings, "retry": RetryPolicy(random=lambda: 0.5), **options}
        self.client: Any
        if kind == "sync":
            self.client = Client(provider, sleep=self.waits.append, **options)
        else:
            self.client = AsyncClient(provider, sleep=self._sleep, **options)
        self.connection = self.client.responses.connect()

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def run(self, result: Any) -> Any:
        """The result, now; the async client's are waited for."""
        return self.loop.run_until_complete(result) if asyncio.iscoroutine(result) else result

    def ask(self, input: Any = "echo: hi", **parameters: Any) -> Response:
        stream = self.open(input, **parameters)
        self.events.clear()
        for event in self.rest(stream):
            self.events.append(event)
        response: Response = self.run(stream.get_final_response())
        return response

    def open(self, input: Any = "echo: hi", **parameters: Any) -> Any:
        return self.run(self.connection.create(input, stream=True, **{"model": MODEL, **parameters}))

    def rest(self, stream: Any) -> Iterator[Event]:
        one = next if hasattr(stream, "__next__") else _next
        while (event := self.run(one(stream, None))) is not None:
            yield event

    def until_text(self, stream: Any) -> None:
        next(event for event in self.rest(stream) if isinstance(event, OutputTextDelta))

    def close(self, what: Any) -> None:
        self.run(what.aclose() if hasattr(what, "aclose") else what.close())

    def end(self) -> None:
        self.close(self.connection)
        self.close(self.client)
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


async def _next(stream: Any, default: None) -> Event | None:
    event: Event | None = await anext(stream, default)
    return event


@pytest.fixture
def service() -> Iterator[LocalService]:
    with start(websocket=True) as service:
        yield service


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(kind: str, settings: Settings) -> Iterator[Callable[..., Talker]]:
    """A connection to a service with a ChatGPT sign-in, or to any address."""
    with ExitStack() as ends:

        def connect(to: LocalService | str, **options: Any) -> Talker:
            if isinstance(to, str):
                talker = Talker(kind, custom(to, settings=settings), settings, **options)
            else:
                talker = Talker(kind, chatgpt(signed_in(to, settings)), settings, **options)
            ends.callback(talker.end)
            return talker

        yield connect


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the service's word on a response that was left is late, and the connection would go."""
    monkeypatch.setattr(websocket, "_GRACE", 30)


def signed_in(service: LocalService, settings: Settings) -> Settings:
    service.sign_in(settings.codex_home)
    at = {"base_url": service.base_url, "chatgpt_url": service.chatgpt_url, "issuer": service.issuer}
    return dataclasses.replace(settings, **at)


@pytest.fixture
def talk(service: LocalService, connect: Callable[..., Talker]) -> Talker:
    return connect(service)


def messages(service: LocalService, kind: str = "response.create") -> list[dict[str, Any]]:
    sent = [request.json for request in service.requests if request.method == MESSAGE]
    return [message for message in sent if message["type"] == kind]


def handshakes(service: LocalService) -> list[dict[str, str]]:
    return [
        request.headers
        for request in service.requests
        if request.method == "GET" and request.path.endswith("/responses")
    ]


def posts(service: LocalService) -> int:
    return sum(request.method == "POST" for request in service.requests)


# Responses -----------------------------------------------------------------------------------------


def test_responses_follow_each_other_on_one_connection(service: LocalService, talk: Talker) -> None:
    assert [talk.ask(f"echo: {word}").output_text for word in ("naïve 漢字", "two")] == ["naïve 漢字", "two"]
    assert (len(handshakes(service)), posts(service)) == (1, 0)
    assert talk.connection.transport == "websocket"
    assert talk.connection.fallback is None


def test_an_event_of_3_mb(service: LocalService, talk: Talker) -> None:
    service.faults.next("huge_event")
    assert talk.ask("echo: after it").output_text == "after it"


def test_it_is_client_responses_by_another_way(service: LocalService, talk: Talker) -> None:
    asked = talk.connection.parse("hi", text_format={"type": "object", "properties": {}}, model=MODEL)
    assert talk.run(asked).output_parsed == {}
    assert posts(service) == 0


def test_the_limits_are_known_before_the_answer(talk: Talker) -> None:
    stream = talk.open("echo: hi")
    assert talk.client.rate_limits.plan_type == "plus"
    assert talk.run(stream.get_final_response()).rate_limits.primary.window_duration_mins == 300


def test_the_handshake_tells_who_asks(service: LocalService, talk: Talker) -> None:
    talk.ask(prompt_cache_key="k")
    [told] = handshakes(service)
    assert told["openai-beta"] == "responses_websockets=2026-02-06"
    assert {told[name] for name in ("session-id", "thread-id", "x-client-request-id")} == {"k"}
    assert {"originator", "version", "user-agent", "authorization", "chatgpt-account-id"} <= told.keys()


def test_another_session_needs_another_connection(service: LocalService, talk: Talker) -> None:
    for key in ("a", "a", "b"):
        talk.ask(prompt_cache_key=key)
    assert [told["session-id"] for told in handshakes(service)] == ["a", "b"]


def test_the_turn_state_is_echoed_within_its_turn_only(service: LocalService, talk: Talker) -> None:
    state = talk.ask().turn_state
    assert state is not None
    assert talk.ask(turn_state=state).turn_state == state
    assert talk.ask().turn_state is None
    service.faults.next("websocket_connection_limit_reached")
    talk.ask(turn_state=state)
    assert [told.get("x-codex-turn-state") for told in handshakes(service)] == [None, state]


def test_what_is_a_header_of_one_request_goes_into_its_message(service: LocalService, talk: Talker) -> None:
    reasoning = {"context": "all_turns"}
    talk.ask(extra_headers={LITE: "true"}, parallel_tool_calls=False, reasoning=reasoning)
    [message] = messages(service)
    assert message["client_metadata"] == {"ws_request_header_" + LITE.replace("-", "_"): "true"}
    assert LITE not in handshakes(service)[0]


# Going on from the last response -------------------------------------------------------------------


def test_only_new_items_are_sent(service: LocalService, talk: Talker) -> None:
    first = talk.ask([user("what is a list?")])
    so_far = [user("what is a list?"), *first.output, user("so far?")]
    assert "what is a list?" in talk.ask(so_far).output_text
    _, second = messages(service)
    assert second["previous_response_id"] == first.id
    assert [item["content"][0]["text"] for item in second["input"]] == ["so far?"]


def test_a_previous_response_is_named(service: LocalService, talk: Talker) -> None:
    first = talk.ask("what is a list?")
    assert "what is a list?" in talk.ask("so far?", previous_response_id=first.id).output_text
    assert [len(message["input"]) for message in messages(service)] == [1, 1]


@pytest.mark.parametrize(
    "change",
    [{"instructions": "Be brief."}, {"model": "local-small"}, {"reasoning": {"effort": "low"}}],
    ids=str,
)
def test_another_kind_of_request_is_sent_whole(
    service: LocalService, talk: Talker, change: dict[str, Any]
) -> None:
    first = talk.ask("a")
    talk.ask([user("a"), *first.output, user("b")], **change)
    assert "previous_response_id" not in messages(service)[1]


def test_another_conversation_is_sent_whole(service: LocalService, talk: Talker) -> None:
    talk.ask("a")
    talk.ask([user("x"), user("b")])
    assert "previous_response_id" not in messages(service)[1]


@pytest.mark.parametrize("fault", ["incomplete", "error"])
def test_after_what_did_not_complete_all_is_sent(service: LocalService, talk: Talker, fault: str) -> None:
    first = talk.ask("a")
    service.faults.next(fault)
    with suppress(CodexError):
        talk.ask([user("a"), *first.output, user("b")])
    talk.ask([user("a"), *first.output, user("c")])
    assert "previous_response_id" in messages(service)[1]
    assert "previous_response_id" not in messages(service)[2]


def test_a_service_that_forgot_is_told_all(service: LocalService, talk: Talker) -> None:
    first = talk.ask("what is a list?")
    service.faults.next("previous_response_not_found")
    assert "list" in talk.ask([user("what is a list?"), *first.output, user("so far?")]).output_text
    assert [len(message["input"]) for message in messages(service)] == [1, 1, 2 + len(first.output)]
    assert (len(handshakes(service)), talk.waits) == (1, [])


def test_a_previous_response_that_only_the_service_may_know_is_asked_for_once(
    connect: Callable[..., Talker],
) -> None:
    with start(websocket=True, open_access=True) as service:
        talk = connect(service.api_url)
        with pytest.raises(InvalidRequestError, match="not found"):
            talk.ask("so far?", previous_response_id="resp_elsewhere")
        first = talk.ask("what is a list?")
        assert "list" in talk.ask("so far?", previous_response_id=first.id).output_text
        assert len(messages(service)) == 3


def test_a_warm_up_is_gone_on_from(service: LocalService, talk: Talker) -> None:
    warm = talk.run(talk.connection.warm_up([user("what is a list?")], model=MODEL))
    assert warm.output == []
    talk.ask([user("what is a list?"), user("so far?")])
    first, second = messages(service)
    assert first["generate"] is False
    assert (second["previous_response_id"], len(second["input"])) == (warm.id, 1)


# Failures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "waits"),
    [
        ({"kind": "usage_limit"}, UsageLimitError, 0),
        ({"kind": "context_too_long"}, ContextWindowError, 0),
        ({"kind": "overloaded"}, ServiceError, 0),
        ({"kind": "invalid_prompt"}, InvalidRequestError, 0),
        ({"kind": "failed", "after": 0}, ServiceError, 5),
        ({"kind": "binary_frame"}, StreamError, 5),
        ({"kind": "drop", "after": 0}, StreamError, 5),
        ({"kind": "refuse"}, UnreachableError, 4),
        ({"kind": "error"}, UsageLimitError, 0),
    ],
    ids=str,
)
def test_a_failure_that_stays(
    service: LocalService, talk: Talker, fault: dict[str, Any], error: type[CodexError], waits: int
) -> None:
    service.faults.next(times=20, **fault)
    with pytest.raises(error) as caught:
        talk.ask()
    assert type(caught.value) is error
    assert len(talk.waits) == waits


@pytest.mark.parametrize(
    "fault", [{"kind": "binary_frame"}, {"kind": "drop", "after": 0}, {"kind": "refuse"}]
)
def test_a_failure_that_passes(service: LocalService, talk: Talker, fault: dict[str, Any]) -> None:
    service.faults.next(**fault)
    assert talk.ask("echo: again").output_text == "again"
    assert len(handshakes(service)) == 2


def test_a_break_in_the_middle_keeps_the_text_before(service: LocalService, talk: Talker) -> None:
    service.faults.next("drop", after=2)
    with pytest.raises(StreamError) as caught:
        talk.ask("echo: 0123456789")
    assert caught.value.response.output_text == "01234567"
    assert talk.ask("echo: on").output_text == "on"


def test_a_used_up_connection_is_replaced_unnoticed(service: LocalService, talk: Talker) -> None:
    first = talk.ask("a")
    service.faults.next("websocket_connection_limit_reached")
    assert talk.ask([user("a"), *first.output, user("echo: b")]).output_text == "b"
    assert (len(handshakes(service)), talk.waits) == (2, [])
    assert "previous_response_id" not in messages(service)[-1]


def test_a_limit_that_stays_is_an_error(service: LocalService, talk: Talker) -> None:
    service.faults.next("websocket_connection_limit_reached", times=2)
    with pytest.raises(CodexError, match="60 minutes"):
        talk.ask()


def test_a_connection_that_died_while_idle_is_replaced_unnoticed(
    connect: Callable[..., Talker], settings: Settings
) -> None:
    with start(websocket=True, open_access=True) as service:
        talk = connect(service.api_url)
        talk.ask()
    with start(websocket=True, open_access=True, port=int(service.url.rpartition(":")[2])) as again:
        assert talk.ask("echo: again").output_text == "again"
        assert len(handshakes(again)) == 1
    assert talk.waits == []


def test_a_sign_in_that_ends_meanwhile_is_renewed(service: LocalService, talk: Talker) -> None:
    talk.ask()
    service.faults.next("token_expired")
    assert talk.ask("echo: on").output_text == "on"
    assert len(handshakes(service)) == 2


def test_a_refused_token_is_renewed_in_the_handshake(
    service: LocalService, connect: Callable[..., Talker], settings: Settings
) -> None:
    talk = connect(service)
    service.revoke(json.loads((settings.codex_home / "auth.json").read_text())["tokens"]["access_token"])
    assert talk.ask("echo: renewed").output_text == "renewed"
    assert service.wait_for_request("/oauth/token").json["grant_type"] == "refresh_token"
    assert len(handshakes(service)) == 2


def test_a_sign_in_that_is_refused_is_said(service: LocalService, talk: Talker) -> None:
    service.faults.next("unauthorized", times=9, path=HANDSHAKE)
    with pytest.raises(AuthError):
        talk.ask()
    assert talk.connection.fallback is None


# Ending early --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("patient")
def test_closing_a_running_response_keeps_the_connection(service: LocalService, talk: Talker) -> None:
    service.faults.next("hold")
    stream = talk.open("echo: 0123456789012345678901234567890123456789")
    talk.until_text(stream)
    service.wait_for_hold()
    talk.close(stream)
    assert talk.ask("echo: on").output_text == "on"
    [interrupt] = messages(service, "response.interrupt")
    assert interrupt["response_id"] == stream.response.id
    assert interrupt["mode"] == "discard_partial_items"
    assert len(handshakes(service)) == 1


@pytest.mark.usefixtures("patient")
def test_aborting_a_response_keeps_the_connection(service: LocalService, talk: Talker) -> None:
    service.faults.next("hold")
    stream = talk.open("explain")
    talk.until_text(stream)
    service.wait_for_hold()
    stream.abort()
    with pytest.raises(ResponseAborted) as aborted:
        list(talk.rest(stream))
    assert aborted.value.response.output_text
    assert talk.ask("echo: on").output_text == "on"
    assert len(handshakes(service)) == 1


def test_one_response_at_a_time(service: LocalService, talk: Talker) -> None:
    service.faults.next("hold")
    stream = talk.open("explain")
    with pytest.raises(InvalidRequestError, match="busy"):
        talk.open("echo: me too")
    talk.close(stream)
    assert talk.ask("echo: now").output_text == "now"


def test_a_closed_connection_stays_closed(service: LocalService, talk: Talker) -> None:
    talk.ask()
    talk.close(talk.connection)
    with pytest.raises(InvalidRequestError, match="closed"):
        talk.ask()
    assert talk.run(talk.client.responses.create("echo: hi", model=MODEL)).output_text == "hi"


def test_closing_the_connection_ends_a_running_response(service: LocalService, talk: Talker) -> None:
    service.faults.next("hold")
    stream = talk.open("explain")
    talk.until_text(stream)
    service.wait_for_hold()
    talk.close(talk.connection)
    assert service.wait_for_disconnect().method == MESSAGE
    with pytest.raises(CodexError):
        talk.run(stream.get_final_response())


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("way", ["close", "abort"])
def test_another_thread_can_end_a_response_that_waits(
    service: LocalService, settings: Settings, way: str
) -> None:
    service.faults.next("hold")
    provider = chatgpt(signed_in(service, settings))
    with Client(provider, settings=settings) as client, client.responses.connect() as connection:
        stream = connection.create("explain", model=MODEL, stream=True)
        reader = threading.Thread(target=_read, args=[stream])
        reader.start()
        service.wait_for_hold()
        getattr(stream, way)()
        reader.join(10)
        assert not reader.is_alive()
        assert connection.create("echo: on", model=MODEL).output_text == "on"
    assert len(handshakes(service)) == 1


def _read(stream: Any) -> None:
    with suppress(ResponseAborted):
        list(stream)


@pytest.mark.usefixtures("patient")
def test_cancelling_an_async_reader_keeps_the_connection(service: LocalService, settings: Settings) -> None:
    service.faults.next("hold")

    async def main() -> str:
        provider = chatgpt(signed_in(service, settings))
        async with (
            AsyncClient(provider, settings=settings) as client,
            client.responses.connect() as connection,
        ):
            async with await connection.create("explain", model=MODEL, stream=True) as stream:
                reading = asyncio.create_task(stream.get_final_response())
                await asyncio.to_thread(service.wait_for_hold)
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
            return (await connection.create("echo: on", model=MODEL)).output_text

    assert asyncio.run(main()) == "on"
    assert len(handshakes(service)) == 1


@pytest.mark.usefixtures("patient")
def test_another_task_can_end_a_response_that_waits(service: LocalService, settings: Settings) -> None:
    service.faults.next("hold")

    async def main() -> str:
        provider = chatgpt(signed_in(service, settings))
        async with (
            AsyncClient(provider, settings=settings) as client,
            client.responses.connect() as connection,
        ):
            stream = await connection.create("explain", model=MODEL, stream=True)
            reading = asyncio.create_task(_read_async(stream))
            await asyncio.to_thread(service.wait_for_hold)
            await stream.aclose()
            await reading
            return (await connection.create("echo: on", model=MODEL)).output_text

    assert asyncio.run(main()) == "on"
    assert len(handshakes(service)) == 1


async def _read_async(stream: Any) -> None:
    async for _ in stream:
        pass


class Mute:
    """Accepts a WebSocket, names a response, and says no more; `left` when the client went away."""

    def __init__(self) -> None:
        self.left = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as client:
            server = WSConnection(ConnectionType.SERVER)
            while data := client.recv(65536):
                server.receive_data(data)
                for event in server.events():
                    if isinstance(event, Request):
                        client.sendall(server.send(AcceptConnection()))
                    elif isinstance(event, TextMessage) and "response.create" in event.data:
                        created = {"type": "response.created", "response": {"id": "resp_1"}}
                        client.sendall(server.send(TextMessage(data=json.dumps(created, indent=1))))
        self.left.set()

    def close(self) -> None:
        self._thread.join(10)


@pytest.fixture
def mute() -> Iterator[Mute]:
    server = Mute()
    yield server
    server.close()


def test_an_interrupt_that_is_not_heard_ends_the_connection(mute: Mute, settings: Settings) -> None:
    with (
        Client(custom(mute.url, settings=settings), settings=settings) as client,
        client.responses.connect() as connection,
    ):
        stream = connection.create("hi", model="m", stream=True)
        next(stream)
        reader = threading.Thread(target=_read, args=[stream])
        reader.start()
        stream.close()
        reader.join(10)
        assert not reader.is_alive()
        assert mute.left.wait(10)


def test_a_silence_in_the_answer_ends_the_connection(mute: Mute, connect: Callable[..., Talker]) -> None:
    talk = connect(mute.url, timeout=Timeouts(idle=0.05), retry=RetryPolicy(stream_retries=0))
    with pytest.raises(StreamError, match="silent"):
        talk.ask(model="m")
    assert mute.left.wait(10)


# Without a WebSocket -------------------------------------------------------------------------------


def test_a_service_without_websockets_is_asked_once(
    connect: Callable[..., Talker], caplog: pytest.LogCaptureFixture
) -> None:
    with start() as service, caplog.at_level(logging.WARNING):
        talk = connect(service)
        assert [talk.ask(f"echo: {word}").output_text for word in "ab"] == ["a", "b"]
        another = talk.client.responses.connect()
        talk.run(another.create("echo: c", model=MODEL))
        assert (len(handshakes(service)), posts(service)) == (1, 3)
    assert talk.connection.transport == another.transport == "http"
    assert "no WebSocket" in talk.connection.fallback.message
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_warm_up_costs_nothing_without_a_websocket(connect: Callable[..., Talker]) -> None:
    with start() as service:
        talk = connect(service)
        assert talk.run(talk.connection.warm_up(model=MODEL)).output == []
        assert posts(service) == 0


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    "handshake",
    [
        plain(403, {"detail": "Too many"}),
        plain(404),
        plain(429),
        plain(500),
        plain(200, b"<html>Sign in to this network", content_type="text/html"),
        [SWITCHING + b"Sec-WebSocket-Accept: wrong\r\n\r\n"],
        [b"nonsense\r\n\r\n"],
        [HANG],
    ],
    ids=["403", "404", "429", "500", "a page", "a wrong key", "nonsense", "silence"],
)
def test_any_failure_of_the_handshake_leads_to_http(
    wire: Wire, connect: Callable[..., Talker], handshake: Answer
) -> None:
    wire.answer(handshake, stream(*good("Hello")))
    talk = connect(wire.url, timeout=Timeouts(connect=0.5) if handshake == [HANG] else Timeouts())
    assert [talk.ask(model="m").output_text for _ in range(2)] == ["Hello", "Hello"]
    assert [seen.method for seen in wire.requests] == ["GET", "POST", "POST"]
    assert isinstance(talk.connection.fallback, CodexError)


def test_a_network_that_is_down_says_nothing_about_websockets(connect: Callable[..., Talker]) -> None:
    talk = connect("http://127.0.0.1:1")
    with pytest.raises(UnreachableError):
        talk.ask(model="m")
    assert talk.connection.fallback is None


def test_a_service_that_stops_offering_websockets(connect: Callable[..., Talker]) -> None:
    with start(websocket=True, open_access=True) as service:
        talk = connect(service.api_url)
        talk.ask()
    with start(open_access=True, port=int(service.url.rpartition(":")[2])) as again:
        assert talk.ask("echo: again").output_text == "again"
        assert posts(again) == 1
    assert talk.connection.transport == "http"


def test_without_the_library_one_sentence_names_it(
    service: LocalService, connect: Callable[..., Talker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "codex_magic.responses.frames")
    monkeypatch.setitem(sys.modules, "wsproto.connection", None)
    talk = connect(service)
    assert talk.ask("echo: all the same").output_text == "all the same"
    assert "codex-magic[websocket]" in str(talk.connection.fallback)
    assert handshakes(service) == []


# The network ---------------------------------------------------------------------------------------


class Tunnel:
    """A proxy that knows CONNECT, for one connection; `asked` is the first line of its request."""

    def __init__(self) -> None:
        self.asked = ""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with self._listener, self._listener.accept()[0] as client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            self.asked, _, _ = head.decode().partition("\r\n")
            host, _, port = self.asked.split()[1].partition(":")
            with socket.create_connection((host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                up = threading.Thread(target=_pump, args=[client, server])
                up.start()
                _pump(server, client)
                up.join(10)

    def close(self) -> None:
        self._thread.join(10)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_proxy_and_a_ca_file(
    tmp_path: Path, kind: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    tunnel = Tunnel()
    monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
    with start(websocket=True, tls=tmp_path / "tls", open_access=True) as service:
        trusting = dataclasses.replace(settings, ca_bundle=str(service.ca_file))
        talk = Talker(kind, custom(service.api_url, settings=trusting), trusting)
        assert [talk.ask(f"echo: {word}").output_text for word in "ab"] == ["a", "b"]
        assert talk.connection.transport == "websocket"
        talk.end()
    tunnel.close()
    assert tunnel.asked == f"CONNECT {service.url.removeprefix('https://')} HTTP/1.1"


# The machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "verdict"),
    [
        ([], Verdict.WAIT),
        ([{"type": "codex.rate_limits"}, {"type": "keepalive"}, {"type": "response.metadata"}], Verdict.WAIT),
        ([{"type": "codex.rate_limits"}, {"type": "response.created"}], Verdict.GO),
        ([{"type": "something.new"}], Verdict.GO),
        ([{"type": "error", "error": {"code": "websocket_connection_limit_reached"}}], Verdict.RECONNECT),
        ([{"type": "error", "code": "websocket_connection_limit_reached"}], Verdict.RECONNECT),
        ([{"type": "error", "error": {"code": "previous_response_not_found"}}], Verdict.WHOLE),
        ([{"type": "error", "status_code": 401, "error": {"code": "token_expired"}}], Verdict.RECONNECT),
        ([{"type": "error", "status": 429, "error": {"type": "usage_limit_reached"}}], Verdict.GO),
        ([{"type": "error", "error": "words"}], Verdict.GO),
        ([{"type": "error", "error": {"code": ["odd"]}}], Verdict.GO),
    ],
)
def test_what_the_first_messages_mean(first: list[dict[str, Any]], verdict: Verdict) -> None:
    assert judge([json.dumps(message) for message in first]) is verdict


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}
