"""Many threads in a store, as years of work would leave them."""

from __future__ import annotations

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


def fill(home: Path, number: int) -> None:
    """Keep so many threads of one turn each, the first one used last."""
    path = home / "threads.db"
    Store(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        for n in range(number):
            prompt = f"Question number {n}."
            used = NOW - 60 * n
            db.execute(
                "INSERT INTO threads (id, preview, engine, created_at, updated_at) VALUES (?, ?, 'backend', ?, ?)",
                (f"thread-{n}", prompt, used, used),
            )
            db.execute(
                "INSERT INTO turns (seq, id, thread_id, position, status, started_at) VALUES (?, ?, ?, 0, 'completed', ?)",
                (n + 1, f"turn-{n}", f"thread-{n}", used),
            )
            items: list[ThreadItem] = [
                UserMessage(f"u{n}", (TextInput(prompt),)),
                AgentMessage(f"a{n}", f"Answer {n}."),
            ]
            for place, item in enumerate(items):
                values = (n + 1, place, item.id, item_type(item), encode_item(item).decode())
                db.execute("INSERT INTO items (turn, n, id, type, json) VALUES (?, ?, ?, ?, ?)", values)
        db.execute("UPDATE clock SET tick = ?", (number,))
