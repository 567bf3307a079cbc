"""The files of a folder before something may change them, what has changed, and how it is put back.

A picture of the folder keeps the content of its files up to a bound, and of all others what tells that they changed.
What it does not keep is said before. Nothing is followed that leads out of the folder.
"""

from __future__ import annotations

import difflib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

LARGEST = 8_000_000
"""Bytes of a file whose content is kept."""

MOST_BYTES = 64_000_000
"""Of the contents of one picture, the files nearest to its folder first."""

MOST_ENTRIES = 10_000
"""Files and folders of one picture."""

NOT_KEPT = f"files outside this folder, above {LARGEST // 1_000_000} MB, in .git or in environments"
"""What nobody keeps before code or a command changes it, as it is said."""

SHOWN_BYTES = 1_000_000
"""Of a file whose later changes by the user are shown."""

RECORDS = frozenset((".git", ".hg", ".svn"))
MADE = frozenset(
    "__pycache__ .ipynb_checkpoints .mypy_cache .ruff_cache .pytest_cache node_modules site-packages".split()
)
"""Folders of what programs make again, which nobody puts back."""

FILE, LINK, FOLDER = "file", "link", "folder"


class Entry(NamedTuple):
    """What stands at a path. `stamp`: inode, size, and when the content and anything of it changed, in nanoseconds.

    `target`: of a link. `content`: of a file, where it is kept.
    """

    kind: str
    mode: int
    stamp: tuple[int, ...] = ()
    target: str = ""
    content: bytes | None = None

    def is_same(self, other: Entry | None) -> bool:
        """Whether that is this, as far as it is known."""
        if other is None or (self.kind, self.mode, self.target) != (other.kind, other.mode, other.target):
            return False
        is_known = self.content is not None and other.content is not None
        # Of the times the second also changes with what is no content.
        return self.content == other.content if is_known else self.stamp[:3] == other.stamp[:3]


def look(path: str, *, most: int = 0) -> Entry | None:
    """Return what stands at a path, with its content up to `most` bytes; `None` for nothing, and for devices."""
    try:
        about = os.lstat(path)
        mode = stat.S_IMODE(about.st_mode)
        if stat.S_ISLNK(about.st_mode):
            return Entry(LINK, 0, target=os.readlink(path))
        if stat.S_ISDIR(about.st_mode):
            return Entry(FOLDER, mode)
        if not stat.S_ISREG(about.st_mode):
            return None
        content = None
        if about.st_size <= most:
            with suppress(OSError):  # not ours to read
                content = Path(path).read_bytes()
        stamp = about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
        return Entry(FILE, mode, stamp, "", content)
    except OSError:
        return None


class Change(NamedTuple):
    """`None`: nothing stood there, or stands there now."""

    path: str
    before: Entry | None
    after: Entry | None

    @property
    def is_lost(self) -> bool:
        """Whether its former content is not known."""
        before, after = self.before, self.after
        if before is None or before.kind != FILE or before.content is not None:
            return False
        return after is None or after.kind != FILE or before.stamp[:3] != after.stamp[:3]


class Picture:
    """The files below `folder` as they are now."""

    def __init__(self, folder: str) -> None:
        self.folder = ""
        with suppress(OSError):  # the current folder may be gone
            self.folder = os.path.realpath(folder)
        self.left_out: list[str] = []
        """What a change of can't be put back, a phrase each: `big.csv (90 MB)`."""
        self._before = dict(self._entries(LARGEST))

    def changes(self) -> FileChanges:
        """Return what differs now."""
        room = MOST_BYTES
        after = dict(self._entries(0))
        changes = []
        for name in sorted(self._before.keys() | after.keys()):
            before, now = self._before.get(name), after.get(name)
            if before is not None and now is not None and before[:4] == now[:4]:
                continue
            path = os.path.join(self.folder, name)
            now = look(path, most=min(room, SHOWN_BYTES))
            room -= len(now.content) if now is not None and now.content is not None else 0
            if (before or now) and (before is None or not before.is_same(now)):
                changes.append(Change(path, before, now))
        return FileChanges(self.folder, changes)

    def renew(self, changes: Iterable[Change]) -> None:
        """Take what stands at these paths now for what was there before."""
        for each in changes:
            name = os.path.relpath(each.path, self.folder)
            self._before.pop(name, None)
            if (now := look(each.path, most=LARGEST)) is not None:
                self._before[name] = now

    def _entries(self, most: int) -> Iterator[tuple[str, Entry]]:
        """Read the folder, level by level; note what is left out when contents are read."""
        seen, room, below = 0, MOST_BYTES if most else 0, [""]
        while below:
            level, below = below, []
            for folder in level:
                names = _names(os.path.join(self.folder, folder))
                if "pyvenv.cfg" in names:
                    self._leave_out(f"{folder or '.'} (an environment)", most)
                    continue
                for name in names:
                    path = os.path.join(folder, name)
                    if name in RECORDS:
                        self._leave_out(path, most)
                    if name in RECORDS or name in MADE:
                        continue
                    if seen == MOST_ENTRIES:
                        self._leave_out(f"more than {MOST_ENTRIES:,} files", most)
                        return
                    seen += 1
                    entry = look(os.path.join(self.folder, path), most=min(most, room))
                    if entry is None:
                        continue
                    if entry.content is not None:
                        room -= len(entry.content)
                    elif entry.kind == FILE:
                        self._leave_out(f"{path} ({_size(entry.stamp[1])})", most)
                    if entry.kind == FOLDER:
                        below.append(path)
                    yield path, entry

    def _leave_out(self, what: str, most: int) -> None:
        if most:
            self.left_out.append(what)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:  # gone, or not ours to read
        return []


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


