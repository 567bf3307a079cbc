"""`Client` and `AsyncClient`: the loops that move bytes, and nothing else.

What is sent, what an answer means, when to ask again and what a stream has brought so far is
decided in the modules beside this one; both clients only carry it out.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, overload

import httpx

from ..auth.http import ChatGPTAuth
from ..auth.network import no_answer, readable_proxies, trust
from ..auth.sign_in import LoginHandler
from ..protocol.errors import CodexError, ConfigurationError
from ..protocol.ids import new_id
from ..protocol.settings import Settings
from . import failures
from .catalog import FRESH, Catalog, Model, default_model, find_model
from .events import Event
from .exchange import Exchange, OnRetry
from .limits import MAIN, from_headers
from .provider import Provider
from .request import Item, Parameters, build_body, session_headers
from .response import Response
from .retry import PATIENT, RetryPolicy

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..protocol.types import RateLimits
    from .audio import AsyncAudio, Audio
    from .images import AsyncImages, Images
    from .realtime import AsyncRealtime, Realtime
    from .usage import Usage

_LINGER = 0.25
"""Seconds to wait for the end of the bytes after the last event, so that the connection can be kept."""

_A_DAY = 86400.0
"""Seconds after which a remembered default model is asked for anew before it is used."""


@dataclass(frozen=True)
class Timeouts:
    """Seconds. There is no limit on the whole: an answer may take as long as it goes on."""

    connect: float = 15.0
    first_byte: float = 60.0
    """Until the answer begins. Shorter limits hit users whose model was thinking."""
    idle: float = 300.0
    """Between two reads of a stream."""
    write: float = 60.0


@dataclass(frozen=True)
class _Outgoing:
    """A request, before any HTTP library has seen it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes = b""
    model: str | None = None
    patience: float | None = None
    """Seconds until the answer begins; `None`: the client's `first_byte`."""


class _Core:
    """What the two clients have in common: everything but IO."""

    def __init__(
        self,
        provider: Provider,
        settings: Settings | None,
        timeouts: Timeouts,
        retry: RetryPolicy,
        login_handler: LoginHandler | None,
    ) -> None:
        self.provider = provider
        self.settings = settings or Settings.from_env()
        self.timeouts = timeouts
        self.retry = retry
        self.catalog = Catalog(provider, self.settings)
        self.session = new_id()
        self.rate_limits: RateLimits | None = None
        self.auth = provider.auth
        if login_handler is not None and isinstance(provider.auth, ChatGPTAuth):
            self.auth = provider.auth.asking(login_handler, self.settings)

    def http_options(self) -> dict[str, Any]:
        """The arguments for `httpx.Client` and its async twin."""
        seconds = self.timeouts
        return {
            "auth": self.auth,
            "headers": self.provider.headers,
            "timeout": httpx.Timeout(
                connect=seconds.connect, read=seconds.first_byte, write=seconds.write, pool=seconds.connect
            ),
            "verify": trust(self.provider.base_url, self.settings.ca_bundle),
            "limits": httpx.Limits(max_connections=None, keepalive_expiry=60.0),
        }

    def ask_for_response(
        self, input: str | Sequence[Item], parameters: Parameters, default: str | None
    ) -> _Outgoing:
        model = parameters.get("model") or default
        session = parameters.get("prompt_cache_key") or self.session
        parameters = {**parameters, "model": model, "prompt_cache_key": session}
        return _Outgoing(
            "POST",
            f"{self.provider.base_url}/responses",
            {
                "Accept": "text/event-stream",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                **session_headers(session, parameters.get("turn_state")),
            },
            build_body(input, parameters, self.provider.rules),
            model,
        )

    def ask_for_models(self) -> _Outgoing:
        return _Outgoing("GET", self.catalog.url, {"Accept": "application/json"})

    def build(self, http: httpx.Client | httpx.AsyncClient, outgoing: _Outgoing) -> httpx.Request:
        request = http.build_request(
            outgoing.method, outgoing.url, headers=outgoing.headers, content=outgoing.body or None
        )
        if outgoing.patience is not None:
            request.extensions["timeout"]["read"] = outgoing.patience
        return request

    def accepts(self, answer: httpx.Response) -> bool:
        """Whether it is an answer to read: the real stream has no Content-Type, a network's sign-in page has."""
        self.hear(answer.headers)
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        if answer.status_code not in (200, 201) or is_page:
            return False
        # From here on the idle limit counts; httpx has one read limit for all, held in the request.
        answer.request.extensions["timeout"]["read"] = self.timeouts.idle
        return True

    def hear(self, headers: Mapping[str, str]) -> None:
        """What every answer tells beside itself, refusals too. Safe from any thread."""
        self.rate_limits = from_headers(headers, now=time.time()).get(MAIN, self.rate_limits)
        self.catalog.announce(headers.get("x-models-etag"))

    def unreachable(self, error: httpx.HTTPError) -> CodexError:
        return no_answer(error, base_url=self.provider.base_url)

    def refusal(self, outgoing: _Outgoing, answer: httpx.Response) -> CodexError:
        if outgoing.url == self.catalog.url and answer.status_code in (404, 405):
            return ConfigurationError("The service lists no models.", hint="Choose one with --model NAME.")
        return failures.from_answer(
            answer.status_code,
            answer.headers,
            answer.content,
            model=outgoing.model,
            names=self.catalog.names(),
        )


