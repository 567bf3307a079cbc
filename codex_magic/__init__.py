"""Work with OpenAI's Codex inside a notebook: `%load_ext codex_magic`, then `%%codex` cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_MODULES: dict[str, tuple[str, ...]] = {
    "threads.sync": ("Codex", "Thread", "TurnHandle"),
    "threads.codex": ("AsyncCodex", "AsyncThread", "ModelList"),
    "threads.options": ("CodexConfig",),
    "threads.overload": ("is_retryable_error", "retry_on_overload"),
    "threads.turns": ("AsyncTurnHandle",),
    "auth.handles": (
        "AsyncChatgptLoginHandle",
        "AsyncDeviceCodeLoginHandle",
        "ChatgptLoginHandle",
        "DeviceCodeLoginHandle",
    ),
    "responses.client": ("AsyncClient", "Client"),
    "responses.parameters": (
        "FunctionTool",
        "JsonObject",
        "JsonSchema",
        "PlainText",
        "Reasoning",
        "TextConfig",
        "Timeouts",
    ),
    "responses.provider": ("Provider",),
    "responses.response": ("Response",),
    "responses.retry": ("RetryPolicy",),
    "responses.structured": ("ParsedResponse",),
    "responses.tools": ("Namespace", "Tool", "custom_tool", "tool"),
    "threads.store": ("ThreadPage", "ThreadReadResponse"),
    "responses.catalog": ("Model",),
    "protocol.runtime": ("InitializeResponse", "ServerInfo"),
    "protocol.settings": ("Settings",),
    "protocol.types": (
        "AcceptWithExecpolicyAmendment",
        "AgentMessage",
        "AgentMessageDelta",
        "ApplyNetworkPolicyAmendment",
        "ApprovalMode",
        "CommandApproval",
        "CommandExecution",
        "Decision",
        "ExternalMessage",
        "FileChange",
        "FileChangeApproval",
        "ImageInput",
        "Input",
        "InputItem",
        "ItemCompleted",
        "ItemStarted",
        "LocalImageInput",
        "MentionInput",
        "Notification",
        "PermissionsApproval",
        "RateLimitWindow",
        "RateLimits",
        "RunInput",
        "Sandbox",
        "SkillInput",
        "TextInput",
        "ThreadItem",
        "ThreadTokenUsage",
        "ToolCallApproval",
        "Turn",
        "TurnCompleted",
        "TurnError",
        "TurnResult",
        "TurnStarted",
        "TurnStatus",
        "TurnSteerResponse",
    ),
    "protocol.account": (
        "Account",
        "AccountLoginCompleted",
        "ApiKeyAccount",
        "CancelLoginAccountResponse",
        "CancelLoginAccountStatus",
        "ChatgptAccount",
        "GetAccountResponse",
        "LoginState",
        "LoginUpdated",
    ),
    "protocol.errors": (
        "AccountChangedError",
        "AuthError",
        "BlockedError",
        "CodexError",
        "ConfigurationError",
        "ContextWindowError",
        "InvalidOutputError",
        "InvalidParamsError",
        "InvalidRequestError",
        "JsonRpcError",
        "LoginError",
        "MethodNotFoundError",
        "ModelNotFoundError",
        "NotSignedInError",
        "OptionError",
        "OutputError",
        "RateLimitError",
        "RefusedError",
        "ResponseAborted",
        "ServerBusyError",
        "ServiceError",
        "StoreError",
        "StreamError",
        "ThreadNotFoundError",
        "TimedOutError",
        "TruncatedError",
        "UnreachableError",
        "UsageLimitError",
    ),
    "notebook.magics": ("run_cell", "run_cell_blocking"),
}
"""Public names by the module that defines them; imported at first use, so `%load_ext` stays cheap."""

_EXPORTS = {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names}

__all__ = sorted(_EXPORTS)  # one list, in _MODULES


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext codex_magic`: add `%codex`, `%%codex` and what they need."""
    from .notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext codex_magic`: take them away again."""
    from .notebook.magics import unload

    unload(shell)
