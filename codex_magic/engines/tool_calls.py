"""Whether a tool that the model calls may run, and running it: the same on both engines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ..protocol.secrets import masked
from ..protocol.types import ApprovalDecision, Decision, Sandbox, ToolCallApproval
from ..responses.tools import Tool
from .approvals import Approvals, ask
from .tools import ContentItem, run_tool, text_item

DECLINED = "The user declined this call."
UNANSWERED = "Not run: nobody was there to allow this call."

_REACH = [Sandbox.read_only, Sandbox.workspace_write, Sandbox.full_access]
"""From the narrowest to the widest."""


class ToolCalls:
    """The calls of one turn. `cancel` ends the turn.

    `allowed`: the tools that somebody has allowed for the session; shared by the turns of a thread.
    """

    def __init__(
        self,
        *,
        approvals: Approvals | None,
        sandbox: Sandbox | None,
        allowed: set[str],
        cancel: Callable[[], Awaitable[None]],
    ) -> None:
        self._approvals = approvals
        self._sandbox = sandbox
        self._allowed = allowed
        self._cancel = cancel
        self._asking = asyncio.Lock()

    async def run(self, each: Tool, asked: ToolCallApproval, text: str) -> tuple[bool, list[ContentItem]]:
        """Whether it worked, and what the model is told. `text`: what it wrote for arguments."""
        refusal = _out_of_reach(each, self._sandbox) or await self._not_allowed(each, asked)
        if refusal is not None:
            return False, [text_item(refusal)]
        success, items = await run_tool(each, text)
        return success, masked(items)

    async def _not_allowed(self, each: Tool, asked: ToolCallApproval) -> str | None:
        """Why not. One question at a time: the first yes may be one for all."""
        if not each.needs_approval:
            return None
        name = f"{asked.namespace or ''}.{asked.tool}"
        async with self._asking:
            if name in self._allowed:
                return None
            decision = await ask(self._approvals, asked)
            if decision is Decision.accept_for_session:
                self._allowed.add(name)
        if decision is Decision.cancel:
            await self._cancel()
        if decision in (Decision.accept, Decision.accept_for_session):
            return None
        return UNANSWERED if decision is None else DECLINED


def plain_decision(decision: ApprovalDecision | None) -> Decision:
    """No answer is no. Amendments are about commands; elsewhere they are no answer."""
    return decision if isinstance(decision, Decision) else Decision.decline


def _out_of_reach(each: Tool, sandbox: Sandbox | None) -> str | None:
    """Why the sandbox of the turn keeps the tool from running, in words for the model."""
    if sandbox is None or _REACH.index(each.needs) <= _REACH.index(sandbox):
        return None
    return f"Not run: {each.name} needs the sandbox {each.needs.value}, and this turn has {sandbox.value}."
