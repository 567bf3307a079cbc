"""The engine that is the codex program: turns over JSON-RPC, told as notifications under our ids."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from ...protocol.errors import CodexError, InvalidRequestError, JsonRpcError, NotSignedInError, TimedOutError
from ...protocol.settings import Settings
from ...protocol.types import (
    InputItem,
    ItemCompleted,
    Notification,
    ThreadTokenUsage,
    TokenUsage,
    TokenUsageUpdated,
    Turn,
    TurnCompleted,
    TurnPlace,
    TurnStarted,
    TurnStatus,
    Warned,
)
from ...responses.provider import Provider
from ..seam import Continuation, Tell, TurnRequest
from .connection import Connection, Subscription
from .failures import turn_failure
from .notifications import readdressed, turn_of
from .parameters import start_parameters, thread_parameters, turn_parameters
from .questions import Questions, unasked
from .replay import replayed
from .server import AppServer

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""For an interrupted turn to end, which takes some 10 ms; a process that takes longer is killed."""


class AppServerEngine:
    """Turns of the codex program. Belongs to the event loop it is first used in.

    `provider`: where the program sends its requests; `None` leaves that to its own configuration.
    """

    def __init__(self, settings: Settings, provider: Provider | None = None) -> None:
        self.server = AppServer(settings, self._answer, config=_moved(settings))
        self._provider = provider
        self._signed_in: Connection | None = None
        self._account_changed = False
        self._running: dict[str, _RunningTurn] = {}
        self._allowed: defaultdict[str, set[str]] = defaultdict(set)

    async def close(self) -> None:
        await self.server.close()

    def follow(self) -> None:
        """Go on with whoever is signed in now: the next turn starts a program that reads it anew."""
        self._account_changed = True

    async def run(self, request: TurnRequest, tell: Tell) -> None:
        """One turn; see `seam.Engine`. One at a time in a thread: a second would only add to the first."""
        parameters = turn_parameters(request)
        connection = await self._connection()
        thread_id = await self._opened(connection, request, tell)
        others = Warned(
            request.thread_id, "Another session runs a turn in this thread; this one comes after it."
        )
        async with connection.pipe.alone_in(thread_id, lambda: tell(others)):
            with connection.subscribed(thread_id) as subscription:
                turn = _RunningTurn(connection, thread_id, subscription, request, tell)
                turn.questions = self._questions(turn, request)
                self._running[thread_id] = turn
                try:
                    await turn.run(parameters)
                finally:
                    del self._running[thread_id]

    async def steer(self, turn_id: str, inputs: tuple[InputItem, ...]) -> None:
        """Say more to a running turn: what it is answering is broken off, and it answers to both."""
        for turn in self._running.values():
            if turn.request.turn_id == turn_id:
                await turn.steer(inputs)
                return
        raise InvalidRequestError("This turn is not running.", hint="Start a new one.")

    async def compact(self, request: TurnRequest, tell: Tell) -> None:
        raise InvalidRequestError("This engine can't shorten a thread.")

    async def _connection(self) -> Connection:
        """A process that is signed in. One that is not is ended: it would not notice that someone signs in."""
        if self._account_changed:
            self._account_changed = False
            await self.server.close()
        connection = await self.server.connection()
        if self._provider is None and connection is not self._signed_in:
            account = await connection.call("account/read", {})
            if account.get("requiresOpenaiAuth") and account.get("account") is None:
                await self.server.close()
                raise NotSignedInError
            self._signed_in = connection
        return connection

    # Threads -------------------------------------------------------------------------------------

    async def _opened(self, connection: Connection, request: TurnRequest, tell: Tell) -> str:
        """The program's thread, with all of our history in it."""
        continuation = request.continuation
        tools = request.tools.version if request.tools else ""
        if continuation is not None and continuation.place.tools == tools:
            thread_id = await self._gone_on(connection, request, continuation, tell)
            if thread_id is not None:
                await _inject(connection, thread_id, continuation.unseen)
                return thread_id
        parameters = {**thread_parameters(request, self._provider), **start_parameters(request)}
        thread_id = await _load(connection, "thread/start", parameters)
        await _inject(connection, thread_id, request.history)
        return thread_id

    async def _gone_on(
        self, connection: Connection, request: TurnRequest, continuation: Continuation, tell: Tell
    ) -> str | None:
        """The thread of the earlier turn, or a fork of it; `None` when the program has it no more."""
        place = continuation.place
        known = {**thread_parameters(request, self._provider), "threadId": place.thread_id}
        known["excludeTurns"] = True
        forked = {**known, "lastTurnId": place.turn_id}
        try:
            if not continuation.is_last:
                return await _load(connection, "thread/fork", forked)
            if place.thread_id in connection.threads:
                return place.thread_id
            return await _load(connection, "thread/resume", known)
        except JsonRpcError as error:
            if "active writer" in error.message:
                tell(
                    Warned(request.thread_id, "This thread is open in another process; here a copy goes on.")
                )
                return await _load(connection, "thread/fork", forked)
            if "no rollout found" in error.message or "thread not found" in error.message:
                return None
            raise

    # Requests of the program ---------------------------------------------------------------------

    def _questions(self, turn: _RunningTurn, request: TurnRequest) -> Questions:
        return Questions(
            thread_id=request.thread_id,
            turn_id=request.turn_id,
            approvals=request.asked,
            sandbox=request.sandbox,
            tools=request.tools,
            changes=lambda item_id: turn.subscription.changes.get(item_id, ()),
            allowed=self._allowed[request.thread_id],
            interrupt=turn.interrupt,
        )

    async def _answer(self, method: str, params: dict[str, Any]) -> Any:
        turn = self._running.get(params.get("threadId", ""))
        if turn is None or turn.questions is None:
            return unasked(method)
        return await turn.questions.answer(method, params)


