"""A running turn: follows the engine, keeps what completes, tells whoever listens.

Nothing that listens can slow it down or stop it, and it ends in exactly one `TurnCompleted`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec

from ..engines.seam import Engine, Tell, TurnRequest
from ..protocol.errors import (
    AuthError,
    CodexError,
    ContextWindowError,
    InvalidRequestError,
    ServiceError,
    StoreError,
    UnreachableError,
    UsageLimitError,
)
from ..protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    CommandOutputDelta,
    ErrorReported,
    FileChange,
    ItemCompleted,
    ItemStarted,
    ModelRerouted,
    Notification,
    Reasoning,
    ReasoningSummaryDelta,
    RunInput,
    ThreadItem,
    ThreadTokenUsage,
    TokenUsageUpdated,
    ToolCall,
    Turn,
    TurnCompleted,
    TurnError,
    TurnPlace,
    TurnResult,
    TurnStarted,
    TurnStatus,
    TurnSteerResponse,
    UserMessage,
    Warned,
    as_inputs,
    is_empty_thought,
)
from .async_store import AsyncStore
from .history import message
from .store import Store

log = logging.getLogger(__name__)

Listener = Callable[[Notification], None]
Work = Callable[[TurnRequest, Tell], Awaitable[None]]
"""What a turn does on its engine: `Engine.run` or `Engine.compact`."""


class AsyncTurnHandle:
    """One turn in progress. Made by `AsyncThread.turn`; belongs to the event loop it was made in.

    `work`: what it does, if it is not `engine.run`.
    """

    def __init__(
        self, engine: Engine, request: TurnRequest, store: AsyncStore, *, work: Work | None = None
    ) -> None:
        self.id = request.turn_id
        self.thread_id = request.thread_id
        self.exception: BaseException | None = None
        self.result: TurnResult | None = None
        self._engine = engine
        self._work = work or engine.run
        self._request = request
        self._store = store
        self._log: list[Notification] = []
        self._news = asyncio.Event()
        self._begun = asyncio.Event()
        self._listeners: list[Listener] = []
        self._open: dict[str, _OpenItem] = {}
        self._items: list[ThreadItem] = []
        self._cut_off: set[str] = set()
        self._usage: ThreadTokenUsage | None = None
        self._model = request.model
        self._writes: list[asyncio.Future[None]] = []
        self._process = os.getpid()
        self._follower = asyncio.create_task(self._follow())
        self._task = asyncio.create_task(self._live())

    @property
    def is_parents(self) -> bool:
        """Whether it runs on in the process that this one was forked from."""
        return self.result is None and os.getpid() != self._process

    def check_process(self) -> None:
        """Raises InvalidRequestError where nothing of it will ever arrive."""
        if self.is_parents:
            raise InvalidRequestError(
                "This turn runs in the process that this one was forked from.",
                hint="Follow it there, or begin one here: the thread works in both.",
            )

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with every notification, those already told included."""
        self.check_process()
        for notification in self._log:
            listener(notification)
        self._listeners.append(listener)

    async def stream(self) -> AsyncIterator[Notification]:
        """Every notification from the first on. Leaving early interrupts the turn."""
        told = 0
        self.check_process()
        try:
            while True:
                while told < len(self._log):
                    notification = self._log[told]
                    told += 1
                    yield notification
                    if isinstance(notification, TurnCompleted):
                        return
                self.check_process()
                self._news.clear()
                await self._news.wait()
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

    async def steer(self, input: RunInput) -> TurnSteerResponse:
        """Say more while it answers. Raises InvalidRequestError when it takes no more."""
        self.check_process()
        await self._begun.wait()
        await asyncio.sleep(0)  # a turn that was made just now gets to its engine first
        await self._engine.steer(self.id, as_inputs(input))
        return TurnSteerResponse(self.id)

    async def run(self) -> TurnResult:
        """Wait for the end. Raises the turn's error, with the partial `TurnResult` as `.result`."""
        self.check_process()
        try:
            result = await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._cancel()
            raise
        if self.exception is not None:
            self.exception.result = result  # type: ignore[attr-defined]  # documented extra
            raise self.exception
        return result

    def _cancel(self) -> None:
        self._follower.cancel()

    async def _live(self) -> TurnResult:
        started, clock = int(time.time()), time.monotonic()
        status = await self._followed()
        # A command may run on after its turn.
        self._settle_open_items("inProgress" if status is TurnStatus.completed else "failed")
        error = _turn_error(self.exception) if self.exception else None
        turn = Turn(
            id=self.id,
            status=status,
            error=error,
            started_at=started,
            completed_at=int(time.time()),
            duration_ms=round((time.monotonic() - clock) * 1000),
        )
        await self._keep_turn(turn)
        self.result = self._result(turn)
        self._tell(TurnCompleted(self.thread_id, turn))
        return self.result

    async def _followed(self) -> TurnStatus:
        await asyncio.wait({self._follower})
        return TurnStatus.interrupted if self._follower.cancelled() else self._follower.result()

    async def _follow(self) -> TurnStatus:
        try:
            if self._store.problem is not None:
                self._tell(Warned(self.thread_id, str(self._store.problem)))
            await self._work(self._request, self._receive)
        except asyncio.CancelledError:
            return TurnStatus.interrupted
        except CodexError as error:
            self.exception = error
            return TurnStatus.failed
        except Exception as error:  # the top of a task: a bug, too, must end the turn
            log.exception("turn %s failed", self.id)
            self.exception = error
            return TurnStatus.failed
        return TurnStatus.completed

    def _receive(self, notification: Notification) -> None:
        self._drop_cut_off(notification)
        if isinstance(notification, AgentMessageDelta | ReasoningSummaryDelta):
            self._opened(notification).append(notification)
        elif isinstance(notification, CommandOutputDelta) and notification.item_id in self._open:
            self._open[notification.item_id].append(notification)
        elif isinstance(notification, ItemStarted):
            if isinstance(notification.item, UserMessage):
                self._break_off_answers()
            self._open[notification.item.id] = _OpenItem(notification.item)
        elif isinstance(notification, ItemCompleted):
            self._open.pop(notification.item.id, None)
            self._items.append(notification.item)
            self._keep_item(notification)
        elif isinstance(notification, TurnStarted):
            self._model = notification.model or self._model
            if notification.place is not None:
                self._keep_place(notification.place)
        elif isinstance(notification, ModelRerouted):
            self._model = notification.to_model
        elif isinstance(notification, TokenUsageUpdated):
            self._usage = notification.token_usage
        self._tell(notification)

    def _drop_cut_off(self, notification: Notification) -> None:
        """Thoughts that a broken connection has ended are thought again: only the last ones are kept."""
        if isinstance(notification, ErrorReported) and notification.will_retry:
            partial = {item_id: opened.partial("failed") for item_id, opened in self._open.items()}
            self._cut_off = {item_id for item_id, item in partial.items() if isinstance(item, Reasoning)}
        elif isinstance(notification, ItemStarted | AgentMessageDelta | ReasoningSummaryDelta):
            for item_id in self._cut_off:
                self._open.pop(item_id, None)
            self._cut_off = set()

    def _opened(self, delta: AgentMessageDelta | ReasoningSummaryDelta) -> _OpenItem:
        item = self._open.get(delta.item_id)
        if item is None:
            kind = (
                AgentMessage(delta.item_id, "")
                if isinstance(delta, AgentMessageDelta)
                else Reasoning(delta.item_id)
            )
            item = self._open[delta.item_id] = _OpenItem(kind)
        return item

    def _settle_open_items(self, status: str) -> None:
        """What was still being produced is kept as far as it came; what was being done, with that status."""
        for item_id in list(self._open):
            self._settle(self._open.pop(item_id).partial(status))

    def _break_off_answers(self) -> None:
        """What was being said is never completed when the user has said more."""
        for item_id, opened in list(self._open.items()):
            if opened.is_answer:
                del self._open[item_id]
                self._settle(opened.partial("failed"))

    def _settle(self, item: ThreadItem | None) -> None:
        if item is None or (isinstance(item, Reasoning) and all(map(is_empty_thought, _thoughts(item)))):
            return
        replay = (message("assistant", item.text),) if isinstance(item, AgentMessage) else ()
        completed = ItemCompleted(self.thread_id, self.id, item, replay)
        self._items.append(item)
        self._tell(completed)
        self._keep_item(completed)

    def _tell(self, notification: Notification) -> None:
        self._log.append(notification)
        self._news.set()
        if isinstance(notification, TurnStarted | TurnCompleted):
            self._begun.set()
        for listener in self._listeners:
            listener(notification)

    def _keep_place(self, place: TurnPlace) -> None:
        self._keep(lambda store: store.place_turn(self.id, place))

    def _keep_item(self, completed: ItemCompleted) -> None:
        self._keep(lambda store: store.add_item(self.id, completed.item, completed.response_items))

    async def _keep_turn(self, turn: Turn) -> None:
        self._keep(
            lambda store: store.finish_turn(
                self.id,
                turn.status,
                error=turn.error,
                usage=self._usage,
                model=self._model,
                duration_ms=turn.duration_ms,
            )
        )
        for failed in await asyncio.gather(*self._writes, return_exceptions=True):
            if isinstance(failed, StoreError):
                self._tell(Warned(self.thread_id, str(failed)))
                return

    def _keep(self, step: Callable[[Store], None]) -> None:
        self._writes.append(asyncio.ensure_future(self._store.run(step)))

    def _result(self, turn: Turn) -> TurnResult:
        return TurnResult(
            id=turn.id,
            status=turn.status,
            error=turn.error,
            started_at=turn.started_at,
            completed_at=turn.completed_at,
            duration_ms=turn.duration_ms,
            final_response=final_response(self._items),
            items=list(self._items),
            usage=self._usage,
        )


