"""From stored turns to the items a provider is sent: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..protocol.types import TurnStatus, UserMessage
from .instructions import INTERRUPTED
from .store import TurnRecord


def history_items(turns: Iterable[TurnRecord], *, provider: str) -> tuple[dict[str, Any], ...]:
    """The Responses items of these turns, oldest first, as `provider` understands them.

    An interrupted turn is followed by a word that it was; a failed one that got no answer is left
    out, since its question is usually asked again. Encrypted reasoning stays with the provider and
    account that made it: others refuse it (`invalid_encrypted_content`).
    """
    return tuple(
        item
        for turn in turns
        for item in _turn_items(turn)
        if turn.provider == provider or "encrypted_content" not in item
    )


def message(role: str, text: str) -> dict[str, Any]:
    """A Responses message item with one text part."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _turn_items(turn: TurnRecord) -> Iterator[dict[str, Any]]:
    answered = any(not isinstance(entry.item, UserMessage) for entry in turn.items)
    if turn.status is TurnStatus.failed and not answered:
        return
    for entry in turn.items:
        yield from entry.response_items
    if turn.status is TurnStatus.interrupted:
        yield message("developer", INTERRUPTED)
