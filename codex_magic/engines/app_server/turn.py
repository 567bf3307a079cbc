"""One turn of the codex program, from `turn/start` to `turn/completed`, and the answers to its questions meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, get_args

import msgspec

from ...protocol import errors, types
from ...protocol.plain import shorten
from ...protocol.secrets import mask, with_texts
from ..replay import as_message, replayed
from ..seam import Tell, TurnRequest
from ..tools import ToolCalls, ToolSet, is_yes, text_item, written
from .connection import Connection, Subscription
from .failures import WAITING, turn_failure, unreachable
from .messages import MaskedLines, ToldOnce, address_of, readdressed
from .parameters import Params, steer_input

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0  # until a process that does not end an interrupted turn is killed; it takes some 10 ms

REFUSED_SECONDS = 0.02
"""Until an interrupt is sent again: a turn takes none in the milliseconds between its answer and its begin."""


class AgentTurn:
    """A running turn. `thread_id` is the program's; `allowed` goes to `ToolCalls`."""

    def __init__(
        self, connection: Connection, thread_id: str, request: TurnRequest, tell: Tell, allowed: set[str]
    ) -> None:
        self._connection = connection
        self._thread_id = thread_id
        self.subscription = Subscription()
        self._request = request
        self._tell = tell
        self._tools = request.tools or ToolSet()
        self._calls = ToolCalls(
            request.ask, sandbox=request.sandbox, mask=request.mask, allowed=allowed, cancel=self.interrupt
        )
        self._turn_id: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._interrupting: asyncio.Task[None] | None = None
        self._is_compaction = self._has_begun = False
        self._first_usage: types.ThreadTokenUsage | None = None
        self._question: str | None = None  # the id of the message that the turn began with
        self._completed: types.Turn | None = None
        self._told = ToldOnce()
        self._masked = MaskedLines(request.mask)
        self._reasons: list[asyncio.Task[None]] = []  # being sent; a loop forgets what nobody holds
        self._took: dict[str, int] = {}
        """Milliseconds of each call by its item: the program counts the question in."""

    async def run(self, method: str, parameters: Params) -> None:
        """Raise what the turn failed with, and CancelledError when the program interrupted it."""
        with self._connection.subscribed(self._thread_id) as self.subscription:
            starting = asyncio.ensure_future(self._start(method, parameters))
            starting.add_done_callback(lambda done: done.cancelled() or done.exception())
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
        parameters = {"threadId": self._thread_id, "expectedTurnId": turn_id, "input": steer_input(inputs)}
        try:
            await self._connection.call("turn/steer", parameters)
        except errors.JsonRpcError as error:
            over = "This turn no longer accepts input."
            raise errors.InvalidRequestError(over, hint="Start a new one.") from error

    async def interrupt(self) -> None:
        """Interrupt the turn. Sent once: the program never answers a second request."""
        if self._interrupting is None:
            self._interrupting = asyncio.ensure_future(self._interrupt())
            # Perhaps nobody waits for its failure any more.
            self._interrupting.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._interrupting)

    async def answer(self, method: str, params: Params) -> Params:
        """Raise MethodNotFoundError for a request of a kind that we do not know."""
        if method == ELICITATION:
            return await self._answer_server(params)
        if method not in _KINDS:
            return default_answer(method)
        about = params.get("itemId") or params.get("callId")
        ours = {"threadId": self._request.thread_id, "turnId": self._request.turn_id, "itemId": about}
        changes = self.subscription.changes.get(str(about), ())
        question = msgspec.convert({**params, **ours, "changes": changes}, _KINDS[method])
        if isinstance(question, types.ToolCallApproval):
            success, items = False, [text_item(f"The tool {question.tool} no longer exists.")]
            if tool := self._tools.find(question.namespace, question.tool):
                text = written(tool, question.arguments)
                success, items, self._took[question.item_id] = await self._calls.run(tool, question, text)
            return {"success": success, "contentItems": items}
        decision = await self._request.ask(question)
        if isinstance(decision, types.DeclineBecause):
            self._reasons.append(asyncio.ensure_future(self._tell_why(decision.reason)))
        if not isinstance(question, types.PermissionsApproval):
            return {"decision": _spelled(decision)}
        if decision is types.Decision.cancel:  # the protocol has no word for it here, and none for no
            await self.interrupt()
        is_yes = _spelled(decision) in (types.Decision.accept, types.Decision.accept_for_session)
        scope = "session" if decision is types.Decision.accept_for_session else "turn"
        return {"permissions": question.permissions if is_yes else {}, "scope": scope}

    async def _answer_server(self, params: Params) -> Params:
        """Answer what an MCP server, or the program about its tools, wants to know of a person."""
        server, about = str(params.get("serverName")), params.get("_meta") or {}
        if about.get("codex_approval_kind") != "mcp_tool_call":
            wanted = f"The MCP server {server} asks “{shorten(str(params.get('message')), 200)}”"
            self._tell(types.Warned(self._request.thread_id, f"{wanted}, which can't be answered here."))
            return {"action": "decline"}
        call = self._asked_about(server, about.get("tool_params"), str(params.get("message")))
        if call is None:  # what can't be shown is not allowed
            return {"action": "decline"}
        ids = self._request.thread_id, self._request.turn_id, call.id
        description = str(about.get("tool_description") or "")
        question = types.McpToolApproval(*ids, call.tool, call.arguments, call.namespace, description)
        decision = await self._calls.decision(question)
        if isinstance(decision, types.DeclineBecause):
            self._reasons.append(asyncio.ensure_future(self._tell_why(decision.reason)))
        # The program is told no grant: it would keep one that nobody can take back here.
        return {"action": "accept", "content": {}} if is_yes(decision) else {"action": "decline"}

    def _asked_about(self, server: str, arguments: object, message: str) -> types.McpToolCall | None:
        """Return the call that a question is about, each once; the question names its tool in words alone."""
        calls = self.subscription.mcp_calls
        for call in calls.values():
            is_meant = call.namespace == f"{types.MCP}{server}" and f'"{call.tool}"' in message
            if is_meant and (call.arguments or {}) == (arguments or {}):
                return calls.pop(call.id)
        return None

    async def _tell_why(self, reason: str) -> None:
        """Send what the person said who declined: an answer to the program has no room for it."""
        try:
            await self.steer((types.TextInput(reason),))
        except errors.CodexError as error:
            self._tell(types.Warned(self._request.thread_id, f"Codex did not hear why you declined. {error}"))

    async def _start(self, method: str, parameters: Params) -> None:
        try:
            started = await self._connection.call(method, {"threadId": self._thread_id, **parameters})
            self._is_compaction = "turn" not in started
            while self._is_compaction:  # whose turn is told by a notification alone
                event = await self.subscription.next()
                if isinstance(event, types.UnknownNotification) and event.method == types.TurnStarted.method:
                    started = event.params
                    break
            turn_id = str(started["turn"]["id"])
        except BaseException as error:
            self._turn_id.set_exception(error)
            self._turn_id.exception()  # nobody else may be waiting for it
            raise
        self._turn_id.set_result(turn_id)
        request, tools = self._request, self._tools.version
        model = request.model or self._connection.threads[self._thread_id].get("model")
        place = types.TurnPlace(self._thread_id, turn_id, past=request.past, tools=tools)
        turn = types.Turn(request.turn_id, types.TurnStatus.in_progress, started_at=int(time.time()))
        self._tell(types.TurnStarted(request.thread_id, turn, model, place))

    async def _listen(self) -> types.Turn:
        while True:
            notification = await self.subscription.next()
            if address_of(notification)[1] not in (None, self._turn_id.result()):
                continue
            if isinstance(notification, types.TurnCompleted):
                self._completed = notification.turn
                for rest in self._masked.end():
                    self._tell(rest)
                return notification.turn
            if not self._has_begun:
                if isinstance(notification, types.ErrorReported) and WAITING in notification.error.message:
                    raise unreachable(notification.error.additional_details or notification.error.message)
                is_question = isinstance(getattr(notification, "item", None), types.UserMessage)
                is_output = isinstance(notification, types.Delta | types.ItemStarted)
                self._has_begun = is_output and not is_question
            for news in self._told.feed(self._translated(notification)):
                # The secrets in use are taken out of all that the program tells already.
                for each in [news] if self._request.mask is mask else self._masked.feed(news):
                    self._tell(each)

    def _translated(self, notification: types.Notification) -> types.Notification:
        """Return it under our ids, with what is told of an item elsewhere, and counting this turn alone."""
        request = self._request
        ours = readdressed(notification, thread_id=request.thread_id, turn_id=request.turn_id)
        if isinstance(ours, types.ItemStarted):
            return msgspec.structs.replace(ours, item=self._whole(ours.item))
        if isinstance(ours, types.ItemCompleted):
            item = with_texts(self._whole(ours.item), request.mask)
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

    def _whole(self, item: types.ThreadItem) -> types.ThreadItem:
        """Return the question with its contexts, of which the program tells nothing, a call with its own time, and all
        else as it came."""
        item = as_message(item)
        if isinstance(item, types.ToolCall) and item.id in self._took:
            return msgspec.structs.replace(item, duration_ms=self._took[item.id])
        if not isinstance(item, types.UserMessage):
            return item
        self._question = self._question or item.id
        contexts = [part for part in self._request.inputs if isinstance(part, types.ContextInput)]
        if item.id != self._question or not contexts:
            return item
        return msgspec.structs.replace(item, content=(*contexts, *item.content))

    async def _stop(self, starting: asyncio.Future[None]) -> None:
        try:
            await asyncio.wait_for(asyncio.shield(starting), STOP_SECONDS)
            await asyncio.wait_for(asyncio.gather(self.interrupt(), self._listen()), STOP_SECONDS)
        except (asyncio.TimeoutError, errors.TimedOutError):
            log.warning("the app-server did not stop a turn within %s s and is killed", STOP_SECONDS)
            self._connection.kill()
            await self._connection.wait()  # to its end: the next turn should not find it dying
        except errors.CodexError as error:
            log.debug("a turn that was to be stopped: %s", error)

    async def _interrupt(self) -> None:
        where = {"threadId": self._thread_id, "turnId": await asyncio.shield(self._turn_id)}
        deadline = time.monotonic() + STOP_SECONDS
        while self._completed is None and time.monotonic() < deadline:
            try:
                await self._connection.call("turn/interrupt", where, timeout=STOP_SECONDS)
                return
            except errors.JsonRpcError:  # it has just ended by itself, or is only about to begin
                await asyncio.sleep(REFUSED_SECONDS)
            except errors.TimedOutError:
                break
        if self._completed is None:
            log.warning("the app-server refused to stop a turn for %s s and is killed", STOP_SECONDS)
            self._connection.kill()