def _thoughts(item: Reasoning) -> tuple[str, ...]:
    return (*item.summary, *item.content)


class _OpenItem:
    """An item still being produced, and the text it has so far."""

    def __init__(self, item: ThreadItem) -> None:
        self._item = item
        self._pieces: list[str] = []
        self._summary: dict[int, list[str]] = {}

    def append(self, delta: AgentMessageDelta | CommandOutputDelta | ReasoningSummaryDelta) -> None:
        if isinstance(delta, ReasoningSummaryDelta):
            self._summary.setdefault(delta.summary_index, []).append(delta.delta)
        else:
            self._pieces.append(delta.delta)

    @property
    def is_answer(self) -> bool:
        return isinstance(self._item, AgentMessage | Reasoning)

    def partial(self, status: str) -> ThreadItem | None:
        """The item as far as it came; `None` when nothing of it did."""
        if isinstance(self._item, AgentMessage):
            text = "".join(self._pieces)
            return AgentMessage(self._item.id, text, self._item.phase) if text else None
        if isinstance(self._item, Reasoning):
            parts = tuple("".join(self._summary[index]) for index in sorted(self._summary))
            return Reasoning(self._item.id, parts) if parts else None
        if isinstance(self._item, ToolCall):
            return msgspec.structs.replace(self._item, status="failed", success=False)
        if isinstance(self._item, CommandExecution):
            output = "".join(self._pieces) or self._item.aggregated_output
            return msgspec.structs.replace(self._item, status=status, aggregated_output=output)
        if isinstance(self._item, FileChange):
            return msgspec.structs.replace(self._item, status=status)
        return None


def final_response(items: list[ThreadItem]) -> str | None:
    """The last final answer, or the last message whose phase the model did not say."""
    messages = [item for item in items if isinstance(item, AgentMessage)]
    for phase in ("final_answer", None):
        for item in reversed(messages):
            if item.phase == phase:
                return item.text
    return None


_ERROR_INFO: tuple[tuple[type[CodexError], str], ...] = (
    (UsageLimitError, "usageLimitExceeded"),
    (ContextWindowError, "contextWindowExceeded"),
    (AuthError, "unauthorized"),
    (InvalidRequestError, "badRequest"),
    (ServiceError, "internalServerError"),
    (UnreachableError, "httpConnectionFailed"),
)
"""Our errors in the app-server protocol's words (`codexErrorInfo`)."""


def _turn_error(exception: BaseException) -> TurnError:
    info = next((name for kind, name in _ERROR_INFO if isinstance(exception, kind)), "other")
    if isinstance(exception, CodexError):
        return TurnError(str(exception), info)
    return TurnError(
        f"Something broke inside codex_magic ({type(exception).__name__}). %codex debug shows where.", info
    )
