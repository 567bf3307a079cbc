"""The engine in process: the Responses requests of a turn, told as notifications."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

import msgspec

from ..protocol.errors import CodexError, InvalidRequestError, ResponseAborted
from ..protocol.ids import new_id
from ..protocol.settings import Settings
from ..protocol.types import (
    ContextCompaction,
    InputItem,
    ThreadTokenUsage,
    TokenUsage,
    TokenUsageUpdated,
    ToolCallApproval,
    Turn,
    TurnStarted,
    TurnStatus,
    UserMessage,
)
from ..responses.catalog import Model
from ..responses.client import AsyncClient
from ..responses.compaction import is_due, token_limit
from ..responses.inputs import Item
from ..responses.parameters import Parameters
from ..responses.provider import Provider
from ..responses.response import Response
from ..responses.retry import PATIENT
from ..responses.streaming import AsyncResponseStream
from ..responses.tool_turn import MOST_ROUNDS, Ask, Compact, Job, Patience, Run, turn
from ..responses.tools import ToolCallError
from .asked import asked_items
from .narrator import Narrator
from .personality import personality_text
from .seam import Tell, TurnRequest
from .shortening import Shortener
from .tool_calls import ToolCalls
from .tools import ContentItem, ToolSet, output_of, text_item
from .whole import broken_off, is_foreign_call, mended

SMALL_CONTEXT = 8_000
"""Tokens that fit into any model's window: nobody is asked how large that is."""


MOST_COMPACTIONS = 3
"""Of one turn: where the context is full again after each of them, a fourth one would not help either."""


class BackendEngine:
    """Turns over HTTP, on one provider. Belongs to the event loop it is first used in."""

    def __init__(self, provider: Provider, settings: Settings) -> None:
        self.client = AsyncClient(provider, settings=settings)
        self.shortener = Shortener(self.client)
        self._running: dict[str, _RunningTurn] = {}
        self._looked_up: dict[str, Model | None] = {}
        self._allowed: defaultdict[str, set[str]] = defaultdict(set)

    async def close(self) -> None:
        await self.client.aclose()

    async def models(self) -> list[Model]:
        """The provider's catalog, best first."""
        return await self.client.models.list()

    async def run(self, request: TurnRequest, tell: Tell) -> None:
        """One turn; see `seam.Engine`."""
        running = self._running[request.turn_id] = self._turn(request, tell)
        try:
            await running.run()
        finally:
            del self._running[request.turn_id]

    async def compact(self, request: TurnRequest, tell: Tell) -> None:
        """Shorten the history: by the service's own compaction where it has one, else to a summary."""
        await self._turn(request, tell).compact()

    async def steer(self, turn_id: str, inputs: tuple[InputItem, ...]) -> None:
        """Say more to a running turn: what it is answering is broken off, and it answers to both.

        While it runs tools, the model hears of it when they are done.
        """
        asked = await asked_items(inputs)
        if turn_id not in self._running:
            raise InvalidRequestError("This turn takes no more input.", hint="Start a new one.")
        self._running[turn_id].steer(inputs, asked)

    def _turn(self, request: TurnRequest, tell: Tell) -> _RunningTurn:
        return _RunningTurn(self, request, tell, self._allowed[request.thread_id])

    async def model_of(self, slug: str) -> Model | None:
        """What the catalog says of a model; `None` when it can't be had, which is found out once."""
        known = self.client.models.known(slug)
        if known is None and slug not in self._looked_up:
            self._looked_up[slug] = await self._looked_for(slug)
        return known or self._looked_up.get(slug)

    async def _looked_for(self, slug: str) -> Model | None:
        try:
            return next((model for model in await self.models() if model.slug == slug), None)
        except CodexError:
            return None


