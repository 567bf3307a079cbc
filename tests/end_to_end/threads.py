"""Many threads in a store, as years of work would leave them."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

from codex_magic.protocol.types import (
    AgentMessage,
    TextInput,
    ThreadItem,
    UserMessage,
    encode_item,
    item_type,
)
from codex_magic.threads.store import Store

NOW = 1_790_000_000
"""Unix seconds; each thread is a minute older than the one before it."""


def fill(home: Path, number: int, *, turns: int = 1) -> None:
    """Keep so many threads of so many turns each, the first one used last."""
    path = home / "threads.db"
    Store(path).close()
    seqs = itertools.count(1)
    with closing(sqlite3.connect(path)) as db, db:
        for n in range(number):
            used = NOW - 60 * n
            db.execute(
                "INSERT INTO threads (id, preview, engine, created_at, updated_at)"
                " VALUES (?, ?, 'backend', ?, ?)",
                (f"thread-{n}", f"Question number {n}.", used, used),
            )
            for position in range(turns):
                seq = next(seqs)
                db.execute(
                    "INSERT INTO turns (seq, id, thread_id, position, status, started_at)"
                    " VALUES (?, ?, ?, ?, 'completed', ?)",
                    (seq, f"turn-{seq}", f"thread-{n}", position, used),
                )
                items: list[ThreadItem] = [
                    UserMessage(f"u{seq}", (TextInput(f"Question number {n}."),)),
                    AgentMessage(f"a{seq}", f"Answer {position}."),
                ]
                for place, item in enumerate(items):
                    values = (seq, place, item.id, item_type(item), encode_item(item).decode())
                    db.execute("INSERT INTO items (turn, n, id, type, json) VALUES (?, ?, ?, ?, ?)", values)
        db.execute("UPDATE clock SET tick = ?", (next(seqs),))
