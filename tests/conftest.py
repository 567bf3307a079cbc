"""Every test has a home of its own and cannot leave this machine; real kernels and servers are fixtures."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Generator, Iterator
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from codex_magic.protocol import secrets
from tests.end_to_end.kernel import Kernel
from tests.home import OFFLINE, home_variables, personal_variables, service_variables
from tests.pins import move

if TYPE_CHECKING:
    from tests.service import LocalService

ROOT = Path(__file__).parent.parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure beside another version of a peer than the pinned one is listed as its news: nothing here moved."""
    report = yield
    mark = item.get_closest_marker("peer")
    moved = next(filter(None, map(move, mark.args)), None) if report.failed and mark else None
    if moved and call.excinfo:
        report.outcome = "skipped"
        report.wasxfail = f"{moved}: {call.excinfo.exconly()}"
    return report


runpy.run_path(str(OFFLINE / "sitecustomize.py"))


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder: nobody's sign-in, threads, settings or history are read or written."""
    home = tmp_path_factory.mktemp("home")
    for name in personal_variables():
        monkeypatch.delenv(name)
    for name, value in home_variables(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        secrets, "_known", secrets.Known(())
    )  # else what one test hides is held in another's streams
    return home


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalService]:
    """The local service as fast as it can, and this test's home signed in to it as to the real one."""
    from tests.service import start

    with start() as service:
        service.sign_in(home / ".codex")
        for name, value in service_variables(service).items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A real kernel in an empty folder."""
    with Kernel(tmp_path) as kernel:
        yield kernel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the backend that pyproject.toml names (hatchling, in the test environment)."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / run.stdout.split()[-1]


@pytest.fixture(scope="session")
def requirements(wheel: Path) -> list[Requirement]:
    """What the wheel tells pip."""
    [metadata] = (entry for entry in zipfile.Path(wheel).iterdir() if entry.name.endswith(".dist-info"))
    return [Requirement(line) for line in PathDistribution(metadata).requires or []]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome; without one the test is skipped."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium here: install it or set CHROMIUM to its path")
    return found