class _RunningTurn:
    """One turn: requests and tools by turns until the model answers."""

    def __init__(self, engine: BackendEngine, request: TurnRequest, tell: Tell, allowed: set[str]) -> None:
        self._engine = engine
        self._request = request
        self._tell = tell
        self._narrator = Narrator(request, tell)
        self._patience = Patience(self._narrator.retrying, PATIENT)
        self._calls = ToolCalls(
            approvals=request.ask, sandbox=request.sandbox, allowed=allowed, cancel=_cancel
        )
        self._tools = request.tools or ToolSet()
        self._model: str | None = request.model
        self._history: list[Item] = []
        self._held: TokenUsage | None = None
        self._usage = TokenUsage()
        self._compactions = 0
        self._turn_state: str | None = None
        self._responses = engine.client.responses
        self._stream: AsyncResponseStream | None = None
        self._unheard: list[tuple[UserMessage, tuple[Item, ...]]] = []

    async def run(self) -> None:
        """Raises what the turn failed with, and CancelledError when a tool's approval was cancelled."""
        unknown = await self._start()
        inputs = self._request.inputs
        asked = await asked_items(inputs)
        if unknown is None:
            await self._shorten_if_due()
        if asked:
            self._say(UserMessage(new_id(), inputs, self._request.cell_id), asked)
        if unknown is not None:
            raise unknown
        try:
            async with self._engine.client.responses.one_turn() as self._responses:
                await self._answer()
                while self._unheard:
                    await self._answer()
        finally:
            self._narrator.abandon_calls()

    async def compact(self) -> None:
        unknown = await self._start()
        if not self._history:
            raise InvalidRequestError("There is nothing to shorten yet.", hint="Ask something first.")
        if unknown is not None:
            raise unknown
        await self._shorten()
        self._tell_usage(self._usage)

    def steer(self, inputs: tuple[InputItem, ...], asked: tuple[Item, ...]) -> None:
        self._unheard.append((UserMessage(new_id(), inputs), asked))
        if self._stream is not None:
            self._stream.abort()

    async def _start(self) -> CodexError | None:
        """Read what came before and tell which model answers; why there is none."""
        items, self._held = await self._request.earlier()
        self._history += items
        unknown = None
        if self._model is None:
            try:
                self._model = (await self._engine.client.models.default()).slug
            except CodexError as error:
                unknown = error
        request = self._request
        started = Turn(request.turn_id, TurnStatus.in_progress, started_at=int(time.time()))
        self._tell(TurnStarted(request.thread_id, started, self._model))
        return unknown

    def _say(self, message: UserMessage, asked: tuple[Item, ...]) -> None:
        self._narrator.begun(message)
        self._narrator.done(message, asked)
        self._history += asked

    # Steps ---------------------------------------------------------------------------------------

    async def _answer(self) -> None:
        """The steps until the model answers, or the user says more, which begins a new line of them."""
        steps = turn(self._history, self._parameters(), self._tools, max_rounds=MOST_ROUNDS, compact_at=None)
        given: Any = None
        while True:
            try:
                step = steps.send(given)
            except StopIteration:
                return
            given = await (self._run(step) if isinstance(step, Run) else self._ask(step))
            if given is None:
                return

    async def _ask(self, step: Ask | Compact) -> Response | None:
        """`None` when the user said more before the response was whole.

        A `Compact` never comes: the context is looked at here, and before the question.
        """
        await self._shorten_if_due()
        while self._unheard:
            self._say(*self._unheard.pop(0))
        stream = self._responses.stream(step.input, on_retry=self._patience, **step.parameters)
        self._stream = stream
        try:
            response = await self._told(stream)
        except ResponseAborted:
            if not self._unheard:
                raise
            self._history += broken_off(stream.response.output)
            self._narrator.abandon_calls()
            return None
        finally:
            self._stream = None
        self._turn_state = response.turn_state or self._turn_state
        if response.usage is not None:
            self._held = response.usage
            self._usage += response.usage
            self._tell_usage(response.usage)
        self._narrator.answered(response)
        self._warn_of_foreign_calls(response)
        return response

    def _warn_of_foreign_calls(self, response: Response) -> None:
        kinds = sorted({str(item["type"]) for item in response.output if is_foreign_call(item)})
        if kinds:
            self._narrator.warn(
                f"The model asked for {', '.join(kinds)}, which nothing here can run, and waits for no answer."
            )

    async def _told(self, stream: AsyncResponseStream) -> Response:
        async with stream:
            self._narrator.answering(self._model, stream.response)
            try:
                async for event in stream:
                    self._narrator.tell(event)
            finally:
                for event in stream.let_go():
                    self._narrator.tell(event)
            response = await stream.get_final_response()
        return msgspec.structs.replace(response, output=_in_order(response))

    async def _run(self, step: Run) -> list[str | list[dict[str, Any]]]:
        groups = [step.jobs] if step.parallel else [[job] for job in step.jobs]
        return [output for jobs in groups for output in await self._done_together(jobs)]

    async def _done_together(self, jobs: list[Job]) -> list[str | list[dict[str, Any]]]:
        """A turn that is stopped does not wait for them: a function may not heed its cancellation."""
        tasks = [asyncio.ensure_future(self._done(job)) for job in jobs]
        try:
            open_still = set(tasks)
            while open_still:
                over, open_still = await asyncio.wait(open_still, return_when=asyncio.FIRST_COMPLETED)
                for task in over:
                    task.result()  # one that is cancelled ends the turn
            return [task.result() for task in tasks]
        finally:
            for task in tasks:
                task.cancel()

    async def _done(self, job: Job) -> str | list[dict[str, Any]]:
        begun = time.monotonic()
        success, items = await self._tried(job)
        self._narrator.called(job.call.call_id, success, items, round((time.monotonic() - begun) * 1000))
        return output_of(items)

    async def _tried(self, job: Job) -> tuple[bool, list[ContentItem]]:
        if job.tool is None:
            return False, [text_item(_why_not(job))]
        told = self._narrator.call(job.call.call_id)
        asked = ToolCallApproval(
            self._request.thread_id,
            self._request.turn_id,
            told.id if told else job.call.call_id,
            job.call.name,
            told.arguments if told else job.call.text,
            job.call.namespace,
        )
        return await self._calls.run(job.tool, asked, job.call.text)

    # Context -------------------------------------------------------------------------------------

    async def _shorten_if_due(self) -> None:
        """Going on with the whole history is better than not going on."""
        if self._model is None or self._held is None or self._held.total_tokens < SMALL_CONTEXT:
            return
        model = await self._engine.model_of(self._model)
        if model is not None and is_due(self._held, token_limit(model)):
            self._compactions += 1
            if self._compactions > MOST_COMPACTIONS:
                self._held = None
                return
            try:
                await self._shorten()
            except CodexError as error:
                self._held = None
                self._narrator.warn(f"The conversation could not be shortened: {error.message}")

    async def _shorten(self) -> None:
        parameters: Parameters = {**self._parameters(), "tools": self._tools.definitions}
        shortened = await self._engine.shortener.shortened(self._history, parameters)
        output = list(filter(None, map(mended, shortened.output)))
        self._history[:] = output
        self._held = None
        self._usage += shortened.usage or TokenUsage()
        item = ContextCompaction(new_id(), past=self._request.past)
        self._narrator.begun(item)
        self._narrator.done(item, output)

    def _tell_usage(self, last: TokenUsage) -> None:
        known = self._engine.client.models.known(self._model)
        window = known.usable_window if known else None
        usage = ThreadTokenUsage(total=self._usage, last=last, model_context_window=window)
        self._tell(TokenUsageUpdated(self._request.thread_id, self._request.turn_id, usage))

    def _parameters(self) -> Parameters:
        request = self._request
        known = self._engine.client.models.known(self._model)
        return {
            "model": self._model,
            "instructions": _instructions(request),
            "prompt_cache_key": request.thread_id,
            "reasoning": _given(
                effort=request.effort, summary=None if request.summary == "none" else request.summary
            ),
            "verbosity": request.verbosity,
            "service_tier": request.service_tier,
            "output_schema": request.output_schema,
            "parallel_tool_calls": known.supports_parallel_tool_calls if known and request.tools else None,
            "turn_state": self._turn_state,
        }


async def _cancel() -> None:
    """A human said that the turn ends here."""
    raise asyncio.CancelledError


def _in_order(response: Response) -> list[Item]:
    """Its items in the form that is sent again; a call that has none stays, for whoever is to run it to refuse."""
    calls = response.tool_calls
    both = ((mended(item), item) for item in response.output)
    return [sent or item for sent, item in both if sent or item in calls]


def _why_not(job: Job) -> str:
    try:
        return str(job.run())
    except ToolCallError as error:
        return str(error)


def _instructions(request: TurnRequest) -> str:
    parts = request.base_instructions, request.instructions, personality_text(request.personality)
    return "\n\n".join(filter(None, parts))


def _given(**fields: str | None) -> dict[str, str] | None:
    return {name: value for name, value in fields.items() if value is not None} or None
