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

_ELSEWHERE = "or set CODEX_MAGIC_HOME to another folder."
_DAMAGED = (
    "Rename it, and the -wal and -shm files beside it, and restart the kernel: a new one is made then, and what"
    " the old one still holds can be looked at with `sqlite3 FILE .recover`."
)
_IN_PLACE = 28
"""Where SQLite's header holds the number of pages (https://sqlite.org/fileformat.html, 1.3)."""

_LITTLE = 1_000_000
"""Bytes of free space below which a disk counts as full."""


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Nothing but a StoreError leaves."""
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
        raise StoreError(
            f"{path} can't be made: {reason}.", hint=f"Make its folder writable, {_ELSEWHERE}"
        ) from error


def damaged(path: Path, how: str = "is damaged, or no thread store") -> StoreError:
    return StoreError(f"{path} {how}.", hint=_DAMAGED)


def _store_error(error: sqlite3.Error, path: Path) -> StoreError:
    message = str(error)
    if "is locked" in message or "locking protocol" in message:
        return StoreError(
            f"{path} is locked by another program.",
            hint="Close what holds it (another kernel, a backup, a database browser) and run the cell again.",
            is_busy=True,
        )
    if isinstance(error, sqlite3.ProgrammingError):  # closed, by us
        return StoreError(f"{path} can't be used: {message}.")
    if "is full" in message:
        return _full(path)
    return _look(path) or (_unwritable(path) if "readonly" in message else _by_message(message, path))


def _full(path: Path) -> StoreError:
    return StoreError(
        f"There is no space left for {path}.", hint=f"Free some space on that disk, {_ELSEWHERE}"
    )


def _unwritable(path: Path) -> StoreError:
    return StoreError(
        f"{path} can't be written.",
        hint=f"Give yourself write permission for the file and its folder, {_ELSEWHERE}",
    )


def _look(path: Path) -> StoreError | None:
    """What is wrong, as far as the file itself shows it."""
    if path.is_dir():
        return StoreError(f"{path} is a folder, not a file.", hint=f"Move it away, {_ELSEWHERE}")
    if not path.is_file():
        return None
    if _is_read_only(path.parent):
        return StoreError(
            f"{path} can't be written: its disk is mounted read-only.", hint=f"Make it writable, {_ELSEWHERE}"
        )
    try:
        header = _header(path)
    except PermissionError:
        return StoreError(
            f"{path} can't be read: you have no permission.",
            hint=f"Give yourself permission to read and write the file and its folder, {_ELSEWHERE}",
        )
    except OSError:
        return None
    return _read(path, header, path.stat().st_size)


def _read(path: Path, header: bytes, size: int) -> StoreError | None:
    if size and not header.startswith(b"SQLite format 3\0"):
        return damaged(path)
    page_size = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[_IN_PLACE : _IN_PLACE + 4], "big")
    is_counted = header[24:28] == header[92:96]
    if is_counted and size < pages * (65536 if page_size == 1 else page_size):
        return damaged(path, "is damaged: its end is missing")
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        return _unwritable(path)
    return None


def _header(path: Path) -> bytes:
    """The beginning of the file. On POSIX it is left open: to close it would drop the locks that another
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


def _is_read_only(folder: Path) -> bool:
    if sys.platform == "win32":
        return False
    with suppress(OSError):
        return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    return False


def _by_message(message: str, path: Path) -> StoreError:
    if "I/O error" in message:
        with suppress(OSError):
            if shutil.disk_usage(path.parent).free < _LITTLE:
                return _full(path)
        return StoreError(f"The disk failed while {path} was in use.", hint=f"Check the disk, {_ELSEWHERE}")
    if "unable to open" in message:
        return StoreError(
            f"{path} can't be opened.",
            hint=f"It must be a file you can read and write, in a folder you can write: put that right, {_ELSEWHERE}",
        )
    # Malformed pages, tables that are gone, values that can't be: all that is left is the file.
    return damaged(path)
