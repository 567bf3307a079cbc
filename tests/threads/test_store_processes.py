"""Several kernels on one file, and kernels that die: real processes, kept in step by their pipes."""

from __future__ import annotations

import _thread
import os
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from codex_magic.protocol.errors import StoreError
from codex_magic.protocol.types import AgentMessage, TurnStatus
from codex_magic.threads.owner import SILENT_SECONDS, Owner, is_alive, this_process
from codex_magic.threads.partial import Piece
from codex_magic.threads.store import Store
from tests.known import some, the

PREAMBLE = """
import sys
from codex_magic.protocol.types import AgentMessage, TurnStatus
from codex_magic.threads.store import Store
"""

APPEND = """
path, shared, own = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
with Store(path, timeout=60) as store:
    for n in range(100):
        for thread in (shared, own):
            turn = store.begin_turn(thread)
            store.add_item(turn.id, AgentMessage("m", f"{own} {n}"))
            store.finish_turn(turn.id, TurnStatus.completed)
"""

WRITE_ITEMS = """
store = Store(sys.argv[1])
turn = store.begin_turn(sys.argv[2])
for n in range(1_000_000):
    store.add_item(turn.id, AgentMessage("m", str(n)))
    print(n, flush=True)
"""

OPEN = """
print("ready", flush=True)
sys.stdin.readline()
Store(sys.argv[1], timeout=60).create_thread()
"""

HOLD_LOCK = """
import sqlite3
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE" if sys.argv[2:] else "BEGIN IMMEDIATE")
print("ready", flush=True)
sys.stdin.readline()
db.execute("ROLLBACK")
print("released", flush=True)
"""

Child = subprocess.Popen[str]


