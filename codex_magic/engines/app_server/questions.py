"""The app-server's requests to us: may it, and would we run a tool. Everything else is politely refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ...protocol.errors import MethodNotFoundError
from ...protocol.types import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    ApprovalDecision,
    ApprovalRequest,
    CommandApproval,
    Decision,
    FileChangeApproval,
    PermissionsApproval,
    Sandbox,
    ToolCallApproval,
)
from ..approvals import Approvals, ask
from ..tool_calls import ToolCalls, plain_decision
from ..tools import ContentItem, ToolSet, text_item, written

Params = dict[str, Any]
Result = dict[str, Any]
Changes = Callable[[str], tuple[dict[str, Any], ...]]


class Questions:
    """Answers what is asked during one turn. `thread_id` and `turn_id` are ours, `interrupt` ends the turn.

    `allowed`: the tools that somebody has allowed for the session; shared by the turns of a thread.
    """

    def __init__(
        self,
        *,
        thread_id: str,
        turn_id: str,
        approvals: Approvals | None,
        tools: ToolSet | None,
        changes: Changes,
        allowed: set[str],
        interrupt: Callable[[], Awaitable[None]],
        sandbox: Sandbox | None = None,
    ) -> None:
        self._ids = {"threadId": thread_id, "turnId": turn_id}
        self._approvals = approvals
        self._tools = tools or ToolSet()
        self._calls = ToolCalls(approvals=approvals, sandbox=sandbox, allowed=allowed, cancel=interrupt)
        self._changes = changes
        self._interrupt = interrupt

    async def answer(self, method: str, params: Params) -> Result:
        """Raises MethodNotFoundError for what we know nothing of."""
        known: dict[str, Callable[[Params], Awaitable[Result]]] = {
            CommandApproval.method: self._command,
            FileChangeApproval.method: self._file_change,
            PermissionsApproval.method: self._permissions,
            ToolCallApproval.method: self._tool_call,
        }
        if method not in known:
            return unasked(method)
        return await known[method]({**params, **self._ids})

    async def _command(self, params: Params) -> Result:
        decision = await self._ask(msgspec.convert(params, CommandApproval))
        return {"decision": _spelled(decision or Decision.decline)}

    async def _file_change(self, params: Params) -> Result:
        params = {**params, "changes": self._changes(params["itemId"])}
        decision = await self._ask(msgspec.convert(params, FileChangeApproval))
        return {"decision": plain_decision(decision).value}

    async def _permissions(self, params: Params) -> Result:
        """There is no word for no here: nothing is granted."""
        decision = plain_decision(await self._ask(msgspec.convert(params, PermissionsApproval)))
        if decision in (Decision.accept, Decision.accept_for_session):
            scope = "turn" if decision is Decision.accept else "session"
            return {"permissions": params["permissions"], "scope": scope}
        await self._heed(decision)
        return {"permissions": {}, "scope": "turn"}

    async def _tool_call(self, params: Params) -> Result:
        found = self._tools.find(params.get("namespace"), params["tool"])
        if found is None:
            return _tool_result(False, [text_item(f"The tool {params['tool']} is not here any more.")])
        arguments = params["arguments"]
        asked = msgspec.convert({**params, "itemId": params["callId"]}, ToolCallApproval)
        return _tool_result(*await self._calls.run(found, asked, written(found, arguments)))

    async def _ask(self, request: ApprovalRequest) -> ApprovalDecision | None:
        return await ask(self._approvals, request)

    async def _heed(self, decision: Decision) -> None:
        """Where the protocol knows no `cancel`, we do it."""
        if decision is Decision.cancel:
            await self._interrupt()


def unasked(method: str) -> Result:
    """The answer when nobody can be asked: no. Raises MethodNotFoundError for what we know nothing of."""
    if method in _NO:
        return _NO[method]
    raise MethodNotFoundError(f"codex_magic knows no {method}.", code=-32601)


_NO: dict[str, Result] = {
    CommandApproval.method: {"decision": "decline"},
    FileChangeApproval.method: {"decision": "decline"},
    PermissionsApproval.method: {"permissions": {}, "scope": "turn"},
    ToolCallApproval.method: {"success": False, "contentItems": [text_item("Nobody is there to run it.")]},
    "item/tool/requestUserInput": {"answers": {}},
    "mcpServer/elicitation/request": {"action": "decline"},
}


def _tool_result(success: bool, items: list[ContentItem]) -> Result:
    return {"success": success, "contentItems": items}


def _spelled(decision: ApprovalDecision) -> Any:
    """In the protocol's spelling: camelCase around snake_case."""
    match decision:
        case AcceptWithExecpolicyAmendment(words):
            return {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": list(words)}}
        case ApplyNetworkPolicyAmendment(host, action):
            amendment = {"host": host, "action": action}
            return {"applyNetworkPolicyAmendment": {"network_policy_amendment": amendment}}
        case Decision():
            return decision.value
