"""The SQLite file of the thread store: its schema, its journal, its locks and its failures.

WAL lets several kernels read and write at once, but its index is shared memory: on a file system
that other machines mount too it corrupts the file (https://sqlite.org/wal.html, "All processes
using a database must be on the same host"). There the rollback journal is used.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import psutil

from ..protocol.errors import StoreError

R = TypeVar("R")

_SHARED = re.compile(
    "nfs.?|cifs|smb.*|afpfs|webdav|davfs|ncpfs|afs|auristorfs|coda"
    "|lustre|gpfs|ceph|beegfs|glusterfs|gfs2|ocfs2|orangefs|pvfs2|panfs|weka.*|acfs"
    "|9p|drvfs|virtiofs|vboxsf|vmhgfs|prl_fs|fakeowner|osxfs|macfuse|osxfuse"
)
"""File systems whose files another machine (or a virtual machine's host) may have open too."""

_LOCAL_FUSE = re.compile("fuseblk|fuse[.](fuse-overlayfs|ntfs-3g|ntfs|exfat|ecryptfs)")
"""FUSE file systems of this machine's own disks; any other may be sshfs, gcsfuse, rclone ..."""


def connect(path: Path, *, timeout: float, migrations: tuple[str, ...] | None = None) -> sqlite3.Connection:
    """Open the file with WAL where it is safe; without it where it is not, or turns out not to work.

    `migrations`: the schema of another file than the thread store.
    """
    steps = MIGRATIONS if migrations is None else migrations
    if wal_is_safe(path.parent):
        try:
            return _open(path, enter_wal, steps, timeout=timeout)
        except sqlite3.OperationalError as error:
            if is_locked(error):
                raise
    return _open(path, leave_wal, steps, timeout=timeout)


def _open(
    path: Path,
    choose_journal: Callable[[sqlite3.Connection], None],
    migrations: tuple[str, ...],
    *,
    timeout: float,
) -> sqlite3.Connection:
    def prepare() -> None:
        choose_journal(db)
        version, ours = schema_version(db), len(migrations)
        if not 0 <= version <= 10_000:  # no number that we write, whatever we become
            raise damaged(path)
        if version > ours:
            newer = f"{path} was written by a newer codex_magic (schema {version}, this one knows {ours})"
            raise _fault(newer, "Run `%pip install -U codex-magic` and restart the kernel")
        migrate(db, migrations)
        db.execute("PRAGMA foreign_keys = ON")

    # SQLite itself waits for a lock only so long; the rest is waited in Python, where Ctrl-C works.
    db = sqlite3.connect(path, timeout=0.05, isolation_level=None, check_same_thread=False)
    try:
        while_locked(prepare, timeout=timeout)
    except BaseException:
        db.close()
        raise
    db.row_factory = sqlite3.Row
    db.text_factory = lambda text: str(text, "utf-8", "replace")
    db.create_function("casefold", 1, lambda text: text and text.casefold(), deterministic=True)
    return db


def while_locked(work: Callable[[], R], *, timeout: float) -> R:
    """Try `work` until no other connection is in its way, for `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() >= deadline:
                raise
        time.sleep(0.005)  # some conflicts are refused at once, without SQLite's own wait


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


# The journal ---------------------------------------------------------------------------------------


def wal_is_safe(folder: Path) -> bool:
    """Whether only this machine can have the files of a folder open."""
    path = os.path.realpath(folder)
    mount = None
    with suppress(OSError):  # a system that does not list its mounts
        mount = mount_of(path, psutil.disk_partitions(all=True))
    is_shared = mount is not None and ("remote" in mount.opts.split(",") or is_shared_type(mount.fstype))
    return not is_shared and not (os.name == "nt" and is_unc(path))


def mount_of(path: str, mounts: Iterable[Any]) -> Any:
    """The deepest of these `psutil` partitions over an absolute path; of two on one point the later counts."""
    inside = os.path.join(os.path.normcase(path), "")
    over = [each for each in mounts if inside.startswith(os.path.join(os.path.normcase(each.mountpoint), ""))]
    return max(reversed(over), key=lambda mount: len(mount.mountpoint), default=None)


def is_shared_type(name: str) -> bool:
    """Whether a file system of this type may be in use by more than one machine."""
    return not _LOCAL_FUSE.fullmatch(name) if name.startswith("fuse") else bool(_SHARED.fullmatch(name))


def is_unc(path: str) -> bool:
    r"""Whether a Windows path names a share: `\\server\share` or `\\?\UNC\server\share`."""
    plain = path.replace("/", "\\")
    is_device = plain.startswith(("\\\\?\\", "\\\\.\\"))
    return plain[4:8].upper() == "UNC\\" if is_device else plain.startswith("\\\\")


def enter_wal(db: sqlite3.Connection) -> None:
    """Give a new file WAL; one that has the rollback journal already keeps it.

    Raises sqlite3.OperationalError where WAL can't work; SQLite says yes first, and fails at the first write.
    """
    if db.execute("PRAGMA page_count").fetchone()[0] == 0:
        _unless_in_use(db, "PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE", "ROLLBACK")
    # A commit then needs no fsync; a power cut may take the last ones, but harms nothing else.
    is_wal = db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.execute(f"PRAGMA synchronous = {'NORMAL' if is_wal else 'FULL'}")


def leave_wal(db: sqlite3.Connection) -> None:
    """Switch the file to the rollback journal, unless others are at work in WAL.

    For a connection that has read nothing yet: with the lock kept, SQLite needs no shared memory.
    """
    _unless_in_use(db, "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA locking_mode = NORMAL")
    db.execute("PRAGMA synchronous = FULL")


def _unless_in_use(db: sqlite3.Connection, *statements: str) -> None:
    try:
        for statement in statements:
            db.execute(statement)
    except sqlite3.OperationalError as error:
        if not is_locked(error):
            raise


# What can go wrong ---------------------------------------------------------------------------------

# SQLite's own words name the symptom: a file cut short is "disk I/O error", a lost table "no such table". So
# the file itself is looked at.

_DAMAGED = (
    "Rename it, and the -wal and -shm files beside it, and restart the kernel: a new one is made then, and what"
    " the old one still holds can be looked at with `sqlite3 FILE .recover`."
)
_PERMISSION = "Give yourself write permission for the file and its folder"


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn every failure of the store's file into a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise store_error(error, path) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise damaged(path) from error
    except UnicodeEncodeError as error:
        raise StoreError("Half a character (a lone surrogate) can't be stored.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _fault(f"{path} can't be made: {reason}", "Make its folder writable") from error


def damaged(path: Path, how: str = "is damaged or not a thread store") -> StoreError:
    return StoreError(f"{path} {how}.", hint=_DAMAGED)


def moved(path: Path) -> StoreError:
    hint = "Restart the kernel: it then uses what is there, or makes a new one."
    return StoreError(f"{path} was deleted or replaced while it was in use.", hint=hint)


def identity(path: Path) -> tuple[int, int] | None:
    """Return which file is at a path; None where there is none. Raises OSError."""
    with suppress(FileNotFoundError, NotADirectoryError):
        state = path.stat()
        return state.st_dev, state.st_ino
    return None


def _fault(sentence: str, remedy: str) -> StoreError:
    return StoreError(f"{sentence}.", hint=f"{remedy}, or set CODEX_MAGIC_HOME to another folder.")


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way; by its message, since codes reach Python from 3.11 on only."""
    return "is locked" in str(error) or "locking protocol" in str(error)


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    message = str(error)
    full = _fault(f"There is no space left for {path}", "Free some space on that disk")
    if is_locked(error):
        return StoreError(
            f"{path} is locked by another program.",
            hint="Close whatever is using it (another kernel, a backup, a database browser) and run the cell again.",
            is_busy=True,
        )
    if isinstance(error, sqlite3.ProgrammingError):  # closed, by us
        return StoreError(f"{path} can't be used: {message}.")
    if "is full" in message:
        return full
    if fault := _look(path):
        return fault
    if "I/O error" in message:
        with suppress(OSError):
            if shutil.disk_usage(path.parent).free < 1_000_000:
                return full
        return _fault(f"The disk failed while {path} was in use", "Check the disk")
    if "readonly" in message:
        return _fault(f"{path} can't be written", _PERMISSION)
    if "unable to open" in message:
        remedy = "Make it a file you can read and write, in a folder you can write to"
        return _fault(f"{path} can't be opened", remedy)
    # Malformed pages, tables that are gone, values that can't be: all that is left is the file.
    return damaged(path)


def _look(path: Path) -> StoreError | None:
    """Return what is wrong, as far as the file itself shows it."""
    if not path.exists():
        return None
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a device, a pipe or a socket"
        return _fault(f"{path} is {kind}, not a file", "Move it away")
    try:
        if sys.platform != "win32" and os.statvfs(path.parent).f_flag & os.ST_RDONLY:
            return _fault(f"{path} can't be written: its disk is mounted read-only", "Make it writable")
        header = _header(path)
    except PermissionError:
        access = "Give yourself permission to read and write the file and its folder"
        return _fault(f"{path} can't be read: you have no permission", access)
    except OSError:
        return None
    size = path.stat().st_size
    if size and not header.startswith(b"SQLite format 3\0"):
        return damaged(path)
    # The fields of SQLite's header: https://sqlite.org/fileformat.html, 1.3.
    page_size, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
    is_counted = header[24:28] == header[92:96]
    if is_counted and size < pages * (65536 if page_size == 1 else page_size):
        return damaged(path, "is damaged: its end is missing")
    is_writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return None if is_writable else _fault(f"{path} can't be written", _PERMISSION)


def _header(path: Path) -> bytes:
    """Read the beginning of the file. On POSIX it is left open: to close it would drop the locks that another
    connection of this process holds (https://sqlite.org/howtocorrupt.html, 2.2)."""
    if sys.platform == "win32":
        with path.open("rb") as file:
            return file.read(100)
    state = path.stat()
    which = state.st_dev, state.st_ino
    if which not in _left_open:
        _left_open[which] = os.open(path, os.O_RDONLY)
    return os.pread(_left_open[which], 100, 0)


_left_open: dict[tuple[int, int], int] = {}


# The schema ----------------------------------------------------------------------------------------


def schema_version(db: sqlite3.Connection) -> int:
    """The number of the last migration this file has seen; 0 for a new file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: sqlite3.Connection, migrations: tuple[str, ...]) -> None:
    """Run what is missing, each step in one transaction: a kill between two leaves a valid older schema."""

    def run(number: int, step: str) -> None:
        if schema_version(db) < number:  # another kernel may have been quicker while we waited for the lock
            for statement in (*step.split(";"), f"PRAGMA user_version = {number}"):
                db.execute(statement)

    for number, step in enumerate(migrations, start=1):
        if schema_version(db) < number:
            in_transaction(db, "BEGIN IMMEDIATE", partial(run, number, step))


MIGRATIONS = (
    """
    -- One tick for each change of any history. A version of a turn is current at the ticks
    -- seq <= tick < removed_at, so a fork can read its parent as it was at the fork's tick.
    CREATE TABLE clock (id INTEGER PRIMARY KEY CHECK (id = 0), tick INTEGER NOT NULL);
    INSERT INTO clock VALUES (0, 0);
    CREATE TABLE threads (
        id TEXT NOT NULL PRIMARY KEY, name TEXT, preview TEXT NOT NULL DEFAULT '', cwd TEXT NOT NULL DEFAULT '',
        provider TEXT, model TEXT, engine TEXT NOT NULL,
        created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, archived_at INTEGER,
        forked_from TEXT REFERENCES threads (id), forked_at_seq INTEGER, forked_at_position INTEGER
    );
    CREATE INDEX threads_by_update ON threads (updated_at, id);
    CREATE INDEX threads_by_creation ON threads (created_at, id);
    -- alive_at: the last sign of life of who runs it. cut_off: 1 when that died, until its thread has been told.
    CREATE TABLE turns (
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, thread_id TEXT NOT NULL REFERENCES threads (id),
        position INTEGER NOT NULL, cell_id TEXT, notebook TEXT, status TEXT NOT NULL, error TEXT, usage TEXT,
        provider TEXT, model TEXT, started_at INTEGER NOT NULL, completed_at INTEGER, duration_ms INTEGER,
        removed_at INTEGER, replaces TEXT, owner TEXT, alive_at INTEGER, cut_off INTEGER
    );
    CREATE INDEX turns_by_thread ON turns (thread_id, position);
    CREATE UNIQUE INDEX current_turns ON turns (thread_id, position) WHERE removed_at IS NULL;
    CREATE INDEX turns_in_progress ON turns (seq) WHERE status = 'inProgress';
    CREATE INDEX turns_by_cell ON turns (cell_id, notebook) WHERE cell_id IS NOT NULL;
    -- Turns of a fork's past that the fork itself replaced or reverted, while the parent keeps them.
    CREATE TABLE hidden (
        thread_id TEXT NOT NULL REFERENCES threads (id), turn INTEGER NOT NULL REFERENCES turns (seq),
        seq INTEGER NOT NULL, PRIMARY KEY (thread_id, turn)
    ) WITHOUT ROWID;
    CREATE TABLE items (
        turn INTEGER NOT NULL REFERENCES turns (seq), n INTEGER NOT NULL,
        id TEXT NOT NULL, type TEXT NOT NULL, json TEXT NOT NULL, response_items TEXT
    );
    CREATE UNIQUE INDEX items_in_order ON items (turn, n);
    -- Items as they are produced. A row is what came of an item since the last one. In its first row stands the
    -- item as it began. They go when the item is whole. The id of a turn's question is the turn's.
    CREATE TABLE partials (
        n INTEGER PRIMARY KEY, turn INTEGER NOT NULL REFERENCES turns (seq), id TEXT NOT NULL, json TEXT,
        response_items TEXT, part INTEGER NOT NULL DEFAULT 0, text TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX partials_by_turn ON partials (turn, id);
    -- Where the app-server keeps a turn.
    CREATE TABLE places (
        n INTEGER PRIMARY KEY, turn TEXT NOT NULL UNIQUE REFERENCES turns (id), engine_thread TEXT NOT NULL,
        engine_turn TEXT NOT NULL, past TEXT NOT NULL, tools TEXT NOT NULL
    );
    CREATE INDEX places_by_thread ON places (engine_thread, n);
    -- A notebook has an id of its own, which its turns carry, paths and kernels only point to it.
    CREATE TABLE notebooks (
        id TEXT NOT NULL PRIMARY KEY, thread_id TEXT NOT NULL REFERENCES threads (id), path TEXT,
        copied_from TEXT REFERENCES notebooks (id)
    ) WITHOUT ROWID;
    CREATE INDEX notebooks_by_path ON notebooks (path);
    CREATE TABLE kernels (
        id TEXT NOT NULL PRIMARY KEY, notebook TEXT NOT NULL REFERENCES notebooks (id), owner TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX kernels_by_notebook ON kernels (notebook)
    """,
    """
    -- The notebooks that the model may read without a question, where '' stands for all of them.
    CREATE TABLE readable (notebook TEXT NOT NULL PRIMARY KEY, since INTEGER NOT NULL) WITHOUT ROWID
    """,
)
"""The steps, as SQL. One is never edited once released: the next change is the next text."""
