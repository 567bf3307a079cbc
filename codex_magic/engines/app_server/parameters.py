"""Parameters of a turn in the protocol's spelling, which differs between threads and turns. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ...protocol import types
from ...protocol.errors import InvalidRequestError
from ...responses.provider import Provider, key_of
from ..replay import alone
from ..seam import TurnRequest
from .failures import LONGEST_INPUT, input_too_long

Params = dict[str, Any]

_PROVIDER_ID = "codex_magic"

_POLICY = "shell_environment_policy"  # the table of config.toml that says what commands get

_APPROVALS: dict[types.ApprovalMode, Params] = {
    types.ApprovalMode.deny_all: {"approvalPolicy": "never"},
    types.ApprovalMode.auto_review: {"approvalPolicy": "on-request", "approvalsReviewer": "auto_review"},
    types.ApprovalMode.ask: {"approvalPolicy": "on-request", "approvalsReviewer": "user"},
    types.ApprovalMode.untrusted: {"approvalPolicy": "untrusted", "approvalsReviewer": "user"},
}


def thread_parameters(
    request: TurnRequest, provider: Provider | None, excluded: Sequence[str] = ()
) -> Params:
    """Return the parameters that thread/start, thread/resume and thread/fork share.

    `provider`: one of ours, else the program's own. Its key goes to the program's memory alone: as a variable
    (`env_key`) every command would have it. `excluded`: variables that commands do not get.
    """
    config = dict(request.config or {})
    if provider is not None:
        entry: Params = {"name": provider.name, "base_url": provider.base_url, "wire_api": "responses"}
        key = key_of(provider)
        entry |= {"requires_openai_auth": False} | ({"experimental_bearer_token": key} if key else {})
        config.update(model_provider=_PROVIDER_ID, model_providers={_PROVIDER_ID: entry})
    if names := list(dict.fromkeys(excluded)):  # one list: ours would replace the user's
        table = {_POLICY: {**config.get(_POLICY, {}), "exclude": names}}
        config |= table if _POLICY in config else {f"{_POLICY}.exclude": names}
    return _parameters(
        request,
        ("model", "cwd", "base_instructions"),
        developerInstructions=request.instructions,
        sandbox=request.sandbox.value if request.sandbox else None,
        config=config or None,
        modelProvider=_PROVIDER_ID if provider else own_provider(request),
        **_approvals(request),
    )


def asking_servers(config: Mapping[str, Any]) -> Params:
    """Return the keys with which each MCP server of a config.toml asks before a call, unless its entry says otherwise.

    By default a tool asks only where the server itself says that it acts.
    """
    servers = config.get("mcp_servers") or {}
    own = {name for name, entry in servers.items() if (entry or {}).get(_MODE) is not None}
    return {f"mcp_servers.{name}.{_MODE}": "prompt" for name in servers.keys() - own}


_MODE = "default_tools_approval_mode"


def exclusions(config: Mapping[str, Any]) -> list[str] | None:
    """Return those of a config.toml's table, nested or with dots; `None` where it has none."""
    nested = config.get(_POLICY) or {}
    return config.get(f"{_POLICY}.exclude", nested.get("exclude"))  # type: ignore[no-any-return]  # the program read it


def own_provider(request: TurnRequest) -> str | None:
    """Return the name of the provider of the program's own config.toml, where the turn names one."""
    return (request.config or {}).get("model_provider")


def start_parameters(request: TurnRequest) -> Params:
    """Return what thread/start takes besides: it can't be changed later."""
    names = ("personality", "ephemeral", "service_name", "session_start_source", "thread_source")
    return _parameters(request, names, dynamicTools=request.tools.specs() if request.tools else None)


def fork_parameters(request: TurnRequest) -> Params:
    """Return what thread/fork takes besides."""
    return _parameters(request, ("ephemeral", "thread_source"))


def turn_parameters(request: TurnRequest) -> Params:
    """Return the parameters of turn/start. Raises InvalidRequestError for a prompt that can't be sent."""
    return _parameters(
        request,
        ("model", "effort", "summary", "personality", "cwd", "output_schema"),
        turnTrigger=request.source,
        sandboxPolicy={"type": _camel(request.sandbox.value)} if request.sandbox else None,
        serviceTierForTurn=request.service_tier,
        clientUserMessageId=request.cell_id,
        **_input(request.inputs),
        **_approvals(request),
    )


def _input(inputs: Sequence[types.InputItem]) -> Params:
    outside = next((part for part in inputs if isinstance(part, types.ExternalMessage)), None)
    if outside is None:
        characters = sum(len(part.text) for part in inputs if isinstance(part, types.TextInput))
        if characters > LONGEST_INPUT:
            raise input_too_long(characters)
        return {"input": _user_input(inputs)}
    if len(inputs) > 1:
        raise alone()
    output = {"name": outside.tool_name, "namespace": outside.namespace, "output": outside.content}
    return {"input": [], "toolOutput": {name: each for name, each in output.items() if each is not None}}


def steer_input(inputs: Sequence[types.InputItem]) -> list[Params]:
    """Return more input for a running turn. Raises InvalidRequestError for what it can't be given."""
    strangers = [part for part in inputs if isinstance(part, types.ExternalMessage | types.ContextInput)]
    if strangers:
        hint = "Start a new turn with it when this one has finished."
        raise InvalidRequestError(f"A running turn can't take a {type(strangers[0]).__name__}.", hint=hint)
    return _user_input(inputs)


def _user_input(inputs: Sequence[types.InputItem]) -> list[Params]:
    """Name mentioned files in words: the program looks up mentions with an address (`app://...`) only."""
    parts: list[types.InputItem] = []
    for part in inputs:
        if isinstance(part, types.ContextInput):  # it is in the thread already
            continue
        if isinstance(part, types.LocalImageInput):  # the program may stand in another folder
            part = msgspec.structs.replace(part, path=os.path.abspath(part.path))
        parts.append(part)
        if isinstance(part, types.MentionInput) and "://" not in part.path:
            parts.append(types.TextInput(f"[{part.name}]({part.path})"))
    return msgspec.to_builtins(parts)  # type: ignore[no-any-return]  # a list for a list


def _approvals(request: TurnRequest) -> Params:
    usual = types.ApprovalMode.ask if request.approvals else types.ApprovalMode.deny_all
    return _APPROVALS[request.approval_mode or usual]


def _parameters(request: TurnRequest, names: Iterable[str], **others: Any) -> Params:
    fields = {_camel(name): getattr(request, name) for name in names}
    return {name: value for name, value in {**fields, **others}.items() if value is not None}


def _camel(words: str) -> str:
    return re.sub("[-_](.)", lambda match: match[1].upper(), words)
