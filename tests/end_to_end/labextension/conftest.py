"""A page with our extension, for all tests of it: JupyterLab, or the app that a test asks for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.end_to_end.browser import Opener, opening
from tests.end_to_end.lab import JupyterServer, served
from tests.end_to_end.notebooks import notebook_of
from tests.service import LocalService, start


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with start() as service:
        yield service


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, service: LocalService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """Its kernels are signed in to the local service."""
    home = tmp_path_factory.mktemp("home")
    service.sign_in(home / ".codex")
    app = getattr(request, "param", "lab")
    with served(tmp_path_factory, home, service, app=app, extended=True) as server:
        yield server


@pytest.fixture(scope="module")
def lonely_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A JupyterLab that knows of no service."""
    with served(tmp_path_factory, tmp_path_factory.mktemp("home"), extended=True) as server:
        yield server


@pytest.fixture
def opened(chromium_browser: Browser, server: JupyterServer) -> Iterator[Opener]:
    """Opens a notebook of these cells in a new page."""
    with opening(chromium_browser, server) as opened:
        yield lambda *sources: opened(notebook_of(*sources))
