"""Where the sign-in is kept: the CLI's own places, so that either program takes over from the other.

The CLI writes auth.json in place, so a reader may meet half of it; then it is read again. We write
beside it and rename. A file lock keeps our processes from refreshing one token twice; the CLI takes
no lock, so what is on the disk is looked at again before it is written.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from ..protocol.errors import ConfigurationError
from ..protocol.plain import decode_json
from ..protocol.settings import Settings
from ..waiting import undivided
from .credentials import Credentials, Document, credentials_of

_READS = 5
_PAUSE = 0.02
"""Seconds between two reads; the CLI writes its few kilobytes in far less."""

LOCK_SECONDS = 60.0
"""Longer than any refresh takes; a process that dies gives its lock back by itself."""
_LOCK_POLL = 0.02

_SETTING = "cli_auth_credentials_store"

KEYRING_SERVICE = "Codex Auth"
KEYRING_SECONDS = 30
"""A keyring can't be watched: a running notebook notices a change there within this time."""

_UNWRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY})
_NOT_YOURS = frozenset({errno.EACCES, errno.EPERM, errno.EINVAL, errno.EISDIR, errno.ENOTDIR, errno.ENXIO})
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
"""Nobody waits for the other end of what is a pipe."""


def auth_path(codex_home: Path) -> Path:
    return codex_home / "auth.json"


