"""The requests of one turn over a WebSocket, each with only what is new in it.

A turn of many tool rounds sends its whole conversation again in every round. Over a WebSocket the service
remembers the response before, so a request names that one and brings the tool results alone. Nothing depends
on it: the socket is opened beside the third request of a turn and never waited for, and whatever fails
before an answer has begun, the same request goes over HTTP. wsproto does the framing; httpx makes the
connection, with the proxies, certificates and sign-in of every other request.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import msgspec
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Ping, Pong, TextMessage
from wsproto.utilities import ProtocolError, generate_accept_token

from ..protocol.errors import CodexError, InvalidRequestError
from .events import CodexRateLimits, ErrorEvent, Keepalive, ResponseMetadata, decode_event
from .exchange import LONGEST_ANSWER, Exchange
from .inputs import Item
from .request import OPEN_RULES, body_of, encode
from .transport import Outgoing, Transport

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger(__name__)

BETA = "responses_websockets=2026-02-06"

HTTP_REQUESTS = 2
"""Most turns run tools once or not at all, and are over before a socket would be of use."""

OPEN_SECONDS = 10.0
"""Within which a handshake is answered; longer, and something between swallows it."""

FIRST_SECONDS = 30.0
"""Within which an answer begins (its first event comes before the model thinks); longer, and HTTP is asked."""

WRITE_SECONDS = 60.0
"""For each piece of a request."""

IDLE_SECONDS = 45.0
"""Networks forget connections without a word when nothing passes for a minute or more."""

OLD_SECONDS = 1800.0
"""The service ends a connection after an hour, and an answer may take half of that."""

_LEFTOVER_SECONDS = 0.25
_PIECE_BYTES = 64 * 1024

_TURN_STATE = "x-codex-turn-state"
_LITE = "x-openai-internal-codex-responses-lite"
_NOT_FOR_HANDSHAKES = frozenset({"accept", "accept-encoding", "content-type"})

_VARYING = frozenset({"input", "client_metadata", "tool_choice"})
"""Body fields that may differ between two requests of which the second continues the first.

