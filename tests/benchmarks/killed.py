"""What kill -9 costs: processes killed at random moments of a long answer, over HTTP and with the agent.

Usage: killed.py [KILLS]
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codex_magic.protocol.types import AgentMessage, TextInput, TurnStatus, UserMessage
from codex_magic.threads.partial import OpenItem
from codex_magic.threads.store import ItemRecord, Store
from tests.benchmarks.measuring import Row, row, shown, times
from tests.service import LocalService, Pace, start
from tests.threads.killed import Killed, Left, kill, left_of
from tests.threads.killed import start as start_process

KILLS = 20
LONGEST = 6.0
"""Seconds after which a process is killed at the latest, counted from the begin of its turn."""

AT_ONCE = 3
COSTS = 1.0
"""Seconds of text that a kill may cost."""

LONG = 2_000_000


def main(kills: int) -> None:
    with tempfile.TemporaryDirectory(prefix="codex_magic-bench-", ignore_cleanup_errors=True) as folder:
        for measured in measure(Path(folder), kills):
            print(json.dumps(measured), flush=True)


def measure(folder: Path, kills: int) -> Iterator[Row]:
    yield from killed("over HTTP", kills, engine="backend", model="local-small")
    yield from killed("with the agent", max(1, kills // 5), engine="app-server", model="gpt-5.5")
    yield shown("store: an answer of 2 MB in pieces, and whole", times([a_long_answer(folder / "long.db")]))


def killed(how: str, kills: int, **config: Any) -> Iterator[Row]:
    with start(pace=Pace(100), open_access=True) as service, ThreadPoolExecutor(AT_ONCE) as pool:
        config["provider"] = service.api_url
        found = list(pool.map(lambda seed: one(service, seed, config), range(kills)))
    kept = [left.question != "" for _, left in found]
    told = [left.status is TurnStatus.interrupted for _, left in found]
    enough = [left.text.startswith(was.text(before=was.at - COSTS)) for was, left in found]
    goes_on = [not left.text or left.text in left.sent for _, left in found]
    lost = max(loss(was, left.text) for was, left in found)
    all_of = f"{kills} of {kills}"
    for what, each in (
        ("questions kept", kept),
        ("told as interrupted", told),
        (f"text kept but for {COSTS:.0f} s", enough),
        ("sent again with the next question", goes_on),
    ):
        yield row(f"kill -9 {how}: {what}", all_of, f"{sum(each)} of {len(each)}", all(each))
    yield row(f"kill -9 {how}: the oldest text lost", "", f"{lost:.2f} s", None)


def one(service: LocalService, seed: int, config: dict[str, Any]) -> tuple[Killed, Left]:
    process = start_process(f"repeat {5000 + seed}", **config)
    assert process.stdout is not None
    thread_id = json.loads(process.stdout.readline())
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, LONGEST))
    return kill(process), left_of(thread_id, service, **config)


def loss(was: Killed, text: str) -> float:
    """How old the first delta was that is not kept."""
    length = 0
    for when, delta in was.deltas:
        length += len(delta)
        if length > len(text):
            return was.at - when
    return 0.0


def a_long_answer(path: Path) -> float:
    """Seconds that the store works for it: a piece in each of 300 seconds, and all of it at its end."""
    with Store(path) as store:
        turn = store.begin_turn(
            store.create_thread().id, question=ItemRecord(UserMessage("u", (TextInput("?"),)))
        )
        message = AgentMessage("a", "")
        opened = OpenItem(message)
        begun = time.perf_counter()
        for _ in range(300):
            opened.add(0, "x" * (LONG // 300))
            store.add_pieces(turn.id, opened.new_pieces())
        store.add_item(turn.id, AgentMessage("a", "x" * LONG), [{"type": "message", "content": "x" * LONG}])
        store.finish_turn(turn.id, TurnStatus.completed)
        return time.perf_counter() - begun


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else KILLS)
