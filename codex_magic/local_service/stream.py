"""The items of a response -> the events of its stream, in the order and with the fields of the real one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from .conversation import Item, count_tokens

TOKEN_CHARS = 4
"""Characters of one delta: about one token of a real model."""


@dataclass(frozen=True)
class Pace:
    """How fast an answer leaves: `Pace()` as fast as the client reads, `Pace(40)` 40 deltas a second."""

    per_second: float | None = None
    delta_chars: int = TOKEN_CHARS

    @classmethod
    def parse(cls, text: str) -> Pace:
        """Read `100` or `max`, then optionally `chars=20`; ValueError for anything else."""
        match = re.fullmatch(r"(max|(?!0+$)\d+)(?: chars=([1-9]\d*))?", text)
        if not match:
            raise ValueError(f"a pace is max or a number of deltas a second, then maybe chars=20: {text!r}")
        return cls(None if match[1] == "max" else int(match[1]), int(match[2] or TOKEN_CHARS))


SHAPES: dict[str, dict[str, Any]] = msgspec.json.decode(Path(__file__).with_name("shapes.json").read_bytes())
"""What is always the same in answers that have many fields."""

Event = dict[str, Any]

_TEXTS = "output_text refusal reasoning_summary_text function_call_arguments custom_tool_call_input".split()

DELTAS = frozenset(f"response.{text}.delta" for text in _TEXTS)
"""The events that a pace counts."""


@dataclass(frozen=True)
class Plan:
    """All that decides one response stream."""

    id: str
    model: str
    created_at: int
    items: list[Item]
    usage: dict[str, Any]
    delta_chars: int
    codex: bool
    """The Codex backend's habit: an empty final output."""
    echoed: dict[str, Any] = field(default_factory=dict)
    """Request fields that the response repeats."""

    def response(self, status: str, **changes: Any) -> dict[str, Any]:
        own = {"id": self.id, "created_at": self.created_at, "model": self.model, "status": status}
        return SHAPES["response"] | own | self.echoed | changes


def count_usage(items: list[Item], *, sent: int, cached: int = 0) -> dict[str, Any]:
    """Return the tokens of a request: `sent`, of which `cached` were known, and what the items cost."""
    tokens = [(item["type"] == "reasoning", count_tokens(_content(item))) for item in items]
    reasoning = sum(count + 8 for thinks, count in tokens if thinks)  # it costs more than its summary shows
    output = reasoning + sum(count for thinks, count in tokens if not thinks)
    return {
        "input_tokens": sent,
        "input_tokens_details": {"cached_tokens": min(cached, sent), "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": sent + output,
    }


def _content(item: Item) -> object:
    """Return what the model has written of an item."""
    match item:
        case {"summary": parts} | {"content": parts}:
            return "".join(part.get("text") or part.get("refusal", "") for part in parts)
        case {"action": {"query": text}} | {"revised_prompt": text} | {"arguments": text} | {"input": text}:
            return text
    return item["encrypted_content"]


def frame(event: Event) -> bytes:
    """One event on the wire. U+2028 and its like stay raw inside the JSON, as the real service sends them."""
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def numbered(stream: Iterator[Event]) -> Iterator[Event]:
    """Number events from 0."""
    for number, event in enumerate(stream):
        event["sequence_number"] = number
        yield event


def events(plan: Plan) -> Iterator[Event]:
    """Give the whole stream: created, in_progress, every item, one terminal event."""
    yield {"type": "response.created", "response": plan.response("in_progress")}
    yield {"type": "response.in_progress", "response": plan.response("in_progress")}
    output = []
    for index, item in enumerate(plan.items):
        prefix, empty, write = _KINDS[item["type"]]
        number = f"{plan.id.removeprefix('resp_')}{index:02d}"
        whole = {"id": f"{prefix}_{number}", **item}
        if write is _call:
            whole["call_id"] = f"call_{number}"
        if "status" in empty:
            whole["status"] = "completed"
        yield {"type": "response.output_item.added", "output_index": index, "item": whole | empty}
        for event in write(whole, plan.delta_chars):
            yield {**event, "item_id": whole["id"], "output_index": index}
        yield {"type": "response.output_item.done", "output_index": index, "item": whole}
        output.append(whole)
    done = plan.response("completed", completed_at=plan.created_at, usage=plan.usage)
    yield {"type": "response.completed", "response": done | {"output": [] if plan.codex else output}}


def _reasoning(item: Item, size: int) -> Iterator[Event]:
    for number, part in enumerate(item["summary"]):
        at = {"summary_index": number}
        yield {"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}}
        yield from _deltas("response.reasoning_summary_text", part["text"], size, at)
        yield {"type": "response.reasoning_summary_text.done", **at, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}


def _message(item: Item, size: int) -> Iterator[Event]:
    at: Event = {"content_index": 0}
    [part] = item["content"]
    verb = f"response.{part['type']}"
    key = "text" if part["type"] == "output_text" else "refusal"
    always: Event = {"logprobs": []} if key == "text" else {}
    empty = {name: [] if name == "annotations" else value for name, value in part.items()}
    yield {"type": "response.content_part.added", **at, "part": {**empty, key: ""}}
    yield from _deltas(verb, part[key], size, {**at, **always})
    for number, annotation in enumerate(part.get("annotations", ())):
        annotated = {"annotation": annotation, "annotation_index": number}
        yield {"type": f"{verb}.annotation.added", **at, **annotated}
    yield {"type": f"{verb}.done", **at, key: part[key], **always}
    yield {"type": "response.content_part.done", **at, "part": part}


def _call(item: Item, size: int) -> Iterator[Event]:
    key = "arguments" if item["type"] == "function_call" else "input"
    verb = f"response.{item['type']}_{key}"
    yield from _deltas(verb, item[key], size, {})
    named = {"name": item["name"]} if key == "arguments" else {}
    yield {"type": f"{verb}.done", **named, key: item[key]}


def _deltas(verb: str, text: str, size: int, at: Event) -> Iterator[Event]:
    for start in range(0, len(text), size):
        yield {"type": f"{verb}.delta", **at, "delta": text[start : start + size]}


def _progress(item: Item, size: int) -> Iterator[Event]:
    """Give the states of what the service does itself; a picture is sent with one of them."""
    for state in _STATES[item["type"]]:
        image = {"partial_image_index": 0, "partial_image_b64": item.get("result"), "output_format": "png"}
        yield {"type": f"response.{item['type']}.{state}"} | (image if state == "partial_image" else {})


_STATES = {
    "web_search_call": ("in_progress", "searching", "completed"),
    "image_generation_call": ("in_progress", "generating", "partial_image", "completed"),
    "compaction": ("compacting",),
}

_BEGUN = {"status": "in_progress"}

_KINDS: dict[str, tuple[str, dict[str, Any], Callable[[Item, int], Iterator[Event]]]] = {
    "reasoning": ("rs", {"summary": []}, _reasoning),
    "message": ("msg", {"content": []} | _BEGUN, _message),
    "function_call": ("fc", {"arguments": ""} | _BEGUN, _call),
    "custom_tool_call": ("ctc", {"input": ""} | _BEGUN, _call),
    "web_search_call": ("ws", {"action": {"type": "search", "query": ""}} | _BEGUN, _progress),
    "image_generation_call": ("ig", {"result": None} | _BEGUN, _progress),
    "compaction": ("cmp", {"encrypted_content": ""}, _progress),
}
"""By the type of an item: the prefix of its id, what it begins with, and the events until its end."""
