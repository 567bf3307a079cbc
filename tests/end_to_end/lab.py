"""A real Jupyter server with JupyterLab or Notebook 7, on loopback, without a token."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from tests.home import home_variables, service_variables
from tests.service import LocalService

START_SECONDS = 60

EXTENSION = "codex-magic"
BUILT = Path(__file__).parents[2] / "labextension" / "prebuilt"
"""What `make labextension` leaves."""

EXTENDED = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not BUILT.exists(), reason="the extension is not built: make labextension"),
]
"""The marks of tests of a page with our extension; the first of a kind counts."""

_APPS = ("LabApp", "JupyterNotebookApp")
_DISABLED = ["@jupyterlab/apputils-extension:announcements"]
"""It asks for news from the internet at every start."""


class JupyterServer:
    """`app`: `lab` or `notebook`. Serves `folder`; ends with the kernels it started.

    `python`: of the environment it runs in; `without`: extensions of the server and of the page, left out;
    `extended`: with our own JupyterLab extension, as it was built last.
    """

    def __init__(
        self,
        folder: Path,
        *,
        app: str = "lab",
        python: str | Path = sys.executable,
        without: Sequence[str] = (),
        extended: bool = False,
    ) -> None:
        self.folder = folder
        self.app = app
        self.log: list[str] = []
        self.runtime = Path(os.environ["JUPYTER_RUNTIME_DIR"])
        self._ready = threading.Event()
        _write_config(Path(os.environ["JUPYTER_CONFIG_DIR"]), without if extended else [*without, EXTENSION])
        self._process = subprocess.Popen(
            [str(python), "-m", "jupyterlab" if app == "lab" else "notebook", *_flags(folder, extended)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._ready.wait(START_SECONDS):
            self.close()
            raise TimeoutError("the Jupyter server did not start:\n" + "".join(self.log[-20:]))

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.log.append(line)
            if match := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                self.url = f"http://127.0.0.1:{match[1]}"
                self._ready.set()

    def page(self, notebook: str, **query: str) -> str:
        """The address that opens `notebook` alone (a clean workspace, no dialogs of an earlier visit)."""
        if self.app == "lab":
            return f"{self.url}/doc/workspaces/auto-t/tree/{notebook}?reset"
        return f"{self.url}/notebooks/{notebook}"

    def __enter__(self) -> JupyterServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()


@contextmanager
def served(
    temporary: pytest.TempPathFactory,
    home: Path,
    service: LocalService | None = None,
    variables: Mapping[str, str] | None = None,
    **options: Any,
) -> Iterator[JupyterServer]:
    """A server in a new folder, whose kernels have this home and `service` in the place of the real one.

    `variables`: further ones of the environment; `options`: the server's own.
    """
    of_service = service_variables(service) if service is not None else {}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (home_variables(home) | of_service | dict(variables or {})).items():
            patch.setenv(name, value)
        running = JupyterServer(temporary.mktemp("notebooks"), **options)
    with running:
        yield running


def _flags(folder: Path, extended: bool) -> list[str]:
    return [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--ServerApp.root_dir={folder}",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",
        "--LabApp.extension_manager=readonly",
        "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        *(f"--{app}.extra_labextensions_path={BUILT}" for app in _APPS if extended),
    ]


def _write_config(config: Path, without: Sequence[str]) -> None:
    folder = config / "labconfig"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "page_config.json").write_text(
        json.dumps({"disabledExtensions": dict.fromkeys([*_DISABLED, *without], True)})
    )
    extensions = {"jpserver_extensions": dict.fromkeys(without, False)}
    (config / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": extensions}))
