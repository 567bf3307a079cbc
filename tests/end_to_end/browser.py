"""A real Chromium on a real notebook: what a person would do and see, and what the page asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from nbformat import NotebookNode
from playwright.sync_api import Browser, Locator, Page, WebSocket, expect, sync_playwright

from .lab import JupyterServer

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

_HERE = {"127.0.0.1", "localhost", None}

PATIENCE_MS = 60_000
"""A busy machine takes longer than the seconds that Playwright gives by itself."""

expect.set_options(timeout=PATIENCE_MS)

SCREENSHOTS = "SCREENSHOTS"
"""Names a folder that keeps the screenshots; without it they go with the test's own folder."""


@contextmanager
def browser(executable: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield chromium
        chromium.close()


class Visit:
    """One notebook open in one page, its kernel ready.

    `left` lists every address the page asked for beyond this machine; `received` counts the bytes of its
    WebSockets. `scale`: pixels of a screenshot for one of the page.
    """

    def __init__(self, browser: Browser, server: JupyterServer, path: Path, *, scale: float = 1) -> None:
        self.server = server
        self.path = path
        self.left: list[str] = []
        self.received = 0
        self.context = browser.new_context(
            viewport={"width": 1100, "height": 1400}, device_scale_factor=scale
        )
        self.context.on("request", lambda request: self._note(request.url))
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("websocket", self._note_socket)
        self.open()
        self.kernel_idle()

    def _note_socket(self, socket: WebSocket) -> None:
        self._note(socket.url)
        socket.on("framereceived", self._count)

    def _count(self, frame: bytes | str) -> None:
        self.received += len(frame if isinstance(frame, bytes) else frame.encode())

    def _note(self, url: str) -> None:
        if urlsplit(url).hostname not in _HERE and urlsplit(url).scheme not in ("data", "blob"):
            self.left.append(url)

    def open(self) -> None:
        """Open, or reload, and wait until the notebook's cells are there."""
        self.page.goto(self.server.page(self.path.name))
        self.page.wait_for_function(_WIDGET + " !== undefined")
        self.page.evaluate(f"({_WIDGET}).revealed")

    def kernel_idle(self) -> None:
        """Wait until the page has found its kernel."""
        self.page.wait_for_function(f"({_WIDGET}).sessionContext.session?.kernel?.status === 'idle'")

    def start_all(self) -> None:
        """Begin to run every cell."""
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")

    def run_all(self) -> None:
        """Run every cell, to the end of the last one."""
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")

    def run_cell(self, index: int) -> None:
        """Run that cell, to its end."""
        self.page.evaluate(f"index => {{ ({_WIDGET}).content.activeCellIndex = index }}", index)
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")

    def stop(self) -> None:
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:interrupt-kernel')")

    def restart_kernel(self) -> None:
        """End the kernel and start another, as the page's button does after its question."""
        self.page.evaluate(f"({_WIDGET}).sessionContext.session.kernel.restart()")

    def save(self) -> None:
        self.page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")

    @property
    def outputs(self) -> Locator:
        """The output areas of the code cells that have outputs, from top to bottom."""
        return self.page.locator(".jp-Cell-outputArea:has(.jp-OutputArea-child)")

    def sessions(self) -> list[str]:
        """The server's sessions, each with a kernel, for this notebook."""
        sessions = self.page.request.get(f"{self.server.url}/api/sessions").json()
        return [session["id"] for session in sessions if session["path"] == self.path.name]

    def shut_down_kernel(self) -> None:
        for session in self.sessions():
            self.page.request.delete(f"{self.server.url}/api/sessions/{session}")

    def theme(self, name: str) -> None:
        self.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
        )
        self.page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")

    def screenshot(self, name: str) -> Path:
        return screenshot(self.page, name, self.server.folder)

    def close(self) -> None:
        self.shut_down_kernel()
        self.context.close()


def screenshot(page: Page, name: str, folder: Path) -> Path:
    folder = Path(os.environ.get(SCREENSHOTS, folder))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    page.screenshot(path=path)
    return path


Opener = Callable[..., Visit]
"""Opens a notebook in a page."""


@contextmanager
def opening(browser: Browser, server: JupyterServer) -> Iterator[Callable[[NotebookNode], Visit]]:
    """Opens each notebook in a page of its own; at the end they are closed, and their kernels ended."""
    visits: list[Visit] = []

    def open_notebook(notebook: NotebookNode) -> Visit:
        path = server.folder / f"{len(list(server.folder.glob('*.ipynb')))}.ipynb"
        nbformat.write(notebook, path)
        visits.append(Visit(browser, server, path))
        return visits[-1]

    yield open_notebook
    for visit in visits:
        visit.close()


_WIDGET = "window.jupyterapp?.shell?.currentWidget?.context?.model && window.jupyterapp.shell.currentWidget"
