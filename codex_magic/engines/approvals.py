"""Asking a human. The answer that nobody gave is no, and what got a no is never told as done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from ..protocol.types import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    ApprovalDecision,
    ApprovalRequest,
    CommandApproval,
    CommandExecution,
    Decision,
    FileChange,
    FileChangeApproval,
    PermissionsApproval,
    ThreadItem,
    ToolCall,
)
from .calling import call

log = logging.getLogger(__name__)

Approvals = Callable[[ApprovalRequest], Any]
"""Gives an `ApprovalDecision`, its wire word (`"accept"`), or an awaitable of one. Anything else is no."""

RETRY = "retry without sandbox"
"""In the program's reason for asking about a change that has failed in the sandbox, perhaps half-way."""

T = TypeVar("T", bound=ThreadItem)


async def ask(approvals: Approvals | None, request: ApprovalRequest) -> ApprovalDecision | None:
    """The decision; `None`, which is no, for no answer, one we can't read, and a front end that fails or gives up."""
    if approvals is None:
        return None
    try:
        return _read(await call(approvals, request))
    except Exception:  # whatever broke, it was no yes
        log.warning("asking about %s failed, which is a no", request.method, exc_info=True)
        return None


def _read(answer: Any) -> ApprovalDecision | None:
    """Strictly: there are values that equal every word. Raises ValueError for a word that is none."""
    if isinstance(answer, AcceptWithExecpolicyAmendment | ApplyNetworkPolicyAmendment):
        return msgspec.convert(msgspec.to_builtins(answer), type(answer))
    return Decision(answer) if isinstance(answer, str) else None


class Outcomes:
    """What came of the questions of one turn, by the item that each is about.

    The program tells what was not allowed as declined, as failed, or not at all.
    """

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._withdrawn: set[str] = set()
        self._granted: set[str] = set()
        self._refused: dict[str, str] = {}
        self._stopped = False
        self.watch: Callable[[str, str], None] = lambda item_id, status: None
        """Told when an item begins to wait for an answer (`waiting`), and when it goes on with a yes (`inProgress`)."""

    async def ask(self, approvals: Approvals | None, request: ApprovalRequest) -> ApprovalDecision | None:
        """As `ask`; no yes counts once the turn is being stopped."""
        about = _about(request)
        self._open.add(about)
        self.watch(about, "waiting")
        try:
            decision = _fitting(await ask(approvals, request), request)
        except asyncio.CancelledError:  # the turn ends, or another session has answered
            self._withdrawn.add(about)
            raise
        finally:
            self._open.discard(about)
        if self._stopped:
            return None
        if decision is None:
            self._refused[about] = "unanswered"
        elif decision in (Decision.decline, Decision.cancel):
            self._refused[about] = "declined"
        else:
            self._granted.add(about)
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
        """An item that is told as begun: the question about it may have come first."""
        if isinstance(item, CommandExecution | FileChange | ToolCall) and item.id in self._open:
            return msgspec.structs.replace(item, status="waiting")
        return item

    def settled(self, item: T) -> T:
        """An item that is over, with the status that it has; see `NEVER_DONE`."""
        if not isinstance(item, CommandExecution | FileChange | ToolCall) or item.status == "completed":
            return item
        if isinstance(item, CommandExecution) and item.exit_code not in (None, -1):
            return item
        status = self._refused.get(item.id, item.status)
        says_why = isinstance(item, ToolCall) and item.content_items
        if status == "unfinished" or (self._stopped and status == "failed" and not says_why):
            status = "interrupted" if self._was_at_work(item) else "unfinished"
        return msgspec.structs.replace(item, status=status)

    def _was_at_work(self, item: CommandExecution | FileChange | ToolCall) -> bool:
        if item.id in self._granted:
            return True
        return isinstance(item, CommandExecution) and bool(item.process_id or item.aggregated_output)


def _fitting(decision: ApprovalDecision | None, request: ApprovalRequest) -> ApprovalDecision | None:
    """Amendments are about commands; elsewhere they are no answer."""
    is_amendment = decision is not None and not isinstance(decision, Decision)
    return None if is_amendment and not isinstance(request, CommandApproval) else decision


def _about(request: ApprovalRequest) -> str:
    """The item that does nothing without a yes; none for what is at work already."""
    match request:
        case CommandApproval(network_approval_context=context) if context is not None:
            return ""
        case FileChangeApproval(reason=reason) if RETRY in (reason or ""):
            return ""
        case PermissionsApproval():
            return ""
    return request.item_id
