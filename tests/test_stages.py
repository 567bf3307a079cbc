"""`make test`: every stage runs, one table and one exit code at the end, and nothing outlives a Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pins import ROOT

MAKEFILE = f"""
good:
	@echo is good
bad:
	@false
endless:
	@{sys.executable} -c 'import signal; print("ready", flush=True); signal.pause()' & \\
	{sys.executable} -c 'import signal; signal.pause()'
"""


def stages(folder: Path, *targets: str, **variables: str) -> subprocess.Popen[str]:
    (folder / "Makefile").write_text(MAKEFILE)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stages", *targets, "--", "make", "-f", str(folder / "Makefile")],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "LATEST"} | variables,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("targets", "code", "results"), [(["bad", "good"], 1, ["FAILED", "good"]), (["good"], 0, ["good"])]
)
def test_every_stage_runs_whatever_the_others_said(
    tmp_path: Path, targets: list[str], code: int, results: list[str]
) -> None:
    with stages(tmp_path, *targets) as run:
        printed, _ = run.communicate()
    assert "is good" in printed
    table = printed.partition("--- summary")[2].splitlines()[1:]
    assert [line.split()[:2] for line in table] == [list(each) for each in zip(targets, results, strict=True)]
    assert run.returncode == code


def test_the_newest_versions_are_listed_beside_the_pinned_ones(tmp_path: Path) -> None:
    with stages(tmp_path, "good", LATEST="1") as run:
        printed, _ = run.communicate()
    assert printed.partition("--- moved")[2].partition("--- summary")[0].strip("- \n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_all_that_runs(tmp_path: Path, number: int) -> None:
    """The pipe ends when the last process that could write to it has."""
    with stages(tmp_path, "endless", "good") as run:
        assert run.stdout is not None
        assert any(line == "ready\n" for line in run.stdout)
        run.send_signal(number)
        assert "is good" not in run.stdout.read()
    assert run.returncode == 128 + signal.SIGINT
