"""`client.responses`: everything that is asked of a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..protocol.errors import CodexError, InvalidOutputError
from ..waiting import Direct, blocking
from . import compaction
from .catalog import FRESH, Model, default_model, find_model
from .compaction import Compacted
from .exchange import Exchange, OnRetry
from .failures import is_unexplained
from .parameters import Parameters, takes
from .request import input_items
from .response import Response
from .streaming import AsyncResponseStream, ResponseStream, Route
from .structured import Format, ParsedResponse
from .tool_turn import Approve, Hooks, OnCall, OnEvent, OnResult, Patience, ToolRun, run, turn
from .tools import Toolbox
from .transport import Outgoing, Transport
from .turn_socket import TurnSocket

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")

A_DAY = 86400.0  # seconds after which a remembered default model is asked for anew before it is used


class AsyncModels:
    """`client.models`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._catalog = transport.core.catalog

    async def list(self, *, force_refresh: bool = False, max_age: float = FRESH) -> list[Model]:
        """Return the provider's models, best first, the hidden ones too (`model.hidden`).

        They are requested unless the remembered ones are at most `max_age` seconds old and no answer has
        announced others since. Raises CodexError.
        """
        remembered = None if force_refresh else self._catalog.remembered(max_age=max_age)
        if remembered is not None:
            return remembered
        request = Outgoing("GET", self._catalog.url, {"Accept": "application/json"})
        answer = await self._transport.fetch(request)
        return self._catalog.receive(answer.headers, answer.content)

    async def retrieve(self, model: str) -> Model:
        """Return the catalog's entry of one model. Raises ModelNotFoundError, whose `near` are the closest names."""
        models = self._catalog.remembered(max_age=FRESH) or []
        if not any(each.slug == model for each in models):
            models = await self.list(force_refresh=True)
        return find_model(models, model)

    def known(self, model: str | None) -> Model | None:
        """Return the remembered entry of one model, however old, without a request."""
        return self._catalog.known(model)

    async def default(self, *, max_age: float = A_DAY) -> Model:
        """Return the catalog's default. Raises ConfigurationError when it has none."""
        return default_model(await self.list(max_age=max_age))


class Models(Direct[AsyncModels]):
    """`client.models`."""

    list = blocking(AsyncModels.list)
    retrieve = blocking(AsyncModels.retrieve)
    default = blocking(AsyncModels.default)

    def known(self, model: str | None) -> Model | None:
        """Return the remembered entry of one model, however old, without a request."""
        return self.asynchronous.known(model)


class Options(Parameters, total=False):
    on_retry: OnRetry | None


