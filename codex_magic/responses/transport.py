"""A request on its way out and its answer on the way in: what everything else in this folder stands on.

`Core` decides what is sent and remembers what answers said, without IO. A `Transport` sends it, again where
that helps, and an answer comes over a `Line`. The coroutines of a client that `blocks` never suspend.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlencode
from weakref import WeakSet, WeakValueDictionary

import httpx

from ..auth.http import ChatGPTAuth
from ..auth.sign_in import LoginHandler
from ..net import header_value, mounts, no_answer, readable_proxies, trust, without_secrets
from ..protocol import errors
from ..protocol.errors import CodexError
from ..protocol.ids import new_id
from ..protocol.policy import policy_bounds
from ..protocol.secrets import masked, revealed
from ..protocol.settings import Settings
from ..protocol.types import RateLimits
from ..waiting import begin_anew_in_children
from . import failures
from .catalog import Catalog
from .exchange import LONGEST_ANSWER, Exchange, RetryPolicy
from .inputs import Item
from .masking import hide_sent, hide_sent_async, masked_answer
from .parameters import Parameters, Timeouts
from .provider import Provider, chatgpt
from .request import LITE_HEADER, as_lite, body_of, encode, input_items, session_headers
from .response import Response

MOST_RESPONSES = 100  # that one client remembers for `previous_response_id`
MOST_BYTES = 64 << 20  # of the requests they answered; images make those large
MOST_WORDS = 64 << 10  # bytes that are read of a refusal
WORDS_SECONDS = 10.0  # within which they come
Networks = WeakValueDictionary[int, Any]  # httpcore's network streams, by their `id`


@dataclass(frozen=True)
class Outgoing:
    """A request, before any HTTP library has seen it."""

    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    model: str | None = None
    timeouts: Timeouts | None = None  # in place of the client's
    items: Sequence[Item] = field(default=(), repr=False)  # the input, as sent
    may_switch: bool = False  # whether the dialect was our choice, see `Core.switch_dialect`


class Memory:
    """The items that the latest responses followed and brought, for services that store none."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[list[Item], int]] = {}  # any thread may do one operation of it at a time

    def keep(self, response: Response, sent: Sequence[Item], size: int) -> None:
        """Remember a whole response to `sent`, a request of `size` bytes; the oldest are forgotten."""
        self._held.pop(response.id, None)
        self._held[response.id] = ([*sent, *response.output], size)
        room = MOST_BYTES
        for newer, (earlier, (_, taken)) in enumerate(reversed(list(self._held.items()))):
            room -= taken
            if newer >= MOST_RESPONSES or (room < 0 and newer):
                self._held.pop(earlier, None)

    def items(self, response_id: str) -> list[Item]:
        """Return all items up to the end of that response. Raises InvalidRequestError for an unknown one."""
        if (held := self._held.get(response_id)) is not None:
            return held[0]
        known = f"The service stores none, and a client knows its own last {MOST_RESPONSES}"
        raise errors.InvalidRequestError(
            f"This client does not remember a response {response_id!r}.",
            hint=f"{known}: send the earlier items themselves, input=[*response.output, ...].",
            param="previous_response_id",
            code="previous_response_not_found",
        )


