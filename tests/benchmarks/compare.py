"""Two checkouts beside each other: whether this one costs more than the one before.

Each row is measured in fresh processes, here and there in turns, each with the code and the benchmarks of its
own checkout in one Python. What is compared are the cheapest rounds: what else the machine does only adds.
Both run from bytecode, as an installed package does: the round that compiles it is not counted.
Usage: python -m tests.benchmarks.compare FOLDER [ROW...]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks import agent, parse
from tests.benchmarks.measuring import ROOT, NoAnswer, Row, answer, row, times

ROUNDS = 9
FEWER_ROUNDS = {"agent_first": 3}
"""Each of them is the median of 96 turns, half a minute in each checkout."""
BAR = 1.05
SECONDS = 120
"""For one measurement; the longest takes some thirty."""

LOAD = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
begun = time.perf_counter()
shell.run_line_magic("load_ext", "codex_magic")
print(time.perf_counter() - begun)
"""

FIRST_CELL = """
import time
from tests.benchmarks.measuring import signed_in_service
from tests.end_to_end.kernel import Kernel
with signed_in_service() as service, Kernel() as kernel:
    kernel.execute("%load_ext codex_magic")
    begun = time.monotonic()
    request = kernel.send("%%codex\\necho: first")
    seconds = service.wait_for_request("/responses", 30).at - begun
    list(kernel.messages(request))
print(seconds)
"""

MARKDOWN = """
from tests.benchmarks.markdown import {text}, seconds
seconds({text}(20_000))
print(min(seconds({text}(100_000)) for _ in range(3)))
"""

Measure = Callable[[Path], float]
"""Seconds of one checkout; of what costs microseconds, for a whole answer."""


def main(base: Path, names: list[str]) -> bool:
    """Whether every bar holds."""
    held = True
    with (
        tempfile.TemporaryDirectory(prefix="codex_magic-compare-", ignore_cleanup_errors=True) as home,
        stream_server() as stream,
        agent.model() as model,
    ):
        homes = ("CODEX_HOME", "CODEX_MAGIC_HOME", "IPYTHONDIR", "PYTHONPYCACHEPREFIX")
        os.environ.update(dict.fromkeys(homes, home))
        measures = rows(stream, model)
        for name in names or measures:
            compared = compare(name, measures[name], base)
            print(json.dumps(compared), flush=True)
            held = held and compared["holds"] is True
    return held


def rows(stream: str, model: str) -> dict[str, Measure]:
    """What can be compared, by name. The addresses: of a server of one stream, and of a local service."""
    return {
        "load": lambda folder: run(folder, "-c", LOAD),
        "first_cell": lambda folder: run(folder, "-c", FIRST_CELL),
        "parse": lambda folder: (
            run(folder, "-m", "tests.benchmarks.parse", "ours", stream)[0] * parse.DELTAS / 1e6
        ),
        "parse_async": lambda folder: (
            run(folder, "-m", "tests.benchmarks.parse", "ours_async", stream)[0] * parse.DELTAS / 1e6
        ),
        "markdown": lambda folder: run(folder, "-c", MARKDOWN.format(text="typical")),
        "markdown_fence": lambda folder: run(folder, "-c", MARKDOWN.format(text="with_a_fence")),
        "agent_first": lambda folder: statistics.median(
            run(folder, "-m", "tests.benchmarks.agent", "first", model, "ours")["ours"]
        ),
        "agent_deltas": lambda folder: (
            run(folder, "-m", "tests.benchmarks.agent", "deltas", "ours", model) * agent.DELTAS / 1e6
        ),
    }


def run(folder: Path, *arguments: str) -> Any:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return answer(*arguments, seconds=SECONDS, cwd=folder, env=environment)


def compare(name: str, measure: Measure, base: Path) -> Row:
    bar = f"<= {BAR:g}x {base}"
    found: dict[Path, list[float]] = {ROOT: [], base: []}
    try:
        for number in range(FEWER_ROUNDS.get(name, ROUNDS) + 1):
            for folder in (ROOT, base) if number % 2 else (base, ROOT):
                seconds = measure(folder)
                if number:
                    found[folder].append(seconds)
    except NoAnswer as failure:
        return row(name, bar, f"{folder}: {failure}", False)
    mine, bases = found[ROOT], found[base]
    least = min(mine) / min(bases)
    middle = statistics.median(each / other for each, other in zip(mine, bases, strict=True))
    return row(name, bar, f"{least:.2f}x, median {middle:.2f}x ({times(mine)}; {times(bases)})", least <= BAR)


@contextmanager
def stream_server() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=parse.serve, args=[listener], daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.terminate()


if __name__ == "__main__":
    sys.exit(not main(Path(sys.argv[1]).resolve(), sys.argv[2:]))
