"""From events to a response. Pure.

The items are those of `response.output_item.done`, because `response.completed` may list none.
Text of a message that never got that far is kept from its deltas, as a message marked `incomplete`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec

from ..protocol.errors import CodexError, StreamError
from ..protocol.types import RateLimits, TokenUsage
from . import failures
from .events import (
    CodexRateLimits,
    ErrorEvent,
    Event,
    OfItem,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RefusalDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
    ResponseMetadata,
    ResponseQueued,
)


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """A response, finished or as far as it came."""

    id: str = ""
    model: str | None = None
    """The model that answered; the service may choose another than the one asked for."""
    status: str = "in_progress"
    """`in_progress`, `completed`, `incomplete` or `failed`."""
    output: list[dict[str, Any]] = []
    """Items as they came, to be sent again with the next request; a message cut short is `incomplete`."""
    usage: TokenUsage | None = None
    error: dict[str, Any] | None = None
    incomplete_reason: str | None = None
    """`max_output_tokens` or `content_filter`, with status `incomplete`."""
    service_tier: str | None = None
    turn_state: str | None = None
    """To be given back as `turn_state` with the further requests of the same turn."""
    rate_limits: RateLimits | None = None
    request_id: str | None = None
    """What the service's support asks for."""

    @property
    def output_text(self) -> str:
        """All text of all messages."""
        messages = (item for item in self.output if item.get("type") == "message")
        return "".join(text for item in messages for text in texts(item, "output_text"))

    @property
    def tool_calls(self) -> list[dict[str, Any]]:
        """The calls that wait for an output of yours: functions and custom tools."""
        return [item for item in self.output if item.get("type") in ("function_call", "custom_tool_call")]

    @property
    def reasoning_summary(self) -> str | None:
        """What was told of the thoughts, when it was asked for with `reasoning={"summary": ...}`."""
        thoughts = (item for item in self.output if item.get("type") == "reasoning")
        parts = [text for item in thoughts for text in texts(item, "summary_text", key="summary")]
        return "\n\n".join(parts) or None


def texts(item: Mapping[str, Any], kind: str, *, key: str = "content", field: str = "text") -> Iterator[str]:
    """The texts of an item's parts of one kind. Items stay as they came, so this is where they are checked."""
    parts = item.get(key)
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict) and part.get("type") == kind and isinstance(part.get(field), str):
            yield part[field]


