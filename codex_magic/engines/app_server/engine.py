"""The engine that is the codex program: turns over JSON-RPC, told as notifications under our ids."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ...protocol.errors import CodexError, InvalidRequestError, JsonRpcError, NotSignedInError, TimedOutError
from ...protocol.runtime import InitializeResponse
from ...protocol.settings import Settings
from ...protocol.types import (
    InputItem,
    ItemCompleted,
    ItemStarted,
    Notification,
    RateLimits,
    ThreadTokenUsage,
    TokenUsageUpdated,
    Turn,
    TurnCompleted,
    TurnPlace,
    TurnStarted,
    TurnStatus,
    UnknownNotification,
    Warned,
)
from ...responses.catalog import Model
from ...responses.provider import Provider, key_of
from ...responses.usage import no_limits
from ..seam import Continuation, Tell, TurnRequest
from . import kept
from .connection import Connection, Subscription
from .environment import exclusions, withheld
from .failures import turn_failure
from .kept import KeptThread
from .notifications import readdressed, turn_of
from .parameters import (
    fork_parameters,
    own_provider,
    start_parameters,
    steered,
    thread_parameters,
    turn_parameters,
)
from .questions import Questions, unasked
from .replay import as_said, replayed
from .server import AppServer, Launch
from .sharing import account_of
from .usual import Usual

log = logging.getLogger(__name__)

_GONE = ("no rollout found", "thread not found", "turn not found")
"""Words of the program about what it does not have, or no more."""

STOP_SECONDS = 5.0
"""For an interrupted turn to end, which takes some 10 ms; a process that takes longer is killed."""

REFUSED_SECONDS = 0.02
"""Until an interrupt is sent again: a turn takes none in the milliseconds between its answer and its begin."""


class AppServerEngine:
    """Turns of the codex program. Belongs to the event loop it is first used in.

    `provider`: where the program sends its requests; `None` leaves that to its own configuration.
    `stand_in`: the one for when that needs a sign-in and there is none.
    """

    def __init__(
        self,
        settings: Settings,
        provider: Provider | None = None,
        *,
        stand_in: Provider | None = None,
        launch: Launch | None = None,
    ) -> None:
        launch = launch or Launch()
        launch = dataclasses.replace(launch, config=(*_moved(settings), *launch.config))
        self.server = AppServer(settings, self._answer, launch)
        self._settings = settings
        self._own = self._provider = provider
        self._stand_in = stand_in
        self._signed_in: Connection | None = None
        self._account: list[str | None] = []
        self._begun: dict[str, asyncio.Future[_RunningTurn]] = {}
        self._running: dict[str, _RunningTurn] = {}
        self._allowed: defaultdict[str, set[str]] = defaultdict(set)
        self._usual = Usual()

    async def close(self) -> None:
        await self.server.close()

    def abandon(self) -> None:
        """End the process when its event loop has ended, and nothing of it can be waited for any more."""
        if self.server.running is not None:
            with suppress(RuntimeError):  # the loop is closed
                self.server.running.kill()

    async def run(self, request: TurnRequest, tell: Tell) -> None:
        """One turn; see `seam.Engine`. One at a time in a thread: a second would only add to the first."""
        await self._run(request, tell, "turn/start", turn_parameters(request))

    async def compact(self, request: TurnRequest, tell: Tell) -> None:
        """Let the program shorten its thread; what it was shortened to, it does not tell."""
        if not (await request.earlier()).items:
            raise InvalidRequestError("There is nothing to shorten yet.", hint="Ask something first.")
        await self._run(request, tell, "thread/compact/start", {})

    async def _run(self, request: TurnRequest, tell: Tell, method: str, parameters: dict[str, Any]) -> None:
        begun = self._begun[request.turn_id] = asyncio.get_running_loop().create_future()
        try:
            await self._run_begun(request, tell, method, parameters, begun)
        finally:
            del self._begun[request.turn_id]
            begun.cancel()

    async def _run_begun(
        self,
        request: TurnRequest,
        tell: Tell,
        method: str,
        parameters: dict[str, Any],
        begun: asyncio.Future[_RunningTurn],
    ) -> None:
        connection = await (self._program() if own_provider(request) else self._connection())
        thread_id = await self._opened(connection, request, tell)
        if method == "turn/start":
            parameters = {**await self._usual.parameters(connection, thread_id, request), **parameters}
        others = Warned(
            request.thread_id, "Another session runs a turn in this thread; this one comes after it."
        )
        async with connection.pipe.alone_in(thread_id, lambda: tell(others)):
            with connection.subscribed(thread_id) as subscription:
                turn = _RunningTurn(
                    connection,
                    thread_id,
                    subscription,
                    request,
                    tell,
                    reopen=lambda: self._resumed(connection, request, thread_id),
                )
                turn.questions = self._questions(turn, request)
                self._running[thread_id] = turn
                begun.set_result(turn)
                try:
                    await turn.run(method, parameters)
                finally:
                    del self._running[thread_id]

    async def steer(self, turn_id: str, inputs: tuple[InputItem, ...]) -> None:
        """Say more to a running turn: what it is answering is broken off, and it answers to both."""
        begun = self._begun.get(turn_id)
        if begun is not None:
            await asyncio.wait({begun})  # the program may be starting still
        if begun is None or begun.cancelled():
            raise InvalidRequestError("This turn is not running.", hint="Start a new one.")
        await begun.result().steer(inputs)

    @property
    def answerer(self) -> str:
        """Whose encrypted reasoning it can be sent: that of a provider or an account, not of another."""
        if self._own is not None:
            return f"app-server {self._own.name}"
        _, account, _ = account_of(self._settings.codex_home) or (None, None, None)
        return f"app-server {account}" if account else "app-server"

    async def _program(self) -> Connection:
        """The running process. One that was started for another account is ended: it would not notice."""
        account = account_of(self._settings.codex_home) if self._own is None else []
        if account != self._account:
            self._account, self._provider = account, self._own
            await self.server.close()
        return await self.server.connection()

    async def _connection(self) -> Connection:
        """The same, signed in, or with a provider that needs it not."""
        connection = await self._program()
        if self._provider is None and connection is not self._signed_in:
            account = await connection.call("account/read", {})
            if account.get("requiresOpenaiAuth") and account.get("account") is None:
                if self._stand_in is None:
                    await self.server.close()
                    raise NotSignedInError
                self._provider = self._stand_in
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
        parameters = {**await self._parameters(connection, request), **start_parameters(request)}
        thread_id = await self._load(connection, request, "thread/start", parameters)
        await _inject(connection, thread_id, (await request.earlier()).items)
        return thread_id

    async def _parameters(self, connection: Connection, request: TurnRequest) -> dict[str, Any]:
        key = key_of(self._provider) if self._provider else None
        names = withheld(self.server.environment, allowed=self._settings.agent_variables, key=key)
        if names:
            own = exclusions(request.config or {})
            if own is None:
                config = (await connection.call("config/read", {"cwd": request.cwd}))["config"]
                own = exclusions(config)
            names = [*(own or ()), *names]
        return thread_parameters(request, self._provider, names)

    async def _gone_on(
        self, connection: Connection, request: TurnRequest, continuation: Continuation, tell: Tell
    ) -> str | None:
        """The thread of the earlier turn, or a fork of it; `None` when the program has it no more."""
        place = continuation.place
        forked = await self._reopening(connection, request, place.thread_id)
        forked.update(**fork_parameters(request), lastTurnId=place.turn_id)
        try:
            if not continuation.is_last:
                return await self._forked(connection, request, forked)
            if place.thread_id in connection.threads:
                return place.thread_id
            return await self._resumed(connection, request, place.thread_id)
        except JsonRpcError as error:
            if "active writer" in error.message:
                tell(
                    Warned(request.thread_id, "This thread is open in another process; here a copy goes on.")
                )
                return await self._load(connection, request, "thread/fork", forked)
            if any(words in error.message for words in _GONE):
                return None
            raise

    async def _reopening(
        self, connection: Connection, request: TurnRequest, thread_id: str
    ) -> dict[str, Any]:
        return {**await self._parameters(connection, request), "threadId": thread_id, "excludeTurns": True}

    async def _resumed(self, connection: Connection, request: TurnRequest, thread_id: str) -> str:
        """The thread from its file; no longer archived, if it was."""
        parameters = await self._reopening(connection, request, thread_id)
        try:
            return await self._load(connection, request, "thread/resume", parameters)
        except JsonRpcError as error:
            if "is archived" not in error.message:
                raise
        await connection.call("thread/unarchive", {"threadId": thread_id})
        return await self._load(connection, request, "thread/resume", parameters)

    async def _forked(self, connection: Connection, request: TurnRequest, forked: dict[str, Any]) -> str:
        """A fork; one of an archived thread, which stays that."""
        try:
            return await self._load(connection, request, "thread/fork", forked)
        except JsonRpcError as error:
            if "is archived" not in error.message:
                raise
        archived = {"threadId": forked["threadId"]}
        await connection.call("thread/unarchive", archived)
        try:
            return await self._load(connection, request, "thread/fork", forked)
        finally:
            await connection.call("thread/archive", archived)

    async def _load(
        self, connection: Connection, request: TurnRequest, method: str, parameters: dict[str, Any]
    ) -> str:
        """The thread that `method` opens, remembered as loaded, under the name that it has with us."""
        opened = await connection.call(method, parameters)
        thread_id = str(opened["thread"]["id"])
        connection.threads[thread_id] = opened
        if request.name and not request.ephemeral and opened["thread"].get("name") != request.name:
            await self.rename(thread_id, request.name)
        return thread_id

    # What the program keeps ----------------------------------------------------------------------

    async def metadata(self) -> InitializeResponse:
        """How the program introduces itself."""
        return kept.introduction((await self._program()).metadata)

    @property
    def known_metadata(self) -> InitializeResponse | None:
        """The same, if it is running."""
        running = self.server.running
        return kept.introduction(running.metadata) if running else None

    async def models(self, *, include_hidden: bool) -> list[Model]:
        """The program's catalog, the default first."""
        return await kept.models(await self._program(), include_hidden=include_hidden)

    async def rate_limits(self) -> RateLimits:
        """How much of the plan is left. Raises NotSignedInError, ConfigurationError."""
        connection = await self._connection()
        try:
            return await kept.rate_limits(connection)
        except JsonRpcError as error:
            if "authentication required" not in error.message:
                raise
            raise no_limits("An API key") from error

    async def threads(self, parameters: Mapping[str, Any]) -> tuple[list[KeptThread], str | None]:
        """A page of the program's own threads, and the cursor of the next."""
        return await kept.threads(await self._program(), parameters)

    async def kept_thread(
        self, thread_id: str, *, known: Collection[str] = ()
    ) -> tuple[KeptThread, list[Turn]] | None:
        """One of the program's own threads, and its turns after the last that is `known`."""
        connection = await self._program()
        try:
            found = await kept.thread(connection, thread_id)
        except JsonRpcError as error:
            log.debug("the app-server has no thread %s: %s", thread_id, error)
            return None
        return found, await kept.turns(connection, thread_id, known=known)

    # Told to the program as well: ours is done already, so that it fails is no failure. A program that
    # is not running is not started for it.

    def has_loaded(self, thread_id: str) -> bool:
        running = self.server.running
        return running is not None and thread_id in running.threads

    async def rename(self, thread_id: str, name: str) -> bool:
        return await self._mirror("thread/name/set", thread_id, name=name)

    async def archive(self, thread_id: str) -> bool:
        return thread_id not in self._running and await self._mirror("thread/archive", thread_id)

    async def unarchive(self, thread_id: str) -> bool:
        return await self._mirror("thread/unarchive", thread_id)

    async def revert(self, place: TurnPlace) -> bool:
        """Take that turn and the later ones out of its thread, where that is loaded and idle."""
        if place.thread_id in self._running or not self.has_loaded(place.thread_id):
            return False
        return await self._mirror("thread/revert", place.thread_id, beforeTurnId=place.turn_id)

    async def _mirror(self, method: str, thread_id: str, **parameters: Any) -> bool:
        running = self.server.running
        if running is None:
            return False
        try:
            await running.call(method, {"threadId": thread_id, **parameters})
        except CodexError as error:
            log.info("the app-server did not follow: %s", error.message)
            return False
        return True

    # Requests of the program ---------------------------------------------------------------------

    def _questions(self, turn: _RunningTurn, request: TurnRequest) -> Questions:
        return Questions(
            thread_id=request.thread_id,
            turn_id=request.turn_id,
            approvals=request.ask,
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
        *,
        reopen: Callable[[], Awaitable[object]],
    ) -> None:
        self.request = request
        self.subscription = subscription
        self.questions: Questions | None = None
        self._connection = connection
        self._thread_id = thread_id
        self._tell = tell
        self._reopen = reopen
        self._started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._interrupting: asyncio.Task[None] | None = None
        self._is_compaction = False
        self._first: ThreadTokenUsage | None = None
        self._completed: Turn | None = None

    async def run(self, method: str, parameters: dict[str, Any]) -> None:
        """Raises what the turn failed with, and CancelledError when the program interrupted it."""
        starting = asyncio.ensure_future(self._start(method, parameters))
        starting.add_done_callback(_seen)
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

    async def steer(self, inputs: Sequence[InputItem]) -> None:
        turn_id = await asyncio.shield(self._started)
        parameters = {
            "threadId": self._thread_id,
            "expectedTurnId": turn_id,
            "input": steered(inputs),
        }
        try:
            await self._connection.call("turn/steer", parameters)
        except JsonRpcError as error:
            raise InvalidRequestError("This turn takes no more input.", hint="Start a new one.") from error

    async def interrupt(self) -> None:
        """Ask once: the program answers a second time never. One that does not do it is killed."""
        if self._interrupting is None:
            self._interrupting = asyncio.ensure_future(self._interrupt())
            self._interrupting.add_done_callback(_seen)
        await asyncio.shield(self._interrupting)

    async def _start(self, method: str, parameters: dict[str, Any]) -> None:
        try:
            started = await self._asked(method, {"threadId": self._thread_id, **parameters})
            self._is_compaction = "turn" not in started
            turn_id = await self._begun() if self._is_compaction else started["turn"]["id"]
        except BaseException as error:
            self._started.set_exception(error)
            self._started.exception()  # nobody else may be waiting for it
            raise
        self._started.set_result(turn_id)
        self._tell(self._told_start(turn_id))

    async def _asked(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        try:
            return await self._connection.call(method, parameters)
        except JsonRpcError as error:
            if "thread not found" not in error.message:
                raise
        await self._reopen()  # another session has archived it under us
        return await self._connection.call(method, parameters)

    async def _begun(self) -> str:
        """The id of the turn that begins next."""
        while True:
            told = await self.subscription.next()
            if isinstance(told, UnknownNotification) and told.method == TurnStarted.method:
                return str(told.params["turn"]["id"])

    def _told_start(self, turn_id: str) -> TurnStarted:
        request = self.request
        model = request.model or self._connection.threads[self._thread_id].get("model")
        version = request.tools.version if request.tools else ""
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
        if isinstance(ours, ItemStarted):
            return msgspec.structs.replace(ours, item=as_said(ours.item))
        if isinstance(ours, ItemCompleted):
            item = as_said(ours.item)
            return msgspec.structs.replace(ours, item=item, response_items=replayed(item))
        if isinstance(ours, TokenUsageUpdated):
            return msgspec.structs.replace(ours, token_usage=self._usage_of_turn(ours.token_usage))
        return ours

    def _usage_of_turn(self, usage: ThreadTokenUsage) -> ThreadTokenUsage:
        """The program counts the whole thread; a compaction it begins by telling the count so far."""
        if self._first is None:
            self._first = usage
        first = self._first
        before = first.total - first.last
        if self._is_compaction and usage.total != first.total:
            before = first.total
        return msgspec.structs.replace(usage, total=usage.total - before)

    async def _stop(self, starting: asyncio.Future[None]) -> None:
        """End the turn there too, and take what it still has to say."""
        try:
            await asyncio.wait_for(asyncio.shield(starting), STOP_SECONDS)
            await asyncio.wait_for(asyncio.gather(self.interrupt(), self._listen()), STOP_SECONDS)
        except (asyncio.TimeoutError, TimedOutError):
            log.warning("the app-server did not stop a turn within %s s and is killed", STOP_SECONDS)
            self._connection.kill()
            await self._connection.finished()  # the next turn should not find it dying
        except CodexError as error:
            log.debug("a turn that was to be stopped: %s", error)

    async def _interrupt(self) -> None:
        where = {"threadId": self._thread_id, "turnId": await asyncio.shield(self._started)}
        deadline = time.monotonic() + STOP_SECONDS
        while self._completed is None and time.monotonic() < deadline:
            try:
                await self._connection.call("turn/interrupt", where, timeout=STOP_SECONDS)
                return
            except JsonRpcError:  # it has just ended by itself, or is only about to begin
                await asyncio.sleep(REFUSED_SECONDS)
            except TimedOutError:
                break
        if self._completed is None:
            log.warning("the app-server refused to stop a turn for %s s and is killed", STOP_SECONDS)
            self._connection.kill()


def _seen(task: asyncio.Task[None]) -> None:
    """What it failed with is no news: whoever waits for it hears of it, and there may be nobody any more."""
    if not task.cancelled():
        task.exception()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for it even while being cancelled again: a turn is stopped once, and properly."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()):
        log.error("a turn could not be stopped", exc_info=error)


async def _inject(connection: Connection, thread_id: str, items: Iterable[dict[str, Any]]) -> None:
    """Put what happened elsewhere into the thread. Sealed reasoning stays with the service that made it."""
    given = [item for item in items if "encrypted_content" not in item]
    if given:
        await connection.call("thread/inject_items", {"threadId": thread_id, "items": given})


def _moved(settings: Settings) -> tuple[str, ...]:
    """Addresses of ours that differ from the real ones, for the program too."""
    if settings.base_url == Settings.base_url:
        return ()
    return f'openai_base_url="{settings.base_url}"', f'chatgpt_base_url="{settings.chatgpt_url}/"'
