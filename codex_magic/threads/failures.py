"""What can go wrong with the store's file, as one sentence each and what to do next."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ..protocol.errors import StoreError

_ELSEWHERE = "or set CODEX_MAGIC_HOME to another folder."
_DAMAGED = (
    "{path} is damaged, or no thread store.",
    "Rename it, and the -wal and -shm files beside it, and restart the kernel: a new one is made then.",
)
_FAILURES = (
    (
        ("is locked", "locking protocol"),
        "{path} is locked by another program.",
        "Close what holds it (another kernel, a backup, a database browser) and run the cell again.",
    ),
    (
        ("readonly database",),
        "{path} can't be written.",
        f"Give yourself write permission for the file and its folder, {_ELSEWHERE}",
    ),
    (("is full",), "There is no space left for {path}.", f"Free some space on that disk, {_ELSEWHERE}"),
    (("malformed", "not a database", "decode to UTF-8"), *_DAMAGED),
    (
        ("unable to open",),
        "{path} can't be opened.",
        f"It must be a file you can read and write, in a folder you can write: put that right, {_ELSEWHERE}",
    ),
    (("I/O error",), "The disk failed while {path} was in use.", f"Check the disk, {_ELSEWHERE}"),
)
"""By parts of SQLite's messages: its codes reach Python from 3.11 on only."""


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Nothing but a StoreError leaves."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(str(error), path) from error
    except msgspec.MsgspecError as error:
        raise _sentence(_DAMAGED, path) from error
    except UnicodeError as error:
        raise StoreError("Half a character (a lone surrogate) can't be kept.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"{path} can't be made: {reason}.", hint=f"Make its folder writable, {_ELSEWHERE}"
        ) from error


def _store_error(message: str, path: Path) -> StoreError:
    for parts, *sentences in _FAILURES:
        if any(part in message for part in parts):
            return _sentence(sentences, path)
    return StoreError(f"{path} can't be used: {message}.")


def _sentence(sentences: Sequence[str], path: Path) -> StoreError:
    message, hint = sentences
    return StoreError(message.format(path=path), hint=hint)
