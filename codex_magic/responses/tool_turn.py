"""A turn in which the model uses tools, to its end.

What the model gets wrong (a name, an argument) and what goes wrong in a function is told to the model,
which can do something about it. The turn is one generator that asks for steps, `turn`; `run` carries them
out. Functions run in threads only where they have to: several calls of one response at a time, and, for
asyncio, functions that are not async.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Generator
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import msgspec

from ..protocol.errors import CodexError, InvalidRequestError, OutputError
from ..protocol.types import TokenUsage
from ..waiting import awaited, in_thread, wait
from .events import Event
from .exchange import OnRetry, RetryPolicy
from .inputs import Item
from .parameters import Parameters
from .response import Response
from .tools import Call, Tool, Toolbox, ToolCallError, calls, plain_result

MOST_ROUNDS = 20
"""Rounds of calls in one turn, unless the caller says otherwise; then the model has to answer."""

FUTILE_ROUNDS = 3
"""Rounds in a row in which nothing was called but tools that do not exist: a model that has been told so
three times will not stop by itself."""

MOST_RETRIES = 10
"""Retries in one turn, or as many as its client's policy allows one request: a service where each request of
a turn needs many attempts would hold it up for hours."""

OnCall = Callable[[Call], Any]
Approve = Callable[[Call], Any]
OnResult = Callable[[Call, Any], Any]
OnEvent = Callable[[Event], Any]


class ToolRun(msgspec.Struct, frozen=True, kw_only=True):
    """A turn with tools, to its end."""

    response: Response
    """The last one, with the answer."""
    items: list[Item]
    """All that came after the input: calls, their results, messages, in order."""
    history: list[Item]
    """The items to send before the next question: input and items."""
    rounds: int
    """How often tools were called."""
    usage: TokenUsage
    """The sum over all requests."""

    @property
    def output_text(self) -> str:
        return self.response.output_text


# The steps ---------------------------------------------------------------------------------------


class Ask(NamedTuple):
    """Send a request; gives a Response."""

    input: list[Item]
    parameters: Parameters


class Job(NamedTuple):
    """A call and what to run for it, which may raise."""

    call: Call
    run: Callable[[], Any]
    tool: Tool | None = None
    """`None` where `run` only tells the model why nothing was run."""

    @property
    def is_async(self) -> bool:
        function = self.run.func if isinstance(self.run, partial) else self.run
        own = getattr(function, "__call__", None)  # noqa: B004  # an object's
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(own)


class Run(NamedTuple):
    """Do the jobs, all at a time if `parallel`; gives their results or exceptions, in order."""

    jobs: list[Job]
    parallel: bool


Step = Ask | Run
Turn = Generator[Step, Any, ToolRun]


def turn(history: list[Item], parameters: Parameters, toolbox: Toolbox, *, max_rounds: int) -> Turn:
    """Yield the steps of the turn; `history`, at first the input, is kept up to date in place.

    After `max_rounds` rounds of calls, or FUTILE_ROUNDS, the model is asked to answer with what it has.
    Raises OutputError when it calls even then.
    """
    parameters = {**parameters, "tools": toolbox.definitions or None}
    parallel = parameters.get("parallel_tool_calls") is not False
    items: list[Item] = []
    usage, rounds, futile = TokenUsage(), 0, 0
    while True:
        is_last = rounds >= max_rounds or futile >= FUTILE_ROUNDS
        # Without tools there is nothing to choose, and services refuse the word.
        choice: Parameters = {"tool_choice": "none"} if is_last and toolbox.definitions else {}
        response: Response = yield Ask(history, {**parameters, **choice})
        usage += response.usage or TokenUsage()
        called = calls(response)
        jobs = [_job(toolbox, call, is_last) for call in called]
        results = (yield Run(jobs, parallel)) if jobs else []
        new = [*response.output, *map(output_item, called, results)]
        items += new
        history += new
        if not called:
            return ToolRun(response=response, items=items, history=[*history], rounds=rounds, usage=usage)
        if is_last:
            names = ", ".join(sorted({call.name for call in called}))
            raise OutputError(
                f"The model was still calling tools ({names}) after {rounds} rounds of calls, and gave no answer.",
                text=response.output_text,
                response=response,
                hint="What it did is kept. Ask again, in smaller steps or with another model.",
            )
        rounds += 1
        futile = 0 if any(toolbox.find(call.namespace, call.name) for call in called) else futile + 1
        parameters["turn_state"] = response.turn_state or parameters.get("turn_state")
        if parameters.get("tool_choice") not in (None, "none"):
            parameters["tool_choice"] = "auto"  # a call that was demanded has been made


def output_item(call: Call, result: Any) -> Item:
    """Return the item that tells the model what came of a call."""
    if isinstance(result, Exception):
        name = "" if isinstance(result, ToolCallError) else f"{type(result).__name__}: "
        return call.output(f"Error: {name}{result}")
    try:
        return call.output(result)
    except InvalidRequestError:
        return call.output(plain_result(result))


def _job(toolbox: Toolbox, call: Call, is_last: bool) -> Job:
    if is_last:
        return Job(call, lambda: "Not run: no more calls are allowed in this turn.")
    try:
        tool = toolbox.called(call)
        return Job(call, tool.bind(call.text), tool)
    except ToolCallError as error:
        refusal = error
        return Job(call, lambda: refusal)


class Patience:
    """An `OnRetry` that passes on what it gets, and ends a turn whose requests fail again and again."""

    def __init__(self, on_retry: OnRetry | None, policy: RetryPolicy) -> None:
        self._on_retry = on_retry
        self._left = max(MOST_RETRIES, policy.request_retries, policy.stream_retries)

    def __call__(self, failure: CodexError, seconds: float) -> None:
        """Raises `failure` when there were too many."""
        if self._left == 0:
            raise failure
        self._left -= 1
        if self._on_retry is not None:
            self._on_retry(failure, seconds)


# Carrying them out -------------------------------------------------------------------------------


class Hooks(NamedTuple):
    """Functions of the caller, called in the thread (or task) that runs the turn; see `run_tools`."""

    call: OnCall | None = None
    approve: Approve | None = None
    result: OnResult | None = None
    event: OnEvent | None = None
    retry: OnRetry | None = None


async def run(
    responses: Any, history: list[Item], steps: Turn, hooks: Hooks, *, blocks: bool = False
) -> ToolRun:
    """Carry out a turn of `client.responses`. Raises CodexError when a request fails; its `history` is what to go on with.

    With `blocks`, where there is no event loop, functions run in the calling thread, and nothing suspends.
    A cancelled turn cancels its async functions.
    """
    outcome: Any = None
    while True:
        try:
            step = steps.send(outcome)
            match step:
                case Run():
                    outcome = await _results(step, hooks, blocks=blocks)
                case Ask():
                    stream = responses.stream(step.input, on_retry=hooks.retry, **step.parameters)
                    async with stream:
                        if hooks.event is not None:
                            async for event in stream:
                                await _awaited(hooks.event(event))
                        outcome = await stream.get_final_response()
        except StopIteration as end:
            whole: ToolRun = end.value
            return whole
        except CodexError as failure:
            failure.history = history
            raise


async def _results(step: Run, hooks: Hooks, *, blocks: bool) -> list[Any]:
    """Do the jobs; those of several threads go on when the turn has ended."""
    for job in step.jobs:
        if hooks.call is not None:
            await _awaited(hooks.call(job.call))
    jobs = [await _approved(job, hooks.approve) for job in step.jobs]
    at_once = step.parallel and len(jobs) > 1
    threads = [_in_thread(partial(_outcome, job)) for job in jobs] if at_once and blocks else []
    tasks = [asyncio.ensure_future(_outcome_on_loop(job)) for job in jobs] if at_once and not blocks else []
    results = []
    try:
        for at, job in enumerate(jobs):
            if blocks:
                results.append(wait(threads[at]) if at_once else _outcome(job))
            else:
                results.append(await (tasks[at] if at_once else _outcome_on_loop(job)))
            if hooks.result is not None:
                await _awaited(hooks.result(job.call, results[-1]))
    finally:
        for task in tasks:
            task.cancel()
    return results


async def _approved(job: Job, approve: Approve | None) -> Job:
    """Return the job, or one that says no."""
    if job.tool is None or not (job.tool.needs_approval or job.tool.question_for):
        return job
    if approve is not None and await _awaited(approve(job.call)) is True:
        return job
    return Job(job.call, lambda: ToolCallError("The user declined this call."))


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _in_thread(work: Callable[[], Any]) -> Future[Any]:
    context = contextvars.copy_context()
    return in_thread(lambda: context.run(work), daemon=True)


def _outcome(job: Job) -> Any:
    """Return what came of a job in the calling thread."""
    try:
        result = job.run()
        if inspect.isawaitable(result):  # this thread may have a loop that runs
            return wait(_in_thread(lambda: asyncio.run(_awaited(result))))
        return result
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is told to the model
        return error


async def _outcome_on_loop(job: Job) -> Any:
    """Return what came of a job; functions that are not async run in threads."""
    try:
        return await _awaited(job.run() if job.is_async else await awaited(_in_thread(job.run)))
    except Exception as error:  # noqa: BLE001  # whatever a tool raises is told to the model
        return error
