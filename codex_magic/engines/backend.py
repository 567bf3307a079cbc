"""The engine in process: one streamed Responses request for a turn, told as notifications."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..protocol.errors import CodexError, InvalidRequestError
from ..protocol.ids import new_id
from ..protocol.settings import Settings
from ..protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    ContextCompaction,
    ErrorReported,
    ImageGeneration,
    ImageInput,
    InputItem,
    ItemCompleted,
    ItemStarted,
    LocalImageInput,
    MentionInput,
    ModelRerouted,
    Notification,
    RateLimitsUpdated,
    Reasoning,
    ReasoningSummaryDelta,
    ReasoningTextDelta,
    SkillInput,
    TextInput,
    ThreadItem,
    ThreadTokenUsage,
    TokenUsageUpdated,
    ToolCall,
    Turn,
    TurnError,
    TurnStarted,
    TurnStatus,
    UnknownItem,
    UserMessage,
    Warned,
    WebSearch,
)
from ..responses import events
from ..responses.catalog import Model
from ..responses.client import AsyncClient
from ..responses.files import read_file
from ..responses.inputs import input_image, input_text
from ..responses.provider import Provider
from ..responses.response import Response
from .seam import Tell, TurnRequest


class BackendEngine:
    """Turns over HTTP, on one provider. Belongs to the event loop it is first used in."""

    def __init__(self, provider: Provider, settings: Settings) -> None:
        self._client = AsyncClient(provider, settings=settings)

    async def close(self) -> None:
        await self._client.aclose()

    async def steer(self, turn_id: str, inputs: tuple[InputItem, ...]) -> None:
        raise InvalidRequestError(
            "A turn over HTTP takes no more input while it answers.",
            hint="Interrupt it and ask again, or use the agent (engine app-server).",
        )

    async def compact(self, request: TurnRequest, tell: Tell) -> None:
        raise InvalidRequestError("This engine can't shorten a thread.")

    async def models(self) -> list[Model]:
        """The provider's catalog, best first."""
        return await self._client.models.list()

    async def run(self, request: TurnRequest, tell: Tell) -> None:
        """One turn; see `seam.Engine`."""
        model, unknown = await self._model(request)
        tell(TurnStarted(request.thread_id, _in_progress(request), model))
        question = user_item(request.inputs)
        user = UserMessage(new_id(), request.inputs, request.cell_id)
        tell(ItemCompleted(request.thread_id, request.turn_id, user, (question,)))
        if unknown is not None:
            raise unknown
        narrator = _Narrator(request, tell)
        stream = await self._client.responses.create(
            [*request.history, question],
            stream=True,
            on_retry=narrator.retrying,
            model=model,
            instructions=request.instructions,
            prompt_cache_key=request.thread_id,
            reasoning=_given(
                effort=request.effort, summary=None if request.summary == "none" else request.summary
            ),
            verbosity=request.verbosity,
            service_tier=request.service_tier,
            output_schema=request.output_schema,
        )
        async with stream:
            narrator.answering(model, stream.response)
            async for event in stream:
                narrator.tell(event)
            await stream.get_final_response()
            narrator.answered(stream.response)

    async def _model(self, request: TurnRequest) -> tuple[str | None, CodexError | None]:
        if request.model is not None:
            return request.model, None
        try:
            return (await self._client.models.default()).slug, None
        except CodexError as error:
            return None, error


class _Narrator:
    """Tells the events of one response in the vocabulary of threads."""

    def __init__(self, request: TurnRequest, tell: Tell) -> None:
        self._tell = tell
        self._thread = request.thread_id
        self._turn = request.turn_id
        self._ids: dict[int, str] = {}

    def retrying(self, failure: CodexError, seconds: float) -> None:
        self._tell(ErrorReported(self._thread, self._turn, TurnError(failure.message), will_retry=True))

    def answering(self, asked: str | None, response: Response) -> None:
        """The service has begun to answer: with which model, and how much is left."""
        if asked and response.model and _differs(response.model, asked):
            self._tell(ModelRerouted(self._thread, self._turn, asked, response.model))
        if response.rate_limits is not None:
            self._tell(RateLimitsUpdated(response.rate_limits))

    def answered(self, response: Response) -> None:
        if response.usage is not None:
            usage = ThreadTokenUsage(total=response.usage, last=response.usage)
            self._tell(TokenUsageUpdated(self._thread, self._turn, usage))
        if response.status == "incomplete":
            self._tell(Warned(self._thread, _cut_short(response.incomplete_reason)))

    def tell(self, event: events.Event) -> None:
        """Pass on one event; those that say nothing about an item are passed over."""
        notification = self._told(event)
        if notification is not None:
            self._tell(notification)

    def _told(self, event: events.Event) -> Notification | None:
        about = self._thread, self._turn
        match event:
            case events.OutputTextDelta() | events.RefusalDelta():
                return AgentMessageDelta(*about, self._id(event.output_index), event.delta)
            case events.ReasoningSummaryTextDelta():
                item_id = self._id(event.output_index)
                return ReasoningSummaryDelta(*about, item_id, event.delta, event.summary_index)
            case events.ReasoningTextDelta():
                item_id = self._id(event.output_index)
                return ReasoningTextDelta(*about, item_id, event.delta, event.content_index)
            case events.OutputItemAdded():
                return ItemStarted(*about, thread_item(self._id(event.output_index), event.item))
            case events.OutputItemDone():
                item = thread_item(self._id(event.output_index), event.item)
                return ItemCompleted(*about, item, (event.item,))
        return None

    def _id(self, output_index: int) -> str:
        """Our own: servers reuse theirs, leave them out, or give an item two."""
        return self._ids.setdefault(output_index, new_id())


