"""A file that can't be read or written gives one sentence with its name, and loses nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from codex_magic.protocol.errors import StoreError
from codex_magic.protocol.types import AgentMessage, UnknownItem
from codex_magic.threads.database import MIGRATIONS, migrate, schema_version
from codex_magic.threads.store import Store

NO_ROOM = """
import resource, sys
from codex_magic.protocol.errors import StoreError
from codex_magic.protocol.types import AgentMessage
from codex_magic.threads.store import Store
store = Store(sys.argv[1])
turn = store.begin_turn(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.add_item(turn.id, AgentMessage("m", "x" * 200_000))
except StoreError as error:
    print(error)
store.add_item(turn.id, AgentMessage("m", "short"))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of one thread with one turn that is long enough for several pages."""
    path = tmp_path / "threads.db"
    with Store(path) as store:
        thread = store.create_thread(thread_id="t1")
        turn = store.begin_turn(thread.id, turn_id="u1")
        store.add_item(turn.id, AgentMessage("m", "y" * 50_000))
    return path


def failure(path: Path, use: Callable[[Store], object]) -> StoreError:
    with pytest.raises(StoreError) as caught, Store(path, timeout=0.1) as store:
        use(store)
    assert "CODEX_MAGIC_HOME" in caught.value.hint or caught.value.hint.startswith("Rename")
    assert str(path) in caught.value.message
    return caught.value


def read(store: Store) -> object:
    return store.history("t1")


def test_random_bytes_are_no_store_and_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    path.write_bytes(bytes(range(256)) * 40)
    assert "damaged" in failure(path, read).message
    assert path.read_bytes() == bytes(range(256)) * 40


def test_a_truncated_store_is_damaged(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
    assert "damaged" in failure(path, read).message


@pytest.mark.parametrize(
    "broken",
    [
        b'{"type":"agentMessage,',
        b'{"type":"agentMessa\xff\xfe"',
        b'["type","agentMessage"',
        b'{"type":["agentMessa"]',
    ],
)
def test_a_row_that_cannot_be_read_any_more_costs_that_item_alone(path: Path, broken: bytes) -> None:
    path.write_bytes(path.read_bytes().replace(b'{"type":"agentMessage"', broken))
    with Store(path) as store:
        store.add_item("u1", AgentMessage("m", "more"))
        lost, kept = store.history("t1")[0].items
    assert isinstance(lost.item, UnknownItem)
    assert "y" * 50_000 in str(lost.item.raw)
    assert kept.item == AgentMessage("m", "more")


@pytest.mark.parametrize("column", ["status", "error", "usage", "owner"])
def test_a_word_about_a_turn_that_cannot_be_read_any_more_costs_that_word_alone(
    path: Path, column: str
) -> None:
    db = sqlite3.connect(path)
    db.execute(f"UPDATE turns SET {column} = '{{'")
    db.commit()
    db.close()
    with Store(path) as store:
        store.recover()
        assert len(store.history("t1")[0].items) == 1


def test_a_newer_schema_is_not_touched(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = path.read_bytes()
    error = failure(path, read)
    assert "newer" in error.message
    assert "install -U" in error.hint
    assert path.read_bytes() == before


def test_a_read_only_file_can_be_read(path: Path) -> None:
    """Byte 18 of the header above 2 is SQLite's own mark for it, and holds for root too."""
    data = bytearray(path.read_bytes())
    data[18] = 3
    path.write_bytes(data)
    with Store(path) as store:
        assert len(store.history("t1")) == 1
    assert "can't be written" in failure(path, lambda store: store.begin_turn("t1")).message


def test_a_read_only_file_where_wal_cannot_work_cannot_be_opened(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[18] = 3
    path.write_bytes(data)
    path.with_name("threads.db-wal").mkdir()
    assert "can't be opened" in failure(path, read).message


def test_a_folder_in_the_place_of_the_file_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    path.mkdir()
    assert "is a folder" in failure(path, read).message


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names")
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.symlink("/dev/null", path)] if os.name == "posix" else []
)
def test_a_pipe_or_a_device_in_the_place_of_the_file_is_no_failed_disk(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "threads.db")
    assert "not a file" in failure(tmp_path / "threads.db", read).message


def test_a_home_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    assert "can't be made" in failure(tmp_path / "home" / "codex-magic" / "threads.db", read).message


def test_a_full_disk_keeps_what_was_there(path: Path) -> None:
    def fill(store: Store) -> None:
        store._db.execute("PRAGMA max_page_count = 1")  # SQLite's own way to a disk without space
        store.add_item("u1", AgentMessage("m", "x" * 200_000))

    assert "no space" in failure(path, fill).message
    with Store(path) as store:
        assert len(store.turn("u1").items) == 1
        store.add_item("u1", AgentMessage("m", "x" * 200_000))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on file sizes there")
def test_a_disk_that_fails_in_the_middle_of_a_write_keeps_what_was_there(path: Path) -> None:
    command = [sys.executable, "-c", NO_ROOM, str(path), "t1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert str(path) in done.stdout
    with Store(path) as store:
        assert [len(turn.items) for turn in store.history("t1")] == [1, 1]


def test_half_a_character_is_refused(path: Path) -> None:
    with Store(path) as store:
        with pytest.raises(StoreError, match="surrogate"):
            store.set_name("t1", "\ud83d")
        with pytest.raises(StoreError, match="surrogate"):
            store.add_item("u1", AgentMessage("m", "\ud83d"))
        assert len(store.turn("u1").items) == 1


def test_a_closed_store_is_an_error(path: Path) -> None:
    store = Store(path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.threads()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are not modes there")
def test_only_its_owner_can_read_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "home" / "threads.db"
    with Store(path) as store:
        store.create_thread()
        files = list(path.parent.iterdir())
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_a_store_of_every_older_version_opens(tmp_path: Path, version: int) -> None:
    path = tmp_path / "threads.db"
    db = sqlite3.connect(path, isolation_level=None)
    migrate(db, MIGRATIONS[:version])
    assert schema_version(db) == version
    db.close()
    with Store(path) as store:
        assert store.create_thread().id


def test_a_migration_that_fails_leaves_the_version_before(tmp_path: Path) -> None:
    broken = "CREATE TABLE half (a); SELECT * FROM missing"
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, (*MIGRATIONS, broken))
    assert schema_version(db) == len(MIGRATIONS)
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'half'").fetchone() == (0,)
    db.close()


def test_a_migration_another_process_has_just_made_is_not_made_again(tmp_path: Path) -> None:
    class Late(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if sql == "BEGIN IMMEDIATE":
                migrate(other, MIGRATIONS)
            return super().execute(sql, *values)

    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None, factory=Late)
    migrate(db, MIGRATIONS)
    assert schema_version(db) == len(MIGRATIONS)
    db.close()
    other.close()
