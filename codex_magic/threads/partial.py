"""Items that are still being produced: their text so far, and how it is kept piece by piece. Pure.

Only what is new is written each time, so a long answer is written once, not once a second.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from ..protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    CommandOutputDelta,
    FileChange,
    Plan,
    PlanDelta,
    Reasoning,
    ReasoningSummaryDelta,
    ReasoningTextDelta,
    ThreadItem,
    ToolCall,
)
from ..responses.inputs import assistant

Delta = AgentMessageDelta | CommandOutputDelta | PlanDelta | ReasoningSummaryDelta | ReasoningTextDelta


class Piece(NamedTuple):
    """What came of an item since its last piece."""

    item_id: str
    item: ThreadItem | None
    """As it began; in its first piece only."""
    part: int
    """Of reasoning: the index of a summary, or -1 and below for those of its full text. Else 0."""
    text: str


class OpenItem:
    """An item still being produced, and the text it has so far."""

    def __init__(self, item: ThreadItem) -> None:
        self.item = item
        self._parts: dict[int, list[str]] = {}
        self._new: list[tuple[int, str]] = []
        self._is_kept = False

    @classmethod
    def of(cls, delta: Delta) -> OpenItem | None:
        """Return the item that a delta belongs to when its start was never told."""
        if isinstance(delta, CommandOutputDelta):
            return None
        owner = _OWNERS[type(delta)]
        return cls(Reasoning(delta.item_id) if owner is Reasoning else owner(delta.item_id, ""))

    def takes(self, delta: Delta) -> bool:
        return isinstance(self.item, _OWNERS[type(delta)])

    def append(self, delta: Delta) -> None:
        self.add(_part(delta), delta.delta)

    def add(self, part: int, text: str) -> None:
        self._parts.setdefault(part, []).append(text)
        self._new.append((part, text))

    def new_pieces(self) -> list[Piece]:
        """Return what is not kept yet; it counts as kept from now on."""
        if not self._new and (self._is_kept or isinstance(self.item, AgentMessage | Reasoning | Plan)):
            return []
        pieces = [
            Piece(self.item.id, None, part, "".join(text for _, text in run))
            for part, run in groupby(self._new, itemgetter(0))
        ]
        if not self._is_kept:
            pieces.insert(0, Piece(self.item.id, self.item, 0, ""))
        self._is_kept = True
        self._new.clear()
        return pieces

    @property
    def is_answer(self) -> bool:
        return isinstance(self.item, AgentMessage | Reasoning)

    def partial(self, status: str) -> ThreadItem | None:
        """Return the item as far as it came, with that status if it is something done; `None` when nothing of it came."""
        item = self.item
        if isinstance(item, AgentMessage | Plan):
            text = self._text(0) or item.text
            return msgspec.structs.replace(item, text=text) if text else None
        if isinstance(item, Reasoning):
            summary = tuple(self._text(part) for part in sorted(self._parts) if part >= 0)
            content = tuple(self._text(part) for part in sorted(self._parts, reverse=True) if part < 0)
            return Reasoning(item.id, summary, content) if summary or content else None
        if isinstance(item, ToolCall):
            return msgspec.structs.replace(item, status=status, success=False)
        if isinstance(item, CommandExecution):
            output = self._text(0) or item.aggregated_output
            return msgspec.structs.replace(item, status=status, aggregated_output=output)
        if isinstance(item, FileChange):
            return msgspec.structs.replace(item, status=status)
        return None

    def _text(self, part: int) -> str:
        return "".join(self._parts.get(part, ()))


def pieced_together(pieces: Iterable[Piece]) -> list[OpenItem]:
    """Return the items that those pieces are of, in the order in which they began."""
    items: dict[str, OpenItem] = {}
    for piece in pieces:
        if piece.item is not None:
            items[piece.item_id] = OpenItem(piece.item)
        elif piece.item_id in items:
            items[piece.item_id].add(piece.part, piece.text)
    return list(items.values())


def replayed_partial(item: ThreadItem) -> tuple[dict[str, Any], ...]:
    """Return what is sent again of an item that broke off: a message is the beginning of an answer."""
    return (assistant(item.text),) if isinstance(item, AgentMessage) else ()


def _part(delta: Delta) -> int:
    if isinstance(delta, ReasoningSummaryDelta):
        return max(0, delta.summary_index)
    if isinstance(delta, ReasoningTextDelta):
        return -1 - max(0, delta.content_index)
    return 0


_OWNERS: dict[type[Delta], type[Any]] = {
    AgentMessageDelta: AgentMessage,
    CommandOutputDelta: CommandExecution,
    PlanDelta: Plan,
    ReasoningSummaryDelta: Reasoning,
    ReasoningTextDelta: Reasoning,
}
