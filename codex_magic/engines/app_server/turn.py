"""One turn of the codex program, from `turn/start` to `turn/completed`, and the answers to its questions meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from ...protocol import types
from ...protocol.errors import (
    CodexError,
    InvalidRequestError,
    JsonRpcError,
    MethodNotFoundError,
    TimedOutError,
)
from ..replay import as_message, replayed
from ..seam import Tell, TurnRequest
from ..tools import ToolCalls, ToolSet, text_item, written
from .connection import Connection, Subscription
from .failures import turn_failure
from .notifications import readdressed, turn_of
from .parameters import Params, steer_input

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
"""Until a process that does not end an interrupted turn is killed; it takes some 10 ms."""

REFUSED_SECONDS = 0.02
"""Until an interrupt is sent again: a turn takes none in the milliseconds between its answer and its begin."""


class AgentTurn:
    """A running turn. `thread_id` is the program's; `allowed` goes to `Questions`."""

    def __init__(
        self,
        connection: Connection,
        thread_id: str,
        subscription: Subscription,
        request: TurnRequest,
        tell: Tell,
        allowed: set[str],
    ) -> None:
        self.questions = Questions(
            request,
            changes=lambda item_id: subscription.changes.get(item_id, ()),
            allowed=allowed,
            interrupt=self.interrupt,
        )
        self._connection = connection
        self._thread_id = thread_id
        self._subscription = subscription
        self._request = request
        self._tell = tell
        self._turn_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._interrupting: asyncio.Task[None] | None = None
        self._is_compaction = False
        self._first_usage: types.ThreadTokenUsage | None = None
        self._completed: types.Turn | None = None

    async def run(self, method: str, parameters: dict[str, Any]) -> None:
        """Raise what the turn failed with, and CancelledError when the program interrupted it."""
        starting = asyncio.ensure_future(self._start(method, parameters))
        starting.add_done_callback(_retrieve)
        try:
            await asyncio.shield(starting)
            turn = await self._listen()
        except BaseException:
            if self._completed is None:
                await _uninterrupted(self._stop(starting))
            raise
        if turn.status is types.TurnStatus.interrupted:
            raise asyncio.CancelledError
        if turn.status is types.TurnStatus.failed:
            raise turn_failure(turn.error)

    async def steer(self, inputs: Sequence[types.InputItem]) -> None:
        turn_id = await asyncio.shield(self._turn_id)
        where = {"threadId": self._thread_id, "expectedTurnId": turn_id}
        parameters = {**where, "input": steer_input(inputs)}
        try:
            await self._connection.call("turn/steer", parameters)
        except JsonRpcError as error:
            raise InvalidRequestError("This turn takes no more input.", hint="Start a new one.") from error

    async def interrupt(self) -> None:
        """Interrupt the turn. Sent once: the program never answers a second request."""
        if self._interrupting is None:
            self._interrupting = asyncio.ensure_future(self._interrupt())
            self._interrupting.add_done_callback(_retrieve)
        await asyncio.shield(self._interrupting)

    async def _start(self, method: str, parameters: dict[str, Any]) -> None:
        try:
            started = await self._connection.call(method, {"threadId": self._thread_id, **parameters})
            self._is_compaction = "turn" not in started
            while self._is_compaction:  # whose turn is told by a notification alone
                event = await self._subscription.next()
                if isinstance(event, types.UnknownNotification) and event.method == types.TurnStarted.method:
                    started = event.params
                    break
            turn_id = str(started["turn"]["id"])
        except BaseException as error:
            self._turn_id.set_exception(error)
            self._turn_id.exception()  # nobody else may be waiting for it
            raise
        self._turn_id.set_result(turn_id)
        request = self._request
        model = request.model or self._connection.threads[self._thread_id].get("model")
        tools = request.tools.version if request.tools else ""
        place = types.TurnPlace(self._thread_id, turn_id, past=request.past, tools=tools)
        turn = types.Turn(request.turn_id, types.TurnStatus.in_progress, started_at=int(time.time()))
        self._tell(types.TurnStarted(request.thread_id, turn, model, place))

    async def _listen(self) -> types.Turn:
        """Tell what happens until the turn is over."""
        while True:
            notification = await self._subscription.next()
            if turn_of(notification) not in (None, self._turn_id.result()):
                continue
            if isinstance(notification, types.TurnCompleted):
                self._completed = notification.turn
                return notification.turn
            self._tell(self._translated(notification))

    def _translated(self, notification: types.Notification) -> types.Notification:
        """Return it under our ids, with what is told of an item elsewhere, and counting this turn alone."""
        request = self._request
        ours = readdressed(notification, thread_id=request.thread_id, turn_id=request.turn_id)
        if isinstance(ours, types.ItemStarted):
            return msgspec.structs.replace(ours, item=as_message(ours.item))
        if isinstance(ours, types.ItemCompleted):
            item = as_message(ours.item)
            return msgspec.structs.replace(ours, item=item, response_items=replayed(item))
        if isinstance(ours, types.TokenUsageUpdated):
            usage = ours.token_usage
            first = self._first_usage = self._first_usage or usage
            # The program counts the whole thread; a compaction it begins by telling the count so far.
            is_counted = self._is_compaction and usage.total != first.total
            before = first.total if is_counted else first.total - first.last
            usage = msgspec.structs.replace(usage, total=usage.total - before)
            return msgspec.structs.replace(ours, token_usage=usage)
        return ours

    async def _stop(self, starting: asyncio.Future[None]) -> None:
        """End the turn in the program too, and take what it still has to say."""
        try:
            await asyncio.wait_for(asyncio.shield(starting), STOP_SECONDS)
            await asyncio.wait_for(asyncio.gather(self.interrupt(), self._listen()), STOP_SECONDS)
        except (asyncio.TimeoutError, TimedOutError):
            log.warning("the app-server did not stop a turn within %s s and is killed", STOP_SECONDS)
            await self._connection.kill()  # to its end: the next turn should not find it dying
        except CodexError as error:
            log.debug("a turn that was to be stopped: %s", error)

    async def _interrupt(self) -> None:
        where = {"threadId": self._thread_id, "turnId": await asyncio.shield(self._turn_id)}
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
            self._connection.process.kill()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take the failure of a task that perhaps nobody waits for any more."""
    if not task.cancelled():
        task.exception()


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Wait for `work` even while being cancelled again: a turn is stopped once, and properly."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()):
        log.error("a turn could not be stopped", exc_info=error)


class Questions:
    """Answers the requests of one turn. `interrupt` ends it; `changes`: those of a file change, by its id.

    `allowed`: the tools that somebody has allowed for the session; shared by the turns of a thread.
    """

    def __init__(
        self,
        request: TurnRequest,
        *,
        changes: Callable[[str], tuple[dict[str, Any], ...]],
        allowed: set[str],
        interrupt: Callable[[], Awaitable[None]],
    ) -> None:
        self._request = request
        self._tools = request.tools or ToolSet()
        self._calls = ToolCalls(request.ask, sandbox=request.sandbox, allowed=allowed, cancel=interrupt)
        self._changes = changes
        self._interrupt = interrupt

    async def answer(self, method: str, params: Params) -> Params:
        """Raise MethodNotFoundError for a request of a kind that we do not know."""
        answers: dict[str, Callable[[Params], Awaitable[Params]]] = {
            types.CommandApproval.method: self._command,
            types.FileChangeApproval.method: self._file_change,
            types.PermissionsApproval.method: self._permissions,
            types.ToolCallApproval.method: self._tool_call,
        }
        if method not in answers:
            return default_answer(method)
        ids = {"threadId": self._request.thread_id, "turnId": self._request.turn_id}
        return await answers[method]({**params, **ids})

    async def _command(self, params: Params) -> Params:
        """Spell the decision as the protocol does: camelCase around snake_case."""
        match await self._request.ask(msgspec.convert(params, types.CommandApproval)):
            case types.AcceptWithExecpolicyAmendment(words):
                amendment: dict[str, Any] = {"execpolicy_amendment": list(words)}
                return {"decision": {"acceptWithExecpolicyAmendment": amendment}}
            case types.ApplyNetworkPolicyAmendment(host, action):
                amendment = {"network_policy_amendment": {"host": host, "action": action}}
                return {"decision": {"applyNetworkPolicyAmendment": amendment}}
            case types.Decision() as decision:
                return {"decision": decision.value}
            case None:
                return {"decision": types.Decision.decline.value}

    async def _file_change(self, params: Params) -> Params:
        question = {**params, "changes": self._changes(params["itemId"])}
        decision = await self._request.ask(msgspec.convert(question, types.FileChangeApproval))
        return {
            "decision": decision.value
            if isinstance(decision, types.Decision)
            else types.Decision.decline.value
        }

    async def _permissions(self, params: Params) -> Params:
        """Grant all or nothing: the protocol has no word for no here, and none for cancel."""
        decision = await self._request.ask(msgspec.convert(params, types.PermissionsApproval))
        if decision in (types.Decision.accept, types.Decision.accept_for_session):
            scope = "turn" if decision is types.Decision.accept else "session"
            return {"permissions": params["permissions"], "scope": scope}
        if decision is types.Decision.cancel:
            await self._interrupt()
        return {"permissions": {}, "scope": "turn"}

    async def _tool_call(self, params: Params) -> Params:
        tool = self._tools.find(params.get("namespace"), params["tool"])
        if tool is None:
            missing = text_item(f"The tool {params['tool']} is not here any more.")
            return {"success": False, "contentItems": [missing]}
        question = msgspec.convert({**params, "itemId": params["callId"]}, types.ToolCallApproval)
        success, items = await self._calls.run(tool, question, written(tool, params["arguments"]))
        return {"success": success, "contentItems": items}


def default_answer(method: str) -> Params:
    """Say no, since nobody can be asked. Raises MethodNotFoundError for a request that we do not know."""
    if method in _NO:
        return _NO[method]
    raise MethodNotFoundError(f"codex_magic knows no {method}.", code=-32601)


_NO: dict[str, Params] = {
    types.CommandApproval.method: {"decision": "decline"},
    types.FileChangeApproval.method: {"decision": "decline"},
    types.PermissionsApproval.method: {"permissions": {}, "scope": "turn"},
    types.ToolCallApproval.method: {
        "success": False,
        "contentItems": [text_item("Nobody is there to run it.")],
    },
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
}
