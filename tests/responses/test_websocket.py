"""A turn's requests over a WebSocket: what is sent, and that no failure of it is one of the turn."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage

from codex_magic import AsyncCodex, CodexConfig
from codex_magic.protocol.errors import ResponseAborted, StreamError, UsageLimitError
from codex_magic.protocol.settings import Settings
from codex_magic.responses import turn_socket, websocket
from codex_magic.responses.client import AsyncClient
from codex_magic.responses.events import OutputTextDelta
from codex_magic.responses.exchange import RetryPolicy
from codex_magic.responses.provider import Provider, chatgpt
from codex_magic.responses.response import Response
from tests.responses.wire import HANG, Answer, Wire, good, plain, stream
from tests.service import LocalService, start
from tests.service.faults import HANDSHAKE
from tests.service.websocket import MESSAGE

MODEL = "local-large"


class Turn:
    """A conversation of which every answer goes along with the next question."""

    def __init__(self, client: AsyncClient, responses: Any) -> None:
        self.client = client
        self.responses = responses
        self.items: list[Any] = []

    async def ask(self, text: str = "echo: hi", **parameters: Any) -> str:
        """The text of the answer; when this returns, a socket that was being opened is open, or is not to be."""
        self.items.append({"role": "user", "content": text})
        response: Response = await self.responses.create(self.items, **{"model": MODEL, **parameters})
        self.items += response.output
        await opened()
        return response.output_text

    async def until_text(self, text: str) -> Any:
        """A running answer of which the first words are there."""
        asked = [*self.items, {"role": "user", "content": text}]
        answer = await self.responses.create(asked, model=MODEL, stream=True)
        while not isinstance(await anext(answer), OutputTextDelta):
            pass
        return answer


async def opened() -> None:
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=10)


def in_a_turn(provider: Provider, settings: Settings, use: Callable[[Turn], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        async with turn_of(provider, settings) as turn:
            return await use(turn)

    return asyncio.run(main())


@asynccontextmanager
async def turn_of(provider: Provider, settings: Settings) -> AsyncIterator[Turn]:
    """A turn whose first request is answered: beside the third a socket is opened."""
    policy = RetryPolicy(random=lambda: 0.0)
    async with (
        AsyncClient(provider, settings=settings, retry=policy, sleep=_at_once) as client,
        client.responses.one_turn() as responses,
    ):
        await responses.create("echo: first", model=MODEL)
        yield Turn(client, responses)


async def _at_once(seconds: float) -> None:
    pass


def codex_at(url: str) -> Provider:
    """A Codex backend that asks for no sign-in."""
    return Provider("chatgpt", url, is_codex=True)


@pytest.fixture
def service() -> Iterator[LocalService]:
    with start(websocket=True) as service:
        yield service


@pytest.fixture
def signed_in(service: LocalService, settings: Settings) -> Settings:
    service.sign_in(settings.codex_home)
    at: dict[str, Any] = {
        "base_url": service.base_url,
        "chatgpt_url": service.chatgpt_url,
        "issuer": service.issuer,
    }
    return dataclasses.replace(settings, **at)


@pytest.fixture
def run(signed_in: Settings) -> Callable[..., Any]:
    """Run a coroutine function with a turn at the local service."""
    return lambda use: in_a_turn(chatgpt(signed_in), signed_in, use)


def messages(service: LocalService) -> list[dict[str, Any]]:
    return [request.json for request in service.requests if request.method == MESSAGE]


def methods(service: LocalService) -> list[str]:
    """How responses were asked for, in order; `GET` is a handshake, which has no fixed place."""
    return [request.method for request in service.requests if request.path.endswith("/responses")]


def counts(service: LocalService) -> dict[str, int]:
    return Counter(methods(service))


# What is sent --------------------------------------------------------------------------------------


def test_from_the_fourth_request_on_only_what_is_new_is_sent(
    service: LocalService, run: Callable[..., Any]
) -> None:
    async def use(turn: Turn) -> list[str]:
        return [await turn.ask(f"echo: {word}") for word in ("one", "two", "naïve 漢字", "four", "five")]

    assert run(use) == ["one", "two", "naïve 漢字", "four", "five"]
    assert counts(service) == {"POST": 3, "GET": 1, MESSAGE: 3}
    whole, *shorter = messages(service)
    assert "previous_response_id" not in whole
    assert [[each["content"][0]["text"] for each in sent["input"]] for sent in shorter] == [
        ["echo: four"],
        ["echo: five"],
    ]
    assert all(sent["previous_response_id"] for sent in shorter)


def test_the_service_knows_what_was_not_sent_again(run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> str:
        for text in ("what is a list?", "what is a tuple?", "what is a set?", "what is a dict?"):
            await turn.ask(text)
        return await turn.ask("so far?")

    answer = run(use)
    assert all(f"what is a {kind}?" in answer for kind in ("list", "tuple", "set", "dict"))


@pytest.mark.parametrize(
    "change",
    [{"instructions": "Be brief."}, {"model": "local-small"}, {"reasoning": {"effort": "low"}}],
    ids=str,
)
def test_another_kind_of_request_is_sent_whole(
    service: LocalService, run: Callable[..., Any], change: dict[str, Any]
) -> None:
    async def use(turn: Turn) -> None:
        for options in ({}, {}, {}, change):
            await turn.ask(**options)

    run(use)
    assert len(messages(service)) == 2
    assert "previous_response_id" not in messages(service)[1]


def test_another_conversation_is_sent_whole(service: LocalService, run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> None:
        for _ in range(3):
            await turn.ask()
        del turn.items[0]
        await turn.ask()

    run(use)
    assert "previous_response_id" not in messages(service)[1]


def test_after_what_did_not_complete_all_is_sent(service: LocalService, run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> None:
        for _ in range(3):
            await turn.ask()
        service.faults.next("incomplete")
        await turn.ask()
        await turn.ask()

    run(use)
    assert ["previous_response_id" in sent for sent in messages(service)] == [False, True, False]


def test_another_session_goes_over_http(service: LocalService, run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> None:
        for key in ("a", "a", "b"):
            await turn.ask(prompt_cache_key=key)

    run(use)
    assert counts(service) == {"POST": 4, "GET": 1}


def test_the_handshake_says_who_asks_and_in_which_turn(
    service: LocalService, run: Callable[..., Any]
) -> None:
    async def use(turn: Turn) -> None:
        for _ in range(3):
            await turn.ask(prompt_cache_key="k", turn_state="ts_1")

    run(use)
    [headers] = [
        request.headers
        for request in service.requests
        if "upgrade" in request.headers and request.method == "GET"
    ]
    assert headers["openai-beta"] == "responses_websockets=2026-02-06"
    assert {headers[name] for name in ("session-id", "thread-id", "x-client-request-id")} == {"k"}
    assert headers["x-codex-turn-state"] == "ts_1"
    assert {"originator", "version", "user-agent", "authorization", "chatgpt-account-id"} <= headers.keys()


def test_the_limits_and_the_turn_state_come_with_the_answer(run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> Response:
        await turn.ask()
        await turn.ask()
        response: Response = await turn.responses.create("echo: hi", model=MODEL)
        return response

    response = run(use)
    assert response.rate_limits.primary.window_duration_mins == 300
    assert response.turn_state.startswith("ts_")


def test_a_refused_token_is_renewed_in_the_handshake(
    service: LocalService, run: Callable[..., Any], settings: Settings
) -> None:
    async def use(turn: Turn) -> str:
        await turn.ask()
        service.faults.next("token_expired", path=HANDSHAKE)
        await turn.ask()
        return await turn.ask("echo: renewed")

    assert run(use) == "renewed"
    assert counts(service) == {"POST": 3, "GET": 2, MESSAGE: 1}


def test_a_turn_of_two_requests_opens_nothing(service: LocalService, run: Callable[..., Any]) -> None:
    run(lambda turn: turn.ask())
    assert methods(service) == ["POST"] * 2


# What fails ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "previous_response_not_found"},
        {"kind": "websocket_connection_limit_reached"},
        {"kind": "token_expired"},
        {"kind": "server_error"},
        {"kind": "binary_frame"},
        {"kind": "refuse"},
        {"kind": "drop", "after": 0},
        {"kind": "failed", "after": 0},
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [True, False], ids=["at once", "after a while"])
def test_what_fails_before_the_answer_is_asked_for_by_http(
    service: LocalService, run: Callable[..., Any], fault: dict[str, Any], first: bool
) -> None:
    async def use(turn: Turn) -> list[str]:
        said = [await turn.ask(f"echo: {number}") for number in range(2 if first else 3)]
        service.faults.next(**fault)
        said += [await turn.ask(f"echo: {number}") for number in range(len(said), 7)]
        return said

    assert run(use) == list("0123456")
    assert methods(service).count("POST") >= 3
    if not first:
        assert methods(service)[-1] == MESSAGE


def test_a_failure_that_http_has_too_is_told_as_such(service: LocalService, run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> None:
        for _ in range(3):
            await turn.ask()
        service.faults.next("usage_limit", times=2)
        with pytest.raises(UsageLimitError):
            await turn.ask()

    run(use)
    assert methods(service)[-2:] == [MESSAGE, "POST"]


def test_a_break_in_the_middle_keeps_the_text_before(service: LocalService, run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> str:
        for _ in range(3):
            await turn.ask()
        service.faults.next("drop", after=2)
        with pytest.raises(StreamError) as caught:
            await turn.ask("echo: 0123456789")
        assert caught.value.response.output_text == "01234567"
        return await turn.ask("echo: on")

    assert run(use) == "on"


def test_an_event_of_3_mb(service: LocalService, run: Callable[..., Any]) -> None:
    async def use(turn: Turn) -> str:
        await turn.ask()
        await turn.ask()
        service.faults.next("huge_event")
        return await turn.ask("echo: after it")

    assert run(use) == "after it"
    assert len(messages(service)) == 1


def test_a_connection_that_died_between_requests_is_not_missed(settings: Settings) -> None:
    async def main() -> str:
        with start(websocket=True, open_access=True) as service:
            async with turn_of(codex_at(service.base_url), settings) as turn:
                for _ in range(3):
                    await turn.ask()
                await asyncio.to_thread(service.close)
                port = int(service.url.rpartition(":")[2])
                with start(websocket=True, open_access=True, port=port) as again:
                    answers = [await turn.ask(f"echo: {word}") for word in ("again", "on", "and on")]
                    assert counts(again) == {"POST": 2, "GET": 1, MESSAGE: 1}
        return " ".join(answers)

    assert asyncio.run(main()) == "again on and on"


@pytest.mark.parametrize("limit", ["IDLE_SECONDS", "OLD_SECONDS"])
def test_a_connection_is_not_used_once_a_network_may_have_forgotten_it(
    service: LocalService, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(websocket, limit, 0.0)

    async def use(turn: Turn) -> list[str]:
        return [await turn.ask(f"echo: {number}") for number in range(5)]

    assert run(use) == list("01234")
    assert messages(service) == []
    assert methods(service).count("GET") == 2


@pytest.mark.parametrize("end", ["close", "abort", "cancel"])
def test_a_response_that_is_left_ends_at_the_service_and_the_turn_goes_on(
    service: LocalService, run: Callable[..., Any], end: str
) -> None:
    async def use(turn: Turn) -> list[str]:
        for _ in range(3):
            await turn.ask()
        service.faults.next("hold")
        answer = await turn.until_text("explain")
        await asyncio.to_thread(service.wait_for_hold)
        if end == "cancel":
            reading = asyncio.create_task(answer.get_final_response())
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait({reading})
            await answer.aclose()
        else:
            ended = getattr(answer, end)()
            if end == "close":
                await ended
            with suppress(StreamError, ResponseAborted):
                await answer.get_final_response()
            await answer.aclose()
        left = await asyncio.to_thread(service.wait_for_disconnect)
        assert left.method == MESSAGE
        return [await turn.ask(f"echo: {word}") for word in ("on", "and", "on")]

    assert run(use) == ["on", "and", "on"]
    assert methods(service)[-1] == MESSAGE


def test_a_request_that_is_cancelled_before_its_answer_ends_the_connection(
    service: LocalService, run: Callable[..., Any]
) -> None:
    async def use(turn: Turn) -> str:
        for _ in range(3):
            await turn.ask()
        service.faults.next("no_headers")
        waiting = asyncio.create_task(turn.responses.create("echo: never", model=MODEL))
        await asyncio.to_thread(service.wait_for_request, count=6)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert waiting.cancelled()
        return await turn.ask("echo: on")

    assert run(use) == "on"
    assert methods(service)[-1] == "POST"


# Without one ---------------------------------------------------------------------------------------

SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.mark.parametrize(
    "handshake",
    [
        plain(426),
        plain(403, {"detail": "Too many"}),
        plain(404),
        plain(429),
        plain(500),
        plain(200, b"<html>Sign in to this network", content_type="text/html"),
        [SWITCHING + b"\r\n"],
        [SWITCHING + b"Sec-WebSocket-Accept: wrong\r\n\r\n"],
        [b"nonsense\r\n\r\n"],
        [HANG],
    ],
    ids="426 403 404 429 500 page no-key wrong-key nonsense silence".split(),
)
def test_a_handshake_that_fails_is_waited_for_by_nobody_and_not_tried_again(
    wire: Wire, settings: Settings, monkeypatch: pytest.MonkeyPatch, handshake: Answer
) -> None:
    monkeypatch.setattr(turn_socket, "OPEN_SECONDS", 0.2 if handshake == [HANG] else 10.0)
    wire.answer_by(lambda seen: handshake if seen.method == "GET" else stream(*good("Hello")))

    async def use(turn: Turn) -> list[str]:
        said = [await turn.ask(model="m") for _ in range(4)]
        async with turn.client.responses.one_turn() as another:
            return [*said, (await another.create("hi", model="m")).output_text]

    assert in_a_turn(codex_at(wire.url), settings, use) == ["Hello"] * 5
    assert sorted(seen.method for seen in wire.requests) == ["GET", *["POST"] * 6]


def test_the_end_of_the_turn_does_not_wait_for_a_handshake(wire: Wire, settings: Settings) -> None:
    wire.answer_by(lambda seen: [HANG] if seen.method == "GET" else stream(*good("Hello")))

    async def use(turn: Turn) -> None:
        await turn.responses.create("hi", model="m")
        await turn.responses.create("hi", model="m")

    in_a_turn(codex_at(wire.url), settings, use)
    assert [seen.method for seen in wire.requests].count("POST") == 3


def test_without_the_library_all_goes_over_http(
    service: LocalService, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "codex_magic.responses.websocket", raising=False)
    monkeypatch.setitem(sys.modules, "wsproto.connection", None)

    async def use(turn: Turn) -> list[str]:
        return [await turn.ask(f"echo: {number}") for number in range(4)]

    assert run(use) == list("0123")
    assert methods(service) == ["POST"] * 5


# The bytes -----------------------------------------------------------------------------------------


class Listener:
    """Serves each connection in a thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        raise NotImplementedError


