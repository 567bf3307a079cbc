"""What the benchmarks share: rows, processes that may not answer, and a service to be signed in to.

A machine is three times as fast on one day as on another, so no bar is a time: each is a ratio to something that
is measured in the same run, in turn with ours. Times are shown without a verdict.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.home import home_variables, service_variables
from tests.service import LocalService, start
from tests.stages import end

ROOT = Path(__file__).parent.parent.parent

Row = dict[str, Any]

MS = 1000

ANSWER_SECONDS = 60
"""What a client gets that may hang; ours need a few."""


class NoAnswer(Exception):
    """How a process that was asked for its figures failed, in a few words."""


def alone(benchmark: str, *arguments: str, seconds: float = ANSWER_SECONDS) -> Any:
    """What a benchmark prints as a process of its own. Raises `NoAnswer`."""
    return answer("-m", f"tests.benchmarks.{benchmark}", *arguments, seconds=seconds)


def answer(*arguments: str, seconds: float, **options: Any) -> Any:
    """What a Python prints, as JSON. Raises `NoAnswer`."""
    with group([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            printed, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"no answer in {seconds:.0f} s") from None
    if process.returncode:
        raise NoAnswer(f"exit code {process.returncode}")
    return json.loads(printed)


@contextmanager
def group(command: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process that ends with the block, and all that it has started."""
    process = subprocess.Popen(command, start_new_session=True, **({"cwd": ROOT} | options))
    try:
        yield process
    finally:
        end(process)
        if process.stdout:
            process.stdout.close()


@contextmanager
def signed_in_service() -> Iterator[LocalService]:
    """A local service, and this process and its children in a new home that is signed in to it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, start() as service:
        service.sign_in(Path(home) / ".codex")
        os.environ.update(home_variables(Path(home)) | service_variables(service))
        yield service


def row(what: str, bar: str, measured: str, holds: bool | None) -> Row:
    return {"what": what, "bar": bar, "measured": measured, "holds": holds}


def shown(what: str, measured: str) -> Row:
    """A row without a verdict."""
    return row(what, "", measured, None)


def ratio(what: str, base: str, bar: float, mine: Sequence[float], bases: Sequence[float]) -> Row:
    """The median ratio of rounds, in which ours and its base were measured one after the other, in seconds."""
    median = statistics.median(each / least for each, least in zip(mine, bases, strict=True))
    return row(what, f"<= {bar:g}x {base}", f"{median:.2f}x ({times(mine)}; {times(bases)})", median <= bar)


def times(seconds: Sequence[float]) -> str:
    """The median and the spread."""
    low, middle, high = (each * MS for each in (min(seconds), statistics.median(seconds), max(seconds)))
    digits = 3 if middle < 1 else 1
    return f"{middle:.{digits}f} ms, {low:.{digits}f}..{high:.{digits}f}"
