"""A running turn: follows the engine, keeps what completes, tells whoever listens.

Nothing that listens can slow it down or stop it, and it ends in exactly one `TurnCompleted`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import msgspec

from ..engines.seam import Engine, Tell, TurnRequest
from ..protocol import errors, types
from ..protocol.secrets import with_texts
from .partial import PRODUCED, Delta, OpenItem, replayed_partial
from .store import AsyncStore, Store

log = logging.getLogger(__name__)

KEEP_SECONDS = 0.75
"""Between two writes of what is being produced; a kill costs at most a second of it, the write included."""

T = TypeVar("T")

OVERLOADED = ("server_is_overloaded", "slow_down")
"""What a service says inside an answer's stream, which has no status any more."""

Listener = Callable[[types.Notification], None]
Work = Callable[[TurnRequest, Tell], Coroutine[Any, Any, None]]
"""What a turn does on its engine: `Engine.run` or `Engine.compact`."""


class AsyncTurnHandle:
    """One turn in progress, in the event loop that it was made in. `work`: what it does, if not `engine.run`."""

    def __init__(
        self, engine: Engine, request: TurnRequest, store: AsyncStore, *, work: Work | None = None
    ) -> None:
        self.id = request.turn_id
        self.thread_id = request.thread_id
        self.exception: BaseException | None = None
        self.unkept: errors.StoreError | None = None  # why not all of it is in the store
        self.result: types.TurnResult | None = None
        self._engine = engine
        self._request = request
        self._store = store
        self._log: list[types.Notification] = []
        self._begun = asyncio.Event()
        self._listeners: list[Listener] = []
        self._open: dict[str, OpenItem] = {}
        self._keeping: asyncio.TimerHandle | None = None
        self._items: list[types.ThreadItem] = []
        self._cut_off: list[str] = []
        self._early: dict[str, list[Delta]] = {}  # output of commands whose start is still to come
        self._usage: types.ThreadTokenUsage | None = None
        self._model = request.model
        self._writes: list[asyncio.Future[None]] = []
        request.outcomes.watch = self._wait
        self._process = os.getpid()
        self._work = asyncio.create_task((work or engine.run)(request, self._receive))
        self._task = asyncio.create_task(self._live())

    @property
    def is_parents(self) -> bool:
        """Whether it runs on in the process that this one was forked from."""
        return self.result is None and os.getpid() != self._process

    def check_process(self) -> None:
        """Raises InvalidRequestError where nothing of it will ever arrive."""
        if self.is_parents:
            where = "This turn runs in the process that this one was forked from."
            hint = "Follow it there, or begin one here: the thread works in both."
            raise errors.InvalidRequestError(where, hint=hint)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every notification, those already told included."""
        self.check_process()
        for notification in self._log:
            listener(notification)
        self._listeners.append(listener)

    async def stream(self) -> AsyncIterator[types.Notification]:
        """Every notification from the first on. Leaving early interrupts the turn."""
        self.check_process()
        notifications: asyncio.Queue[types.Notification] = asyncio.Queue()
        self.subscribe(notifications.put_nowait)
        try:
            while True:
                self.check_process()
                notification = await notifications.get()
                yield notification
                if isinstance(notification, types.TurnCompleted):
                    return
        finally:
            if self.result is None and not self.is_parents:
                self._cancel()

    async def interrupt(self) -> None:
        """Stop the turn and wait until it has ended. What arrived is kept. Harmless when over."""
        self.check_process()
        self._cancel()
        await asyncio.shield(self._task)

    async def ended(self) -> None:
        """Wait for the end, whatever it is; to stop waiting does not stop the turn."""
        await asyncio.wait({self._task})

    async def steer(self, input: types.RunInput) -> types.TurnSteerResponse:
        """Say more while it answers. Raises InvalidRequestError when it takes no more."""
        self.check_process()
        await self._begun.wait()
        await asyncio.sleep(0)  # a turn that was made just now gets to its engine first
        await self._engine.steer(self.id, with_texts(types.as_inputs(input), self._request.mask))
        return types.TurnSteerResponse(self.id)

    async def run(self) -> types.TurnResult:
        """Wait for the end. Raises the turn's error, or that it could not be kept, with the `TurnResult` as `.result`."""
        self.check_process()
        try:
            result = await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._cancel()
            raise
        error = self.exception or self.unkept
        if error is not None:
            error.result = result  # type: ignore[attr-defined]  # documented extra
            raise error
        return result

    async def keep(self) -> None:
        """Write now what came so far, for a process that is about to end."""
        self._keep_pieces()
        await asyncio.gather(*self._writes, return_exceptions=True)

    def _cancel(self) -> None:
        self._request.outcomes.stop()
        self._work.cancel()

    async def _live(self) -> types.TurnResult:
        started, clock = int(time.time()), time.monotonic()
        try:
            await asyncio.wait({self._work})
        except asyncio.CancelledError:  # the loop ends, and takes the turn with it
            self._cancel()
            await asyncio.wait({self._work})
        status = types.TurnStatus.interrupted
        if not self._work.cancelled():
            self.exception = self._work.exception()
            status = types.TurnStatus.failed if self.exception else types.TurnStatus.completed
        if self.exception is not None and not isinstance(self.exception, errors.CodexError):
            log.error("turn %s failed", self.id, exc_info=self.exception)  # a bug, too, must end the turn
        if self._keeping is not None:
            self._keeping.cancel()
        self._request.outcomes.end()
        for opened in list(self._open.values()):
            may_go_on = status is types.TurnStatus.completed and not isinstance(opened.item, types.ToolCall)
            self._complete(opened, "inProgress" if may_go_on else "failed")  # as a command after its turn
        error = _turn_error(self.exception) if self.exception else None
        milliseconds = round((time.monotonic() - clock) * 1000)
        turn = types.Turn(self.id, status, (), error, started, int(time.time()), milliseconds)
        await self._keep_turn(turn)
        values = {"items": list(self._items), "final_response": final_response(self._items)}
        self.result = types.TurnResult(**msgspec.structs.asdict(turn) | values, usage=self._usage)
        self._tell(types.TurnCompleted(self.thread_id, turn))
        return self.result

    def _receive(self, notification: types.Notification) -> None:
        # What the model was writing when a connection broke is dropped as soon as it writes again: it repeats that.
        if isinstance(notification, types.ErrorReported) and notification.will_retry:
            self._cut_off = [key for key, opened in self._open.items() if isinstance(opened.item, PRODUCED)]
        elif self._cut_off and isinstance(notification, types.ItemStarted | Delta):
            for item_id in self._cut_off:
                self._open.pop(item_id, None)
            self._keep(partial(Store.drop_pieces, turn_id=self.id, item_ids=self._cut_off))
            self._cut_off = []
        if isinstance(notification, Delta):
            self._grow(notification)
        elif isinstance(notification, types.ItemStarted):
            if isinstance(notification.item, types.UserMessage):
                for opened in list(self._open.values()):
                    if isinstance(opened.item, types.AgentMessage | types.Reasoning):
                        self._complete(opened, "failed")  # an answer ends where the user has said more
            item = self._begin(self._request.outcomes.begun(notification.item))
            notification = msgspec.structs.replace(notification, item=item)
        elif isinstance(notification, types.ItemCompleted):
            notification = self._keep_item(notification)
        elif isinstance(notification, types.TurnStarted):
            self._model = notification.model or self._model
            if notification.place:
                self._keep(partial(Store.place_turn, turn_id=self.id, place=notification.place))
        elif isinstance(notification, types.ModelRerouted):
            self._model = notification.to_model
        elif isinstance(notification, types.TokenUsageUpdated):
            self._usage = notification.token_usage
        self._tell(notification)

    def _begin(self, item: types.ThreadItem) -> types.ThreadItem:
        opened = self._open.get(item.id)
        if opened is None or type(opened.item) is not type(item):
            self._open[item.id] = opened = OpenItem(item)
        for delta in self._early.pop(item.id, ()):
            if opened.takes(delta):
                opened.append(delta)
        self._keep_soon()
        return opened.begin(item)

    def _grow(self, delta: Delta) -> None:
        opened = self._open.get(delta.item_id)
        if opened is None or not opened.takes(delta):
            opened = OpenItem.of(delta)
        if opened is None:
            self._early.setdefault(delta.item_id, []).append(delta)
        else:
            self._open[delta.item_id] = opened
            opened.append(delta)
            self._keep_soon()

    def _wait(self, item_id: str, status: str) -> None:
        opened = self._open.get(item_id)
        item = opened.item if opened is not None else None
        if isinstance(item, types.CommandExecution | types.FileChange | types.ToolCall):
            item = msgspec.structs.replace(item, status=status)
            self._receive(types.ItemStarted(self.thread_id, self.id, item))

    def _complete(self, opened: OpenItem, status: str) -> None:
        """Complete an item as far as it came, with that status if it is something done; no thought that says nothing."""
        item = self._open.pop(opened.item.id).partial(status)
        thoughts = (*item.summary, *item.content) if isinstance(item, types.Reasoning) else ("no thought",)
        if item is not None and not all(map(types.is_empty_thought, thoughts)):
            completed = types.ItemCompleted(self.thread_id, self.id, item, replayed_partial(item))
            self._tell(self._keep_item(completed))

    def _keep_item(self, completed: types.ItemCompleted) -> types.ItemCompleted:
        """Keep an item with the status that it really has, also for whoever goes on with the thread."""
        opened, item = self._open.pop(completed.item.id, None), completed.item
        item = self._request.outcomes.settled(opened.whole(item) if opened else item)
        if item != completed.item:
            told_again = replayed_partial(item) or completed.response_items
            if isinstance(item, types.CommandExecution | types.FileChange):
                from ..engines.replay import replayed  # only its items have two ways to be told

                told_again = replayed(item)
            completed = msgspec.structs.replace(completed, item=item, response_items=told_again)
        self._items.append(item)
        sent = completed.response_items
        self._keep(partial(Store.add_item, turn_id=self.id, item=item, response_items=sent))
        return completed

    def _tell(self, notification: types.Notification) -> None:
        self._log.append(notification)
        if isinstance(notification, types.TurnStarted | types.TurnCompleted):
            self._begun.set()
        for listener in self._listeners:
            listener(notification)

    def _keep_soon(self) -> None:
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._keep_pieces)

    def _keep_pieces(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        if pieces := [piece for opened in self._open.values() for piece in opened.new_pieces()]:
            self._keep(partial(Store.add_pieces, turn_id=self.id, pieces=pieces))

    async def _keep_turn(self, turn: types.Turn) -> None:
        end: dict[str, Any] = {"usage": self._usage, "model": self._model, "duration_ms": turn.duration_ms}
        self._keep(partial(Store.finish_turn, turn_id=self.id, status=turn.status, error=turn.error, **end))
        if not (self._request.inputs or self._items):  # a compaction that was refused
            self._keep(partial(Store.withdraw, turn_id=self.id))
        results = await asyncio.gather(*self._writes, return_exceptions=True)
        failure = next((each for each in results if isinstance(each, Exception)), None)
        if failure is not None and not isinstance(failure, errors.StoreError):
            log.error("a part of a turn could not be kept", exc_info=failure)
            failure = errors.StoreError(f"A part of this turn could not be kept ({type(failure).__name__}).")
        if failure is not None:
            self.unkept = failure
            self._tell(types.Warned(self.thread_id, str(failure)))

    def _keep(self, step: Callable[[Store], None]) -> None:
        self._writes.append(self._store.begin(step))


def final_response(items: list[types.ThreadItem]) -> str | None:
    """The last final answer, or the last message whose phase the model did not say."""
    messages = [item for item in reversed(items) if isinstance(item, types.AgentMessage)]
    texts = (item.text for phase in ("final_answer", None) for item in messages if item.phase == phase)
    return next(texts, None)


_ERROR_INFO: dict[type[errors.CodexError], str] = {
    errors.UsageLimitError: "usageLimitExceeded",
    errors.ContextWindowError: "contextWindowExceeded",
    errors.AuthError: "unauthorized",
    errors.InvalidRequestError: "badRequest",
    errors.ServiceError: "internalServerError",
    errors.UnreachableError: "httpConnectionFailed",
}
"""Our errors in the app-server protocol's words (`codexErrorInfo`)."""


def _turn_error(exception: BaseException) -> types.TurnError:
    info = next((name for kind, name in _ERROR_INFO.items() if isinstance(exception, kind)), "other")
    text = str(exception)
    if not isinstance(exception, errors.CodexError):
        text = f"Something broke inside codex_magic ({type(exception).__name__}). Details: `%codex debug`"
    return types.TurnError(text, info)


# Trying again what a busy server refused ------------------------------------------------------------


def is_retryable_error(exc: BaseException) -> bool:
    """Whether the same call may succeed in a moment: overload and rate limits, not a used-up quota."""
    if isinstance(exc, errors.ServiceError):
        busy = exc.status in (502, 503, 504, 529) or exc.code in OVERLOADED
        return busy and not isinstance(exc, errors.BlockedError)
    if isinstance(exc, errors.RateLimitError):
        return not isinstance(exc, errors.UsageLimitError)
    return isinstance(exc, errors.ServerBusyError)


def retry_on_overload(
    op: Callable[[], T],
    *,
    max_attempts: int = 3,
    initial_delay_s: float = 0.25,
    max_delay_s: float = 2.0,
    jitter_ratio: float = 0.2,
) -> T:
    """Call `op` until it succeeds, fails otherwise, or has failed `max_attempts` times.

    The delay doubles, up to `max_delay_s`, give or take `jitter_ratio` of it. Where `op` returns something to
    await, as `AsyncThread.run` does, so does this.
    """
    delays = [min(max_delay_s, initial_delay_s * 2**n) for n in range(max_attempts - 1)]
    pauses = [delay * random.uniform(1 - jitter_ratio, 1 + jitter_ratio) for delay in delays]

    async def awaiting(result: Any) -> Any:
        while True:
            try:
                return await result
            except Exception as error:
                if not pauses or not is_retryable_error(error):
                    raise
            await asyncio.sleep(pauses.pop(0))
            result = op()

    while True:
        try:
            result = op()
            is_awaited = inspect.isawaitable(result)
            return awaiting(result) if is_awaited else result  # type: ignore[return-value]  # T is awaited
        except Exception as error:
            if not pauses or not is_retryable_error(error):
                raise
        time.sleep(pauses.pop(0))