class Talker(Listener):
    """Answers a POST and a message with the same events; how it frames the latter is the test's."""

    def __init__(self, frames: Callable[[WSConnection, list[str]], bytes], *, size: int = 65536) -> None:
        self.heard: list[Any] = []
        """Events of the WebSocket, in order."""
        self._frames = frames
        self._size = size
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, suppress(OSError):
            head = b""
            while data := client.recv(65536):
                head += data
                if head.startswith(b"GET") and b"\r\n\r\n" in head:
                    self._talk(client, head)
                    return
                if head.endswith(b"}"):
                    for part in stream(*good("posted")):
                        client.sendall(part)  # type: ignore[arg-type]  # no acts among them
                    head = b""

    def _talk(self, client: socket.socket, head: bytes) -> None:
        server = WSConnection(ConnectionType.SERVER)
        data = head
        while True:
            server.receive_data(data)
            for event in server.events():
                self.heard.append(event)
                if isinstance(event, Request):
                    client.sendall(server.send(AcceptConnection()))
                elif isinstance(event, TextMessage) and event.message_finished:
                    said = self._frames(
                        server, [part.decode().partition("data: ")[2] for part in good("framed")]
                    )
                    for at in range(0, len(said), self._size):
                        client.sendall(said[at : at + self._size])
            if not (data := client.recv(65536)):
                return


