"""What the thread store costs when it has grown: 2,000 threads of 50 turns, asked in turn."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codex_magic.protocol.types import (
    AgentMessage,
    Reasoning,
    TextInput,
    TurnStatus,
    UserMessage,
    encode_item,
    item_type,
)
from codex_magic.threads.store import NotebookRecord, Store
from tests.benchmarks.measuring import Row, at_most, row

THREADS = 2_000
TURNS = 50
RESUME_MS = 10
OPEN_MS = 5
RUNS = 20

ITEMS = (
    (UserMessage("u", (TextInput("Why is this column empty? " * 4),)), {"content": "Why? " * 20}),
    (Reasoning("r", ("Looking at the frame. " * 8,)), {"encrypted_content": "gAAAA" * 150}),
    (AgentMessage("a", "Because the join drops it. " * 25), {"content": "Because " * 80}),
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="codex_magic-bench-", ignore_cleanup_errors=True) as folder:
        for measured in measure(Path(folder) / "threads.db"):
            print(json.dumps(measured), flush=True)


def measure(path: Path) -> Iterator[Row]:
    yield at_most(
        "store: make a new one", OPEN_MS, times(lambda: Store(path.with_name(f"{time.time_ns()}")).close())
    )
    fill(path)
    size = f"{THREADS * TURNS:,} turns"
    yield row(f"store: its file with {size}", "", f"{path.stat().st_size / 1e6:.0f} MB", None)
    yield at_most(f"store: open it with {size}", OPEN_MS, times(lambda: Store(path).close()))
    yield at_most(f"store: resume the notebook's thread among {size}", RESUME_MS, times(lambda: resume(path)))
    with Store(path) as store:
        yield beside("store: a page of the newest threads", lambda: store.threads())
        yield beside("store: search all threads", lambda: store.threads(search_term="no such words"))
        yield beside("store: find a thread by its name", lambda: store.resolve("Thread 777"))
        yield beside("store: a turn of three items", lambda: a_turn(store))


def resume(path: Path) -> None:
    with Store(path) as store:
        store.recover()
        [claim] = store.notebook_claims(answers={}, cells=(), kernel=None, path="notebook-1000")
        thread = claim.notebook.thread_id
        store.thread(thread)
        turns = store.history(thread)
        assert [len(turn.items) for turn in turns] == [len(ITEMS)] * TURNS


def a_turn(store: Store) -> None:
    turn = store.begin_turn(thread_id(1000), cell_id="c7")
    for item, sent in ITEMS:
        store.add_item(turn.id, item, [sent])
    store.finish_turn(turn.id, TurnStatus.completed)


def beside(what: str, use: Callable[[], object]) -> Row:
    return at_most(what, 0, times(use)) | {"bar": "", "holds": None}


def times(use: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        use()
        found.append(time.perf_counter() - begun)
    return found


def thread_id(number: int) -> str:
    return f"0190{number:04d}-0000-7000-8000-{number:012d}"


def fill(path: Path) -> None:
    """Every thread gets its next turn before any gets a second one: a thread's rows lie far apart."""
    with Store(path) as store:
        for number in range(THREADS):
            store.create_thread(thread_id=thread_id(number), name=f"Thread {number}")
            notebook = NotebookRecord(f"n{number}", thread_id(number), f"notebook-{number}")
            store.keep_notebook(notebook, kernel=None)
    items = [
        (item.id, item_type(item), encode_item(item).decode(), json.dumps([sent])) for item, sent in ITEMS
    ]
    seqs = range(1, THREADS * TURNS + 1)
    db = sqlite3.connect(path)
    with db:
        db.executemany(
            "INSERT INTO turns (seq, id, thread_id, position, cell_id, status, started_at)"
            " VALUES (?, ?, ?, ?, ?, 'completed', 1)",
            (
                (
                    seq,
                    f"turn-{seq}",
                    thread_id(seq % THREADS),
                    (seq - 1) // THREADS,
                    f"c{(seq - 1) // THREADS}",
                )
                for seq in seqs
            ),
        )
        db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)",
            ((seq, n, *item) for seq in seqs for n, item in enumerate(items)),
        )
        db.execute("UPDATE clock SET tick = ?", (len(seqs),))
    db.close()


if __name__ == "__main__":
    main()
