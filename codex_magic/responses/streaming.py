"""The events of one response while they arrive, for threads and for asyncio.

Both streams let anyone end them at any moment. A thread that waits in `recv` is woken by shutting the
socket down (closing it would leave it waiting); a task is cancelled, and the cancellation caught here.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx

from ..net import without_secrets
from ..protocol.errors import CodexError, InvalidRequestError, ResponseAborted
from . import failures
from .events import Event, OutputTextDelta
from .exchange import Exchange
from .response import Response

if TYPE_CHECKING:
    from typing_extensions import Self

    from .client import AsyncClient, Client, _Outgoing

Send = Callable[["_Outgoing", Exchange], Awaitable[httpx.Response]]
"""What sends a request and returns its answer, unread. Raises CodexError."""

_LINGER = 0.25
"""Seconds to wait for the end of the bytes after the last event, so that the connection can be kept."""


class _Stream:
    """What a stream is, however its bytes are waited for."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._answer: httpx.Response | None = None
        self._network: Any = None
        self._batch: list[Event] = []
        self._closed = False
        self._aborted = False
        self._over = False
        self._process = os.getpid()

    @property
    def _is_parents(self) -> bool:
        """Whether this is a forked child, where nothing may be done to the connection."""
        return os.getpid() != self._process

    def _check_process(self) -> None:
        if self._is_parents:
            raise InvalidRequestError(
                "This answer belongs to the process that this one was forked from.",
                hint="Ask for one here: the client itself works in both.",
            )

    @property
    def response(self) -> Response:
        """What arrived so far."""
        return self._exchange.response

    @property
    def output_text(self) -> str:
        """The text that arrived so far."""
        return self._exchange.response.output_text

    def _abort(self) -> bool:
        """Whether there was something to abort."""
        if self._over or self._aborted or self._is_parents:
            return False
        self._aborted = True
        self._exchange.ended.set()
        self._batch.clear()  # the reader is iterating over it, and ends there
        self._shut()
        return True

    def let_go(self) -> list[Event]:
        """What was held back of an answer that is read no further."""
        return self._exchange.let_go()

    def _final(self) -> Response:
        """The whole response. Raises what it ended with."""
        if self._aborted:
            self.let_go()
            raise ResponseAborted(response=self.response)
        return self._exchange.finish()

    def _received(self, answer: httpx.Response) -> None:
        self._answer = answer
        self._network = answer.extensions.get("network_stream")
        self._exchange.begin(answer.headers)

    def _shut(self) -> None:
        """End the connection under whoever waits for it.

        After the last byte it may serve another request, so it is let go by then.
        """
        wire = self._network.get_extra_info("socket") if self._network is not None else None
        with suppress(OSError):
            if isinstance(wire, socket.socket):
                socket.socket.shutdown(
                    wire, socket.SHUT_RDWR
                )  # a TLS socket's own would end only the encryption
            elif wire is not None:
                wire.shutdown(socket.SHUT_RDWR)


def _is_encoded(answer: httpx.Response) -> bool:
    return "content-encoding" in answer.headers