class Core:
    """The configuration of a client, and what it learns from answers. Safe from any thread."""

    def __init__(
        self,
        provider: Provider | None,
        settings: Settings | None,
        timeout: float | Timeouts,
        retry: RetryPolicy,
        max_retries: int | None,
        login_handler: LoginHandler | None,
    ) -> None:
        self.settings = settings or Settings.from_env()
        self.provider = provider = provider or chatgpt(self.settings)
        policy_bounds().check("provider", provider.base_url)
        self.timeouts = Timeouts.of(timeout)
        if max_retries is not None:
            retry = replace(retry, request_retries=max_retries, stream_retries=max_retries)
        self.retry = retry
        self.memory = Memory()
        self.catalog = Catalog(provider, self.settings)
        self.session = new_id()
        self.rate_limits: RateLimits | None = None
        self.dialects: dict[str | None, bool] = {}  # models that refused one -> whether Lite is the other
        self.websockets = True  # until one could not be opened
        self.elsewhere = "" if provider.is_codex else provider.name
        self.auth = provider.auth
        if login_handler is not None and isinstance(provider.auth, ChatGPTAuth):
            self.auth = provider.auth.asking(login_handler, self.settings)

    def connect(self, *, blocks: bool) -> Any:
        """Return new connections: an `httpx.Client`, or its async twin."""
        base, usage = self.provider.base_url, self.settings.chatgpt_url
        kind: Any = httpx.Client if blocks else httpx.AsyncClient
        transport: Any = httpx.HTTPTransport if blocks else httpx.AsyncHTTPTransport
        hook = hide_sent if blocks else hide_sent_async
        limits = httpx.Limits(max_connections=None, keepalive_expiry=60.0)
        carried: dict[str, Any] = {"verify": trust(base, self.settings.ca_bundle), "limits": limits}
        return kind(
            auth=self.auth,
            headers={"Accept-Encoding": "gzip, deflate", **revealed(self.provider.headers)},
            trust_env=False,
            mounts=mounts(transport, base, *[usage] * self.provider.is_codex, **carried),
            event_hooks={"request": [hook]},
            **carried,
        )

    def response_request(self, input: Any, parameters: Parameters, default: str | None) -> Outgoing:
        """Return the request for a response; `default` is the model where none is named."""
        model, timeout = parameters.get("model") or default, parameters.get("timeout")
        session = parameters.get("prompt_cache_key") or self.session
        parameters = {**parameters, "model": model, "prompt_cache_key": session}
        body = body_of(*self.resolve(input, parameters), is_codex=self.provider.is_codex)
        session = body["prompt_cache_key"]  # extra_body may say otherwise
        bounds = policy_bounds()
        bounds.check("engine", "backend")
        bounds.check("model", body.get("model") or "")
        items, dialect = body["input"], {}
        if self._is_lite(parameters.get("lite"), model):
            body, dialect = as_lite(body), {LITE_HEADER: "true"}
        query, extra = parameters.get("extra_query"), parameters.get("extra_headers") or {}
        return Outgoing(
            "POST",
            f"{self.provider.base_url}/responses" + (f"?{urlencode(query)}" if query else ""),
            {
                "Accept": "text/event-stream",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                **session_headers(session, parameters.get("turn_state")),
                **dialect,
                **{name: header_value(value) for name, value in extra.items()},
            },
            encode(body),
            model,
            timeouts=None if timeout is None else Timeouts.of(timeout),
            items=items,
            may_switch=self.provider.is_codex and parameters.get("lite") in (None, "auto"),
        )

    def _is_lite(self, wanted: bool | Literal["auto"] | None, model: str | None) -> bool:
        if wanted in (None, "auto"):
            by_catalog = wanted is not None and self.provider.is_codex and self._wants_lite(model)
            return self.dialects.get(model, by_catalog)
        if wanted and not self.provider.is_codex:
            what = "Responses Lite is spoken by the Codex backend alone."
            raise errors.InvalidRequestError(what, hint="Leave it out.", param="lite")
        return bool(wanted)

    def _wants_lite(self, model: str | None) -> bool:
        described = self.catalog.known(model)
        return bool(described and described.use_responses_lite)

    def switch_dialect(self, refused: Outgoing) -> bool:
        """Ask this model in the other dialect from now on, if that is worth a try: the catalog may be wrong."""
        is_lite, model = LITE_HEADER in refused.headers, refused.model
        if model in self.dialects or not (is_lite or self._wants_lite(model)):
            return False
        self.dialects[model] = not is_lite
        return True

    def resolve(self, input: Any, parameters: Parameters) -> tuple[Any, Parameters]:
        """Put the items up to the previous response's end in place of its id, where the service stores nothing."""
        previous = parameters.get("previous_response_id")
        if previous is None or not self.provider.is_codex:
            return input, parameters
        earlier = self.memory.items(previous)
        return [*earlier, *input_items(input)], {**parameters, "previous_response_id": None}

    def remember(self, outgoing: Outgoing, exchange: Exchange) -> None:
        """Keep the answer for `previous_response_id`, once it is whole."""
        is_whole = exchange.over and exchange.response.status in ("completed", "incomplete")
        if is_whole and self.provider.is_codex:
            self.memory.keep(exchange.response, outgoing.items, len(outgoing.body))

    def build(self, http: httpx.Client | httpx.AsyncClient, outgoing: Outgoing) -> httpx.Request:
        each = self.limits(outgoing)
        timeout = httpx.Timeout(each.first_byte, connect=each.connect, pool=each.connect, write=each.write)
        about: Any = {"headers": outgoing.headers, "content": outgoing.body or None, "timeout": timeout}
        return http.build_request(outgoing.method, outgoing.url, **about)

    def accepts(self, outgoing: Outgoing, answer: httpx.Response) -> bool:
        """Whether it is an answer to read: the real stream has no Content-Type, a network's sign-in page has."""
        self.note(answer.headers)
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        if answer.status_code not in (200, 201) or is_page:
            return False
        # From here on the idle limit counts; httpx has one read limit for all, held in the request.
        answer.request.extensions["timeout"]["read"] = self.limits(outgoing).idle
        return True

    def note(self, headers: Mapping[str, str]) -> None:
        """Keep what an answer's headers say of the limits and the catalog."""
        headers = masked(dict(headers))
        self.rate_limits = failures.limits_from_headers(headers, now=time.time()) or self.rate_limits
        self.catalog.announce(headers.get("x-models-etag"))

    def limits(self, outgoing: Outgoing) -> Timeouts:
        return outgoing.timeouts or self.timeouts

    def slow_start(self) -> Timeouts:
        """Return the limits for an answer that begins when all is done: a picture, a compaction."""
        return replace(self.timeouts, first_byte=max(self.timeouts.first_byte, self.timeouts.idle))


