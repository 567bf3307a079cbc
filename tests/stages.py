"""Run make targets one after another, each to its end whatever the others said, and sum them up.

Usage: python -m tests.stages TARGET... -- MAKE [ARGUMENT...]. The exit code is 0 when all of them are good.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.pins import ROOT, moves

GRACE_SECONDS = 20
"""What a process that is told to stop has for its own clean-up."""

Outcome = tuple[str, str, float]
"""Stage, result, seconds."""


def main(stages: list[str], make: list[str]) -> int:
    outcomes: list[Outcome] = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C
    try:
        for stage in stages:
            heading(stage)
            outcomes.append(run(stage, make))
    except KeyboardInterrupt:
        print("\nStopped.")
        return 128 + signal.SIGINT
    if os.environ.get("LATEST"):
        heading("moved")
        print("\n".join(all_moves()) or "nothing")
    heading("summary")
    for stage, result, seconds in outcomes:
        print(f"{stage:<14}{result:<10}{seconds:6.0f} s")
    return int(any(result != "good" for _, result, _ in outcomes))


def all_moves() -> Iterator[str]:
    yield from map(str, moves())
    for path in sorted((ROOT / "tests" / "environments").glob("*.txt")):
        [folder] = (Path(sys.prefix) / "envs" / path.stem).glob("lib/python*/site-packages")
        yield from (f"{path.stem}: {each}" for each in moves(path, [str(folder)]))


def heading(text: str) -> None:
    print(f"\n--- {text} ".ljust(100, "-"), flush=True)


def run(stage: str, make: list[str]) -> Outcome:
    begun = time.monotonic()
    process = subprocess.Popen([*make, stage], start_new_session=True)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        end(process)
        raise
    return stage, "FAILED" if code else "good", time.monotonic() - begun


def end(process: subprocess.Popen[Any]) -> None:
    """Ctrl-C for all of a process's group, so that it ends what it has started itself; later the hard way."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    end_of_stages = sys.argv.index("--")
    sys.exit(main(sys.argv[1:end_of_stages], sys.argv[end_of_stages + 1 :]))
