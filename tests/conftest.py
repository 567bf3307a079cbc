"""Every test has a home of its own and cannot leave this machine; real kernels and servers are fixtures."""

from __future__ import annotations

import os
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.kernel import Kernel
from tests.end_to_end.lab import JupyterServer

if TYPE_CHECKING:
    from codex_magic.local_service import LocalService

OFFLINE = Path(__file__).parent / "offline"
runpy.run_path(str(OFFLINE / "sitecustomize.py"))

_CLEARED = ("CODEX_", "OPENAI_", "JPY_", "JUPYTER", "IPYTHON", "VSCODE_", "COLAB_", "XDG_")
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder: nobody's sign-in, threads, settings or history are read or written."""
    home = tmp_path_factory.mktemp("home")
    for name in os.environ:
        if name.startswith(_CLEARED) or name.upper() in _PROXIES:
            monkeypatch.delenv(name)
    for name, value in home_variables(home).items():
        monkeypatch.setenv(name, value)
    return home


def home_variables(home: Path) -> dict[str, str]:
    """The variables that move everything a session reads or writes below `home`."""
    return {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "CODEX_HOME": str(home / ".codex"),
        "CODEX_MAGIC_HOME": str(home / "codex-magic"),
        "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "run"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "lab" / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "lab" / "workspaces"),
        "PYTHONPATH": os.pathsep.join([str(OFFLINE), *_python_path()]),
    }


def _python_path() -> list[str]:
    path = os.environ.get("PYTHONPATH", "")
    return [entry for entry in path.split(os.pathsep) if entry and entry != str(OFFLINE)]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome; without one the test is skipped."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no Chromium here: install it or set CHROMIUM to its path")
    return found


@pytest.fixture
def service(home: Path) -> Iterator[LocalService]:
    """The local service, as fast as it can, with this test's home signed in to it."""
    from codex_magic.local_service import start

    with start(pace=None) as service:
        service.sign_in(home / ".codex")
        yield service


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A real kernel in an empty folder."""
    with Kernel(tmp_path) as kernel:
        yield kernel


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[JupyterServer]:
    """JupyterLab on an empty folder."""
    with JupyterServer(tmp_path) as server:
        yield server


@pytest.fixture
def notebook7(tmp_path: Path) -> Iterator[JupyterServer]:
    """Notebook 7 on an empty folder."""
    with JupyterServer(tmp_path, app="notebook") as server:
        yield server