The last request of a turn with too many rounds allows no more calls.
"""

_BEFORE_AN_ANSWER = (CodexRateLimits, Keepalive, ResponseMetadata)


class TurnSocket:
    """Sends the requests of one turn: over HTTP until a WebSocket is open, and again when it fails."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._requests = 0
        self._opening: asyncio.Task[None] | None = None
        self._socket: Socket | None = None

    async def send(self, outgoing: Outgoing, exchange: Exchange) -> httpx.Response:
        """Return an answer whose body is unread. Raises CodexError."""
        core = self._transport.core
        if self._socket is not None:
            answer = await self._socket.ask(outgoing, exchange, idle=core.idle_seconds(outgoing))
            if answer is not None:
                return answer
            await self._socket.close()
            core.websockets = core.websockets and self._socket.was_of_use
            self._socket = None
        elif self._requests >= HTTP_REQUESTS and core.websockets and self._opening is None:
            self._opening = asyncio.create_task(self._open(outgoing))
        self._requests += 1
        return await self._transport.send(outgoing, exchange)

    async def _open(self, outgoing: Outgoing) -> None:
        """Open the socket. Where that fails, this client does not try again: HTTP tells what is wrong."""
        core = self._transport.core
        key = base64.b64encode(os.urandom(16)).decode()
        reason = "the handshake failed"
        try:
            answer = await self._shake_hands(outgoing, key)
            core.note(answer.headers)
            accepted = generate_accept_token(key.encode()).decode()
            if answer.status_code == 101 and answer.headers.get("sec-websocket-accept") == accepted:
                self._socket = Socket(answer, outgoing)
                return
            reason = f"the handshake was answered with {answer.status_code}"
            await answer.aclose()
        except (httpx.HTTPError, CodexError, asyncio.TimeoutError) as error:
            reason = str(error) or reason
        finally:
            self._opening = None
        core.websockets = False
        log.info("responses go over HTTP, without a WebSocket: %s", reason)

    async def _shake_hands(self, outgoing: Outgoing, key: str) -> httpx.Response:
        core = self._transport.core
        headers = {
            **{
                name: each
                for name, each in outgoing.headers.items()
                if name.lower() not in _NOT_FOR_HANDSHAKES
            },
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
            "OpenAI-Beta": BETA,
        }
        http = self._transport.http()
        request = core.build(http, replace(outgoing, method="GET", headers=headers, body=b""))
        return await asyncio.wait_for(http.send(request, stream=True), OPEN_SECONDS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._socket is not None:
            await self._socket.close()


class Socket:
    """An open WebSocket, and what its last response allows the next request to leave out."""

    def __init__(self, answer: httpx.Response, outgoing: Outgoing) -> None:
        self._answer = answer
        self._wire = answer.extensions["network_stream"]
        self._connection = Connection(ConnectionType.CLIENT)
        self._headers = _named(outgoing)
        self._open = True
        self._opened_at = self._used_at = time.monotonic()
        self.was_of_use = True
        """False when its first request failed: the next socket would fare no better."""
        self._parts: list[str] = []
        self._length = 0
        """Characters of the parts."""
        self._body: dict[str, Any] = {}
        self._exchange: Exchange | None = None

    async def ask(self, outgoing: Outgoing, exchange: Exchange, *, idle: float) -> httpx.Response | None:
        """Return the answer once it has begun; `None` where HTTP is to be asked, and then this socket is used up."""
        if not self._serves(outgoing, exchange):
            return None
        answer = None
        try:
            with suppress(httpx.HTTPError, ProtocolError, asyncio.TimeoutError):
                if await asyncio.wait_for(self._is_quiet(), 2 * _LEFTOVER_SECONDS):
                    self.was_of_use = self._exchange is not None
                    message = self._request(msgspec.json.decode(outgoing.body), exchange)
                    await self._write(self._connection.send(TextMessage(data=message)))
                    first = await asyncio.wait_for(self._beginning(), FIRST_SECONDS)
                    answer = self._answer_of(first, exchange, idle)
        finally:
            if answer is None:
                await self.close()
        return answer

    def _serves(self, outgoing: Outgoing, exchange: Exchange) -> bool:
        """Whether this request can go here: a socket has one session and one response at a time.

        A response that failed here is asked for again over HTTP.
        """
        now = time.monotonic()
        is_young = now - self._opened_at < OLD_SECONDS and now - self._used_at < IDLE_SECONDS
        same_session = _named(outgoing) == self._headers and _LITE not in self._headers
        last = self._exchange
        is_free = last is None or (last.over and last is not exchange)
        return self._open and is_young and same_session and is_free

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
        if self._exchange is None or _without_input(body) != _without_input(self._body):
            return 0
        last = self._exchange.response
        if last.status != "completed" or not last.id:
            return 0
        try:
            items = [*self._body["input"], *last.output]
            so_far: list[Item] = body_of(items, {"store": self._body["store"]}, OPEN_RULES)["input"]
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

    def _answer_of(self, first: list[str], exchange: Exchange, idle: float) -> httpx.Response | None:
        """Return the answer that begins so; `None` for an error: HTTP succeeds, or tells it with its headers."""
        if any(isinstance(decode_event(each.encode()), ErrorEvent) for each in first):
            return None
        self.was_of_use = True
        return httpx.Response(
            200,
            headers=self._answer.headers,
            stream=_Messages(self, first, exchange, idle),
            extensions={"network_stream": self._wire},
        )

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
                self._length += len(event.data)
                if event.message_finished:
                    messages.append("".join(self._parts))
                    self._parts.clear()
                    self._length = 0
            elif isinstance(event, Ping):
                await self._write(self._connection.send(event.response()))
            elif isinstance(event, CloseConnection):
                self._open = False
            elif not isinstance(event, Pong):
                raise ProtocolError(f"a {type(event).__name__} has no meaning here")
        if self._length > LONGEST_ANSWER:
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
        self._socket = socket
        self._first = first
        self._exchange = exchange
        self._idle = idle

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


def _named(outgoing: Outgoing) -> dict[str, str]:
    """The headers by which a connection is chosen."""
    headers = {name.lower(): value for name, value in outgoing.headers.items()}
    return {name: each for name, each in headers.items() if name not in _NOT_FOR_HANDSHAKES | {_TURN_STATE}}


def _without_input(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in _VARYING}


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Below httpx the same failures have other names."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except (httpcore.NetworkError, OSError) as error:
        raise httpx.ReadError(str(error)) from error
