"""Threads of the codex program become threads of ours."""

import asyncio

import pytest

from codex_magic import AgentMessage, TextInput, TurnStatus
from codex_magic.engines.app_server.engine import ProgramThread
from codex_magic.protocol.types import Turn, TurnError, UserMessage
from codex_magic.threads.history import adopted, as_record, continuation, copied_to_memory, history_items
from codex_magic.threads.store import AsyncStore, Store
from tests.known import some

KEPT = ProgramThread(
    id="theirs", name="a name", preview="one", cwd="/w", model="gpt-5.5", created_at=1, updated_at=5
)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "threads.db") as store:
        yield store


def turn(number, **more):
    items = (
        UserMessage(f"q{number}", (TextInput(f"question {number}"),)),
        AgentMessage(f"a{number}", f"answer {number}"),
    )
    return Turn(f"turn-{number}", TurnStatus.completed, items=items, started_at=number, **more)


def take_in(store, *turns):
    history = store.history(KEPT.id) if store.has(KEPT.id) else []
    added, places = adopted(KEPT, turns, thread_id=KEPT.id, sealed_for="app-server", after=history)
    return store.adopt(as_record(KEPT), added, places)


def test_a_thread_is_taken_in_with_its_turns_and_items(store):
    record = take_in(store, turn(1), turn(2, error=TurnError("no"), duration_ms=3))
    assert (record.id, record.name, record.cwd, record.updated_at) == ("theirs", "a name", "/w", 5)
    history = store.history("theirs")
    assert [entry.item.id for each in history for entry in each.items] == ["q1", "a1", "q2", "a2"]
    assert (history[1].error, history[1].duration_ms, history[1].started_at) == (TurnError("no"), 3, 2)
    assert len(history_items(history, provider="anybody")) == 4


def test_the_program_goes_on_where_it_has_the_thread(store):
    take_in(store, turn(1))
    take_in(store, turn(2))
    history = store.history("theirs")
    places = store.places([each.id for each in history])
    goes_on = some(continuation("theirs", history, *places, read=store.turn))
    assert (goes_on.place.turn_id, goes_on.is_last, goes_on.unseen) == ("turn-2", True, ())


def test_the_programs_ids_lead_to_ours(store):
    take_in(store, turn(1), turn(2))
    ids = [each.id for each in store.history("theirs")]
    assert store.known_engine_turns("theirs") == ("theirs", dict(zip(("turn-1", "turn-2"), ids, strict=True)))
    assert store.known_engine_turns("another") == (None, {})
    assert store.engine_threads("theirs") == ["theirs"]


def test_two_forks_of_the_program_share_turns_but_not_with_us(store):
    take_in(store, turn(1))
    other = ProgramThread(id="fork", created_at=1, updated_at=1)
    added, places = adopted(other, [turn(1)], thread_id="fork", sealed_for="app-server", after=[])
    store.adopt(as_record(other), added, places)
    assert len(store.history("fork")) == len(store.history("theirs")) == 1


def test_a_copy_stands_alone_and_what_was_running_is_cut_off_in_it(store):
    thread = store.create_thread(name="origin")
    store.begin_turn(thread.id)
    fork = store.fork(thread.id)
    store.begin_turn(fork.id)

    async def copy():
        source = AsyncStore(store.path)
        memory = await copied_to_memory(fork, source)
        kept = await memory.run(lambda file: file.history(fork.id))
        await memory.close()
        await source.close()
        return kept

    kept = asyncio.run(copy())
    assert [each.status for each in kept] == [TurnStatus.interrupted] * 2
    assert [each.id for each in kept] == [each.id for each in store.history(fork.id)]
