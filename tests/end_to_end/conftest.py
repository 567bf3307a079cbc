"""A browser, and a notebook's kernel with the extension loaded, signed in to the local service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.end_to_end.browser import browser
from tests.end_to_end.kernel import Kernel
from tests.service import LocalService


@pytest.fixture(scope="module")
def chromium_browser(chromium: str) -> Iterator[Browser]:
    with browser(chromium) as running:
        yield running


@pytest.fixture
def notebook(service: LocalService, kernel: Kernel) -> Kernel:
    assert kernel.execute("%load_ext codex_magic") == []
    return kernel


@pytest.fixture
def other_notebook(service: LocalService, tmp_path: Path) -> Iterator[Kernel]:
    """A second kernel, in the same home."""
    with Kernel(tmp_path) as kernel:
        assert kernel.execute("%load_ext codex_magic") == []
        yield kernel
