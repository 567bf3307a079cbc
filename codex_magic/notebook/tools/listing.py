"""`%codex tools`: what the model may call, how often it did, and what is turned off."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from ...protocol.errors import CodexError, OptionError
from ...protocol.plain import shorten
from ..options import reads, runs
from ..screen import ago
from .entries import ALL, CELL_TOOLS, ENTRIES, NAMES, RUN_PYTHON
from .registry import shown_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...protocol.types import McpServer
    from ...waiting import Steps
    from ..session import Session

NOTE = "Turn one off: `%codex tools off NAME`"


def show_or_turn(session: Session, rest: str) -> Steps[None]:
    """List the tools, or turn one `on` or `off`. Raises OptionError for a name that is none."""
    screen = session.screen
    servers, problem = yield from _servers(session)
    if rest:
        word, name = rest.split()
        known = [*names(session), *(f"{each.name}.{tool}" for each in servers for tool in ("", *each.tools))]
        known = [each.removesuffix(".") for each in known]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"Did you mean `%codex tools {word} {near[0]}`? " if near else ""
            raise OptionError(f"No tool `{name}`.", hint=f"{meant}List them: `%codex tools`")
        server = name.partition(".")[0]
        if word == "off" and any(each.name == server and not each.asks for each in servers):
            own = f"Your config.toml lets the agent call the tools of `{server}` without asking."
            hint = f"{own} Turn it off there: `enabled = false`"
            raise OptionError(f"`{name}` can't be turned off here.", hint=hint)
        (session.tools.off.add if word == "off" else session.tools.off.discard)(name)
        screen.say(f"`{name}` is {word}, from the next question on.")
        return
    rows = [*_rows(session), *(row for server in servers for row in _server_rows(session, server))]
    screen.table(("Tool", "From", "State", "Calls", "Last call"), rows, note=NOTE)
    if problem is not None:
        screen.say(f"Your MCP servers can't be listed. {problem}")


def _servers(session: Session) -> Steps[tuple[list[McpServer], CodexError | None]]:
    """Return the MCP servers of the user's configuration, if it has any, or why they are not known."""
    try:
        text = (session.env.codex_home / "config.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return [], None
    if "mcp_servers" not in text:  # the agent's program is not started for nothing
        return [], None
    try:
        provider = session.agent_provider(session.settings.provider)
        return (yield from session.wait(session.codex.mcp_servers(provider=provider))), None
    except CodexError as error:
        return [], error


def _server_rows(session: Session, server: McpServer) -> Iterator[tuple[object, ...]]:
    where = f"MCP server {server.name}"
    if not server.is_enabled:
        yield f"`{server.name}`", where, "off in config.toml", 0, ""
    elif server.problem is not None:
        yield f"`{server.name}`", where, f"failed: {shorten(server.problem, 80)}", 0, ""
    else:
        state = "agent only, asks" if server.asks else "agent only, as config.toml says"
        for tool in server.tools:
            yield _row(session, f"{server.name}.{tool}", where, state)


def names(session: Session) -> list[str]:
    """Return what can be turned on and off."""
    own, _ = session.tools.own(session.shell.user_ns, NAMES)
    mine = (shown_name(tool.name, tool.namespace) for tool in own)
    return [*dict.fromkeys((*(entry.name for entry in ALL), *mine, *session.tools.off))]


def _rows(session: Session) -> list[tuple[object, ...]]:
    registry, settings = session.tools, session.settings
    state = f"reads: {reads(settings.reads)}"
    rows = [_row(session, entry.name, "Codex", state) for entry in ENTRIES]
    rows += [_row(session, entry.name, "Codex", f"{state}, asks") for entry in CELL_TOOLS]
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
