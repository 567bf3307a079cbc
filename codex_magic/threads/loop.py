"""One event loop in one thread, for work that must go on whatever the kernel's main thread does.

An asyncio task on the kernel's own loop stalls under a synchronous cell; here nothing blocks it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from ..auth.forks import begin_anew_in_children
from ..auth.waiting import wait

T = TypeVar("T")


class BackgroundLoop:
    """An event loop in a daemon thread, started at first use, and again in a forked child."""

    def __init__(self, name: str = "codex_magic") -> None:
        self._name = name
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        begin_anew_in_children(self)

    def forked(self) -> object:
        """See `auth.forks`."""
        left = self._loop, self._thread
        self._lock = threading.Lock()
        self._loop = self._thread = None
        return left

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` there; the future can be waited for from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there and wait for it. Ctrl-C cancels it."""
        future = self.submit(work)
        try:
            return wait(future)
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Stop the loop and its thread; pending work is cancelled. Safe to call twice."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = _new_loop()
                self._thread = threading.Thread(
                    target=_serve, args=(self._loop,), name=self._name, daemon=True
                )
                self._thread.start()
            return self._loop


def _new_loop() -> asyncio.AbstractEventLoop:
    """Jupyter makes Windows' selector loop the default, which can't start other programs."""
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.new_event_loop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        pending = asyncio.all_tasks(loop)
        for task in pending:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