async def _uninterrupted(work: Coroutine[Any, Any, None]) -> None:
    """Wait for `work` even while being cancelled again: a turn is stopped once, and properly."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()):
        log.error("a turn could not be stopped", exc_info=error)


ELICITATION = "mcpServer/elicitation/request"

_KINDS: dict[str, type[types.ApprovalRequest]] = {
    kind.method: kind for kind in get_args(types.ApprovalRequest)
}


def _spelled(decision: types.ApprovalDecision | None) -> Any:
    match decision:
        case types.AcceptWithExecpolicyAmendment(words):
            return {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": list(words)}}
        case types.ApplyNetworkPolicyAmendment(host, action):
            amendment = {"host": host, "action": action}
            return {"applyNetworkPolicyAmendment": {"network_policy_amendment": amendment}}
        case types.Decision.accept_in_kernel:
            return types.Decision.accept.value
        case types.Decision():
            return decision.value
    return types.Decision.decline.value


def default_answer(method: str) -> Params:
    """Say no, since nobody can be asked. Raises MethodNotFoundError for a request that we do not know."""
    if method in _NO:
        return _NO[method]
    raise errors.MethodNotFoundError(f"codex_magic knows no {method}.", code=-32601)


_NO: dict[str, Params] = {
    types.CommandApproval.method: {"decision": "decline"},
    types.FileChangeApproval.method: {"decision": "decline"},
    types.PermissionsApproval.method: {"permissions": {}, "scope": "turn"},
    types.ToolCallApproval.method: {"success": False, "contentItems": [text_item("Nobody runs it.")]},
    "item/tool/requestUserInput": {"answers": {}},
    ELICITATION: {"action": "decline"},
}
