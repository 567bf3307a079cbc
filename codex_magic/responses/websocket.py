"""A WebSocket to the service that carries one response at a time, each request with only what is new in it.

wsproto, which is an extra, does the framing. An answer is what `Transport.send` returns too: its bytes are the
messages as server-sent events, so everything above reads both in one way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import httpcore
import httpx
import msgspec
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import ProtocolError, generate_accept_token

from ..protocol.errors import InvalidRequestError
from .events import CodexRateLimits, ErrorEvent, Keepalive, ResponseMetadata, decode_event
from .exchange import LONGEST_ANSWER, Exchange
from .inputs import Item
from .request import body_of, encode
from .transport import Outgoing

FIRST_SECONDS = 30.0  # for an answer to begin, which it does before the model thinks; then HTTP is asked
WRITE_SECONDS = 60.0  # for each piece of a request
IDLE_SECONDS = 45.0  # networks forget silent connections without a word after a minute or more
OLD_SECONDS = 1800.0  # the service ends a connection after an hour, and an answer may take half of that
_LEFTOVER_SECONDS = 0.25
_PIECE_BYTES = 64 * 1024

_VARYING = frozenset({"input", "client_metadata", "tool_choice"})
"""Fields that may differ between a request and the one that continues it; the last round allows no more calls."""

_BEFORE_AN_ANSWER = (CodexRateLimits, Keepalive, ResponseMetadata)


def is_accepted(answer: httpx.Response, key: str) -> bool:
    """Whether this answer to a handshake with that key opens a WebSocket."""
    accepted = generate_accept_token(key.encode()).decode()
    return answer.status_code == 101 and answer.headers.get("sec-websocket-accept") == accepted


class Socket:
    """An open WebSocket, and what its last response allows the next request to leave out."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer
        self._wire = answer.extensions["network_stream"]
        self._connection = Connection(ConnectionType.CLIENT)
        self._open = True
        self._opened_at = self._used_at = time.monotonic()
        self.was_of_use = True  # until its first request fails: the next socket would fare no better
        self._parts: list[str] = []
        self._body: dict[str, Any] = {}
        self._exchange: Exchange | None = None

    async def ask(self, outgoing: Outgoing, exchange: Exchange, *, idle: float) -> httpx.Response | None:
        """Return the answer once it has begun; `None` where HTTP is to be asked, and then this socket is used up."""
        now, last = time.monotonic(), self._exchange
        is_young = now - self._opened_at < OLD_SECONDS and now - self._used_at < IDLE_SECONDS
        is_free = last is None or (last.over and last is not exchange)  # what failed here goes elsewhere
        if not (self._open and is_young and is_free):
            return None
        answer = None
        try:
            with suppress(httpx.HTTPError, ProtocolError, asyncio.TimeoutError):
                if await asyncio.wait_for(self._is_quiet(), 2 * _LEFTOVER_SECONDS):
                    self.was_of_use = self._exchange is not None
                    message = self._request(msgspec.json.decode(outgoing.body), exchange)
                    await self._write(self._connection.send(TextMessage(data=message)))
                    first = await asyncio.wait_for(self._beginning(), FIRST_SECONDS)
                    # after an error HTTP succeeds, or tells it with its headers
                    if not any(isinstance(decode_event(each.encode()), ErrorEvent) for each in first):
                        self.was_of_use = True
                        wire, headers = {"network_stream": self._wire}, self._answer.headers
                        messages = _Messages(self, first, exchange, idle)
                        answer = httpx.Response(200, headers=headers, stream=messages, extensions=wire)
        finally:
            if answer is None:
                await self.close()
        return answer

    async def _is_quiet(self) -> bool:
        """Take what came while nobody read, pings and the end; whether the socket is still good."""
        with suppress(httpx.ReadTimeout):  # TLS has messages of its own
            while self._open and self._wire.get_extra_info("is_readable"):
                if await self.receive(_LEFTOVER_SECONDS):
                    return False
        return self._open

    def _request(self, body: dict[str, Any], exchange: Exchange) -> str:
        """Return the message for a response, with the new items alone where the service has the others."""
        message = {"type": "response.create", **body}
        so_far = self._items_so_far(body)
        if so_far and self._exchange is not None:
            message["previous_response_id"] = self._exchange.response.id
            message["input"] = body["input"][so_far:]
        self._body, self._exchange = body, exchange
        return encode(message).decode()

    def _items_so_far(self, body: dict[str, Any]) -> int:
        """Return how many items of the input the last response has seen or made; 0 for another conversation."""
        last = self._exchange.response if self._exchange else None
        differs = any(body.get(name) != self._body.get(name) for name in {*body, *self._body} - _VARYING)
        if last is None or differs or last.status != "completed" or not last.id:
            return 0
        try:
            items = [*self._body["input"], *last.output]
            so_far: list[Item] = body_of(items, {"store": self._body["store"]}, is_codex=False)["input"]
        except InvalidRequestError:  # an item of a kind that can't be sent back
            return 0
        continues = len(body["input"]) > len(so_far) and body["input"][: len(so_far)] == so_far
        return len(so_far) if continues else 0

    async def _beginning(self) -> list[str]:
        """Return the first messages of an answer, up to one that is part of it."""
        messages: list[str] = []
        while all(isinstance(decode_event(each.encode()), _BEFORE_AN_ANSWER) for each in messages):
            messages += await self.receive(FIRST_SECONDS)
        return messages

    async def receive(self, seconds: float) -> list[str]:
        """Return the messages that the next bytes complete, often none. Raises httpx.HTTPError, ProtocolError."""
        if not self._open:
            raise httpx.ReadError("the service ended the connection")
        with _as_httpx():
            data = await self._wire.read(_PIECE_BYTES, seconds)
        self._used_at = time.monotonic()
        self._connection.receive_data(data or None)
        messages = []
        for event in self._connection.events():
            if isinstance(event, TextMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    messages.append("".join(self._parts))
                    self._parts.clear()
            elif isinstance(event, Ping):
                await self._write(self._connection.send(event.response()))
            elif isinstance(event, CloseConnection):
                self._open = False
            elif not isinstance(event, Pong):
                raise ProtocolError(f"a {type(event).__name__} has no meaning here")
        if sum(map(len, self._parts)) > LONGEST_ANSWER:
            raise ProtocolError("a message without end")
        return messages

    async def close(self) -> None:
        """End the connection, and a response that is running on it; without a goodbye, which could take long."""
        self._open = False
        await self._answer.aclose()

    async def _write(self, data: bytes) -> None:
        for at in range(0, len(data), _PIECE_BYTES):
            with _as_httpx():
                await self._wire.write(data[at : at + _PIECE_BYTES], WRITE_SECONDS)


class _Messages(httpx.AsyncByteStream):
    """The messages of one response as server-sent events, which is what an exchange reads."""

    def __init__(self, socket: Socket, first: list[str], exchange: Exchange, idle: float) -> None:
        self._socket, self._first, self._exchange, self._idle = socket, first, exchange, idle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield _as_sse(self._first)
        while not self._exchange.over:
            try:
                messages = await self._socket.receive(self._idle)
            except ProtocolError as error:
                raise httpx.RemoteProtocolError("WebSocket frames that make no sense") from error
            yield _as_sse(messages) or b":\n\n"  # a part of a message, or a ping

    async def aclose(self) -> None:
        if not self._exchange.over:
            await self._socket.close()


def _as_sse(messages: Sequence[str]) -> bytes:
    """A line break inside a message can only be white space of its JSON."""
    lines = (message.replace("\n", " ").replace("\r", " ") for message in messages)
    return "".join(f"event: \ndata: {line}\n\n" for line in lines).encode()


@contextmanager
def _as_httpx() -> Iterator[None]:
    try:  # below httpx the same failures have other names
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (httpcore.NetworkError, OSError) as error:
        raise httpx.ReadError(str(error)) from error
