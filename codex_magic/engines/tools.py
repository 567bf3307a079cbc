"""Tools in a turn: what an engine is told of them, which may run, and what the model is told of a result."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from ..protocol.errors import InvalidRequestError
from ..protocol.plain import encodable
from ..protocol.secrets import with_texts
from ..protocol.types import (
    ApprovalDecision,
    ApprovalRequest,
    Decision,
    DeclineBecause,
    Sandbox,
    ToolCallApproval,
)
from ..responses.inputs import image_url, input_text, is_image
from ..responses.tools import QuestionFor, Tool, Toolbox, ToolCallError, plain_result
from .approvals import call

LONGEST_TEXT = 200_000  # characters of one result that the model is given: some 50,000 tokens

TAKEN = frozenset(
    "apply_patch exec exec_command get_goal request_user_input view_image wait write_stdin".split()
)
"""Names of the agent's own tools: it would call those, and ours never, without a word."""

ContentItem = dict[str, Any]
"""`{"type": "inputText", "text": ...}` or `{"type": "inputImage", "imageUrl": ...}`."""


class ToolSet(Toolbox):
    """The tools of one thread."""

    def specs(self) -> list[dict[str, Any]]:
        """The app-server's `dynamicTools`. Raises InvalidRequestError for the service's tools, and names it has."""
        return [self._spec(None, definition) for definition in self.definitions]

    @property
    def version(self) -> str:
        """A digest of what the model sees of the tools; empty without any."""
        if not self.definitions:
            return ""
        return hashlib.sha256(msgspec.json.encode(self.definitions, order="sorted")).hexdigest()[:16]

    @property
    def is_optional(self) -> bool:
        """Whether a thread may go on without them."""
        return all(tool.is_optional for tool in self._tools.values())

    def _spec(self, namespace: str | None, definition: dict[str, Any]) -> dict[str, Any]:
        if definition["type"] == "namespace":
            tools = [self._spec(definition["name"], each) for each in definition["tools"]]
            return {**definition, "tools": tools}
        tool = self.find(namespace, definition.get("name", ""))
        if tool is None:
            own = f"The agent has its own {definition['type']} tool."
            raise InvalidRequestError(own, hint="Leave it out of the tools.")
        if namespace is None and tool.name in TAKEN:
            hint = 'Choose another name: `tool(f, name="...")`.'
            raise InvalidRequestError(f"The agent already has a tool named {tool.name!r}.", hint=hint)
        spec = {"type": "function", "name": tool.name, "description": definition["description"]}
        return {**spec, "inputSchema": dict(tool.input_schema)}


class ToolCalls:
    """The calls of one turn, if its sandbox and a human allow them; `allowed`: for the session, in all its turns."""

    def __init__(
        self,
        approver: Callable[[ApprovalRequest], Awaitable[ApprovalDecision | None]],
        *,
        sandbox: Sandbox | None,
        mask: Callable[[str], str],
        allowed: set[str],
        cancel: Callable[[], Awaitable[None]],
    ) -> None:
        self._approver = approver
        self._sandbox = sandbox
        self._mask = mask
        self._allowed = allowed
        self._cancel = cancel
        self._asking = asyncio.Lock()

    async def run(
        self, tool: Tool, question: ToolCallApproval, text: str
    ) -> tuple[bool, list[ContentItem], int]:
        """Return whether it worked, what the model is told, and for how many milliseconds it ran, without the time
        that a person took to allow it. `text`: what the model wrote for arguments."""
        if (refusal := await self._refusal(tool, question)) is not None:
            return False, [text_item(refusal)], 0
        begun = time.monotonic()
        success, items = with_texts(await run_tool(tool, text), self._mask)
        return success, items, round((time.monotonic() - begun) * 1000)

    async def _refusal(self, tool: Tool, question: ToolCallApproval) -> str | None:
        """Return why it may not run, in words for the model. One question at a time: the first yes may be one for all."""
        widening = [Sandbox.read_only, Sandbox.workspace_write, Sandbox.full_access]
        sandbox = self._sandbox
        if sandbox is not None and widening.index(tool.needs) > widening.index(sandbox):
            return f"Not run: {tool.name} needs the sandbox {tool.needs.value}, and this turn has {sandbox.value}."
        if not (tool.needs_approval or tool.question_for):
            return None
        decision = await self.decision(question, tool.question_for)
        if is_yes(decision):
            return None
        if isinstance(decision, DeclineBecause):
            return f"The user declined this call and said: {decision.reason}"
        is_no = decision is not None
        return "The user declined this call." if is_no else "Not run: nobody was there to allow this call."

    async def decision(
        self, question: ToolCallApproval, question_for: QuestionFor | None = None
    ) -> ApprovalDecision | None:
        """Ask whether a call may be made, unless its tool is allowed for the session; `None`: nobody answered."""
        name = f"{question.namespace or ''}.{question.tool}"
        async with self._asking:
            if name in self._allowed:
                return Decision.accept
            asks = question if question_for is None else await question_for(question)
            if asks is None:
                return Decision.accept
            decision = await self._approver(asks)
            if decision is Decision.accept_for_session and question_for is None:
                self._allowed.add(name)
        if decision is Decision.cancel:
            await self._cancel()
        return decision


