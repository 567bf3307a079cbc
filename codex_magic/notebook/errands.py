"""What a page does in the notebook for the kernel, which can change no cell itself: which page, and what came of it."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, NamedTuple

TAKE_SECONDS = 2.0
"""Until an errand that no page has taken is taken back: the page may be closed, or another front end here."""

REPORT_SECONDS = 10.0
"""Until a page that has taken one counts as gone. All errands are done at once; a tab in the background is slow."""


class Report(NamedTuple):
    """What a page says of an errand.

    `outcome`: `done`, `conflict` (the cell has another text), `gone` (there is no such cell), `refused` (the page
    can't), or `unknown` where the page says nothing. `cell`, `source`: of the cell it was about, as it is now.
    `said`: all of it, with the cells of the notebook. `message`: the one that brought it, whose outputs go to the
    cell where that is to run.
    """

    errand: str
    outcome: str
    cell: str = ""
    source: str = ""
    said: Mapping[str, Any] = {}
    message: Mapping[str, Any] | None = None


class Errand:
    """From any thread. `work` goes to the page that asks for it first; the page says which that is with `once`.

    `output`: the id of the answer whose turn wants it done. `page`: the session of the one page that may; empty for any.
    """

    def __init__(self, output: str, work: Mapping[str, Any], page: str = "") -> None:
        self.id = secrets.token_urlsafe(16)
        self.output, self.work, self._page = output, work, page
        self.taken: Future[None] = Future()
        self.report: Future[Report] = Future()
        self._lock = threading.Lock()
        self._taker: str | None = None

    def take(self, once: str, page: str) -> bool:
        """Give it to the page that asks, unless another has it; asking twice changes nothing."""
        if self._page not in ("", page):
            return False
        return self._claim(once)

    def _claim(self, once: str) -> bool:
        with self._lock:
            if self._taker is None:
                self._taker = once
                self.taken.set_result(None)
            return self._taker == once

    def finish(self, once: str, said: Mapping[str, Any], message: Mapping[str, Any] | None) -> None:
        """Note what the page that has taken it says; the first report holds."""
        if self._taker != once:
            return
        outcome, cell, source = (str(said.get(name) or "") for name in ("outcome", "cell", "source"))
        with suppress(InvalidStateError):
            self.report.set_result(Report(self.id, outcome, cell, source, said, message))

    async def reported(self) -> Report | None:
        """Wait for what becomes of it; `None`: no page has taken it, and none will."""
        await asyncio.wait({asyncio.wrap_future(self.taken)}, timeout=TAKE_SECONDS)
        if not self.taken.done() and self._claim(""):
            return None
        await asyncio.wait({asyncio.wrap_future(self.report)}, timeout=REPORT_SECONDS)
        return self.report.result() if self.report.done() else Report(self.id, "unknown")
