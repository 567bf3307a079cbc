"""Tools that are handed to a turn, on both engines: what they may be asked with, and what is shown of them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from codex_magic import tool
from codex_magic.engines.tools import loosened
from codex_magic.protocol.secrets import hide
from codex_magic.protocol.types import ToolCall
from codex_magic.responses.tools import ToolCallError
from tests.peers.agent import done, sent, use

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

ENGINES = ["backend", "app-server"]


def show(name: str, rows: int = 5, columns: list[str] | None = None, full: bool = False) -> str:
    """Show a variable."""
    return f"{name}: {rows} rows, {columns}, {full}"


def seen(result):
    [call] = done(result, ToolCall)
    return call.content_items[0]["text"]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_turn_may_have_tools_of_its_own(codex, service, engine):
    thread = codex.thread_start(engine=engine)
    thread.run("echo: first")
    result = thread.run(use("show", name="df"), tools=[show])
    [call] = done(result, ToolCall)
    assert (call.tool, call.arguments, call.status) == ("show", {"name": "df"}, "completed")
    assert "echo: first" in str(sent(service)["input"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ({"variable": "df", "limit": "3"}, "df: 3 rows, None, False"),
        ({"Name": "df", "columns": "a"}, "df: 5 rows, ['a'], False"),
        ({"expr": "df", "full": "True", "max_rows": 2}, "df: 2 rows, None, True"),
    ],
)
def test_what_is_plainly_meant_is_done(codex, engine, arguments, meant):
    result = codex.thread_start(engine=engine).run(use("show", **arguments), tools=[show])
    assert seen(result) == meant


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "arguments", [{"name": "df", "rows": "many"}, {"name": "df", "shape": 1}, {"rows": 1}]
)
def test_what_is_not_is_explained_to_the_model(codex, engine, arguments):
    result = codex.thread_start(engine=engine).run(use("show", **arguments), tools=[show])
    [call] = done(result, ToolCall)
    assert (call.status, call.success) == ("failed", False)
    assert "The arguments do not fit" in seen(result)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_somebody_says_yes_to_is_run_as_it_was_shown(codex, engine):
    acting = tool(show, needs_approval=True)
    thread = codex.thread_start(engine=engine, approvals=lambda request: "accept")
    result = thread.run(use("show", variable="df"), tools=[acting])
    assert "The arguments do not fit" in seen(result)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_time_of_a_call_is_without_that_of_the_person_who_allowed_it(codex, engine):
    allowed = []

    def approvals(request):
        time.sleep(0.5)
        allowed.append(time.monotonic())
        return "accept"

    thread = codex.thread_start(engine=engine, approvals=approvals)
    result = thread.run(use("show", name="df"), tools=[tool(show, needs_approval=True)])
    [call] = done(result, ToolCall)
    assert call.duration_ms / 1000 <= time.monotonic() - allowed[0]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_secret_in_a_result_stays_here(codex, service, engine):
    hide("planted-secret-1")

    def look() -> str:
        """Look."""
        return "it is planted-secret-1"

    result = codex.thread_start(engine=engine).run(use("look"), tools=[look])
    assert "planted" not in seen(result)
    assert "planted" not in str(sent(service)["input"])


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ('{"id": 7}', '{"cell": "7"}'),
        ('{"cell": 7, "id": 8}', '{"cell":"7","id":8}'),
        ('"x"', '{"cell":"x"}'),
        ("no json", "no json"),
        ("", "{}"),
    ],
)
def test_arguments_are_read_by_their_schema(text, read):
    schema: dict[str, Any] = {"properties": {"cell": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}
    assert loosened(text, schema).replace(" ", "") == read.replace(" ", "")


def test_a_tool_that_is_called_by_hand_stays_strict():
    with pytest.raises(ToolCallError):
        tool(show).bind('{"variable": "df"}')
