"""A program of a user: three threads ask, run cells again, fork and revert, and say each step before and after it.

Run by `test_soak.py` in several processes on one store, which it kills.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from typing import Any

from codex_magic import Codex, CodexConfig, Thread


def main(config: dict[str, Any], seed: int, shared: str) -> None:
    codex = Codex(CodexConfig(**config))
    threads = [threading.Thread(target=ask, args=(codex, f"{seed}-{number}", shared)) for number in range(3)]
    for thread in threads:
        thread.start()


def ask(codex: Codex, name: str, shared: str) -> None:
    """Work on for ever; whoever started this ends it."""
    chance = random.Random(name)
    threads = [start(codex, name)]
    for number in range(1_000_000):
        step = chance.choice([run, run, run_again, run_again, fork, revert, look, archive])
        step(codex, threads, chance, f"{name}-{number}")
        if number % 5 == 4:
            cell = chance.choice([None, "a", "b"])
            word = f"{name}-shared-{number}"
            result = codex.thread_resume(shared).run(f"echo: {word}", cell_id=cell, notebook="n")
            assert result.final_response == word
            if cell is None:
                say("asked", shared, result.id)
        if len(threads) > 5:
            threads[:] = [start(codex, f"{name}-{number}")]


def say(step: str, thread: str, turn: str = "", **more: Any) -> None:
    line = json.dumps({"step": step, "thread": thread, "turn": turn, **more})
    os.write(1, f"{line}\n".encode())  # in one go, whatever the other threads say


def start(codex: Codex, name: str) -> Thread:
    thread = codex.thread_start(name=name)
    say("started", thread.id)
    return thread


def run(
    codex: Codex, threads: list[Thread], chance: random.Random, word: str, cell: str | None = None
) -> None:
    thread = chance.choice(threads)
    say("begins", thread.id)
    result = thread.run(f"echo: {word}", cell_id=cell, notebook="n")
    assert result.final_response == word
    say("ran", thread.id, result.id, cell=cell, word=word)


def run_again(codex: Codex, threads: list[Thread], chance: random.Random, word: str) -> None:
    run(codex, threads, chance, word, chance.choice(["c1", "c2", "c3"]))


def fork(codex: Codex, threads: list[Thread], chance: random.Random, word: str) -> None:
    thread = chance.choice(threads)
    turns = [turn.id for turn in thread.history(include_items=False)]
    last = chance.choice([None, *turns])
    threads.append(codex.thread_fork(thread.id, last_turn_id=last))
    shared = turns[: turns.index(last) + 1] if last else turns
    assert [turn.id for turn in threads[-1].history()] == shared
    say("forked", threads[-1].id, last or "", parent=thread.id)


def revert(codex: Codex, threads: list[Thread], chance: random.Random, word: str) -> None:
    thread = chance.choice(threads)
    if turns := [turn.id for turn in thread.history(include_items=False)]:
        first = chance.choice(turns)
        say("begins", thread.id)
        thread.revert(first)
        assert [turn.id for turn in thread.history()] == turns[: turns.index(first)]
        say("reverted", thread.id, first)


def look(codex: Codex, threads: list[Thread], chance: random.Random, word: str) -> None:
    ids: list[str] = []
    cursor = None
    while not ids or cursor:
        page = codex.thread_list(limit=7, cursor=cursor, sort_key="created_at", sort_direction="asc")
        ids += [thread.id for thread in page.threads]
        cursor = page.next_cursor
    assert len(ids) == len(set(ids))
    assert {thread.id for thread in threads} <= set(ids)


def archive(codex: Codex, threads: list[Thread], chance: random.Random, word: str) -> None:
    thread = chance.choice(threads)
    codex.thread_archive(thread.id)
    assert thread.id in [each.id for each in codex.thread_list(archived=True, limit=1000).threads]
    codex.thread_unarchive(thread.id)
    thread.set_name(word)
    assert thread.read().thread.name == word


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
