"""Which SQLite journal a folder can bear.

WAL lets several kernels read and write at once, but its index is shared memory: on a file system
that other machines mount too it corrupts the file (https://sqlite.org/wal.html, "All processes
using a database must be on the same host"). There the rollback journal is used.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
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


def journal_mode(folder: Path) -> str:
    """`wal` where it is safe, else `delete`."""
    return "delete" if _is_shared(os.path.realpath(folder)) else "wal"


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
