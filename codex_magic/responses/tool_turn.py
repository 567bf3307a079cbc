"""A turn in which the model uses tools, to its end.

What the model gets wrong (a name, an argument) and what goes wrong in a function is told to the model,
which can do something about it. The turn is one generator that asks for steps, `turn`; `run` and `arun`
carry them out for the two clients. Functions run in threads only where they have to: several calls of
one response at a time, and, for asyncio, functions that are not async.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.errors import CodexError, InvalidRequestError, OutputError
from ..protocol.types import TokenUsage
from ..waiting import awaited, in_thread, wait
from .compaction import Compacted, is_due
from .events import Event
from .exchange import OnRetry
from .inputs import Item
from .parameters import Parameters
from .response import Response
from .retry import RetryPolicy
from .tools import Call, Tool, Toolbox, ToolCallError, calls, plain_result

if TYPE_CHECKING:
    from .client import AsyncResponses, Responses

MOST_ROUNDS = 20
"""Rounds of calls in one turn, unless the caller says otherwise; then the model has to answer."""

FUTILE_ROUNDS = 3
"""Rounds in a row in which nothing was called but tools that do not exist: a model that has been told so
three times will not stop by itself."""

MOST_RETRIES = 10
"""Of one turn, or as often as its client's policy repeats one request: a service where each request of a turn
needs many attempts would hold it up for hours."""

OnCall = Callable[[Call], Any]
Approve = Callable[[Call], Any]
OnResult = Callable[[Call, Any], Any]
OnEvent = Callable[[Event], Any]


class ToolRun(msgspec.Struct, frozen=True, kw_only=True):
    """A turn with tools, to its end."""

    response: Response
    """The last one, with the answer."""
    items: list[Item]
    """All that came after the input: calls, their results, messages, compactions, in order."""
    history: list[Item]
    """What to send before the next question: input and items, or what a compaction left of them."""
    rounds: int
    """How often tools were called."""
    usage: TokenUsage
    """Of all requests together."""

    @property
    def output_text(self) -> str:
        return self.response.output_text


# The steps ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """Send a request; gives a Response."""

    input: list[Item]
    parameters: Parameters


@dataclass(frozen=True)
class Job:
    """A call and what to run for it, which may raise."""

    call: Call
    run: Callable[[], Any]
    tool: Tool | None = None
    """`None` where `run` only tells the model why nothing was run."""

    @property
    def is_async(self) -> bool:
        function = self.run.func if isinstance(self.run, partial) else self.run
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004  # an object's own
        )


@dataclass(frozen=True)
class Run:
    """Do the jobs, all at a time if `parallel`; gives their results or exceptions, in order."""

    jobs: list[Job]
    parallel: bool


@dataclass(frozen=True)
class Compact:
    """Shorten the history; gives a Compacted."""

    input: list[Item]
    parameters: Parameters


Step = Ask | Run | Compact
Turn = Generator[Step, Any, ToolRun]


def turn(
    history: list[Item],
    parameters: Parameters,
    toolbox: Toolbox,
    *,
    max_rounds: int,
    compact_at: int | None,
) -> Turn:
    """The turn as steps to carry out; `history`, at first the input, is kept up to date in place.

    After `max_rounds` rounds of calls, or FUTILE_ROUNDS, the model is asked to answer with what it has.
    Raises OutputError when it calls even then. From `compact_at` tokens of context on, the history is
    compacted.
    """
    asked: Parameters = {**parameters, "tools": toolbox.definitions or None}
    parallel = parameters.get("parallel_tool_calls") is not False
    items: list[Item] = []
    usage, rounds, futile = TokenUsage(), 0, 0
    while True:
        is_last = rounds >= max_rounds or futile >= FUTILE_ROUNDS
        # Without tools there is nothing to choose, and services refuse the word.
        choice: Parameters = {"tool_choice": "none"} if is_last and toolbox.definitions else {}
        response: Response = yield Ask(history, {**asked, **choice})
        usage += response.usage or TokenUsage()
        found = calls(response)
        jobs = [Job(call, _refusal) if is_last else _prepared(toolbox, call) for call in found]
        results = (yield Run(jobs, parallel)) if jobs else []
        for item in (*response.output, *map(answered, found, results)):
            items.append(item)
            history.append(item)
        if not found:
            return ToolRun(response=response, items=items, history=[*history], rounds=rounds, usage=usage)
        if is_last:
            raise _unanswered(response, found, rounds)
        rounds += 1
        futile = 0 if any(toolbox.find(call.namespace, call.name) for call in found) else futile + 1
        asked = _continued(asked, response)
        if is_due(response.usage, compact_at):
            compacted: Compacted = yield Compact(history, asked)
            usage += compacted.usage or TokenUsage()
            items += compacted.added
            history[:] = compacted.output
            asked = {**asked, "previous_response_id": None}


def answered(call: Call, result: Any) -> Item:
    """The item that tells the model what came of a call."""
    if isinstance(result, ToolCallError):
        return call.output(f"Error: {result}")
    if isinstance(result, Exception):
        return call.output(f"Error: {type(result).__name__}: {result}")
    try:
        return call.output(result)
    except InvalidRequestError:
        return call.output(plain_result(result))


def _prepared(toolbox: Toolbox, call: Call) -> Job:
    try:
        tool = toolbox.called(call)
        return Job(call, tool.bind(call.text), tool)
    except ToolCallError as error:
        return Job(call, partial(_raise, error))


def _raise(error: ToolCallError) -> None:
    raise error


def _refusal() -> str:
    return "Not run: no more calls are allowed in this turn."


def _unanswered(response: Response, found: list[Call], rounds: int) -> OutputError:
    names = ", ".join(sorted({call.name for call in found}))
    return OutputError(
        f"The model went on calling tools ({names}) after {rounds} rounds of calls, and gave no answer.",
        text=response.output_text,
        response=response,
        hint="What it did is kept. Ask again, in smaller steps or with another model.",
    )


def _continued(parameters: Parameters, response: Response) -> Parameters:
    """For the next request of the turn, which has a state now; a call that was demanded has been made."""
    further: Parameters = {**parameters, "turn_state": response.turn_state or parameters.get("turn_state")}
    if parameters.get("tool_choice") not in (None, "none"):
        further["tool_choice"] = "auto"
    return further


class Patience:
    """An `OnRetry` that passes on what it hears, and ends a turn whose requests fail again and again."""

    def __init__(self, tell: OnRetry | None, policy: RetryPolicy) -> None:
        self._tell = tell
        self._left = max(MOST_RETRIES, policy.request_retries, policy.stream_retries)

    def __call__(self, failure: CodexError, seconds: float) -> None:
        """Raises `failure` when there were too many."""
        if self._left == 0:
            raise failure
        self._left -= 1
        if self._tell is not None:
            self._tell(failure, seconds)


# For threads -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear of, in the thread (or task) that runs the turn."""

    call: OnCall | None = None
    """Before a call is run; what it raises ends the turn."""
    approve: Approve | None = None
    """Whether a tool made with `needs_approval` may be run; anything but `True` is no."""
    result: OnResult | None = None
    """After it: what the function gave, or the exception it raised."""
    event: OnEvent | None = None
    """Each event of each response."""
    retry: OnRetry | None = None
    """As `on_retry` of `create`."""


