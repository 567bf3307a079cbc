"""What a turn asks for, in the protocol's spelling, which differs between threads and turns. Pure."""

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
    """Of `thread/start`, `thread/resume` and `thread/fork`. `excluded`: variables that commands do not get."""
    config = {**(request.config or {}), **_provider_config(provider)}
    return _given(
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
    """The one of the program's own config.toml that is asked for by name."""
    return (request.config or {}).get("model_provider")


def start_parameters(request: TurnRequest) -> Params:
    """What `thread/start` takes besides: it can't be changed later."""
    return _given(
        dynamicTools=request.tools.specs() if request.tools else None,
        personality=request.personality,
        ephemeral=request.ephemeral,
        serviceName=request.service_name,
        sessionStartSource=request.session_start_source,
        threadSource=request.thread_source,
    )


def fork_parameters(request: TurnRequest) -> Params:
    """What `thread/fork` takes besides."""
    return _given(ephemeral=request.ephemeral, threadSource=request.thread_source)


def turn_parameters(request: TurnRequest) -> Params:
    """Of `turn/start`. Raises InvalidRequestError for a prompt that can't be sent."""
    return _given(
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


def steered(inputs: Sequence[InputItem]) -> list[Params]:
    """More input for a running turn. Raises InvalidRequestError for what it can't be given."""
    if any(isinstance(part, ExternalMessage) for part in inputs):
        raise InvalidRequestError(
            "A running turn takes no ExternalMessage.", hint="Start a turn with it when this one has ended."
        )
    return _said(inputs)


def _input(inputs: Sequence[InputItem]) -> Params:
    """What the user says, or what a tool does that nobody called."""
    outside = next((part for part in inputs if isinstance(part, ExternalMessage)), None)
    if outside is None:
        characters = sum(len(part.text) for part in inputs if isinstance(part, TextInput))
        if characters > LONGEST_INPUT:
            raise input_too_long(characters)
        return {"input": _said(inputs)}
    if len(inputs) > 1:
        raise InvalidRequestError(
            "An ExternalMessage is the whole input of its turn.", hint="Give the rest to the next turn."
        )
    return {"input": [], "toolOutput": external_output(outside)}


def _said(inputs: Sequence[InputItem]) -> list[Params]:
    """The program looks up mentions with an address (`app://...`) only: of a file the model hears in words."""
    said: list[InputItem] = []
    for part in inputs:
        if isinstance(part, LocalImageInput):  # the program may stand in another folder
            part = msgspec.structs.replace(part, path=os.path.abspath(part.path))
        said.append(part)
        if isinstance(part, MentionInput) and "://" not in part.path:
            said.append(TextInput(f"[{part.name}]({part.path})"))
    return msgspec.to_builtins(said)  # type: ignore[no-any-return]  # a list for a list


def external_output(message: ExternalMessage) -> Params:
    """As the protocol's `TurnToolOutput`."""
    return _given(name=message.tool_name, namespace=message.namespace, output=message.content)


def _approvals(request: TurnRequest) -> Params:
    mode = request.approval_mode or (ApprovalMode.ask if request.approvals else ApprovalMode.deny_all)
    return _APPROVALS[mode]


def _provider_config(provider: Provider | None) -> Params:
    """A provider of ours as keys of config.toml; without one the program's own stands.

    Its key goes to the program's memory alone. As a variable (`env_key`) it would be in the environment of
    every command that the agent runs, and from there in files.
    """
    if provider is None:
        return {}
    entry = {
        "name": provider.name,
        "base_url": provider.base_url,
        "wire_api": "responses",
        "requires_openai_auth": False,
    }
    key = key_of(provider)
    if key is not None:
        entry["experimental_bearer_token"] = key
    return {"model_provider": _PROVIDER_ID, "model_providers": {_PROVIDER_ID: entry}}


def _given(**fields: Any) -> Params:
    return {name: value for name, value in fields.items() if value is not None}
