"""What an administrator allows on this machine: a file whose bounds no setting, option or argument can leave.

All policies there are hold together. That of the system and that of the Python installation stand where users can't
write; a variable may name one more, which can only narrow them. One that can't be read allows nothing.
Whoever may run Python here can run a client of their own: a policy keeps people and tools within what was agreed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from .errors import ConfigurationError, OptionError
from .types import ApprovalMode, Sandbox

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VARIABLE = "CODEX_MAGIC_POLICY"

_NAME = Path("codex_magic", "policy.toml")
_LONGEST = 1 << 16  # bytes of a policy; what is longer is none

_TITLES = {
    "engine": "the engine",
    "sandbox": "the sandbox",
    "approval": "the approval mode",
    "provider": "the provider",
    "model": "the model",
    "context": "the context",
    "reads": "reads",
    "runs": "runs",
}
"""What may be bounded, each by a list of words; the first is the default where the usual one is not among them."""

_WORDS = {
    "engine": ("backend", "app-server"),
    "sandbox": ("read-only", "workspace-write", "full-access"),
    "approval": ("deny", "ask", "untrusted", "auto"),
    "context": ("none", "above", "outputs", "all"),
    "reads": ("no", "ask", "yes"),
    "runs": ("no", "probes", "ask"),
}

_STRICTEST = {"sandbox": "read-only", "approval": "deny", "context": "none", "reads": "no", "runs": "no"}
"""What nobody needs to be kept from: it is allowed always."""

_ADDRESSES = {"chatgpt": "https://chatgpt.com/backend-api/codex", "openai": "https://api.openai.com/v1"}
"""What the names of providers stand for: an address that a variable sets instead has to be listed itself."""

_APPROVALS = {"deny_all": "deny", "auto_review": "auto"}


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file. `None` bounds nothing."""

    engine: tuple[str, ...] | None = None
    sandbox: tuple[str, ...] | None = None
    approval: tuple[str, ...] | None = None
    provider: tuple[str, ...] | None = None
    """`chatgpt`, `openai`, `local` (servers on this machine) and base URLs."""
    model: tuple[str, ...] | None = None
    """`*` stands for any characters."""
    context: tuple[str, ...] | None = None
    reads: tuple[str, ...] | None = None
    runs: tuple[str, ...] | None = None
    always: bool = True
    """Whether a person may approve for longer than once."""
    telemetry: bool = False
    """There is none to allow."""
    contact: str = ""
    """Whom to ask, for the sentence that refuses."""

    def __post_init__(self) -> None:
        if self.telemetry:
            raise ValueError("there is no telemetry to allow")
        for setting in _TITLES:
            words = self.words(setting)
            if words is not None and (not words or set(words) - set(_WORDS.get(setting, words))):
                known = f": it may hold {', '.join(_WORDS[setting])}" if setting in _WORDS else ""
                raise ValueError(f"`{setting}` is no list of its words{known}")

    def words(self, setting: str) -> tuple[str, ...] | None:
        words: tuple[str, ...] | None = getattr(self, setting)
        return words

    def allows(self, setting: str, value: str) -> bool:
        words = self.words(setting)
        if words is None or value == _STRICTEST.get(setting):
            return True
        if setting == "provider":
            return any(_is_server(entry, value) for entry in words)
        if setting == "model":
            return any(fnmatchcase(value, pattern) for pattern in words)
        return value in words

    def summary(self) -> str:
        """Return the bounds in one line."""
        listed = ((setting, self.words(setting)) for setting in _TITLES)
        bounds = [f"{setting}: {', '.join(words)}" for setting, words in listed if words is not None]
        return "; ".join([*bounds, *["no approval for longer than once"] * (not self.always)])


