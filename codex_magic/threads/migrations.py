"""The schema of threads.db as numbered steps; `PRAGMA user_version` holds the number of the last one.

A step is never edited once released: the next change is the next function.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import TypeVar

R = TypeVar("R")
Migration = Callable[[sqlite3.Connection], None]


def schema_version(db: sqlite3.Connection) -> int:
    """The number of the last migration this file has seen; 0 for a new file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection, migrations: tuple[Migration, ...]) -> None:
    """Run what is missing, each step in one transaction: a kill between two leaves a valid older schema."""
    for number, step in enumerate(migrations, start=1):
        if schema_version(db) < number:
            in_transaction(db, "BEGIN IMMEDIATE", partial(_run, db, number, step))


def _run(db: sqlite3.Connection, number: int, step: Migration) -> None:
    if schema_version(db) < number:  # another kernel may have been quicker while we waited for the lock
        step(db)
        db.execute(f"PRAGMA user_version = {number}")


def in_transaction(db: sqlite3.Connection, begin: str, work: Callable[[], R]) -> R:
    """Return the result of `work`, committed; undo it where it fails."""
    try:
        db.execute(begin)
        result = work()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return result


def threads_turns_items(db: sqlite3.Connection) -> None:
    """Threads with their turns and items, the notebooks' current threads, and the clock."""
    for statement in (
        # One tick for each change of any history. A version of a turn is current at the ticks
        # seq <= tick < removed_at, so a fork can read its parent as it was at the fork's tick.
        "CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 0), tick INTEGER NOT NULL)",
        "INSERT INTO clock VALUES (0, 0)",
        """
        CREATE TABLE threads (
            id TEXT NOT NULL PRIMARY KEY,
            name TEXT,
            preview TEXT NOT NULL DEFAULT '',
            cwd TEXT NOT NULL DEFAULT '',
            notebook TEXT,
            provider TEXT,
            model TEXT,
            engine TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            archived_at INTEGER,
            forked_from TEXT REFERENCES threads (id),
            forked_at_seq INTEGER,
            forked_at_position INTEGER
        )
        """,
        "CREATE INDEX threads_by_update ON threads (updated_at, id)",
        "CREATE INDEX threads_by_creation ON threads (created_at, id)",
        """
        CREATE TABLE turns (
            seq INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            thread_id TEXT NOT NULL REFERENCES threads (id),
            position INTEGER NOT NULL,
            cell_id TEXT,
            status TEXT NOT NULL,
            error TEXT,
            usage TEXT,
            provider TEXT,
            model TEXT,
            started_at INTEGER NOT NULL,
            completed_at INTEGER,
            duration_ms INTEGER,
            removed_at INTEGER,
            replaces TEXT,
            owner TEXT
        )
        """,
        "CREATE INDEX turns_by_thread ON turns (thread_id, position)",
        "CREATE UNIQUE INDEX current_turns ON turns (thread_id, position) WHERE removed_at IS NULL",
        "CREATE INDEX turns_in_progress ON turns (seq) WHERE status = 'inProgress'",
        # Turns of a fork's past that the fork itself replaced or reverted; the parent keeps them.
        """
        CREATE TABLE hidden (
            thread_id TEXT NOT NULL REFERENCES threads (id),
            turn INTEGER NOT NULL REFERENCES turns (seq),
            seq INTEGER NOT NULL,
            PRIMARY KEY (thread_id, turn)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE items (
            turn INTEGER NOT NULL REFERENCES turns (seq),
            n INTEGER NOT NULL,
            id TEXT NOT NULL,
            type TEXT NOT NULL,
            json TEXT NOT NULL,
            response_item TEXT
        )
        """,
        "CREATE UNIQUE INDEX items_in_order ON items (turn, n)",
        """
        CREATE TABLE notebooks (
            key TEXT NOT NULL PRIMARY KEY,
            thread_id TEXT NOT NULL REFERENCES threads (id)
        ) WITHOUT ROWID
        """,
    ):
        db.execute(statement)


def places(db: sqlite3.Connection) -> None:
    """Where the app-server keeps a turn."""
    db.execute(
        """
        CREATE TABLE places (
            n INTEGER PRIMARY KEY,
            turn TEXT NOT NULL UNIQUE REFERENCES turns (id),
            engine_thread TEXT NOT NULL,
            engine_turn TEXT NOT NULL,
            past TEXT NOT NULL,
            tools TEXT NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX places_by_thread ON places (engine_thread, n)")


def several_response_items(db: sqlite3.Connection) -> None:
    """A tool call is sent again as two items, the call and its output."""
    db.execute("ALTER TABLE items RENAME COLUMN response_item TO response_items")
    db.execute(
        "UPDATE items SET response_items = json_array(json(response_items)) WHERE response_items IS NOT NULL"
    )


def partial_items(db: sqlite3.Connection) -> None:
    """Items as they are produced, and signs of life of who runs a turn."""
    for statement in (
        # A row is what came of an item since the last one; in its first row stands the item as it began.
        # They go when the item is whole. The id of a turn's question is the turn's.
        """
        CREATE TABLE partials (
            n INTEGER PRIMARY KEY,
            turn INTEGER NOT NULL REFERENCES turns (seq),
            id TEXT NOT NULL,
            json TEXT,
            response_items TEXT,
            part INTEGER NOT NULL DEFAULT 0,
            text TEXT NOT NULL DEFAULT ''
        )
        """,
        "CREATE INDEX partials_by_turn ON partials (turn, id)",
        "ALTER TABLE turns ADD COLUMN alive_at INTEGER",
        # 1 in a turn whose process died, until its thread has been told.
        "ALTER TABLE turns ADD COLUMN cut_off INTEGER",
    ):
        db.execute(statement)


def notebooks_of_their_own(db: sqlite3.Connection) -> None:
    """A notebook has an id of its own, which its turns carry; paths and kernels only point to it."""
    for statement in (
        "ALTER TABLE notebooks RENAME TO paths",
        """
        CREATE TABLE notebooks (
            id TEXT NOT NULL PRIMARY KEY,
            thread_id TEXT NOT NULL REFERENCES threads (id),
            path TEXT,
            copied_from TEXT REFERENCES notebooks (id)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX notebooks_by_path ON notebooks (path)",
        """
        CREATE TABLE kernels (
            id TEXT NOT NULL PRIMARY KEY,
            notebook TEXT NOT NULL REFERENCES notebooks (id),
            owner TEXT NOT NULL
        ) WITHOUT ROWID
        """,
        "CREATE INDEX kernels_by_notebook ON kernels (notebook)",
        "ALTER TABLE turns ADD COLUMN notebook TEXT",
        "INSERT INTO notebooks SELECT key, thread_id, substr(key, 6), NULL FROM paths WHERE key LIKE 'path:%'",
        # Of two paths that shared a thread the later turns can't be told apart: it is the first one's.
        """
        UPDATE turns SET notebook = (SELECT min(id) FROM notebooks WHERE notebooks.thread_id = turns.thread_id)
        WHERE cell_id IS NOT NULL
        """,
        "CREATE INDEX turns_by_cell ON turns (cell_id, notebook) WHERE cell_id IS NOT NULL",
        "DROP TABLE paths",
    ):
        db.execute(statement)


MIGRATIONS: tuple[Migration, ...] = (
    threads_turns_items,
    places,
    several_response_items,
    partial_items,
    notebooks_of_their_own,
)
