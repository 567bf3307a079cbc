"""A history that a service takes: it refuses a call without its output and a thought that leads nowhere. Pure."""

from __future__ import annotations

from collections.abc import Iterable

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
    called = {item["call_id"] for item in given if item["type"] in _CALLS and "call_id" in item}
    answered = {item.get("call_id") for item in given if item["type"] in _OUTPUTS}
    both = called & answered
    kept: list[Item] = []
    for item in reversed(given):
        if item["type"] in (*_CALLS, *_OUTPUTS) and item.get("call_id") not in both:
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


def broken_off(items: Iterable[Item]) -> list[Item]:
    """What came of a response that was ended, as the start of what follows it: no call of it will be run."""
    begun: list[Item] = []
    for item in items:
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
    return assistant("".join(part.get("text") or part.get("refusal") or "" for part in item["content"]))


def _is_the_models(item: Item) -> bool:
    return item["type"] not in _OUTPUTS and item.get("role", "assistant") == "assistant"