def answer_of(talker: Talker, settings: Settings, *, asks: int = 3) -> list[str]:
    async def use(turn: Turn) -> list[str]:
        return [await turn.ask(model="m") for _ in range(asks)]

    try:
        return list(in_a_turn(codex_at(talker.url), settings, use))
    finally:
        talker.close()


def whole(server: WSConnection, texts: list[str]) -> bytes:
    return b"".join(server.send(TextMessage(data=text)) for text in texts)


def in_pieces(server: WSConnection, texts: list[str]) -> bytes:
    """Each in frames of one character, with pings between; the next request is read behind the answers to those."""
    data = b""
    for text in texts:
        for number, character in enumerate(text.strip(), 1):
            finished = number == len(text.strip())
            data += server.send(TextMessage(data=character, message_finished=finished))
            data += server.send(Ping(payload=b"?")) if number % 50 == 0 else b""
    return data


@pytest.mark.parametrize("size", [1, 2, 3, 125, 65536])
@pytest.mark.parametrize("frames", [whole, in_pieces])
def test_messages_however_they_and_their_bytes_are_cut(
    settings: Settings, frames: Callable[[WSConnection, list[str]], bytes], size: int
) -> None:
    talker = Talker(frames, size=size)
    assert answer_of(talker, settings, asks=4) == ["posted", "posted", "framed", "framed"]
    pings = sum(isinstance(event, Pong) for event in talker.heard)
    assert (pings > 0) is (frames is in_pieces)


