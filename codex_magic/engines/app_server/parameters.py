"""What a turn asks for, in the protocol's spelling, which differs between threads and turns. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from ...protocol.errors import ConfigurationError
from ...protocol.types import ApprovalMode, Sandbox, TextInput
from ...responses.provider import Provider
from ..seam import TurnRequest
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


def thread_parameters(request: TurnRequest, provider: Provider | None) -> Params:
    """Of `thread/start`, `thread/resume` and `thread/fork`."""
    return _given(
        model=request.model,
        cwd=request.cwd,
        sandbox=request.sandbox.value if request.sandbox else None,
        developerInstructions=request.instructions,
        baseInstructions=request.base_instructions,
        config={**(request.config or {}), **_provider_config(provider)} or None,
        modelProvider=_PROVIDER_ID if provider else None,
        **_approvals(request),
    )


def start_parameters(request: TurnRequest) -> Params:
    """What `thread/start` takes besides: it can't be changed later."""
    return _given(
        dynamicTools=request.tools.specs() if request.tools else None,
        personality=request.personality,
        ephemeral=request.ephemeral,
    )


def turn_parameters(request: TurnRequest) -> Params:
    """Of `turn/start`. Raises InvalidRequestError for a prompt that is too long."""
    characters = sum(len(part.text) for part in request.inputs if isinstance(part, TextInput))
    if characters > LONGEST_INPUT:
        raise input_too_long(characters)
    return _given(
        input=msgspec.to_builtins(request.inputs),
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


def _approvals(request: TurnRequest) -> Params:
    mode = request.approval_mode or (ApprovalMode.ask if request.approvals else ApprovalMode.deny_all)
    return _APPROVALS[mode]


def _provider_config(provider: Provider | None) -> Params:
    """A provider of ours as keys of config.toml; without one the program's own stands."""
    if provider is None:
        return {}
    if provider.auth is not None:
        raise ConfigurationError(
            f"The agent is not given the key of {provider.name}.",
            hint="Describe the provider, with its env_key, in the program's own config.toml.",
        )
    entry = {
        "name": provider.name,
        "base_url": provider.base_url,
        "wire_api": "responses",
        "requires_openai_auth": False,
    }
    return {"model_provider": _PROVIDER_ID, "model_providers": {_PROVIDER_ID: entry}}


def _given(**fields: Any) -> Params:
    return {name: value for name, value in fields.items() if value is not None}