def _cut_short(reason: str | None) -> str:
    if reason == "content_filter":
        return "The service's content filter stopped this answer."
    return "This answer stopped at the model's output limit. %codex continue goes on from it."


def _differs(answered: str, asked: str) -> bool:
    """A dated snapshot of the model that was asked for is that model."""
    return answered != asked and not answered.startswith(f"{asked}-")


def user_item(inputs: Iterable[InputItem]) -> dict[str, Any]:
    """The user's message as a Responses item. Raises InvalidRequestError for what can't be sent."""
    return {"type": "message", "role": "user", "content": [_part(part) for part in inputs]}


def _part(part: InputItem) -> dict[str, Any]:
    if isinstance(part, TextInput):
        return input_text(part.text)
    if isinstance(part, ImageInput):
        return {"type": "input_image", "image_url": part.url}
    if isinstance(part, LocalImageInput):
        return input_image(Path(part.path))
    if isinstance(part, MentionInput | SkillInput):
        return input_text(_named_text(part))
    raise InvalidRequestError(
        f"{type(part).__name__} needs the agent; the HTTP backend has nothing to look it up with.",
        hint="Put its text into the prompt.",
    )


def _named_text(part: MentionInput | SkillInput) -> str:
    """The file itself, in the words of the program, which hands skills to the model in this way."""
    kind = "skill" if isinstance(part, SkillInput) else "file"
    text = read_file(part.path, unnamed=part.name).content.decode(errors="replace")
    return f"<{kind}>\n<name>{part.name}</name>\n<path>{part.path}</path>\n{text}\n</{kind}>"


def thread_item(item_id: str, raw: dict[str, Any]) -> ThreadItem:
    """A Responses item in the vocabulary of threads."""
    make = _ITEMS.get(str(raw.get("type")))
    return make(item_id, raw) if make else UnknownItem(item_id, {**raw, "id": item_id})


def _agent_message(item_id: str, raw: dict[str, Any]) -> ThreadItem:
    parts = raw.get("content") or ()
    text = "".join(part.get("text") or part.get("refusal") or "" for part in parts)
    return AgentMessage(item_id, text, raw.get("phase"))


def _reasoning(item_id: str, raw: dict[str, Any]) -> ThreadItem:
    return Reasoning(item_id, _texts(raw.get("summary")), _texts(raw.get("content")))


def _texts(parts: Iterable[dict[str, Any]] | None) -> tuple[str, ...]:
    return tuple(str(part.get("text", "")) for part in parts or ())


def _function_call(item_id: str, raw: dict[str, Any]) -> ThreadItem:
    status = "completed" if raw.get("arguments") else "inProgress"
    return ToolCall(
        item_id,
        raw.get("name", ""),
        _arguments(raw.get("arguments")),
        namespace=raw.get("namespace"),
        status=status,
    )


def _arguments(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text


def _custom_tool_call(item_id: str, raw: dict[str, Any]) -> ThreadItem:
    return ToolCall(
        item_id,
        raw.get("name", ""),
        raw.get("input"),
        status="completed" if raw.get("input") else "inProgress",
    )


def _web_search(item_id: str, raw: dict[str, Any]) -> ThreadItem:
    return WebSearch(item_id, (raw.get("action") or {}).get("query") or "")


def _image(item_id: str, raw: dict[str, Any]) -> ThreadItem:
    return ImageGeneration(item_id, raw.get("status", ""), raw.get("result") or "", raw.get("revised_prompt"))


_ITEMS: dict[str, Any] = {
    "message": _agent_message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "web_search_call": _web_search,
    "image_generation_call": _image,
    "compaction": lambda item_id, raw: ContextCompaction(item_id),
    "compaction_summary": lambda item_id, raw: ContextCompaction(item_id),
}


def _given(**fields: str | None) -> dict[str, str] | None:
    return {name: value for name, value in fields.items() if value is not None} or None


def _in_progress(request: TurnRequest) -> Turn:
    return Turn(request.turn_id, TurnStatus.in_progress, started_at=int(time.time()))