class Bounds(NamedTuple):
    """All policies that hold, each with its file."""

    policies: tuple[tuple[Path, Policy], ...] = ()

    @property
    def always(self) -> bool:
        return all(policy.always for _, policy in self.policies)

    def allows(self, setting: str, value: str) -> bool:
        return all(policy.allows(setting, value) for _, policy in self.policies)

    def bounded(self, *settings: str) -> bool:
        """Whether a policy says something of one of these settings."""
        return any(policy.words(each) is not None for _, policy in self.policies for each in settings)

    def check(self, setting: str, value: object) -> None:
        """Raise OptionError, which names the policy, for a value outside of it."""
        word = word_of(value)
        for path, policy in self.policies:
            if not policy.allows(setting, word):
                allowed = ", ".join(policy.words(setting) or ())
                contact = f" Ask {policy.contact}." if policy.contact else ""
                what = f"The policy of this machine ({path}) does not allow {_TITLES[setting]} {word}."
                raise OptionError(what, hint=f"It allows {allowed}.{contact}")

    def usual(self, setting: str, word: str) -> str:
        """Return a default, or what takes its place here."""
        if self.allows(setting, word):
            return word
        listed = (words for _, policy in self.policies for words in policy.words(setting) or ())
        others = (each for each in listed if "*" not in each and each != "local")
        return next((each for each in others if self.allows(setting, _address(each))), word)


def word_of(value: object) -> str:
    """Return the word of a policy for a sandbox, an approval mode or any other value."""
    if isinstance(value, Sandbox):
        return value.name.replace("_", "-")
    if isinstance(value, ApprovalMode):
        return _APPROVALS.get(value.name, value.name)
    return str(value)


def _address(entry: str) -> str:
    return _ADDRESSES.get(entry, entry)


def _is_server(entry: str, value: str) -> bool:
    """Whether an entry of a policy means that server: an address, or a name that stands for one."""
    if entry == "local" and value != "local":
        host = urlsplit(value).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"
    return _address(entry).rstrip("/") == _address(value).rstrip("/")


def places(environment: Mapping[str, str] | None = None) -> list[tuple[Path, bool]]:
    """Return the files of policies, and whether each has to be there."""
    environment = os.environ if environment is None else environment
    system = Path(environment.get("PROGRAMDATA", r"C:\ProgramData") if os.name == "nt" else "/etc")
    named = environment.get(VARIABLE)
    own = [(Path(named).expanduser(), True)] if named else []
    return [(system / _NAME, False), (Path(sys.prefix, "etc") / _NAME, False), *own]


_read: dict[tuple[Path, int, int, int], Policy] = {}


def policy_bounds() -> Bounds:
    """Return the bounds that hold now. Raises ConfigurationError where a policy can't be read: nothing is allowed."""
    found = ((path, _policy(path, needed=needed)) for path, needed in dict(places()).items())
    return Bounds(tuple((path, policy) for path, policy in found if policy is not None))


def _policy(path: Path, *, needed: bool) -> Policy | None:
    """Read one file, once for each state of it."""
    try:
        state = path.stat()
        key = path, state.st_mtime_ns, state.st_size, state.st_ino
        if key not in _read:
            with path.open("rb") as file:
                _read[key] = _parse(file.read(_LONGEST + 1))
        return _read[key]
    except (FileNotFoundError, NotADirectoryError) as error:
        if not needed:
            return None
        raise _unreadable(path, "it is not there") from error
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    except RecursionError as error:
        raise _unreadable(path, "it is nested too deeply") from error
    except ValueError as error:  # no TOML, no UTF-8, not these keys
        raise _unreadable(path, str(error)) from error


def _parse(data: bytes) -> Policy:
    """Raises ValueError for what is no policy, RecursionError for what no parser follows."""
    if len(data) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST} bytes")
    return msgspec.convert(tomllib.loads(data.decode("utf-8-sig")), Policy)


def _unreadable(path: Path, why: str) -> ConfigurationError:
    problem = f"The policy of this machine ({path}) can't be read ({why.rstrip('.')}), so nothing is allowed."
    return ConfigurationError(problem, hint="Ask who looks after this machine to mend it.")
