"""Threads that the agent's program keeps, of the Codex CLI or an editor, and copies, as threads of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from ..protocol.ids import new_id
from ..protocol.types import Turn, TurnPlace, TurnStatus
from .history import past_of
from .store import AsyncStore, ItemRecord, Store, ThreadRecord, TurnRecord

if TYPE_CHECKING:
    from ..engines.app_server.engine import AppServerEngine
    from ..engines.app_server.engine import ProgramThread


async def adopt(thread_id: str, agent: AppServerEngine, store: AsyncStore) -> str:
    """Take a thread of the program, with what is new in it, into the store; return its id there.

    A thread that began here stays as it is, and so does one that has gone on both here and there since.
    """

    def look(file: Store) -> tuple[str | None, dict[str, str], list[TurnRecord]]:
        here, turn_ids = file.known_engine_turns(thread_id)
        if here is None and file.has(thread_id):
            here = thread_id
        return here, turn_ids, file.history(here, include_items=False) if here else []

    here, turn_ids, history = await store.run(look)
    if here is not None and not turn_ids:
        return here
    programs = await agent.program_thread(thread_id, known=turn_ids)
    if programs is None:
        return here or thread_id
    kept, turns = programs
    if here is not None:
        is_behind = bool(history) and history[-1].id == list(turn_ids.values())[-1]
        if not turns or not is_behind:
            return here
    record = msgspec.structs.replace(as_record(kept), id=here or thread_id)
    added, places = adopted(kept, turns, thread_id=record.id, sealed_for=agent.sealed_for, after=history)
    await store.run(lambda file: file.adopt(record, added, places))
    return record.id


async def copied_to_memory(thread: ThreadRecord, source: AsyncStore) -> AsyncStore:
    """Return a store in memory with this thread and all of its past."""

    def read(file: Store) -> tuple[list[TurnRecord], dict[str, TurnPlace]]:
        turns = file.history(thread.id)
        return turns, file.places([turn.id for turn in turns])[0]

    history, places = await source.run(read)
    record, turns = copied(thread, history)
    copy = source.beside()
    await copy.run(lambda file: file.adopt(record, turns, places))
    return copy


def as_record(kept: ProgramThread, *, archived: bool = False) -> ThreadRecord:
    """Return it as a thread of ours under the program's id, which `thread_resume` takes."""
    return ThreadRecord(
        id=kept.id,
        name=kept.name,
        preview=kept.preview,
        cwd=kept.cwd,
        provider=kept.model_provider,
        model=kept.model,
        engine="app-server",
        created_at=kept.created_at,
        updated_at=kept.updated_at,
        archived_at=kept.updated_at if archived else None,
    )


def adopted(
    kept: ProgramThread,
    turns: Sequence[Turn],
    *,
    thread_id: str,
    sealed_for: str,
    after: Sequence[TurnRecord],
) -> tuple[list[TurnRecord], dict[str, TurnPlace]]:
    """Return turns of the program, in order, as turns of ours that come `after` others; and their places.

    They get ids of our own: a fork in the program has the turns of its past under the same ids.
    """
    from ..engines.replay import replayed  # whoever lists threads needs none of the program

    history = list(after)
    places = {}
    for turn in turns:
        record = TurnRecord(
            id=new_id(),
            thread_id=thread_id,
            status=turn.status,
            error=turn.error,
            provider=sealed_for,
            model=kept.model,
            started_at=turn.started_at or kept.created_at,
            completed_at=turn.completed_at,
            duration_ms=turn.duration_ms,
            items=tuple(ItemRecord(item, replayed(item)) for item in turn.items),
        )
        places[record.id] = TurnPlace(kept.id, turn.id, past=past_of(history))
        history.append(record)
    return history[len(after) :], places


def copied(thread: ThreadRecord, turns: Sequence[TurnRecord]) -> tuple[ThreadRecord, list[TurnRecord]]:
    """Return a thread with all of its past, for a store that has neither; what is in progress is cut off there."""
    alone = msgspec.structs.replace(
        thread, forked_from=None, forked_at_seq=None, forked_at_position=None, archived_at=None
    )
    copies = []
    for turn in turns:
        is_running = turn.status is TurnStatus.in_progress
        status = TurnStatus.interrupted if is_running else turn.status
        copies.append(msgspec.structs.replace(turn, thread_id=thread.id, status=status))
    return alone, copies