class AsyncResponses:
    """`client.responses`."""

    def __init__(self, transport: Transport, models: AsyncModels, route: Route | None = None) -> None:
        self._transport = transport
        self._route = route
        self._core = transport.core
        self._models = models

    @overload
    async def create(
        self, input: Any, *, stream: Literal[False] = ..., **options: Unpack[Options]
    ) -> Response: ...

    @overload
    async def create(
        self, input: Any, *, stream: Literal[True], **options: Unpack[Options]
    ) -> AsyncResponseStream: ...

    @overload
    async def create(
        self, input: Any, *, stream: bool, **options: Unpack[Options]
    ) -> Response | AsyncResponseStream: ...

    @takes(Options)
    async def create(
        self, input: Any, *, stream: bool = False, **options: Unpack[Options]
    ) -> Response | AsyncResponseStream:
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
        reasoning: `Reasoning`, a dict of the same, or the effort alone: one of the model's `efforts`.
        text: `{"format": ..., "verbosity": ...}` or `TextConfig`.
        verbosity: `low`, `medium` or `high`.
        output_schema: a JSON schema that the text shall fit; made strict. `parse` also reads the text.
        web_search: `cached` (the service's copy of the web), `live`, or `disabled`.
        service_tier: `priority` (also called `fast`) or `flex`, by model.
        include: further things to be sent; `reasoning.encrypted_content` is, where it is needed.
        previous_response_id: goes on from that response. ChatGPT stores none, so there the client sends
            the items of its own last responses again.
        prompt_cache_key: one per conversation, for the service's cache; else the client's own session.
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
        answer = self.stream(input, **options)
        await answer.open()
        if stream:
            return answer
        async with answer:
            return await answer.get_final_response()

    @takes(Options)
    def stream(self, input: Any, **options: Unpack[Options]) -> AsyncResponseStream:
        """The events of a response as they arrive: `async with client.responses.stream("Hi") as stream: ...`

        The request leaves with the first event that is asked for. Parameters and errors as in `create`.
        """
        exchange = Exchange(self._core.retry, options.pop("on_retry", None), elsewhere=self._core.elsewhere)
        make_request = partial(self._request, input, options)
        return AsyncResponseStream(self._transport, exchange, make_request, self._route, self._switch)

    async def _request(self, input: Any, options: Parameters) -> Outgoing:
        return self._core.response_request(input, options, await self._default_model(options))

    async def _switch(self, refused: Outgoing, failure: CodexError) -> bool:
        if not (refused.may_switch and is_unexplained(failure)):
            return False
        with suppress(CodexError):
            await self._models.list(max_age=A_DAY)
        return self._core.switch_dialect(refused)

    @overload
    async def parse(
        self, input: Any, *, text_format: type[T], repair: int = ..., **options: Unpack[Options]
    ) -> ParsedResponse[T]: ...

    @overload
    async def parse(
        self, input: Any, *, text_format: Any, repair: int = ..., **options: Unpack[Options]
    ) -> ParsedResponse[Any]: ...

    @takes(Options)
    async def parse(
        self, input: Any, *, text_format: Any, repair: int = 0, **options: Unpack[Options]
    ) -> ParsedResponse[Any]:
        """Ask for a value: the response, with `output_parsed` of the type `text_format`.

        text_format: a dataclass, TypedDict, msgspec struct, pydantic model, any other type JSON can hold,
            or a JSON schema as a dict (then the value stays plain). Its strict form is sent.
        repair: how often the model is told what is wrong with its answer and asked again.

        Raises RefusedError, TruncatedError or InvalidOutputError, which hold the `text` and the `response`;
        InvalidRequestError for a type without a strict schema; else as `create`.
        """
        wanted: Format[Any] = Format(text_format)
        parameters = wanted.parameters(options)
        while True:
            response = await self.create(input, **parameters)
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
        approve: asked about each call of a tool made with `needs_approval`; anything but `True` is no, and
            the model is told so.
        on_call, on_result: hear of each call before it is run (an exception ends the turn), and of what
            came of it; on_event: of each event. For `AsyncClient` all of them, and functions, may be async.

        Raises CodexError when a request fails; its `history` is what was done until then.
        """
        hooks = Hooks(on_call, approve, on_result, on_event, Patience(on_retry, self._core.retry))
        history = input_items(input)
        toolbox = Toolbox(parameters.get("tools") or ())
        steps = turn(history, parameters, toolbox, max_rounds=max_rounds)
        return await run(self, history, steps, hooks, blocks=self._transport.blocks)

    @takes(Parameters)
    async def compact(self, input: Any, **parameters: Unpack[Parameters]) -> Compacted:
        """A conversation made short: `output` of what this gives replaces the history.

        `input` and `parameters` as in `create`, those of the conversation. Raises CodexError.
        """
        if self._core.provider.is_codex:
            items, parameters = compaction.with_trigger(self._core, input, parameters)
            return compaction.read_response(items, await self.create(items, **parameters))
        default = await self._default_model(parameters)
        request = compaction.endpoint_request(self._core, input, parameters, default)
        return compaction.read_answer((await self._transport.fetch(request)).content)

    @asynccontextmanager
    async def one_turn(self) -> AsyncIterator[AsyncResponses]:
        """The same for the requests of one turn: over a WebSocket once there are several, where there is one.

        That needs the Codex backend, and `pip install 'codex-magic[websocket]'`.
        """
        if not (self._core.provider.is_codex and self._core.websockets):
            yield self
            return
        socket = TurnSocket(self._transport)
        try:
            yield AsyncResponses(self._transport, self._models, socket.route)
        finally:
            await socket.close()

    async def _default_model(self, parameters: Parameters) -> str | None:
        """Return the model where none is named; also fetches the catalog where the dialect depends on it."""
        if parameters.get("lite") == "auto":
            await self._models.list(max_age=A_DAY)
        return None if parameters.get("model") else (await self._models.default()).slug


class Responses(Direct[AsyncResponses]):
    """`client.responses`."""

    @overload
    def create(self, input: Any, *, stream: Literal[False] = ..., **options: Unpack[Options]) -> Response: ...

    @overload
    def create(self, input: Any, *, stream: Literal[True], **options: Unpack[Options]) -> ResponseStream: ...

    @overload
    def create(
        self, input: Any, *, stream: bool, **options: Unpack[Options]
    ) -> Response | ResponseStream: ...

    @takes(Options)
    def create(
        self, input: Any, *, stream: bool = False, **options: Unpack[Options]
    ) -> Response | ResponseStream:
        answer = self.stream(input, **options).__enter__()
        if stream:
            return answer
        with answer:
            return answer.get_final_response()

    @takes(Options)
    def stream(self, input: Any, **options: Unpack[Options]) -> ResponseStream:
        """The events of a response as they arrive: `with client.responses.stream("Hi") as stream: ...`

        The request leaves with the first event that is asked for. Parameters and errors as in `create`.
        """
        stream = self.asynchronous.stream(input, **options)
        self._block_on(stream.prepare())
        return ResponseStream(stream)

    create.__doc__ = AsyncResponses.create.__doc__
    parse = blocking(AsyncResponses.parse)
    run_tools = blocking(AsyncResponses.run_tools)
    compact = blocking(AsyncResponses.compact)
