"""Python functions as tools that the model may call, on either engine."""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ..protocol.errors import InvalidRequestError
from ..protocol.types import encodable
from ..responses.schema import schema_of
from .calling import call

LONGEST_TEXT = 200_000
"""Characters of one result that the model is given: some 50,000 tokens."""

ContentItem = dict[str, Any]
"""`{"type": "inputText", "text": ...}` or `{"type": "inputImage", "imageUrl": ...}`."""


@dataclass(frozen=True)
class Tool:
    """A function the model may call. `input_schema`: the JSON schema of its keyword arguments."""

    name: str
    description: str
    input_schema: Mapping[str, Any]
    function: Callable[..., Any] = field(repr=False)
    """Plain or a coroutine function; a plain one runs in a thread of its own."""
    namespace: str | None = None
    needs_approval: bool = False
    arguments: type[msgspec.Struct] | None = None
    """What arguments are converted to before the call."""

    def __post_init__(self) -> None:
        for name in (self.name, self.namespace):
            if name is not None and not re.fullmatch(r"[a-zA-Z0-9_-]+", name):
                raise InvalidRequestError(
                    f"{name!r} is no name for a tool.", hint="Use letters, digits, _ and -."
                )


def tool(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    input_schema: Mapping[str, Any] | None = None,
    namespace: str | None = None,
    needs_approval: bool = False,
) -> Tool:
    """A function as a tool: name, description and schema are its own name, docstring and annotations.

    Raises InvalidRequestError for a signature that JSON can't fill.
    """
    arguments = _arguments(function) if input_schema is None else None
    return Tool(
        name=name or function.__name__,
        description=description or inspect.getdoc(function) or "",
        input_schema=schema_of(arguments) if arguments else dict(input_schema or {}),
        function=function,
        namespace=namespace,
        needs_approval=needs_approval,
        arguments=arguments,
    )


class ToolSet:
    """The tools of one thread."""

    def __init__(self, tools: Iterable[Tool | Callable[..., Any]] = ()) -> None:
        made = [each if isinstance(each, Tool) else tool(each) for each in tools]
        self._tools = {(each.namespace, each.name): each for each in made}
        if len(self._tools) < len(made):
            raise InvalidRequestError("Two tools have the same name.")

    def specs(self) -> list[dict[str, Any]]:
        """The app-server's `dynamicTools`."""
        specs = [_spec(each) for each in self._tools.values() if each.namespace is None]
        namespaces = dict.fromkeys(each.namespace for each in self._tools.values() if each.namespace)
        for namespace in namespaces:
            members = [_spec(each) for each in self._tools.values() if each.namespace == namespace]
            specs.append({"type": "namespace", "name": namespace, "description": "", "tools": members})
        return specs

    @property
    def version(self) -> str:
        """The same for tools that look the same to the model; empty without any."""
        if not self._tools:
            return ""
        return hashlib.sha256(json.dumps(self.specs(), sort_keys=True).encode()).hexdigest()[:16]

    def find(self, namespace: str | None, name: str) -> Tool | None:
        return self._tools.get((namespace, name))


def _spec(each: Tool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": each.name,
        "description": each.description,
        "inputSchema": dict(each.input_schema),
    }


async def run_tool(each: Tool, arguments: Any) -> tuple[bool, list[ContentItem]]:
    """Whether it worked, and what the model is told. A failure is told as text, never raised."""
    try:
        result = await call(each.function, **_converted(each, arguments))
    except Exception as error:  # noqa: BLE001  # the model should hear of it, whatever it is
        return False, [text_item(f"{type(error).__name__}: {error}")]
    return True, content_items(result)


def _converted(each: Tool, arguments: Any) -> dict[str, Any]:
    if each.arguments is None:
        return dict(arguments or {})
    values = msgspec.convert(arguments or {}, each.arguments, strict=False)
    return {name: getattr(values, name) for name in values.__struct_fields__}


def content_items(value: Any) -> list[ContentItem]:
    """What a function returned, for the model: text, images, or a list of both; the rest as JSON or repr.

    An image is PNG, JPEG, GIF or WebP bytes, or anything that IPython could show as one.
    """
    if isinstance(value, list | tuple) and any(_image(part) for part in value):
        return [item for part in value for item in content_items(part)]
    image = _image(value)
    if image is not None:
        return [{"type": "inputImage", "imageUrl": image}]
    return [text_item(value if isinstance(value, str) else _as_text(value))]


def text_item(text: str) -> ContentItem:
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}\n[{len(text) - LONGEST_TEXT:,} more characters were cut off]"
    return {"type": "inputText", "text": encodable(text)}


_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"RIFF": "image/webp",
}


def _image(value: Any) -> str | None:
    """A `data:` URL when it is an image."""
    if not isinstance(value, bytes):
        show = getattr(value, "_repr_png_", None)
        value = show() if callable(show) else None
    if not isinstance(value, bytes):
        return None
    kind = next((kind for start, kind in _SIGNATURES.items() if value.startswith(start)), None)
    return f"data:{kind};base64,{base64.b64encode(value).decode()}" if kind else None


def _as_text(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError):
        return repr(value)


def _arguments(function: Callable[..., Any]) -> type[msgspec.Struct]:
    fields: list[Any] = []
    for name, parameter, hint in _parameters(function):
        if parameter.kind not in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            raise _unfillable(function, f"{parameter} can't be given by name")
        default = () if parameter.default is parameter.empty else (parameter.default,)
        fields.append((name, hint, *default))
    return msgspec.defstruct("Arguments", fields, kw_only=True)


def _parameters(function: Callable[..., Any]) -> list[tuple[str, inspect.Parameter, Any]]:
    try:
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
    except (NameError, TypeError, ValueError) as error:
        raise _unfillable(function, str(error)) from error
    return [(name, parameter, hints.get(name, Any)) for name, parameter in parameters.items()]


def _unfillable(function: Callable[..., Any], reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"{function.__name__} can't be a tool as it is: {reason}.", hint="Give the tool an input_schema."
    )