def run(responses: Responses, history: list[Item], steps: Turn, hooks: Hooks) -> ToolRun:
    """Carry out a turn. Raises CodexError when a request fails; its `history` is what to go on with."""
    given: Any = None
    hooks = replace(hooks, retry=Patience(hooks.retry, responses._client._core.retry))
    while True:
        try:
            step = steps.send(given)
            given = _done(responses, step, hooks)
        except StopIteration as end:
            whole: ToolRun = end.value
            return whole
        except CodexError as failure:
            failure.history = history
            raise


def _done(responses: Responses, step: Step, hooks: Hooks) -> Any:
    match step:
        case Run():
            return _results(step, hooks)
        case Compact():
            return responses.compact(step.input, **step.parameters)
        case Ask():
            return _asked(responses, step, hooks)


def _asked(responses: Responses, step: Ask, hooks: Hooks) -> Response:
    with responses.stream(step.input, on_retry=hooks.retry, **step.parameters) as stream:
        if hooks.event is not None:
            for event in stream:
                hooks.event(event)
        return stream.get_final_response()


def _results(step: Run, hooks: Hooks) -> list[Any]:
    for job in step.jobs:
        if hooks.call is not None:
            hooks.call(job.call)
    jobs = [job if _is_free(job) else _decided(job, _asked_for(job, hooks)) for job in step.jobs]
    at_once = step.parallel and len(jobs) > 1
    begun = [_begun(partial(_result, job)) for job in jobs] if at_once else []
    results = []
    for at, job in enumerate(jobs):
        results.append(wait(begun[at]) if at_once else _result(job))
        if hooks.result is not None:
            hooks.result(job.call, results[-1])
    return results


