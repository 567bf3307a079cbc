"""The public names: type checkers and editors read this file, and so does the run, for where each name comes from."""

from typing import TYPE_CHECKING

from IPython.core.interactiveshell import InteractiveShell

if TYPE_CHECKING:  # in here mypy reads them last, as all of them import this package
    from .auth.handles import (
        AsyncChatgptLoginHandle as AsyncChatgptLoginHandle,
        AsyncDeviceCodeLoginHandle as AsyncDeviceCodeLoginHandle,
        ChatgptLoginHandle as ChatgptLoginHandle,
        DeviceCodeLoginHandle as DeviceCodeLoginHandle,
    )
    from .context import describe as describe
    from .notebook.cells import run_cell as run_cell, run_cell_blocking as run_cell_blocking
    from .protocol.errors import (
        AccountChangedError as AccountChangedError,
        AuthError as AuthError,
        BlockedError as BlockedError,
        CodexError as CodexError,
        ConfigurationError as ConfigurationError,
        ContextWindowError as ContextWindowError,
        InvalidOutputError as InvalidOutputError,
        InvalidParamsError as InvalidParamsError,
        InvalidRequestError as InvalidRequestError,
        JsonRpcError as JsonRpcError,
        LoginError as LoginError,
        MethodNotFoundError as MethodNotFoundError,
        ModelNotFoundError as ModelNotFoundError,
        NoStoredAnswerError as NoStoredAnswerError,
        NotSignedInError as NotSignedInError,
        OptionError as OptionError,
        OutputError as OutputError,
        RateLimitError as RateLimitError,
        RefusedError as RefusedError,
        ResponseAborted as ResponseAborted,
        ServerBusyError as ServerBusyError,
        ServiceError as ServiceError,
        StoreError as StoreError,
        StreamError as StreamError,
        ThreadNotFoundError as ThreadNotFoundError,
        TimedOutError as TimedOutError,
        TruncatedError as TruncatedError,
        UnreachableError as UnreachableError,
        UsageLimitError as UsageLimitError,
    )
    from .protocol.settings import Settings as Settings
    from .protocol.types import (
        AcceptWithExecpolicyAmendment as AcceptWithExecpolicyAmendment,
        Account as Account,
        AccountLoginCompleted as AccountLoginCompleted,
        AgentMessage as AgentMessage,
        AgentMessageDelta as AgentMessageDelta,
        ApiKeyAccount as ApiKeyAccount,
        ApplyNetworkPolicyAmendment as ApplyNetworkPolicyAmendment,
        ApprovalMode as ApprovalMode,
        CancelLoginAccountResponse as CancelLoginAccountResponse,
        CancelLoginAccountStatus as CancelLoginAccountStatus,
        ChatgptAccount as ChatgptAccount,
        CommandApproval as CommandApproval,
        CommandExecution as CommandExecution,
        ContextInput as ContextInput,
        Decision as Decision,
        DeclineBecause as DeclineBecause,
        ExternalMessage as ExternalMessage,
        FileChange as FileChange,
        FileChangeApproval as FileChangeApproval,
        GetAccountResponse as GetAccountResponse,
        ImageInput as ImageInput,
        InitializeResponse as InitializeResponse,
        Input as Input,
        InputItem as InputItem,
        ItemCompleted as ItemCompleted,
        ItemStarted as ItemStarted,
        LocalImageInput as LocalImageInput,
        LoginState as LoginState,
        LoginUpdated as LoginUpdated,
        McpServer as McpServer,
        McpToolApproval as McpToolApproval,
        McpToolCall as McpToolCall,
        MentionInput as MentionInput,
        Notification as Notification,
        PermissionsApproval as PermissionsApproval,
        RateLimits as RateLimits,
        RateLimitWindow as RateLimitWindow,
        RunInput as RunInput,
        Sandbox as Sandbox,
        ServerInfo as ServerInfo,
        SkillInput as SkillInput,
        TextInput as TextInput,
        ThreadItem as ThreadItem,
        ThreadTokenUsage as ThreadTokenUsage,
        ToolCallApproval as ToolCallApproval,
        Turn as Turn,
        TurnCompleted as TurnCompleted,
        TurnError as TurnError,
        TurnResult as TurnResult,
        TurnStarted as TurnStarted,
        TurnStatus as TurnStatus,
        TurnSteerResponse as TurnSteerResponse,
    )
    from .responses.catalog import Model as Model
    from .responses.client import AsyncClient as AsyncClient, Client as Client
    from .responses.parameters import (
        FunctionTool as FunctionTool,
        JsonObject as JsonObject,
        JsonSchema as JsonSchema,
        PlainText as PlainText,
        Reasoning as Reasoning,
        TextConfig as TextConfig,
        Timeouts as Timeouts,
    )
    from .responses.provider import Provider as Provider
    from .responses.response import Response as Response
    from .responses.exchange import RetryPolicy as RetryPolicy
    from .responses.structured import ParsedResponse as ParsedResponse
    from .responses.tools import (
        Namespace as Namespace,
        Tool as Tool,
        custom_tool as custom_tool,
        tool as tool,
    )
    from .threads.codex import (
        AsyncCodex as AsyncCodex,
        AsyncThread as AsyncThread,
        ModelList as ModelList,
    )
    from .threads.options import CodexConfig as CodexConfig
    from .threads.store import ThreadPage as ThreadPage, ThreadReadResponse as ThreadReadResponse
    from .threads.sync import Codex as Codex, Thread as Thread, TurnHandle as TurnHandle
    from .threads.turns import (
        AsyncTurnHandle as AsyncTurnHandle,
        is_retryable_error as is_retryable_error,
        retry_on_overload as retry_on_overload,
    )
    from .values.asking import ask as ask, ask_async as ask_async
    from .values.mapping import map as map

__version__: str
__all__: list[str]

def _exports() -> dict[str, str]: ...
def load_ipython_extension(shell: InteractiveShell) -> None: ...
def unload_ipython_extension(shell: InteractiveShell) -> None: ...
