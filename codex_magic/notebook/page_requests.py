"""The suggestions that pages request over the control channel, whose thread they keep for a moment only."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..waiting import in_thread
from .gathering import Kernel
from .recognition import page_cells

if TYPE_CHECKING:
    from .extension import Send
    from .suggestions import Suggested, Suggestions

MOST_REMEMBERED = 64
"""Ids of requests that came."""


class PageRequests:
    """The suggestions that pages wait for, by the ids that they have given them; from any thread."""

    def __init__(self, suggestions: Callable[[], Suggestions], send: Send) -> None:
        self._suggestions, self._send = suggestions, send
        self._lock = Lock()
        self._latest: deque[str] = deque(maxlen=MOST_REMEMBERED)
        self._waiting: dict[str, Future[Suggested] | None] = {}

    def take(self, content: Mapping[str, Any]) -> None:
        """Begin to answer a request, whose fields were checked; the answer is sent when it is there."""
        with self._lock:
            if content["id"] in self._latest:  # a page sends it again where it heard no reply
                return
            self._latest.append(content["id"])
            self._waiting[content["id"]] = None
        in_thread(partial(self._begin, content), daemon=True)  # a kernel's first one imports a lot

    def drop(self, id: str) -> None:
        """Close a request whose answer nobody wants any more."""
        with self._lock:
            future = self._waiting.pop(id, None)
        if future is not None:
            future.cancel()

    def _begin(self, content: Mapping[str, Any]) -> None:
        from .suggestions import Cursor  # its imports take a while, and this is a thread of its own

        suggestions, id = self._suggestions(), content["id"]
        runs, _ = suggestions.runs.so_far()
        page = page_cells(content, {run.cell: run.source for run in runs})
        kernel = Kernel(runs, content["cell"], "", suggestions.runs.began, page)
        before, after = content["before"], content["after"]
        cursor = Cursor(before, after, kernel, content["model"], content["budget"])
        with self._lock:
            if id not in self._waiting:
                return
            future = self._waiting[id] = suggestions.suggest(cursor)
        future.add_done_callback(partial(self._end, id))

    def _end(self, id: str, future: Future[Suggested]) -> None:
        with self._lock:
            is_wanted = self._waiting.pop(id, None) is future and not future.cancelled()
        if is_wanted:
            with suppress(CancelledError):
                self._send({"id": id, **future.result()._asdict()})
