"""Parameters of a turn in the protocol's spelling, which differs between threads and turns. Pure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import msgspec

from ...protocol.errors import InvalidRequestError
from ...protocol.types import (
    ApprovalMode,
    ExternalMessage,
    InputItem,
    LocalImageInput,
    MentionInput,
    Sandbox,
    TextInput,
)
from ...responses.provider import Provider, key_of
from ..seam import TurnRequest
from .environment import with_exclusions
from .failures import LONGEST_INPUT, input_too_long

Params = dict[str, Any]

_PROVIDER_ID = "codex_magic"

_SANDBOX_POLICIES = {
    Sandbox.read_only: "readOnly",
    Sandbox.workspace_write: "workspaceWrite",
    Sandbox.full_access: "dangerFullAccess",
}

_APPROVALS: dict[ApprovalMode, Params] = {
    ApprovalMode.deny_all: {"approvalPolicy": "never"},
    ApprovalMode.auto_review: {"approvalPolicy": "on-request", "approvalsReviewer": "auto_review"},
    ApprovalMode.ask: {"approvalPolicy": "on-request", "approvalsReviewer": "user"},
    ApprovalMode.untrusted: {"approvalPolicy": "untrusted", "approvalsReviewer": "user"},
}


def thread_parameters(
    request: TurnRequest, provider: Provider | None, excluded: Sequence[str] = ()
) -> Params:
    """Return the parameters that thread/start, thread/resume and thread/fork share.

    `provider`: one of ours as keys of config.toml; without one the program's own stands. Its key goes to
    the program's memory alone. As a variable (`env_key`) it would be in the environment of every command
    that the agent runs, and from there in files. `excluded`: variables that commands do not get.
    """
    config = dict(request.config or {})
    if provider is not None:
        entry = {
            "name": provider.name,
            "base_url": provider.base_url,
            "wire_api": "responses",
            "requires_openai_auth": False,
        }
        key = key_of(provider)
        if key is not None:
            entry["experimental_bearer_token"] = key
        config.update(model_provider=_PROVIDER_ID, model_providers={_PROVIDER_ID: entry})
    return _present(
        model=request.model,
        cwd=request.cwd,
        sandbox=request.sandbox.value if request.sandbox else None,
        developerInstructions=request.instructions,
        baseInstructions=request.base_instructions,
        config=with_exclusions(config, excluded) or None,
        modelProvider=_PROVIDER_ID if provider else own_provider(request),
        **_approvals(request),
    )


def own_provider(request: TurnRequest) -> str | None:
    """Return the name of the provider of the program's own config.toml, where the turn names one."""
    return (request.config or {}).get("model_provider")


def start_parameters(request: TurnRequest) -> Params:
    """Return what thread/start takes besides: it can't be changed later."""
    return _present(
        dynamicTools=request.tools.specs() if request.tools else None,
        personality=request.personality,
        ephemeral=request.ephemeral,
        serviceName=request.service_name,
        sessionStartSource=request.session_start_source,
        threadSource=request.thread_source,
    )


def fork_parameters(request: TurnRequest) -> Params:
    """Return what thread/fork takes besides."""
    return _present(ephemeral=request.ephemeral, threadSource=request.thread_source)


def turn_parameters(request: TurnRequest) -> Params:
    """Return the parameters of turn/start. Raises InvalidRequestError for a prompt that can't be sent."""
    return _present(
        **_input(request.inputs),
        turnTrigger=request.source,
        model=request.model,
        effort=request.effort,
        summary=request.summary,
        personality=request.personality,
        cwd=request.cwd,
        sandboxPolicy={"type": _SANDBOX_POLICIES[request.sandbox]} if request.sandbox else None,
        serviceTierForTurn=request.service_tier,
        outputSchema=request.output_schema,
        clientUserMessageId=request.cell_id,
        **_approvals(request),
    )


def _input(inputs: Sequence[InputItem]) -> Params:
    """Return what the user says, or what a tool says that nobody called."""
    outside = next((part for part in inputs if isinstance(part, ExternalMessage)), None)
    if outside is None:
        characters = sum(len(part.text) for part in inputs if isinstance(part, TextInput))
        if characters > LONGEST_INPUT:
            raise input_too_long(characters)
        return {"input": _user_input(inputs)}
    if len(inputs) > 1:
        raise InvalidRequestError(
            "An ExternalMessage is the whole input of its turn.", hint="Give the rest to the next turn."
        )
    output = _present(name=outside.tool_name, namespace=outside.namespace, output=outside.content)
    return {"input": [], "toolOutput": output}


def steer_input(inputs: Sequence[InputItem]) -> list[Params]:
    """Return more input for a running turn. Raises InvalidRequestError for what it can't be given."""
    if any(isinstance(part, ExternalMessage) for part in inputs):
        raise InvalidRequestError(
            "A running turn takes no ExternalMessage.", hint="Start a turn with it when this one has ended."
        )
    return _user_input(inputs)


def _user_input(inputs: Sequence[InputItem]) -> list[Params]:
    """Name mentioned files in words: the program looks up mentions with an address (`app://...`) only."""
    parts: list[InputItem] = []
    for part in inputs:
        if isinstance(part, LocalImageInput):  # the program may stand in another folder
            part = msgspec.structs.replace(part, path=os.path.abspath(part.path))
        parts.append(part)
        if isinstance(part, MentionInput) and "://" not in part.path:
            parts.append(TextInput(f"[{part.name}]({part.path})"))
    return msgspec.to_builtins(parts)  # type: ignore[no-any-return]  # a list for a list


def _approvals(request: TurnRequest) -> Params:
    mode = request.approval_mode or (ApprovalMode.ask if request.approvals else ApprovalMode.deny_all)
    return _APPROVALS[mode]


def _present(**fields: Any) -> Params:
    return {name: value for name, value in fields.items() if value is not None}