# Sync --------------------------------------------------------------------------------------------


class Client:
    """Responses and models of one provider. Connections are kept; `close()` ends them.

    `login_handler` is called when a request finds no ChatGPT sign-in: with a link for the user to
    open, to give back the address at which their browser ended.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        settings: Settings | None = None,
        timeouts: Timeouts = Timeouts(),
        retry: RetryPolicy = PATIENT,
        sleep: Callable[[float], None] = time.sleep,
        login_handler: LoginHandler | None = None,
    ) -> None:
        self.provider = provider
        self.responses = Responses(self)
        self.models = Models(self)
        self._core = _Core(provider, settings, timeouts, retry, login_handler)
        self._sleep = sleep
        self._http: httpx.Client | None = None
        self._building = threading.Lock()

    def close(self) -> None:
        with self._building:
            if self._http is not None:
                self._http.close()
                self._http = None

    @property
    def rate_limits(self) -> RateLimits | None:
        """What the latest answer's headers said is left of the plan; `None` when none said."""
        return self._core.rate_limits

    @cached_property
    def images(self) -> Images:
        from .images import Images

        return Images(self)

    @cached_property
    def audio(self) -> Audio:
        from .audio import Audio

        return Audio(self)

    @cached_property
    def realtime(self) -> Realtime:
        from .realtime import Realtime

        return Realtime(self)

    def usage(self) -> Usage:
        """What is left of the ChatGPT plan, asked of the service. Raises CodexError."""
        from .usage import ask_for_usage, usage_of

        return usage_of(self._fetch(ask_for_usage(self._core)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self, outgoing: _Outgoing) -> httpx.Response:
        """A whole answer."""
        answer = self._send(outgoing, Exchange(self._core.retry))
        try:
            answer.read()
        except httpx.HTTPError as error:
            raise self._core.unreachable(error) from error
        return answer

    def _send(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response:
        """An answer with status 200, its body unread."""
        while True:
            try:
                return self._try(outgoing)
            except CodexError as failure:
                self._sleep(exchange.wait_after(failure))

    def _try(self, outgoing: _Outgoing) -> httpx.Response:
        http = self._connected()
        try:
            answer = http.send(self._core.build(http, outgoing), stream=True)
            if self._core.accepts(answer):
                return answer
            answer.read()
        except httpx.HTTPError as error:
            raise self._core.unreachable(error) from error
        raise self._core.refusal(outgoing, answer)

    def _connected(self) -> httpx.Client:
        with self._building:
            if self._http is None:
                with readable_proxies():
                    self._http = httpx.Client(**self._core.http_options())
            return self._http


class Models:
    """`client.models`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, force_refresh: bool = False, max_age: float = FRESH) -> list[Model]:
        """The provider's models, best first, the hidden ones too (`model.hidden`).

        Asked for unless the remembered ones are at most `max_age` seconds old and the service has not
        said that there are others now. Raises CodexError.
        """
        core = self._client._core
        known = None if force_refresh else core.catalog.remembered(max_age=max_age)
        if known is not None:
            return known
        answer = self._client._fetch(core.ask_for_models())
        return core.catalog.receive(answer.headers, answer.content)

    def retrieve(self, model: str) -> Model:
        """What the catalog says of one model. Raises ModelNotFoundError, whose `near` are the closest names."""
        known = self._client._core.catalog.remembered(max_age=FRESH) or []
        if not any(each.slug == model for each in known):
            known = self.list(force_refresh=True)
        return find_model(known, model)

    def default(self, *, max_age: float = _A_DAY) -> Model:
        """The catalog's default. Raises ConfigurationError when it has none."""
        return default_model(self.list(max_age=max_age))


class Responses:
    """`client.responses`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @overload
    def create(
        self,
        input: str | Sequence[Item],
        *,
        stream: Literal[False] = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> Response: ...

    @overload
    def create(
        self,
        input: str | Sequence[Item],
        *,
        stream: Literal[True],
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> ResponseStream: ...

    def create(
        self,
        input: str | Sequence[Item],
        *,
        stream: bool = False,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> Response | ResponseStream:
        """Ask for a response: `input` is a text or a list of items, `parameters` those of `Parameters`.

        Without `model` the catalog's default is used, without `prompt_cache_key` this client's own
        session; `extra_body` is merged into the request as it is. Failures are retried until
        something visible was delivered; `on_retry` is told before each wait. Raises CodexError,
        whose `response` is what had arrived.
        """
        core = self._client._core
        default = None if parameters.get("model") else self._client.models.default().slug
        outgoing = core.ask_for_response(input, parameters, default)
        opened = ResponseStream(self._client, outgoing, Exchange(core.retry, on_retry))
        if stream:
            return opened
        with opened:
            return opened.get_final_response()


class ResponseStream:
    """The events of one response as they arrive. `close()` may be called from any thread.

    A second `response.created` means that an attempt failed before anything visible came and
    another has begun.
    """

    def __init__(self, client: Client, outgoing: _Outgoing, exchange: Exchange) -> None:
        self._client = client
        self._outgoing = outgoing
        self._exchange = exchange
        self._closed = False
        self._reading = threading.RLock()
        self._answer: httpx.Response
        self._chunks: Iterator[bytes]
        self._network: Any
        self._events = self._deliver()
        self._open()

    @property
    def response(self) -> Response:
        """What arrived so far."""
        return self._exchange.response

    def get_final_response(self) -> Response:
        """Read to the end. Raises what the response failed with, StreamError if it was closed before."""
        for _ in self._events:
            pass
        return self._exchange.finish()

    def close(self) -> None:
        """End it now; a thread that waits for the next event sees the iteration end."""
        self._closed = True
        self._shut()
        with self._reading:
            self._answer.close()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def __next__(self) -> Event:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _deliver(self) -> Iterator[Event]:
        while (events := self._next_events()) is not None:
            yield from events

    def _next_events(self) -> list[Event] | None:
        while not self._closed:
            try:
                return self._read()
            except CodexError as failure:
                self._answer.close()
                if not self._closed:
                    self._client._sleep(self._exchange.wait_after(failure))
                    self._open()
        self._answer.close()
        return None

    def _read(self) -> list[Event] | None:
        if self._exchange.over:
            self._exchange.finish()
            self._linger()
            return None
        chunk = self._next_chunk()
        return self._exchange.end() if chunk is None else self._exchange.feed(chunk)

    def _next_chunk(self) -> bytes | None:
        with self._reading:
            try:
                chunk = next(self._chunks, None)
            except (httpx.HTTPError, httpx.StreamError) as error:
                raise failures.mid_stream(error) from error
            if chunk is None:
                self._network = None
            return chunk

    def _open(self) -> None:
        self._answer = self._client._send(self._outgoing, self._exchange)
        self._network = self._answer.extensions.get("network_stream")
        self._exchange.begin(self._answer.headers)
        encoded = "content-encoding" in self._answer.headers
        self._chunks = self._answer.iter_bytes() if encoded else self._answer.iter_raw()

    def _linger(self) -> None:
        hurry = threading.Timer(_LINGER, self._shut)
        hurry.daemon = True
        hurry.start()
        try:
            while self._next_chunk() is not None:
                pass
        except CodexError:
            self._answer.close()
        finally:
            hurry.cancel()

    def _shut(self) -> None:
        """Wake a thread that waits in `recv`; closing the socket would leave it waiting.

        After the last byte the connection may serve another request, so it is let go by then.
        """
        wire = self._network.get_extra_info("socket") if self._network is not None else None
        if wire is not None:
            with suppress(OSError):
                socket.socket.shutdown(wire, socket.SHUT_RDWR)


# Async -------------------------------------------------------------------------------------------


class AsyncClient:
    """Responses and models of one provider, for asyncio. Connections are kept; `aclose()` ends them.

    `login_handler` as in `Client`; it is called in a thread of its own.
    """

    def __init__(
        self,
        provider: Provider,
        *,
        settings: Settings | None = None,
        timeouts: Timeouts = Timeouts(),
        retry: RetryPolicy = PATIENT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        login_handler: LoginHandler | None = None,
    ) -> None:
        self.provider = provider
        self.responses = AsyncResponses(self)
        self.models = AsyncModels(self)
        self._core = _Core(provider, settings, timeouts, retry, login_handler)
        self._sleep = sleep
        self._http: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()

    @property
    def rate_limits(self) -> RateLimits | None:
        """What the latest answer's headers said is left of the plan; `None` when none said."""
        return self._core.rate_limits

    @cached_property
    def images(self) -> AsyncImages:
        from .images import AsyncImages

        return AsyncImages(self)

    @cached_property
    def audio(self) -> AsyncAudio:
        from .audio import AsyncAudio

        return AsyncAudio(self)

    @cached_property
    def realtime(self) -> AsyncRealtime:
        from .realtime import AsyncRealtime

        return AsyncRealtime(self)

    async def usage(self) -> Usage:
        """What is left of the ChatGPT plan, asked of the service. Raises CodexError."""
        from .usage import ask_for_usage, usage_of

        return usage_of(await self._fetch(ask_for_usage(self._core)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _fetch(self, outgoing: _Outgoing) -> httpx.Response:
        """A whole answer."""
        answer = await self._send(outgoing, Exchange(self._core.retry))
        try:
            await answer.aread()
        except httpx.HTTPError as error:
            raise self._core.unreachable(error) from error
        return answer

    async def _send(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response:
        """An answer with status 200, its body unread."""
        while True:
            try:
                return await self._try(outgoing)
            except CodexError as failure:
                await self._sleep(exchange.wait_after(failure))

    async def _try(self, outgoing: _Outgoing) -> httpx.Response:
        http = self._connected()
        try:
            answer = await http.send(self._core.build(http, outgoing), stream=True)
            if self._core.accepts(answer):
                return answer
            await answer.aread()
        except httpx.HTTPError as error:
            raise self._core.unreachable(error) from error
        raise self._core.refusal(outgoing, answer)

    def _connected(self) -> httpx.AsyncClient:
        if self._http is None:
            with readable_proxies():
                self._http = httpx.AsyncClient(**self._core.http_options())
        return self._http


class AsyncModels:
    """`client.models`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def list(self, *, force_refresh: bool = False, max_age: float = FRESH) -> list[Model]:
        """The provider's models, best first, the hidden ones too (`model.hidden`).

        Asked for unless the remembered ones are at most `max_age` seconds old and the service has not
        said that there are others now. Raises CodexError.
        """
        core = self._client._core
        known = None if force_refresh else core.catalog.remembered(max_age=max_age)
        if known is not None:
            return known
        answer = await self._client._fetch(core.ask_for_models())
        return core.catalog.receive(answer.headers, answer.content)

    async def retrieve(self, model: str) -> Model:
        """What the catalog says of one model. Raises ModelNotFoundError, whose `near` are the closest names."""
        known = self._client._core.catalog.remembered(max_age=FRESH) or []
        if not any(each.slug == model for each in known):
            known = await self.list(force_refresh=True)
        return find_model(known, model)

    async def default(self, *, max_age: float = _A_DAY) -> Model:
        """The catalog's default. Raises ConfigurationError when it has none."""
        return default_model(await self.list(max_age=max_age))


class AsyncResponses:
    """`client.responses`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    @overload
    async def create(
        self,
        input: str | Sequence[Item],
        *,
        stream: Literal[False] = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> Response: ...

    @overload
    async def create(
        self,
        input: str | Sequence[Item],
        *,
        stream: Literal[True],
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> AsyncResponseStream: ...

    async def create(
        self,
        input: str | Sequence[Item],
        *,
        stream: bool = False,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> Response | AsyncResponseStream:
        """As `Responses.create`."""
        core = self._client._core
        default = None if parameters.get("model") else (await self._client.models.default()).slug
        outgoing = core.ask_for_response(input, parameters, default)
        opened = AsyncResponseStream(self._client, outgoing, Exchange(core.retry, on_retry))
        await opened._open()
        if stream:
            return opened
        async with opened:
            return await opened.get_final_response()


class AsyncResponseStream:
    """The events of one response as they arrive. Cancelling the reader closes the connection.

    A second `response.created` means that an attempt failed before anything visible came and
    another has begun.
    """

    def __init__(self, client: AsyncClient, outgoing: _Outgoing, exchange: Exchange) -> None:
        self._client = client
        self._outgoing = outgoing
        self._exchange = exchange
        self._closed = False
        self._answer: httpx.Response
        self._chunks: AsyncIterator[bytes]
        self._events = self._deliver()

    @property
    def response(self) -> Response:
        """What arrived so far."""
        return self._exchange.response

    async def get_final_response(self) -> Response:
        """Read to the end. Raises what the response failed with, StreamError if it was closed before."""
        async for _ in self._events:
            pass
        return self._exchange.finish()

    async def aclose(self) -> None:
        """End it now; a task that waits for the next event sees the iteration end."""
        self._closed = True
        await self._answer.aclose()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events

    async def __anext__(self) -> Event:
        return await self._events.__anext__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _deliver(self) -> AsyncIterator[Event]:
        while (events := await self._next_events()) is not None:
            for event in events:
                yield event

    async def _next_events(self) -> list[Event] | None:
        while not self._closed:
            try:
                return await self._read()
            except CodexError as failure:
                await self._answer.aclose()
                if not self._closed:
                    await self._client._sleep(self._exchange.wait_after(failure))
                    await self._open()
        await self._answer.aclose()
        return None

    async def _read(self) -> list[Event] | None:
        if self._exchange.over:
            self._exchange.finish()
            await self._linger()
            return None
        chunk = await self._next_chunk()
        return self._exchange.end() if chunk is None else self._exchange.feed(chunk)

    async def _next_chunk(self) -> bytes | None:
        try:
            return await anext(self._chunks, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise failures.mid_stream(error) from error

    async def _open(self) -> None:
        self._answer = await self._client._send(self._outgoing, self._exchange)
        self._exchange.begin(self._answer.headers)
        encoded = "content-encoding" in self._answer.headers
        self._chunks = self._answer.aiter_bytes() if encoded else self._answer.aiter_raw()

    async def _linger(self) -> None:
        try:
            await asyncio.wait_for(self._drain(), _LINGER)
        except (CodexError, asyncio.TimeoutError):
            await self._answer.aclose()

    async def _drain(self) -> None:
        while await self._next_chunk() is not None:
            pass
