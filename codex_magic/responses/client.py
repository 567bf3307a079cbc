"""`Client` and `AsyncClient`: the loops that move bytes, and nothing else.

What is sent, what an answer means, when to ask again and what a stream has brought so far is
decided in the modules beside this one; both clients only carry it out.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload
from urllib.parse import urlencode
from weakref import WeakSet

import httpx

from ..auth.http import ChatGPTAuth
from ..auth.sign_in import LoginHandler
from ..forks import begin_anew_in_children
from ..net import header_value, no_answer, readable_proxies, trust, without_secrets
from ..protocol.errors import CodexError, ConfigurationError, InvalidOutputError, InvalidRequestError
from ..protocol.ids import new_id
from ..protocol.secrets import masked, revealed
from ..protocol.settings import Settings
from . import failures
from .catalog import FRESH, Catalog, Model, default_model, find_model
from .exchange import Exchange, OnRetry
from .inputs import Item
from .limits import MAIN, from_headers
from .masking import hide_sent, hide_sent_async, masked_answer
from .memory import Memory
from .parameters import DEFAULT_TIMEOUTS, Parameters, Timeouts, takes
from .provider import Provider, chatgpt
from .request import body_of, encode, input_items, session_headers
from .response import Response
from .retry import PATIENT, RetryPolicy
from .streaming import AsyncResponseStream, ResponseStream, Send
from .structured import Format, ParsedResponse

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..protocol.types import RateLimits
    from .audio import AsyncAudio, Audio
    from .compaction import Compacted
    from .images import AsyncImages, Images
    from .inputs import Item
    from .realtime import AsyncRealtime, Realtime
    from .tool_turn import Approve, OnCall, OnEvent, OnResult, ToolRun
    from .usage import Usage

T = TypeVar("T")

_A_DAY = 86400.0
"""Seconds after which a remembered default model is asked for anew before it is used."""


@dataclass(frozen=True)
class _Outgoing:
    """A request, before any HTTP library has seen it."""

    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    model: str | None = None
    timeouts: Timeouts | None = None
    """In place of the client's."""
    items: Sequence[Item] = field(default=(), repr=False)
    """The input, as sent."""


