"""From stored turns to the items a provider is sent, and to the place where the app-server goes on. Pure.

The app-server keeps threads of its own. One of them can be gone on with as far as it has the same turns as
our history: a cell that ran again, or a turn over HTTP, is not in it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..engines.history import is_common, mended, whole
from ..engines.seam import Continuation
from ..protocol.types import AgentMessage, ContextCompaction, TokenUsage, TurnPlace, TurnStatus, UserMessage
from .store import ItemRecord, TurnRecord

_INTERRUPTED = "The user interrupted the answer above before it was complete."


def history_items(turns: Iterable[TurnRecord], *, provider: str) -> tuple[dict[str, Any], ...]:
    """Return the Responses items of these turns, oldest first, as `provider` understands them.

    An interrupted turn is followed by a word that it was; a failed one that got no answer is left
    out, since its question is usually asked again. Encrypted reasoning stays with the provider and
    account that made it: others refuse it (`invalid_encrypted_content`). What was compacted takes the
    place of what came before it, as long as that is the same.
    """
    turns = list(turns)
    items: list[dict[str, Any]] = []
    for at, turn in enumerate(turns):
        answered = any(not isinstance(entry.item, UserMessage | ContextCompaction) for entry in turn.items)
        for entry in turn.items:
            if not isinstance(entry.item, ContextCompaction):
                if turn.status is TurnStatus.failed and not answered:
                    continue
                items += (each for each in _sendable(entry) if _is_open(each, turn, provider))
            elif _stands(entry, turn, turns[:at], provider):
                items[:] = _sendable(entry)
        if turn.status is TurnStatus.interrupted and turn.items:
            items.append(message("developer", _INTERRUPTED))
    return tuple(whole(items))


def context_held(turns: Sequence[TurnRecord]) -> TokenUsage | None:
    """Return the usage of the last request, which tells how full the context is; `None` after a compaction."""
    for turn in reversed(turns):
        compacted = [isinstance(entry.item, ContextCompaction) for entry in turn.items]
        if turn.usage is not None and not any(compacted[-1:]):
            return turn.usage.last
        if any(compacted):
            return None
    return None


def past_of(turns: Iterable[TurnRecord]) -> str:
    """Return a digest of the turn ids, in order."""
    return hashlib.sha256("\n".join(turn.id for turn in turns).encode()).hexdigest()[:32]


def message(role: str, text: str) -> dict[str, Any]:
    """A Responses message item with one text part."""
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _stands(entry: ItemRecord, turn: TurnRecord, before: Sequence[TurnRecord], provider: str) -> bool:
    """Whether a compaction can be sent in place of what came before it."""
    assert isinstance(entry.item, ContextCompaction)
    items = _sendable(entry)
    can_be_read = len(items) == len(entry.response_items) and all(
        _is_open(each, turn, provider) for each in items
    )
    return bool(items) and can_be_read and entry.item.past == past_of(before)


def _sendable(entry: ItemRecord) -> list[dict[str, Any]]:
    """Return its items as they can be sent: an older version stored them as they came."""
    return list(filter(None, map(mended, entry.response_items)))


def _is_open(item: dict[str, Any], turn: TurnRecord, provider: str) -> bool:
    """Whether `provider` can read it."""
    return turn.provider == provider or ("encrypted_content" not in item and is_common(item))


# Where the app-server goes on ----------------------------------------------------------------------


def continuation(
    thread_id: str,
    turns: Sequence[TurnRecord],
    places: Mapping[str, TurnPlace],
    last: Iterable[str],
    *,
    read: Callable[[str], TurnRecord],
) -> Continuation | None:
    """Return the latest of `turns` that the app-server has with the same past, and what it does not know.

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
    """Return the items that the app-server lacks, the beginning of a broken-off answer included: it drops that."""
    beginning: tuple[dict[str, Any], ...] = ()
    if turn.status in (TurnStatus.interrupted, TurnStatus.failed):
        ends = [entry.item for entry in read(turn.id).items[-1:]]
        beginning = tuple(message("assistant", end.text) for end in ends if isinstance(end, AgentMessage))
    return beginning + history_items([read(each.id) for each in later], provider="app-server")