class _RunningTurn:
    """One turn of the program, from `turn/start` to `turn/completed`."""

    def __init__(
        self,
        connection: Connection,
        thread_id: str,
        subscription: Subscription,
        request: TurnRequest,
        tell: Tell,
    ) -> None:
        self.request = request
        self.subscription = subscription
        self.questions: Questions | None = None
        self._connection = connection
        self._thread_id = thread_id
        self._tell = tell
        self._started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._interrupting: asyncio.Task[None] | None = None
        self._before: TokenUsage | None = None
        self._completed: Turn | None = None

    async def run(self, parameters: dict[str, Any]) -> None:
        """Raises what the turn failed with, and CancelledError when the program interrupted it."""
        starting = asyncio.ensure_future(self._start(parameters))
        try:
            await asyncio.shield(starting)
            turn = await self._listen()
        except BaseException:
            if self._completed is None:
                await _to_its_end(self._stop(starting))
            raise
        if turn.status is TurnStatus.interrupted:
            raise asyncio.CancelledError
        if turn.status is TurnStatus.failed:
            raise turn_failure(turn.error)

    async def steer(self, inputs: Iterable[InputItem]) -> None:
        turn_id = await asyncio.shield(self._started)
        parameters = {
            "threadId": self._thread_id,
            "expectedTurnId": turn_id,
            "input": msgspec.to_builtins(list(inputs)),
        }
        try:
            await self._connection.call("turn/steer", parameters)
        except JsonRpcError as error:
            raise InvalidRequestError("This turn takes no more input.", hint="Start a new one.") from error

    async def interrupt(self) -> None:
        """Ask once: the program answers a second time never."""
        if self._interrupting is None:
            self._interrupting = asyncio.ensure_future(self._interrupt())
        await asyncio.shield(self._interrupting)

    async def _start(self, parameters: dict[str, Any]) -> None:
        try:
            started = await self._connection.call("turn/start", {"threadId": self._thread_id, **parameters})
        except BaseException as error:
            self._started.set_exception(error)
            self._started.exception()  # nobody else may be waiting for it
            raise
        self._started.set_result(started["turn"]["id"])
        self._tell(self._told_start(started["turn"]["id"]))

    def _told_start(self, turn_id: str) -> TurnStarted:
        request = self.request
        model = request.model or self._connection.threads[self._thread_id].get("model")
        version = request.tools.version if request.tools else ""
        place = None
        if not request.ephemeral:
            place = TurnPlace(self._thread_id, turn_id, past=request.past, tools=version)
        turn = Turn(request.turn_id, TurnStatus.in_progress, started_at=int(time.time()))
        return TurnStarted(request.thread_id, turn, model, place)

    async def _listen(self) -> Turn:
        while True:
            notification = await self.subscription.next()
            if turn_of(notification) not in (None, self._started.result()):
                continue
            if isinstance(notification, TurnCompleted):
                self._completed = notification.turn
                return notification.turn
            self._tell(self._ours(notification))

    def _ours(self, notification: Notification) -> Notification:
        ours = readdressed(notification, thread_id=self.request.thread_id, turn_id=self.request.turn_id)
        if isinstance(ours, ItemCompleted):
            return msgspec.structs.replace(ours, response_items=replayed(ours.item))
        if isinstance(ours, TokenUsageUpdated):
            return msgspec.structs.replace(ours, token_usage=self._usage_of_turn(ours.token_usage))
        return ours

    def _usage_of_turn(self, usage: ThreadTokenUsage) -> ThreadTokenUsage:
        """The program counts the whole thread."""
        if self._before is None:
            self._before = usage.total - usage.last
        return msgspec.structs.replace(usage, total=usage.total - self._before)

    async def _stop(self, starting: asyncio.Future[None]) -> None:
        """End the turn there too, and take what it still has to say."""
        try:
            await asyncio.wait_for(asyncio.shield(starting), STOP_SECONDS)
            await self.interrupt()
            await asyncio.wait_for(self._listen(), STOP_SECONDS)
        except (asyncio.TimeoutError, TimedOutError):
            log.warning("the app-server did not stop a turn within %s s and is killed", STOP_SECONDS)
            self._connection.kill()
        except CodexError as error:
            log.debug("a turn that was to be stopped: %s", error)

    async def _interrupt(self) -> None:
        where = {"threadId": self._thread_id, "turnId": await asyncio.shield(self._started)}
        with suppress(JsonRpcError):  # it has just ended by itself
            await self._connection.call("turn/interrupt", where, timeout=STOP_SECONDS)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for it even while being cancelled again: a turn is stopped once, and properly."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()):
        log.error("a turn could not be stopped", exc_info=error)


async def _load(connection: Connection, method: str, parameters: dict[str, Any]) -> str:
    """The thread that `method` opens, remembered as loaded."""
    opened = await connection.call(method, parameters)
    thread_id = str(opened["thread"]["id"])
    connection.threads[thread_id] = opened
    return thread_id


async def _inject(connection: Connection, thread_id: str, items: Iterable[dict[str, Any]]) -> None:
    """Put what happened elsewhere into the thread. Sealed reasoning stays with the service that made it."""
    given = [item for item in items if "encrypted_content" not in item]
    if given:
        await connection.call("thread/inject_items", {"threadId": thread_id, "items": given})


def _moved(settings: Settings) -> dict[str, str]:
    """Addresses of ours that differ from the real ones, for the program too."""
    if settings.base_url == Settings.base_url:
        return {}
    return {
        "openai_base_url": f'"{settings.base_url}"',
        "chatgpt_base_url": f'"{settings.chatgpt_url}/"',
    }
