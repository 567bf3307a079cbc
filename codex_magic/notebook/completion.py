"""Tab completion after `%codex` and `%%codex`: from what is known, without asking the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..protocol.errors import CodexError
from .agent import APPROVALS, ENGINES, SANDBOXES
from .commands import COMMANDS
from .login_view import Way
from .options import CELL_OPTIONS, EFFORTS, Option
from .say import ID_SHOWN

if TYPE_CHECKING:
    from .session import Session

PROVIDERS = ("chatgpt", "openai", "local")


def complete(session: Session, line: str, symbol: str) -> list[str]:
    """Words that may stand where `symbol` is being typed, the last word of `line`."""
    try:
        return [word for word in _candidates(session, line, symbol) if word.startswith(symbol)]
    except CodexError:
        return []  # a store or a catalog that can't be read completes nothing; the command will say why


def _candidates(session: Session, line: str, symbol: str) -> list[str]:
    words = line[: len(line) - len(symbol)].split()
    last = words[-1] if words else ""
    if last in ("--cwd", "cwd") and (last != "cwd" or words == ["%codex", "cwd"]):
        return _folders(symbol)
    option = next((o for o in CELL_OPTIONS if last in (f"--{o.name}", f"-{o.short}")), None)
    if option is not None and option.value is not None:
        return _values(session, option)
    if symbol.startswith("-"):
        return [f"--{option.name}" for option in CELL_OPTIONS]
    if last == "%codex":
        return list(COMMANDS)
    if words[:1] == ["%codex"] and len(words) == 2:
        return _arguments(session, last)
    return []


def _values(session: Session, option: Option) -> list[str]:
    if option.choices:
        return list(option.choices)
    source = _SOURCES.get(option.name)
    return source(session) if source else []


def _arguments(session: Session, command: str) -> list[str]:
    source = _SOURCES.get(command)
    return source(session) if source else []


def _models(session: Session) -> list[str]:
    return session.remembered_models()


def _threads(session: Session) -> list[str]:
    page = session.codex.thread_list(limit=50)
    return [name for t in page.threads for name in (t.id[:ID_SHOWN], t.name) if name and " " not in name]


def _folders(symbol: str) -> list[str]:
    """The folders whose path goes on from what is typed."""
    beginning, slash, _ = symbol.rpartition("/")
    try:
        found = sorted(
            entry.name for entry in Path(beginning + slash or ".").expanduser().iterdir() if entry.is_dir()
        )
    except OSError:
        return []
    return [f"{beginning}{slash}{name}/" for name in found]


def _archived(session: Session) -> list[str]:
    return [t.id[:ID_SHOWN] for t in session.codex.thread_list(limit=50, archived=True).threads]


_SOURCES: dict[str, Callable[[Session], list[str]]] = {
    "model": _models,
    "thread": _threads,
    "resume": _threads,
    "fork": _threads,
    "archive": _threads,
    "unarchive": _archived,
    "provider": lambda session: list(PROVIDERS),
    "engine": lambda session: list(ENGINES),
    "sandbox": lambda session: list(SANDBOXES),
    "approval": lambda session: list(APPROVALS),
    "effort": lambda session: list(EFFORTS),
    "login": lambda session: [way.value for way in Way],
    "help": lambda session: list(COMMANDS),
}