def is_yes(decision: ApprovalDecision | None) -> bool:
    """Whether it allows a call."""
    no = (Decision.decline, Decision.cancel, Decision.try_first)
    return isinstance(decision, Decision) and decision not in no


def written(tool: Tool, arguments: Any) -> str:
    """Write the arguments of a call, which the app-server has read already, as the model did."""
    if tool.is_custom:
        return str(arguments.get("input", "")) if isinstance(arguments, dict) else ""
    return msgspec.json.encode(arguments or {}).decode()


async def run_tool(tool: Tool, text: str) -> tuple[bool, list[ContentItem]]:
    """Return whether it worked, and what the model is told, a failure too; `text`: what it wrote for arguments."""
    try:
        try:
            bound = tool.bind(text)
        except ToolCallError:
            if tool.needs_approval or tool.is_custom:  # what somebody said yes to is run as it was shown
                raise
            bound = tool.bind(loosened(text, tool.input_schema))
        return True, await call(content_items, await call(bound))
    except ToolCallError as error:
        return False, [text_item(str(error))]
    except Exception as error:  # noqa: BLE001  # the model should hear of it, whatever it is
        return False, [text_item(f"{type(error).__name__}: {error}")]


def loosened(text: str, schema: Mapping[str, Any]) -> str:
    """Return the arguments of a call as its schema wants them, where it is plain what was meant.

    A model that is refused for a word (`limit` for `rows`) or a number in quotes often only tries the same again.
    """
    try:
        arguments = msgspec.json.decode(text or "{}")
    except msgspec.MsgspecError:
        return text
    kinds: Mapping[str, Any] = schema.get("properties") or {}
    if not isinstance(arguments, dict):
        arguments = {next(iter(kinds), "input"): arguments}
    meant: dict[str, Any] = {}
    for name, value in arguments.items():
        words = next((words for words in _SYNONYMS if _plain_word(name) in words), {_plain_word(name)})
        free = [each for each in kinds if each not in arguments and each not in meant]
        known = name if name in kinds else next((each for each in free if _plain_word(each) in words), name)
        meant[known] = _as_kind(value, kinds.get(known) or {})
    return msgspec.json.encode(meant).decode()


_SYNONYMS = [
    set(words.split())
    for words in (
        "name variable var identifier expression expr key symbol",
        "cell cells cellid cellnumber cellindex id index number",
        "rows row n limit count head maxrows top size",
        "path file filename filepath",
        "text query pattern search term q string",
        "begin start from first offset",
        "end stop to last until",
    )
]


def _plain_word(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def _as_kind(value: Any, schema: Mapping[str, Any]) -> Any:
    """Read a text as the number, truth or list that is wanted, and a number as a text."""
    kinds = [schema.get("type"), *(each.get("type") for each in schema.get("anyOf", ()))]
    is_text = isinstance(value, str)
    if "array" in kinds and not isinstance(value, list):
        return [_as_kind(value, schema.get("items") or {})]
    if "string" in kinds:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    for kind, read in (("integer", int), ("number", float), ("boolean", bool)):
        with suppress(msgspec.ValidationError):
            if is_text and kind in kinds:
                return msgspec.convert(value.strip().lower(), read, strict=False)
    return value


def content_items(value: Any) -> list[ContentItem]:
    """Return a function's result for the model: text, images, or a list of both; the rest as JSON or repr.

    An image is what `responses.inputs` takes for one. All texts together are as long as one may be.
    """
    if not isinstance(value, list | tuple) or not any(map(is_image, value)):
        return [_content_item(value)]
    items = [_content_item(part) for part in value]
    room = LONGEST_TEXT
    for item in items:
        text = item.get("text", "")
        item |= {"text": cut(text, room)} if text else {}
        room = max(0, room - len(text))
    return items


def _content_item(value: Any) -> ContentItem:
    if is_image(value):
        try:
            return {"type": "inputImage", "imageUrl": image_url(value)}
        except InvalidRequestError:
            return text_item(repr(value))
    try:
        shown = value if isinstance(value, str) else plain_result(value)
        return text_item(shown if isinstance(shown, str) else msgspec.json.encode(shown).decode())
    except (TypeError, ValueError):
        return text_item(repr(value))


def text_item(text: str) -> ContentItem:
    return {"type": "inputText", "text": encodable(cut(text))}


def cut(text: str, room: int = LONGEST_TEXT) -> str:
    """Shorten what is too long to its beginning, and say how much is missing."""
    if len(text) <= room:
        return text
    return f"{text[:room]}\n[{len(text) - room:,} more characters were cut off]"


def output_of(items: Iterable[ContentItem]) -> str | list[dict[str, Any]]:
    """Return them as the `output` of a Responses item: a text, or parts."""
    parts: list[dict[str, Any]] = [
        input_text(item["text"]) if "text" in item else {"type": "input_image", "image_url": item["imageUrl"]}
        for item in items
    ]
    return str(parts[0]["text"]) if len(parts) == 1 and "text" in parts[0] else parts
