"""Responses over one WebSocket: what `client.responses.connect()` gives.

A connection is `client.responses` by another way: each method there needs no more than an answer to
read, and gets one whose bytes are the connection's messages as server-sent events. So there is one
parser, one state machine and one way to be retried. httpx makes the connection, with the proxies,
certificates and sign-in of every other request; `frames` reads and writes what goes over it.

Nothing reads while no response is awaited: a connection that the service ended meanwhile is found
so at the next request, and made anew.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import httpcore
import httpx
import msgspec

from ..forks import begin_anew_in_children
from ..net import without_secrets
from ..protocol.errors import CodexError, ConfigurationError, InvalidRequestError, StreamError
from ..protocol.secrets import masked
from . import limits
from .client import AsyncClient, AsyncResponses, Client, Responses, _Core, _Outgoing
from .events import (
    CodexRateLimits,
    ErrorEvent,
    Keepalive,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    ResponseMetadata,
    decode_event,
)
from .exchange import Exchange
from .inputs import Item
from .parameters import Parameters, Timeouts, takes
from .request import OPEN_RULES, body_of, encode
from .response import Response
from .streaming import AsyncResponseStream, ResponseStream

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .frames import Frames, Handshake

log = logging.getLogger(__name__)

BETA = "responses_websockets=2026-02-06"

_READ_BYTES = 64 * 1024

_GRACE = 0.25
"""Seconds that a reader waits for a word on the response it was told to leave, before the connection goes."""

_SETTLE = 2.0
"""Seconds that a new request waits for the end of an interrupted response, before it goes by a new connection."""

_IN_METADATA = {
    "x-openai-internal-codex-responses-lite": "ws_request_header_x_openai_internal_codex_responses_lite"
}
"""Headers of one request, which have no place in a handshake that serves many -> their place in the body."""

_TURN_STATE = "x-codex-turn-state"
_NOT_NAMED = frozenset({"accept", "accept-encoding", "content-type", _TURN_STATE, *_IN_METADATA})
"""Headers of a POST by which a connection is not chosen."""

_VARYING = frozenset({"input", "client_metadata"})
"""Body fields that may differ between two requests of which the second goes on from the first."""

_BEFORE_AN_ANSWER = (CodexRateLimits, Keepalive, ResponseMetadata)
_ENDS = (ResponseCompleted, ResponseIncomplete, ResponseFailed, ErrorEvent)

_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
"""They say nothing about WebSockets: the same request by HTTP will say what is wrong."""


# The machine -------------------------------------------------------------------------------------


class Verdict(Enum):
    WAIT = "nothing was said about the response yet"
    GO = "this is the answer"
    RECONNECT = "this connection is used up"
    WHOLE = "the service does not know the previous response"


def judge(messages: Sequence[str]) -> Verdict:
    """What the first messages after a request mean for the connection."""
    for message in messages:
        event = decode_event(message.encode())
        if isinstance(event, ErrorEvent):
            return _VERDICTS.get(_code(event), Verdict.GO)
        if not isinstance(event, _BEFORE_AN_ANSWER):
            return Verdict.GO
    return Verdict.WAIT


def _code(event: ErrorEvent) -> str | int:
    if 401 in (event.status, event.status_code):
        return 401
    nested = event.error.get("code") if isinstance(event.error, dict) else None
    return str(nested or event.code)


_VERDICTS: dict[str | int, Verdict] = {
    "websocket_connection_limit_reached": Verdict.RECONNECT,
    "previous_response_not_found": Verdict.WHOLE,
    401: Verdict.RECONNECT,  # the handshake is where a sign-in is renewed
}


class Line:
    """One open WebSocket: what it was opened for, and what its last response allows the next to leave out."""

    def __init__(self, frames: Frames, told: Mapping[str, str], outgoing: _Outgoing) -> None:
        """`told`: the headers of the handshake's answer; `outgoing`: the request it was made for."""
        self.frames = frames
        self.used = False
        self.shortened = False
        """The last request named the response before it."""
        self._told = told
        self._named = _named(outgoing)
        self._model = outgoing.model
        self._body: dict[str, Any] = {}
        self._exchange: Exchange | None = None
        self._awaited: set[str] = set()

    def serves(self, outgoing: _Outgoing) -> bool:
        """Headers, the session's above all, are said once: a request with others needs another handshake."""
        return self.frames.open and _named(outgoing) == self._named

    def headers(self, outgoing: _Outgoing) -> dict[str, str]:
        """What the handshake told that holds for this response too."""
        told = dict(self._told)
        same_turn = outgoing.headers.get(_TURN_STATE) == told.get(_TURN_STATE)
        if self.used and not same_turn:
            told.pop(_TURN_STATE, None)
        if outgoing.model != self._model:
            told.pop("openai-model", None)
        return told

    def create(self, outgoing: _Outgoing, exchange: Exchange, *, whole: bool) -> str:
        """The message that asks for a response, with the new items alone where the service knows the others."""
        body = _request(outgoing)
        known = None if whole else self._known(body)
        frame = {"type": "response.create", **body}
        if known is not None and self._exchange is not None:
            frame["previous_response_id"] = self._exchange.response.id
            frame["input"] = body["input"][len(known) :]
        if isinstance(outgoing, _WarmUp):
            frame["generate"] = False
        self._body, self._exchange = body, exchange
        self.used, self.shortened = True, known is not None
        return encode(frame).decode()

    def _known(self, body: dict[str, Any]) -> list[Item] | None:
        """The items that the last response has seen or made, when `body` goes on from them."""
        if self._exchange is None or not self._exchange.over or "previous_response_id" in body | self._body:
            return None
        last = self._exchange.response
        if last.status != "completed" or not last.id or _without_input(body) != _without_input(self._body):
            return None
        try:
            known = _as_sent([*self._body["input"], *last.output], store=self._body["store"])
        except InvalidRequestError:  # an item of a kind that can't be sent back
            return None
        begins = len(body["input"]) > len(known) and body["input"][: len(known)] == known
        return known if begins else None

    def interrupt(self) -> str | None:
        """The message that ends the current response; `None` when it has no name yet."""
        if self._exchange is None or not self._exchange.response.id:
            return None
        self._awaited = {"acknowledgement", "end"}
        asked = {
            "type": "response.interrupt",
            "response_id": self._exchange.response.id,
            "mode": "discard_partial_items",
        }
        return encode(asked).decode()

    def settle(self, messages: Sequence[str]) -> None:
        """Take what still arrives for an interrupted response."""
        for message in messages:
            event = decode_event(message.encode())
            if event.type.startswith("response.interrupt."):
                self._awaited.discard("acknowledgement")
            elif isinstance(event, _ENDS):
                self._awaited.discard("end")

    @property
    def settled(self) -> bool:
        return not self._awaited


