"""Carries notifications from the loop that receives them to the thread that paints them."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Relay(Generic[T]):
    """Put from any thread; take everything that is waiting, in order, from one.

    Taking in batches is what coalesces deltas: a slow painter gets fewer, larger batches.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[T] = []
        self._ready: Future[None] | None = None

    def put(self, value: T) -> None:
        with self._lock:
            self._waiting.append(value)
            ready, self._ready = self._ready, None
        if ready is not None:
            ready.set_result(None)

    def ready(self) -> Future[None]:
        """Done as soon as there is something to take."""
        with self._lock:
            future = self._ready
            if future is None:
                future = Future()
                future.set_running_or_notify_cancel()  # so that nobody's cancel can make `put` fail
            if self._waiting:
                future.set_result(None)
                self._ready = None
            else:
                self._ready = future
            return future

    def take(self) -> list[T]:
        with self._lock:
            batch, self._waiting = self._waiting, []
            return batch
