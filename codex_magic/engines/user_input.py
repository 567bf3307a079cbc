"""A turn's input as Responses items: messages, files, what another program said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..protocol.errors import InvalidRequestError
from ..protocol.ids import new_id
from ..protocol.types import (
    ExternalMessage,
    ImageInput,
    InputItem,
    LocalImageInput,
    MentionInput,
    SkillInput,
    TextInput,
)
from ..responses.inputs import Item, Part, input_image, input_text
from ..responses.media import read_file
from .approvals import call
from .tools import cut


async def input_items(inputs: Sequence[InputItem]) -> tuple[Item, ...]:
    """Return what a turn's input is to the model; nothing for nothing: it goes on from what there is.

    Files are read in a thread of their own. Raises InvalidRequestError for what can't be sent.
    """
    if len(inputs) == 1 and isinstance(inputs[0], ExternalMessage):
        return call_from_outside(inputs[0])
    if any(isinstance(part, LocalImageInput | MentionInput | SkillInput) for part in inputs):
        content = await call(lambda: [_part(part) for part in inputs])
    else:
        content = [_part(part) for part in inputs]
    return ({"type": "message", "role": "user", "content": content},) if content else ()


def call_from_outside(message: ExternalMessage) -> tuple[Item, Item]:
    """Return it with a tool's authority, as the result of a call.

    An output alone, as the official program sends it, is read by the Codex backend only.
    """
    called = {"type": "function_call", "call_id": f"call_{new_id()}", "name": message.tool_name}
    if message.namespace:
        called["namespace"] = message.namespace
    content = message.content if isinstance(message.content, str) else list(message.content)
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": content}
    return {**called, "arguments": "{}"}, output


def _part(part: InputItem) -> Part:
    match part:
        case TextInput():
            return input_text(part.text)
        case ImageInput():
            return {"type": "input_image", "image_url": part.url}
        case LocalImageInput():
            return input_image(Path(part.path))
        case MentionInput() | SkillInput():
            return input_text(_file_text(part))
        case ExternalMessage():
            raise InvalidRequestError(
                "A message from outside is the whole input of its turn.", hint="Ask in a turn of its own."
            )


def _file_text(part: MentionInput | SkillInput) -> str:
    """The file itself, in the words of the program, which hands skills to the model in this way.

    What is named by an address and no path has no text.
    """
    kind = "skill" if isinstance(part, SkillInput) else "file"
    text = ""
    if "://" not in part.path:
        text = cut(read_file(part.path, unnamed=part.name).content.decode(errors="replace"))
    return f"<{kind}>\n<name>{part.name}</name>\n<path>{part.path}</path>\n{text}\n</{kind}>"