class Storage:
    """The sign-in of one CODEX_HOME. Every call looks anew; nothing is remembered here."""

    def __init__(self, place: Place, path: Path, home: Path) -> None:
        """`path`: the file that stands for the place; `home`: our own folder."""
        self._place = place
        self._lock_paths = path.with_name(f"{path.name}.lock"), home / "locks" / f"{_digest(path)}.lock"
        """Beside the file and, where that folder can't be written, in our own home."""

    @classmethod
    def of(cls, settings: Settings) -> Storage:
        """Where `cli_auth_credentials_store` says. Raises ConfigurationError when that can't be used."""
        return cls(_chosen_place(settings.codex_home), auth_path(settings.codex_home), settings.home)

    @classmethod
    def at(cls, path: Path) -> Storage:
        """A file of the official form anywhere."""
        return cls(FilePlace(path), path, Settings.from_env().home)

    @property
    def name(self) -> str:
        """The path of the file, or which keyring."""
        return str(self._place.path or self._place.name)

    def stamp(self) -> object:
        """What changes when the sign-in does; `None` when there is none."""
        return self._place.stamp()

    def check(self) -> None:
        """Raise ConfigurationError where a sign-in could not be kept, before a person makes one."""
        with self._errors("read"):
            self._place.read()
        if not self.is_writable():
            hint = "Make it writable, or set CODEX_HOME to a folder that is."
            raise ConfigurationError(f"{self.name} can't be written.", hint=hint)

    def read(self, *, sleep: Callable[[float], None] = time.sleep) -> Credentials | None:
        """Return the sign-in, `None` for none. Raises ConfigurationError for what can't be read."""
        for attempt in range(_READS):
            if attempt:
                sleep(_PAUSE)
            with self._errors("read"), suppress(ValueError):
                data = self._place.read()
                return None if data is None else credentials_of(data)
        # outside the handler, because a decoder's frames would show the content
        hint = "Replace it with `%codex login`, or remove it with `%codex logout`."
        raise ConfigurationError(f"{self.name} holds no readable credentials.", hint=hint)

    def update(self, change: Callable[[Document], Document]) -> Credentials:
        """Write what `change` makes of the document there, an empty one if it is missing or broken.

        To be called under `locked()`. Raises ConfigurationError when it can't be written.
        """
        document: Any = {}
        with self._errors("read"), suppress(ValueError):
            document = decode_json(self._place.read() or b"{}")
        document = change(document if isinstance(document, dict) else {})
        with self._errors("written"):
            self._place.write(document)
        return credentials_of(msgspec.json.encode(document))

    def forget(self) -> None:
        """Remove it, under `locked()`. Raises ConfigurationError when that can't be."""
        with self._errors("removed"):
            self._place.delete()

    def is_writable(self) -> bool:
        """Whether new tokens could be kept; if not, asking for them would end the old ones for all."""
        path = self._place.path
        return path is None or _can_write(Path(os.path.realpath(path)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep our other processes out. Raises ConfigurationError when another one never ends."""
        path = next(filter(_can_open, self._lock_paths), None)
        if path is None:
            raise ConfigurationError(f"No lock file can be created next to {self.name}.")
        # Python's one lock that works on every system, ends with its process and is not lost when somebody
        # else closes the file: https://sqlite.org/lockingv3.html. Nothing is ever written there.
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)) as lock:
            deadline = time.monotonic() + LOCK_SECONDS
            while not _begun(lock, path):
                if time.monotonic() > deadline:
                    hint = f"If there is none, delete {path}."
                    raise ConfigurationError("Another program is busy with the sign-in.", hint=hint)
                time.sleep(_LOCK_POLL)
            yield

    @contextmanager
    def _errors(self, participle: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            hint = f"Make {error.filename} a file of yours, or move it away."
            raise ConfigurationError(
                f"{self.name} can't be {participle}: {error.strerror}.",
                hint=hint if error.errno in _NOT_YOURS else "",
            ) from error


def _begun(lock: sqlite3.Connection, path: Path) -> bool:
    """Whether the lock is ours now, or another's still. Raises ConfigurationError where waiting is of no use."""
    try:
        with undivided():
            lock.execute("PRAGMA journal_mode = MEMORY")  # no second file
            lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        if "locked" in str(error):  # Python 3.10 has no sqlite_errorcode
            return False
        problem = f"The lock file {path} can't be used ({error})."
        raise ConfigurationError(problem, hint="Delete it, and try again.") from error
    return True


def _can_open(path: Path) -> bool:
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        return True
    return False


def _digest(path: Path) -> str:
    return hashlib.sha256(os.path.realpath(path).encode(errors="surrogateescape")).hexdigest()[:16]


class FilePlace:
    name = ""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stamp(self) -> object:
        """What changes when the content does; `None`: nothing is there."""
        with suppress(OSError):
            status = os.stat(self.path)
            return status.st_mtime_ns, status.st_size, status.st_ino
        return None

    def read(self) -> bytes | None:
        with suppress(FileNotFoundError), open(self.path, "rb", opener=_open_file) as file:
            return file.read()
        return None

    def write(self, document: Document) -> None:
        """Write beside the file and rename; in place where only the file itself may be written."""
        data = msgspec.json.format(msgspec.json.encode(document), indent=2)
        target = Path(os.path.realpath(self.path))  # a link stays one
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = _beside(target)
        try:
            _write(new, data)
            if os.name == "posix" and os.geteuid() == 0 and target.exists():
                owner = target.stat()
                os.chown(new, owner.st_uid, owner.st_gid)  # under sudo it stays the user's
            os.replace(new, target)
        except OSError as error:
            with suppress(OSError):
                new.unlink(missing_ok=True)
            if error.errno not in _UNWRITABLE or not os.access(target, os.W_OK):
                raise
            _write(target, data)

    def delete(self) -> None:
        for path in (self.path, _beside(self.path)):
            path.unlink(missing_ok=True)


def _can_write(path: Path) -> bool:
    """Whether it can be written or replaced, or made where neither it nor its folder is there yet."""
    folder = next(parent for parent in path.parents if parent.exists())
    return (folder.is_dir() and os.access(folder, os.W_OK)) or os.access(path, os.W_OK)


def _open_file(path: str, flags: int) -> int:
    """Raises OSError for what is no file."""
    descriptor = os.open(path, flags | _NO_WAIT)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "It is a folder" if stat.S_ISDIR(mode) else "It is not a file", path)


def _beside(path: Path) -> Path:
    """Return where new content is written: one name is enough under the lock, and leftovers are overwritten."""
    return path.with_name(path.name + ".new")


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags | _NO_WAIT, 0o600)) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class KeyringPlace:
    path = None
    name = f"the keyring ({KEYRING_SERVICE})"

    def __init__(self, codex_home: Path) -> None:
        try:
            self._keyring: Any = importlib.import_module("keyring")
        except ModuleNotFoundError:
            problem = "config.toml keeps the sign-in in the keyring, which needs the keyring package."
            hint = "Install it: `pip install 'codex-magic[keyring]'`"
            raise ConfigurationError(problem, hint=hint) from None
        self._file = FilePlace(auth_path(codex_home))
        self._key = f"cli|{_digest(codex_home)}"

    def stamp(self) -> object:
        return time.monotonic() // KEYRING_SECONDS

    def read(self) -> bytes | None:
        with self._errors():
            text = self._keyring.get_password(KEYRING_SERVICE, self._key)
        return text.encode() if text is not None else None

    def write(self, document: Document) -> None:
        with self._errors():
            self._keyring.set_password(KEYRING_SERVICE, self._key, msgspec.json.encode(document).decode())
        self._file.delete()

    def delete(self) -> None:
        if self.read() is not None:
            with self._errors():
                self._keyring.delete_password(KEYRING_SERVICE, self._key)
        self._file.delete()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._keyring.errors.KeyringError as error:
            hint = f'Unlock it, or set {_SETTING} = "file" in config.toml.'
            problem = f"The keyring can't be used ({type(error).__name__})."
            raise ConfigurationError(problem, hint=hint) from None


