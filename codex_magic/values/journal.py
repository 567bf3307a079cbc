"""What was answered to which question: the answers of `ask` and `map` themselves, and the turns of cells by their ids.

Whoever asks the same again, after a kill too, has them. A question is kept as a keyed digest alone.
"""

from __future__ import annotations

import hmac
import sqlite3
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType

import msgspec

from ..threads.database import connect, store_errors, while_locked
from ..waiting import undivided

KEPT_SECONDS = 30 * 86400.0
BUSY_SECONDS = 5.0
AT_ONCE = 500  # keys in one query

MIGRATIONS = (
    """
    CREATE TABLE answers (key BLOB NOT NULL PRIMARY KEY, text TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX answers_by_age ON answers (at);
    -- Tokens that moved a plan's limit by one percent, by the minutes of its window.
    CREATE TABLE shares (minutes INTEGER NOT NULL PRIMARY KEY, tokens REAL NOT NULL)
    """,
    """
    DELETE FROM answers;
    CREATE TABLE secret (value BLOB NOT NULL);
    INSERT INTO secret VALUES (randomblob(32));
    -- Turns of the thread store.
    CREATE TABLE questions (
        key BLOB NOT NULL, turn TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (key, turn)
    ) WITHOUT ROWID
    """,
    """
    -- What else is known of a turn's question. `source`: the key of its cell's text.
    CREATE TABLE asked (turn TEXT NOT NULL PRIMARY KEY, effort TEXT NOT NULL, source BLOB NOT NULL) WITHOUT ROWID
    """,
)


class Journal:
    """An open file, `values.db` in the store's folder. Raises StoreError for one that can't be used."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "values.db"
        with store_errors(self._path):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.touch(mode=0o600)
            self._db = connect(self._path, timeout=BUSY_SECONDS, migrations=MIGRATIONS)
        self._run("DELETE FROM answers WHERE at < ?", time.time() - KEPT_SECONDS)
        self._secret = bytes(self._run("SELECT value FROM secret").fetchone()["value"])

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def key(self, *parts: object) -> bytes:
        """Return what stands for a question: nothing of it can be read from the file, nor guessed without this
        user's secret, which is in it."""
        return hmac.digest(self._secret, msgspec.json.encode(parts), "sha256")

    def note_turn(self, keys: Iterable[bytes], turn_id: str, *, effort: str, source: str) -> None:
        """Note that the question behind these keys was answered in that turn, asked by a cell of this source."""
        for key in keys:
            self._run("INSERT OR REPLACE INTO questions VALUES (?, ?, ?)", key, turn_id, time.time())
        self._run(
            "INSERT OR REPLACE INTO asked VALUES (?, ?, ?)", turn_id, effort, self.key("source", source)
        )

    def asked(self, turn_id: str) -> tuple[str, bytes] | None:
        """Return the effort of a turn and the key of the source of its cell."""
        row = self._run("SELECT effort, source FROM asked WHERE turn = ?", turn_id).fetchone()
        return (str(row["effort"]), bytes(row["source"])) if row else None

    def turns(self, key: bytes) -> list[str]:
        """Return the turns that have answered this question, the latest first."""
        rows = self._run("SELECT turn FROM questions WHERE key = ? ORDER BY at DESC", key).fetchall()
        return [str(row["turn"]) for row in rows]

    def answers(self, keys: Iterable[bytes]) -> dict[bytes, str]:
        """Return those of the answers that are kept."""
        return dict(self._rows(iter(keys)))

    def keep(self, key: bytes, text: str) -> None:
        self._run("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", key, text, time.time())

    def share(self, minutes: int) -> float | None:
        """Return the tokens that moved the limit of a window of so many minutes by one percent, if that is known."""
        row = self._run("SELECT tokens FROM shares WHERE minutes = ?", minutes).fetchone()
        return float(row[0]) if row else None

    def keep_share(self, minutes: int, tokens: float) -> None:
        self._run("INSERT OR REPLACE INTO shares VALUES (?, ?)", minutes, tokens)

    def close(self) -> None:
        self._db.close()

    def _rows(self, keys: Iterator[bytes]) -> Iterator[tuple[bytes, str]]:
        while batch := list(islice(keys, AT_ONCE)):
            marks = ", ".join("?" * len(batch))
            found = self._run(f"SELECT key, text FROM answers WHERE key IN ({marks})", *batch).fetchall()
            yield from ((bytes(key), text) for key, text in found)

    def _run(self, statement: str, *values: object) -> sqlite3.Cursor:
        with undivided(), store_errors(self._path):
            return while_locked(lambda: self._db.execute(statement, values), timeout=BUSY_SECONDS)
