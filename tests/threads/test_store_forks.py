"""Forks share the past as it was; nothing the parent does later changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from codex_magic.protocol.errors import OptionError
from codex_magic.protocol.types import AgentMessage, TurnStatus
from codex_magic.threads.store import Store
from tests.known import the


@pytest.fixture
def store() -> Iterator[Store]:
    with Store(":memory:") as store:
        yield store


def ask(store: Store, thread: str, cell: str | None, text: str) -> str:
    turn = store.begin_turn(thread, cell_id=cell, preview=text)
    store.add_item(turn.id, AgentMessage("m", text))
    store.finish_turn(turn.id, TurnStatus.completed)
    return turn.id


def answers(store: Store, thread: str) -> list[str]:
    return [the(AgentMessage, entry.item).text for turn in store.history(thread) for entry in turn.items]


@pytest.fixture
def parent(store: Store) -> str:
    """A thread of the turns a1 b1 c1 in the cells a b c."""
    thread = store.create_thread(cwd="/w").id
    for cell in "abc":
        ask(store, thread, cell, f"{cell}1")
    return thread


def test_a_fork_begins_with_its_parents_past(store: Store, parent: str) -> None:
    fork = store.fork(parent)
    ask(store, fork.id, "d", "d1")
    assert answers(store, fork.id) == ["a1", "b1", "c1", "d1"]
    assert answers(store, parent) == ["a1", "b1", "c1"]
    assert (fork.forked_from, fork.cwd, fork.preview) == (parent, "/w", "a1")


def test_a_fork_may_end_with_or_before_a_turn(store: Store, parent: str) -> None:
    middle = store.history(parent)[1].id
    assert answers(store, store.fork(parent, through=middle).id) == ["a1", "b1"]
    assert answers(store, store.fork(parent, before=middle).id) == ["a1"]


def test_a_fork_before_the_first_turn_is_empty(store: Store, parent: str) -> None:
    fork = store.fork(parent, before=store.history(parent)[0].id)
    assert fork.preview == ""
    assert ask(store, fork.id, None, "x") == store.history(fork.id)[0].id


def test_the_parents_later_turns_reruns_and_reverts_do_not_change_a_fork(store: Store, parent: str) -> None:
    fork = store.fork(parent).id
    ask(store, parent, "a", "a2")
    ask(store, parent, "d", "d1")
    store.revert(parent, store.history(parent)[1].id)
    assert answers(store, parent) == ["a2"]
    assert answers(store, fork) == ["a1", "b1", "c1"]


def test_a_revert_before_the_fork_holds_in_the_fork(store: Store, parent: str) -> None:
    store.revert(parent, store.history(parent)[1].id)
    assert answers(store, store.fork(parent).id) == ["a1"]


def test_running_a_shared_cell_again_replaces_it_in_the_fork_only(store: Store, parent: str) -> None:
    fork = store.fork(parent).id
    ask(store, fork, "b", "b2")
    assert answers(store, fork) == ["a1", "b2", "c1"]
    assert answers(store, parent) == ["a1", "b1", "c1"]


def test_reverting_into_the_shared_past_leaves_the_parent_alone(store: Store, parent: str) -> None:
    fork = store.fork(parent).id
    ask(store, fork, "d", "d1")
    store.revert(fork, store.history(fork)[1].id)
    ask(store, fork, "e", "e1")
    assert answers(store, fork) == ["a1", "e1"]
    assert answers(store, parent) == ["a1", "b1", "c1"]


def test_a_fork_of_a_fork_keeps_what_each_had_at_its_time(store: Store, parent: str) -> None:
    child = store.fork(parent).id
    ask(store, child, "b", "b2")
    ask(store, child, "d", "d1")
    grandchild = store.fork(child).id
    ask(store, child, "d", "d2")
    store.revert(child, store.history(child)[0].id)
    ask(store, parent, "a", "a9")
    ask(store, grandchild, "c", "c3")
    assert answers(store, child) == []
    assert answers(store, grandchild) == ["a1", "b2", "c3", "d1"]


def test_a_turn_of_another_thread_is_no_place_to_fork_at(store: Store, parent: str) -> None:
    stranger = ask(store, store.create_thread().id, None, "x")
    with pytest.raises(OptionError):
        store.fork(parent, through=stranger)


def test_a_long_chain_of_forks_reads_back(store: Store, parent: str) -> None:
    thread = parent
    for n in range(50):
        thread = store.fork(thread).id
        ask(store, thread, None, str(n))
    assert answers(store, thread) == ["a1", "b1", "c1", *map(str, range(50))]


class Histories(RuleBasedStateMachine):
    """Against the obvious model: a thread is a list of (cell, text), and a fork copies it."""

    threads = Bundle("threads")

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(":memory:")
        self.model: dict[str, list[tuple[str | None, str]]] = {}
        self.count = 0

    @initialize(target=threads)
    def first_thread(self) -> str:
        return self._add(self.store.create_thread().id, [])

    @rule(thread=threads, cell=st.sampled_from([None, "a", "b", "c"]))
    def run(self, thread: str, cell: str | None) -> None:
        self.count += 1
        text = str(self.count)
        turn = self.store.begin_turn(thread, cell_id=cell)
        self.store.add_item(turn.id, AgentMessage("m", text))
        turns = self.model[thread]
        places = [place for place, (known, _) in enumerate(turns) if cell is not None and known == cell]
        place = places[0] if places else len(turns)
        turns[place:] = [(cell, text), *turns[place + 1 :]]
        context = self.store.history(thread, before_position=turn.position)
        assert _read(context) == turns[:place]

    @rule(target=threads, thread=threads)
    def fork(self, thread: str) -> str:
        return self._add(self.store.fork(thread).id, self.model[thread])

    @precondition(lambda self: any(self.model.values()))
    @rule(target=threads, thread=threads, data=st.data(), end=st.sampled_from(["through", "before"]))
    def fork_at(self, thread: str, data: st.DataObject, end: str) -> str:
        turns = self.store.history(thread, include_items=False)
        if not turns:
            return thread
        place = data.draw(st.integers(0, len(turns) - 1))
        fork = self.store.fork(thread, **{end: turns[place].id})
        return self._add(fork.id, self.model[thread][: place + (end == "through")])

    @rule(thread=threads, data=st.data())
    def revert(self, thread: str, data: st.DataObject) -> None:
        turns = self.store.history(thread, include_items=False)
        if turns:
            place = data.draw(st.integers(0, len(turns) - 1))
            self.store.revert(thread, turns[place].id)
            del self.model[thread][place:]

    @invariant()
    def every_history_is_the_models(self) -> None:
        for thread, turns in self.model.items():
            kept = self.store.history(thread)
            assert _read(kept) == turns
            assert kept == [self.store.turn(turn.id) for turn in kept]

    def teardown(self) -> None:
        self.store.close()

    def _add(self, thread: str, turns: list[tuple[str | None, str]]) -> str:
        self.model[thread] = list(turns)
        return thread


def _read(turns: list[Any]) -> list[tuple[str | None, str]]:
    return [(turn.cell_id, entry.item.text) for turn in turns for entry in turn.items]


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