def _request(outgoing: _Outgoing) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(outgoing.body)
    headers = {name.lower(): value for name, value in outgoing.headers.items()}
    extra = {_IN_METADATA[name]: value for name, value in headers.items() if name in _IN_METADATA}
    if extra:
        body["client_metadata"] = {**(body.get("client_metadata") or {}), **extra}
    return body


def _without_input(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in _VARYING}


def _as_sent(items: Sequence[Item], *, store: bool) -> list[Item]:
    """The items as the next request will hold them."""
    sent: list[Item] = body_of(items, {"store": store}, OPEN_RULES)["input"]
    return sent


def _named(outgoing: _Outgoing) -> dict[str, str]:
    headers = {name.lower(): value for name, value in outgoing.headers.items()}
    return {name: value for name, value in headers.items() if name not in _NOT_NAMED}


def _upgrade(outgoing: _Outgoing, handshake: Handshake, timeouts: Timeouts) -> _Outgoing:
    turn_state = outgoing.headers.get(_TURN_STATE)
    named = _named(outgoing) | ({_TURN_STATE: turn_state} if turn_state else {})
    return _Outgoing(
        "GET",
        outgoing.url,
        {**named, **handshake.headers, "OpenAI-Beta": BETA},
        model=outgoing.model,
        timeouts=replace(timeouts, first_byte=timeouts.connect),
    )