class AutoPlace:
    """The keyring where one works, else the file."""

    name = KeyringPlace.name

    def __init__(self, keyring: KeyringPlace, file: FilePlace) -> None:
        self._keyring, self._file = keyring, file

    @property
    def path(self) -> Path | None:
        return self._holder().path

    def stamp(self) -> object:
        return self._file.stamp(), self._keyring.stamp()

    def read(self) -> bytes | None:
        return self._holder().read()

    def write(self, document: Document) -> None:
        try:
            self._keyring.write(document)
        except ConfigurationError:
            self._file.write(document)

    def delete(self) -> None:
        with suppress(ConfigurationError):
            self._keyring.delete()
        self._file.delete()

    def _holder(self) -> KeyringPlace | FilePlace:
        with suppress(ConfigurationError):
            if self._keyring.read() is not None:
                return self._keyring
        return self._file


class MemoryPlace:
    """The memory of this process, shared by all who ask for the same home."""

    path = None
    name = "memory"
    _contents: ClassVar[dict[str, bytes]] = {}

    def __init__(self, codex_home: Path) -> None:
        self._key = os.path.realpath(codex_home)

    def read(self) -> bytes | None:
        return self._contents.get(self._key)

    stamp = read

    def write(self, document: Document) -> None:
        self._contents[self._key] = msgspec.json.encode(document)

    def delete(self) -> None:
        self._contents.pop(self._key, None)


Place = FilePlace | KeyringPlace | AutoPlace | MemoryPlace


def _auto_place(codex_home: Path) -> Place:
    file = FilePlace(auth_path(codex_home))
    try:
        return AutoPlace(KeyringPlace(codex_home), file)
    except ConfigurationError:
        return file


_PLACES: dict[str, Callable[[Path], Place]] = {
    "file": lambda codex_home: FilePlace(auth_path(codex_home)),
    "keyring": KeyringPlace,
    "auto": _auto_place,
    "ephemeral": MemoryPlace,
}


def _chosen_place(codex_home: Path) -> Place:
    path = codex_home / "config.toml"
    try:
        with open(path, encoding="utf-8", opener=_open_file) as file:
            name = place_setting(file.read())
    except FileNotFoundError:
        name = "file"
    except NotADirectoryError as error:
        raise ConfigurationError(f"{codex_home} is not a folder.", hint="Set CODEX_HOME to one.") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        problem = f"{path} can't be read: {reason}."
        raise ConfigurationError(problem, hint="Fix it, or move it away.") from error
    if name not in _PLACES:
        hint = f"It may be {', '.join(_PLACES)}."
        raise ConfigurationError(f"{_SETTING} in {path} is {name!r}.", hint=hint)
    return _PLACES[name](codex_home)


def place_setting(config: str) -> str:
    """Return the setting in a config.toml: it stands before the first table.

    Found without a TOML parser: Python 3.10 has none, and a mistake elsewhere in the file is not ours to report.
    """
    top = re.split(r"^[ \t]*\[[^\],]*\]+[ \t]*(?:#.*)?$", config, maxsplit=1, flags=re.MULTILINE)[0]
    setting = re.search(rf"^[ \t]*{_SETTING}[ \t]*=[ \t]*([\"'])(.*?)\1", top, re.MULTILINE)
    return setting[2] if setting else "file"
