"""A thread's history as an engine needs it: what a provider is sent, and where the app-server goes on.

The app-server keeps threads of its own. One of them can be gone on with as far as it has the same turns as
our history: a cell that ran again, or a turn over HTTP, is not in it. Where turns are left out, it goes on in a
fork from before the first of them, which is told what came after as text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..engines.history import is_common, mended, whole
from ..engines.seam import Continuation, Earlier, TurnRequest
from ..protocol import types
from ..protocol.ids import new_id
from ..protocol.types import ContextCompaction, InputItem, TurnPlace, TurnStatus, UserMessage, input_text
from ..responses.inputs import assistant, developer
from .options import CodexConfig, Options, is_foreign
from .store import AsyncStore, ItemRecord, Store, ThreadRecord, TurnRecord

if TYPE_CHECKING:
    from ..engines.app_server.engine import AppServerEngine, ProgramThread

_AS_THEY_ARE = (
    "approval_mode base_instructions cell_id effort mask output_schema personality sandbox service_name"
    " session_start_source source thread_source verbosity"
).split()
"""Options that an engine gets under the same name."""

_INTERRUPTED = "The user interrupted the answer above before it was complete."


async def begin_turn(
    store: AsyncStore,
    thread: ThreadRecord,
    inputs: tuple[InputItem, ...],
    options: Options,
    config: CodexConfig,
    *,
    sealed_for: str,
    is_ephemeral: bool,
) -> TurnRequest:
    """Return a new turn's request and keep its question. `sealed_for`: the identity that seals its reasoning."""
    from ..engines.replay import replayed
    from ..engines.tools import ToolSet

    tools = ToolSet(options["tools"]) if options.get("tools") else None
    choice = options.get("model_provider") or config.provider
    foreign = {"model_provider": choice} if is_foreign(choice) else {}  # only the agent's program knows it
    turn_id, cell_id, left_out = new_id(), options.get("cell_id"), frozenset(options.get("left_out", ()))
    message = UserMessage(turn_id, inputs, cell_id)
    is_refused = len(inputs) > 1 and any(isinstance(part, types.ExternalMessage) for part in inputs)
    # It is kept until the engine has told it: a kill may come before.
    question = ItemRecord(message, () if is_refused else replayed(message))

    def begin(file: Store) -> tuple[int, str, Continuation | None, str | None]:
        file.recover()
        turn = file.begin_turn(
            thread.id,
            turn_id=turn_id,
            cell_id=cell_id,
            notebook=options.get("notebook"),
            preview=input_text(inputs),
            provider=sealed_for,
            question=question if inputs else None,
        )
        turns = file.history(thread.id, before_position=turn.position, include_items=False, left_out=left_out)
        # Where another account or provider has sealed its thoughts, ours could not go on.
        places, last = file.places([each.id for each in turns if each.provider == sealed_for])
        place = continuation(thread.id, turns, places, last, read=file.turn)
        return turn.position, past_of(turns), place, file.thread(thread.id).name

    def read_earlier(file: Store) -> Earlier:
        turns = file.history(thread.id, before_position=position, left_out=left_out)
        return Earlier(history_items(turns, provider=sealed_for), context_held(turns))

    position, past, place, name = await store.run(begin)
    instructions = options.get("instructions") or options.get("developer_instructions")
    return TurnRequest(
        thread_id=thread.id,
        turn_id=turn_id,
        inputs=inputs,
        earlier=lambda: store.run(read_earlier),
        past=past,
        continuation=place,
        name=name,
        tools=tools,
        instructions=instructions or config.instructions,
        model=options.get("model") or thread.model or config.model,
        cwd=options.get("cwd") or thread.cwd,
        service_tier=options.get("turn_service_tier") or options.get("service_tier"),
        summary=options.get("summary", "auto"),
        approvals=options.get("approvals") or config.approvals,
        config={**options.get("config", {}), **foreign} or None,
        ephemeral=is_ephemeral or None,
        **{name: options[name] for name in _AS_THEY_ARE if name in options},
    )


# What a provider is sent ---------------------------------------------------------------------------


def history_items(turns: Iterable[TurnRecord], *, provider: str) -> tuple[dict[str, Any], ...]:
    """Return the Responses items of these turns, oldest first, as `provider` understands them.

    A failed turn without an answer is left out: its question is usually asked again. Encrypted reasoning
    stays with the provider and account that made it: others refuse it (`invalid_encrypted_content`).
    What was compacted takes the place of what came before it, as long as that is the same.
    """
    turns = list(turns)
    items: list[dict[str, Any]] = []
    for at, turn in enumerate(turns):
        answered = any(not isinstance(entry.item, UserMessage | ContextCompaction) for entry in turn.items)
        for entry in turn.items:
            readable = [*filter(None, map(mended, entry.response_items))]
            if turn.provider != provider:
                readable = [each for each in readable if "encrypted_content" not in each and is_common(each)]
            if isinstance(entry.item, ContextCompaction):
                is_whole = len(readable) == len(entry.response_items) > 0
                items = readable if is_whole and entry.item.past == past_of(turns[:at]) else items
            elif answered or turn.status is not TurnStatus.failed:
                items += readable
        if turn.status is TurnStatus.interrupted and turn.items:
            items.append(developer(_INTERRUPTED))
    return tuple(whole(items))


