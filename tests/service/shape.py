"""The border: a request body is read only when it has the parts that the rules and answers rely on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from codex_magic.local_service.faults import Reply
from tests.service.replies import api_error


class _Typed(msgspec.Struct):
    type: str


class _Part(msgspec.Struct):
    type: str
    text: str = ""


class _Item(msgspec.Struct):
    type: str = "message"
    id: str | None = None
    role: str | None = None
    content: str | list[_Part] | None = None
    output: str | list[_Part] = ""
    call_id: str = ""
    encrypted_content: str | None = None
    tools: list[_Typed] = []


class _Format(msgspec.Struct):
    type: str
    schema: dict[str, Any] = {}


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


class _Body(msgspec.Struct):
    model: str | None = None
    input: str | list[_Item] = ""
    tools: list[_Typed] | None = None
    reasoning: _Reasoning | None = None
    text: _Text | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = None


_NEEDED = {
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "custom_tool_call": ("call_id", "name", "input"),
    "custom_tool_call_output": ("call_id", "output"),
    "item_reference": ("id",),
    "additional_tools": ("tools",),
    "function": ("name",),
    "custom": ("name",),
    "namespace": ("name", "tools"),
    "json_schema": ("name", "schema"),
}
"""What an item, a tool or a format of each type can't be without."""


def shape_refusal(body: object) -> Reply | None:
    """Why a body can't be read, strict or not."""
    if not isinstance(body, dict):
        return api_error(400, "We could not parse the JSON body of your request.")
    try:
        msgspec.convert(body, _Body)
    except msgspec.ValidationError as error:
        return api_error(400, f"Invalid type: {error}", code="invalid_type")
    for where, part in _parts(body):
        for name in _NEEDED.get(part.get("type", ""), ()):
            if name not in part and not (name == "call_id" and is_uncalled(part)):
                param = f"{where}.{name}"
                message = f"Missing required parameter: '{param}'."
                return api_error(400, message, param=param, code="missing_required_parameter")
    return None


def is_uncalled(item: Mapping[str, Any]) -> bool:
    """The output of a tool that nobody called: a message from outside, under the tool's name."""
    return item.get("type") == "function_call_output" and "call_id" not in item and "name" in item


def _parts(body: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The parts of a body that have a type, each with the way to it."""
    if isinstance(body.get("input"), list):
        for at, item in enumerate(body["input"]):
            yield f"input[{at}]", item
            yield from _tools(item.get("tools") or [], f"input[{at}].tools")
    yield from _tools(body.get("tools") or [], "tools")
    wanted = (body.get("text") or {}).get("format")
    if wanted:
        yield "text.format", wanted


def _tools(tools: list[dict[str, Any]], where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for at, tool in enumerate(tools):
        yield f"{where}[{at}]", tool
        yield from _tools(tool.get("tools") or [], f"{where}[{at}].tools")