def _is_free(job: Job) -> bool:
    return job.tool is None or not job.tool.needs_approval


def _asked_for(job: Job, hooks: Hooks) -> Any:
    return hooks.approve(job.call) if hooks.approve is not None else False


def _decided(job: Job, answer: Any) -> Job:
    return (
        job
        if answer is True
        else Job(job.call, partial(_raise, ToolCallError("The user declined this call.")))
    )


def _begun(work: Callable[[], Any]) -> Future[Any]:
    context = contextvars.copy_context()
    return in_thread(lambda: context.run(work), daemon=True)


def _result(job: Job) -> Any:
    try:
        result = job.run()
        if inspect.isawaitable(result):
            return wait(_begun(lambda: asyncio.run(_of(result))))  # this thread may have a loop that runs
        return result
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is told to the model
        return error


async def _of(result: Any) -> Any:
    return await result


# For asyncio -------------------------------------------------------------------------------------


async def arun(responses: AsyncResponses, history: list[Item], steps: Turn, hooks: Hooks) -> ToolRun:
    """As `run`. A cancelled turn cancels its async functions; hooks may be async too."""
    given: Any = None
    hooks = replace(hooks, retry=Patience(hooks.retry, responses._client._core.retry))
    while True:
        try:
            step = steps.send(given)
            given = await _adone(responses, step, hooks)
        except StopIteration as end:
            whole: ToolRun = end.value
            return whole
        except CodexError as failure:
            failure.history = history
            raise


async def _adone(responses: AsyncResponses, step: Step, hooks: Hooks) -> Any:
    match step:
        case Run():
            return await _aresults(step, hooks)
        case Compact():
            return await responses.compact(step.input, **step.parameters)
        case Ask():
            return await _aasked(responses, step, hooks)


async def _aasked(responses: AsyncResponses, step: Ask, hooks: Hooks) -> Response:
    async with responses.stream(step.input, on_retry=hooks.retry, **step.parameters) as stream:
        if hooks.event is not None:
            async for event in stream:
                await _heard(hooks.event(event))
        return await stream.get_final_response()


async def _aresults(step: Run, hooks: Hooks) -> list[Any]:
    for job in step.jobs:
        if hooks.call is not None:
            await _heard(hooks.call(job.call))
    jobs = [
        job if _is_free(job) else _decided(job, await _heard(_asked_for(job, hooks))) for job in step.jobs
    ]
    tasks = [asyncio.ensure_future(_aresult(job)) for job in jobs] if step.parallel else []
    results = []
    try:
        for at, job in enumerate(jobs):
            results.append(await (tasks[at] if tasks else _aresult(job)))
            if hooks.result is not None:
                await _heard(hooks.result(job.call, results[-1]))
    finally:
        for task in tasks:
            task.cancel()
    return results


async def _aresult(job: Job) -> Any:
    try:
        if job.is_async:
            return await job.run()
        result = await awaited(_begun(job.run))
        return await result if inspect.isawaitable(result) else result
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is told to the model
        return error


async def _heard(given: Any) -> Any:
    return await given if inspect.isawaitable(given) else given
