"""The engine in process: it takes the steps of `responses.tool_turn`, requests and tool calls, and tells what comes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from typing import Any, cast

import msgspec

from ..protocol import errors, types
from ..protocol.ids import new_id
from ..protocol.settings import Settings
from ..responses.catalog import Model
from ..responses.client import AsyncClient
from ..responses.compaction import Compacted, is_due, kept, token_limit
from ..responses.exchange import PATIENT
from ..responses.inputs import Item, assistant, user
from ..responses.parameters import Parameters
from ..responses.provider import Provider
from ..responses.response import Response
from ..responses.streaming import AsyncResponseStream
from ..responses.tool_turn import MOST_ROUNDS, Ask, Job, Patience, Run, turn
from ..responses.tools import ToolCallError
from .history import broken_off, is_context, is_foreign_call, mended
from .narrator import Narrator
from .replay import input_items
from .seam import Tell, TurnRequest
from .tools import ToolCalls, ToolSet, output_of, text_item

SMALL_CONTEXT = 8_000  # tokens that fit into any model's window: nobody is asked how large that is

MOST_COMPACTIONS = 3
"""In one turn: where the context is full again after each of them, a fourth one would not help either."""

PERSONALITIES = {
    "friendly": (
        "Be warm and encouraging: talk with the user as a kind colleague does, say what went well, and "
        "explain what may be new to them. Never let it cost correctness."
    ),
    "pragmatic": (
        "Be matter-of-fact: say what is so and what to do, in few words, without praise, small talk or "
        "repetition. Name problems plainly."
    ),
    "none": "",
}
"""Instructions for each personality: over HTTP there is no parameter for it."""

SUMMARISE = """\
Summarise this conversation for yourself, to go on with it after everything before is gone: what the user
wants, what was decided and why, what was done and found out (names, numbers and code that are still
needed, word for word), and what is left to do. Answer with the summary alone."""

SUMMARY = "Summary of the conversation so far:\n\n"

SUMMARY_KEEPS = 4_000  # tokens of the newest messages of the user, in front of a summary


class BackendEngine:
    """Turns over HTTP, on one provider. Belongs to the event loop it is first used in."""

    def __init__(self, provider: Provider, settings: Settings) -> None:
        self.client = AsyncClient(provider, settings=settings)
        self._running: dict[str, _BackendTurn] = {}
        self._looked_up: set[str] = set()
        self.allowed: defaultdict[str, set[str]] = defaultdict(set)
        self._has_compaction = True

    async def close(self) -> None:
        await self.client.aclose()

    async def run(self, request: TurnRequest, tell: Tell) -> None:
        running = self._running[request.turn_id] = _BackendTurn(self, request, tell)
        try:
            await running.run()
        finally:
            del self._running[request.turn_id]

    async def compact(self, request: TurnRequest, tell: Tell) -> None:
        """Shorten the history: by the service's own compaction where it has one, else to a summary."""
        await _BackendTurn(self, request, tell).compact()

    async def steer(self, turn_id: str, inputs: tuple[types.InputItem, ...]) -> None:
        """Add to the input of a running turn: what is being answered is broken off; tools are waited for."""
        items = await input_items(inputs)
        if turn_id not in self._running:
            raise errors.InvalidRequestError("This turn no longer accepts input.", hint="Start a new one.")
        self._running[turn_id].steer(inputs, items)

    async def model(self, slug: str) -> Model | None:
        """Return what the catalog says of a model, or `None`; a catalog that can't be had is tried once."""
        if self.client.models.known(slug) is None and slug not in self._looked_up:
            self._looked_up.add(slug)
            with suppress(errors.CodexError):
                await self.client.models.list()
        return self.client.models.known(slug)

    async def compacted(self, history: list[Item], parameters: Parameters) -> Compacted:
        """Return what replaces `history`: sealed by the service where it can, else summed up by the model."""
        parameters = _without(parameters, "output_schema", "verbosity")
        if self._has_compaction:
            try:
                return await self.client.responses.compact(history, **parameters)
            except errors.InvalidRequestError as error:
                if error.status not in (404, 405, 501) or isinstance(error, errors.ModelNotFoundError):
                    raise
                self._has_compaction = False
        parameters = _without(parameters, "tools", "parallel_tool_calls")
        response = await self.client.responses.create([*history, user(SUMMARISE)], **parameters)
        if not response.output_text:
            raise errors.ServiceError("The model returned no summary of the conversation.")
        said = [item for item in history if not is_context(item)]
        messages = [item for item in kept(said, tokens=SUMMARY_KEEPS) if item["role"] == "user"]
        output = [*messages, assistant(SUMMARY + response.output_text)]
        return Compacted(id=response.id, output=output, usage=response.usage)


