"""Which SQLite journal a folder can bear.

WAL lets several kernels read and write at once, but its index is shared memory: on a file system
that other machines mount too it corrupts the file (https://sqlite.org/wal.html, "All processes
using a database must be on the same host"). There the rollback journal is used.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

_SHARED = re.compile(
    "nfs.?|cifs|smb.*|afpfs|webdav|davfs|ncpfs|afs|auristorfs|coda"
    "|lustre|gpfs|ceph|beegfs|glusterfs|gfs2|ocfs2|orangefs|pvfs2|panfs|weka.*|acfs"
    "|9p|drvfs|virtiofs|vboxsf|vmhgfs|prl_fs|fakeowner|osxfs|macfuse|osxfuse"
)
"""File systems whose files another machine (or a virtual machine's host) may have open too."""

_LOCAL_FUSE = re.compile("fuseblk|fuse[.](fuse-overlayfs|ntfs-3g|ntfs|exfat|ecryptfs)")
"""FUSE file systems of this machine's own disks; any other may be sshfs, gcsfuse, rclone ..."""


def wal_is_safe(folder: Path) -> bool:
    """Whether only this machine can have the files of a folder open."""
    path = os.path.realpath(folder)
    try:
        mount = mount_of(path, psutil.disk_partitions(all=True))
    except OSError:  # a system that does not list its mounts
        mount = None
    is_shared = mount is not None and ("remote" in mount.opts.split(",") or is_shared_type(mount.fstype))
    return not is_shared and not (os.name == "nt" and is_unc(path))


def mount_of(path: str, mounts: Iterable[Any]) -> Any:
    """The deepest of these `psutil` partitions over an absolute path; of two on one point the later counts."""
    deepest = None
    for mount in mounts:
        folder = os.path.join(os.path.normcase(mount.mountpoint), "")
        is_inside = os.path.join(os.path.normcase(path), "").startswith(folder)
        if is_inside and (deepest is None or len(mount.mountpoint) >= len(deepest.mountpoint)):
            deepest = mount
    return deepest


def is_shared_type(name: str) -> bool:
    """Whether a file system of this type may be in use by more than one machine."""
    if name.startswith("fuse"):
        return not _LOCAL_FUSE.fullmatch(name)
    return _SHARED.fullmatch(name) is not None


def is_unc(path: str) -> bool:
    r"""Whether a Windows path names a share: `\\server\share` or `\\?\UNC\server\share`."""
    plain = path.replace("/", "\\")
    if plain.startswith(("\\\\?\\", "\\\\.\\")):
        return plain[4:8].upper() == "UNC\\"
    return plain.startswith("\\\\")


def enter_wal(db: sqlite3.Connection) -> None:
    """Give a new file WAL; one that has the rollback journal already keeps it.

    Raises sqlite3.OperationalError where WAL can't work; SQLite says yes first, and fails at the first write.
    """
    if db.execute("PRAGMA page_count").fetchone()[0] == 0:
        with _in_use_is_fine():
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            db.execute("ROLLBACK")
    # A commit then needs no fsync; a power cut may take the last ones, but harms nothing else.
    is_wal = db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.execute(f"PRAGMA synchronous = {'NORMAL' if is_wal else 'FULL'}")


def leave_wal(db: sqlite3.Connection) -> None:
    """Switch the file to the rollback journal, unless others are at work in WAL.

    For a connection that has read nothing yet: with the lock kept, SQLite needs no shared memory.
    """
    with _in_use_is_fine():
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA locking_mode = NORMAL")
    db.execute("PRAGMA synchronous = FULL")


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way; by its message, since codes reach Python from 3.11 on only."""
    return "is locked" in str(error) or "locking protocol" in str(error)


@contextmanager
def _in_use_is_fine() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if not is_locked(error):
            raise
