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
from ..responses.tools import Call
from .history import ABORTED, aborted, mended, texts
from .seam import Tell, TurnRequest
from .tools import ContentItem, output_of, text_item

_CALLS = ("function_call", "custom_tool_call")


class Narrator:
    """Tells what happens in one turn over HTTP; a call starts when it is written, and ends when it was run."""

    def __init__(self, request: TurnRequest, tell: Tell) -> None:
        self._tell = tell
        self._about = request.thread_id, request.turn_id
        self._ids: dict[int, str] = {}
        self._over: set[int] = set()
        self._calls: dict[str, tuple[types.ToolCall, Item]] = {}
        self._rerouted: str | None = None

    def retrying(self, failure: CodexError, seconds: float) -> None:
        self._tell(types.ErrorReported(*self._about, types.TurnError(failure.message), will_retry=True))

    def answering(self, requested: str | None, response: Response) -> None:
        """The service has begun to answer: with which model (a dated snapshot is the same), and how much is left."""
        self._ids, self._over = {}, set()
        model = response.model
        if requested and model and not f"{model}-".startswith(f"{requested}-") and model != self._rerouted:
            self._rerouted = model
            self._tell(types.ModelRerouted(*self._about, requested, model))
        if response.rate_limits is not None:
            self._tell(types.RateLimitsUpdated(response.rate_limits))

    def tell(self, event: events.Event) -> None:
        """Pass on one event; those that say nothing about an item, or add to one that is over, are passed over."""
        about = self._about
        if isinstance(event, events.OfItem) and event.output_index in self._over:
            return
        match event:
            case events.OutputTextDelta() | events.RefusalDelta():
                self._tell(types.AgentMessageDelta(*about, self._id(event.output_index), event.delta))
            case events.ReasoningSummaryTextDelta(delta=delta, summary_index=part):
                self._tell(types.ReasoningSummaryDelta(*about, self._id(event.output_index), delta, part))
            case events.ReasoningTextDelta(delta=delta, content_index=part):
                self._tell(types.ReasoningTextDelta(*about, self._id(event.output_index), delta, part))
            case events.OutputItemAdded() if event.item.get("type") not in _CALLS:
                self.begun(thread_item(self._id(event.output_index), event.item))
            case events.OutputItemDone():
                self._over.add(event.output_index)
                sent = mended(event.item)
                item = thread_item(self._id(event.output_index), sent or event.item)
                if sent is not None and isinstance(item, types.ToolCall):
                    self._calls[sent["call_id"]] = item, sent
                    self.begun(item)
                else:
                    self.done(item, (sent,) if sent is not None else ())

    def _id(self, output_index: int) -> str:
        """Return an id of our own: servers reuse theirs, leave them out, or give an item two."""
        return self._ids.setdefault(output_index, new_id())

    def answered(self, response: Response) -> None:
        """The response is whole."""
        if response.status == "incomplete" and response.incomplete_reason == "content_filter":
            self.warn("The service's content filter stopped this answer.")
        elif response.status == "incomplete":
            self.warn("This answer stopped at the model's output limit. Continue with `%codex continue`.")

    def begun(self, item: types.ThreadItem) -> None:
        self._tell(types.ItemStarted(*self._about, item))

    def done(self, item: types.ThreadItem, response_items: Iterable[Item]) -> None:
        self._tell(types.ItemCompleted(*self._about, item, tuple(response_items)))

    def add(self, item: types.ThreadItem, response_items: Iterable[Item]) -> None:
        self.begun(item)
        self.done(item, response_items)

    def warn(self, message: str) -> None:
        self._tell(types.Warned(self._about[0], message))

    def call(self, call: Call) -> types.ToolCall:
        """Return the call as it was told, or would have been."""
        if call.call_id in self._calls:
            return self._calls[call.call_id][0]
        return types.ToolCall(call.call_id, call.name, call.text, call.namespace)

    def called(
        self, call_id: str, status: str, items: list[ContentItem], duration_ms: int | None = None
    ) -> None:
        """A call is over: from now on it stands in the history, with its output."""
        if call_id in self._calls:
            item, raw = self._calls.pop(call_id)
            ended = {"status": status, "success": status == "completed", "duration_ms": duration_ms}
            item = msgspec.structs.replace(item, content_items=tuple(items), **ended)
            self.done(item, (raw, {**aborted(raw), "output": output_of(items)}))

    def abandon_calls(self) -> None:
        """None of the calls that are still open will be finished."""
        for call_id in list(self._calls):
            self.called(call_id, "unfinished", [text_item(ABORTED)])


def thread_item(item_id: str, raw: Mapping[str, Any]) -> types.ThreadItem:
    """A Responses item in the vocabulary of threads; what is not as it should be is read as far as it can be."""
    item: Item = plain_json(raw)
    match raw.get("type"):
        case "message":
            return types.AgentMessage(item_id, "".join(texts(item.get("content"))), _word(item, "phase"))
        case "reasoning":
            summary, content = (tuple(texts(item.get(name))) for name in ("summary", "content"))
            return types.Reasoning(item_id, summary, content)
        case "function_call" | "custom_tool_call" as kind:
            arguments = item.get("input")
            if kind == "function_call":
                arguments = item.get("arguments")
                with suppress(TypeError, ValueError, RecursionError):  # else it stays as the model wrote it
                    arguments = plain_json(json.loads(arguments)) if arguments else None
            return types.ToolCall(item_id, _word(item, "name") or "", arguments, _word(item, "namespace"))
        case "web_search_call":
            return types.WebSearch(item_id, _word(item.get("action"), "query") or "")
        case "image_generation_call":
            status, result = _word(item, "status") or "", _word(item, "result") or ""
            return types.ImageGeneration(item_id, status, result, _word(item, "revised_prompt"))
        case "compaction" | "compaction_summary":
            return types.ContextCompaction(item_id)
    return types.unknown_item(item_id, raw)


def _word(item: Any, name: str) -> str | None:
    value = item.get(name) if isinstance(item, dict) else None
    return value if isinstance(value, str) else None
