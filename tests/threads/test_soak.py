"""Two processes of three threads each work on one store and are killed at any moment: nothing that was said is lost.

CODEX_MAGIC_KILLS=100 kills that many.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from codex_magic import Codex, CodexConfig, TurnStatus
from codex_magic.protocol.types import AgentMessage
from tests.service import Pace, start
from tests.threads import soaking

KILLS = int(os.environ.get("CODEX_MAGIC_KILLS", "4"))

pytestmark = pytest.mark.timeout(60 + 10 * KILLS)


def test_whatever_was_said_is_there_whenever_processes_are_killed() -> None:
    with start(pace=Pace(2000), open_access=True) as service:
        config: dict[str, Any] = {"provider": service.api_url, "model": "local-small"}
        with Codex(CodexConfig(**config)) as codex:
            shared = codex.thread_start(name="shared").id
        with ThreadPoolExecutor(2) as both:
            steps = both.map(lambda seed: killed(config, seed, shared), range(KILLS))
            said = [step for steps in list(steps) for step in steps]
        with Codex(CodexConfig(**config)) as codex:
            compare(codex, said, shared)


def killed(config: dict[str, Any], seed: int, shared: str) -> list[dict[str, Any]]:
    """What a process says until it is killed. A failure of it fails the test."""
    command = [sys.executable, soaking.__file__, json.dumps(config), str(seed), shared]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(random.Random(seed).randrange(1, 150))]
        process.kill()
        rest, failures = process.communicate()
    assert "Traceback" not in failures, failures
    said = []
    for line in [*lines, *rest.splitlines()]:
        with suppress(json.JSONDecodeError):  # the kill came in the middle of it
            said.append(json.loads(line))
    return said


def compare(codex: Codex, said: list[dict[str, Any]], shared: str) -> None:
    """Hold what is in the store against what was said. Of each thread one process and thread is the only one to say."""
    expected: dict[str, list[tuple[str, str | None, str]]] = {}
    unsure: set[str] = set()
    for step in said:
        thread, turn = step["thread"], step["turn"]
        turns = expected.setdefault(thread, [])
        match step["step"]:
            case "begins":
                unsure.add(thread)
                continue
            case "ran":
                places = [place for place, (_, cell, _) in enumerate(turns) if cell and cell == step["cell"]]
                at = slice(places[0], places[0] + 1) if places else slice(len(turns), None)
                turns[at] = [(turn, step["cell"], step["word"])]
            case "asked":
                turns.append((turn, None, ""))
            case "forked":
                past = expected[step["parent"]]
                upto = [known for known, _, _ in past].index(turn) + 1 if turn else len(past)
                expected[thread] = past[:upto]
            case "reverted":
                del turns[[known for known, _, _ in turns].index(turn) :]
        unsure.discard(thread)
    for thread, turns in expected.items():
        history = codex.thread_resume(thread).history()
        ids = [turn.id for turn in history]
        assert TurnStatus.in_progress not in {turn.status for turn in history}
        cells = [turn.cell_id for turn in history if turn.cell_id]
        assert len(cells) == len(set(cells))
        if thread == shared:
            assert {known for known, _, _ in turns} <= set(ids)
        elif thread not in unsure:
            assert ids == [known for known, _, _ in turns]
            texts = [
                [each.item.text for each in turn.items if isinstance(each.item, AgentMessage)]
                for turn in history
            ]
            assert texts == [[word] for _, _, word in turns]
