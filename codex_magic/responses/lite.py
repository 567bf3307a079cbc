"""Responses Lite: the dialect in which the Codex CLI speaks to most of its models. Pure.

Tools and instructions stand in the input, calls come one at a time, and the model sees the reasoning of
all turns. Whether a model insists on it is reported both ways; those tried answer to classic requests too,
which allow parallel calls. So the dialect is a choice here, and not the default.
Source: requests of codex-cli 0.163.0; refusals reported in openai/codex#31894.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

HEADER = "x-openai-internal-codex-responses-lite"

_NAMESPACE = "functions"


def as_lite(body: Mapping[str, Any]) -> dict[str, Any]:
    """A classic request in the Lite dialect."""
    lite = {name: value for name, value in body.items() if name not in ("tools", "instructions")}
    lite["input"] = [*_introduction(body), *map(_without_detail, body["input"])]
    lite["parallel_tool_calls"] = False
    lite["reasoning"] = {**(body.get("reasoning") or {}), "context": "all_turns"}
    return lite


def _introduction(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if tools := body.get("tools"):
        # the same tools have the same id: what comes first in the input decides the prompt cache
        name = hashlib.sha256(msgspec.json.encode(tools)).hexdigest()[:32]
        grouped = _grouped(tools)
        items.append({"type": "additional_tools", "id": f"at_{name}", "role": "developer", "tools": grouped})
    if instructions := body.get("instructions"):
        content = [{"type": "input_text", "text": instructions}]
        items.append({"type": "message", "role": "developer", "content": content})
    return items


def _grouped(tools: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Functions and custom tools in one namespace; namespaces and the service's own tools beside it."""
    own = [tool for tool in tools if tool["type"] in ("function", "custom")]
    others = [tool for tool in tools if tool["type"] not in ("function", "custom")]
    return [{"type": "namespace", "name": _NAMESPACE, "tools": own}, *others] if own else others


def _without_detail(item: dict[str, Any]) -> dict[str, Any]:
    """The dialect knows no `detail` of images."""
    for name in ("content", "output"):
        if isinstance(item.get(name), list):
            parts = [{key: part[key] for key in part if key != "detail"} for part in item[name]]
            item = {**item, name: parts}
    return item
