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
"""Of tools that a client has to run itself and we have not. Those the service runs carry no call id."""


def whole(items: Iterable[Item]) -> list[Item]:
    """Without calls that have no output, outputs of no call, and reasoning that nothing of the model's follows."""
    given = list(items)
    called = {_call_of(item) for item in given if item["type"] in _CALLS and "call_id" in item}
    both = called & {_call_of(item) for item in given if item["type"] in _OUTPUTS}
    kept: list[Item] = []
    for item in reversed(given):
        if item["type"] in (*_CALLS, *_OUTPUTS) and _call_of(item) not in both:
            continue
        if is_foreign_call(item):
            continue
        if item["type"] == "reasoning" and not (kept and _is_the_models(kept[-1])):
            continue
        kept.append(item)
    return kept[::-1]


def is_foreign_call(item: Item) -> bool:
    """Whether it waits for an output that nobody here can give."""
    return item["type"] in _FOREIGN_CALLS and item.get("call_id") is not None


def _call_of(item: Item) -> tuple[str, str | None]:
    """The kind and id of the call that it is, or is the output of."""
    return item["type"].removesuffix("_output"), item.get("call_id")


def broken_off(items: Iterable[Item]) -> list[Item]:
    """What came of a response that was ended, as the start of what follows it: no call of it will be run."""
    begun: list[Item] = []
    for item in filter(None, map(mended, items)):
        begun.append(_said(item) if item.get("status") == "incomplete" else item)
        if item["type"] in _CALLS:
            begun.append(aborted(item))
    return whole(begun)


def aborted(call: Item) -> Item:
    return {"type": f"{call['type']}_output", "call_id": call.get("call_id"), "output": ABORTED}


def _said(item: Item) -> Item:
    """A message as far as it came."""
    if item["type"] != "message":
        return item
    return assistant("".join(said(item["content"])))


def _is_the_models(item: Item) -> bool:
    return item["type"] not in _OUTPUTS and item.get("role", "assistant") == "assistant"


# Items as servers send them -----------------------------------------------------------------------


def mended(item: Mapping[str, Any]) -> Item | None:
    """An item in the form in which it can be sent again; `None` where it has none.

    What is as it should be stays as it came. Of a kind that we don't know, that is taken for granted.
    """
    kept: Item = plain_json(item)
    if not isinstance(kept.get("type"), str):
        kept["type"] = "message" if any(said(kept.get("content"))) else ""
    for name in _WORDS:
        if not isinstance(kept.get(name), str | None):
            del kept[name]
    mend = _MENDED.get(kept["type"])
    return mend(kept) if mend else kept


_WORDS = ("call_id", "encrypted_content", "id", "name", "namespace", "phase", "status")
"""What is a string in items of every kind, and mostly may be missing."""


def is_common(item: Item) -> bool:
    """Whether it is of a kind that every provider knows, not only the one that made it."""
    return item["type"] in _MENDED


def said(content: Any) -> Iterator[str]:
    """The texts of a message's content in any shape: a text, a part, a list of either."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        for name in ("text", "refusal", "content", "value"):
            yield from said(content.get(name))
    elif isinstance(content, list | tuple):
        for part in content:
            yield from said(part)
    elif isinstance(content, int | float) and not isinstance(content, bool):
        yield str(content)


def _message(item: Item) -> Item | None:
    role = item.get("role")
    role = "developer" if role == "system" else role if role in ("user", "developer") else "assistant"
    content = item.get("content")
    parts = content if isinstance(content, list) else [content]
    kept = [part for each in parts for part in _part(each, _KINDS[role])]
    return {**item, "role": role, "content": kept} if kept else None


_KINDS = {
    "assistant": ("output_text", "refusal"),
    "user": ("input_text", "input_image", "input_file"),
    "developer": ("input_text", "input_image", "input_file"),
}
"""The parts of a message that all servers take from each role; the first is for text."""


def _part(part: Any, kinds: tuple[str, ...]) -> Iterator[Item]:
    """The part as it came, what it says as a text, or nothing."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in kinds and (kind not in _TEXTS or isinstance(part.get(_TEXTS[kind]), str)):
        yield {name: each for name, each in part.items() if name not in _LISTS or isinstance(each, list)}
    elif text := "".join(said(part)):
        yield {"type": kinds[0], "text": text}


_TEXTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}
_LISTS = ("annotations", "logprobs")


def _reasoning(item: Item) -> Item:
    item["summary"] = _thoughts(item.get("summary"), "summary_text")
    if item.get("content") is not None:
        item["content"] = _thoughts(item["content"], "reasoning_text")
    return item


def _thoughts(parts: Any, kind: str) -> list[Item]:
    given = parts if isinstance(parts, list) else [parts]
    if all(isinstance(part, dict) and isinstance(part.get("text"), str) and "type" in part for part in given):
        return given
    return [{"type": kind, "text": text} for text in said(parts)]


def _sealed(item: Item) -> Item | None:
    return item if isinstance(item.get("encrypted_content"), str) else None


def _function_call(item: Item) -> Item | None:
    return _call(item, "arguments", {})


def _custom_tool_call(item: Item) -> Item | None:
    return _call(item, "input", "")


def _call(item: Item, field: str, nothing: Any) -> Item | None:
    if not all(isinstance(item.get(name), str) and item[name] for name in ("call_id", "name")):
        return None
    given = item.get(field)
    return {**item, field: _as_text(nothing if given is None else given)}


def _output(item: Item) -> Item | None:
    if not isinstance(item.get("call_id"), str):
        return None
    output = item.get("output")
    if isinstance(output, list) and all(isinstance(part, dict) and "type" in part for part in output):
        return {**item, "output": [part for each in output for part in _part(each, _KINDS["user"])]}
    return {**item, "output": _as_text("" if output is None else output)}


def _as_text(value: Any) -> str:
    """What should have been JSON in a string, and came as itself."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _search(item: Item) -> Item:
    action = item.get("action")
    is_readable = isinstance(action, dict) and all(
        isinstance(each, str | list | None) for each in action.values()
    )
    return item if is_readable else {name: each for name, each in item.items() if name != "action"}


def _image(item: Item) -> Item | None:
    return item if isinstance(item.get("result"), str) else None


_MENDED: dict[str, Callable[[Item], Item | None]] = {
    "": lambda item: None,
    "item_reference": lambda item: None,
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "function_call_output": _output,
    "custom_tool_call_output": _output,
    "web_search_call": _search,
    "image_generation_call": _image,
    "compaction": _sealed,
    "compaction_summary": _sealed,
}
"""By the item's type: what makes it one that can be sent again. It may change what it is given."""
