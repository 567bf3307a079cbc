"""Input items and their parts, from what a person has at hand. Pure but for reading the files it is told of.

An item is what `responses.create` takes in its `input` and what a `Response` holds in its `output`: a
dict of the Responses API. Images may be a web address, a `data:` URL, a file, the bytes of one, a PIL
image, a matplotlib figure, or anything that shows itself as PNG in a notebook; neither PIL nor matplotlib
is imported for that.
"""

from __future__ import annotations

import base64
import io
import mimetypes
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from ..protocol.errors import InvalidRequestError

Item = dict[str, Any]
Part = dict[str, Any]

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_READABLE = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""What the model can look at (https://platform.openai.com/docs/guides/images-vision)."""

_PNG_MODES = frozenset({"1", "L", "LA", "I", "I;16", "P", "RGB", "RGBA"})
"""PIL's modes that PNG can hold."""


def plain(value: Any) -> Any:
    """Return a struct, a dataclass or another SDK's model as the dict it stands for, without absent fields."""
    if isinstance(value, (str, Mapping, list, tuple)):
        return value
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    if isinstance(value, msgspec.Struct) or hasattr(value, "__dataclass_fields__"):
        return {name: each for name, each in msgspec.to_builtins(value).items() if each is not None}
    return value


# Messages ----------------------------------------------------------------------------------------


def message(role: str, *content: Any) -> Item:
    """Return a message of `user`, `assistant` or `developer`; `content` is texts, images and parts, in order."""
    return {"type": "message", "role": role, "content": parts(content, role=role)}


def user(*content: Any) -> Item:
    """What the person says: `user("What is this?", Path("photo.jpg"))`."""
    return message("user", *content)


def developer(*content: Any) -> Item:
    """What the program says, above the person."""
    return message("developer", *content)


def assistant(*content: Any) -> Item:
    """What the model is to have said."""
    return message("assistant", *content)


def input_text(text: str) -> Part:
    return {"type": "input_text", "text": text}


def input_image(source: Any, *, detail: str | None = None) -> Part:
    """A part that shows an image. `detail`: `low`, `high`, `auto` or `original`; how closely it is looked at.

    Raises InvalidRequestError for what is no image, or a file that can't be read.
    """
    part = {"type": "input_image", "image_url": image_url(source)}
    return part if detail is None else {**part, "detail": detail}


def parts(content: Iterable[Any], *, role: str = "user") -> list[Part]:
    """Return the parts of a message: strings become text, dicts stay, the rest is shown as images."""
    kind = "output_text" if role == "assistant" else "input_text"

    def part(each: Any) -> Part:
        if isinstance(each, str):
            return {"type": kind, "text": each}
        return dict(each) if isinstance(each, Mapping) else input_image(each)

    return [*map(part, content)]


# Tool results ------------------------------------------------------------------------------------


def function_call_output(call: Mapping[str, Any] | str, output: Any) -> Item:
    """The result of a function call, for the next request.

    `call`: the `function_call` item (or its `call_id`). `output`: a text, a list of texts, images and
    parts, or any value that JSON can hold, which is sent as JSON.
    """
    return _output("function_call_output", call, output)


def custom_tool_call_output(call: Mapping[str, Any] | str, output: Any) -> Item:
    """The result of a custom (freeform) tool call; as `function_call_output`."""
    return _output("custom_tool_call_output", call, output)


def _output(kind: str, call: Mapping[str, Any] | str, output: Any) -> Item:
    item = {"type": kind, "call_id": call if isinstance(call, str) else call["call_id"]}
    if isinstance(output, str):
        return item | {"output": output}
    shown = [output] if is_image(output) else output if isinstance(output, (list, tuple)) else []
    # Texts alone are sent as JSON.
    if any(map(is_part, shown)) and all(isinstance(each, str) or is_part(each) for each in shown):
        return item | {"output": parts(shown)}
    try:
        return item | {"output": msgspec.json.encode(output).decode()}
    except (TypeError, UnicodeEncodeError) as error:
        hint = "Use a text, images or plain values."
        raise InvalidRequestError(f"The result of a call can't be sent: {error}.", hint=hint) from error


def is_part(value: Any) -> bool:
    """Whether it is a part of a message, or an image; a text is none yet."""
    if isinstance(value, Mapping):
        return value.get("type") in ("input_text", "input_image", "input_file")
    return is_image(value)


# Images ------------------------------------------------------------------------------------------


def is_image(value: Any) -> bool:
    """Whether it can only be meant as an image; a string never is."""
    return isinstance(value, (bytes, bytearray, memoryview, PathLike)) or _painter(value) is not None


def image_url(source: Any) -> str:
    """Return the address of an image that has one, else a `data:` URL of it."""
    if isinstance(source, str) and source.startswith(("http://", "https://", "data:")):
        return source
    if isinstance(source, (str, PathLike)):
        return _data_url(read_file(source, "image"), mimetypes.guess_type(source)[0])
    shown: Any = None
    if isinstance(source, (bytes, bytearray, memoryview)):
        shown = bytes(source)
    elif (paint := _painter(source)) is not None:
        shown = paint()
    if shown is None:
        hint = "Pass a URL, a path, bytes, a PIL image or a matplotlib figure."
        raise _unusable(f"A {type(source).__qualname__} is not an image.", hint)
    return _data_url(base64.b64decode(shown) if isinstance(shown, str) else shown)


def read_file(path: str | PathLike[str], noun: str = "file") -> bytes:
    """Return what is in a file. Raises InvalidRequestError."""
    try:
        return Path(path).expanduser().read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise _unusable(f"The {noun} {str(path)!r} can't be read: {reason}.", "Check the path.") from error


def _data_url(content: bytes, kind: str | None = None) -> str:
    """`kind`: what it is where its own first bytes do not tell."""
    own = (each for signature, each in _SIGNATURES.items() if content.startswith(signature))
    is_webp = content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    kind = next(own, "image/webp" if is_webp else kind)
    if kind not in _READABLE:
        what = f"These bytes are not an image that the model can read ({kind or 'of an unknown type'})."
        raise _unusable(what, "Save it as PNG, JPEG, GIF or WebP.")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _unusable(what: str, hint: str) -> InvalidRequestError:
    return InvalidRequestError(what, hint=hint, param="input")


def _painter(value: Any) -> Callable[[], Any] | None:
    """Return what makes the PNG of an object that can draw itself: a PIL image, a matplotlib figure, a display."""
    if isinstance(value, type):
        return None
    if hasattr(value, "save") and hasattr(value, "convert") and hasattr(value, "mode"):
        return lambda: _png((value if value.mode in _PNG_MODES else value.convert("RGB")).save)
    for figure in (value, getattr(value, "figure", None)):
        if (save := getattr(figure, "savefig", None)) is not None:
            return lambda: _png(save)
    return getattr(value, "_repr_png_", None)


def _png(save: Callable[..., Any]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, format="png")
    return buffer.getvalue()
