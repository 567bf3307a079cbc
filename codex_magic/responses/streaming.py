"""The events of one response while they arrive. Anyone may end a stream at any moment, from any thread."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import httpx

from ..protocol.errors import CodexError, InvalidRequestError, ResponseAborted
from ..waiting import Direct, blocking
from .events import Event, OutputTextDelta
from .exchange import Exchange
from .response import Response
from .transport import Line, Outgoing, Transport

Send = Callable[[Outgoing, Exchange, Line], Awaitable[httpx.Response]]
"""What sends a request and returns its answer, unread. Raises CodexError."""

Route = Callable[[Outgoing], Send]
"""What chooses how a request is sent."""

_LINGER = 0.25  # seconds to wait for the end of the bytes after the last event: then the connection is kept
_PIECES = 4  # such waits, for what some servers say after the end


class _Arriving:
    """What is known of a response while it arrives."""

    _exchange: Exchange

    @property
    def response(self) -> Response:
        """The response as far as it has arrived."""
        return self._exchange.response

    @property
    def output_text(self) -> str:
        """The text as far as it has arrived."""
        return self._exchange.response.output_text


class AsyncResponseStream(_Arriving):
    """The events of one response as they arrive; an async context manager. Cancelling the reader closes it.

    `aclose()` ends it quietly, `abort()` with a ResponseAborted for whoever reads; `abort()` may be called from
    any thread or task. A second `response.created` means that an attempt failed before anything visible came
    and another has begun.
    """

    def __init__(
        self,
        transport: Transport,
        exchange: Exchange,
        make_request: Callable[[], Awaitable[Outgoing]],
        route: Route | None = None,
        switch: Callable[[Outgoing, CodexError], Awaitable[bool]] | None = None,
    ) -> None:
        """`switch` says of a failed request whether it is made anew; without a `route` the transport sends it."""
        self._transport, self._exchange = transport, exchange
        self._make_request, self._route, self._switch = make_request, route, switch
        self._refused: tuple[str | None, CodexError] | None = None  # which model, and why, if asked anew
        self._outgoing: Outgoing | None = None
        self._line = Line(transport, exchange.ended)
        self._batch: list[Event] = []
        self._closed = self._aborted = False
        self._over = False  # the response came to its end
        self._ended = False  # the reader has seen the end, whatever it was
        self._process = os.getpid()
        self._events = self._deliver()
        transport.watch(self)

    async def text_deltas(self) -> AsyncIterator[str]:
        """The text alone, piece by piece."""
        async for event in self._events:
            if isinstance(event, OutputTextDelta):
                yield event.delta

    async def until_done(self) -> AsyncResponseStream:
        """Read to the end. Raises what the response failed with."""
        await self.get_final_response()
        return self

    async def get_final_response(self) -> Response:
        """Read to the end. Raises what the response failed with, StreamError if it was closed before."""
        while await self.next_events() is not None:
            pass
        if self._aborted:
            self.let_go()
            raise ResponseAborted(response=self.response)
        return self._exchange.finish()

    def abort(self) -> None:
        """End it now, at the service too; whoever reads gets ResponseAborted. Harmless when over."""
        if self._over or self._aborted or self._is_parents:
            return
        self._aborted = True
        self._batch.clear()  # whoever iterates over it ends there
        self._line.abort()

    async def aclose(self) -> None:
        """End it now; whoever waits for the next event sees the iteration end."""
        if self._is_parents:
            return
        self._closed = True
        self._batch.clear()
        self._line.abort()
        await self._line.close()

    close = aclose

    def let_go(self) -> list[Event]:
        """Return what was held back of an answer that is read no further."""
        return self._exchange.let_go()

    async def prepare(self) -> Outgoing:
        """Make the request, which is sent when the first event is read. Raises InvalidRequestError."""
        if self._outgoing is None:
            self._outgoing = await self._make_request()
        return self._outgoing

    async def open(self) -> bool:
        """Send the request, unless that was done; return whether there is an answer to read. Raises CodexError."""
        if self._is_parents:
            what = "This answer belongs to the process that this one was forked from."
            raise InvalidRequestError(what, hint="Ask for one here: the client itself works in both.")
        while not self._closed:
            if self._aborted and not self._over:
                await self._line.close()
                self.let_go()
                raise ResponseAborted(response=self.response)
            if self._line.answer is not None:
                return True
            try:
                with self._line:
                    outgoing = await self.prepare()
                    send = self._route(outgoing) if self._route else self._transport.send
                    answer = await send(outgoing, self._exchange, self._line)
                    self._line.take(answer)
                    self._exchange.begin(answer.headers)
            except CodexError as failure:
                if not await self._is_made_anew(failure) and not self._exchange.ended.is_set():
                    raise
        return False

    async def _is_made_anew(self, failure: CodexError) -> bool:
        """Whether a refused request is asked once more, in the other dialect; that refused too, the first counts."""
        if self._refused is not None:
            model, refusal = self._refused
            self._transport.core.dialects.pop(model, None)
            if isinstance(failure, InvalidRequestError):
                raise refusal
            return False
        if self._outgoing is None or self._switch is None or not await self._switch(self._outgoing, failure):
            return False
        self._refused, self._outgoing = (self._outgoing.model, failure), None
        return True

    async def next_events(self) -> list[Event] | None:
        """Return what the next piece of the answer holds, `None` after the last one; all before is left out."""
        self._batch.clear()
        events = None
        try:
            if not self._ended:
                events = await self._read_on()
            return events
        finally:
            self._batch, self._ended = events or [], events is None

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def __aenter__(self) -> AsyncResponseStream:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _deliver(self) -> AsyncIterator[Event]:
        while (events := await self.next_events()) is not None:
            for event in events:
                yield event

    @property
    def _is_parents(self) -> bool:
        """Whether this is a forked child, where nothing may be done to the connection."""
        return os.getpid() != self._process

    async def _read_on(self) -> list[Event] | None:
        while await self.open():
            try:
                return await self._read()
            except CodexError as failure:
                await self._line.close()
                self._line.answer = None
                if self._exchange.ended.is_set():
                    continue
                with self._line:
                    if self._exchange.visible or not await self._is_made_anew(failure):
                        await self._transport.sleep(self._exchange.wait_after(failure), self._exchange)
        await self._line.close()
        return None

    async def _read(self) -> list[Event] | None:
        if self._exchange.over:
            self._exchange.finish()
            self._over = True
            for _ in range(_PIECES):
                if await self._next_at_once() is None:
                    break
            await self._line.close()
            return None
        outgoing = await self.prepare()
        events: list[Event] = []
        with self._line:
            chunk = await (self._next_at_once() if self._exchange.lacks_reason else self._line.chunk())
            idle = self._transport.core.limits(outgoing).idle
            events = self._exchange.end() if chunk is None else self._exchange.feed(chunk, idle=idle)
        self._transport.core.remember(outgoing, self._exchange)
        return events

    async def _next_at_once(self) -> bytes | None:
        """Return the next bytes, `None` when they do not come at once."""
        limit = self._line.limit(_LINGER)
        try:
            return await self._line.chunk()
        except CodexError:
            return None
        finally:
            limit.cancel()


class ResponseStream(_Arriving, Direct[AsyncResponseStream]):
    """The events of one response as they arrive; a context manager.

    `close()` ends it quietly, `abort()` with a ResponseAborted for whoever reads; both may be called from
    any thread. A second `response.created` means that an attempt failed before anything visible came and
    another has begun.
    """

    def __init__(self, asynchronous: AsyncResponseStream) -> None:
        super().__init__(asynchronous)
        self._exchange = asynchronous._exchange
        self._events = self._deliver()

    def text_deltas(self) -> Iterator[str]:
        """The text alone, piece by piece."""
        return (event.delta for event in self._events if isinstance(event, OutputTextDelta))

    def until_done(self) -> ResponseStream:
        """Read to the end. Raises what the response failed with."""
        self.get_final_response()
        return self

    get_final_response = blocking(AsyncResponseStream.get_final_response)
    close = blocking(AsyncResponseStream.aclose)

    def abort(self) -> None:
        """End it now, at the service too; whoever reads gets ResponseAborted. Harmless when over."""
        self.asynchronous.abort()

    def _deliver(self) -> Iterator[Event]:
        while (events := self._block_on(self.asynchronous.next_events())) is not None:
            yield from events

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> ResponseStream:
        self._block_on(self.asynchronous.open())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
