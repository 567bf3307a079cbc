"""MCP servers of the user's config.toml: the real program starts them, and their calls are steps that ask."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_magic import Codex, CodexConfig
from codex_magic.protocol.types import McpToolApproval, McpToolCall, Warned
from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel
from tests.end_to_end.test_user_tools import answer, unasked
from tests.peers.agent import asked_with, done, use

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

MODEL = "local-small"
"""It is told of a server's tools at once; others of the program's search for them first."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The calls that reached the server."""
    return tmp_path / "calls"


@pytest.fixture
def configured(service: Any, home: Path, log: Path) -> Path:
    """The config.toml with a server, one that can't start and one that is off."""
    path, script = home / ".codex" / "config.toml", Path(__file__).parent / "mcp_server.py"
    arguments = json.dumps([str(script), str(log)])
    shop = f"[mcp_servers.shop]\ncommand = {json.dumps(sys.executable)}\nargs = {arguments}\n"
    others = '[mcp_servers.broken]\ncommand = "/no/such/program"\n[mcp_servers.idle]\ncommand = "x"\nenabled = false\n'
    path.write_text(f"{path.read_text()}\n{others}{shop}")
    return path


@pytest.fixture
def codex(configured: Path, service: Any) -> Any:
    with Codex(CodexConfig(engine="app-server", provider=service.api_url, model=MODEL)) as codex:
        yield codex


def calls(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_call_asks_with_its_arguments_and_is_a_step(codex: Codex, log: Path) -> None:
    approvals = asked_with("accept")
    result = codex.thread_start(approvals=approvals).run(use("store", value="x"))
    [question] = approvals.requests
    [call] = done(result, McpToolCall)
    assert isinstance(question, McpToolApproval)
    assert (question.server, question.tool, question.arguments) == ("shop", "store", {"value": "x"})
    assert (question.item_id, call.approval, call.status) == (call.id, "accept", "completed")
    assert call.content_items == ({"type": "inputText", "text": "stored x"},)
    assert calls(log) == [["store", {"value": "x"}]]


@pytest.mark.parametrize(("decision", "status"), [("decline", "declined"), (None, "unanswered")])
def test_a_no_and_no_answer_call_nothing(codex: Codex, log: Path, decision: Any, status: str) -> None:
    result = codex.thread_start(approvals=asked_with(decision)).run(use("store", value="x"))
    [call] = done(result, McpToolCall)
    assert call.status == status
    assert calls(log) == []


def test_nobody_to_ask_is_a_no(codex: Codex, log: Path) -> None:
    codex.thread_start().run(use("store", value="x"))
    assert calls(log) == []


def test_what_a_server_says_only_reads_asks_too(codex: Codex, log: Path) -> None:
    approvals = asked_with("decline")
    codex.thread_start(approvals=approvals).run(use("look"))
    assert [each.tool for each in approvals.requests] == ["look"]
    assert calls(log) == []


def test_a_yes_for_the_session_is_for_one_tool(codex: Codex, log: Path) -> None:
    approvals = asked_with("acceptForSession")
    thread = codex.thread_start(approvals=approvals)
    for value in "xy":
        thread.run(use("store", value=value))
    thread.run(use("look"))
    assert [each.tool for each in approvals.requests] == ["store", "look"]
    assert len(calls(log)) == 3


def test_what_the_users_own_file_approves_does_not_ask(codex: Codex, configured: Path, log: Path) -> None:
    configured.write_text(f'{configured.read_text()}default_tools_approval_mode = "approve"\n')
    approvals = asked_with("decline")
    codex.thread_start(approvals=approvals).run(use("store", value="x"))
    assert approvals.requests == []
    assert len(calls(log)) == 1


def test_a_failure_of_the_tool_is_told_and_stays_in_the_thread(codex: Codex) -> None:
    thread = codex.thread_start(approvals=asked_with("accept"))
    [call] = done(thread.run(use("fail")), McpToolCall)
    assert (call.status, call.success) == ("failed", False)
    assert call.content_items == ({"type": "inputText", "text": "the table is gone"},)
    kept = [entry.item for turn in thread.history() for entry in turn.items]
    assert [each for each in kept if isinstance(each, McpToolCall)] == [call]


def test_a_form_of_a_server_is_declined_and_the_answer_says_so(codex: Codex) -> None:
    handle = codex.thread_start(approvals=asked_with("accept")).turn(use("sign"))
    warned = [each.message for each in handle.stream() if isinstance(each, Warned)]
    assert any("Who signs this?" in message for message in warned)


def test_the_other_engine_goes_on_with_what_a_server_gave(codex: Codex, service: Any) -> None:
    thread = codex.thread_start(approvals=asked_with("accept"))
    thread.run(use("store", value="x"))
    thread.run("echo: on", engine="backend")
    assert "stored x" in json.dumps(service.requests[-1].json["input"])


def test_servers_are_listed_with_their_tools_or_what_is_wrong(codex: Codex) -> None:
    servers = {each.name: each for each in codex.mcp_servers()}
    assert servers["shop"].tools == ("fail", "look", "sign", "store")
    assert servers["shop"].problem is None
    assert "No such file" in str(servers["broken"].problem)
    assert not servers["idle"].is_enabled


def test_in_a_notebook_the_card_asks_and_a_server_can_be_turned_off(
    configured: Path, service: Any, tmp_path: Path, log: Path
) -> None:
    with Kernel(tmp_path) as kernel:
        kernel.execute("%load_ext codex_magic")
        kernel.execute(f"%codex provider {service.api_url}")
        kernel.execute(f"%codex model {MODEL}")
        page, cell = ExtendedFrontEnd(kernel), f"%%codex --agent\n{use('store', value='x')}"
        shown = answer(page, cell, "Approve for this session")
        assert 'Called shop.store(value="x")' in shown
        assert "stored x" in shown
        listed = unasked(page, "%codex tools")
        assert "shop.store" in listed
        assert "No such file" in listed
        assert "approved for this session" in unasked(page, cell)
        assert len(calls(log)) == 2
        unasked(page, "%codex tools off shop")
        assert "Not called: declined" in unasked(page, cell)
        assert len(calls(log)) == 2
