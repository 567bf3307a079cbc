"""A damaged file is called damaged, whatever SQLite says about it; and what is none is called what it is.

CODEX_MAGIC_DAMAGES=120 tries that many of each.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codex_magic import Codex
from codex_magic.protocol.errors import StoreError
from codex_magic.protocol.settings import Settings
from codex_magic.protocol.types import AgentMessage, TextInput, TurnStatus, UserMessage
from codex_magic.threads.store import Store

TRIES = int(os.environ.get("CODEX_MAGIC_DAMAGES", "10"))
PAGE = 4096


@pytest.fixture
def path(home: Path) -> Path:
    """A store with enough in it for all of its tables to have pages of their own."""
    path = Settings.from_env().home / "threads.db"
    with Store(path) as store:
        for number in range(12):
            thread = store.create_thread(thread_id=f"t{number}", name=f"Thread {number}")
            for _ in range(6):
                turn = store.begin_turn(thread.id, preview="why")
                store.add_item(turn.id, UserMessage("u", (TextInput("why? " * 50),)))
                store.add_item(turn.id, AgentMessage("m", "because " * 400), [{"type": "message"}])
                store.finish_turn(turn.id, TurnStatus.completed)
    return path


def cut(data: bytearray, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(1, len(data))])


def zeroed(data: bytearray, chance: random.Random) -> bytes:
    """Some pages are all zeros, as after a power cut."""
    for page in chance.sample(range(len(data) // PAGE), chance.randint(1, 8)):
        data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    return bytes(data)


def scribbled(data: bytearray, chance: random.Random) -> bytes:
    for page in chance.sample(range(len(data) // PAGE), chance.randint(1, 8)):
        data[page * PAGE : (page + 1) * PAGE] = chance.randbytes(PAGE)
    return bytes(data)


def headless(data: bytearray, chance: random.Random) -> bytes:
    """The header is another program's, or half of it is gone."""
    length = chance.randrange(16, 100)
    data[:length] = chance.randbytes(length)
    return bytes(data)


def flipped(data: bytearray, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 200)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def foreign(data: bytearray, chance: random.Random) -> bytes:
    """Another program's database."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE threads (a, b, c)")
    db.execute(f"PRAGMA user_version = {chance.choice([0, 1])}")
    return bytes(db.serialize())


DAMAGES = [cut, zeroed, scribbled, headless, flipped, foreign]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_called_damage_or_costs_nothing_that_is_asked_for(
    path: Path, damage: Callable[[bytearray, random.Random], bytes]
) -> None:
    whole = path.read_bytes()
    for seed in range(TRIES):
        for beside in path.parent.glob("threads.db-*"):
            beside.unlink()
        bad = damage(bytearray(whole), random.Random(seed))
        path.write_bytes(bad)
        error = all_used(path)
        if error is not None:
            assert "damaged" in error.message, (seed, error)
            assert "Rename it" in error.hint
            assert str(path) in error.message


def all_used(path: Path) -> StoreError | None:
    """What the first use fails with that fails. Anything but a StoreError fails the test."""
    try:
        with Store(path, timeout=0.1) as store:
            store.recover()
            for thread in store.threads().threads:
                store.history(thread.id)
            turn = store.begin_turn("t1" if store.has("t1") else store.create_thread().id)
            store.add_item(turn.id, AgentMessage("m", "x" * 20_000))
            store.finish_turn(turn.id, TurnStatus.completed)
    except StoreError as error:
        return error
    return None


# From Python ---------------------------------------------------------------------------------------


def test_a_store_that_cannot_be_opened_is_an_error_that_names_file_and_cause(
    path: Path, service: object
) -> None:
    path.write_bytes(path.read_bytes()[:10_000])
    with Codex() as codex:
        for use in (
            codex.thread_start,
            codex.thread_list,
            lambda: codex.thread_resume("t1"),
            lambda: codex.thread_fork("t1"),
        ):
            with pytest.raises(StoreError, match="its end is missing") as error:
                use()
            assert str(path) in str(error.value)
            assert "Rename it" in error.value.hint
    assert path.stat().st_size == 10_000


def test_a_store_is_used_as_soon_as_it_can_be(path: Path, service: object) -> None:
    good = path.read_bytes()
    path.write_bytes(b"no database, but long enough to be taken for one" * 100)
    with Codex() as codex:
        with pytest.raises(StoreError, match="damaged"):
            codex.thread_start()
        path.write_bytes(good)
        thread = codex.thread_resume("t1")
        thread.run("echo: on")
        assert len(thread.history()) == 7


def test_a_store_that_is_lost_meanwhile_is_no_answer_without_a_word(path: Path, service: object) -> None:
    """As on a full disk: the question can't be kept, and is not asked."""
    with Codex() as codex:
        thread = codex.thread_resume("t1")
        codex.call(codex.asynchronous.store.run(lambda store: store._db.execute("PRAGMA query_only = 1")))
        with pytest.raises(StoreError, match="can't be written"):
            thread.run("echo: on")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize(("mode", "words"), [(0o000, "can't be read"), (0o400, "can't be written")])
def test_a_file_of_somebody_else_is_called_that(path: Path, mode: int, words: str) -> None:
    path.chmod(mode)
    error = all_used(path)
    assert error is not None
    assert words in error.message