@contextmanager
def child(code: str, *arguments: Path | str) -> Iterator[Child]:
    command = [sys.executable, "-c", PREAMBLE + code, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_line(process: Child) -> str:
    line = process.stdout.readline() if process.stdout else ""
    assert line, "the child ended"
    return line.strip()


def go(process: Child) -> None:
    some(process.stdin).write("go\n")
    some(process.stdin).flush()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "threads.db"


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_two_processes_append_to_one_store_at_once(path: Path, journal: str) -> None:
    if journal == "delete":
        path.with_name(path.name + "-shm").mkdir()
    with Store(path) as store:
        shared, first, second = (store.create_thread().id for _ in range(3))
        with child(APPEND, path, shared, first) as one, child(APPEND, path, shared, second) as two:
            for process in (one, two):
                wait_for_line(process)
            for process in (one, two):
                go(process)
            assert [process.wait() for process in (one, two)] == [0, 0]
        for thread in (first, second):
            expected = [f"{thread} {n}" for n in range(100)]
            assert texts(store, thread) == expected
            assert [text for text in texts(store, shared) if text.startswith(thread)] == expected
        assert [turn.position for turn in store.history(shared)] == list(range(200))


def texts(store: Store, thread: str) -> list[str]:
    return [the(AgentMessage, entry.item).text for turn in store.history(thread) for entry in turn.items]


def test_processes_that_open_a_new_store_at_once_all_succeed(path: Path) -> None:
    with child(OPEN, path) as one, child(OPEN, path) as two, child(OPEN, path) as three:
        for process in (one, two, three):
            wait_for_line(process)
        for process in (one, two, three):
            go(process)
        assert [process.wait() for process in (one, two, three)] == [0, 0, 0]
    with Store(path) as store:
        assert len(store.threads().threads) == 3


def test_a_killed_process_loses_at_most_the_item_in_flight(path: Path) -> None:
    with Store(path) as store:
        thread = store.create_thread().id
    with child(WRITE_ITEMS, path, thread) as process:
        while wait_for_line(process) != "50":
            pass
        process.kill()
        told = 51 + len(some(process.stdout).read().splitlines())
    assert integrity(path) == "ok"
    with Store(path) as store:
        assert [turn.status for turn in store.recover()] == [TurnStatus.interrupted]
        kept = texts(store, thread)
        assert kept == [str(n) for n in range(len(kept))]
        assert len(kept) in (told - 1, told, told + 1)


def integrity(path: Path) -> str:
    db = sqlite3.connect(path)
    try:
        return str(db.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        db.close()


def test_only_one_of_two_sessions_is_told_of_an_interrupted_turn(path: Path) -> None:
    with Store(path) as one, Store(path) as two:
        thread = one.create_thread().id
        with child(WRITE_ITEMS, path, thread) as process:
            wait_for_line(process)
            assert one.recover() == []
            process.kill()
        assert [turn.thread_id for turn in one.recover()] == [thread]
        assert two.recover() == []


def test_a_turn_that_goes_on_here_is_not_taken_for_dead(path: Path) -> None:
    with Store(path) as store:
        turn = store.begin_turn(store.create_thread().id)
        assert store.recover() == []
        store.finish_turn(turn.id, TurnStatus.completed)
        assert store.turn(turn.id).status is TurnStatus.completed


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def elsewhere(path: Path) -> Iterator[tuple[Store, Store, Clock]]:
    """A store of another machine, or of another container on this one, and ours; and the clock of both."""
    clock = Clock()
    owner = msgspec.structs.replace(this_process(), host="elsewhere", machine="elsewhere")
    with Store(path, clock=clock, owner=owner) as other, Store(path, clock=clock) as ours:
        yield other, ours, clock


def test_a_process_elsewhere_is_alive_as_long_as_it_gives_signs(
    elsewhere: tuple[Store, Store, Clock],
) -> None:
    other, ours, clock = elsewhere
    turn = other.begin_turn(other.create_thread().id).id
    for _ in range(3):
        clock.now += SILENT_SECONDS - 1
        other.renew([turn])
        assert ours.recover() == []
    clock.now += SILENT_SECONDS
    assert [found.id for found in ours.recover()] == [turn]


def test_a_process_that_was_only_suspended_takes_its_turn_back(
    elsewhere: tuple[Store, Store, Clock],
) -> None:
    other, ours, clock = elsewhere
    turn = other.begin_turn(other.create_thread().id)
    clock.now += 8 * 3600
    assert ours.take_cut_off(turn.thread_id)
    other.renew([turn.id])
    assert ours.recover() == []
    assert ours.turn(turn.id).status is TurnStatus.in_progress
    assert ours.take_cut_off(turn.thread_id) == []
    other.finish_turn(turn.id, TurnStatus.completed)
    other.renew([turn.id])
    assert ours.turn(turn.id).status is TurnStatus.completed


@pytest.mark.parametrize("hours", [-8, 8])
def test_a_clock_that_was_set_does_not_keep_a_dead_turn_for_long(
    elsewhere: tuple[Store, Store, Clock], hours: int
) -> None:
    other, ours, clock = elsewhere
    turn = other.begin_turn(other.create_thread().id)
    clock.now += hours * 3600
    assert [found.id for found in ours.recover()] == [turn.id]


def test_what_runs_here_is_alive_whatever_the_clock_and_the_name_of_the_host_say(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with Store(path, clock=clock) as store:
        store.begin_turn(store.create_thread().id)
        clock.now += 8 * 3600
        monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
        assert store.recover() == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a machine is its host's name")
def test_a_new_name_of_the_host_does_not_keep_a_dead_turn(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a hub whose servers get a new name at every start."""
    with Store(path) as store:
        thread = store.create_thread().id
        with child(WRITE_ITEMS, path, thread) as process:
            wait_for_line(process)
            process.kill()
        monkeypatch.setattr(socket, "gethostname", lambda: "the-next-one")
        assert len(store.recover()) == 1


def test_the_end_of_a_turn_wins_over_its_recovery(elsewhere: tuple[Store, Store, Clock]) -> None:
    other, ours, clock = elsewhere
    turn = other.begin_turn(other.create_thread().id)
    other.add_pieces(turn.id, [Piece("a", AgentMessage("a", ""), 0, ""), Piece("a", None, 0, "half")])
    clock.now += 8 * 3600
    assert [found.id for found in ours.recover()] == [turn.id]
    assert [entry.item for entry in ours.turn(turn.id).items] == [AgentMessage("a", "half")]
    other.add_item(turn.id, AgentMessage("a", "half and half"))
    other.finish_turn(turn.id, TurnStatus.completed)
    kept = ours.turn(turn.id)
    assert kept.status is TurnStatus.completed
    assert [entry.item for entry in kept.items] == [AgentMessage("a", "half and half")]


def test_a_process_that_has_ended_is_dead() -> None:
    with child("print(1, flush=True); sys.stdin.readline()") as process:
        wait_for_line(process)
        owner = msgspec.structs.replace(this_process(), pid=process.pid, start=None)
        assert is_alive(owner, silent=0)
        process.kill()
        process.wait()
        assert not is_alive(owner, silent=0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how a process ended")
def test_a_killed_process_is_dead_before_its_parent_has_asked() -> None:
    code = "from codex_magic.threads.owner import this_process; print(this_process().start, flush=True)"
    with child(code + "; sys.stdin.readline()") as process:
        owner = msgspec.structs.replace(this_process(), pid=process.pid, start=wait_for_line(process))
        assert is_alive(owner, silent=0)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(owner, silent=0)


def test_a_process_number_used_again_is_another_process() -> None:
    here = this_process()
    again = msgspec.structs.replace(here, start="1")
    assert here.start is None or not is_alive(again, silent=0)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system keeps the time of a start")
def test_a_clock_that_is_set_makes_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    here = this_process()
    boot = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot + 3600)
    assert is_alive(here, silent=0)


def test_a_process_of_an_older_version_is_looked_at_by_its_host() -> None:
    here = this_process()
    assert is_alive(Owner(here.host, here.pid, here.start), silent=0)
    assert not is_alive(Owner("elsewhere", here.pid, here.start), silent=SILENT_SECONDS)


def test_a_lock_that_stays_is_an_error_and_reading_goes_on(path: Path) -> None:
    with Store(path, timeout=0.1) as store:
        thread = store.create_thread()
        with child(HOLD_LOCK, path) as process:
            wait_for_line(process)
            with pytest.raises(StoreError, match="locked"):
                store.create_thread()
            assert store.threads().threads == (thread,)
        assert store.create_thread() != thread


def test_a_store_can_be_opened_and_read_while_another_process_writes(path: Path) -> None:
    Store(path).close()
    with child(HOLD_LOCK, path) as process:
        wait_for_line(process)
        with Store(path, timeout=0.1) as store:
            assert store.threads().threads == ()


def test_a_new_file_locked_while_it_is_opened_is_an_error(path: Path) -> None:
    with child(HOLD_LOCK, path, "exclusive") as process:
        wait_for_line(process)
        with pytest.raises(StoreError, match="locked"):
            Store(path, timeout=0.1)


def test_a_lock_that_goes_is_waited_for(path: Path) -> None:
    with Store(path, timeout=60) as store, ThreadPoolExecutor(1) as other:
        with child(HOLD_LOCK, path) as process:
            wait_for_line(process)
            writing = other.submit(store.create_thread)
            go(process)
            assert wait_for_line(process) == "released"
        assert writing.result().id


@pytest.mark.timeout(20)
def test_ctrl_c_ends_the_wait_for_a_lock(path: Path) -> None:
    with Store(path, timeout=60) as store:
        with child(HOLD_LOCK, path) as process:
            wait_for_line(process)
            threading.Timer(0.2, _thread.interrupt_main).start()
            with pytest.raises(KeyboardInterrupt):
                store.create_thread()
        assert store.create_thread().id


def test_threads_of_one_process_take_turns(path: Path) -> None:
    with Store(path) as store, ThreadPoolExecutor(4) as pool:
        thread = store.create_thread().id
        turns = list(pool.map(lambda _: store.begin_turn(thread), range(40)))
        list(pool.map(lambda turn: store.add_item(turn.id, AgentMessage("m", "x")), turns))
        assert sorted(turn.position for turn in turns) == list(range(40))
        assert texts(store, thread) == ["x"] * 40