class Transport:
    """Sends requests: from event loops, each of which has connections of its own, or from threads, over the same."""

    def __init__(self, core: Core, sleep: Callable[[float], Any], *, blocks: bool = False) -> None:
        self.core = core
        self.blocks = blocks
        self._pause = sleep
        self._https: dict[asyncio.AbstractEventLoop | None, Any] = {}
        self._streams: WeakSet[Any] = WeakSet()
        self.idle: Networks = WeakValueDictionary()  # that no answer comes over; a request may take one
        self._lock = threading.Lock()
        begin_anew_in_children(self)

    def forked(self) -> object:
        """See `waiting.begin_anew_in_children`: two processes can't talk over one connection."""
        left = self._https, list(self._streams)
        self._https, self._streams, self.idle = {}, WeakSet(), WeakValueDictionary()
        self._lock = threading.Lock()
        return left

    def watch(self, stream: Any) -> None:
        """Let `abort()` end it too."""
        with self._lock:
            self._streams.add(stream)

    def abort(self) -> None:
        """End every answer that is being read or waited for, from any thread."""
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            stream.abort()

    async def fetch(self, outgoing: Outgoing) -> httpx.Response:
        """Return a whole answer. Raises CodexError."""
        exchange = Exchange(self.core.retry, elsewhere=self.core.elsewhere)
        line, seconds = Line(self, exchange.ended), self.core.limits(outgoing).idle
        self.watch(line)
        try:
            with line:
                answer = await self.send(outgoing, exchange, line)
                body, failure = await self._read(answer, line, most=LONGEST_ANSWER, seconds=seconds)
        except CodexError:
            if not exchange.ended.is_set():
                raise
        if exchange.ended.is_set():
            raise errors.ResponseAborted
        if failure is not None:
            raise errors.UnreachableError(failure.message) from failure
        headers = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
        return masked_answer(httpx.Response(answer.status_code, headers=headers, content=body))

    async def send(self, outgoing: Outgoing, exchange: Exchange, line: Line) -> httpx.Response:
        """Return an answer whose body is unread. Raises CodexError."""
        while True:
            try:
                answer = await self._send(outgoing, line)
                if self.core.accepts(outgoing, answer):
                    return answer
                raise await self._refusal(outgoing, answer, line)
            except CodexError as failure:
                await self.sleep(exchange.wait_after(failure), exchange)
                if exchange.ended.is_set():
                    raise

    async def _refusal(self, outgoing: Outgoing, answer: httpx.Response, line: Line) -> CodexError:
        """Return the error that an answer stands for; no frame of its traceback holds what the service said."""
        limits = self.core.limits(outgoing)
        seconds = min(WORDS_SECONDS, limits.first_byte, limits.idle)
        body, _ = await self._read(answer, line, most=MOST_WORDS, seconds=seconds)
        if outgoing.url == self.core.catalog.url and answer.status_code in (404, 405):
            hint = "Choose one with --model NAME."
            return errors.ConfigurationError("The service lists no models.", hint=hint)
        names, status = self.core.catalog.names(), answer.status_code
        error = failures.from_answer(status, answer.headers, body, model=outgoing.model, names=names)
        return failures.fitted(error, self.core.elsewhere)

    async def _read(
        self, answer: httpx.Response, line: Line, *, most: int, seconds: float
    ) -> tuple[bytes, errors.StreamError | None]:
        """Return what comes of an answer within its limits, and what kept the rest back."""
        pieces, size, failure = list[bytes](), 0, None
        limit = line.limit(seconds)
        try:
            line.take(answer)
            while size <= most and (chunk := await line.chunk()) is not None:
                pieces.append(chunk)
                size += len(chunk)
        except errors.StreamError as error:
            failure = error
        finally:
            limit.cancel()
            await line.close()
            line.answer = None
        if size > most:
            failure = errors.StreamError(f"The answer was longer than {most >> 20} MiB.")
        return b"".join(pieces)[:most], failure

    def http(self) -> Any:
        """Return the connections of the running loop, or of all threads."""
        loop = None if self.blocks else asyncio.get_running_loop()
        with self._lock, readable_proxies():
            for ended in [each for each in self._https if each is not None and each.is_closed()]:
                del self._https[ended]  # nothing can be closed there any more
            if loop not in self._https:
                self._https[loop] = self.core.connect(blocks=self.blocks)
            return self._https[loop]

    async def close(self) -> None:
        """End the connections; the next request opens others."""
        if self.blocks and (http := self._https.pop(None, None)):
            http.close()
        elif not self.blocks and (http := self._https.pop(asyncio.get_running_loop(), None)):
            await http.aclose()

    async def sleep(self, seconds: float, exchange: Exchange) -> None:
        """Wait before another attempt, at most until nobody wants the answer any more."""
        if self._pause is time.sleep:
            exchange.ended.wait(seconds)
        elif (pause := self._pause(seconds)) is not None:
            await pause

    async def _send(self, outgoing: Outgoing, line: Line) -> httpx.Response:
        http, seconds = self.http(), self.core.limits(outgoing).first_byte
        request = self.core.build(http, outgoing)
        answer: httpx.Response
        try:
            with line.asking(seconds) as request.extensions["trace"]:
                sent = http.send(request, stream=True)
                answer = sent if self.blocks else await sent
        except httpx.HTTPError as error:
            cause = httpx.ReadTimeout("") if line.is_late else error
            raise no_answer(cause, base_url=self.core.provider.base_url) from without_secrets(error)
        return answer


