"""A long conversation made short: when it is due, how it is asked for, what replaces the history. Pure.

The Codex backend compacts inside a normal stream: a trigger as the last input item, one sealed item as
the answer. What people and programs said is kept in front of it word for word, as the Codex CLI does.
Elsewhere there is an endpoint for it, whose answer is the whole new history.
Source: openai/codex, codex-rs/core/src/compact_remote_v2.rs;
https://platform.openai.com/docs/guides/compaction
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from ..protocol.errors import ServiceError
from ..protocol.plain import decode_json
from ..protocol.types import TokenUsage
from .catalog import Model
from .inputs import Item
from .parameters import Parameters
from .request import body_of, encode
from .response import Response, token_usage
from .transport import Core, Outgoing

TRIGGER: Item = {"type": "compaction_trigger"}
BETA_FEATURE = "remote_compaction_v2"

DUE_AT = 0.9
"""Share of the context window from which on a conversation is compacted, where the catalog names no limit."""

KEPT_TOKENS = 64_000
"""Tokens of messages in front of the sealed item; the newest are kept."""

_KINDS = ("compaction", "compaction_summary")
_KEPT_ROLES = ("user", "developer", "system")
_TO_THE_ENDPOINT = "model input instructions tools parallel_tool_calls previous_response_id".split()


class Compacted(msgspec.Struct, frozen=True, kw_only=True):
    """A compacted conversation."""

    id: str
    output: list[Item]
    """What replaces the history: the `input` to go on with."""
    usage: TokenUsage | None = None
    """What the compaction itself cost."""

    @property
    def added(self) -> list[Item]:
        """The sealed items alone."""
        return [item for item in self.output if item.get("type") in _KINDS]


# When --------------------------------------------------------------------------------------------


def token_limit(model: Model) -> int | None:
    """Return the tokens of context from which on to compact; `None` when the catalog does not say."""
    limits = [model.auto_compact_token_limit, model.usable_window]
    if model.context_window is not None:
        limits.append(int(model.context_window * DUE_AT))
    return min((limit for limit in limits if limit is not None), default=None)


def is_due(usage: TokenUsage | None, limit: int | None) -> bool:
    """Whether a conversation whose last response cost `usage` has reached `limit` tokens."""
    return usage is not None and limit is not None and usage.total_tokens >= limit


# How ---------------------------------------------------------------------------------------------


def with_trigger(core: Core, input: Any, parameters: Parameters) -> tuple[list[Item], Parameters]:
    """Return what `create` takes to compact on the Codex backend."""
    input, parameters = core.resolve(input, parameters)
    items = body_of(input, parameters, is_codex=core.provider.is_codex)["input"]
    headers = {
        "x-codex-beta-features": BETA_FEATURE,
        "x-codex-turn-metadata": json.dumps({"request_kind": "compaction"}),
    }
    headers |= parameters.get("extra_headers") or {}
    return [*items, TRIGGER], {**parameters, "extra_headers": headers}


def read_response(sent: Sequence[Item], response: Response) -> Compacted:
    """Read the answer to `with_trigger`. Raises ServiceError unless it is one sealed item."""
    sealed = [item for item in response.output if item.get("type") in _KINDS]
    if len(sealed) != 1:
        what = f"The service was to compact the conversation, and gave {len(sealed)} compactions."
        raise ServiceError(what)
    return Compacted(id=response.id, output=[*kept(sent), *sealed], usage=response.usage)


def endpoint_request(core: Core, input: Any, parameters: Parameters, default: str | None) -> Outgoing:
    """Return the request to `/responses/compact`."""
    request = core.response_request(input, parameters, default)
    body = body_of(input, {**parameters, "model": request.model}, is_codex=core.provider.is_codex)
    sent = {name: body[name] for name in _TO_THE_ENDPOINT if name in body}
    return replace(
        request,
        url=f"{core.provider.base_url}/responses/compact",
        headers={**request.headers, "Accept": "application/json"},
        body=encode({**sent, **(parameters.get("extra_body") or {})}),
        timeouts=core.slow_start(),
    )


def read_answer(body: bytes) -> Compacted:
    """Read the answer of the endpoint. Raises ServiceError."""
    try:
        answer = decode_json(body, dict[str, Any])
        return msgspec.convert({**answer, "usage": token_usage(answer.get("usage"))}, Compacted)
    except ValueError as error:
        raise ServiceError("The compacted conversation can't be read.") from error


# What is kept ------------------------------------------------------------------------------------


def kept(items: Sequence[Item], *, tokens: int = KEPT_TOKENS) -> list[Item]:
    """Return the messages that stay in front of the sealed item, the oldest of them cut short; `items` as sent."""
    room = tokens * 4  # characters of a token, roughly
    messages: list[Item] = []
    for item in reversed(items):
        if item["type"] != "message" or item["role"] not in _KEPT_ROLES:
            continue
        if room <= 0:
            break
        parts = []
        for part in item["content"]:
            text = part.get("text") or ""
            if room > 0 or not text:
                parts.append({**part, "text": text[:room]} if text else part)
            room -= len(text)
        messages.append({**item, "content": parts})
    return messages[::-1]
