"""A history that a service takes: no call without output, no thought that leads nowhere, no odd shape. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..protocol.plain import plain_json
from ..responses.inputs import Item, assistant

ABORTED = "aborted"  # the output of a call that nobody finished, in the official program's word

_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")

_FOREIGN_CALLS = frozenset(
    "apply_patch_call computer_call local_shell_call shell_call tool_search_call".split()
)
"""Calls of tools that a client has to run itself and we have not. Those the service runs carry no call id."""


def whole(items: Iterable[Item]) -> list[Item]:
    """Leave out calls without output, outputs without call, and reasoning that nothing of the model's follows."""
    items = list(items)
    called = {_call_key(item) for item in items if item["type"] in _CALLS and "call_id" in item}
    both = called & {_call_key(item) for item in items if item["type"] in _OUTPUTS}
    kept: list[Item] = []
    for item in reversed(items):
        kind, follower = item["type"], kept[-1] if kept else {"type": "", "role": "user"}
        is_alone = kind in (*_CALLS, *_OUTPUTS) and _call_key(item) not in both
        is_last = follower["type"] in _OUTPUTS or follower.get("role", "assistant") != "assistant"
        if not (is_alone or is_foreign_call(item) or (kind == "reasoning" and is_last)):
            kept.append(item)
    return kept[::-1]


def is_foreign_call(item: Item) -> bool:
    """Whether it waits for an output that nobody here can give."""
    return item["type"] in _FOREIGN_CALLS and item.get("call_id") is not None


def is_context(item: Item) -> bool:
    """Whether it is a `ContextInput`, framed as in `replay.context_items`."""
    said = next(texts(item.get("content")), "") if item.get("role") == "user" else ""
    return re.match(r"<external_[\w-]+>", said) is not None


def _call_key(item: Item) -> tuple[str, str | None]:
    return item["type"].removesuffix("_output"), item.get("call_id")


def broken_off(items: Iterable[Item]) -> list[Item]:
    """Return what came of a response that was ended, as the start of what follows it: no call of it will be run."""
    begun: list[Item] = []
    for item in filter(None, map(mended, items)):
        is_partial = item.get("status") == "incomplete" and item["type"] == "message"
        begun.append(assistant("".join(texts(item["content"]))) if is_partial else item)
        if item["type"] in _CALLS:
            begun.append(aborted(item))
    return whole(begun)


def aborted(call: Item) -> Item:
    return {"type": f"{call['type']}_output", "call_id": call.get("call_id"), "output": ABORTED}


def mended(item: Mapping[str, Any]) -> Item | None:
    """Return an item in the form in which it can be sent again, mostly as it came; `None` where it has none."""
    copy: Item = plain_json(item)
    if not isinstance(copy.get("type"), str):
        copy["type"] = "message" if any(texts(copy.get("content"))) else ""
    for name in _WORDS:
        if not isinstance(copy.get(name), str | None):
            del copy[name]
    kind = copy["type"]
    if not all(isinstance(copy.get(name), str) for name in _REQUIRED.get(kind, ())):
        return None
    match kind:
        case "" | "item_reference":
            return None
        case "message":
            return _message(copy)
        case "reasoning":
            return _reasoning(copy)
        case "function_call" | "custom_tool_call":
            field, nothing = ("arguments", {}) if kind == "function_call" else ("input", "")
            copy[field] = _as_text(copy.get(field), nothing)
            return copy if copy["call_id"] and copy["name"] else None
        case "function_call_output" | "custom_tool_call_output":
            output = copy.get("output")
            if isinstance(output, list) and all(isinstance(part, dict) and "type" in part for part in output):
                copy["output"] = [part for each in output for part in _part(each, _KINDS["user"])]
            else:
                copy["output"] = _as_text(output, "")
        case "web_search_call":
            action = copy.get("action")
            values = action.values() if isinstance(action, dict) else [0]
            if not all(isinstance(each, str | list | None) for each in values):
                copy.pop("action", None)
    return copy


def _as_text(value: Any, nothing: Any) -> str:
    value = nothing if value is None else value
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


_WORDS = ("call_id", "encrypted_content", "id", "name", "namespace", "phase", "status")
"""Fields that are strings in items of every kind, and mostly may be missing."""

_REQUIRED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_CALLS, ("call_id", "name")),
    **dict.fromkeys(_OUTPUTS, ("call_id",)),
    **dict.fromkeys(("compaction", "compaction_summary"), ("encrypted_content",)),
    "image_generation_call": ("result",),
}
_COMMON = frozenset({"", "item_reference", "message", "reasoning", "web_search_call", *_REQUIRED})


def is_common(item: Item) -> bool:
    """Whether it is of a kind that every provider knows, not only the one that made it."""
    return item["type"] in _COMMON


def texts(content: Any) -> Iterator[str]:
    """The texts of a message's content in any shape: a text, a part, a list of either."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for name in ("text", "refusal", "content", "value"):
            yield from texts(content.get(name))
    elif isinstance(content, list | tuple):
        for part in content:
            yield from texts(part)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield str(content)


def _message(item: Item) -> Item | None:
    role = item.get("role")
    role = "developer" if role == "system" else role if role in ("user", "developer") else "assistant"
    content = item.get("content")
    parts = content if isinstance(content, list) else [content]
    content = [part for each in parts for part in _part(each, _KINDS[role])]
    return {**item, "role": role, "content": content} if content else None


_KINDS = {
    "assistant": ("output_text", "refusal"),
    "user": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
}
"""The parts of a message that all servers take from each role; the first is for text."""

_TEXTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
_LISTS = ("annotations", "logprobs")


def _part(part: Any, kinds: tuple[str, ...]) -> Iterator[Item]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in kinds and (kind not in _TEXTS or isinstance(part.get(_TEXTS[kind]), str)):
        yield {name: each for name, each in part.items() if name not in _LISTS or isinstance(each, list)}
    elif text := "".join(texts(part)):
        yield {"type": kinds[0], "text": text}


def _reasoning(item: Item) -> Item:
    for name, kind in (("summary", "summary_text"), ("content", "reasoning_text")):
        parts = item.get(name)
        if name == "content" and parts is None:
            continue
        parts = parts if isinstance(parts, list) else [parts]
        is_odd = any(not isinstance(part, dict) or not isinstance(part.get("text"), str) for part in parts)
        if is_odd or not all("type" in part for part in parts):
            parts = [{"type": kind, "text": text} for text in texts(parts)]
        item[name] = parts
    return item