class Line:
    """What one answer comes over, and whoever waits `with` it, whom anyone may wake at any moment.

    A task is cancelled, which is caught. A thread wakes when its socket is shut down; to close would not do.
    """

    def __init__(self, transport: Transport, ended: threading.Event) -> None:
        """`ended`: set when nobody wants the answer any more."""
        self._transport, self._blocks, self._ended = transport, transport.blocks, ended
        self.answer: httpx.Response | None = None
        self._network: Any = None
        self._chunks: Any = None
        self.is_late = self._is_asking = False
        self._reading = threading.RLock()  # held by a thread that reads: nobody closes the answer under it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._is_woken = False

    @contextmanager
    def asking(self, seconds: float) -> Iterator[Callable[[str, Mapping[str, Any]], Any]]:
        """Give what httpcore calls at each step of a request, whose answer's headers may take so many seconds."""
        limit: asyncio.TimerHandle | threading.Timer | None = None

        def follow(step: str, info: Mapping[str, Any]) -> None:
            nonlocal limit
            if step.endswith(("connect_tcp.complete", "start_tls.complete")):
                self._network = info["return_value"]
            if self._ended.is_set() and step.endswith(("connect_tcp.started", "_headers.started")):
                raise httpx.ReadError("Nobody waits for the answer any more.")
            if step.endswith("response_headers.started"):
                limit = self.limit(seconds)
            elif limit is not None:
                limit = limit.cancel()

        async def follow_async(step: str, info: Mapping[str, Any]) -> None:
            follow(step, info)

        self.is_late, self._is_asking = False, True
        try:
            yield follow if self._blocks else follow_async
        finally:
            self._is_asking, self._network = False, None

    def limit(self, seconds: float) -> asyncio.TimerHandle | threading.Timer:
        """End the answer after so many seconds, unless what this returns is cancelled."""

        def give_up() -> None:
            self.is_late = True
            self.shut()

        self.is_late = False
        if not self._blocks:
            return asyncio.get_running_loop().call_later(seconds, give_up)
        timer = threading.Timer(seconds, give_up)
        timer.daemon = True
        timer.start()
        return timer

    def take(self, answer: httpx.Response) -> None:
        """Read this answer from now on. Raises StreamError for one that is packed as nobody asked."""
        self.answer = answer
        self._network = answer.extensions.get("network_stream")
        self._transport.idle.pop(id(self._network), None)
        packed = answer.headers.get("content-encoding", "identity").strip().lower()
        if packed not in ("", "identity", "gzip", "deflate"):
            raise errors.StreamError("The answer has an unsupported compression.")
        what = "iter_bytes" if packed in ("gzip", "deflate") else "iter_raw"
        self._chunks = getattr(answer, what if self._blocks else f"a{what}")()
        if self._ended.is_set():  # while it came
            self.shut()

    async def chunk(self) -> bytes | None:
        """Return the next bytes, `None` at the end. Raises StreamError."""
        try:
            if self._blocks:
                with self._reading:
                    chunk: bytes | None = next(self._chunks, None)
            else:
                chunk = await anext(self._chunks, None)
        except (httpx.HTTPError, httpx.StreamError) as error:
            is_silent = isinstance(error, httpx.TimeoutException)
            what = "The service went silent" if is_silent else "The connection broke"
            raise errors.StreamError(f"{what} in the middle of the answer.") from without_secrets(error)
        if self.is_late:  # without a length, the end of the connection is the end of the answer
            raise errors.StreamError("The answer did not finish in time.")
        if chunk is None and self._network is not None:  # the connection may serve another request now
            self._transport.idle[id(self._network)] = self._network
            self._network = None
        return chunk

    def shut(self) -> None:
        """End the answer under its reader, or the request of a thread that waits for it; safe from any thread."""
        if self._network is not None:
            _shut(self._network)
        elif self._is_asking and (self._blocks or self.is_late):
            # over any of these; to the others it is what a server does, too
            for reference in self._transport.idle.valuerefs():
                _shut(reference())
        if self._blocks:
            self._close()

    def abort(self) -> None:
        """End the answer for good, and wake a task that waits for something else; safe from any thread."""

        def cancel() -> None:
            if self._task is not None:
                self._is_woken = True
                self._task.cancel()

        self._ended.set()  # before the reader wakes, so that it asks for nothing more
        self.shut()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed, so nobody waits
                self._loop.call_soon_threadsafe(cancel)

    async def close(self) -> None:
        """Let go of the answer, read to its end or not."""
        if self._blocks:
            self._close()
        elif self.answer is not None:
            await self.answer.aclose()

    def _close(self) -> None:
        with self._reading:
            if self.answer is not None:
                self.answer.close()

    def __enter__(self) -> None:
        if not self._blocks:
            self._loop = asyncio.get_running_loop()
            self._task = asyncio.current_task()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        task, self._task = self._task, None
        if kind is not asyncio.CancelledError or not self._is_woken or task is None:
            return False
        # Take our own cancellation back; before Python 3.11 tasks do not count them.
        return sys.version_info < (3, 11) or task.uncancel() == 0


def _shut(network: Any) -> None:
    wire = None if network is None else network.get_extra_info("socket")
    with suppress(OSError):
        if isinstance(wire, socket.socket):
            socket.socket.shutdown(wire, socket.SHUT_RDWR)  # a TLS socket's own would end only the encryption
        elif wire is not None:
            wire.shutdown(socket.SHUT_RDWR)
