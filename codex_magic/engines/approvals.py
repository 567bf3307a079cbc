"""Asking a human. The answer that nobody gave is no, and what got a no is never told as done."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

from ..protocol import types
from ..protocol.policy import policy_bounds
from ..waiting import BackgroundLoop, awaited, in_thread

log = logging.getLogger(__name__)

Approvals = Callable[[types.ApprovalRequest], Any]
"""Gives an `ApprovalDecision`, its wire word (`"accept"`), or an awaitable of one. Anything else is no."""

CLEANUP_SECONDS = 1.0  # until a coroutine function that was cancelled and goes on nevertheless is left behind
BLOCKED_SECONDS = 1.0  # until an event loop that does not come round counts as blocked

RETRY = "retry without sandbox"
"""Words in the program's reason for asking about a change that has failed in the sandbox, perhaps half-way."""

LASTING = (types.Decision.accept_for_session, types.Decision.accept_in_kernel, types.Decision.accept_always)
"""A yes for longer than once, as far as the protocol has a word for it."""

T = TypeVar("T", bound=types.ThreadItem)

_Action = types.CommandExecution | types.FileChange | types.ToolCall


async def call(function: Callable[..., Any], *args: Any) -> Any:
    """Call what a user gave us, a function or a coroutine function, without holding up the event loop.

    A plain function runs in a thread of its own. Raises what it raises, and RuntimeError for a cancellation of
    its own, which is none of ours, and for what ends an event loop.
    """
    task = asyncio.ensure_future(_guarded(function, _result(function, args)))
    # Nobody may wait for it any more.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=CLEANUP_SECONDS)
        raise
    if task.cancelled():
        raise RuntimeError(f"{function!r} ended in a cancellation")
    return task.result()


async def _guarded(function: Callable[..., Any], work: Awaitable[Any]) -> Any:
    try:
        return await work
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__} in {function!r}") from error