def _left_until(deadline: float) -> float:
    """Seconds. Raises httpx.ReadTimeout when none are left, whatever else has come in the meantime."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise httpx.ReadTimeout("no answer in time")
    return seconds


_NO_EVENT = b":\n\n"
"""Something came, a ping or a part of a message; the exchange tells it from silence that lasts too long."""


def _as_sse(messages: Sequence[str]) -> bytes:
    """Messages as the exchange takes them; a line break inside one can only be white space of its JSON."""
    lines = (message.replace("\n", " ").replace("\r", " ") for message in messages)
    return "".join(f"event: \ndata: {line}\n\n" for line in lines).encode()


@dataclass(frozen=True)
class _WarmUp(_Outgoing):
    """A request that is prepared for and not answered."""


class _Place:
    """Where the one response of a connection is, from before its request until it is over or left."""

    def __init__(self) -> None:
        self._taken: Exchange | None = None
        self._lock = threading.Lock()

    def take(self, exchange: Exchange) -> None:
        with self._lock:
            taken = self._taken
            if taken is not None and taken is not exchange and not taken.over:
                raise InvalidRequestError(
                    "This connection is busy with a response.",
                    hint="Read or close that stream first, or open another connection.",
                )
            self._taken = exchange

    def leave(self, exchange: Exchange) -> None:
        with self._lock:
            if self._taken is exchange:
                self._taken = None


class _Attempt:
    """The remedies for a request that meets a used-up connection, each taken once."""

    def __init__(self) -> None:
        self.whole = False
        self._left = {Verdict.RECONNECT, Verdict.WHOLE}

    def helps(self, verdict: Verdict, line: Line) -> bool:
        if verdict not in self._left or (verdict is Verdict.WHOLE and not line.shortened):
            return False
        self._left.discard(verdict)
        self.whole = self.whole or verdict is Verdict.WHOLE
        return True


class _Way:
    """Stands in the place of the client for its `Responses`; what it does not do itself the client does."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._place = _Place()
        self._closed = False
        self._socket: Any = None
        begin_anew_in_children(self)

    def forked(self) -> object:
        """See `forks`."""
        left, self._socket = self._socket, None
        self._place = _Place()
        return left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def leave(self, exchange: Exchange) -> None:
        self._place.leave(exchange)

    def timeouts(self, outgoing: _Outgoing) -> Timeouts:
        core: _Core = self._client._core
        return outgoing.timeouts or core.timeouts

    def handshake(self, outgoing: _Outgoing) -> Handshake | None:
        """`None` when this request goes by HTTP."""
        if self._closed:
            raise InvalidRequestError("This connection is closed.", hint="Open another: responses.connect()")
        core: _Core = self._client._core
        if core.no_websocket is not None:
            return None
        try:
            from .frames import Handshake  # an optional dependency
        except ImportError:
            self.give_up(
                ConfigurationError(
                    "WebSockets need the wsproto package.", hint="pip install 'codex-magic[websocket]'"
                )
            )
            return None
        return Handshake()

    def give_up(self, reason: CodexError) -> None:
        """From here on this client uses HTTP."""
        core: _Core = self._client._core
        if core.no_websocket is None:
            core.no_websocket = reason
            log.warning("responses go over HTTP, without a WebSocket: %s", reason)

    def line(self, handshake: Handshake, answer: httpx.Response, outgoing: _Outgoing) -> Line | None:
        """The line that an answer to the handshake opens. Raises AuthError when the sign-in is refused."""
        core: _Core = self._client._core
        core.hear(answer.headers)
        if answer.status_code == 101:
            try:
                return Line(handshake.accept(answer.headers), answer.headers, outgoing)
            except StreamError as error:
                self.give_up(error)
                return None
        refusal = core.refusal(outgoing, answer)
        if answer.status_code == 401:
            raise refusal
        self.give_up(
            ConfigurationError("The service offers no WebSocket.", hint="")
            if answer.status_code == 426
            else refusal
        )
        return None

    def hear(self, messages: Sequence[str]) -> None:
        core: _Core = self._client._core
        for message in messages:
            event = masked(decode_event(message.encode()))
            if isinstance(event, CodexRateLimits):
                core.rate_limits = limits.from_event(
                    event.rate_limits or {}, plan_type=event.plan_type, now=time.time()
                )


def _is_stale(error: Exception) -> bool:
    """Whether a connection broke that had served before: it may have been gone before the request was sent."""
    return isinstance(error, httpx.NetworkError)


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Below httpx the same failures have other names."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise httpx.ReadTimeout(str(error)) from error
    except httpcore.NetworkError as error:
        raise httpx.ReadError(str(error)) from error


_ENDED = "the service ended the connection"

_NOTHING = b'data: {"type":"response.completed","response":{"status":"completed","output":[]}}\n\n'
"""What a warm-up brings that was not made."""


