"""Work that goes on in a thread of its own, and waiting for it with and without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1
"""Windows delivers Ctrl-C to a waiting main thread only between waits."""


def in_thread(work: Callable[[], T], *, daemon: bool = False) -> Future[T]:
    """Run `work` to its end, whatever becomes of the caller.

    Unless it is a daemon the process does not end before it: an answer with new tokens that nobody
    keeps is a lost sign-in.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # handed to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name="codex_magic sign-in", daemon=daemon).start()
    return future


def wait(future: Future[T]) -> T:
    """`future.result()`, but Ctrl-C gets through on every platform."""
    while True:
        try:
            return future.result(POLL_SECONDS)
        except FutureTimeout:
            if future.done():
                raise


def taken(queue: SimpleQueue[T]) -> T:
    """`queue.get()`, in the same way."""
    while True:
        try:
            return queue.get(timeout=POLL_SECONDS)
        except Empty:
            pass


async def awaited(future: Future[T]) -> T:
    """The same in any event loop; a caller that is cancelled leaves the work going on."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def tell(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop was closed first
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(tell)
    await done.wait()
    return future.result()
