"""The way of a cell, from the shell to its HTTP request, crosses few files: whoever follows it opens no more."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.notebook.conftest import Ask
from tests.service import LocalService

MOST_FILES = 6

CONTRIBUTING = Path(__file__).parent.parent.parent / "CONTRIBUTING.md"

DRIVERS = {"codex_magic.waiting"}
"""It runs whatever work it is handed, of sign-ins as of cells, and knows of none what it does."""

handed_over: ContextVar[list[str]] = ContextVar("handed_over")
"""The way in the cell's thread, for the step of the background loop that begins there."""


def test_a_cell_crosses_few_files_on_its_way_to_its_request(way: list[str], run: Ask) -> None:
    run("%%codex\nWhat is a generator?")
    assert 0 < len(way) <= MOST_FILES, way
    section = (
        CONTRIBUTING.read_text(encoding="utf-8").partition("## The way of a cell")[2].partition("\n## ")[0]
    )
    listed = re.findall(r"^\d+\. `([^`]+)\.py`", section, re.MULTILINE)
    assert [name.replace("/", ".") for name in listed] == way


@pytest.fixture
def way(service: LocalService, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The files on the two stacks, once there has been a request: of the cell, where it hands its work to
    the background loop, and of that loop, where it sends the POST."""
    way: list[str] = []
    hand_over = asyncio.BaseEventLoop.call_soon_threadsafe

    def call_soon_threadsafe(loop: asyncio.BaseEventLoop, *step: Any, **options: Any) -> asyncio.Handle:
        before = handed_over.set(files_on_the_stack())
        try:
            return hand_over(loop, *step, **options)
        finally:
            handed_over.reset(before)

    class AtTheRequest(logging.Handler):
        """httpcore tells its steps while it takes them."""

        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("send_request_headers.started request=<Request [b'POST']>"):
                assert way == [], "a second request"
                way.extend(dict.fromkeys([*handed_over.get(), *files_on_the_stack()]))

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_soon_threadsafe", call_soon_threadsafe)
    log, watcher = logging.getLogger("httpcore.http11"), AtTheRequest()
    level = log.level
    log.setLevel(logging.DEBUG)
    log.addHandler(watcher)
    yield way
    log.removeHandler(watcher)
    log.setLevel(level)


def files_on_the_stack() -> list[str]:
    """Modules of ours, the outermost first, without the drivers."""
    names = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("codex_magic.") and name not in DRIVERS:
            names.append(name)
        frame = frame.f_back
    return list(dict.fromkeys(reversed(names)))
