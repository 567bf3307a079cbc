"""Inputs and items of a turn as Responses items: for the service, and for a provider that goes on with the thread."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from ..protocol import types
from ..protocol.errors import InvalidRequestError
from ..protocol.ids import new_id
from ..responses.inputs import Item, Part, assistant, developer, input_image, input_text, read_file, user
from .approvals import call
from .tools import cut, output_of

LONGEST_OUTPUT = 4_000  # characters of a command's output that are told again


async def input_items(inputs: Sequence[types.InputItem]) -> tuple[Item, ...]:
    """Return what a turn's input is to the model, maybe nothing. Raises InvalidRequestError for what can't be sent."""
    if len(inputs) == 1 and isinstance(inputs[0], types.ExternalMessage):
        return call_from_outside(inputs[0])
    if all(isinstance(part, types.TextInput | types.ContextInput | types.ImageInput) for part in inputs):
        return _messages(inputs, _sent)
    return await call(_messages, inputs, _sent)  # type: ignore[no-any-return]  # what it returns


def _messages(inputs: Sequence[types.InputItem], sent: Callable[[types.InputItem], Part]) -> tuple[Item, ...]:
    content = [sent(part) for part in inputs if not isinstance(part, types.ContextInput)]
    return (*context_items(inputs), *((user(*content),) if content else ()))


def context_items(inputs: Sequence[types.InputItem]) -> tuple[Item, ...]:
    """Return the contexts among the inputs as the program frames what is untrusted; no value can end its frame."""
    contexts = [part for part in inputs if isinstance(part, types.ContextInput)]
    return tuple(user(framed(context.name, context.value)) for context in contexts)


def framed(name: str, text: str) -> str:
    """Return a text in the frame of what is data, and nobody's words; see `DEFAULT_INSTRUCTIONS`."""
    value = _MAY_END_FRAME.sub(lambda mark: mark[0] + "\\" * _ends_frame(text, mark.end()), text)
    return f"<external_{name}>{value}</external_{name}>"


_MAY_END_FRAME = re.compile(r"[<\uff1c\ufe64](?![!-.0-~])")


def _ends_frame(text: str, at: int) -> bool:
    """Whether what follows is read as the end of a frame, as a model reads: letters of any width, and none unseen."""
    plain = unicodedata.normalize("NFKD", text[at : at + 200])
    seen = "".join(char for char in plain if unicodedata.category(char) not in ("Cf", "Mn"))
    return "".join(seen.split()).casefold().startswith("/external")


def call_from_outside(message: types.ExternalMessage) -> tuple[Item, Item]:
    """Return it with a tool's authority, as a call and its result: an output alone is read by one service only."""
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
            # As the program hands skills to the model. What is named by an address and no path has no text.
            kind = "skill" if isinstance(part, types.SkillInput) else "file"
            text = ""
            if "://" not in part.path:
                text = cut(read_file(part.path).decode(errors="replace"))
            head = f"<name>{part.name}</name>\n<path>{part.path}</path>"
            return input_text(f"<{kind}>\n{head}\n{text}\n</{kind}>")
    raise alone()


def alone() -> InvalidRequestError:
    what = "An ExternalMessage must be the only input of its turn."
    return InvalidRequestError(what, hint="Send the rest in the next turn.")


def replayed(item: types.ThreadItem) -> tuple[Item, ...]:
    """Return what stands for the item with another provider: there the developer says what the agent's tools did."""
    match item:
        case types.UserMessage(content=(types.ExternalMessage() as message, *_)):
            return call_from_outside(message)
        case types.UserMessage(content=parts):
            files = types.LocalImageInput | types.MentionInput | types.SkillInput
            return _messages(
                parts, lambda part: input_text(f"[{part.path}]") if isinstance(part, files) else _sent(part)
            )
        case types.AgentMessage():
            return (assistant(item.text),)
        case types.CommandExecution(command=command, status=status) if status in types.NEVER_DONE:
            return (developer(f"A command was not run ({status}):\n$ {command}"),)
        case types.CommandExecution(command=command, status=status, exit_code=code):
            output = cut(item.aggregated_output or "", LONGEST_OUTPUT)
            ended = f"exit code {code}" if code is not None else status
            return (developer(f"A command was run ({ended}):\n$ {command}\n{output}"),)
        case types.FileChange(status=status):
            what = "Files were not changed" if status in types.NEVER_DONE else "Files were changed"
            if status not in (*types.NEVER_DONE, "completed"):
                what = "A change of files ended early, perhaps half-way"
            diffs = "\n".join(f"{change.get('path')}\n{change.get('diff')}" for change in item.changes)
            return (developer(f"{what} ({status}):\n{cut(diffs, LONGEST_OUTPUT)}"),)
        case types.ToolCall():
            outputs = item.content_items or ()
            readable = [part for part in outputs if isinstance(part.get("text", part.get("imageUrl")), str)]
            arguments = msgspec.json.encode(item.arguments or {}).decode()
            told = output_of(readable) if readable else item.status
            return _call_and_output(item.id, item.tool, item.namespace, arguments, told)
    return ()


def as_message(item: types.ThreadItem) -> types.ThreadItem:
    """Return a message from outside, which the program calls a tool's output, as what began the turn."""
    if not isinstance(item, types.UnknownItem) or item.raw["type"] != "functionCallOutput":
        return item
    fields = {"toolName": "name", "content": "output", "namespace": "namespace"}
    raw = {ours: item.raw.get(theirs) for ours, theirs in fields.items()}
    try:
        message = msgspec.convert({"type": "externalMessage", **raw}, types.ExternalMessage)
    except msgspec.ValidationError:
        return item
    return types.UserMessage(item.id, (message,))


def _call_and_output(
    call_id: str, name: str, namespace: str | None, arguments: str, output: str | list[Item]
) -> tuple[Item, Item]:
    call = {"type": "function_call", "call_id": call_id, "name": name}
    result = {"type": "function_call_output", "call_id": call_id, "output": output}
    return {**call, **({"namespace": namespace} if namespace else {}), "arguments": arguments}, result
