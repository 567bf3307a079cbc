"""The events of a response in the vocabulary of threads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from ..protocol import types
from ..protocol.errors import CodexError
from ..protocol.ids import new_id
from ..protocol.plain import plain_json
from ..responses import events
from ..responses.inputs import Item
from ..responses.response import Response
from .history import ABORTED, aborted, mended, texts
from .seam import Tell, TurnRequest
from .tools import ContentItem, output_of, text_item

_CALLS = ("function_call", "custom_tool_call")


class Narrator:
    """Tells what happens in one turn over HTTP.

    A call is told as started when the model has written it, and completed by whoever ran it.
    """

    def __init__(self, request: TurnRequest, tell: Tell) -> None:
        self._tell = tell
        self._about = request.thread_id, request.turn_id
        self._ids: dict[int, str] = {}
        self._calls: dict[str, tuple[types.ToolCall, Item]] = {}
        self._rerouted: str | None = None

    def retrying(self, failure: CodexError, seconds: float) -> None:
        self._tell(types.ErrorReported(*self._about, types.TurnError(failure.message), will_retry=True))

    def answering(self, requested: str | None, response: Response) -> None:
        """The service has begun to answer: with which model, and how much is left.

        A dated snapshot of the model that was requested is that model.
        """
        self._ids = {}
        model = response.model
        if requested and model and not f"{model}-".startswith(f"{requested}-") and model != self._rerouted:
            self._rerouted = model
            self._tell(types.ModelRerouted(*self._about, requested, model))
        if response.rate_limits is not None:
            self._tell(types.RateLimitsUpdated(response.rate_limits))

    def tell(self, event: events.Event) -> None:
        """Pass on one event; those that say nothing about an item are passed over."""
        notification = self._notification(event)
        if notification is not None:
            self._tell(notification)

    def answered(self, response: Response) -> None:
        """The response is whole. Some servers tell its items only now."""
        if not self._ids:
            for index, item in enumerate(response.output):
                self.tell(events.OutputItemDone(output_index=index, item=item))
        if response.status == "incomplete":
            if response.incomplete_reason == "content_filter":
                self.warn("The service's content filter stopped this answer.")
            else:
                self.warn("This answer stopped at the model's output limit. %codex continue goes on from it.")

    def _notification(self, event: events.Event) -> types.Notification | None:
        about = self._about
        match event:
            case events.OutputTextDelta() | events.RefusalDelta():
                return types.AgentMessageDelta(*about, self._id(event.output_index), event.delta)
            case events.ReasoningSummaryTextDelta():
                item_id = self._id(event.output_index)
                return types.ReasoningSummaryDelta(*about, item_id, event.delta, event.summary_index)
            case events.ReasoningTextDelta():
                item_id = self._id(event.output_index)
                return types.ReasoningTextDelta(*about, item_id, event.delta, event.content_index)
            case events.OutputItemAdded() if event.item.get("type") not in _CALLS:
                return types.ItemStarted(*about, thread_item(self._id(event.output_index), event.item))
            case events.OutputItemDone():
                sent = mended(event.item)
                item = thread_item(self._id(event.output_index), sent or event.item)
                if sent is None:
                    return types.ItemCompleted(*about, item)
                if isinstance(item, types.ToolCall):
                    self._calls[sent["call_id"]] = item, sent
                    return types.ItemStarted(*about, item)
                return types.ItemCompleted(*about, item, (sent,))
        return None

    def _id(self, output_index: int) -> str:
        """Return an id of our own: servers reuse theirs, leave them out, or give an item two."""
        return self._ids.setdefault(output_index, new_id())

    def begun(self, item: types.ThreadItem) -> None:
        self._tell(types.ItemStarted(*self._about, item))

    def done(self, item: types.ThreadItem, response_items: Iterable[Item]) -> None:
        self._tell(types.ItemCompleted(*self._about, item, tuple(response_items)))

    def warn(self, message: str) -> None:
        self._tell(types.Warned(self._about[0], message))

    def call(self, call_id: str) -> types.ToolCall | None:
        """The call as it was told."""
        return self._calls[call_id][0] if call_id in self._calls else None

    def called(self, call_id: str, success: bool, items: list[ContentItem], duration_ms: int) -> None:
        """A call was run: from now on it stands in the history, with its output."""
        if call_id in self._calls:
            status = "completed" if success else "failed"
            self._complete_call(call_id, status, items, output_of(items), duration_ms)

    def abandon_calls(self) -> None:
        """None of the calls that are still open will be finished."""
        for call_id in list(self._calls):
            self._complete_call(call_id, "unfinished", [text_item(ABORTED)], ABORTED, None)

    def _complete_call(
        self, call_id: str, status: str, items: list[ContentItem], output: Any, duration_ms: int | None
    ) -> None:
        item, raw = self._calls.pop(call_id)
        item = msgspec.structs.replace(
            item,
            status=status,
            content_items=tuple(items),
            success=status == "completed",
            duration_ms=duration_ms,
        )
        self.done(item, (raw, {**aborted(raw), "output": output}))


def thread_item(item_id: str, raw: Mapping[str, Any]) -> types.ThreadItem:
    """A Responses item in the vocabulary of threads; what is not as it should be is read as far as it can be."""
    kind = raw.get("type")
    item: Item = plain_json(raw)
    match kind:
        case "message":
            return types.AgentMessage(item_id, "".join(texts(item.get("content"))), _word(item, "phase"))
        case "reasoning":
            return types.Reasoning(
                item_id, tuple(texts(item.get("summary"))), tuple(texts(item.get("content")))
            )
        case "function_call" | "custom_tool_call":
            arguments = item.get("input")
            if kind == "function_call":
                arguments = item.get("arguments")
                with suppress(TypeError, ValueError, RecursionError):  # else it stays as the model wrote it
                    arguments = plain_json(json.loads(arguments)) if arguments else None
            return types.ToolCall(
                item_id, _word(item, "name") or "", arguments, namespace=_word(item, "namespace")
            )
        case "web_search_call":
            action = item.get("action")
            return types.WebSearch(
                item_id, (_word(action, "query") or "") if isinstance(action, dict) else ""
            )
        case "image_generation_call":
            status, result = _word(item, "status") or "", _word(item, "result") or ""
            return types.ImageGeneration(item_id, status, result, _word(item, "revised_prompt"))
        case "compaction" | "compaction_summary":
            return types.ContextCompaction(item_id)
    return types.unknown_item(item_id, raw)


def _word(item: Mapping[str, Any], name: str) -> str | None:
    value = item.get(name)
    return value if isinstance(value, str) else None
