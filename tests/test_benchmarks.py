"""`make bench` comes to its end and its table whatever one of its sections does."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.measuring import NoAnswer, alone, ratio, shown
from tests.benchmarks.run import rows

ROW = '{"what": "a", "bar": "", "measured": "1", "holds": null}'


def test_a_section_that_fails_is_a_row_behind_those_it_had() -> None:
    code = f"print('{ROW}'); raise SystemExit(3)"
    assert list(rows("broken", [sys.executable, "-c", code], 60)) == [
        shown("a", "1"),
        {"what": "broken", "bar": "runs to its end", "measured": "exit code 3", "holds": False},
    ]


def test_a_section_that_hangs_is_a_row() -> None:
    [row] = rows("stuck", [sys.executable, "-c", "import signal; signal.pause()"], 1)
    assert (row["measured"], row["holds"]) == ("no end in 1 s", False)


def test_a_peer_that_hangs_is_told_from_one_that_breaks() -> None:
    with pytest.raises(NoAnswer, match="no answer in 1 s"):
        alone("concurrent", "serve", seconds=1)
    with pytest.raises(NoAnswer, match="exit code"):
        alone("concurrent", "no such client", "http://127.0.0.1:1")


def test_a_ratio_is_the_median_of_its_rounds() -> None:
    row = ratio("it", "that", 2, [1.0, 30.0, 3.0], [1.0, 3.0, 1.0])
    assert (row["bar"], row["holds"]) == ("<= 2x that", False)
    assert ratio("it", "that", 3, [1.0, 30.0, 3.0], [1.0, 3.0, 1.0])["holds"]