class ResponseStream(_Stream):
    """The events of one response as they arrive; a context manager.

    `close()` ends it quietly, `abort()` with a ResponseAborted for whoever reads; both may be called from
    any thread. A second `response.created` means that an attempt failed before anything visible came and
    another has begun.
    """

    def __init__(self, client: Client, outgoing: _Outgoing, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._client = client
        self._outgoing = outgoing
        self._reading = threading.RLock()
        self._chunks: Iterator[bytes]
        self._events = self._deliver()
        client._watch(self)

    def text_deltas(self) -> Iterator[str]:
        """The text alone, piece by piece."""
        return (event.delta for event in self._events if isinstance(event, OutputTextDelta))

    def until_done(self) -> Self:
        """Read to the end. Raises what the response failed with."""
        self.get_final_response()
        return self

    def get_final_response(self) -> Response:
        """Read to the end. Raises what the response failed with, StreamError if it was closed before."""
        for _ in self._events:
            pass
        return self._final()

    def abort(self) -> None:
        """End it now, at the service too; whoever reads gets ResponseAborted. Harmless when over."""
        if self._abort():
            self._let_go()

    def close(self) -> None:
        """End it now; a thread that waits for the next event sees the iteration end."""
        if self._is_parents:
            return
        self._closed = True
        self._exchange.ended.set()  # before the reader wakes, so that it asks for nothing more
        self._shut()
        self._let_go()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> Self:
        self._ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _let_go(self) -> None:
        with self._reading:
            self._drop()

    def _drop(self) -> None:
        if self._answer is not None:
            self._answer.close()

    def _deliver(self) -> Iterator[Event]:
        while (events := self._next_events()) is not None:
            self._batch = events
            yield from events

    def _next_events(self) -> list[Event] | None:
        while self._ready():
            try:
                return self._read()
            except CodexError as failure:
                self._failed(failure)
        self._drop()
        return None

    def _ready(self) -> bool:
        """Whether there is an answer to read. Raises ResponseAborted, and what can't be mended by waiting."""
        self._check_process()
        while not self._closed:
            if self._aborted and not self._over:
                self._drop()
                self.let_go()
                raise ResponseAborted(response=self.response)
            if self._answer is not None:
                return True
            try:
                self._open()
            except CodexError:
                if not self._exchange.ended.is_set():
                    raise
        return False

    def _open(self) -> None:
        answer = self._client._send(self._outgoing, self._exchange)
        self._received(answer)
        self._chunks = answer.iter_bytes() if _is_encoded(answer) else answer.iter_raw()

    def _failed(self, failure: CodexError) -> None:
        """Wait before another attempt. Raises the failure when there is none."""
        self._drop()
        self._answer = self._network = None
        if not self._exchange.ended.is_set():
            self._client._pause(failure, self._exchange)

    def _read(self) -> list[Event] | None:
        if self._exchange.over:
            self._exchange.finish()
            self._over = True
            self._linger()
            return None
        chunk = self._next_chunk()
        idle = self._client._core.idle(self._outgoing)
        events = self._exchange.end() if chunk is None else self._exchange.feed(chunk, idle=idle)
        self._client._core.remember(self._outgoing, self._exchange)
        return events

    def _next_chunk(self) -> bytes | None:
        with self._reading:
            try:
                chunk = next(self._chunks, None)
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise failures.mid_stream(error) from without_secrets(error)
            if chunk is None:
                self._network = None
            return chunk

    def _linger(self) -> None:
        hurry = threading.Timer(_LINGER, self._shut)
        hurry.daemon = True
        hurry.start()
        try:
            while self._next_chunk() is not None:
                pass
        except CodexError:
            self._drop()
        finally:
            hurry.cancel()


class AsyncResponseStream(_Stream):
    """The events of one response as they arrive; an async context manager. Cancelling the reader closes it.

    `abort()` may be called from any thread or task. Otherwise as `ResponseStream`.
    """

    def __init__(
        self,
        client: AsyncClient,
        outgoing: _Outgoing | None,
        exchange: Exchange,
        prepare: Callable[[], Awaitable[_Outgoing]] | None = None,
        *,
        send: Send | None = None,
    ) -> None:
        """`prepare` makes the request when it is needed, in place of `outgoing`; `send` in place of the client."""
        super().__init__(exchange)
        self._client = client
        self._send = send or client._send
        self._outgoing = outgoing
        self._prepare = prepare
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: asyncio.Task[Any] | None = None
        self._woken = False
        self._chunks: AsyncIterator[bytes]
        self._events = self._deliver()
        client._watch(self)

    async def text_deltas(self) -> AsyncIterator[str]:
        """The text alone, piece by piece."""
        async for event in self._events:
            if isinstance(event, OutputTextDelta):
                yield event.delta

    async def until_done(self) -> Self:
        """Read to the end. Raises what the response failed with."""
        await self.get_final_response()
        return self

    async def get_final_response(self) -> Response:
        """Read to the end. Raises what the response failed with, StreamError if it was closed before."""
        async for _ in self._events:
            pass
        return self._final()

    def abort(self) -> None:
        """End it now, at the service too; whoever reads gets ResponseAborted. Harmless when over."""
        if self._abort() and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                self._loop.call_soon_threadsafe(self._wake)

    async def aclose(self) -> None:
        """End it now; a task that waits for the next event sees the iteration end."""
        if self._is_parents:
            return
        self._closed = True
        await self._drop()
        if self._answer is None:
            self._wake()

    close = aclose

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def __aenter__(self) -> Self:
        await self._ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _drop(self) -> None:
        if self._answer is not None:
            await self._answer.aclose()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._woken = True
            self._waiting.cancel()

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """A wait that `abort()` and `aclose()` may end, by cancelling the task; a foreign cancellation passes."""
        self._loop = asyncio.get_running_loop()
        self._waiting = task = asyncio.current_task()
        try:
            yield
        except asyncio.CancelledError:
            if not self._woken or _is_cancelled_by_others(task):
                raise
        finally:
            self._waiting = None

    async def _deliver(self) -> AsyncIterator[Event]:
        while (events := await self._next_events()) is not None:
            self._batch = events
            for event in events:
                yield event

    async def _next_events(self) -> list[Event] | None:
        while await self._ready():
            try:
                return await self._read()
            except CodexError as failure:
                await self._failed(failure)
        await self._drop()
        return None

    async def _ready(self) -> bool:
        """Whether there is an answer to read. Raises ResponseAborted, and what can't be mended by waiting."""
        self._check_process()
        while not self._closed:
            if self._aborted and not self._over:
                await self._drop()
                self.let_go()
                raise ResponseAborted(response=self.response)
            if self._answer is not None:
                return True
            with self._interruptible():
                await self._open()
        return False

    async def _open(self) -> None:
        if self._outgoing is None:
            assert self._prepare is not None
            self._outgoing = await self._prepare()
        answer = await self._send(self._outgoing, self._exchange)
        self._received(answer)
        self._chunks = answer.aiter_bytes() if _is_encoded(answer) else answer.aiter_raw()

    async def _failed(self, failure: CodexError) -> None:
        """Wait before another attempt. Raises the failure when there is none."""
        await self._drop()
        self._answer = self._network = None
        if not (self._closed or self._aborted):
            with self._interruptible():
                await self._client._sleep(self._exchange.wait_after(failure))

    async def _read(self) -> list[Event] | None:
        if self._exchange.over:
            self._exchange.finish()
            self._over = True
            await self._linger()
            return None
        events: list[Event] = []
        with self._interruptible():
            chunk = await self._next_chunk()
            idle = self._client._core.idle(self._outgoing)
            events = self._exchange.end() if chunk is None else self._exchange.feed(chunk, idle=idle)
        if self._outgoing is not None:
            self._client._core.remember(self._outgoing, self._exchange)
        return events

    async def _next_chunk(self) -> bytes | None:
        try:
            chunk = await anext(self._chunks, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise failures.mid_stream(error) from without_secrets(error)
        if chunk is None:
            self._network = None
        return chunk

    async def _linger(self) -> None:
        try:
            await asyncio.wait_for(self._drain(), _LINGER)
        except (CodexError, asyncio.TimeoutError):
            await self._drop()

    async def _drain(self) -> None:
        while await self._next_chunk() is not None:
            pass


def _is_cancelled_by_others(task: asyncio.Task[Any] | None) -> bool:
    """Besides by us, which is taken back here. Before Python 3.11 tasks do not count them."""
    return sys.version_info >= (3, 11) and task is not None and task.uncancel() > 0
