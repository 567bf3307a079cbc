"""Answers that never end, as both clients read them; and how long is too long, by a clock of the test's."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from codex_magic.protocol.errors import (
    CodexError,
    InvalidRequestError,
    StreamError,
    TimedOutError,
    UnreachableError,
)
from codex_magic.protocol.settings import Settings
from codex_magic.responses import exchange as exchange_module
from codex_magic.responses import transport
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.exchange import LONGEST_ANSWER, WORKING_SECONDS, Exchange, RetryPolicy
from codex_magic.responses.parameters import Timeouts
from codex_magic.responses.provider import Provider, custom
from tests.responses.conftest import Asker
from tests.responses.wire import CREATED, HANG, Part, Seen, Wire, completed, delta, event, good, plain, stream

WORKING = {
    "in progress": event("response.in_progress", response={"id": "r"}),
    "queued": event("response.queued", response={"id": "r"}),
    "created again": CREATED,
    "a keep-alive event": event("keepalive", sequence_number=1),
    "no JSON": b"data: tick\n\n",
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange(clock: Clock) -> Exchange:
    exchange = Exchange(RetryPolicy(), clock=clock)
    exchange.begin({})
    return exchange


@pytest.mark.parametrize("nothing", [b": keep-alive\n\n", b"\n", b"event: x\n", b"data: {", b"retry: 1\n\n"])
def test_what_only_keeps_a_connection_open_is_silence(
    exchange: Exchange, clock: Clock, nothing: bytes
) -> None:
    clock.now = 299.0
    assert exchange.feed(nothing, idle=300.0) == []
    clock.now = 301.0
    with pytest.raises(StreamError, match="nothing of its answer"):
        exchange.feed(nothing, idle=300.0)


@pytest.mark.parametrize("sign", WORKING.values(), ids=WORKING)
def test_a_service_that_only_works_is_waited_for_and_not_without_end(
    exchange: Exchange, clock: Clock, sign: bytes
) -> None:
    for clock.now in (299.0, 598.0, WORKING_SECONDS):
        assert len(exchange.feed(sign, idle=300.0)) == 1
    clock.now = WORKING_SECONDS + 1
    with pytest.raises(StreamError, match="an hour") as caught:
        exchange.feed(sign, idle=300.0)
    with pytest.raises(StreamError):
        exchange.wait_after(caught.value)  # nothing is asked again


def test_an_answer_that_goes_on_may_take_as_long_as_it_does(exchange: Exchange, clock: Clock) -> None:
    for clock.now in itertools.takewhile(lambda at: at < 10 * WORKING_SECONDS, itertools.count(0, 200)):
        exchange.feed(delta("word "), idle=300.0)
    exchange.feed(completed(), idle=300.0)
    assert exchange.finish().output_text.startswith("word word")


def test_the_bytes_of_each_attempt_are_counted_from_the_beginning(exchange: Exchange) -> None:
    half = (b":" + b"x" * 1022 + b"\n\n") * (LONGEST_ANSWER // 2048 + 1)
    exchange.feed(half)
    exchange.begin({})
    exchange.feed(half)
    with pytest.raises(StreamError, match="256 MiB"):
        exchange.feed(half)


def test_a_stream_of_comments_ends_by_the_idle_limit(ask: Asker, wire: Wire) -> None:
    ask.timeout = Timeouts(idle=0.3)
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + CREATED
    wire.answer_by(lambda seen: itertools.chain([head], itertools.repeat(b": keep-alive\n\n")))
    with pytest.raises(StreamError, match="nothing of its answer"):
        ask()
    assert len(ask.retried) == 5


def test_a_refusal_without_end_is_read_no_further(ask: Asker, wire: Wire) -> None:
    head = b"HTTP/1.1 400 X\r\nconnection: close\r\n\r\n"
    wire.answer_by(lambda seen: itertools.chain([head], itertools.repeat(b"words " * 1000)))
    with pytest.raises(InvalidRequestError, match="words words"):
        ask()


def test_a_refusal_that_drips_is_told_with_what_came(
    ask: Asker, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "WORDS_SECONDS", 0.2)
    wire.answer([b"HTTP/1.1 400 X\r\nconnection: close\r\n\r\nSome words", HANG])
    with pytest.raises(InvalidRequestError, match="Some words"):
        ask()


def test_a_refusal_is_waited_for_no_longer_than_an_answer(ask: Asker, wire: Wire) -> None:
    ask.timeout = Timeouts(idle=0.2)
    wire.answer([b"HTTP/1.1 400 X\r\nconnection: close\r\n\r\nSome words", HANG])
    with pytest.raises(InvalidRequestError, match="Some words"):
        ask()


def dripping_headers(seen: Seen) -> Iterator[Part]:
    """Fields that come one by one, each before the client would call the connection silent; then an answer."""
    pace = threading.Event()
    yield b"HTTP/1.1 200 OK\r\n"
    for number in range(20):
        pace.wait(0.05)
        yield f"x-{number}: slow\r\n".encode()
    yield b"transfer-encoding: chunked\r\n\r\n"
    yield from stream(*good("late"))[1:]


def test_headers_that_drip_have_a_limit_of_their_own(ask: Asker, wire: Wire) -> None:
    ask.timeout = Timeouts(first_byte=0.3)
    wire.answer_by(dripping_headers)
    with pytest.raises(TimedOutError):
        ask()
    assert len(ask.retried) == 4


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_headers_that_drip_over_a_kept_connection(settings: Settings, wire: Wire, kind: str) -> None:
    first = stream(*good("first"))
    wire.answer_by(lambda seen: first if len(wire.requests) == 1 else dripping_headers(seen))
    options: Any = {"timeout": Timeouts(first_byte=0.3), "max_retries": 0, "settings": settings}
    provider = custom(wire.url, settings=settings)

    async def ask_twice() -> None:
        async with AsyncClient(provider, **options) as client:
            await client.responses.create("hi", model="m")
            await client.responses.create("hi", model="m")

    def ask_twice_in_a_thread() -> None:
        with Client(provider, **options) as client:
            client.responses.create("hi", model="m")
            client.responses.create("hi", model="m")

    with pytest.raises(TimedOutError):
        asyncio.run(ask_twice()) if kind == "async" else ask_twice_in_a_thread()
    assert (len(wire.requests), wire.connections) == (2, 1)


@pytest.mark.parametrize("status", [200, 400])
def test_a_bomb_in_a_small_packet(
    ask: Asker, wire: Wire, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_module, "LONGEST_ANSWER", 1 << 20)
    monkeypatch.setattr(exchange_module, "LONGEST_EVENT", 1 << 20)
    wire.answer(plain(status, gzip.compress(b"x" * (16 << 20)), content_encoding="gzip"))
    with pytest.raises(CodexError):
        ask()
    assert len(wire.requests) == 1


@pytest.mark.parametrize("status", [200, 400])
def test_a_packing_that_was_not_asked_for(ask: Asker, wire: Wire, status: int) -> None:
    wire.answer(plain(status, b"\x28\xb5\x2f\xfd", content_encoding="zstd"))
    with pytest.raises(CodexError):
        ask()
    assert "zstd" not in wire.requests[0].headers["accept-encoding"]


def test_a_line_without_end(exchange: Exchange) -> None:
    piece = b"x" * (1 << 20)
    exchange.feed(b'data: {"type": "')
    with pytest.raises(StreamError, match="event"):
        any(exchange.feed(piece) for _ in range(LONGEST_ANSWER >> 20))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_whole_answer_has_a_largest_size_and_an_end(
    wire: Wire, settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(transport, "LONGEST_ANSWER", 1 << 20)
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"
    wire.answer_by(lambda seen: itertools.chain([head], itertools.repeat(b" " * (1 << 16))))
    with pytest.raises(UnreachableError, match="longer"):
        models(kind, custom(wire.url), settings)
    wire.answer_by(lambda seen: [head, b"{", HANG])
    with pytest.raises(UnreachableError):
        models(kind, custom(wire.url), settings)


def models(kind: str, provider: Provider, settings: Settings) -> object:
    options: Any = {"settings": settings, "timeout": Timeouts(idle=0.2)}
    if kind == "sync":
        with Client(provider, **options) as client:
            return client.models.list()

    async def ask() -> object:
        async with AsyncClient(provider, **options) as client:
            return await client.models.list()

    return asyncio.run(ask())
