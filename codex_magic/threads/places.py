"""Where the app-server goes on with a history that others may have continued meanwhile. Pure.

It keeps threads of its own. One of them can be gone on with as far as it has the same turns as our
history: a cell that ran again, or a turn over HTTP, is not in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..engines.seam import Continuation
from ..protocol.types import AgentMessage, TurnPlace, TurnStatus
from .history import history_items, message, past_of
from .store import TurnRecord


def continuation(
    thread_id: str,
    turns: Sequence[TurnRecord],
    places: Mapping[str, TurnPlace],
    last: Iterable[str],
    *,
    read: Callable[[str], TurnRecord],
) -> Continuation | None:
    """The latest of `turns` that the app-server has with the same past, and what it does not know.

    `last`: the ids of turns that nothing follows in the app-server's thread. `read` gives a turn with its
    items: of a long thread only few are needed.
    """
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        place = places.get(turn.id)
        if place is not None and place.past == past_of(turns[:index]):
            own = turn.thread_id == thread_id
            return Continuation(place, own and turn.id in last, _unseen(turn, turns[index + 1 :], read))
    return None


def _unseen(
    turn: TurnRecord, later: Sequence[TurnRecord], read: Callable[[str], TurnRecord]
) -> tuple[dict[str, Any], ...]:
    """The app-server drops the beginning of an answer that was broken off; it is said again."""
    begun: tuple[dict[str, Any], ...] = ()
    if turn.status in (TurnStatus.interrupted, TurnStatus.failed):
        ends = [entry.item for entry in read(turn.id).items[-1:]]
        begun = tuple(message("assistant", end.text) for end in ends if isinstance(end, AgentMessage))
    return begun + history_items([read(each.id) for each in later], provider="app-server")