class _Core:
    """What the two clients have in common: everything but IO."""

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
        self.timeouts = Timeouts.of(timeout)
        self.retry = retry
        if max_retries is not None:
            self.retry = replace(retry, request_retries=max_retries, stream_retries=max_retries)
        self.memory = Memory()
        self.catalog = Catalog(provider, self.settings)
        self.session = new_id()
        self.rate_limits: RateLimits | None = None
        self.websockets = True
        """Until one could not be opened."""
        self.auth = provider.auth
        if login_handler is not None and isinstance(provider.auth, ChatGPTAuth):
            self.auth = provider.auth.asking(login_handler, self.settings)

    def http_options(self) -> dict[str, Any]:
        """The arguments for `httpx.Client` and its async twin."""
        return {
            "auth": self.auth,
            "headers": revealed(self.provider.headers),
            "timeout": _limits(self.timeouts),
            "verify": trust(self.provider.base_url, self.settings.ca_bundle),
            "limits": httpx.Limits(max_connections=None, keepalive_expiry=60.0),
        }

    def ask_for_response(self, input: Any, parameters: Parameters, default: str | None) -> _Outgoing:
        model = parameters.get("model") or default
        session = parameters.get("prompt_cache_key") or self.session
        parameters = {**parameters, "model": model, "prompt_cache_key": session}
        timeout = parameters.get("timeout")
        body = body_of(*self.with_memory(input, parameters), self.provider.rules)
        session = body["prompt_cache_key"]  # extra_body may say otherwise
        items, dialect = body["input"], {}
        if self._is_lite(parameters.get("lite"), model):
            from .lite import HEADER, as_lite  # for those who ask for it

            body, dialect = as_lite(body), {HEADER: "true"}
        query = urlencode(parameters.get("extra_query") or {})
        return _Outgoing(
            "POST",
            f"{self.provider.base_url}/responses" + (f"?{query}" if query else ""),
            {
                "Accept": "text/event-stream",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                **session_headers(session, parameters.get("turn_state")),
                **dialect,
                **{
                    name: header_value(value)
                    for name, value in (parameters.get("extra_headers") or {}).items()
                },
            },
            encode(body),
            model,
            timeouts=None if timeout is None else Timeouts.of(timeout),
            items=items,
        )

    def _is_lite(self, asked: bool | Literal["auto"] | None, model: str | None) -> bool:
        if asked == "auto":
            known = self.catalog.known(model)
            return self.provider.is_codex and known is not None and bool(known.use_responses_lite)
        if asked and not self.provider.is_codex:
            raise InvalidRequestError(
                "Responses Lite is spoken by the Codex backend alone.", hint="Leave it out.", param="lite"
            )
        return bool(asked)

    def with_memory(self, input: Any, parameters: Parameters) -> tuple[Any, Parameters]:
        """Where the service stores nothing, the items before the previous response's end stand in for its id."""
        previous = parameters.get("previous_response_id")
        if previous is None or self.provider.rules.stores:
            return input, parameters
        earlier = self.memory.items(previous)
        return [*earlier, *input_items(input)], {**parameters, "previous_response_id": None}

    def remember(self, outgoing: _Outgoing, exchange: Exchange) -> None:
        """For `previous_response_id`, once the answer to a request of `ask_for_response` is whole."""
        if self.provider.rules.stores or not exchange.over:
            return
        response = exchange.response
        if response.status in ("completed", "incomplete"):
            self.memory.keep(response, outgoing.items, len(outgoing.body))

    def ask_for_models(self) -> _Outgoing:
        return _Outgoing("GET", self.catalog.url, {"Accept": "application/json"})

    def build(self, http: httpx.Client | httpx.AsyncClient, outgoing: _Outgoing) -> httpx.Request:
        request = http.build_request(
            outgoing.method, outgoing.url, headers=outgoing.headers, content=outgoing.body or None
        )
        if outgoing.timeouts is not None:
            request.extensions["timeout"] = _limits(outgoing.timeouts).as_dict()
        return request

    def accepts(self, outgoing: _Outgoing, answer: httpx.Response) -> bool:
        """Whether it is an answer to read: the real stream has no Content-Type, a network's sign-in page has."""
        self.hear(answer.headers)
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        if answer.status_code not in (200, 201) or is_page:
            return False
        # From here on the idle limit counts; httpx has one read limit for all, held in the request.
        answer.request.extensions["timeout"]["read"] = self.idle(outgoing)
        return True

    def idle(self, outgoing: _Outgoing | None) -> float:
        """Seconds without an event that are borne in its answer."""
        return ((outgoing and outgoing.timeouts) or self.timeouts).idle

    def hear(self, headers: Mapping[str, str]) -> None:
        """What every answer tells beside itself, refusals too. Safe from any thread."""
        headers = masked(dict(headers))
        self.rate_limits = from_headers(headers, now=time.time()).get(MAIN, self.rate_limits)
        self.catalog.announce(headers.get("x-models-etag"))

    def patient(self) -> Timeouts:
        """For an answer that begins when all is done: a picture, a transcription, a compaction."""
        return replace(self.timeouts, first_byte=max(self.timeouts.first_byte, self.timeouts.idle))

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


def _limits(seconds: Timeouts) -> httpx.Timeout:
    return httpx.Timeout(
        connect=seconds.connect, read=seconds.first_byte, write=seconds.write, pool=seconds.connect
    )


# Sync --------------------------------------------------------------------------------------------


