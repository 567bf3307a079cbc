"""Where the app-server goes on with a history."""

import pytest

from codex_magic.protocol.types import AgentMessage, TurnPlace, TurnStatus
from codex_magic.threads.history import continuation, past_of
from codex_magic.threads.store import Store

SAID = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "said"}]}


@pytest.fixture
def store():
    with Store(":memory:") as store:
        yield store


def turn(store, thread, *, cell=None, at=None, status=TurnStatus.completed):
    """A turn that says `said`, kept by the app-server in the thread `at`."""
    begun = store.begin_turn(thread.id, cell_id=cell)
    before = store.history(thread.id, before_position=begun.position)
    store.add_item(begun.id, AgentMessage("m", "said"), [SAID])
    if at:
        store.place_turn(begun.id, TurnPlace(at, f"{at}-{begun.position}", past_of(before), "v1"))
    store.finish_turn(begun.id, status)
    return begun


def goes_on(store, thread, **without):
    turns = store.history(thread.id, **without)
    return continuation(thread.id, turns, *store.places([each.id for each in turns]), read=store.turn)


def test_an_empty_history_goes_on_nowhere(store):
    assert goes_on(store, store.create_thread()) is None


def test_the_last_turn_is_gone_on_from(store):
    thread = store.create_thread()
    turn(store, thread, at="T")
    turn(store, thread, at="T")
    found = goes_on(store, thread)
    assert found.place == TurnPlace("T", "T-1", found.place.past, "v1")
    assert (found.is_last, found.unseen) == (True, ())


def test_turns_of_another_engine_are_told(store):
    thread = store.create_thread()
    turn(store, thread, at="T")
    turn(store, thread)
    assert goes_on(store, thread).unseen == (SAID,)
    assert goes_on(store, thread).is_last


def test_without_a_turn_it_goes_on_in_a_fork_from_before_it_and_with_it_where_it_was(store):
    thread = store.create_thread()
    _, second, _ = (turn(store, thread, at="T") for _ in range(3))
    found = goes_on(store, thread, left_out=[second.id])
    assert (found.place.turn_id, found.is_last, found.unseen) == ("T-0", False, (SAID,))
    assert goes_on(store, thread).is_last


def test_a_turn_that_ran_again_is_forked_from_before_it(store):
    thread = store.create_thread()
    for cell in "abc":
        turn(store, thread, cell=cell, at="T")
    again = turn(store, thread, cell="b")
    found = goes_on(store, thread)
    assert again.position == 1
    assert (found.place.turn_id, found.is_last, len(found.unseen)) == ("T-0", False, 2)


def test_a_fork_never_writes_into_its_parents_thread(store):
    thread = store.create_thread()
    turn(store, thread, at="T")
    assert goes_on(store, store.fork(thread.id)).is_last is False
    assert goes_on(store, thread).is_last is True


def test_a_turn_still_in_progress_is_told_by_nobody_else(store):
    thread = store.create_thread()
    turn(store, thread, at="T", status=TurnStatus.in_progress)
    assert goes_on(store, thread).unseen == ()


@pytest.mark.parametrize("status", [TurnStatus.interrupted, TurnStatus.failed])
def test_the_beginning_of_a_broken_off_answer_is_told(store, status):
    thread = store.create_thread()
    turn(store, thread, at="T", status=status)
    assert goes_on(store, thread).unseen == (SAID,)