class FileChanges:
    """What has changed below a folder; `undo` puts it back."""

    def __init__(self, folder: str, changes: Iterable[Change]) -> None:
        self.folder = folder
        self.changes = list(changes)

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def bytes(self) -> int:
        entries = [entry for change in self.changes for entry in change[1:] if entry is not None]
        return sum(len(entry.content or b"") for entry in entries)

    def name(self, path: str) -> str:
        """Return a path as it is said: below the folder without it."""
        with suppress(ValueError):
            return str(Path(path).relative_to(self.folder))
        return path

    @property
    def lost(self) -> list[str]:
        """What can't be put back, a phrase each."""
        moved = self._moved()
        return [
            f"{self.name(each.path)} ({_size(each.before.stamp[1])}, not kept)"
            for each in self.changes
            if each.is_lost and each.path not in moved and each.before is not None
        ]

    def changed_since(self) -> list[str]:
        """Return the paths that are neither as they were left nor as they were before."""
        return [self.name(each.path) for each in self.changes if self._conflicts(each)]

    def conflict(self) -> str:
        """Show what was changed since, as one diff."""
        lines: list[str] = []
        for each in self.changes:
            if not self._conflicts(each):
                continue
            now = look(each.path, most=SHOWN_BYTES)
            texts = [_lines(each.after), _lines(now)]
            name = self.name(each.path)
            if None in texts:
                state = "is gone" if now is None else "is there again" if each.after is None else "changed"
                lines.append(f"{name} {state}\n")
            else:
                left, right = texts[0] or [], texts[1] or []
                lines += difflib.unified_diff(left, right, f"{name} as Codex left it", f"{name} now")
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)

    def _conflicts(self, change: Change) -> bool:
        now = look(change.path, most=LARGEST)
        if change.before is None and change.after is not None and change.after.kind == FOLDER:
            return now is not None and now.kind != FOLDER
        for known in (change.after, change.before):
            if known is None and now is None:
                return False
            if known is not None and known.is_same(now):
                return False
        return True

    def _moved(self) -> dict[str, str]:
        """Return where large files went that are whole elsewhere now, by their former path."""
        made = {
            each.after.stamp[:3]: each.path
            for each in self.changes
            if each.before is None and each.after is not None and each.after.kind == FILE
        }
        return {
            each.path: made[each.before.stamp[:3]]
            for each in self.changes
            if each.is_lost and each.before is not None and each.before.stamp[:3] in made
        }

    def undo(self) -> list[str]:
        """Put back all that is known; return what was, by its path below the folder. Never raises for a single file."""
        moved, back = self._moved(), []
        deep_first = sorted(self.changes, key=lambda each: each.path.count(os.sep), reverse=True)
        for each in deep_first:  # what was made, unless it goes back from there
            is_made = each.after is not None and (each.before is None or each.before.kind != each.after.kind)
            if is_made and each.path not in moved.values() and self._try(each, _remove):
                back.append(each.path)
        for each in reversed(deep_first):
            if each.before is None or self._is_back(each):
                continue
            step: Callable[[Change], None] = _write
            if each.path in moved:
                step = _mover(moved[each.path])
            elif each.is_lost:
                continue
            if self._try(each, step):
                back.append(each.path)
        for each in deep_first:  # folders that were made, and are empty now
            if each.before is None and each.after is not None and each.after.kind == FOLDER:
                self._try(each, _remove)
        return sorted({self.name(path) for path in back} - {self.name(path) for path in self._still()})

    def _still(self) -> list[str]:
        """Return what is not as it was after all."""
        return [each.path for each in self.changes if not self._is_back(each)]

    def _is_back(self, change: Change) -> bool:
        now = look(change.path, most=LARGEST)
        return now is None if change.before is None else change.before.is_same(now)

    @property
    def left(self) -> list[str]:
        """What an undo has not put back, for whatever reason."""
        return [self.name(path) for path in self._still()]

    def _try(self, change: Change, step: Callable[[Change], None]) -> bool:
        parent = os.path.dirname(change.path)
        if os.path.realpath(parent) != os.path.normpath(parent):
            return False  # a folder on the way is a link now
        try:
            step(change)
        except OSError:
            return False
        return True


def _lines(entry: Entry | None) -> list[str] | None:
    """Return the text of a file, `None` for all else."""
    if entry is None or entry.content is None:
        return None
    with suppress(UnicodeDecodeError):
        return entry.content.decode().splitlines(keepends=True)
    return None


def _remove(change: Change) -> None:
    now = look(change.path)
    if now is not None and now.kind == FOLDER:
        os.rmdir(change.path)
    elif now is not None:
        os.unlink(change.path)


def _mover(source: str) -> Callable[[Change], None]:
    def move(change: Change) -> None:
        os.replace(source, change.path)
        if change.before is not None:
            os.chmod(change.path, change.before.mode)

    return move


def _write(change: Change) -> None:
    """Put back what stood there, in one step where it is a file."""
    before, path = change.before, change.path
    if before is None:
        return
    now = look(path)
    if before.kind == FOLDER:
        if now is None:
            os.mkdir(path)
        os.chmod(path, before.mode)
    elif before.kind == LINK:
        if now is not None:
            os.unlink(path)
        os.symlink(before.target, path)
    elif before.content is None:
        os.chmod(path, before.mode)
    else:
        handle, made = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".undo-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(before.content)
            os.chmod(made, before.mode)
            os.replace(made, path)
        except OSError:
            os.unlink(made)
            raise
