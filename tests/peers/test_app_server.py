"""Threads and turns of the official app-server, with the local service as its model."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading

import pytest

from codex_magic import (
    ApprovalMode,
    Codex,
    CodexConfig,
    Decision,
    InvalidRequestError,
    Sandbox,
    ServiceError,
    Tool,
    TurnStatus,
)
from codex_magic.local_service import start
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    FileChange,
    ItemCompleted,
    ItemStarted,
    ToolCall,
    TurnCompleted,
    TurnStarted,
)

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

CONFIG = """
model = "gpt-5.5"
[analytics]
enabled = false
[features]
apps = false
plugins = false
remote_plugin = false
"""

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc00000030101"
    "0018dd8db00000000049454e44ae426082"
)


@pytest.fixture
def service():
    with start(open_access=True) as service:
        yield service


@pytest.fixture
def config(service, home, monkeypatch):
    """A session whose agent asks the local service, and nobody else."""
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(CONFIG)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return CodexConfig(engine="app-server", provider=service.api_url, model="gpt-5.5")


@pytest.fixture
def codex(config):
    with Codex(config) as codex:
        yield codex


@pytest.fixture
def folder(tmp_path):
    """Where the agent works."""
    return tmp_path


def sent(service, number=-1):
    return [request.json for request in service.requests if request.path.endswith("/responses")][number]


def said(body):
    """Role and text of the messages after those that the program puts before every thread."""
    messages = [item for item in body["input"] if item["type"] == "message"]
    return [(item["role"], item["content"][0].get("text", "")) for item in messages[3:]]


def test_a_turn_answers_and_the_next_one_knows_of_it(codex, service):
    thread = codex.thread_start()
    result = thread.run("echo: Hello {name}!")
    assert (result.status, result.final_response) == (TurnStatus.completed, "Hello {name}!")
    assert result.usage.total == result.usage.last
    second = thread.run("echo: again")
    assert second.usage.total.input_tokens == second.usage.last.input_tokens > 0
    assert said(sent(service)) == [
        ("user", "echo: Hello {name}!"),
        ("assistant", "Hello {name}!"),
        ("user", "echo: again"),
    ]


def test_a_stream_tells_our_ids_and_every_delta(codex):
    thread = codex.thread_start()
    handle = thread.turn("echo: one two three")
    told = list(handle.stream())
    assert isinstance(told[0], TurnStarted)
    assert isinstance(told[-1], TurnCompleted)
    assert "".join(n.delta for n in told if isinstance(n, AgentMessageDelta)) == "one two three"
    ids = {(n.thread_id, n.turn_id) for n in told if isinstance(n, ItemStarted | ItemCompleted)}
    assert ids == {(thread.id, handle.id)}
