"""Threads that the codex program keeps, as threads of ours: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ..protocol.ids import new_id
from ..protocol.types import ThreadItem, Turn, TurnPlace, TurnStatus
from .history import past_of
from .store import ItemRecord, ThreadRecord, TurnRecord

if TYPE_CHECKING:
    from ..engines.app_server.kept import KeptThread


def as_record(kept: KeptThread, *, archived: bool = False) -> ThreadRecord:
    """Under the program's id, which `thread_resume` takes."""
    return ThreadRecord(
        id=kept.id,
        name=kept.name,
        preview=kept.preview,
        cwd=kept.cwd,
        notebook=None,
        provider=kept.model_provider,
        model=kept.model,
        engine="app-server",
        created_at=kept.created_at,
        updated_at=kept.updated_at,
        archived_at=kept.updated_at if archived else None,
        forked_from=None,
        forked_at_seq=None,
        forked_at_position=None,
    )


def adopted(
    kept: KeptThread, turns: Sequence[Turn], *, thread_id: str, answerer: str, after: Sequence[TurnRecord]
) -> tuple[list[TurnRecord], dict[str, TurnPlace]]:
    """Turns of the program, in order, as turns of ours that come `after` others; and their places.

    They get ids of our own: a fork in the program has the turns of its past under the same ids.
    """
    history = list(after)
    places = {}
    for turn in turns:
        record = _turn(kept, turn, thread_id, answerer)
        places[record.id] = TurnPlace(kept.id, turn.id, past=past_of(history))
        history.append(record)
    return history[len(after) :], places


def _turn(kept: KeptThread, turn: Turn, thread_id: str, answerer: str) -> TurnRecord:
    return TurnRecord(
        seq=0,
        id=new_id(),
        thread_id=thread_id,
        position=0,
        cell_id=None,
        status=turn.status,
        error=turn.error,
        usage=None,
        provider=answerer,
        model=kept.model,
        started_at=turn.started_at or kept.created_at,
        completed_at=turn.completed_at,
        duration_ms=turn.duration_ms,
        removed_at=None,
        replaces=None,
        items=tuple(map(_entry, turn.items)),
    )


def _entry(item: ThreadItem) -> ItemRecord:
    from ..engines.app_server.replay import replayed  # whoever lists threads needs none of the program

    return ItemRecord(item, replayed(item))


def copied(thread: ThreadRecord, turns: Sequence[TurnRecord]) -> tuple[ThreadRecord, list[TurnRecord]]:
    """A thread with all of its past, for a store that has neither; what is in progress is cut off there."""
    alone = msgspec.structs.replace(
        thread, forked_from=None, forked_at_seq=None, forked_at_position=None, archived_at=None
    )
    return alone, [_ended(msgspec.structs.replace(turn, thread_id=thread.id)) for turn in turns]


def _ended(turn: TurnRecord) -> TurnRecord:
    if turn.status is TurnStatus.in_progress:
        return msgspec.structs.replace(turn, status=TurnStatus.interrupted)
    return turn
