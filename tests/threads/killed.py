"""A process that asks, killed at some moment of its answer; and what is left of that. For tests and the benchmark."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from codex_magic import Codex, CodexConfig, TurnStatus
from codex_magic.protocol.types import AgentMessage, UserMessage, input_text
from codex_magic.threads.options import CONTINUE
from tests.service import LocalService
from tests.threads.backend import texts

ASK = """
import json, sys, time
from codex_magic import Codex, CodexConfig
from codex_magic.protocol.types import AgentMessageDelta
config = json.loads(sys.argv[1])
with Codex(CodexConfig(**config)) as codex:
    thread = codex.thread_start()
    print(json.dumps(thread.id), flush=True)
    handle = thread.turn(sys.argv[2], summary="none")
    print(json.dumps(handle.id), flush=True)
    for told in handle.stream():
        if isinstance(told, AgentMessageDelta):
            print(json.dumps([time.monotonic(), told.delta]), flush=True)
"""


class Killed(NamedTuple):
    at: float
    """When, by the clock of `time.monotonic`."""
    begun: bool
    """Whether it had said that its turn has begun, or more."""
    deltas: list[tuple[float, str]]
    """What its answer said, and when."""

    def text(self, *, before: float = float("inf")) -> str:
        return "".join(delta for when, delta in self.deltas if when <= before)


class Left(NamedTuple):
    status: TurnStatus | None
    question: str
    text: str
    sent: list[str]
    """The texts that the next question is sent with."""


def start(prompt: str, **config: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", ASK, json.dumps(config), prompt]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str], lines: Sequence[str] = ()) -> Killed:
    """Kill it; what it has said, `lines` of which have been read before."""
    process.kill()
    at = time.monotonic()
    lines = "".join([*lines, process.communicate()[0]]).splitlines()
    said = [json.loads(line) for line in lines if line.endswith(("]", '"'))]
    deltas = [(each[0], each[1]) for each in said if isinstance(each, list)]
    return Killed(at, bool(said), deltas)


def left_of(thread_id: str, service: LocalService, **config: Any) -> Left:
    """What the next process finds, which goes on with it."""
    with Codex(CodexConfig(**config)) as codex:
        thread = codex.thread_resume(thread_id)
        turns = thread.history()
        if not turns:
            return Left(None, "", "", [])
        items = [entry.item for entry in turns[0].items]
        thread.run(CONTINUE)
    question = "".join(input_text(item.content) for item in items if isinstance(item, UserMessage))
    asked = [each.json for each in service.requests if each.path.endswith("/responses")]
    mine = [body["input"] for body in asked if CONTINUE in str(body) and question in str(body)]
    return Left(
        turns[0].status,
        question,
        "".join(item.text for item in items if isinstance(item, AgentMessage)),
        texts(mine[-1]) if mine else [],
    )
