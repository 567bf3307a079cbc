"""Items of the agent as Responses items, for a provider that goes on with the thread. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from ...protocol.types import (
    NEVER_DONE,
    AgentMessage,
    CommandExecution,
    ExternalMessage,
    FileChange,
    ImageInput,
    TextInput,
    ThreadItem,
    ToolCall,
    UnknownItem,
    UserMessage,
)
from ...responses.inputs import Item, assistant
from ..tools import output_of
from ..user_input import call_from_outside

LONGEST_OUTPUT = 4_000
"""Characters of a command's output that are told again."""


def replayed(item: ThreadItem) -> tuple[Item, ...]:
    """Return what stands for the item in the history of another provider.

    The developer says what the agent did, since its own tools are not on offer there. A tool of ours is, and
    its result has no more authority than a tool's output.
    """
    match item:
        case UserMessage(content=(ExternalMessage() as message, *_)):
            return call_from_outside(message)
        case UserMessage(content=parts):
            return (_message("user", [_part(part) for part in parts]),)
        case AgentMessage():
            return (assistant(item.text),)
        case CommandExecution(status=status) if status in NEVER_DONE:
            return (_event(f"A command was not run ({status}):\n$ {item.command}"),)
        case CommandExecution():
            ended = f"exit code {item.exit_code}" if item.exit_code is not None else item.status
            output = _cut(item.aggregated_output or "")
            return (_event(f"A command was run ({ended}):\n$ {item.command}\n{output}"),)
        case FileChange(status=status):
            what = "Files were not changed" if status in NEVER_DONE else "Files were changed"
            if status not in (*NEVER_DONE, "completed"):
                what = "A change of files ended early, perhaps half-way"
            diffs = "\n".join(f"{change.get('path')}\n{change.get('diff')}" for change in item.changes)
            return (_event(f"{what} ({status}):\n{_cut(diffs)}"),)
        case ToolCall():
            return _call_and_output(item)
    return ()


def as_message(item: ThreadItem) -> ThreadItem:
    """Return a message from outside, which the program calls a tool's output, as what began the turn."""
    if not isinstance(item, UnknownItem) or item.raw["type"] != "functionCallOutput":
        return item
    raw = {
        "type": "externalMessage",
        "toolName": item.raw.get("name"),
        "content": item.raw.get("output"),
        "namespace": item.raw.get("namespace"),
    }
    try:
        return UserMessage(item.id, (msgspec.convert(raw, ExternalMessage),))
    except msgspec.ValidationError:
        return item


def _message(role: str, content: list[Item]) -> Item:
    return {"type": "message", "role": role, "content": content}


def _event(text: str) -> Item:
    return _message("developer", [{"type": "input_text", "text": text}])


def _part(part: Any) -> Item:
    if isinstance(part, ImageInput):
        return {"type": "input_image", "image_url": part.url}
    return {"type": "input_text", "text": part.text if isinstance(part, TextInput) else f"[{part.path}]"}


def _call_and_output(item: ToolCall) -> tuple[Item, Item]:
    call = {"type": "function_call", "call_id": item.id, "name": item.tool}
    if item.namespace:
        call["namespace"] = item.namespace
    fields = {"inputText": "text", "inputImage": "imageUrl"}
    readable = [
        part
        for part in item.content_items or ()
        if isinstance(part.get(fields.get(str(part.get("type")), "")), str)
    ]
    output = output_of(readable) if readable else item.status
    return (
        {**call, "arguments": msgspec.json.encode(item.arguments or {}).decode()},
        {"type": "function_call_output", "call_id": item.id, "output": output},
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}\n[…]"
