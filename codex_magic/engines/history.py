"""A history that a service takes: pure.

It refuses a call without its output and a thought that leads nowhere; and what one server sent in an odd
shape, another, or the same, would refuse in every later request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..protocol.plain import plain_json
from ..responses.inputs import Item, assistant

ABORTED = "aborted"
"""The output of a call that nobody finished, in the official program's word."""

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
        kind = item["type"]
        if kind in (*_CALLS, *_OUTPUTS) and _call_key(item) not in both:
            continue
        if is_foreign_call(item):
            continue
        if kind == "reasoning":
            follower = kept[-1] if kept else {"type": "", "role": "user"}
            if follower["type"] in _OUTPUTS or follower.get("role", "assistant") != "assistant":
                continue
        kept.append(item)
    return kept[::-1]


def is_foreign_call(item: Item) -> bool:
    """Whether it waits for an output that nobody here can give."""
    return item["type"] in _FOREIGN_CALLS and item.get("call_id") is not None


def _call_key(item: Item) -> tuple[str, str | None]:
    """The kind and id of the call that it is, or is the output of."""
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
    """Return an item in the form in which it can be sent again; `None` where it has none.

    What is as it should be stays as it came. Of a kind that we don't know, that is taken for granted.
    """
    copy: Item = plain_json(item)
    if not isinstance(copy.get("type"), str):
        copy["type"] = "message" if any(texts(copy.get("content"))) else ""
    for name in _WORDS:
        if not isinstance(copy.get(name), str | None):
            del copy[name]
    mend = _MENDERS.get(copy["type"])
    return mend(copy) if mend else copy


_WORDS = ("call_id", "encrypted_content", "id", "name", "namespace", "phase", "status")
"""Fields that are strings in items of every kind, and mostly may be missing."""


def is_common(item: Item) -> bool:
    """Whether it is of a kind that every provider knows, not only the one that made it."""
    return item["type"] in _MENDERS


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
    """The part as it came, what it says as a text, or nothing."""
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
        if not all(
            isinstance(part, dict) and isinstance(part.get("text"), str) and "type" in part for part in parts
        ):
            parts = [{"type": kind, "text": text} for text in texts(parts)]
        item[name] = parts
    return item


def _call(field: str, nothing: Any) -> Callable[[Item], Item | None]:
    def mend(item: Item) -> Item | None:
        if not all(isinstance(item.get(name), str) and item[name] for name in ("call_id", "name")):
            return None
        value = item.get(field)
        return {**item, field: _as_text(nothing if value is None else value)}

    return mend


def _output(item: Item) -> Item | None:
    if not isinstance(item.get("call_id"), str):
        return None
    output = item.get("output")
    if isinstance(output, list) and all(isinstance(part, dict) and "type" in part for part in output):
        return {**item, "output": [part for each in output for part in _part(each, _KINDS["user"])]}
    return {**item, "output": _as_text("" if output is None else output)}


def _as_text(value: Any) -> str:
    """Write what should have been JSON in a string, and came as itself."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _search(item: Item) -> Item:
    action = item.get("action")
    if isinstance(action, dict) and all(isinstance(each, str | list | None) for each in action.values()):
        return item
    return {name: each for name, each in item.items() if name != "action"}


def _with_text(field: str) -> Callable[[Item], Item | None]:
    return lambda item: item if isinstance(item.get(field), str) else None


_MENDERS: dict[str, Callable[[Item], Item | None]] = {
    "": lambda item: None,
    "item_reference": lambda item: None,
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _call("arguments", {}),
    "custom_tool_call": _call("input", ""),
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "web_search_call": _search,
    "image_generation_call": _with_text("result"),
    "compaction": _with_text("encrypted_content"),
    "compaction_summary": _with_text("encrypted_content"),
}
"""Makes an item of that type one that can be sent again, perhaps by changing it; `None` where that can't be."""
