"""A script of items -> the events of a Responses stream, in the order and with the fields of the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .answers import Call, Compaction, Drawing, Item, Message, Refusal, Script, Search, Thought
from .conversation import count_tokens, seal
from .pictures import encoded_picture

Event = dict[str, Any]

DELTAS = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.reasoning_summary_text.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
    }
)
"""The events that a pace counts."""

UNSAID_TOKENS = 8
"""Reasoning costs more than its summary shows."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one request."""

    input: int
    cached: int
    output: int
    reasoning: int

    def encode(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input,
            "input_tokens_details": {"cached_tokens": self.cached, "cache_write_tokens": 0},
            "output_tokens": self.output,
            "output_tokens_details": {"reasoning_tokens": self.reasoning},
            "total_tokens": self.input + self.output,
        }


@dataclass(frozen=True)
class Plan:
    """All that decides one response stream."""

    id: str
    model: str
    created_at: int
    script: Script
    usage: Usage
    delta_chars: int
    owner: str
    """The account that reasoning and compaction items are sealed for."""
    sealed: bool
    """Whether reasoning items carry their `encrypted_content`."""
    codex: bool
    """The Codex backend's habit: an empty final output."""
    echoed: dict[str, Any] = field(default_factory=dict)
    """Request fields that the response repeats."""

    def response(self, status: str, **changes: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "model": self.model,
            "output": [],
            "parallel_tool_calls": True,
            "store": False,
            "tool_choice": "auto",
            "tools": [],
            "usage": None,
            **self.echoed,
            **changes,
        }


def count_usage(script: Script, *, sent: int, cached: int) -> Usage:
    """What a script costs, after `sent` tokens of which `cached` were known."""
    reasoning = sum(_tokens(item) for item in script if isinstance(item, Thought))
    output = sum(_tokens(item) for item in script)
    return Usage(input=sent, cached=min(cached, sent), output=output, reasoning=reasoning)


def _tokens(item: Item) -> int:
    match item:
        case Thought(parts=parts):
            return count_tokens("".join(parts)) + UNSAID_TOKENS
        case Message(text=text) | Refusal(text=text):
            return count_tokens(text)
        case Call(arguments=arguments):
            return count_tokens(arguments)
        case Search(query=query) | Drawing(prompt=query):
            return count_tokens(query)
        case Compaction(content=content):
            return count_tokens(content)


def frame(event: Event) -> bytes:
    """One event on the wire. U+2028 and its like stay raw inside the JSON, as the real service sends them."""
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))


def events(plan: Plan) -> Iterator[Event]:
    """The whole stream: created, in_progress, every item, one terminal event; numbered from 0."""
    return numbered(plain_events(plan))


def numbered(stream: Iterator[Event]) -> Iterator[Event]:
    for number, event in enumerate(stream):
        event["sequence_number"] = number
        yield event


def completed_response(plan: Plan) -> dict[str, Any]:
    """The answer of a request that did not ask for a stream."""
    *_, last = events(plan)
    return dict(last["response"])


def plain_events(plan: Plan) -> Iterator[Event]:
    yield {"type": "response.created", "response": plan.response("in_progress")}
    yield {"type": "response.in_progress", "response": plan.response("in_progress")}
    output = []
    for index, item in enumerate(plan.script):
        for event in _WRITERS[type(item)](plan, index, item):
            yield event | {"output_index": index}
        output.append(event["item"])
    done = plan.response("completed", completed_at=plan.created_at, usage=plan.usage.encode())
    yield {"type": "response.completed", "response": done | {"output": [] if plan.codex else output}}


# Items -------------------------------------------------------------------------------------------


def _thought(plan: Plan, index: int, item: Thought) -> Iterator[Event]:
    item_id = _item_id("rs", plan, index)
    started: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": []}
    if plan.sealed:
        started["encrypted_content"] = seal(plan.owner, {"thought": len(item.parts)})
    yield _added(started)
    for number, text in enumerate(item.parts):
        at = {"item_id": item_id, "summary_index": number}
        empty, part = {"type": "summary_text", "text": ""}, {"type": "summary_text", "text": text}
        yield {"type": "response.reasoning_summary_part.added", **at, "part": empty}
        yield from _deltas("response.reasoning_summary_text", text, plan, at)
        yield {"type": "response.reasoning_summary_text.done", **at, "text": text}
        yield {"type": "response.reasoning_summary_part.done", **at, "part": part}
    yield _done(started | {"summary": [{"type": "summary_text", "text": text} for text in item.parts]})


def _message(plan: Plan, index: int, item: Message) -> Iterator[Event]:
    item_id = _item_id("msg", plan, index)
    part: dict[str, Any] = {"type": "output_text", "text": item.text, "annotations": [], "logprobs": []}
    at = {"item_id": item_id, "content_index": 0}
    started = _assistant(item_id, item.phase)
    yield _added(started)
    yield {"type": "response.content_part.added", **at, "part": part | {"text": ""}}
    for event in _deltas("response.output_text", item.text, plan, at):
        yield event | {"logprobs": []}
    if item.cited is not None:
        part["annotations"] = [_citation(item.text, item.cited)]
        annotation = {"annotation": part["annotations"][0], "annotation_index": 0}
        yield {"type": "response.output_text.annotation.added", **at, **annotation}
    yield {"type": "response.output_text.done", **at, "text": item.text, "logprobs": []}
    yield {"type": "response.content_part.done", **at, "part": part}
    yield _done(started | {"status": "completed", "content": [part]})


