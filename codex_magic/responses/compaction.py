"""A long conversation made short: when it is due, how it is asked for, what replaces the history. Pure.

The Codex backend compacts inside a normal stream: a trigger as the last input item, one sealed item as
the answer. What people and programs said is kept in front of it word for word, as the Codex CLI does.
Elsewhere there is an endpoint for it, whose answer is the whole new history.
Source: openai/codex, codex-rs/core/src/compact_remote_v2.rs;
https://platform.openai.com/docs/guides/compaction
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocol.errors import ConfigurationError, ServiceError
from ..protocol.types import TokenUsage
from .catalog import Model
from .inputs import Item
from .parameters import Parameters
from .request import body_of, encode
from .response import Response, token_usage

if TYPE_CHECKING:
    from .client import _Core, _Outgoing

TRIGGER: Item = {"type": "compaction_trigger"}
BETA_FEATURE = "remote_compaction_v2"

DUE_AT = 0.9
"""Share of the context window from which on a conversation is compacted, where the catalog names no limit."""

KEPT_TOKENS = 64_000
"""Of messages in front of the sealed item; the newest are kept."""

_CHARACTERS = 4
"""Of a token, roughly."""

_KINDS = ("compaction", "compaction_summary")
_KEPT_ROLES = ("user", "developer", "system")
_TO_THE_ENDPOINT = ("model", "input", "instructions", "tools", "parallel_tool_calls")


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """A compacted conversation."""

    id: str
    output: list[Item]
    """What replaces the history: the `input` to go on with."""
    usage: TokenUsage | None = None
    """Of the compaction itself."""

    @property
    def added(self) -> list[Item]:
        """The sealed items alone."""
        return [item for item in self.output if item.get("type") in _KINDS]


# When --------------------------------------------------------------------------------------------


def token_limit(model: Model) -> int | None:
    """Tokens in the context from which on it should be compacted; `None` when the catalog does not say."""
    limits = [model.auto_compact_token_limit, model.usable_window]
    if model.context_window is not None:
        limits.append(int(model.context_window * DUE_AT))
    return min((limit for limit in limits if limit is not None), default=None)


def known_limit(model: Model) -> int:
    """As `token_limit`. Raises ConfigurationError when the catalog does not say."""
    limit = token_limit(model)
    if limit is None:
        raise ConfigurationError(
            f"The catalog does not tell the context window of {model.slug!r}.",
            hint="Give the limit in tokens, e.g. compact_at=100_000.",
        )
    return limit


def is_due(usage: TokenUsage | None, limit: int | None) -> bool:
    """Whether a conversation whose last response cost `usage` has reached `limit` tokens."""
    return usage is not None and limit is not None and usage.total_tokens >= limit


# How ---------------------------------------------------------------------------------------------


def with_trigger(core: _Core, input: Any, parameters: Parameters) -> tuple[list[Item], Parameters]:
    """What `create` takes to compact on the Codex backend."""
    input, parameters = core.with_memory(input, parameters)
    items = body_of(input, parameters, core.provider.rules)["input"]
    headers = {
        "x-codex-beta-features": BETA_FEATURE,
        "x-codex-turn-metadata": json.dumps({"request_kind": "compaction"}),
    }
    given = parameters.get("extra_headers") or {}
    return [*items, TRIGGER], {**parameters, "extra_headers": {**headers, **given}}


def read_response(asked: Sequence[Item], response: Response) -> Compacted:
    """The new history, from the answer to `with_trigger`. Raises ServiceError unless it is one sealed item."""
    sealed = [item for item in response.output if item.get("type") in _KINDS]
    if len(sealed) != 1:
        raise ServiceError(
            f"The service was to compact the conversation, and gave {len(sealed)} compactions."
        )
    return Compacted(id=response.id, output=[*kept(asked), *sealed], usage=response.usage)


def ask_endpoint(core: _Core, input: Any, parameters: Parameters, default: str | None) -> _Outgoing:
    """The request to `/responses/compact`."""
    asked = core.ask_for_response(input, parameters, default)
    body = body_of(input, {**parameters, "model": asked.model}, core.provider.rules)
    sent = {name: body[name] for name in (*_TO_THE_ENDPOINT, "previous_response_id") if name in body}
    sent |= parameters.get("extra_body") or {}
    headers = {**asked.headers, "Accept": "application/json"}
    return replace(
        asked,
        url=f"{core.provider.base_url}/responses/compact",
        headers=headers,
        body=encode(sent),
        timeouts=core.patient(),
    )


class _Answer(msgspec.Struct):
    id: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


def read_answer(body: bytes) -> Compacted:
    """The new history, from the answer of the endpoint. Raises ServiceError."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceError("The compacted conversation can't be read.") from error
    return Compacted(id=answer.id, output=answer.output, usage=token_usage(answer.usage))


# What is kept ------------------------------------------------------------------------------------


def kept(items: Sequence[Item], *, tokens: int = KEPT_TOKENS) -> list[Item]:
    """Of items as sent: the messages that stay in front of the sealed one, the oldest of them cut short."""
    room = tokens * _CHARACTERS
    found: list[Item] = []
    for item in reversed(items):
        if item["type"] != "message" or item["role"] not in _KEPT_ROLES:
            continue
        if room <= 0:
            break
        found.append(_shortened(item, room))
        room -= _length(item)
    return found[::-1]


def _length(item: Mapping[str, Any]) -> int:
    return sum(len(part.get("text") or "") for part in item["content"])


def _shortened(item: Item, room: int) -> Item:
    if _length(item) <= room:
        return item
    parts = []
    for part in item["content"]:
        text = part.get("text") or ""
        parts.append({**part, "text": text[:room]} if text else part)
        room = max(0, room - len(text))
    return {**item, "content": [part for part in parts if part.get("text") != ""]}
