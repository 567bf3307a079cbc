"""What a Responses request says: the question, what was asked before, tool results, tools on offer."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Body = Mapping[str, Any]
Item = dict[str, Any]

_CONTEXT = re.compile(r"\s*<([A-Za-z_][\w-]*)[^>]*>.*</\1>\s*", re.DOTALL)
"""A block the client adds by itself, such as `<environment_context>`; it is no question."""

_TOLD = re.compile(r"\s*<(external_\w+)>(.*)</\1>\s*", re.DOTALL)

_MARKER = re.compile(r"^(fault|pace):[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_SEAL = "local-service "
_ECHO = re.compile(r"^echo:[ \n]?", re.MULTILINE)

_CALLS = {"function_call", "custom_tool_call"}
_OUTPUTS = {"function_call_output", "custom_tool_call_output"}


@dataclass(frozen=True)
class Tool:
    """A tool on offer; `kind` is `function` or `custom`, or a hosted tool's own type."""

    kind: str
    name: str
    namespace: str | None
    parameters: Mapping[str, Any]
    description: str

    def is_named(self, name: str) -> bool:
        return name in (self.name, f"{self.namespace}.{self.name}")


@dataclass(frozen=True)
class Prompt:
    """The last question, without its marker lines; `echo` is what to send back unchanged."""

    text: str
    echo: str | None = None
    fault: str | None = None
    pace: str | None = None


@dataclass(frozen=True)
class Conversation:
    prompt: Prompt
    earlier: tuple[str, ...]
    """Earlier questions, oldest first."""
    last_answer: str
    """The assistant's text between the previous question and this one."""
    outputs: tuple[str, ...]
    """Tool results since the question, oldest first."""
    rounds: int
    """How often tools were called since the question."""
    images: int
    compacted: int
    """Questions before this one that a compaction item stands for."""
    tools: tuple[Tool, ...]
    context: str = ""
    """What the client told of the notebook with the question."""
    known: str = ""
    """All that it told so far."""

    @property
    def turn(self) -> int:
        """The number of this turn, starting at 1."""
        return self.compacted + len(self.earlier) + 1

    @property
    def callable_tools(self) -> list[Tool]:
        """Those that the client runs, and not the service."""
        return [tool for tool in self.tools if tool.kind in ("function", "custom")]


def read_conversation(body: Body) -> Conversation:
    items = input_items(body)
    sealed = max((n for n, item in enumerate(items) if item.get("type") == "compaction"), default=-1)
    memory = (unseal(items[sealed].get("encrypted_content") or "") or {}) if sealed >= 0 else {}
    written = [n for n, item in enumerate(items) if item.get("role") == "user"]
    questions = [n for n in written if not _CONTEXT.fullmatch(text_of(items[n]))]
    # those in front of a compaction item are part of what it stands for, all but the one in progress
    recent = [n for n in questions if n > sealed] or questions[-1:]
    last = recent[-1] if recent else -1
    is_in_progress = last < sealed
    done = memory if is_in_progress else {}
    since = items[max(last, sealed) + 1 :]
    first = recent[-2] if len(recent) > 1 else sealed + 1
    before = items[first:last] if len(recent) > 1 else []
    more_tools = (tool for item in items if item.get("type") == "additional_tools" for tool in item["tools"])
    outputs = (item["output"] for item in since if item.get("type") in _OUTPUTS)
    return Conversation(
        prompt=_prompt(_question(items[last]) if recent else ""),
        earlier=tuple(_prompt(_question(items[n])).text for n in recent[:-1]),
        last_answer="".join(text_of(item) for item in before if item.get("role") == "assistant"),
        outputs=(*done.get("outputs", ()), *(text_of({"content": output}) for output in outputs)),
        rounds=done.get("rounds", 0) + _rounds(since),
        images=sum(part.get("type") == "input_image" for part in parts_of(items[last])) if recent else 0,
        compacted=max(0, memory.get("turns", 0) - is_in_progress),
        tools=tuple(_flatten([*(body.get("tools") or []), *more_tools])),
        context=_told(items[first : last + 1]),
        known=_told(items),
    )


def _told(items: list[Item]) -> str:
    return "\n".join(told[2] for item in items for told in [_TOLD.fullmatch(text_of(item))] if told)


def input_items(body: Body) -> list[Item]:
    items = body.get("input", [])
    is_text = isinstance(items, str)
    return [{"type": "message", "role": "user", "content": items}] if is_text else list(items)


def text_of(item: Mapping[str, Any]) -> str:
    return "\n\n".join(part["text"] for part in parts_of(item) if "text" in part)


def parts_of(item: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = item.get("content") or []
    return [{"type": "input_text", "text": content}] if isinstance(content, str) else list(content)


def _prompt(text: str) -> Prompt:
    """Read marker lines above `echo:` only, so that any text at all can be echoed."""
    if echo := _ECHO.search(text):
        return Prompt(text[echo.start() :], text[echo.end() :], **dict(_MARKER.findall(text[: echo.start()])))
    return Prompt(_MARKER.sub("", text).strip(), **dict(_MARKER.findall(text)))


def _question(item: Mapping[str, Any]) -> str:
    """Return the parts a person wrote; those a client added around them are left out."""
    texts = [part["text"] for part in parts_of(item) if "text" in part]
    return "\n\n".join([text for text in texts if not _CONTEXT.fullmatch(text)] or texts)


def _rounds(since: list[Item]) -> int:
    """Count calls; those that follow each other without a result between them were made at once."""
    kinds = [item.get("type") for item in since if item.get("type") in _CALLS | _OUTPUTS]
    return sum(kind in _CALLS and (n == 0 or kinds[n - 1] in _OUTPUTS) for n, kind in enumerate(kinds))


def _flatten(tools: Iterable[Mapping[str, Any]], namespace: str | None = None) -> Iterator[Tool]:
    for tool in tools:
        if (kind := tool["type"]) == "namespace":
            yield from _flatten(tool["tools"], tool["name"])
        else:
            parameters, description = tool.get("parameters") or {}, str(tool.get("description") or "")
            yield Tool(kind, tool.get("name", kind), namespace, parameters, description)


def seal(owner: str, content: Mapping[str, Any]) -> str:
    """Return an `encrypted_content` bound to one account or key, as the real one is; it hides nothing else."""
    return base64.b64encode(json.dumps([_seal_of(owner), content]).encode()).decode()


def unseal(sealed: str, owner: str | None = None) -> dict[str, Any] | None:
    """Return the content, or `None` when it was not sealed here (for `owner`, if given)."""
    with suppress(TypeError, ValueError):
        made_for, content = json.loads(base64.b64decode(sealed, validate=True))
        if str(made_for).startswith(_SEAL if owner is None else _seal_of(owner)):
            return dict(content)
    return None


def _seal_of(owner: str) -> str:
    """Hash a key, which must not be readable in what a client keeps."""
    return _SEAL + hashlib.sha256(owner.encode()).hexdigest()[:16]


def count_tokens(value: object) -> int:
    """Count four characters of JSON as a token, as a rule of thumb."""
    return -(-len(json.dumps(value, ensure_ascii=False)) // 4)
