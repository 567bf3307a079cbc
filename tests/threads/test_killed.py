"""What a killed process leaves behind: its question always, its answer as far as it was kept.

How old the text is that a kill costs is measured by `python -m tests.benchmarks.killed`.
"""

from __future__ import annotations

import json
import random
import signal
import sys

import pytest

from codex_magic import Codex, CodexConfig, TurnStatus
from codex_magic.protocol.types import AgentMessage
from tests.known import some
from tests.service import Pace, start
from tests.threads import killed

PROMPT = "repeat 3000"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="a process there ends without signals"),
    pytest.mark.timeout(120),
]


@pytest.fixture
def service():
    with start(pace=Pace(200), open_access=True) as service:
        yield service


def config(service):
    return {"provider": service.api_url, "model": "local-small"}


@pytest.mark.parametrize("seed", range(6))
def test_a_kill_at_any_moment_loses_no_question_and_leaves_a_thread_to_go_on_with(service, seed):
    process = killed.start(PROMPT, **config(service))
    told = some(process.stdout)
    thread_id = json.loads(told.readline())
    count = random.Random(seed).choice([0, 1, 2, 3, 20, 60, 150, 300])
    asked = killed.kill(process, [told.readline() for _ in range(count)])
    was_sent = any(PROMPT in request.body.decode() for request in service.requests)
    left = killed.left_of(thread_id, service, **config(service))
    if left.status is None:
        assert not asked.begun
        assert not was_sent
        return
    assert (left.status, left.question) == (TurnStatus.interrupted, PROMPT)
    assert asked.text().startswith(left.text) or left.text.startswith(asked.text())
    assert not left.text or left.text in left.sent


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["killed", "ended"])
def test_what_a_process_had_shown_for_a_while_is_kept(service, end):
    service.faults.next("hold", after=40)
    process = killed.start(PROMPT, **config(service))
    thread_id = json.loads(some(process.stdout).readline())
    turn_id = json.loads(some(process.stdout).readline())
    shown = "".join(json.loads(some(process.stdout).readline())[1] for _ in range(40))
    with Codex(CodexConfig(**config(service))) as codex:
        thread = codex.thread_resume(thread_id)
        while shown not in messages(turn := thread.history()[0]):
            assert turn.status is TurnStatus.in_progress
        process.send_signal(end)
        process.communicate()
        turn = thread.history()[0]
    assert (turn.id, turn.status) == (turn_id, TurnStatus.interrupted)
    assert messages(turn) == [shown]


def messages(turn):
    return [entry.item.text for entry in turn.items if isinstance(entry.item, AgentMessage)]
