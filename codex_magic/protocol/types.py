"""Items, inputs, turns and notifications: the app-server protocol's own words, as frozen structs.

Field names are snake_case here and camelCase on the wire, so an app-server message decodes as it
stands. Source: the JSON schema that `codex app-server generate-json-schema` writes (0.163).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from .errors import OptionError
from .plain import encodable, map_leaves, plain_json, read_struct


class Struct(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Base of every value here: immutable, camelCase on the wire, defaults left out."""


class TextInput(Struct, frozen=True, tag="text"):
    text: str


class ContextInput(Struct, frozen=True, tag="context"):
    """What the model is told of the user's surroundings with a question: data, and nobody's words.

    It is a message of its own before the question, `<external_NAME>...</external_NAME>`.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]+$")]
    value: str
    held: dict[str, str] = {}
    """What the thread holds by it, as a digest of each part, e.g. by cell id."""


class ImageInput(Struct, frozen=True, tag="image"):
    """An image by `https:` or `data:` URL."""

    url: str


class LocalImageInput(Struct, frozen=True, tag="localImage"):
    path: str


class SkillInput(Struct, frozen=True, tag="skill"):
    name: str
    path: str


class MentionInput(Struct, frozen=True, tag="mention"):
    name: str
    path: str


class ExternalMessage(Struct, frozen=True, tag="externalMessage"):
    """Untrusted content of another agent, tool or application: it has a tool's authority, not the user's.

    It is the whole input of its turn. `content`: text, or items of a function's output (`input_text`,
    `input_image`).
    """

    tool_name: str
    content: str | tuple[dict[str, Any], ...]
    namespace: str | None = None


_Parts = TextInput | ContextInput | ImageInput | LocalImageInput | SkillInput | MentionInput
InputItem = _Parts | ExternalMessage
Input = list[InputItem] | InputItem
RunInput = Input | str


def as_inputs(value: RunInput) -> tuple[InputItem, ...]:
    """Return the inputs as a tuple: a string is shorthand for one `TextInput`, an item for a list of one.

    Lone surrogates, which no encoding can carry, become U+FFFD. Raises OptionError for anything else.
    """
    if isinstance(value, str):
        value = TextInput(value)
    parts = value if isinstance(value, list) else [value]
    for part in parts:
        if not _is_input(part):
            hint = "It is a text, an input such as TextInput, or a list of inputs."
            kind = type(part).__name__
            is_close = isinstance(part, InputItem)
            problem = f"A field of {kind} has a wrong type." if is_close else f"The input can't be a {kind}."
            raise OptionError(problem, hint=hint)
    is_text = TextInput | ContextInput
    return tuple(
        msgspec.convert(map_leaves(msgspec.to_builtins(part), encodable), type(part))
        if isinstance(part, is_text)
        else part
        for part in parts
    )


def _is_input(part: Any) -> bool:
    try:
        fields = msgspec.to_builtins(part, builtin_types=(bytes,))
        msgspec.convert(fields, type(part))
    except (TypeError, msgspec.ValidationError):
        return False
    return isinstance(part, InputItem)


def input_text(inputs: tuple[InputItem, ...]) -> str:
    """Return the text parts, joined by blank lines."""
    return "\n\n".join(part.text for part in inputs if isinstance(part, TextInput))


class UserMessage(Struct, frozen=True, tag="userMessage"):
    id: str
    content: tuple[InputItem, ...]
    client_id: str | None = None
    """The notebook cell that sent it."""


class AgentMessage(Struct, frozen=True, tag="agentMessage"):
    id: str
    text: str
    phase: str | None = None
    """`commentary`, `final_answer`, or `None` when the model does not say."""


class Reasoning(Struct, frozen=True, tag="reasoning"):
    id: str
    summary: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    duration_ms: int | None = None
    """Ours, from a second on."""


def is_empty_thought(part: str) -> bool:
    """Return whether a part of reasoning is blank, or only a heading that was cut off."""
    return re.fullmatch(r"\s*(\*{1,2}[^*\n]*\*?\s*)?", part) is not None


class Plan(Struct, frozen=True, tag="plan"):
    id: str
    text: str


class CommandExecution(Struct, frozen=True, tag="commandExecution"):
    id: str
    command: str
    cwd: str = ""
    status: str = "inProgress"
    """The protocol's status, or one of ours: see `NEVER_DONE`."""
    aggregated_output: str | None = None
    exit_code: int | None = None
    duration_ms: int | None = None
    process_id: str | None = None
    """Set once the command has begun, if the program reports it."""
    approval: str | None = None
    """The `Decision` that allowed it, or `always` (ours)."""
    reason: str | None = None
    """What the person said who declined it (ours)."""


