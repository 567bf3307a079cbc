"""What the thread store costs when it has grown: 2,000 threads of 50 turns, asked in turn.

The large store is measured beside a small one with the same thread in it, and opening either beside the least
that SQLite needs for a file.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
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
from tests.benchmarks.measuring import Row, ratio, shown, times

THREADS = 2_000
FEW = 20
TURNS = 50
NOTEBOOK = 7
"""The number of the thread that is resumed."""
NEW_BAR = 3
OPEN_BAR = 5
OPEN_GROWTH_BAR = 2
RESUME_GROWTH_BAR = 4
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
    small = path.with_name("small.db")
    fill(path, THREADS)
    fill(small, FEW)
    size = f"{THREADS * TURNS:,} turns"
    yield shown(f"store: its file with {size}", f"{path.stat().st_size / 1e6:.0f} MB")
    names = itertools.count()
    yield ratio(
        "store: make a new one",
        "making a file of one table",
        NEW_BAR,
        *pairs(
            lambda: Store(path.with_name(f"new-{next(names)}")).close(),
            lambda: make_table(path.with_name(f"bare-{next(names)}")),
        ),
    )
    yield ratio(
        f"store: open it with {size}",
        "a query of the bare file",
        OPEN_BAR,
        *pairs(lambda: Store(path).close(), lambda: query(path)),
    )
    few = f"{FEW * TURNS:,}"
    yield ratio(
        f"store: open it with {size}",
        f"with {few}",
        OPEN_GROWTH_BAR,
        *pairs(lambda: Store(path).close(), lambda: Store(small).close()),
    )
    yield ratio(
        f"store: resume the notebook's thread among {size}",
        f"among {few}",
        RESUME_GROWTH_BAR,
        *pairs(lambda: resume(path), lambda: resume(small)),
    )
    with Store(path) as store:
        yield beside("store: a page of the newest threads", lambda: store.threads())
        yield beside("store: search all threads", lambda: store.threads(search_term="no such words"))
        yield beside("store: find a thread by its name", lambda: store.resolve("Thread 777"))
        yield beside("store: a turn of three items", lambda: a_turn(store))


def make_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE turns (id TEXT PRIMARY KEY)")


def query(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("SELECT id FROM turns LIMIT 1").fetchone()


def resume(path: Path) -> None:
    with Store(path) as store:
        store.recover()
        [claim] = store.notebook_claims(answers={}, cells=(), kernel=None, path=f"notebook-{NOTEBOOK}")
        thread = claim.notebook.thread_id
        store.thread(thread)
        turns = store.history(thread)
        assert [len(turn.items) for turn in turns] == [len(ITEMS)] * TURNS


def a_turn(store: Store) -> None:
    turn = store.begin_turn(thread_id(NOTEBOOK), cell_id="c7")
    for item, sent in ITEMS:
        store.add_item(turn.id, item, [sent])
    store.finish_turn(turn.id, TurnStatus.completed)


def beside(what: str, use: Callable[[], object]) -> Row:
    return shown(what, times([seconds(use) for _ in range(RUNS)]))


def pairs(use: Callable[[], object], least: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds of both, in turn."""
    mine, bases = zip(*((seconds(use), seconds(least)) for _ in range(RUNS)), strict=True)
    return list(mine), list(bases)


def seconds(use: Callable[[], object]) -> float:
    begun = time.perf_counter()
    use()
    return time.perf_counter() - begun


def thread_id(number: int) -> str:
    return f"0190{number:04d}-0000-7000-8000-{number:012d}"


def fill(path: Path, threads: int) -> None:
    """Every thread gets its next turn before any gets a second one: a thread's rows lie far apart."""
    with Store(path) as store:
        for number in range(threads):
            store.create_thread(thread_id=thread_id(number), name=f"Thread {number}")
            notebook = NotebookRecord(f"n{number}", thread_id(number), f"notebook-{number}")
            store.keep_notebook(notebook, kernel=None)
    items = [
        (item.id, item_type(item), encode_item(item).decode(), json.dumps([sent])) for item, sent in ITEMS
    ]
    seqs = range(1, threads * TURNS + 1)
    db = sqlite3.connect(path)
    with db:
        db.executemany(
            "INSERT INTO turns (seq, id, thread_id, position, cell_id, status, started_at)"
            " VALUES (?, ?, ?, ?, ?, 'completed', 1)",
            (
                (
                    seq,
                    f"turn-{seq}",
                    thread_id(seq % threads),
                    (seq - 1) // threads,
                    f"c{(seq - 1) // threads}",
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