class ResponseAccumulator:
    """Reads the events of one answer; `response` is what came so far, `finish()` the whole."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        """`headers`: those of the HTTP answer; they name the model, the limits and the request."""
        self.done = False
        """A terminal event came; nothing after it counts."""
        self._failure: CodexError | None = None
        self._header: dict[str, Any] = {}
        self._items: list[tuple[int, dict[str, Any]]] = []
        self._open: dict[int, dict[str, Any]] = {}
        self._text: dict[tuple[int, int, str], list[str]] = {}
        self._headers: dict[str, str] = {}
        self._rate_limits: RateLimits | None = None
        self._note_headers(headers or {})

    def feed(self, *events: Event) -> None:
        deltas: Any
        for kind, run in groupby(events, type):
            if kind in _TEXT:  # joined for each chunk: the events of a long answer hold many times its text
                for place, deltas in groupby(run, _PLACE):
                    text = "".join([delta.delta for delta in deltas])
                    self._text.setdefault((*place, _TEXT[kind]), []).append(text)
            elif not issubclass(kind, OfItem):
                for event in run:
                    if not self.done:
                        self._take(event)

    @property
    def response(self) -> Response:
        header = self._header
        return Response(
            id=header.get("id", ""),
            model=self._headers.get("openai-model") or header.get("model"),
            status=header.get("status", "in_progress"),
            output=self._output(),
            usage=token_usage(header.get("usage")),
            error=header.get("error"),
            incomplete_reason=header.get("incomplete_details", {}).get("reason"),
            service_tier=header.get("service_tier"),
            turn_state=self._headers.get("x-codex-turn-state"),
            rate_limits=self._rate_limits,
            request_id=self._headers.get("x-request-id") or self._headers.get("x-oai-request-id"),
        )

    def finish(self) -> Response:
        """Return the whole response. Raises what a terminal event reported, or StreamError if none came."""
        response = self.response
        if self._failure is None and not self.done:
            self._failure = StreamError("The stream ended before the answer was complete.")
        if self._failure is not None:
            self._failure.response = response
            raise self._failure
        return response

    def _take(self, event: Event) -> None:
        match event:
            case ResponseQueued() | ResponseCreated() | ResponseInProgress():
                self._header.update(_readable(event.response or {}))
            case OutputItemAdded():
                self._open[event.output_index] = event.item
            case OutputItemDone(output_index=index):
                self._items.append((index, event.item))
                self._open.pop(index, None)
                self._text = {place: text for place, text in self._text.items() if place[0] != index}
            case ResponseCompleted() | ResponseIncomplete() | ResponseFailed():
                self._end(event.response, event.type.rpartition(".")[2])
                if isinstance(event, ResponseFailed):
                    self._failure = failures.from_event((event.response or {}).get("error") or event.error)
            case ErrorEvent():
                error = event.error or {"code": event.code, "message": event.message, "param": event.param}
                headers, status = event.headers or {}, event.status or event.status_code
                self._note_headers(headers)
                self._end({"error": error if isinstance(error, dict) else {"message": error}}, "failed")
                self._failure = failures.from_event(error, status=status, headers=headers)
            case ResponseMetadata():
                self._note_headers(event.headers or {})
            case CodexRateLimits(plan_type=plan_type):
                windows = event.rate_limits or {}
                self._rate_limits = failures.limits_from_event(windows, plan_type=plan_type, now=time.time())

    def _end(self, body: dict[str, Any] | None, status: str) -> None:
        self._header.update(_readable(body or {}))
        self._header["status"] = status
        self.done = True

    def _note_headers(self, headers: Mapping[str, Any]) -> None:
        texts = {name.lower(): str(value) for name, value in headers.items()}
        self._headers.update(texts)
        families = failures.limits_from_headers(texts, now=time.time())
        self._rate_limits = families.get(failures.MAIN, self._rate_limits)

    def _output(self) -> list[dict[str, Any]]:
        """Finished items and cut-off messages in the order of the response."""
        if not self._items and self._header.get("output"):
            return [item for item in self._header["output"] if isinstance(item, dict)]
        messages: dict[int, dict[str, Any]] = {}
        for (index, _, part), texts in sorted(self._text.items()):
            begun = {"type": "message", "role": "assistant"} | self._open.get(index, {})
            message = messages.setdefault(index, begun | {"status": "incomplete", "content": []})
            text = "".join(texts)
            words = {"refusal": text} if part == "refusal" else {"text": text, "annotations": []}
            message["content"].append({"type": part, **words})
        both = [*self._items, *messages.items()]
        return [item for _, item in sorted(both, key=lambda pair: pair[0])]


def _readable(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a response that are there and of their kind."""
    return {name: body[name] for name, kind in _FIELDS.items() if isinstance(body.get(name), kind)}


_FIELDS: dict[str, type] = {
    **dict.fromkeys(("id", "model", "status", "service_tier"), str),
    **dict.fromkeys(("usage", "error", "incomplete_details"), dict),
    "output": list,
}


def token_usage(raw: Mapping[str, Any] | None) -> TokenUsage | None:
    """The `usage` of a response."""
    if raw is None:
        return None

    def count(name: str, within: Any = raw) -> int:
        tokens = within.get(name) if isinstance(within, Mapping) else None
        return tokens if isinstance(tokens, int) else 0

    return TokenUsage(
        input_tokens=count("input_tokens"),
        cached_input_tokens=count("cached_tokens", raw.get("input_tokens_details")),
        output_tokens=count("output_tokens"),
        reasoning_output_tokens=count("reasoning_tokens", raw.get("output_tokens_details")),
        total_tokens=count("total_tokens"),
    )


_TEXT: dict[type[Event], str] = {OutputTextDelta: "output_text", RefusalDelta: "refusal"}
_PLACE = attrgetter("output_index", "content_index")
