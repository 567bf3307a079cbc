"""Which SQLite journal a folder can bear.

WAL lets several kernels read and write at once, but its index is shared memory: on a file system
that other machines mount too it corrupts the file (https://sqlite.org/wal.html, "All processes
using a database must be on the same host"). There the rollback journal is used.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_SHARED = re.compile(
    "nfs.?|cifs|smb.*|afpfs|webdav|davfs|ncpfs|afs|auristorfs|coda"
    "|lustre|gpfs|ceph|beegfs|glusterfs|gfs2|ocfs2|orangefs|pvfs2|panfs|weka.*|acfs"
    "|9p|drvfs|virtiofs|vboxsf|vmhgfs|prl_fs|fakeowner|osxfs|macfuse|osxfuse"
)
"""File systems whose files another machine (or a virtual machine's host) may have open too."""

_LOCAL_FUSE = re.compile("fuseblk|fuse[.](fuse-overlayfs|ntfs-3g|ntfs|exfat|ecryptfs)")
"""FUSE file systems of this machine's own disks; any other may be sshfs, gcsfuse, rclone ..."""


class Mount(NamedTuple):
    point: str
    type: str


def wal_is_safe(folder: Path) -> bool:
    """Whether only this machine can have the files of a folder open."""
    return not _is_shared(os.path.realpath(folder))


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
    db.execute(f"PRAGMA synchronous = {'NORMAL' if _mode(db) == 'wal' else 'FULL'}")


def leave_wal(db: sqlite3.Connection) -> None:
    """Switch the file to the rollback journal, unless others are at work in WAL.

    For a connection that has read nothing yet: with the lock kept, SQLite needs no shared memory.
    """
    with _in_use_is_fine():
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = DELETE")
    db.execute("PRAGMA locking_mode = NORMAL")
    db.execute("PRAGMA synchronous = FULL")


def is_locked(error: sqlite3.OperationalError) -> bool:
    """Whether another connection is in the way; by its message, since codes reach Python from 3.11 on only."""
    return "is locked" in str(error) or "locking protocol" in str(error)


@contextmanager
def _in_use_is_fine() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if not is_locked(error):
            raise


def _mode(db: sqlite3.Connection) -> str:
    return str(db.execute("PRAGMA journal_mode").fetchone()[0])


def is_shared_type(name: str) -> bool:
    """Whether a file system of this type may be in use by more than one machine."""
    if name.startswith("fuse"):
        return not _LOCAL_FUSE.fullmatch(name)
    return _SHARED.fullmatch(name) is not None


def file_system_type(path: str, mounts: Sequence[Mount]) -> str | None:
    """The type of the deepest mount over an absolute path; of two on one point the later counts."""
    found: Mount | None = None
    for mount in mounts:
        inside = path == mount.point or path.startswith(mount.point.rstrip("/") + "/")
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found.type if found else None


def parse_mountinfo(text: str) -> list[Mount]:
    """Linux's /proc/self/mountinfo (proc(5)): the point is field 5, the type the first after ` - `."""
    mounts = []
    for line in text.splitlines():
        before, separator, after = line.partition(" - ")
        if separator:
            mounts.append(Mount(_unescape(before.split()[4]), after.split()[0]))
    return mounts


def parse_mount_output(text: str) -> list[Mount]:
    """What `mount` prints on macOS and BSD: `//me@nas/work on /Volumes/work (smbfs, nodev)`."""
    return [Mount(*found) for found in re.findall(r"^.+? on (/.*) \((\w+)[,)]", text, re.MULTILINE)]


def is_unc(path: str) -> bool:
    r"""Whether a Windows path names a share: `\\server\share` or `\\?\UNC\server\share`."""
    plain = path.replace("/", "\\")
    if plain.startswith(("\\\\?\\", "\\\\.\\")):
        return plain[4:8].upper() == "UNC\\"
    return plain.startswith("\\\\")


def _unescape(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)


if sys.platform == "win32":

    def _is_shared(folder: str) -> bool:
        import ctypes

        DRIVE_REMOTE = 4
        root = os.path.splitdrive(folder)[0] + "\\"
        return is_unc(folder) or ctypes.windll.kernel32.GetDriveTypeW(root) == DRIVE_REMOTE

else:

    def _is_shared(folder: str) -> bool:
        kind = file_system_type(folder, _mounts())
        return kind is not None and is_shared_type(kind)

    def _mounts() -> list[Mount]:
        try:
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                return parse_mountinfo(file.read())
        except FileNotFoundError:
            return _mounts_by_command()

    def _mounts_by_command() -> list[Mount]:
        try:
            done = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=2, check=False)
        except (OSError, subprocess.SubprocessError):
            return []
        return parse_mount_output(done.stdout)
