"""The function that makes the questions runs on Dask's, Ray's and loky's workers, where they are installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

import codex_magic
from tests.benchmarks.map import cluster
from tests.values.questions import questions

PACKAGES = {"dask": "distributed", "dask client": "distributed", "ray": "ray", "loky": "loky"}

pytestmark = pytest.mark.filterwarnings("default")  # theirs are their own


@contextmanager
def workers(kind: str) -> Iterator[Any]:
    if kind == "dask client":
        distributed: Any = import_module("distributed")
        with distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:
            yield client
    else:
        with cluster(kind) as executor:
            yield executor


@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", PACKAGES)
def test_two_workers_make_the_questions_and_this_process_asks_them(service, kind):
    if find_spec(PACKAGES[kind]) is None:
        pytest.skip(f"needs {PACKAGES[kind]}")

    def prompt(row: int) -> str:
        import os

        return f"echo: {row} {os.getpid()}" if row != 7 else f"echo: {1 / (row - 7)}"

    service.faults.next("too_many_requests", times=3, retry_after=0.1)
    service.faults.next("drop", times=3, after=1)
    with workers(kind) as executor:
        answers = codex_magic.map(range(60), prompt, executor=executor, progress=False)
    failed = codex_magic.map.errors
    assert [answer and int(answer.split()[0]) for answer in answers] == [
        None if n == 7 else n for n in range(60)
    ]
    assert [each["row"] for each in failed] == [7]
    assert len(questions(service)) == 59 + 6
    processes = {answer.split()[1] for answer in answers if answer}
    assert str(os.getpid()) not in processes
