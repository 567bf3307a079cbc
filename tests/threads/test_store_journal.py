"""Which journal a folder can bear, from what the system says of its mounts."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from codex_magic.threads.journal import (
    file_system_type,
    is_shared_type,
    is_unc,
    leave_wal,
    parse_mount_output,
    parse_mountinfo,
    wal_is_safe,
)
from codex_magic.threads.store import Store

HUB = """\
560 441 0:97 / / rw,relatime master:200 - overlay overlay rw,lowerdir=/var/lib/a,upperdir=/var/lib/b
561 560 0:100 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
570 560 0:60 /users/ada /home/jovyan rw,relatime - nfs4 10.0.0.7:/export rw,vers=4.2,hard,proto=tcp
571 570 8:1 /scratch /home/jovyan/fast rw - ext4 /dev/sda1 rw
572 560 0:61 / /mnt/my\\040bucket rw,nosuid,nodev shared:5 master:1 - fuse.sshfs ada@host:/data rw
573 560 0:62 / /home/jovyan2 rw - tmpfs tmpfs rw
574 571 0:63 / /home/jovyan/fast rw - cifs //nas/work rw,vers=3.1.1
"""

MAC = """\
/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)
/dev/disk3s5 on /System/Volumes/Data (apfs, local, journaled, nobrowse)
map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)
//ada@nas.local/work (2) on /Volumes/work (2) (smbfs, nodev, nosuid, mounted by ada)
host:/export on /Volumes/on call (nfs, asynchronous)
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/jovyan/.local/share/codex-magic", "nfs4"),
        ("/home/jovyan", "nfs4"),
        ("/home/jovyan2/x", "tmpfs"),
        ("/home/jovyan/fast/x", "cifs"),
        ("/mnt/my bucket/x", "fuse.sshfs"),
        ("/mnt/other", "overlay"),
    ],
)
def test_the_deepest_and_latest_linux_mount_counts(path: str, kind: str) -> None:
    assert file_system_type(path, parse_mountinfo(HUB)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/Volumes/work (2)/x", "smbfs"),
        ("/Volumes/on call/x", "nfs"),
        ("/System/Volumes/Data/Users/ada", "apfs"),
        ("/Users/ada", "apfs"),
    ],
)
def test_the_deepest_mac_mount_counts(path: str, kind: str) -> None:
    assert file_system_type(path, parse_mount_output(MAC)) == kind


def test_without_mounts_nothing_is_known() -> None:
    assert file_system_type("/home", parse_mountinfo("")) is None


@pytest.mark.parametrize(
    "kind",
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "virtiofs",
        "lustre",
        "gpfs",
        "ceph",
        "beegfs",
        "glusterfs",
        "fuse",
        "fuse.sshfs",
        "fuse.gcsfuse",
    ],
)
def test_file_systems_that_machines_share_bear_no_wal(kind: str) -> None:
    assert is_shared_type(kind)


@pytest.mark.parametrize(
    "kind",
    ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "apfs", "hfs", "fuseblk", "fuse.fuse-overlayfs"],
)
def test_file_systems_of_this_machine_bear_it(kind: str) -> None:
    assert not is_shared_type(kind)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (r"\\server\share\home", True),
        ("//server/share/home", True),
        (r"\\?\UNC\server\share", True),
        (r"\\?\C:\Users\ada", False),
        (r"C:\Users\ada", False),
    ],
)
def test_windows_shares_are_known_by_their_path(path: str, expected: bool) -> None:
    assert is_unc(path) is expected


def test_a_store_uses_wal_where_it_is_safe(tmp_path: Path) -> None:
    with Store(tmp_path / "threads.db") as store:
        store.create_thread()
        assert _mode(store.path) == ("wal" if wal_is_safe(tmp_path) else "delete")


def test_a_file_with_wal_changes_to_the_rollback_journal_without_shared_memory(tmp_path: Path) -> None:
    """As when a home moves to a file system without it."""
    with Store(tmp_path / "threads.db") as store:
        thread = store.create_thread()
    no_shared_memory(store.path)
    with Store(tmp_path / "threads.db") as store:
        assert store.thread(thread.id) == thread
        store.create_thread()
        assert _mode(store.path) == "delete"


def test_a_new_file_has_the_rollback_journal_where_there_is_no_shared_memory(tmp_path: Path) -> None:
    no_shared_memory(tmp_path / "threads.db")
    with Store(tmp_path / "threads.db") as store:
        store.create_thread()
        assert _mode(store.path) == "delete"


def test_wal_is_left_only_when_nobody_else_is_using_it(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    with Store(path) as store:
        store.create_thread()
        _leave(path)
        assert _mode(path) == "wal"
    _leave(path)
    assert _mode(path) == "delete"


def no_shared_memory(path: Path) -> None:
    """Something that is no file in the place of the shared-memory file."""
    index = path.with_name(path.name + "-shm")
    if sys.platform == "win32":
        index.mkdir()
    else:
        index.symlink_to(path.parent / "missing" / "index")


def _leave(path: Path) -> None:
    db = sqlite3.connect(path, timeout=0)
    leave_wal(db)
    db.close()


def _mode(path: Path) -> str:
    db = sqlite3.connect(path)
    try:
        return str(db.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        db.close()
