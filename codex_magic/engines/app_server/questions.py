"""The app-server's requests to us: may it, and would we run a tool. Everything else is politely refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ...protocol.errors import MethodNotFoundError
from ...protocol.types import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    CommandApproval,
    Decision,
    FileChangeApproval,
    PermissionsApproval,
    ToolCallApproval,
)
from ..seam import TurnRequest
from ..tools import ToolCalls, ToolSet, text_item, written

Params = dict[str, Any]
Result = dict[str, Any]


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

    async def answer(self, method: str, params: Params) -> Result:
        """Raise MethodNotFoundError for a request of a kind that we do not know."""
        answers: dict[str, Callable[[Params], Awaitable[Result]]] = {
            CommandApproval.method: self._command,
            FileChangeApproval.method: self._file_change,
            PermissionsApproval.method: self._permissions,
            ToolCallApproval.method: self._tool_call,
        }
        if method not in answers:
            return default_answer(method)
        ids = {"threadId": self._request.thread_id, "turnId": self._request.turn_id}
        return await answers[method]({**params, **ids})

    async def _command(self, params: Params) -> Result:
        """Spell the decision as the protocol does: camelCase around snake_case."""
        match await self._request.ask(msgspec.convert(params, CommandApproval)):
            case AcceptWithExecpolicyAmendment(words):
                amendment: dict[str, Any] = {"execpolicy_amendment": list(words)}
                return {"decision": {"acceptWithExecpolicyAmendment": amendment}}
            case ApplyNetworkPolicyAmendment(host, action):
                amendment = {"network_policy_amendment": {"host": host, "action": action}}
                return {"decision": {"applyNetworkPolicyAmendment": amendment}}
            case Decision() as decision:
                return {"decision": decision.value}
            case None:
                return {"decision": Decision.decline.value}

    async def _file_change(self, params: Params) -> Result:
        params = {**params, "changes": self._changes(params["itemId"])}
        decision = await self._request.ask(msgspec.convert(params, FileChangeApproval))
        return {"decision": decision.value if isinstance(decision, Decision) else Decision.decline.value}

    async def _permissions(self, params: Params) -> Result:
        """Grant all or nothing: the protocol has no word for no here, and none for cancel."""
        decision = await self._request.ask(msgspec.convert(params, PermissionsApproval))
        if decision in (Decision.accept, Decision.accept_for_session):
            scope = "turn" if decision is Decision.accept else "session"
            return {"permissions": params["permissions"], "scope": scope}
        if decision is Decision.cancel:
            await self._interrupt()
        return {"permissions": {}, "scope": "turn"}

    async def _tool_call(self, params: Params) -> Result:
        tool = self._tools.find(params.get("namespace"), params["tool"])
        if tool is None:
            missing = text_item(f"The tool {params['tool']} is not here any more.")
            return {"success": False, "contentItems": [missing]}
        question = msgspec.convert({**params, "itemId": params["callId"]}, ToolCallApproval)
        success, items = await self._calls.run(tool, question, written(tool, params["arguments"]))
        return {"success": success, "contentItems": items}


def default_answer(method: str) -> Result:
    """Say no, since nobody can be asked. Raises MethodNotFoundError for a request that we do not know."""
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