@pytest.mark.parametrize(
    "frames",
    [
        lambda server, texts: server.send(BytesMessage(data=b"\x00\x01")),
        lambda server, texts: server.send(CloseConnection(code=1001)),
        lambda server, texts: b"\xff\xff\xff\xff",
        lambda server, texts: b"\x81\x81abcd\x00",
        lambda server, texts: b"\x81\x02\xc3\x28",
        lambda server, texts: b"\x83\x00",
        lambda server, texts: server.send(TextMessage(data=json.dumps({"type": "error", "error": "words"}))),
    ],
    ids="binary close noise masked no-utf-8 no-opcode error".split(),
)
def test_what_makes_no_sense_leads_to_http_and_no_second_try(
    settings: Settings, frames: Callable[[WSConnection, list[str]], bytes]
) -> None:
    talker = Talker(frames)
    assert answer_of(talker, settings, asks=5) == ["posted"] * 5
    assert sum(isinstance(event, Request) for event in talker.heard) == 1


def test_a_silence_instead_of_an_answer_leads_to_http(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a network leaves it that has forgotten the connection."""
    monkeypatch.setattr(websocket, "FIRST_SECONDS", 0.1)
    assert answer_of(Talker(lambda server, texts: b""), settings) == ["posted"] * 3


def test_signs_of_life_alone_are_no_answer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "FIRST_SECONDS", 0.1)
    alive = json.dumps({"type": "keepalive"})
    talker = Talker(lambda server, texts: server.send(TextMessage(data=alive)))
    assert answer_of(talker, settings) == ["posted"] * 3


# The network, and a whole turn ---------------------------------------------------------------------


class Tunnel(Listener):
    """A proxy that knows CONNECT; `asked` are the first lines of its requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        asked, _, _ = head.decode().partition("\r\n")
        self.asked.append(asked)
        host, _, port = asked.split()[1].partition(":")
        with client, socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            up = threading.Thread(target=_pump, args=[client, server])
            up.start()
            _pump(server, client)
            up.join(10)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_proxy_and_a_ca_file(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tunnel = Tunnel()
    monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
    with start(websocket=True, tls=tmp_path / "tls", open_access=True) as service:
        trusting = dataclasses.replace(settings, ca_bundle=str(service.ca_file))

        async def use(turn: Turn) -> list[str]:
            return [await turn.ask(f"echo: {word}") for word in "abcd"]

        assert in_a_turn(codex_at(service.base_url), trusting, use) == list("abcd")
        assert len(messages(service)) == 2
    tunnel.close()
    assert set(tunnel.asked) == {f"CONNECT {service.url.removeprefix('https://')} HTTP/1.1"}
    assert len(tunnel.asked) == 2


@pytest.mark.parametrize(
    "fault", [None, "websocket_connection_limit_reached", "previous_response_not_found", "refuse"]
)
def test_a_turn_with_tools_sends_results_alone_and_is_never_lost(
    service: LocalService, signed_in: Settings, fault: str | None
) -> None:
    calls = 0

    async def look(path: str) -> str:
        """Look."""
        nonlocal calls
        calls += 1
        if calls > 3:
            await asyncio.to_thread(service.wait_for_request, count=4)
        if calls == 5 and fault is not None:
            service.faults.next(fault)
        return f"result {calls}"

    async def main() -> str:
        async with AsyncCodex(CodexConfig(settings=signed_in)) as codex:
            thread = await codex.thread_start(tools=(look,), model=MODEL)
            result = await thread.run('use the tool look 8 times with {"path": "a"}')
            return str(result.final_response)

    answer = asyncio.run(main())
    assert all(f"result {number}" in answer for number in range(1, 9))
    shortened = [sent for sent in messages(service) if "previous_response_id" in sent]
    assert shortened
    assert {item["type"] for sent in shortened for item in sent["input"]} == {"function_call_output"}
