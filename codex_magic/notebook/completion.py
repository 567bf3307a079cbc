"""Tab completion after `%codex` and `%%codex`: from what is at hand, without asking the network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..protocol.errors import CodexError
from .commands import COMMANDS
from .login_view import Way
from .options import APPROVALS, CELL_OPTIONS, EFFORTS, ENGINES, SANDBOXES
from .screen import ID_SHOWN
from .session import Session

PROVIDERS = ("chatgpt", "openai", "local")


def complete(session: Session, line: str, symbol: str) -> list[str]:
    """Return the words that may stand where `symbol` is being typed, the last word of `line`."""
    try:
        return [word for word in _candidates(session, line, symbol) if word.startswith(symbol)]
    except CodexError:
        return []  # a store or a catalog that can't be read completes nothing; the command will say why


def _candidates(session: Session, line: str, symbol: str) -> Iterable[str]:
    words = line[: len(line) - len(symbol)].split()
    last = words[-1] if words else ""
    if last == "--cwd" or words == ["%codex", "cwd"]:
        return _folders(symbol)
    option = next((o for o in CELL_OPTIONS if last in (f"--{o.name}", f"-{o.short}")), None)
    if option is not None and option.value is not None:
        return option.choices or _SOURCES.get(option.name, _nothing)(session)
    if symbol.startswith("-"):
        return [f"--{option.name}" for option in CELL_OPTIONS]
    if last == "%codex":
        return COMMANDS
    is_argument = words[:1] == ["%codex"] and len(words) == 2
    return _SOURCES.get(last, _nothing)(session) if is_argument else ()


def _nothing(session: Session) -> Iterable[str]:
    return ()


def _folders(symbol: str) -> list[str]:
    """Return the folders whose path continues what is typed."""
    beginning, slash, _ = symbol.rpartition("/")
    try:
        entries = Path(beginning + slash or ".").expanduser().iterdir()
        return [f"{beginning}{slash}{entry.name}/" for entry in sorted(entries) if entry.is_dir()]
    except OSError:
        return []


def _threads(session: Session) -> list[str]:
    page = session.blocking.thread_list(limit=50)
    return [name for t in page.threads for name in (t.id[:ID_SHOWN], t.name) if name and " " not in name]


def _archived(session: Session) -> list[str]:
    return [t.id[:ID_SHOWN] for t in session.blocking.thread_list(limit=50, archived=True).threads]


_SOURCES: dict[str, Callable[[Session], Iterable[str]]] = {
    "model": Session.remembered_models,
    **dict.fromkeys(("thread", "resume", "fork", "archive"), _threads),
    "unarchive": _archived,
    "provider": lambda session: PROVIDERS,
    "engine": lambda session: ENGINES,
    "sandbox": lambda session: SANDBOXES,
    "approval": lambda session: APPROVALS,
    "effort": lambda session: EFFORTS,
    "login": lambda session: [way.value for way in Way],
    "help": lambda session: COMMANDS,
}