# Sync --------------------------------------------------------------------------------------------


class _Socket:
    """An open WebSocket. One thread reads; another may send, to end what the first one waits for."""

    def __init__(self, answer: httpx.Response, line: Line, *, write_seconds: float) -> None:
        self.line = line
        self._answer = answer
        self._wire = answer.extensions["network_stream"]
        self._write_seconds = write_seconds
        self._writing = threading.Lock()
        self._receiving: object | None = None

    def send(self, message: str) -> None:
        with self._writing:
            self._write(self.line.frames.send(message))

    def receive(self, seconds: float) -> list[str]:
        """The messages that the next bytes complete, often none. httpx.HTTPError, StreamError."""
        frames = self.line.frames
        self._receiving = object()
        if not self.line.settled:  # and whoever interrupted may not have seen that this thread waits
            seconds = min(seconds, _SETTLE)
        try:
            with _as_httpx():
                data = self._wire.read(_READ_BYTES, seconds)
        finally:
            self._receiving = None
        messages = frames.receive(data)
        with self._writing:
            if replies := frames.replies():
                self._write(replies)
        if not messages and not frames.open:
            raise httpx.ReadError(_ENDED)
        return messages

    def interrupt(self) -> None:
        """End the current response; the connection goes when that can't be said or does not help."""
        message = self.line.interrupt() if self.line.frames.open else None
        if message is None:
            self.drop()
            return
        try:
            self.send(message)
        except (httpx.HTTPError, StreamError):
            self.drop()
            return
        if (waiting := self._receiving) is not None:
            impatience = threading.Timer(_GRACE, self._drop_if, [waiting])
            impatience.daemon = True
            impatience.start()

    def settle(self) -> bool:
        """Read to the end of an interrupted response, then what came while nobody read: pings, or the end.

        Whether the connection is still good.
        """
        until = time.monotonic() + _SETTLE
        try:
            while not self.line.settled:
                self.line.settle(self.receive(max(0.001, until - time.monotonic())))
            while self._wire.get_extra_info("is_readable"):
                with suppress(httpx.ReadTimeout):
                    self.receive(_GRACE)
        except (httpx.HTTPError, StreamError):
            return False
        return self.line.frames.open

    def close(self) -> None:
        if self.line.frames.open:
            with suppress(httpx.HTTPError), self._writing:
                self._write(self.line.frames.close())
        self.drop()

    def drop(self) -> None:
        """Break the connection; a thread that reads from it wakes up."""
        self.line.frames.open = False
        wire = self._wire.get_extra_info("socket")
        with suppress(OSError):
            socket.socket.shutdown(wire, socket.SHUT_RDWR)
        if self._receiving is None:
            self._answer.close()

    def _drop_if(self, waiting: object) -> None:
        if self._receiving is waiting:
            self.drop()

    def _write(self, data: bytes) -> None:
        with _as_httpx():
            self._wire.write(data, self._write_seconds)


class _Messages(httpx.SyncByteStream):
    """The messages of one response."""

    def __init__(
        self, socket: _Socket, first: list[str], exchange: Exchange, way: _SyncWay, *, idle: float
    ) -> None:
        self._socket = socket
        self._first = first
        self._exchange = exchange
        self._way = way
        self._idle = idle
        self._left = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        yield _as_sse(self._first)
        try:
            while not self._exchange.over and not self._left.is_set():
                messages = self._socket.receive(self._idle)
                if self._left.is_set():
                    self._socket.line.settle(messages)
                else:
                    yield _as_sse(messages) or _NO_EVENT
        except (httpx.HTTPError, StreamError):
            self._socket.drop()
            raise

    def leave(self) -> None:
        """End the response for both sides; from any thread."""
        if not self._left.is_set() and not self._exchange.over:
            self._left.set()
            self._socket.interrupt()

    def close(self) -> None:
        self.leave()
        self._way.leave(self._exchange)


