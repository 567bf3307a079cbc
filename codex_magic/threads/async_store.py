"""The store in a worker thread of its own, so that a slow disk never holds up a stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ..forks import undivided
from .store import Store

T = TypeVar("T")


class AsyncStore:
    """Runs steps on one `Store`, in the order they are asked for.

    The file is opened with the first step, and again with the next where that fails. Without a `path` it is
    kept in memory. `worker`: another store's, to share it.
    """

    def __init__(self, path: Path | None, *, worker: ThreadPoolExecutor | None = None) -> None:
        self._path = path or ":memory:"
        self._worker = worker or ThreadPoolExecutor(max_workers=1, thread_name_prefix="codex_magic-store")
        self._owns_worker = worker is None
        self._store: Store | None = None

    async def run(self, step: Callable[[Store], T]) -> T:
        """Run `step` on the store. Raises StoreError, ThreadNotFoundError, OptionError."""
        loop = asyncio.get_running_loop()
        try:
            done = loop.run_in_executor(self._worker, self._run, step)
        except RuntimeError:  # at the end of the interpreter, workers take nothing more
            return self._run(step)
        return await done

    def _run(self, step: Callable[[Store], T]) -> T:
        with undivided():
            return step(self._opened())

    def beside(self) -> AsyncStore:
        """An empty store in memory, in the same worker."""
        return AsyncStore(None, worker=self._worker)

    async def close(self) -> None:
        if self._store is not None:
            await self.run(Store.close)
        if self._owns_worker:
            self._worker.shutdown(wait=False)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = Store(self._path)
        return self._store
