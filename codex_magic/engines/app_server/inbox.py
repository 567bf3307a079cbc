"""What waits for one subscriber. Pure, bounded by what happened and not by how much was said.

A slow reader loses no word and no ending: when it is far behind, deltas of one item are joined.
"""

from __future__ import annotations

from collections import deque
from typing import TypeVar

import msgspec

from ...protocol.types import (
    AgentMessageDelta,
    CommandOutputDelta,
    Notification,
    PlanDelta,
    ReasoningSummaryDelta,
    ReasoningTextDelta,
)

Delta = AgentMessageDelta | CommandOutputDelta | PlanDelta | ReasoningSummaryDelta | ReasoningTextDelta
D = TypeVar("D", bound=Delta)

FAR_BEHIND = 256
"""Notifications that wait singly; beyond, deltas are joined to the last of their item."""


class Inbox:
    """First in, first out."""

    def __init__(self, *, far_behind: int = FAR_BEHIND) -> None:
        self._far_behind = far_behind
        self._waiting: deque[Notification | _Joined] = deque()
        self._joined: dict[tuple[object, ...], _Joined] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, notification: Notification) -> None:
        if len(self._waiting) < self._far_behind or not isinstance(notification, Delta):
            self._joined.clear()  # a delta must not overtake what came between
            self._waiting.append(notification)
            return
        key = _place(notification)
        if key not in self._joined:
            self._joined[key] = _Joined(notification)
            self._waiting.append(self._joined[key])
        else:
            self._joined[key].pieces.append(notification.delta)

    def take(self) -> Notification:
        """The oldest. IndexError when there is none."""
        oldest = self._waiting.popleft()
        if not isinstance(oldest, _Joined):
            return oldest
        self._joined.pop(_place(oldest.first), None)
        return oldest.whole()


class _Joined:
    """Deltas in the place of the first of them."""

    def __init__(self, first: Delta) -> None:
        self.first = first
        self.pieces = [first.delta]

    def whole(self) -> Delta:
        return msgspec.structs.replace(self.first, delta="".join(self.pieces))


def _place(delta: Delta) -> tuple[object, ...]:
    """What two deltas must share to be one: kind, item, and the part of the item."""
    part = getattr(delta, "summary_index", None), getattr(delta, "content_index", None)
    return type(delta), delta.item_id, *part
