"""Inputs and items of a turn as Responses items: for the service, and for a provider that goes on with the thread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..protocol import types
from ..protocol.errors import InvalidRequestError
from ..protocol.ids import new_id
from ..responses.inputs import Item, Part, assistant, input_image, input_text
from ..responses.media import read_file
from .approvals import call
from .tools import cut, output_of

LONGEST_OUTPUT = 4_000
"""Characters of a command's output that are told again."""


async def input_items(inputs: Sequence[types.InputItem]) -> tuple[Item, ...]:
    """Return what a turn's input is to the model; nothing for nothing: it goes on from what there is.

    Files are read in a thread of their own. Raises InvalidRequestError for what can't be sent.
    """
    if len(inputs) == 1 and isinstance(inputs[0], types.ExternalMessage):
        return call_from_outside(inputs[0])
    if any(
        isinstance(part, types.LocalImageInput | types.MentionInput | types.SkillInput) for part in inputs
    ):
        content = await call(lambda: [_sent(part) for part in inputs])
    else:
        content = [_sent(part) for part in inputs]
    return ({"type": "message", "role": "user", "content": content},) if content else ()


def call_from_outside(message: types.ExternalMessage) -> tuple[Item, Item]:
    """Return it with a tool's authority, as the result of a call.

    An output alone, as the official program sends it, is read by the Codex backend only.
    """
    content = message.content if isinstance(message.content, str) else list(message.content)
    return _call_and_output(f"call_{new_id()}", message.tool_name, message.namespace, "{}", content)


def _sent(part: types.InputItem) -> Part:
    match part:
        case types.TextInput():
            return input_text(part.text)
        case types.ImageInput():
            return {"type": "input_image", "image_url": part.url}
        case types.LocalImageInput():
            return input_image(Path(part.path))
        case types.MentionInput() | types.SkillInput():
            return input_text(_file_text(part))
        case types.ExternalMessage():
            raise InvalidRequestError(
                "A message from outside is the whole input of its turn.", hint="Ask in a turn of its own."
            )


def _file_text(part: types.MentionInput | types.SkillInput) -> str:
    """The file itself, in the words of the program, which hands skills to the model in this way.

    What is named by an address and no path has no text.
    """
    kind = "skill" if isinstance(part, types.SkillInput) else "file"
    text = ""
    if "://" not in part.path:
        text = cut(read_file(part.path, unnamed=part.name).content.decode(errors="replace"))
    return f"<{kind}>\n<name>{part.name}</name>\n<path>{part.path}</path>\n{text}\n</{kind}>"


def replayed(item: types.ThreadItem) -> tuple[Item, ...]:
    """Return what stands for the item in the history of another provider.

    The developer says what the agent did, since its own tools are not on offer there. A tool of ours is, and
    its result has no more authority than a tool's output.
    """
    match item:
        case types.UserMessage(content=(types.ExternalMessage() as message, *_)):
            return call_from_outside(message)
        case types.UserMessage(content=parts):
            return (_message("user", [_part(part) for part in parts]),)
        case types.AgentMessage():
            return (assistant(item.text),)
        case types.CommandExecution(status=status) if status in types.NEVER_DONE:
            return (_event(f"A command was not run ({status}):\n$ {item.command}"),)
        case types.CommandExecution():
            ended = f"exit code {item.exit_code}" if item.exit_code is not None else item.status
            output = _cut(item.aggregated_output or "")
            return (_event(f"A command was run ({ended}):\n$ {item.command}\n{output}"),)
        case types.FileChange(status=status):
            what = "Files were not changed" if status in types.NEVER_DONE else "Files were changed"
            if status not in (*types.NEVER_DONE, "completed"):
                what = "A change of files ended early, perhaps half-way"
            diffs = "\n".join(f"{change.get('path')}\n{change.get('diff')}" for change in item.changes)
            return (_event(f"{what} ({status}):\n{_cut(diffs)}"),)
        case types.ToolCall():
            return _tool_call(item)
    return ()


def as_message(item: types.ThreadItem) -> types.ThreadItem:
    """Return a message from outside, which the program calls a tool's output, as what began the turn."""
    if not isinstance(item, types.UnknownItem) or item.raw["type"] != "functionCallOutput":
        return item
    raw = {
        "type": "externalMessage",
        "toolName": item.raw.get("name"),
        "content": item.raw.get("output"),
        "namespace": item.raw.get("namespace"),
    }
    try:
        return types.UserMessage(item.id, (msgspec.convert(raw, types.ExternalMessage),))
    except msgspec.ValidationError:
        return item


def _message(role: str, content: list[Item]) -> Item:
    return {"type": "message", "role": role, "content": content}


def _event(text: str) -> Item:
    return _message("developer", [{"type": "input_text", "text": text}])


def _part(part: Any) -> Item:
    if isinstance(part, types.ImageInput):
        return {"type": "input_image", "image_url": part.url}
    return {
        "type": "input_text",
        "text": part.text if isinstance(part, types.TextInput) else f"[{part.path}]",
    }


def _tool_call(item: types.ToolCall) -> tuple[Item, Item]:
    fields = {"inputText": "text", "inputImage": "imageUrl"}
    readable = [
        part
        for part in item.content_items or ()
        if isinstance(part.get(fields.get(str(part.get("type")), "")), str)
    ]
    output = output_of(readable) if readable else item.status
    arguments = msgspec.json.encode(item.arguments or {}).decode()
    return _call_and_output(item.id, item.tool, item.namespace, arguments, output)


def _call_and_output(
    call_id: str, name: str, namespace: str | None, arguments: str, output: str | list[Item]
) -> tuple[Item, Item]:
    call = {"type": "function_call", "call_id": call_id, "name": name}
    if namespace:
        call["namespace"] = namespace
    result = {"type": "function_call_output", "call_id": call_id, "output": output}
    return {**call, "arguments": arguments}, result


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_OUTPUT else f"{text[:LONGEST_OUTPUT]}\n[…]"
