"""The words that bound the agent: which engine, which sandbox, who approves, in which folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..protocol.errors import OptionError
from ..protocol.types import ApprovalMode, Sandbox
from .options import ParsedLine, nearest

if TYPE_CHECKING:
    from ..threads.options import EngineName, TurnOptions
    from .magics import CodexMagics

ENGINES: dict[str, str] = {
    "backend": "answers, and touches nothing here",
    "app-server": "the Codex program as an agent that runs commands and edits files",
}

SANDBOXES: dict[str, str] = {
    "read-only": "it reads files; whatever writes or needs the network goes beyond",
    "workspace-write": "it writes below its folder and in temporary folders too; the network goes beyond",
    "full-access": "no sandbox: its commands run as you do, and nothing goes beyond",
}

APPROVALS: dict[str, str] = {
    "ask": "you are asked before anything goes beyond the sandbox",
    "untrusted": "you are asked before every command that is not known to be harmless",
    "deny": "nothing goes beyond the sandbox, and nobody is asked",
    "auto": "a reviewing model of the service decides instead of you",
}

_MODES = {
    "ask": ApprovalMode.ask,
    "untrusted": ApprovalMode.untrusted,
    "deny": ApprovalMode.deny_all,
    "auto": ApprovalMode.auto_review,
}

AGENT_OPTIONS = ("sandbox", "approval", "cwd")
"""Cell options that mean nothing to the backend."""

T = TypeVar("T")


def engine(word: str) -> EngineName:
    """Raises OptionError, as do the next three."""
    names: dict[str, EngineName] = {"backend": "backend", "app-server": "app-server"}
    return _found("engine", word, names.get(word), ENGINES)


def sandbox(word: str) -> Sandbox:
    try:
        found = Sandbox(word)
    except ValueError:
        found = None
    return _found("sandbox", word, found, SANDBOXES)


def approval(word: str) -> ApprovalMode:
    try:
        found = _MODES.get(word) or ApprovalMode(word)
    except ValueError:
        found = None
    return _found("approval", word, found, APPROVALS)


def folder(path: str) -> str:
    """The full path of a folder that exists; `~` is the home folder, an empty path the current one."""
    found = os.path.abspath(Path(path).expanduser())
    if not os.path.isdir(found):
        raise OptionError(f"There is no folder {path!r}.", hint="The agent works in one that exists.")
    return found


def spelled(value: Sandbox | ApprovalMode) -> str:
    """The word that is shown for it."""
    if isinstance(value, Sandbox):
        return value.name.replace("_", "-")
    return next(word for word, mode in _MODES.items() if mode is value)


def turn_engine(options: ParsedLine, magics: CodexMagics) -> EngineName:
    """The engine of a cell. Raises OptionError for options that bind an agent which is not asked."""
    chosen = "app-server" if options.values.get("agent") else engine(magics.engine)
    given = next((name for name in AGENT_OPTIONS if name in options.values), None)
    if chosen == "backend" and given is not None:
        raise OptionError(f"--{given} is about the agent.", hint=f"%%codex --agent --{given} ...")
    return chosen


def turn_bounds(options: ParsedLine, magics: CodexMagics) -> TurnOptions:
    """What the agent may do in a cell, all of it said, so that nothing of an earlier cell holds."""
    return {
        "sandbox": sandbox(options.text("sandbox") or magics.sandbox),
        "approval_mode": approval(options.text("approval") or magics.approval),
        "cwd": folder(options.text("cwd") or magics.cwd),
    }


def _found(kind: str, word: str, found: T | None, known: Mapping[str, str]) -> T:
    if found is None:
        raise OptionError(
            f"There is no {kind} {word!r}.{nearest(word, list(known))}",
            hint=f"It is one of {', '.join(known)}.",
        )
    return found
