"""What stands for an item of the agent when a provider goes on with the thread: Responses items. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ...protocol.types import (
    NEVER_DONE,
    AgentMessage,
    CommandExecution,
    ExternalMessage,
    FileChange,
    ImageInput,
    InputItem,
    TextInput,
    ThreadItem,
    ToolCall,
    UnknownItem,
    UserMessage,
)
from ..asked import from_outside
from ..tools import output_of

LONGEST_OUTPUT = 4_000
"""Characters of a command's output that are told again."""


def replayed(item: ThreadItem) -> tuple[dict[str, Any], ...]:
    """The item as others take it. What the agent did is told by the developer: its own tools are not on offer."""
    if isinstance(item, UserMessage) and item.content and isinstance(item.content[0], ExternalMessage):
        return from_outside(item.content[0])
    if isinstance(item, ToolCall):
        return _called(item)
    tell = _REPLAYED.get(type(item))
    return (tell(item),) if tell else ()


def as_said(item: ThreadItem) -> ThreadItem:
    """A message from outside, which the program calls a tool's output, as what began the turn."""
    if not isinstance(item, UnknownItem) or item.raw["type"] != "functionCallOutput":
        return item
    said = {"toolName": item.raw.get("name"), "content": item.raw.get("output")}
    namespace = item.raw.get("namespace")
    try:
        message = msgspec.convert(
            {**said, "namespace": namespace, "type": "externalMessage"}, ExternalMessage
        )
    except msgspec.ValidationError:
        return item
    return UserMessage(item.id, (message,))


def partial_answer(text: str) -> dict[str, Any]:
    return _message("assistant", [{"type": "output_text", "text": text}])


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content}


def _user(item: UserMessage) -> dict[str, Any]:
    return _message("user", [_part(part) for part in item.content])


def _part(part: InputItem) -> dict[str, Any]:
    if isinstance(part, TextInput):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ImageInput):
        return {"type": "input_image", "image_url": part.url}
    assert not isinstance(part, ExternalMessage)  # it is the whole input of its turn
    return {"type": "input_text", "text": f"[{part.path}]"}


def _did(text: str) -> dict[str, Any]:
    return _message("developer", [{"type": "input_text", "text": text}])


def _command(item: CommandExecution) -> dict[str, Any]:
    if item.status in NEVER_DONE:
        return _did(f"A command was not run ({item.status}):\n$ {item.command}")
    ended = f"exit code {item.exit_code}" if item.exit_code is not None else item.status
    return _did(f"A command was run ({ended}):\n$ {item.command}\n{_cut(item.aggregated_output or '')}")


def _change(item: FileChange) -> dict[str, Any]:
    diffs = "\n".join(f"{change.get('path')}\n{change.get('diff')}" for change in item.changes)
    what = "Files were not changed" if item.status in NEVER_DONE else "Files were changed"
    if item.status not in (*NEVER_DONE, "completed"):
        what = "A change of files ended early, perhaps half-way"
    return _did(f"{what} ({item.status}):\n{_cut(diffs)}")


def _called(item: ToolCall) -> tuple[dict[str, Any], ...]:
    """A tool of ours is on offer elsewhere too, and what it gave has no more authority than a tool's output."""
    call = {"type": "function_call", "call_id": item.id, "name": item.tool}
    if item.namespace:
        call["namespace"] = item.namespace
    known = [
        part
        for part in item.content_items or ()
        for field in [{"inputText": "text", "inputImage": "imageUrl"}.get(str(part.get("type")), "")]
        if isinstance(part.get(field), str)
    ]
    output = {
        "type": "function_call_output",
        "call_id": item.id,
        "output": output_of(known) if known else item.status,
    }
    return {**call, "arguments": msgspec.json.encode(item.arguments or {}).decode()}, output


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}\n[…]"


_REPLAYED: dict[type[Any], Callable[[Any], dict[str, Any]]] = {
    UserMessage: _user,
    AgentMessage: lambda item: partial_answer(item.text),
    CommandExecution: _command,
    FileChange: _change,
}
