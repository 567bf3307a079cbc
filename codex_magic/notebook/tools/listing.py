"""`%codex tools`: what the model may call, how often it did, and what is turned off."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ...protocol.errors import OptionError
from ..options import reads, runs
from ..screen import ago
from .entries import ENTRIES, NAMES, RUN_PYTHON
from .registry import shown_name

if TYPE_CHECKING:
    from ..session import Session, Steps

NOTE = "Turn one off: `%codex tools off NAME`"


def show_or_turn(session: Session, rest: str) -> Steps[None]:
    """List the tools, or turn one `on` or `off`. Raises OptionError for a name that is none."""
    screen = session.screen
    if rest:
        word, name = rest.split()
        if name not in names(session):
            near = difflib.get_close_matches(name, names(session), n=1)
            meant = f"Did you mean `%codex tools {word} {near[0]}`? " if near else ""
            raise OptionError(f"No tool `{name}`.", hint=f"{meant}List them: `%codex tools`")
        (session.tools.off.add if word == "off" else session.tools.off.discard)(name)
        screen.say(f"`{name}` is {word}, from the next question on.")
        return
    rows = [*_rows(session)]
    screen.table(("Tool", "From", "State", "Calls", "Last call"), rows, note=NOTE)
    yield from ()  # there is nothing to wait for


def names(session: Session) -> list[str]:
    """Return what can be turned on and off."""
    own, _ = session.tools.own(session.shell.user_ns, NAMES)
    mine = (shown_name(tool.name, tool.namespace) for tool in own)
    return [*dict.fromkeys((*(entry.name for entry in (*ENTRIES, RUN_PYTHON)), *mine, *session.tools.off))]


def _rows(session: Session) -> list[tuple[object, ...]]:
    registry, settings = session.tools, session.settings
    rows = [_row(session, entry.name, "Codex", f"reads: {reads(settings.reads)}") for entry in ENTRIES]
    rows.append(_row(session, RUN_PYTHON.name, "Codex", f"runs: {runs(settings.runs)}"))
    own, problems = registry.own(session.shell.user_ns, NAMES)
    for tool in own:
        asks = "on, does not ask" if tool.needs_approval is False else "on, asks"
        rows.append(_row(session, shown_name(tool.name, tool.namespace), "you", asks))
    rows += [_row(session, name, "you", f"not offered: {why}") for name, why in problems.items()]
    return rows


def _row(session: Session, name: str, source: str, state: str) -> tuple[object, ...]:
    calls = session.tools.calls.get(name)
    last = f"{ago(calls.at)} · {calls.last}".removesuffix(" · ") if calls else ""
    shown = state if session.tools.is_on(name) else "off"
    return f"`{name}`", source, shown, calls.number if calls else 0, last