class Client:
    """Responses and models of one provider, ChatGPT's unless told. Connections are kept; `close()` ends them.

    `timeout` is the longest silence that is borne, in seconds, or `Timeouts`; `max_retries` how often a
    failed request is made again before anything was shown. `login_handler` is called when a request finds no ChatGPT sign-in: with a link for the user to
    open, to give back the address at which their browser ended.
    """

    def __init__(
        self,
        provider: Provider | None = None,
        *,
        settings: Settings | None = None,
        timeout: float | Timeouts = DEFAULT_TIMEOUTS,
        max_retries: int | None = None,
        retry: RetryPolicy = PATIENT,
        sleep: Callable[[float], None] = time.sleep,
        login_handler: LoginHandler | None = None,
    ) -> None:
        self._core = _Core(provider, settings, timeout, retry, max_retries, login_handler)
        self.provider = self._core.provider
        self.responses = Responses(self)
        self.models = Models(self)
        self._sleep = sleep
        self._streams: WeakSet[ResponseStream] = WeakSet()
        self._http: httpx.Client | None = None
        self._building = threading.Lock()
        begin_anew_in_children(self)

    def forked(self) -> object:
        """See `forks`: two processes can't talk over one connection."""
        left, self._http = (self._http, list(self._streams)), None
        self._streams = WeakSet()
        self._building = threading.Lock()
        return left

    def close(self) -> None:
        with self._building:
            if self._http is not None:
                self._http.close()
                self._http = None

    def abort(self) -> None:
        """End every answer that is being read or waited for, from any thread; see `ResponseStream.abort`."""
        with self._building:
            streams = list(self._streams)
        for stream in streams:
            stream.abort()

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
            raise self._core.unreachable(error) from without_secrets(error)
        return masked_answer(answer)

    def _watch(self, stream: ResponseStream) -> None:
        with self._building:
            self._streams.add(stream)

    def _send(self, outgoing: _Outgoing, exchange: Exchange) -> httpx.Response:
        """An answer with status 200, its body unread."""
        while True:
            try:
                return self._try(outgoing)
            except CodexError as failure:
                self._pause(failure, exchange)

    def _pause(self, failure: CodexError, exchange: Exchange) -> None:
        """Wait before asking again. Raises `failure` when that is not to be done."""
        seconds = exchange.wait_after(failure)
        if self._sleep is time.sleep:
            exchange.ended.wait(seconds)
        else:
            self._sleep(seconds)
        if exchange.ended.is_set():
            raise failure

    def _try(self, outgoing: _Outgoing) -> httpx.Response:
        http = self._connected()
        try:
            answer = http.send(self._core.build(http, outgoing), stream=True)
            if self._core.accepts(outgoing, answer):
                return answer
            answer.read()
        except httpx.HTTPError as error:
            raise self._core.unreachable(error) from without_secrets(error)
        raise self._core.refusal(outgoing, answer)

    def _connected(self) -> httpx.Client:
        with self._building:
            if self._http is None:
                with readable_proxies():
                    self._http = httpx.Client(
                        event_hooks={"request": [hide_sent]}, **self._core.http_options()
                    )
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

    def known(self, model: str | None) -> Model | None:
        """What is remembered of one model, without asking."""
        return self._client._core.catalog.known(model)

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
        input: Any,
        *,
        stream: Literal[False] = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> Response: ...

    @overload
    def create(
        self,
        input: Any,
        *,
        stream: Literal[True],
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> ResponseStream: ...

    @overload
    def create(
        self,
        input: Any,
        *,
        stream: bool,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> Response | ResponseStream: ...

    @takes(Parameters)
    def create(
        self,
        input: Any,
        *,
        stream: bool = False,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> Response | ResponseStream:
        """Ask for a response.

        input: a text; or a list of items (dicts), texts and images, in which those that follow each other
            are one message of the user. `[*response.output, "And then?"]` goes on from a response.
        stream: `True` gives the events as they arrive, `False` waits for the whole.
        on_retry: called with the failure and the seconds to wait before each further attempt.

        Everything else may be left out; `None` is the same.

        model: a slug of the catalog; its default unless given.
        instructions: what comes before the conversation, from the program.
        tools: dicts or `FunctionTool`s; where `strict`, the schema is made valid for it.
        tool_choice: `auto`, `none`, `required` or `{"type": "function", "name": ...}`.
        parallel_tool_calls: whether one answer may hold several calls.
        reasoning: `{"effort": ..., "summary": "auto" | "concise" | "detailed"}`, `Reasoning`, or the effort
            alone; the model's `efforts` are in the catalog.
        text: `{"format": ..., "verbosity": ...}` or `TextConfig`.
        verbosity: `low`, `medium` or `high`.
        output_schema: a JSON schema that the text shall fit; made strict. `parse` also reads the text.
        web_search: `cached` (the service's copy of the web), `live`, or `disabled`.
        service_tier: `priority` (also called `fast`) or `flex`, by model.
        include: further things to be sent, such as `reasoning.encrypted_content`, which is asked for anyway
            where it is needed.
        previous_response_id: goes on from that response. ChatGPT stores none, so there the client sends
            the items of its own last responses again.
        prompt_cache_key: one per conversation; decides what the service's cache finds. The client's own
            session unless given.
        store: whether the service keeps the response; ChatGPT does not.
        turn_state: `response.turn_state` of an earlier request of the same turn.
        lite: the dialect that the Codex CLI speaks to most models; "auto": where the catalog says so. Not
            the default: calls then come one at a time, and the models answer to classic requests too.
        timeout: the longest silence that is borne, in seconds, or `Timeouts`. No limit on the whole.
        extra_body, extra_headers, extra_query: merged into the request as they are.
        All others (`temperature`, `max_output_tokens`, ...) belong to OpenAI's API and are refused where
        the provider refuses them.

        Failures are retried until something visible was delivered. Raises InvalidRequestError before
        anything is sent, with a way out; else a CodexError whose `response` is what had arrived.
        Rules of the Codex backend: https://github.com/openai/codex (codex-rs/core/src/client.rs).
        """
        opened = self.stream(input, on_retry=on_retry, **parameters).__enter__()
        if stream:
            return opened
        with opened:
            return opened.get_final_response()

    @takes(Parameters)
    def stream(
        self, input: Any, *, on_retry: OnRetry | None = None, **parameters: Unpack[Parameters]
    ) -> ResponseStream:
        """The events of a response as they arrive: `with client.responses.stream("Hi") as stream: ...`

        The request leaves with the first event that is asked for. Parameters and errors as in `create`.
        """
        core = self._client._core
        default = self._default(parameters)
        outgoing = core.ask_for_response(input, parameters, default)
        return ResponseStream(self._client, outgoing, Exchange(core.retry, on_retry))

    @overload
    def parse(
        self,
        input: Any,
        *,
        text_format: type[T],
        repair: int = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> ParsedResponse[T]: ...

    @overload
    def parse(
        self,
        input: Any,
        *,
        text_format: Any,
        repair: int = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> ParsedResponse[Any]: ...

    @takes(Parameters)
    def parse(
        self,
        input: Any,
        *,
        text_format: Any,
        repair: int = 0,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> ParsedResponse[Any]:
        """Ask for a value: the response, with `output_parsed` of the type `text_format`.

        text_format: a dataclass, TypedDict, msgspec struct, pydantic model, any other type JSON can hold,
            or a JSON schema as a dict (then the value stays plain). Its strict form is sent.
        repair: how often the model is told what is wrong with its answer and asked again.

        Raises RefusedError, TruncatedError or InvalidOutputError, which hold the `text` and the `response`;
        InvalidRequestError for a type without a strict schema; else as `create`.
        """
        wanted: Format[Any] = Format(text_format)
        asked = wanted.parameters(parameters)
        while True:
            response = self.create(input, on_retry=on_retry, **asked)
            try:
                return wanted.read(response)
            except InvalidOutputError as failure:
                if repair <= 0:
                    raise
                repair -= 1
                input = wanted.repaired(input, failure)

    @takes(Parameters)
    def run_tools(
        self,
        input: Any,
        *,
        max_rounds: int = 20,
        compact_at: int | Literal["auto"] | None = None,
        approve: Approve | None = None,
        on_call: OnCall | None = None,
        on_result: OnResult | None = None,
        on_event: OnEvent | None = None,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> ToolRun:
        """Ask, run the functions that the model calls, tell it the results, until it answers.

        tools: functions, `Tool`s, `Namespace`s, and the service's own (`web_search()`). The calls of one
            response run at the same time, unless `parallel_tool_calls=False`; their results are told in
            the order of the calls. A wrong name, wrong arguments and exceptions are told to the model.
        max_rounds: rounds of calls after which the model must answer with what it has.
        compact_at: tokens of context from which on the history is compacted; "auto": near the end of the
            model's window, as the catalog tells it.
        approve: asked about each call of a tool made with `needs_approval`; anything but `True` is no, and
            the model is told so.
        on_call, on_result: hear of each call before it is run (an exception ends the turn), and of what
            came of it; on_event: of each event.

        Raises CodexError when a request fails; its `history` is what was done until then.
        """
        from .tool_turn import Hooks, run, turn
        from .tools import Toolbox

        limit = self._token_limit(compact_at, parameters.get("model"))
        hooks = Hooks(on_call, approve, on_result, on_event, on_retry)
        history = input_items(input)
        toolbox = Toolbox(parameters.get("tools") or ())
        steps = turn(history, parameters, toolbox, max_rounds=max_rounds, compact_at=limit)
        return run(self, history, steps, hooks)

    @takes(Parameters)
    def compact(self, input: Any, **parameters: Unpack[Parameters]) -> Compacted:
        """A conversation made short: `output` of what this gives replaces the history.

        `input` and `parameters` as in `create`, those of the conversation. Raises CodexError.
        """
        from . import compaction

        core = self._client._core
        if core.provider.is_codex:
            asked, with_headers = compaction.with_trigger(core, input, parameters)
            return compaction.read_response(asked, self.create(asked, **with_headers))
        default = self._default(parameters)
        answer = self._client._fetch(compaction.ask_endpoint(core, input, parameters, default))
        return compaction.read_answer(answer.content)

    @takes(Parameters)
    def compact_if_due(
        self,
        input: Any,
        *,
        after: Response,
        compact_at: int | Literal["auto"] = "auto",
        **parameters: Unpack[Parameters],
    ) -> list[Item]:
        """The history to go on with: `input`, compacted if the response `after` it came near the limit.

        compact_at: tokens; "auto": as the catalog tells for the model. Raises CodexError.
        """
        from .compaction import is_due

        limit = self._token_limit(compact_at, parameters.get("model"))
        if not is_due(after.usage, limit):
            return input_items(input)
        return (self.compact(input, **parameters)).output

    def _token_limit(self, compact_at: int | Literal["auto"] | None, model: str | None) -> int | None:
        if compact_at != "auto":
            return compact_at
        from .compaction import known_limit

        models = self._client.models
        return known_limit(models.retrieve(model) if model else models.default())

    def _default(self, parameters: Parameters) -> str | None:
        """The model where none is named; also asks for the catalog where the dialect depends on it."""
        if parameters.get("lite") == "auto":
            self._client.models.list(max_age=_A_DAY)
        return None if parameters.get("model") else self._client.models.default().slug


# Async -------------------------------------------------------------------------------------------


class AsyncClient:
    """Responses and models of one provider, for asyncio. Connections are kept; `aclose()` ends them.

    As `Client`; `login_handler` is called in a thread of its own. Each event loop that it is used in has
    connections of its own, which `aclose()` there ends: call it before the end of each `asyncio.run`.
    """

    def __init__(
        self,
        provider: Provider | None = None,
        *,
        settings: Settings | None = None,
        timeout: float | Timeouts = DEFAULT_TIMEOUTS,
        max_retries: int | None = None,
        retry: RetryPolicy = PATIENT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        login_handler: LoginHandler | None = None,
    ) -> None:
        self._core = _Core(provider, settings, timeout, retry, max_retries, login_handler)
        self.provider = self._core.provider
        self.responses = AsyncResponses(self)
        self.models = AsyncModels(self)
        self._sleep = sleep
        self._https: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}
        self._streams: WeakSet[AsyncResponseStream] = WeakSet()
        self._watching = threading.Lock()
        begin_anew_in_children(self)

    def forked(self) -> object:
        """See `forks`."""
        left = list(self._https.items()), list(self._streams)
        self._https, self._streams = {}, WeakSet()
        self._watching = threading.Lock()
        return left

    async def aclose(self) -> None:
        http = self._https.pop(asyncio.get_running_loop(), None)
        if http is not None:
            await http.aclose()

    def abort(self) -> None:
        """End every answer that is being read or waited for, from any thread."""
        with self._watching:
            streams = list(self._streams)
        for stream in streams:
            stream.abort()

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
            raise self._core.unreachable(error) from without_secrets(error)
        return masked_answer(answer)

    def _watch(self, stream: AsyncResponseStream) -> None:
        with self._watching:
            self._streams.add(stream)

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
            if self._core.accepts(outgoing, answer):
                return answer
            await answer.aread()
        except httpx.HTTPError as error:
            raise self._core.unreachable(error) from without_secrets(error)
        raise self._core.refusal(outgoing, answer)

    def _connected(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        http = self._https.get(loop)
        if http is None:
            for ended in [each for each in self._https if each.is_closed()]:
                del self._https[ended]  # nothing can be closed there any more
            with readable_proxies():
                http = self._https[loop] = httpx.AsyncClient(
                    event_hooks={"request": [hide_sent_async]}, **self._core.http_options()
                )
        return http


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

    def known(self, model: str | None) -> Model | None:
        """What is remembered of one model, without asking."""
        return self._client._core.catalog.known(model)

    async def default(self, *, max_age: float = _A_DAY) -> Model:
        """The catalog's default. Raises ConfigurationError when it has none."""
        return default_model(await self.list(max_age=max_age))


class AsyncResponses:
    """`client.responses`."""

    def __init__(self, client: AsyncClient, send: Send | None = None) -> None:
        self._client = client
        self._send = send or client._send

    @overload
    async def create(
        self,
        input: Any,
        *,
        stream: Literal[False] = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> Response: ...

    @overload
    async def create(
        self,
        input: Any,
        *,
        stream: Literal[True],
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> AsyncResponseStream: ...

    @overload
    async def create(
        self,
        input: Any,
        *,
        stream: bool,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> Response | AsyncResponseStream: ...

    @takes(Parameters)
    async def create(
        self,
        input: Any,
        *,
        stream: bool = False,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> Response | AsyncResponseStream:
        """As `Responses.create`."""
        opened = await self.stream(input, on_retry=on_retry, **parameters).__aenter__()
        if stream:
            return opened
        async with opened:
            return await opened.get_final_response()

    @takes(Parameters)
    def stream(
        self, input: Any, *, on_retry: OnRetry | None = None, **parameters: Unpack[Parameters]
    ) -> AsyncResponseStream:
        """As `Responses.stream`: `async with client.responses.stream("Hi") as stream: ...`"""
        core = self._client._core

        async def prepare() -> _Outgoing:
            default = await self._default(parameters)
            return core.ask_for_response(input, parameters, default)

        exchange = Exchange(core.retry, on_retry)
        return AsyncResponseStream(self._client, None, exchange, prepare, send=self._send)

    @overload
    async def parse(
        self,
        input: Any,
        *,
        text_format: type[T],
        repair: int = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> ParsedResponse[T]: ...

    @overload
    async def parse(
        self,
        input: Any,
        *,
        text_format: Any,
        repair: int = ...,
        on_retry: OnRetry | None = ...,
        **parameters: Unpack[Parameters],
    ) -> ParsedResponse[Any]: ...

    @takes(Parameters)
    async def parse(
        self,
        input: Any,
        *,
        text_format: Any,
        repair: int = 0,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> ParsedResponse[Any]:
        """As `Responses.parse`."""
        wanted: Format[Any] = Format(text_format)
        asked = wanted.parameters(parameters)
        while True:
            response = await self.create(input, on_retry=on_retry, **asked)
            try:
                return wanted.read(response)
            except InvalidOutputError as failure:
                if repair <= 0:
                    raise
                repair -= 1
                input = wanted.repaired(input, failure)

    @takes(Parameters)
    async def run_tools(
        self,
        input: Any,
        *,
        max_rounds: int = 20,
        compact_at: int | Literal["auto"] | None = None,
        approve: Approve | None = None,
        on_call: OnCall | None = None,
        on_result: OnResult | None = None,
        on_event: OnEvent | None = None,
        on_retry: OnRetry | None = None,
        **parameters: Unpack[Parameters],
    ) -> ToolRun:
        """As `Responses.run_tools`; functions and hooks may be async."""
        from .tool_turn import Hooks, arun, turn
        from .tools import Toolbox

        limit = await self._token_limit(compact_at, parameters.get("model"))
        hooks = Hooks(on_call, approve, on_result, on_event, on_retry)
        history = input_items(input)
        toolbox = Toolbox(parameters.get("tools") or ())
        steps = turn(history, parameters, toolbox, max_rounds=max_rounds, compact_at=limit)
        return await arun(self, history, steps, hooks)

    @takes(Parameters)
    async def compact(self, input: Any, **parameters: Unpack[Parameters]) -> Compacted:
        """As `Responses.compact`."""
        from . import compaction

        core = self._client._core
        if core.provider.is_codex:
            asked, with_headers = compaction.with_trigger(core, input, parameters)
            return compaction.read_response(asked, await self.create(asked, **with_headers))
        default = await self._default(parameters)
        answer = await self._client._fetch(compaction.ask_endpoint(core, input, parameters, default))
        return compaction.read_answer(answer.content)

    @takes(Parameters)
    async def compact_if_due(
        self,
        input: Any,
        *,
        after: Response,
        compact_at: int | Literal["auto"] = "auto",
        **parameters: Unpack[Parameters],
    ) -> list[Item]:
        """As `Responses.compact_if_due`."""
        from .compaction import is_due

        limit = await self._token_limit(compact_at, parameters.get("model"))
        if not is_due(after.usage, limit):
            return input_items(input)
        return (await self.compact(input, **parameters)).output

    async def _token_limit(self, compact_at: int | Literal["auto"] | None, model: str | None) -> int | None:
        if compact_at != "auto":
            return compact_at
        from .compaction import known_limit

        models = self._client.models
        return known_limit(await models.retrieve(model) if model else await models.default())

    async def _default(self, parameters: Parameters) -> str | None:
        """The model where none is named; also asks for the catalog where the dialect depends on it."""
        if parameters.get("lite") == "auto":
            await self._client.models.list(max_age=_A_DAY)
        return None if parameters.get("model") else (await self._client.models.default()).slug

    @asynccontextmanager
    async def one_turn(self) -> AsyncIterator[AsyncResponses]:
        """The same for the requests of one turn: over a WebSocket once there are several, where there is one.

        That needs the Codex backend and the `websocket` extra.
        """
        try:
            from .websocket import TurnSocket
        except ImportError:
            self._client._core.websockets = False
        if not (self._client.provider.is_codex and self._client._core.websockets):
            yield self
            return
        async with TurnSocket(self._client) as socket:
            yield AsyncResponses(self._client, socket.send)
