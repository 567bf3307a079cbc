"""Items that are still being produced: their text so far, and how it is kept piece by piece. Pure but for the clock.

Only what is new is written each time, so a long answer is written once, not once a second.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from ..protocol import types
from ..responses.inputs import assistant

Delta = (
    types.AgentMessageDelta
    | types.CommandOutputDelta
    | types.PlanDelta
    | types.ReasoningSummaryDelta
    | types.ReasoningTextDelta
)

PRODUCED = types.AgentMessage | types.Plan | types.Reasoning  # what the model writes: nothing but its text


class Piece(NamedTuple):
    """What came of an item since its last piece."""

    item_id: str
    item: types.ThreadItem | None  # as it began, in its first piece and where it began again
    part: int  # of reasoning: the index of a summary, or -1 and below for those of its full text. Else 0
    text: str


class OpenItem:
    """An item still being produced, and the text it has so far."""

    def __init__(self, item: types.ThreadItem) -> None:
        self._begun = time.monotonic()
        self._parts: dict[int, list[str]] = {}
        self._new: list[tuple[int, str]] = []
        self.begin(item)

    @classmethod
    def of(cls, delta: Delta) -> OpenItem | None:
        """Return the item that a delta belongs to when its start was never told; a command is none without it."""
        if isinstance(delta, types.CommandOutputDelta):
            return None
        owner = _OWNERS[type(delta)]
        return cls(types.Reasoning(delta.item_id) if owner is types.Reasoning else owner(delta.item_id, ""))

    def begin(self, item: types.ThreadItem) -> types.ThreadItem:
        """Begin, or begin again, when what came of it stays; return it as far as it has come."""
        for part, text in _texts(item).items():
            if text.startswith("".join(self._parts.get(part, ()))):
                self._parts[part] = [text] if text else []
        self.item = item
        self._is_kept = False
        return self.partial(getattr(item, "status", "")) or item

    def takes(self, delta: Delta) -> bool:
        return isinstance(self.item, _OWNERS[type(delta)])

    def append(self, delta: Delta) -> None:
        part = max(0, delta.summary_index) if isinstance(delta, types.ReasoningSummaryDelta) else 0
        part = -1 - max(0, delta.content_index) if isinstance(delta, types.ReasoningTextDelta) else part
        self.add(part, delta.delta)

    def add(self, part: int, text: str) -> None:
        self._parts.setdefault(part, []).append(text)
        self._new.append((part, text))

    def new_pieces(self) -> list[Piece]:
        """Return what is not kept yet; it counts as kept from now on."""
        if not self._new and (self._is_kept or isinstance(self.item, PRODUCED)):
            return []
        pieces = [] if self._is_kept else [Piece(self.item.id, self.item, 0, "")]
        for part, run in groupby(self._new, itemgetter(0)):
            pieces.append(Piece(self.item.id, None, part, "".join(text for _, text in run)))
        self._is_kept = True
        self._new.clear()
        return pieces

    def partial(self, status: str) -> types.ThreadItem | None:
        """Return the item as far as it came, with that status if it is something done; `None` when nothing of it came."""
        item, texts = self.item, {part: "".join(self._parts[part]) for part in sorted(self._parts)}
        text = texts.get(0, "")
        if isinstance(item, types.AgentMessage | types.Plan):
            return msgspec.structs.replace(item, text=text) if text else None
        if isinstance(item, types.Reasoning):
            summary = tuple(text for part, text in texts.items() if part >= 0)
            content = tuple(texts[part] for part in reversed(texts) if part < 0)
            return types.Reasoning(item.id, summary, content) if any(texts.values()) else None
        if isinstance(item, types.CommandExecution):
            return msgspec.structs.replace(item, status=status, aggregated_output=text or None)
        if isinstance(item, types.ToolCall):
            return msgspec.structs.replace(item, status=status, success=False)
        return msgspec.structs.replace(item, status=status) if isinstance(item, types.FileChange) else None

    def whole(self, item: types.ThreadItem) -> types.ThreadItem:
        """Return the completed item, with what came of it in pieces where it leaves that out, as some servers do."""
        came = self.partial(getattr(item, "status", ""))
        if isinstance(item, types.UnknownItem) and isinstance(came, types.AgentMessage):
            return came
        names = ["text", "summary", "content", "aggregated_output"] if type(item) is type(came) else []
        names = [name for name in names if not getattr(item, name, True)]
        missing: dict[str, Any] = {name: getattr(came, name) for name in names}
        if isinstance(item, types.Reasoning) and (seconds := time.monotonic() - self._begun) >= 1:
            missing["duration_ms"] = round(1000 * seconds)
        return msgspec.structs.replace(item, **missing)


def _texts(item: types.ThreadItem) -> dict[int, str]:
    if isinstance(item, types.Reasoning):
        return {**dict(enumerate(item.summary)), **{-1 - n: text for n, text in enumerate(item.content)}}
    if isinstance(item, types.CommandExecution):
        return {0: item.aggregated_output or ""}
    return {0: item.text} if isinstance(item, types.AgentMessage | types.Plan) else {}


def pieced_together(pieces: Iterable[Piece]) -> list[OpenItem]:
    """Return the items that those pieces are of, in the order in which they began."""
    items: dict[str, OpenItem] = {}
    for piece in pieces:
        if piece.item is None:
            if piece.item_id in items:
                items[piece.item_id].add(piece.part, piece.text)
        elif piece.item_id in items and type(items[piece.item_id].item) is type(piece.item):
            items[piece.item_id].begin(piece.item)
        else:
            items[piece.item_id] = OpenItem(piece.item)
    return list(items.values())


def replayed_partial(item: types.ThreadItem) -> tuple[dict[str, Any], ...]:
    """Return what is sent again of an item that broke off: a message is the beginning of an answer."""
    return (assistant(item.text),) if isinstance(item, types.AgentMessage) else ()


_OWNERS: dict[type[Delta], type[Any]] = {
    types.AgentMessageDelta: types.AgentMessage,
    types.CommandOutputDelta: types.CommandExecution,
    types.PlanDelta: types.Plan,
    types.ReasoningSummaryDelta: types.Reasoning,
    types.ReasoningTextDelta: types.Reasoning,
}