def _refusal(plan: Plan, index: int, item: Refusal) -> Iterator[Event]:
    item_id = _item_id("msg", plan, index)
    at = {"item_id": item_id, "content_index": 0}
    started = _assistant(item_id, "final_answer")
    yield _added(started)
    yield {"type": "response.content_part.added", **at, "part": {"type": "refusal", "refusal": ""}}
    yield from _deltas("response.refusal", item.text, plan, at)
    yield {"type": "response.refusal.done", **at, "refusal": item.text}
    part = {"type": "refusal", "refusal": item.text}
    yield {"type": "response.content_part.done", **at, "part": part}
    yield _done(started | {"status": "completed", "content": [part]})


def _call(plan: Plan, index: int, item: Call) -> Iterator[Event]:
    kind, prefix, key, verb = _CALL_KINDS[item.tool.kind]
    item_id = _item_id(prefix, plan, index)
    call = {"id": item_id, "type": kind, "status": "in_progress", "call_id": _item_id("call", plan, index)}
    call |= {"name": item.tool.name}
    if item.tool.namespace is not None:
        call["namespace"] = item.tool.namespace
    yield _added(call | {key: ""})
    yield from _deltas(verb, item.arguments, plan, {"item_id": item_id})
    named = {"name": item.tool.name} if key == "arguments" else {}
    yield {"type": f"{verb}.done", "item_id": item_id, **named, key: item.arguments}
    yield _done(call | {"status": "completed", key: item.arguments})


_CALL_KINDS = {
    "function": ("function_call", "fc", "arguments", "response.function_call_arguments"),
    "custom": ("custom_tool_call", "ctc", "input", "response.custom_tool_call_input"),
}


def _search(plan: Plan, index: int, item: Search) -> Iterator[Event]:
    item_id = _item_id("ws", plan, index)
    call = {"id": item_id, "type": "web_search_call", "status": "in_progress"}
    yield _added(call | {"action": {"type": "search", "query": ""}})
    for state in ("in_progress", "searching", "completed"):
        yield {"type": f"response.web_search_call.{state}", "item_id": item_id}
    action = {"type": "search", "query": item.query}
    yield _done(call | {"status": "completed", "action": action})


def _drawing(plan: Plan, index: int, item: Drawing) -> Iterator[Event]:
    item_id = _item_id("ig", plan, index)
    call = {"id": item_id, "type": "image_generation_call", "status": "in_progress"}
    picture = encoded_picture(item.prompt)
    described = {"size": "auto", "quality": "auto", "background": "auto", "output_format": "png"}
    partial = {"partial_image_index": 0, "partial_image_b64": picture, **described}
    yield _added(call | {"action": {"type": "search", "query": ""}})
    for state in ("in_progress", "generating"):
        yield {"type": f"response.image_generation_call.{state}", "item_id": item_id}
    yield {"type": "response.image_generation_call.partial_image", "item_id": item_id, **partial}
    yield {"type": "response.image_generation_call.completed", "item_id": item_id}
    done = {"status": "completed", "result": picture, "revised_prompt": item.prompt, **described}
    yield _done(call | done)


def _compaction(plan: Plan, index: int, item: Compaction) -> Iterator[Event]:
    item_id = _item_id("cmp", plan, index)
    sealed = {"id": item_id, "type": "compaction", "encrypted_content": seal(plan.owner, item.content)}
    yield _added(sealed | {"encrypted_content": ""})
    yield {"type": "response.compaction.compacting", "item_id": item_id}
    yield _done(sealed)


_WRITERS: dict[type[Item], Callable[[Plan, int, Any], Iterator[Event]]] = {
    Thought: _thought,
    Message: _message,
    Refusal: _refusal,
    Call: _call,
    Search: _search,
    Drawing: _drawing,
    Compaction: _compaction,
}


def _added(item: dict[str, Any]) -> Event:
    return {"type": "response.output_item.added", "item": item}


def _done(item: dict[str, Any]) -> Event:
    return {"type": "response.output_item.done", "item": item}


def _deltas(verb: str, text: str, plan: Plan, at: dict[str, Any]) -> Iterator[Event]:
    for start in range(0, len(text), plan.delta_chars):
        yield {"type": f"{verb}.delta", **at, "delta": text[start : start + plan.delta_chars]}


def _item_id(prefix: str, plan: Plan, index: int) -> str:
    return f"{prefix}_{plan.id.removeprefix('resp_')}{index:02d}"


def _assistant(item_id: str, phase: str) -> dict[str, Any]:
    return {
        "id": item_id,
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "phase": phase,
        "content": [],
    }


def _citation(text: str, url: str) -> dict[str, Any]:
    start = text.index(url)
    return {
        "type": "url_citation",
        "url": url,
        "title": "A prepared source",
        "start_index": start,
        "end_index": start + len(url),
    }