class _BackendTurn:
    """One turn: a request, the calls it asks for, the next request ... until the model answers."""

    def __init__(self, engine: BackendEngine, request: TurnRequest, tell: Tell) -> None:
        self._engine = engine
        self._request = request
        self._tell = tell
        self._narrator = Narrator(request, tell)
        self._patience = Patience(self._narrator.retrying, PATIENT)
        self._tools = request.tools or ToolSet()
        allowed = engine.allowed[request.thread_id]
        self._calls = ToolCalls(
            request.ask, sandbox=request.sandbox, mask=request.mask, allowed=allowed, cancel=_cancel
        )
        self._model: str | None = request.model
        self._history: list[Item] = []
        self._context: types.TokenUsage | None = None
        """The usage of the last request, where that tells how full the context is."""
        self._usage = types.TokenUsage()
        self._compactions = 0
        self._turn_state: str | None = None
        self._responses = engine.client.responses
        self._stream: AsyncResponseStream | None = None
        self._steering: list[tuple[types.UserMessage, tuple[Item, ...]]] = []
        """Input that the user has added and the model has not been sent yet."""

    async def run(self) -> None:
        """Raise what the turn failed with, and CancelledError when a tool's approval was cancelled."""
        no_model, items = await self._start(), await input_items(self._request.inputs)
        await self._compact_if_due()
        if items:
            self._add(types.UserMessage(new_id(), self._request.inputs, self._request.cell_id), items)
        if no_model is not None:
            raise no_model
        try:
            async with self._engine.client.responses.one_turn() as self._responses:
                await self._respond()
                while self._steering:
                    await self._respond()
        finally:
            self._narrator.abandon_calls()

    async def compact(self) -> None:
        no_model = await self._start()
        if not self._history:
            raise errors.InvalidRequestError("There is nothing to shorten yet.", hint="Ask something first.")
        if no_model is not None:
            raise no_model
        await self._compact()
        self._report_usage(self._usage)

    def steer(self, inputs: tuple[types.InputItem, ...], items: tuple[Item, ...]) -> None:
        self._steering.append((types.UserMessage(new_id(), inputs), items))
        if self._stream is not None:
            self._stream.abort()

    async def _start(self) -> errors.CodexError | None:
        request, no_model = self._request, None
        self._history[:], self._context = await request.earlier()
        try:
            self._model = self._model or (await self._engine.client.models.default()).slug
        except errors.CodexError as error:
            no_model = error
        started = types.Turn(request.turn_id, types.TurnStatus.in_progress, started_at=int(time.time()))
        self._tell(types.TurnStarted(request.thread_id, started, self._model))
        return no_model

    def _add(self, message: types.UserMessage, items: tuple[Item, ...]) -> None:
        self._narrator.add(message, items)
        self._history += items

    async def _respond(self) -> None:
        """Take the steps until the model answers, or the user adds something, which begins them anew.

        `tool_turn.turn` is a generator: it yields an Ask or a Run and is sent what that gave.
        """
        steps = turn(self._history, self._parameters(), self._tools, max_rounds=MOST_ROUNDS)
        result: Any = None
        while True:
            try:
                step = steps.send(result)
            except StopIteration:
                return
            result = await (self._execute(step) if isinstance(step, Run) else self._send(step))
            if result is None:
                return

    async def _send(self, step: Ask) -> Response | None:
        """Send a request and report its response; `None` when the user added something before it was whole."""
        await self._compact_if_due()
        while self._steering:
            self._add(*self._steering.pop(0))
        stream = self._responses.stream(step.input, on_retry=self._patience, **step.parameters)
        self._stream = stream
        try:
            response = await self._report(stream)
        except errors.ResponseAborted:
            if not self._steering:
                raise
            self._history += broken_off(stream.response.output)
            self._narrator.abandon_calls()
            return None
        finally:
            self._stream = None
        self._turn_state = response.turn_state or self._turn_state
        if response.usage is not None:
            self._context, self._usage = response.usage, self._usage + response.usage
            self._report_usage(response.usage)
        self._narrator.answered(response)
        foreign = sorted({str(item["type"]) for item in response.output if is_foreign_call(item)})
        if foreign:
            self._narrator.warn(f"The model called {', '.join(foreign)}, which codex_magic can't run.")
        return response

    async def _report(self, stream: AsyncResponseStream) -> Response:
        """Report a response as it streams, and return it with items that can be sent again, and all of its calls."""
        async with stream:
            self._narrator.answering(self._model, stream.response)
            try:
                async for event in stream:
                    self._narrator.tell(event)
            finally:
                for event in stream.let_go():
                    self._narrator.tell(event)
            response = await stream.get_final_response()
        calls = response.tool_calls
        pairs = [(mended(item), item) for item in response.output]
        output = [sent or item for sent, item in pairs if sent or item in calls]
        return msgspec.structs.replace(response, output=output)

    async def _execute(self, step: Run) -> list[str | list[dict[str, Any]]]:
        outputs: list[str | list[dict[str, Any]]] = []
        for jobs in [step.jobs] if step.parallel else [[job] for job in step.jobs]:
            tasks = [asyncio.ensure_future(self._execute_call(job)) for job in jobs]
            try:
                for next_done in asyncio.as_completed(tasks):
                    await next_done  # one that is cancelled ends the turn
                outputs += [task.result() for task in tasks]
            finally:
                for task in tasks:
                    task.cancel()
        return outputs

    async def _execute_call(self, job: Job) -> str | list[dict[str, Any]]:
        tool, refusal = job.tool, None if job.tool else job.run()
        if isinstance(refusal, ToolCallError):  # its arguments may still be plainly meant
            named = self._tools.find(job.call.namespace, job.call.name)
            tool = None if named and named.needs_approval else named
        success, items, milliseconds = False, [text_item(str(refusal))], 0
        if tool is not None:
            about, item = (self._request.thread_id, self._request.turn_id), self._narrator.call(job.call)
            question = types.ToolCallApproval(*about, item.id, item.tool, item.arguments, item.namespace)
            success, items, milliseconds = await self._calls.run(tool, question, job.call.text)
        self._narrator.called(job.call.call_id, "completed" if success else "failed", items, milliseconds)
        return output_of(items)

    async def _compact_if_due(self) -> None:
        if self._model is None or self._context is None or self._context.total_tokens < SMALL_CONTEXT:
            return
        model = await self._engine.model(self._model)
        if model is None or not is_due(self._context, token_limit(model)):
            return
        self._compactions += 1
        self._context = None
        if self._compactions <= MOST_COMPACTIONS:
            try:
                await self._compact()
            except errors.CodexError as error:
                self._narrator.warn(f"The conversation could not be shortened: {error.message}")

    async def _compact(self) -> None:
        parameters: Parameters = {**self._parameters(), "tools": self._tools.definitions}
        compacted = await self._engine.compacted(self._history, parameters)
        # What was seen of a notebook is told anew, as it is then.
        output = filter(None, map(mended, compacted.output))
        self._history[:] = [item for item in output if not is_context(item)]
        self._usage += compacted.usage or types.TokenUsage()
        self._narrator.add(types.ContextCompaction(new_id(), past=self._request.past), self._history)

    def _report_usage(self, last: types.TokenUsage) -> None:
        model = self._engine.client.models.known(self._model)
        window = model.usable_window if model else None
        usage = types.ThreadTokenUsage(total=self._usage, last=last, model_context_window=window)
        self._tell(types.TokenUsageUpdated(self._request.thread_id, self._request.turn_id, usage))

    def _parameters(self) -> Parameters:
        """Return what all requests of the turn share. Raises InvalidRequestError for an unknown personality."""
        request = self._request
        if request.personality not in (None, *PERSONALITIES):
            hint = f"Choose one of: {', '.join(PERSONALITIES)}."
            raise errors.InvalidRequestError(f"Unknown personality {request.personality!r}.", hint=hint)
        personality = PERSONALITIES[request.personality or "none"]
        instructions = request.base_instructions, request.instructions, personality
        summary = None if request.summary == "none" else request.summary
        reasoning = {"effort": request.effort, "summary": summary}
        model = self._engine.client.models.known(self._model)
        return {
            "model": self._model,
            "instructions": "\n\n".join(filter(None, instructions)),
            "prompt_cache_key": request.thread_id,
            "reasoning": {name: value for name, value in reasoning.items() if value is not None} or None,
            "verbosity": request.verbosity,
            "service_tier": request.service_tier,
            "output_schema": request.output_schema,
            "parallel_tool_calls": model.supports_parallel_tool_calls if model and request.tools else None,
            "turn_state": self._turn_state,
        }


async def _cancel() -> None:
    raise asyncio.CancelledError


def _without(parameters: Parameters, *names: str) -> Parameters:
    return cast(Parameters, {name: value for name, value in parameters.items() if name not in names})