class FileChange(Struct, frozen=True, tag="fileChange"):
    id: str
    changes: tuple[dict[str, Any], ...] = ()
    status: str = "inProgress"
    approval: str | None = None
    reason: str | None = None


class ToolCall(Struct, frozen=True, tag="dynamicToolCall"):
    """A call of a client tool: a Python function the model may use."""

    id: str
    tool: str
    arguments: Any = None
    namespace: str | None = None
    status: str = "inProgress"
    content_items: tuple[dict[str, Any], ...] | None = None
    success: bool | None = None
    duration_ms: int | None = None
    approval: str | None = None
    reason: str | None = None


MCP = "mcp__"
"""Before the name of an MCP server it is the namespace of that server's tools."""


class McpToolCall(ToolCall, frozen=True, tag="mcpToolCall"):
    """A call of a tool of one of the user's MCP servers, which the agent's program makes."""


def _as_tool_call(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the program's item of such a call with the fields that ours has."""
    if "server" not in raw:  # one of ours
        return raw
    error, result = raw.get("error"), raw.get("result")
    content = (result.get("content") if isinstance(result, dict) else None) or ()
    parts = [_content_item(part) for part in content if isinstance(part, dict)]
    if isinstance(error, dict):
        parts.append({"type": "inputText", "text": str(error.get("message"))})
    over = raw.get("status") not in ("inProgress", None)
    return {
        **{name: raw.get(name) for name in ("type", "id", "tool", "arguments", "status", "durationMs")},
        "namespace": f"{MCP}{raw['server']}",
        "contentItems": parts if over else None,
        "success": raw.get("status") == "completed" if over else None,
    }


def _content_item(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of an MCP result as one of a client tool's."""
    if part.get("type") == "image":
        return {"type": "inputImage", "imageUrl": f"data:{part.get('mimeType')};base64,{part.get('data')}"}
    text = part.get("text")
    return {"type": "inputText", "text": text if isinstance(text, str) else f"[{part.get('type')}]"}


class WebSearch(Struct, frozen=True, tag="webSearch"):
    id: str
    query: str = ""


class ImageGeneration(Struct, frozen=True, tag="imageGeneration"):
    id: str
    status: str = "inProgress"
    result: str = ""
    """PNG, base64."""
    revised_prompt: str | None = None


class ContextCompaction(Struct, frozen=True, tag="contextCompaction"):
    """From here on the model is sent a shortened form of what came before."""

    id: str
    past: str | None = None
    """Digest of the preceding turns; the compaction is valid only after exactly these."""


class UnknownItem(msgspec.Struct, frozen=True):
    """An item of a kind this version does not know, kept as it came."""

    id: str
    raw: dict[str, Any]


NEVER_DONE = ("declined", "unanswered", "stopped", "expired")
"""Final statuses of a command, change or call that was not approved: a person declined it, nobody was there, the turn
was stopped, or it ended before an answer. Only `declined` is the protocol's. Further statuses of ours: `waiting` for an
answer; `interrupted` while it ran; `unfinished`, when it is unknown whether it ran."""

_Action = (
    CommandExecution | FileChange | ToolCall | McpToolCall | WebSearch | ImageGeneration | ContextCompaction
)
KnownItem = UserMessage | AgentMessage | Reasoning | Plan | _Action
ThreadItem = KnownItem | UnknownItem

ITEM_TYPES: dict[str, type[KnownItem]] = {kind.__struct_config__.tag: kind for kind in KnownItem.__args__}


def item_type(item: ThreadItem) -> str:
    """Return the wire name of an item's kind, e.g. `agentMessage`."""
    if isinstance(item, UnknownItem):
        return str(item.raw["type"])
    return str(item.__struct_config__.tag)


def unknown_item(item_id: str, raw: Mapping[str, Any]) -> UnknownItem:
    """Return `raw` under that id, as it came; its type is `unknown` if it names none."""
    kept = plain_json(raw)
    kind = kept.get("type")
    return UnknownItem(item_id, {**kept, "type": kind if isinstance(kind, str) else "unknown", "id": item_id})


def decode_item(raw: Any) -> ThreadItem:
    """Read one item; never fails. An optional field of a wrong type is left out.

    An unknown kind, or a known one without a required field, is kept as it came.
    """
    if not isinstance(raw, Mapping):
        return unknown_item("", {"value": raw})
    item_id = raw.get("id")
    item_id = encodable(item_id) if isinstance(item_id, str) else ""
    if known := ITEM_TYPES.get(str(raw.get("type"))):
        fields = {**plain_json(raw), "id": item_id}
        with suppress(msgspec.ValidationError):
            return read_struct(_as_tool_call(fields) if known is McpToolCall else fields, known)
    return unknown_item(item_id, raw)


def encode_item(item: ThreadItem) -> bytes:
    """Return the item as one line of JSON, readable by `decode_item`."""
    return msgspec.json.encode(item.raw if isinstance(item, UnknownItem) else item)


class TurnStatus(str, Enum):
    in_progress = "inProgress"
    completed = "completed"
    interrupted = "interrupted"
    failed = "failed"


class TurnError(Struct, frozen=True):
    message: str
    """One sentence, then what to do next."""
    codex_error_info: Any = None
    additional_details: str | None = None


class Turn(Struct, frozen=True):
    """Times are Unix seconds; `duration_ms` is wall time."""

    id: str
    status: TurnStatus
    items: tuple[Any, ...] = ()
    error: TurnError | None = None
    started_at: int | None = None
    completed_at: int | None = None
    duration_ms: int | None = None


class TokenUsage(Struct, frozen=True):
    """Tokens. `cached_input_tokens` are part of `input_tokens`, reasoning part of the output."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_output_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(*(getattr(self, f) + getattr(other, f) for f in self.__struct_fields__))

    def __sub__(self, other: TokenUsage) -> TokenUsage:
        return TokenUsage(*(getattr(self, f) - getattr(other, f) for f in self.__struct_fields__))


class ThreadTokenUsage(Struct, frozen=True):
    total: TokenUsage
    """Sum of all requests of the turn."""
    last: TokenUsage
    """The last request alone: what the context window holds now."""
    model_context_window: int | None = None


class RateLimitWindow(Struct, frozen=True):
    used_percent: float
    window_duration_mins: int | None = None
    resets_at: int | None = None
    """Unix seconds."""


class RateLimits(Struct, frozen=True):
    primary: RateLimitWindow | None = None
    secondary: RateLimitWindow | None = None
    plan_type: str | None = None
    limit_id: str | None = None

    @property
    def effective(self) -> RateLimitWindow | None:
        """The window that will be exhausted first: the one with the least left."""
        windows = filter(None, (self.primary, self.secondary))
        return max(windows, key=lambda window: window.used_percent, default=None)


class TurnSteerResponse(Struct, frozen=True):
    turn_id: str


class TurnResult(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a finished turn; `final_response` is `None` when there was no answer."""

    id: str
    status: TurnStatus
    error: TurnError | None
    started_at: int | None
    completed_at: int | None
    duration_ms: int | None
    final_response: str | None
    items: list[ThreadItem]
    usage: ThreadTokenUsage | None

    def __str__(self) -> str:
        return self.final_response or ""


class OfTurn(Struct, frozen=True):
    """Base of the notifications about one turn."""

    thread_id: str
    turn_id: str


class OfItem(OfTurn, frozen=True):
    """Base of the notifications and approval requests about one item."""

    item_id: str


class Delta(OfItem, frozen=True):
    """Base of the notifications that add a piece of text to an item."""

    delta: str


class TurnPlace(Struct, frozen=True):
    """Where the app-server keeps a turn, by its own ids."""

    thread_id: str
    turn_id: str
    past: str = ""
    """Digest of the turns before it; its thread can be continued by a turn with the same past."""
    tools: str = ""
    """Version of the tools its thread was started with."""


class TurnStarted(Struct, frozen=True):
    method: ClassVar[str] = "turn/started"
    thread_id: str
    turn: Turn
    model: str | None = None
    place: TurnPlace | None = None


class ItemStarted(OfTurn, frozen=True):
    method: ClassVar[str] = "item/started"
    item: ThreadItem


class AgentMessageDelta(Delta, frozen=True):
    method: ClassVar[str] = "item/agentMessage/delta"


class ReasoningSummaryDelta(Delta, frozen=True):
    method: ClassVar[str] = "item/reasoning/summaryTextDelta"
    summary_index: int = 0


class ReasoningTextDelta(Delta, frozen=True):
    method: ClassVar[str] = "item/reasoning/textDelta"
    content_index: int = 0


class CommandOutputDelta(Delta, frozen=True):
    method: ClassVar[str] = "item/commandExecution/outputDelta"


class PlanDelta(Delta, frozen=True):
    method: ClassVar[str] = "item/plan/delta"


class FileChangeUpdated(OfItem, frozen=True):
    """The changes of a file change, as far as the model has written them."""

    method: ClassVar[str] = "item/fileChange/patchUpdated"
    changes: tuple[dict[str, Any], ...]


class TurnDiffUpdated(OfTurn, frozen=True):
    """All changes of the turn so far, as one unified diff; each replaces the one before."""

    method: ClassVar[str] = "turn/diff/updated"
    diff: str


class TurnPlanUpdated(OfTurn, frozen=True):
    """The plan's steps (`step`, `status`); each replaces the one before."""

    method: ClassVar[str] = "turn/plan/updated"
    plan: tuple[dict[str, Any], ...]
    explanation: str | None = None


class ItemCompleted(OfTurn, frozen=True):
    method: ClassVar[str] = "item/completed"
    item: ThreadItem
    response_items: tuple[dict[str, Any], ...] = ()
    """The Responses items that are sent for it when another engine or provider continues the thread."""


class TokenUsageUpdated(OfTurn, frozen=True):
    method: ClassVar[str] = "thread/tokenUsage/updated"
    token_usage: ThreadTokenUsage


class RateLimitsUpdated(Struct, frozen=True):
    method: ClassVar[str] = "account/rateLimits/updated"
    rate_limits: RateLimits


class ModelRerouted(OfTurn, frozen=True):
    """The service answered with another model than the requested one."""

    method: ClassVar[str] = "model/rerouted"
    from_model: str
    to_model: str


class TurnQueued(Struct, frozen=True):
    """The turn waits for another one of its thread; `cell` is that one's number if this notebook runs it.

    Sent by notebooks only, before `TurnStarted`.
    """

    method: ClassVar[str] = "turn/queued"
    thread_id: str
    cell: int | None = None


class Warned(Struct, frozen=True):
    """A warning that the user should see; the turn goes on."""

    method: ClassVar[str] = "warning"
    thread_id: str | None
    message: str


class Noted(Struct, frozen=True):
    """A quiet remark about the thread, from this program and no engine; commands stand in backquotes."""

    method: ClassVar[str] = "note"
    thread_id: str | None
    message: str


class ErrorReported(OfTurn, frozen=True):
    """A failure; with `will_retry` the engine tries again on its own."""

    method: ClassVar[str] = "error"
    error: TurnError
    will_retry: bool = False


class TurnCompleted(Struct, frozen=True):
    """The last notification of every turn, whatever happened."""

    method: ClassVar[str] = "turn/completed"
    thread_id: str
    turn: Turn


class UnknownNotification(msgspec.Struct, frozen=True):
    method: str
    params: dict[str, Any]


_OfTurns = TurnQueued | TurnStarted | TurnDiffUpdated | TurnPlanUpdated | TokenUsageUpdated | TurnCompleted
_OfItems = ItemStarted | FileChangeUpdated | ItemCompleted
_OfTexts = AgentMessageDelta | ReasoningSummaryDelta | ReasoningTextDelta | CommandOutputDelta | PlanDelta
_Notes = RateLimitsUpdated | ModelRerouted | Warned | Noted | ErrorReported
Notification = _OfTurns | _OfItems | _OfTexts | _Notes | UnknownNotification


class CommandApproval(OfItem, frozen=True):
    """May this command run? It needs to leave the sandbox, or the policy is to always ask."""

    method: ClassVar[str] = "item/commandExecution/requestApproval"
    command: str | None = None
    cwd: str | None = None
    reason: str | None = None
    """The model's own words."""
    command_actions: tuple[dict[str, Any], ...] | None = None
    proposed_execpolicy_amendment: tuple[str, ...] | None = None
    """Prefix of commands that could be allowed from now on; see `AcceptWithExecpolicyAmendment`."""
    network_approval_context: dict[str, Any] | None = None
    proposed_network_policy_amendments: tuple[dict[str, Any], ...] | None = None
    available_decisions: tuple[Any, ...] | None = None


class FileChangeApproval(OfItem, frozen=True):
    """May these files be changed?"""

    method: ClassVar[str] = "item/fileChange/requestApproval"
    reason: str | None = None
    grant_root: str | None = None
    changes: tuple[dict[str, Any], ...] = ()
    """`path`, `kind` and unified `diff` of each file."""


class PermissionsApproval(OfItem, frozen=True):
    """May the agent have these permissions (`fileSystem`, `network`)?"""

    method: ClassVar[str] = "item/permissions/requestApproval"
    permissions: dict[str, Any]
    cwd: str | None = None
    reason: str | None = None


class ToolCallApproval(OfItem, frozen=True):
    """May this tool of ours be called? Sent for tools made with `needs_approval`."""

    method: ClassVar[str] = "item/tool/call"
    tool: str
    arguments: Any = None
    namespace: str | None = None


class ReadingApproval(ToolCallApproval, frozen=True):
    """May the model read the live notebook? Asked once for all of its reading tools, not for each call."""

    folder: str = ""
    """Whose files it could read."""


class Trial(Struct, frozen=True):
    """What came of code in a copy of the kernel, of which nothing lasts; texts for a person."""

    outcome: str
    held: str = ""
    """What could not get out of the copy, and by what."""
    output: str = ""
    images: tuple[str, ...] = ()
    """PNGs, in base64."""
    changes: tuple[str, ...] = ()
    """What would differ in the namespace, a line each."""


class RunApproval(ToolCallApproval, frozen=True):
    """May the model run this code in the live kernel?"""

    code: str = ""
    stays: bool = False
    """What it binds is kept; else it is dropped afterwards."""
    facts: tuple[tuple[str, str], ...] = ()
    """What reading the code tells, label and text each."""
    no_trial: str = ""
    """Why it can't be tried first."""
    trial: Trial | None = None


class CellStep(Struct, frozen=True):
    """A cell that is to run among others. `name`: what the model calls it; `source`: what it holds, else it does not run."""

    cell: str
    name: str
    source: str


class CellApproval(ToolCallApproval, frozen=True):
    """May this change be made to the notebook's cells, or these cells run, or the kernel end, or what runs in it?"""

    action: Literal["add", "edit", "run", "move", "delete", "restart", "interrupt"] = "edit"
    cell: str = ""
    """Its id; empty for one that is new."""
    name: str = ""
    """What a person calls it: `cell [3]`."""
    base: str = ""
    """What it holds as the model has read it; nothing is done to a cell that holds something else."""
    text: str = ""
    """What it will hold: `base` with `new` in the place of `old`."""
    old: str = ""
    new: str = ""
    kind: Literal["code", "markdown"] = "code"
    below: str = ""
    """The id of the cell above its new place; empty for the top."""
    steps: tuple[CellStep, ...] = ()
    """The cells that run one after the other, where those are several."""
    facts: tuple[tuple[str, str], ...] = ()


class McpToolApproval(ToolCallApproval, frozen=True):
    """May this tool of one of the user's MCP servers be called? `namespace` is as in its `McpToolCall`."""

    description: str = ""
    """What the server says that the tool does."""

    @property
    def server(self) -> str:
        return (self.namespace or "").removeprefix(MCP)


class McpServer(Struct, frozen=True):
    """An MCP server of the Codex configuration, as the agent's program found it."""

    name: str
    tools: tuple[str, ...] = ()
    problem: str | None = None
    """Why its tools could not be listed."""
    is_enabled: bool = True
    asks: bool = True
    """Whether its calls ask; else the configuration approves them."""


ApprovalRequest = CommandApproval | FileChangeApproval | PermissionsApproval | ToolCallApproval


class Decision(str, Enum):
    accept = "accept"
    accept_for_session = "acceptForSession"
    """Yes, and to similar actions until the agent's process ends."""
    accept_in_kernel = "acceptInKernel"
    """Yes, by a grant that the notebook keeps: the engine asks again each time. Ours, not the protocol's."""
    accept_always = "acceptAlways"
    """Yes, and from now on, to reading any notebook; no answer to anything else. Ours, not the protocol's."""
    accept_and_run = "acceptAndRun"
    """Yes to a change of a cell, which runs then; no answer to anything else. Ours, not the protocol's."""
    try_first = "tryFirst"
    """No answer yet: run it in a copy of the kernel and ask again. Of a notebook's questions about code alone."""
    decline = "decline"
    """No; the model goes on without it."""
    cancel = "cancel"
    """No, and the turn ends here."""


class AcceptWithExecpolicyAmendment(Struct, frozen=True):
    """Yes, and from now on to every command that begins with `execpolicy_amendment`."""

    execpolicy_amendment: tuple[str, ...]


class ApplyNetworkPolicyAmendment(Struct, frozen=True):
    """Remember this `action` (`allow`, `deny`) for the host."""

    host: str
    action: str


class DeclineBecause(Struct, frozen=True):
    """No; the model goes on without it, and hears these words: of the person, or where it is not asked of ours."""

    reason: str
    by_user: bool = True


ApprovalDecision = Decision | AcceptWithExecpolicyAmendment | ApplyNetworkPolicyAmendment | DeclineBecause


class ApprovalMode(str, Enum):
    """Who decides about actions outside the sandbox. Older words mean the nearest mode: `never`, `on_failure` ..."""

    deny_all = "deny_all"
    """Nobody; each is refused."""
    auto_review = "auto_review"
    """A reviewing model of the service."""
    ask = "ask"
    """The `approvals=` callable."""
    untrusted = "untrusted"
    """The same callable, also for commands inside the sandbox that are not known to be harmless."""

    @classmethod
    def _missing_(cls, value: object) -> ApprovalMode | None:
        return {"never": cls.deny_all, "on_failure": cls.ask, "on_request": cls.ask}.get(_word(value))


class Sandbox(str, Enum):
    """What the agent's commands and edits, and tools, can reach. `full_access` is also a valid spelling."""

    read_only = "read-only"
    workspace_write = "workspace-write"
    full_access = "danger-full-access"

    @classmethod
    def _missing_(cls, value: object) -> Sandbox | None:
        return cls.__members__.get(_word(value))


def _word(value: object) -> str:
    return value.replace("-", "_") if isinstance(value, str) else ""


# Accounts and sign-ins ----------------------------------------------------------------------------


class ApiKeyAccount(Struct, frozen=True, tag="apiKey"):
    """Signed in with an API key; nothing else is known."""

    @property
    def type(self) -> str:
        return "apiKey"


class ChatgptAccount(Struct, frozen=True, tag="chatgpt"):
    email: str | None = None
    plan_type: str | None = None
    """`plus`, `pro`, `business` ...: an open list."""

    @property
    def type(self) -> str:
        return "chatgpt"


Account = ApiKeyAccount | ChatgptAccount


class GetAccountResponse(Struct, frozen=True):
    account: Account | None = None
    """`None`: not signed in."""
    requires_openai_auth: bool = True
    """False for a provider that needs no sign-in."""


class LoginState(str, Enum):
    pending = "pending"
    success = "success"
    failed = "failed"
    cancelled = "cancelled"


class LoginUpdated(Struct, frozen=True):
    """What a sign-in in progress tells; the last one is not `pending`."""

    login_id: str
    state: LoginState
    error: str | None = None
    """One sentence, then what to do next."""


class AccountLoginCompleted(Struct, frozen=True):
    """The end of a sign-in."""

    method: ClassVar[str] = "account/login/completed"
    login_id: str | None
    success: bool
    error: str | None = None


class CancelLoginAccountStatus(str, Enum):
    canceled = "canceled"
    not_found = "notFound"


class CancelLoginAccountResponse(Struct, frozen=True):
    status: CancelLoginAccountStatus
    """`not_found`: it was over already."""


class ServerInfo(Struct, frozen=True):
    name: str
    version: str


class InitializeResponse(Struct, frozen=True):
    """How the engine introduces itself: the codex program, or this package."""

    user_agent: str
    server_info: ServerInfo
    codex_home: str
    platform_family: str
    """`unix` or `windows`."""
    platform_os: str
    """`linux`, `macos` or `windows`."""
