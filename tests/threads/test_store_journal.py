"""Which journal a folder can bear, from what the system says of its mounts."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from codex_magic.threads.database import is_shared_type, is_unc, leave_wal, mount_of, wal_is_safe
from codex_magic.threads.store import Store


class Mount(NamedTuple):
    """As psutil has it."""

    device: str
    mountpoint: str
    fstype: str
    opts: str = "rw,relatime"


HUB = [
    Mount("overlay", "/", "overlay"),
    Mount("proc", "/proc", "proc"),
    Mount("10.0.0.7:/export", "/home/jovyan", "nfs4", "rw,vers=4.2,hard,proto=tcp"),
    Mount("/dev/sda1", "/home/jovyan/fast", "ext4"),
    Mount("ada@host:/data", "/mnt/my bucket", "fuse.sshfs"),
    Mount("tmpfs", "/home/jovyan2", "tmpfs"),
    Mount("//nas/work", "/home/jovyan/fast", "cifs", "rw,vers=3.1.1"),
]

MAC = [
    Mount("/dev/disk3s1s1", "/", "apfs"),
    Mount("/dev/disk3s5", "/System/Volumes/Data", "apfs"),
    Mount("map auto_home", "/System/Volumes/Data/home", "autofs"),
    Mount("//ada@nas.local/work (2)", "/Volumes/work (2)", "smbfs"),
    Mount("host:/export", "/Volumes/on call", "nfs"),
]


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
    assert mount_of(path, HUB).fstype == kind


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
    assert mount_of(path, MAC).fstype == kind


def test_without_mounts_nothing_is_known() -> None:
    assert mount_of("/home", []) is None


@pytest.mark.parametrize(
    ("kind", "options", "is_safe"),
    [("ext4", "rw", True), ("nfs4", "rw", False), ("NTFS", "rw,remote", False), ("NTFS", "rw,fixed", True)],
)
def test_a_mount_over_the_folder_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: str, is_safe: bool
) -> None:
    mounts = [Mount("/dev/sda1", "/", "ext4"), Mount("x", str(tmp_path.resolve()), kind, options)]
    monkeypatch.setattr("psutil.disk_partitions", lambda all: mounts)
    assert wal_is_safe(tmp_path) is is_safe
    assert wal_is_safe(tmp_path / "home") is is_safe


def test_a_system_that_lists_no_mounts_has_its_own_disks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(all: bool) -> list[Mount]:
        raise PermissionError

    monkeypatch.setattr("psutil.disk_partitions", refuse)
    assert wal_is_safe(tmp_path)


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
