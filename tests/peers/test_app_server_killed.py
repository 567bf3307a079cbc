"""A kernel killed in the middle of the agent's answer: what is kept of it, and going on with it."""

from __future__ import annotations

import json
import sys

import pytest

from codex_magic import Codex, CodexConfig, TurnStatus
from codex_magic.protocol.types import AgentMessage
from tests.known import some
from tests.peers.agent import as_provider
from tests.threads import killed

PROMPT = "repeat 2000"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(sys.platform == "win32", reason="a process there ends without signals"),
]


@pytest.mark.parametrize("goes_on", ["app-server", "backend"])
def test_the_agents_answer_outlives_a_kill_and_goes_on_with_either_engine(home, monkeypatch, goes_on):
    with as_provider(home, monkeypatch) as service:
        service.faults.next("hold", after=60)
        agent = {"provider": service.api_url, "model": "gpt-5.5", "engine": "app-server"}
        process = killed.start(PROMPT, **agent)
        thread_id = json.loads(some(process.stdout).readline())
        some(process.stdout).readline()
        shown = json.loads(some(process.stdout).readline())[1]
        with Codex(CodexConfig(**agent)) as codex:
            thread = codex.thread_resume(thread_id)
            while not any(shown in text for text in answers(thread)):
                assert thread.history()[0].status is TurnStatus.in_progress
            killed.kill(process)
            [kept] = answers(thread)
        left = killed.left_of(thread_id, service, **{**agent, "engine": goes_on})
    assert (left.status, left.question, left.text) == (TurnStatus.interrupted, PROMPT, kept)
    assert kept in left.sent


def answers(thread):
    return [entry.item.text for entry in thread.history()[0].items if isinstance(entry.item, AgentMessage)]
