"""A value of another type in any column of the file costs what it says, and nothing else in the store.

CODEX_MAGIC_ODD_ROWS=2000 tries that many.
"""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from codex_magic import Codex, CodexError, StoreError
from codex_magic.protocol.settings import Settings
from codex_magic.protocol.types import AgentMessage, TextInput, TurnPlace, TurnStatus, UserMessage
from codex_magic.threads.partial import Piece
from codex_magic.threads.store import NotebookRecord, Store

TRIES = int(os.environ.get("CODEX_MAGIC_ODD_ROWS", "60"))

VALUES = [
    *(None, 0, -1, 2**62, 1.5, "", "x", "null", "7", "[7]", "{}", "NaN", "[NaN]", b"\xff\xfe", b"", "\x00"),
    *('{"type": 7}', '{"type": "agentMessage", "id": 7, "text": ["x"]}', '[{"type": ["x"]}]', "inProgress"),
    *('{"host": "h", "pid": -1, "start": "x"}', '{"host": 1}', '{"message": 7}', "t0", "t1"),
    *("[" * 100_000, "[" * 2000 + "]" * 2000, '{"a":' * 5000 + "1" + "}" * 5000),
]


@pytest.fixture
def path(home: Path) -> Path:
    """A store with a row in every table; the first rows belong to the thread t0, none to t2."""
    path = Settings.from_env().home / "threads.db"
    with Store(path) as store:
        for name in ("t0", "t2"):
            store.create_thread(thread_id=name)
            store.keep_notebook(NotebookRecord(name, name, f"/{name}", None), kernel=name)
            for cell in ("a", "b"):
                turn = store.begin_turn(name, cell_id=cell, notebook=name)
                store.add_item(turn.id, UserMessage("u", (TextInput("why?"),)), [{"type": "message"}])
                store.add_item(turn.id, AgentMessage("m", "because"), [{"type": "message"}])
                store.place_turn(turn.id, TurnPlace(name, turn.id))
                store.finish_turn(turn.id, TurnStatus.completed)
            running = store.begin_turn(name)
            store.add_pieces(
                running.id, [Piece("p", AgentMessage("p", ""), 0, ""), Piece("p", None, 0, "so")]
            )
        fork = store.fork("t0")
        store.begin_turn(fork.id, cell_id="a", notebook="t0")
    return path


def test_a_value_of_another_type_costs_no_other_thread(path: Path) -> None:
    for seed in range(TRIES):
        whole = path.read_bytes()
        change = spoil(path, random.Random(seed))
        with Codex() as codex:
            assert "t2" in [thread.id for thread in codex.thread_list().threads], (seed, change)
            history = codex.thread_resume("t2").history()
            assert [len(turn.items) for turn in history] == [2, 2, 1], (seed, change)
            for thread in codex.thread_list().threads:
                with suppress(CodexError):
                    codex.thread_resume(thread.id).read(include_turns=True)
                with suppress(CodexError):
                    codex.thread_fork(thread.id)
                with suppress(CodexError):
                    codex.thread_resume(thread.id).revert(codex.thread_resume(thread.id).history()[0].id)
        for beside in path.parent.glob("threads.db-*"):
            beside.unlink()
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "spoiling",
    [
        "UPDATE partials SET text = x'fffe' WHERE text = 'so'",
        "UPDATE partials SET part = '{}' WHERE text = 'so'",
        "UPDATE turns SET alive_at = 'x', started_at = '[7]' WHERE status = 'inProgress'",
        "UPDATE turns SET usage = '[7]', model = x'ff', completed_at = 'x', duration_ms = 1.5",
        "UPDATE threads SET updated_at = 'x', name = x'ff', forked_at_position = 'x'",
        "UPDATE kernels SET owner = '" + "[" * 2000 + "'",
    ],
)
def test_an_odd_value_is_left_out_and_its_thread_is_used_on(
    path: Path, service: object, spoiling: str
) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(spoiling)
    with Codex() as codex:
        assert len(codex.thread_list().threads) == 3
        thread = codex.thread_resume("t0")
        assert [len(turn.items) for turn in thread.history()[:2]] == [2, 2]
        assert thread.run("echo: on").final_response == "on"
        assert thread.read(include_turns=True).thread.turns[-1].status is TurnStatus.completed


def test_forks_in_a_circle_are_called_damage(path: Path) -> None:
    circle = "forked_from = id, forked_at_seq = 1, forked_at_position = 0"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"UPDATE threads SET {circle} WHERE id = 't0'")
    with Codex() as codex:
        with pytest.raises(StoreError, match="damaged"):
            codex.thread_resume("t0").history()
        assert len(codex.thread_resume("t2").history()) == 3


KEYS = {
    "threads": "id",
    "turns": "seq",
    "items": "rowid",
    "partials": "n",
    "places": "n",
    "hidden": "turn",
} | {
    "notebooks": "id",
    "kernels": "id",
}


def spoil(path: Path, chance: random.Random) -> str:
    """Put a value of any type into one column of the first row of a table."""
    table, key = chance.choice(list(KEYS.items()))
    db = sqlite3.connect(path)
    column = chance.choice([each[1] for each in db.execute(f"PRAGMA table_info({table})")])
    value = chance.choice(VALUES)
    where = f"{key} = (SELECT min({key}) FROM {table})"
    with suppress(sqlite3.IntegrityError):  # SQLite itself refuses it
        db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {where}", (value,))
    db.commit()
    db.close()
    return f"{table}.{column} = {value!r:.50}"
