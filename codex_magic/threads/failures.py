"""What can go wrong with the store's file, as one sentence each and what to do next.

SQLite's own words name the symptom: a file cut short is "disk I/O error", a lost table "no such table". So
the file itself is looked at.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from ..protocol.errors import StoreError

_DAMAGED = (
    "Rename it, and the -wal and -shm files beside it, and restart the kernel: a new one is made then, and what"
    " the old one still holds can be looked at with `sqlite3 FILE .recover`."
)


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn every failure of the store's file into a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(error, path) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise damaged(path) from error
    except UnicodeEncodeError as error:
        raise StoreError("Half a character (a lone surrogate) can't be kept.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _fault(f"{path} can't be made: {reason}", "Make its folder writable") from error


def damaged(path: Path, how: str = "is damaged, or no thread store") -> StoreError:
    return StoreError(f"{path} {how}.", hint=_DAMAGED)


def _fault(sentence: str, remedy: str) -> StoreError:
    return StoreError(f"{sentence}.", hint=f"{remedy}, or set CODEX_MAGIC_HOME to another folder.")


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way; by its message, since codes reach Python from 3.11 on only."""
    return "is locked" in str(error) or "locking protocol" in str(error)


def _store_error(error: sqlite3.Error, path: Path) -> StoreError:
    message = str(error)
    if is_locked(error):
        return StoreError(
            f"{path} is locked by another program.",
            hint="Close what holds it (another kernel, a backup, a database browser) and run the cell again.",
            is_busy=True,
        )
    if isinstance(error, sqlite3.ProgrammingError):  # closed, by us
        return StoreError(f"{path} can't be used: {message}.")
    if "is full" in message:
        return _full(path)
    if fault := _look(path):
        return fault
    if "I/O error" in message:
        with suppress(OSError):
            if shutil.disk_usage(path.parent).free < 1_000_000:
                return _full(path)
        return _fault(f"The disk failed while {path} was in use", "Check the disk")
    access = "It must be a file you can read and write, in a folder you can write: put that right"
    if "readonly" in message:
        return _unwritable(path)
    if "unable to open" in message:
        return _fault(f"{path} can't be opened", access)
    # Malformed pages, tables that are gone, values that can't be: all that is left is the file.
    return damaged(path)


def _full(path: Path) -> StoreError:
    return _fault(f"There is no space left for {path}", "Free some space on that disk")


def _unwritable(path: Path) -> StoreError:
    return _fault(f"{path} can't be written", "Give yourself write permission for the file and its folder")


def _look(path: Path) -> StoreError | None:
    """Return what is wrong, as far as the file itself shows it."""
    if path.is_dir():
        return _fault(f"{path} is a folder, not a file", "Move it away")
    if not path.is_file():
        return None
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
    return None if is_writable else _unwritable(path)


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