def context_held(turns: Sequence[TurnRecord]) -> types.TokenUsage | None:
    """Return the usage of the last request, which tells how full the context is; `None` after a compaction."""
    for turn in reversed(turns):
        compacted = [isinstance(entry.item, ContextCompaction) for entry in turn.items]
        if any(compacted) or turn.usage is not None:
            return turn.usage.last if turn.usage is not None and not any(compacted[-1:]) else None
    return None


def past_of(turns: Iterable[TurnRecord]) -> str:
    """Return a digest of the turn ids, in order."""
    return hashlib.sha256("\n".join(turn.id for turn in turns).encode()).hexdigest()[:32]


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

    `last`: ids of turns that nothing follows there. `read` gives a turn with its items: only few are needed.
    """
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        place = places.get(turn.id)
        if place is not None and place.past == past_of(turns[:index]):
            # The beginning of an answer that broke off is not kept there.
            broke_off = turn.status in (TurnStatus.interrupted, TurnStatus.failed)
            ends = [entry.item for entry in read(turn.id).items[-1:]] if broke_off else []
            begun = [assistant(end.text) for end in ends if isinstance(end, types.AgentMessage)]
            later = [read(each.id) for each in turns[index + 1 :]]
            unseen = (*begun, *history_items(later, provider="app-server"))
            return Continuation(place, turn.thread_id == thread_id and turn.id in last, unseen)
    return None


# Threads of the program, and copies ----------------------------------------------------------------


async def adopt(thread_id: str, agent: AppServerEngine, store: AsyncStore) -> str:
    """Take what is new in a thread of the program into the store, unless it went on here too; return its id there."""

    def look(file: Store) -> tuple[str | None, dict[str, str], list[TurnRecord]]:
        here, turn_ids = file.known_engine_turns(thread_id)
        here = here or (thread_id if file.has(thread_id) else None)
        return here, turn_ids, file.history(here, include_items=False) if here else []

    here, turn_ids, history = await store.run(look)
    if here is not None and not turn_ids:
        return here
    programs = await agent.program_thread(thread_id, known=turn_ids)
    if programs is None:
        return here or thread_id
    kept, turns = programs
    is_behind = bool(history) and history[-1].id == list(turn_ids.values())[-1]
    if here is not None and not (turns and is_behind):
        return here
    record = msgspec.structs.replace(as_record(kept), id=here or thread_id)
    added, places = adopted(kept, turns, thread_id=record.id, sealed_for=agent.sealed_for, after=history)
    await store.run(lambda file: file.adopt(record, added, places))
    return record.id


async def copied_to_memory(thread: ThreadRecord, source: AsyncStore) -> AsyncStore:
    """Return a store in memory with this thread and all of its past; what is in progress is cut off there."""
    alone = dict.fromkeys(("forked_from", "forked_at_seq", "forked_at_position", "archived_at"))
    over = {TurnStatus.in_progress: TurnStatus.interrupted}

    def read(file: Store) -> tuple[list[TurnRecord], dict[str, types.TurnPlace]]:
        turns = [
            msgspec.structs.replace(turn, thread_id=thread.id, status=over.get(turn.status, turn.status))
            for turn in file.history(thread.id)
        ]
        return turns, file.places([turn.id for turn in turns])[0]

    turns, places = await source.run(read)
    copy = source.beside()
    await copy.run(lambda file: file.adopt(msgspec.structs.replace(thread, **alone), turns, places))
    return copy


def as_record(kept: ProgramThread, *, archived: bool = False) -> ThreadRecord:
    """Return it as a thread of ours under the program's id, which `thread_resume` takes."""
    same = ("id", "name", "preview", "cwd", "model", "created_at", "updated_at")
    return ThreadRecord(
        **{name: getattr(kept, name) for name in same},
        provider=kept.model_provider,
        engine="app-server",
        archived_at=kept.updated_at if archived else None,
    )


def adopted(
    kept: ProgramThread,
    turns: Sequence[types.Turn],
    *,
    thread_id: str,
    sealed_for: str,
    after: Sequence[TurnRecord],
) -> tuple[list[TurnRecord], dict[str, TurnPlace]]:
    """Return turns of the program, in order, as turns of ours that come `after` others; and their places."""
    from ..engines.replay import replayed  # whoever lists threads needs none of the program

    history, places = list(after), {}
    for turn in turns:
        same = {name: getattr(turn, name) for name in ("status", "error", "completed_at", "duration_ms")}
        record = TurnRecord(
            id=new_id(),  # a fork in the program has the turns of its past under the same ids
            thread_id=thread_id,
            provider=sealed_for,
            model=kept.model,
            started_at=turn.started_at or kept.created_at,
            items=tuple(ItemRecord(item, replayed(item)) for item in turn.items),
            **same,
        )
        places[record.id] = TurnPlace(kept.id, turn.id, past=past_of(history))
        history.append(record)
    return history[len(after) :], places