async def _result(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    is_async = inspect.iscoroutinefunction(function)
    made = function(*args) if is_async else await awaited(in_thread(lambda: function(*args), daemon=True))
    if not inspect.isawaitable(made):
        return made
    work = _guarded(function, made)
    return await (_beside(work) if threading.current_thread().name == "codex_magic" else work)


async def _beside(work: Coroutine[Any, Any, Any]) -> Any:
    """Await a user's coroutine on a loop beside ours, and on a new one where an earlier coroutine blocks that."""
    global _loop
    try:
        await asyncio.wait_for(awaited(_loop.submit(asyncio.sleep(0))), BLOCKED_SECONDS)
    except asyncio.TimeoutError:
        _loop = BackgroundLoop()
    ended: Future[None] = Future()

    async def run() -> Any:
        try:
            return await work
        finally:
            ended.set_result(None)

    future = _loop.submit(run())
    try:
        return await awaited(future)
    except asyncio.CancelledError:
        future.cancel()
        await awaited(ended)
        raise


_loop = BackgroundLoop()


class Outcomes:
    """Results of one turn's questions, by item: the program tells a no as declined, as failed, or not at all."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._withdrawn: set[str] = set()
        self._granted: dict[str, str] = {}  # by item: the word of the decision that allowed it
        self._refused: dict[str, str] = {}
        self._reasons: dict[str, str] = {}  # by item: what the person said who declined it
        self._stopped = False
        self.watch: Callable[[str, str], None] = lambda item_id, status: None
        """Called when an item begins to wait for an answer (`waiting`), and when it goes on with a yes (`inProgress`)."""

    async def ask(
        self, approvals: Approvals | None, request: types.ApprovalRequest
    ) -> types.ApprovalDecision | None:
        """Ask, and remember the result. `None` is no; no yes counts once the turn is being stopped."""
        about = "" if is_at_work(request) else request.item_id  # what does nothing without a yes
        self._open.add(about)
        self.watch(about, "waiting")
        try:
            decision = await _decision(approvals, request) if approvals is not None else None
        except asyncio.CancelledError:  # the turn ends, or the program needs no answer any more
            self._withdrawn.add(about)
            raise
        finally:
            self._open.discard(about)
        if self._stopped:
            return None
        if isinstance(decision, types.DeclineBecause):
            self._refused[about] = "declined"
            if decision.by_user:
                self._reasons[about] = decision.reason
        elif decision in (None, types.Decision.decline, types.Decision.cancel):
            self._refused[about] = "unanswered" if decision is None else "declined"
        else:
            self._granted[about] = decision.value if isinstance(decision, types.Decision) else "always"
            self.watch(about, "inProgress")
        return decision

    def stop(self) -> None:
        """The turn is being stopped: what is not answered by now never will be."""
        self._stopped = True
        self._refused.update(dict.fromkeys(self._open, "stopped"))

    def end(self) -> None:
        """The turn is over, and nothing more will be told of what has not ended."""
        if not self._stopped:
            self._refused = {**dict.fromkeys(self._withdrawn | self._open, "expired"), **self._refused}

    def begun(self, item: T) -> T:
        """Return an item that begins, as waiting where the question about it came first, or as allowed."""
        is_waiting = isinstance(item, _Action) and item.id in self._open
        return msgspec.structs.replace(item, status="waiting") if is_waiting else self._allowed(item)

    def _allowed(self, item: T) -> T:
        word = self._granted.get(item.id)
        return msgspec.structs.replace(item, approval=word) if word and isinstance(item, _Action) else item

    def settled(self, item: T) -> T:
        """Return an item that is over with the status that it has; see `NEVER_DONE`."""
        item = self._allowed(item)
        if not isinstance(item, _Action) or item.status == "completed":
            return item
        command = item if isinstance(item, types.CommandExecution) else None
        if command and command.exit_code not in (None, -1):
            return item
        status = self._refused.get(item.id, item.status)
        says_why = isinstance(item, types.ToolCall) and item.content_items
        if status == "unfinished" or (self._stopped and status == "failed" and not says_why):
            was_at_work = command and (command.process_id or command.aggregated_output)
            status = "interrupted" if item.id in self._granted or was_at_work else "unfinished"
        reason = self._reasons.get(item.id) if status == "declined" else None
        return msgspec.structs.replace(item, status=status, reason=reason)


def is_at_work(request: types.ApprovalRequest) -> bool:
    """Whether what asks has begun already, and wants to reach more: its step tells more than this decision."""
    match request:
        case types.FileChangeApproval(reason=reason):
            return RETRY in (reason or "")
        case types.CommandApproval(network_approval_context=network):
            return network is not None
    return isinstance(request, types.PermissionsApproval)


async def _decision(approvals: Approvals, request: types.ApprovalRequest) -> types.ApprovalDecision | None:
    """Return the decision, read strictly; `None` for no answer, one that is none here, or a failure of the front end."""
    try:
        answer = await call(approvals, request)
        if isinstance(answer, types.AcceptWithExecpolicyAmendment | types.ApplyNetworkPolicyAmendment):
            if not policy_bounds().always:
                return types.Decision.accept
            amendment = msgspec.convert(msgspec.to_builtins(answer), type(answer))
            return amendment if isinstance(request, types.CommandApproval) else None
        if isinstance(answer, types.DeclineBecause):
            return types.DeclineBecause(str(answer.reason), answer.by_user is not False)
        decision = types.Decision(answer) if isinstance(answer, str) else None
        if decision in (types.Decision.accept_and_run, types.Decision.try_first):
            return None  # of a notebook's own questions, which reads them itself
        if decision in LASTING and not policy_bounds().always:
            return types.Decision.accept
        is_lasting = decision is types.Decision.accept_always
        return None if is_lasting and not isinstance(request, types.ReadingApproval) else decision
    except Exception:  # whatever broke, it was no yes
        log.warning("asking about %s failed, which is a no", request.method, exc_info=True)
        return None
