"""What a thread keeps and gives back: turns in order, re-runs, pages of threads, names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from codex_magic.protocol.errors import OptionError, ThreadNotFoundError
from codex_magic.protocol.types import (
    AgentMessage,
    TextInput,
    ThreadTokenUsage,
    TokenUsage,
    TurnError,
    TurnStatus,
    UnknownItem,
    UserMessage,
    decode_item,
    input_text,
)
from codex_magic.threads.store import NotebookRecord, Store, ThreadRecord
from tests.known import the


class Clock:
    """A second passes at every look."""

    def __init__(self) -> None:
        self.now = 1_700_000_000

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "home" / "threads.db", clock=Clock()) as store:
        yield store


def ask(store: Store, thread: ThreadRecord, text: str, *, cell: str | None = None) -> str:
    """A whole turn that answers `text`; its id."""
    turn = store.begin_turn(thread.id, cell_id=cell, preview=text)
    store.add_item(turn.id, AgentMessage("m", text), [{"role": "assistant", "content": text}])
    store.finish_turn(turn.id, TurnStatus.completed)
    return turn.id


def answers(store: Store, thread: ThreadRecord) -> list[str]:
    return [the(AgentMessage, entry.item).text for turn in store.history(thread.id) for entry in turn.items]


def test_a_turn_comes_back_as_it_was_written(store: Store) -> None:
    thread = store.create_thread()
    turn = store.begin_turn(thread.id, cell_id="c1", provider="openai")
    message = AgentMessage("a1", "42 \u2028 \x00 é", phase="final_answer")
    unknown = decode_item({"type": "hologram", "id": "h1", "beams": [1, 2]})
    store.add_item(turn.id, message, [{"type": "message"}])
    store.add_item(turn.id, unknown)
    usage = ThreadTokenUsage(total=TokenUsage(1, 2, 3), last=TokenUsage(4))
    store.finish_turn(
        turn.id, TurnStatus.failed, error=TurnError("No."), usage=usage, model="m2", duration_ms=7
    )

    kept = store.history(thread.id)[0]

    assert [entry.item for entry in kept.items] == [message, unknown]
    assert isinstance(unknown, UnknownItem)
    assert [entry.response_items for entry in kept.items] == [({"type": "message"},), ()]
    assert (kept.status, kept.error, kept.usage) == (TurnStatus.failed, TurnError("No."), usage)
    assert (kept.cell_id, kept.provider, kept.model, kept.duration_ms) == ("c1", "openai", "m2", 7)
    assert kept == store.turn(turn.id)


def test_turns_without_a_cell_are_appended(store: Store) -> None:
    thread = store.create_thread()
    for text in ("one", "two", "two"):
        ask(store, thread, text)
    assert answers(store, thread) == ["one", "two", "two"]


def test_running_a_cell_again_replaces_its_turn_in_place(store: Store) -> None:
    thread = store.create_thread()
    first = ask(store, thread, "one", cell="a")
    ask(store, thread, "two", cell="b")
    ask(store, thread, "one again", cell="a")

    history = store.history(thread.id)

    assert answers(store, thread) == ["one again", "two"]
    assert [turn.position for turn in history] == [0, 1]
    assert history[0].replaces == first
    assert store.turn(first).removed_at == history[0].seq


def test_the_context_of_a_turn_is_what_stands_before_it(store: Store) -> None:
    thread = store.create_thread()
    for cell in ("a", "b", "c"):
        ask(store, thread, cell, cell=cell)
    again = store.begin_turn(thread.id, cell_id="b")
    context = store.history(thread.id, before_position=again.position)
    assert [turn.cell_id for turn in context] == ["a"]


def test_history_without_items_reads_the_turns_only(store: Store) -> None:
    thread = store.create_thread()
    ask(store, thread, "one")
    assert [turn.items for turn in store.history(thread.id, include_items=False)] == [()]


def test_history_of_some_kinds_of_items_leaves_the_others_unread(store: Store) -> None:
    thread = store.create_thread()
    turn = store.begin_turn(thread.id)
    store.add_item(turn.id, UserMessage("u", (TextInput("what?"),)))
    store.add_item(turn.id, AgentMessage("a", "that"))
    [record] = store.history(thread.id, kinds=("agentMessage",))
    assert (record.asked, record.told) == ([], ["that"])


def test_reverting_removes_a_turn_and_the_later_ones(store: Store) -> None:
    thread = store.create_thread()
    ids = [ask(store, thread, text) for text in ("one", "two", "three")]
    store.revert(thread.id, ids[1])
    ask(store, thread, "two, better")
    assert answers(store, thread) == ["one", "two, better"]


def test_a_thread_takes_its_preview_and_provider_from_its_turns(store: Store) -> None:
    thread = store.create_thread(model="m1")
    store.begin_turn(thread.id, preview="  Draw\n a  bird " + "x" * 500, provider="openai")
    store.begin_turn(thread.id, preview="and a nest")
    kept = store.thread(thread.id)
    assert kept.preview.startswith("Draw a bird xxx")
    assert len(kept.preview) == 120
    assert (kept.provider, kept.model) == ("openai", "m1")


def test_a_notebook_is_found_by_path_and_kernel_in_another_session(store: Store) -> None:
    thread = store.create_thread()
    store.keep_notebook(NotebookRecord("n1", thread.id, "/notebooks/a.ipynb"), kernel="k1")
    with Store(store.path) as other:
        for evidence in ({"kernel": "k1", "path": None}, {"kernel": None, "path": "/notebooks/a.ipynb"}):
            [claim] = other.notebook_claims(answers={}, cells=(), **evidence)
            assert (claim.notebook.id, claim.notebook.thread_id) == ("n1", thread.id)
        newer = other.create_thread()
        other.keep_notebook(NotebookRecord("n1", newer.id, "/notebooks/b.ipynb"), kernel="k1")
    [claim] = store.notebook_claims(answers={}, cells=(), kernel="k1", path=None)
    assert claim.notebook == NotebookRecord("n1", newer.id, "/notebooks/b.ipynb")
    assert store.notebook_claims(answers={}, cells=(), kernel=None, path="/notebooks/a.ipynb") == []


def test_a_cell_of_another_notebook_replaces_nothing(store: Store) -> None:
    """Copies of one notebook, course material for example, have the same cell ids."""
    thread = store.create_thread()
    for notebook in ("n1", "n2"):
        store.keep_notebook(NotebookRecord(notebook, thread.id, None), kernel=None)
        store.begin_turn(thread.id, cell_id="c1", notebook=notebook)
    assert [turn.notebook for turn in store.history(thread.id)] == ["n1", "n2"]
    again = store.begin_turn(thread.id, cell_id="c1", notebook="n1")
    assert next(turn.id for turn in store.history(thread.id)) == again.id


def test_a_cell_of_a_copy_replaces_the_turn_it_was_copied_with(store: Store) -> None:
    thread = store.create_thread()
    store.keep_notebook(NotebookRecord("n1", thread.id, "/a.ipynb"), kernel=None)
    store.begin_turn(thread.id, cell_id="c1", notebook="n1")
    fork = store.fork(thread.id)
    store.keep_notebook(NotebookRecord("n2", fork.id, "/b.ipynb", copied_from="n1"), kernel=None)
    again = store.begin_turn(fork.id, cell_id="c1", notebook="n2")
    assert [turn.id for turn in store.history(fork.id)] == [again.id]
    assert [turn.notebook for turn in store.history(thread.id)] == ["n1"]


def test_a_cell_numbered_by_a_filter_replaces_only_the_turn_that_asked_the_same(store: Store) -> None:
    thread = store.create_thread()
    for question in ("my name is Ada", "another question", "my name is Ada"):
        turn = store.begin_turn(thread.id, cell_id="1", preview=question)
        store.add_item(turn.id, UserMessage("u", (TextInput(question),)))
    prompts = [input_text(the(UserMessage, turn.items[0].item).content) for turn in store.history(thread.id)]
    assert prompts == ["my name is Ada", "another question"]


def test_pages_hold_every_thread_once(store: Store) -> None:
    made = [store.create_thread().id for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = store.threads(limit=3, cursor=cursor)
        seen += [thread.id for thread in page.threads]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_pages_stay_stable_when_all_times_are_equal(
    tmp_path: Path, direction: Literal["asc", "desc"]
) -> None:
    with Store(tmp_path / "threads.db", clock=lambda: 1.0) as store:
        made = {store.create_thread().id for _ in range(5)}
        first = store.threads(limit=2, sort_key="created_at", sort_direction=direction)
        new = store.create_thread()
        rest = store.threads(
            limit=9, sort_key="created_at", sort_direction=direction, cursor=first.next_cursor
        )
    seen = [thread.id for thread in (*first.threads, *rest.threads) if thread.id != new.id]
    assert len(seen) == 5
    assert set(seen) == made


def test_using_a_thread_moves_it_to_the_front(store: Store) -> None:
    old, new = store.create_thread(), store.create_thread()
    assert [thread.id for thread in store.threads().threads] == [new.id, old.id]
    store.begin_turn(old.id)
    assert [thread.id for thread in store.threads().threads] == [old.id, new.id]


def test_archived_threads_are_listed_apart(store: Store) -> None:
    kept, archived = store.create_thread(), store.create_thread()
    store.archive(archived.id)
    assert [thread.id for thread in store.threads().threads] == [kept.id]
    assert [thread.id for thread in store.threads(archived=True).threads] == [archived.id]
    store.begin_turn(archived.id)  # what goes on is listed
    assert store.threads(archived=True).threads == ()
    store.archive(archived.id)
    store.archive(archived.id, archived=False)
    assert len(store.threads().threads) == 2


@pytest.mark.parametrize("search", ["straße", "STRASSE", "Äpfel", "äPFEL", "100%"])
def test_search_ignores_case_in_names_and_previews(store: Store, search: str) -> None:
    store.create_thread(name="other_")
    found = store.create_thread(name="Äpfel")
    ask(store, found, "Die Straße, 100%")
    assert [thread.id for thread in store.threads(search_term=search).threads] == [found.id]


def test_threads_of_one_folder(store: Store) -> None:
    store.create_thread(cwd="/a")
    here = store.create_thread(cwd="/b")
    assert [thread.id for thread in store.threads(cwd="/b").threads] == [here.id]


def test_a_thread_is_found_by_id_name_or_a_unique_part_of_its_id(store: Store) -> None:
    first = store.create_thread(thread_id="0190-aaaa-1111", name="Birds")
    second = store.create_thread(thread_id="0190-bbbb-2222")
    for text in (first.id, "0190-a", "1111", "birds"):
        assert store.resolve(text) == first.id
    assert store.resolve("2222") == second.id


def test_an_ambiguous_beginning_names_the_candidates(store: Store) -> None:
    store.create_thread(thread_id="0190-aaaa")
    store.create_thread(thread_id="0190-bbbb")
    with pytest.raises(OptionError, match="0190-bbbb, 0190-aaaa"):
        store.resolve("0190")


@pytest.mark.parametrize("text", ["", "nothing", "%", "_"])
def test_what_names_no_thread_is_not_found(store: Store, text: str) -> None:
    store.create_thread()
    with pytest.raises(ThreadNotFoundError):
        store.resolve(text)


def test_an_unknown_thread_is_not_found(store: Store) -> None:
    for use in (store.thread, store.history, store.begin_turn, store.fork, store.archive):
        with pytest.raises(ThreadNotFoundError):
            use("missing")
    with pytest.raises(ThreadNotFoundError):
        store.keep_notebook(NotebookRecord("nb", "missing", None), kernel=None)


def test_an_unknown_turn_or_cursor_is_a_wrong_option(store: Store) -> None:
    thread = store.create_thread()
    with pytest.raises(OptionError):
        store.revert(thread.id, "missing")
    with pytest.raises(OptionError):
        store.add_item("missing", AgentMessage("m", ""))
    with pytest.raises(OptionError):
        store.threads(cursor="yesterday")


def test_a_store_in_memory_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store(":memory:") as store:
        thread = store.create_thread()
        ask(store, thread, "one")
        assert answers(store, thread) == ["one"]
    assert list(tmp_path.iterdir()) == []