class _SyncWay(_Way):
    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._socket: _Socket | None

    @property
    def is_open(self) -> bool:
        return self._socket is not None and self._socket.line.frames.open

    def close(self) -> None:
        self._closed = True
        if self._socket is not None:
            self._socket.close()

    def _send(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response:
        """An answer to read, by WebSocket where that is possible. Raises CodexError."""
        while outgoing.url.endswith("/responses"):
            try:
                answer = self._try(outgoing, exchange)
            except CodexError as failure:
                self._client._pause(failure, exchange)
                continue
            if answer is not None:
                return answer
            break
        if isinstance(outgoing, _WarmUp):
            return httpx.Response(200, stream=httpx.ByteStream(_NOTHING))
        sent: httpx.Response = self._client._send(outgoing, exchange)
        return sent

    def _try(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response | None:
        self._place.take(exchange)
        answer = None
        try:
            answer = self._ask(outgoing, exchange)
        except httpx.HTTPError as error:
            raise self._client._core.unreachable(error) from without_secrets(error)
        finally:
            if answer is None:
                self.leave(exchange)
                self._drop()
        return answer

    def _ask(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response | None:
        attempt = _Attempt()
        while (socket := self._connected_for(outgoing)) is not None:
            headers = socket.line.headers(outgoing)
            was_used = socket.line.used
            try:
                socket.send(socket.line.create(outgoing, exchange, whole=attempt.whole))
                first = self._first(socket, self.timeouts(outgoing).first_byte)
                verdict = judge(first)
            except (httpx.HTTPError, StreamError) as error:
                socket.drop()
                if not was_used or not _is_stale(error) or not attempt.helps(Verdict.RECONNECT, socket.line):
                    raise
                continue
            if not attempt.helps(verdict, socket.line):
                messages = _Messages(socket, first, exchange, self, idle=self.timeouts(outgoing).idle)
                return httpx.Response(
                    200, headers=headers, stream=messages, extensions={"interrupt": messages.leave}
                )
            if verdict is Verdict.RECONNECT:
                socket.close()
        return None

    def _first(self, socket: _Socket, seconds: float) -> list[str]:
        messages: list[str] = []
        deadline = time.monotonic() + seconds
        while judge(messages) is Verdict.WAIT:
            messages += socket.receive(_left_until(deadline))
        self.hear(messages)
        return messages

    def _connected_for(self, outgoing: _Outgoing) -> _Socket | None:
        """The open connection if it serves, else a new one; `None` when this client has none."""
        if self._socket is not None:
            if self._socket.line.serves(outgoing) and self._socket.settle():
                return self._socket
            self._drop()
        self._socket = self._open(outgoing)
        return self._socket

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self, outgoing: _Outgoing) -> _Socket | None:
        handshake = self.handshake(outgoing)
        if handshake is None:
            return None
        core: _Core = self._client._core
        http: httpx.Client = self._client._connected()
        request = core.build(http, _upgrade(outgoing, handshake, self.timeouts(outgoing)))
        try:
            answer = http.send(request, stream=True)
            if answer.status_code != 101:
                answer.read()
        except httpx.HTTPError as error:
            if not isinstance(error, _NO_CONNECTION):
                self.give_up(core.unreachable(error))
            return None
        line = self.line(handshake, answer, outgoing)
        if line is None:
            answer.close()
            return None
        return _Socket(answer, line, write_seconds=core.timeouts.write)


class Connection(Responses):
    """`client.responses` over one WebSocket, which the first request opens; a context manager.

    A stream that is closed before its end is interrupted, and the connection stays. One response at
    a time: a second request raises InvalidRequestError until the first one's stream is read or closed.
    """

    def __init__(self, client: Client) -> None:
        self._way = _SyncWay(client)
        super().__init__(cast(Client, self._way))

    @property
    def transport(self) -> str | None:
        """`websocket` or `http`; `None` before the first request."""
        return _transport(self._way.is_open, self.fallback)

    @property
    def fallback(self) -> CodexError | None:
        """Why this client uses HTTP instead; also logged, once."""
        return self._way._client._core.no_websocket  # type: ignore[no-any-return]  # a delegate is untyped

    @takes(Parameters)
    def warm_up(self, input: Any = (), **parameters: Unpack[Parameters]) -> Response:
        """Open the connection and send what is known by now, so that the first request is short.

        No model runs. The request that goes on from it has the same parameters and an `input` that
        begins with this one.
        """
        core = self._way._client._core
        default = None if parameters.get("model") else self._way._client.models.default().slug
        prepared = _WarmUp(**_fields(core.ask_for_response(input, parameters, default)))
        with ResponseStream(self._client, prepared, Exchange(core.retry)) as stream:
            return stream.get_final_response()

    def close(self) -> None:
        """End the connection, and a response that is running on it."""
        self._way.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _transport(is_open: bool, fallback: CodexError | None) -> str | None:
    if is_open:
        return "websocket"
    return "http" if fallback is not None else None


def _fields(outgoing: _Outgoing) -> dict[str, Any]:
    return {name: getattr(outgoing, name) for name in outgoing.__dataclass_fields__}


# Async -------------------------------------------------------------------------------------------


class _AsyncSocket:
    """An open WebSocket. One task reads; another may send, to end what the first one waits for."""

    def __init__(self, answer: httpx.Response, line: Line, *, write_seconds: float) -> None:
        self.line = line
        self._answer = answer
        self._wire = answer.extensions["network_stream"]
        self._write_seconds = write_seconds
        self._writing = asyncio.Lock()
        self._receiving: asyncio.Event | None = None

    async def send(self, message: str) -> None:
        async with self._writing:
            await self._write(self.line.frames.send(message))

    async def receive(self, seconds: float) -> list[str]:
        """As `_Socket.receive`."""
        frames = self.line.frames
        self._receiving = woken = asyncio.Event()
        try:
            with _as_httpx():
                data = await self._wire.read(_READ_BYTES, seconds)
        finally:
            self._receiving = None
            woken.set()
        messages = frames.receive(data)
        async with self._writing:
            if replies := frames.replies():
                await self._write(replies)
        if not messages and not frames.open:
            raise httpx.ReadError(_ENDED)
        return messages

    async def interrupt(self) -> None:
        """As `_Socket.interrupt`; waits for a task that reads, so that it sees the end."""
        message = self.line.interrupt() if self.line.frames.open else None
        if message is None:
            await self.drop()
            return
        try:
            await self.send(message)
            if (woken := self._receiving) is not None:
                await asyncio.wait_for(woken.wait(), _GRACE)
        except (httpx.HTTPError, StreamError, asyncio.TimeoutError):
            await self.drop()

    async def settle(self) -> bool:
        """As `_Socket.settle`."""
        until = time.monotonic() + _SETTLE
        try:
            while not self.line.settled:
                self.line.settle(await self.receive(max(0.001, until - time.monotonic())))
            while self._wire.get_extra_info("is_readable"):
                with suppress(httpx.ReadTimeout):
                    await self.receive(_GRACE)
        except (httpx.HTTPError, StreamError):
            return False
        return self.line.frames.open

    async def close(self) -> None:
        if self.line.frames.open:
            with suppress(httpx.HTTPError):
                async with self._writing:
                    await self._write(self.line.frames.close())
        await self.drop()

    async def drop(self) -> None:
        """Break the connection; a task that reads from it wakes up."""
        self.line.frames.open = False
        await self._answer.aclose()

    async def _write(self, data: bytes) -> None:
        with _as_httpx():
            await self._wire.write(data, self._write_seconds)


class _AsyncMessages(httpx.AsyncByteStream):
    """The messages of one response."""

    def __init__(
        self, socket: _AsyncSocket, first: list[str], exchange: Exchange, way: _AsyncWay, *, idle: float
    ) -> None:
        self._socket = socket
        self._first = first
        self._exchange = exchange
        self._way = way
        self._idle = idle
        self._left = threading.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield _as_sse(self._first)
        try:
            while not self._exchange.over and not self._left.is_set():
                messages = await self._socket.receive(self._idle)
                if self._left.is_set():
                    self._socket.line.settle(messages)
                else:
                    yield _as_sse(messages) or _NO_EVENT
        except (httpx.HTTPError, StreamError):
            await self._socket.drop()
            raise

    async def aclose(self) -> None:
        if not self._left.is_set() and not self._exchange.over:
            self._left.set()
            await self._socket.interrupt()
        self._way.leave(self._exchange)


class _AsyncWay(_Way):
    def __init__(self, client: AsyncClient) -> None:
        super().__init__(client)
        self._socket: _AsyncSocket | None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None and self._socket.line.frames.open

    async def close(self) -> None:
        self._closed = True
        if self._socket is not None:
            await self._socket.close()

    async def _send(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response:
        """As `_SyncWay._send`."""
        while outgoing.url.endswith("/responses"):
            try:
                answer = await self._try(outgoing, exchange)
            except CodexError as failure:
                await self._client._sleep(exchange.wait_after(failure))
                continue
            if answer is not None:
                return answer
            break
        if isinstance(outgoing, _WarmUp):
            return httpx.Response(200, stream=httpx.ByteStream(_NOTHING))
        sent: httpx.Response = await self._client._send(outgoing, exchange)
        return sent

    async def _try(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response | None:
        self._place.take(exchange)
        answer = None
        try:
            answer = await self._ask(outgoing, exchange)
        except httpx.HTTPError as error:
            raise self._client._core.unreachable(error) from without_secrets(error)
        finally:
            if answer is None:
                self.leave(exchange)
                await self._drop()
        return answer

    async def _ask(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response | None:
        attempt = _Attempt()
        while (socket := await self._connected_for(outgoing)) is not None:
            headers = socket.line.headers(outgoing)
            was_used = socket.line.used
            try:
                await socket.send(socket.line.create(outgoing, exchange, whole=attempt.whole))
                first = await self._first(socket, self.timeouts(outgoing).first_byte)
                verdict = judge(first)
            except (httpx.HTTPError, StreamError) as error:
                await socket.drop()
                if not was_used or not _is_stale(error) or not attempt.helps(Verdict.RECONNECT, socket.line):
                    raise
                continue
            if not attempt.helps(verdict, socket.line):
                messages = _AsyncMessages(socket, first, exchange, self, idle=self.timeouts(outgoing).idle)
                return httpx.Response(200, headers=headers, stream=messages)
            if verdict is Verdict.RECONNECT:
                await socket.close()
        return None

    async def _first(self, socket: _AsyncSocket, seconds: float) -> list[str]:
        messages: list[str] = []
        deadline = time.monotonic() + seconds
        while judge(messages) is Verdict.WAIT:
            messages += await socket.receive(_left_until(deadline))
        self.hear(messages)
        return messages

    async def _connected_for(self, outgoing: _Outgoing) -> _AsyncSocket | None:
        """As `_SyncWay._connected_for`."""
        if self._loop is not asyncio.get_running_loop():
            self._socket, self._loop = (
                None,
                asyncio.get_running_loop(),
            )  # one of an earlier loop ended with it
        if self._socket is not None:
            if self._socket.line.serves(outgoing) and await self._socket.settle():
                return self._socket
            await self._drop()
        self._socket = await self._open(outgoing)
        return self._socket

    async def _drop(self) -> None:
        if self._socket is not None:
            await self._socket.close()
            self._socket = None

    async def _open(self, outgoing: _Outgoing) -> _AsyncSocket | None:
        handshake = self.handshake(outgoing)
        if handshake is None:
            return None
        core: _Core = self._client._core
        http: httpx.AsyncClient = self._client._connected()
        request = core.build(http, _upgrade(outgoing, handshake, self.timeouts(outgoing)))
        try:
            answer = await http.send(request, stream=True)
            if answer.status_code != 101:
                await answer.aread()
        except httpx.HTTPError as error:
            if not isinstance(error, _NO_CONNECTION):
                self.give_up(core.unreachable(error))
            return None
        line = self.line(handshake, answer, outgoing)
        if line is None:
            await answer.aclose()
            return None
        return _AsyncSocket(answer, line, write_seconds=core.timeouts.write)


class AsyncConnection(AsyncResponses):
    """As `Connection`, for asyncio."""

    def __init__(self, client: AsyncClient) -> None:
        self._way = _AsyncWay(client)
        super().__init__(cast(AsyncClient, self._way))

    @property
    def transport(self) -> str | None:
        """As `Connection.transport`."""
        return _transport(self._way.is_open, self.fallback)

    @property
    def fallback(self) -> CodexError | None:
        """As `Connection.fallback`."""
        return self._way._client._core.no_websocket  # type: ignore[no-any-return]  # a delegate is untyped

    @takes(Parameters)
    async def warm_up(self, input: Any = (), **parameters: Unpack[Parameters]) -> Response:
        """As `Connection.warm_up`."""
        core = self._way._client._core
        default = None if parameters.get("model") else (await self._way._client.models.default()).slug
        prepared = _WarmUp(**_fields(core.ask_for_response(input, parameters, default)))
        async with AsyncResponseStream(self._client, prepared, Exchange(core.retry)) as stream:
            return await stream.get_final_response()

    async def aclose(self) -> None:
        """End the connection, and a response that is running on it."""
        await self._way.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
