"""One way of running a cell, two ways of waiting in it.

A cell's work is a generator that yields what it waits for: a future, and for how many seconds at
most (`None`: as long as it takes). It is sent `True` when the future is done, `False` when time ran
out, and is thrown `KeyboardInterrupt` when the user stops it; after that it ends by itself.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")

Wait = tuple["concurrent.futures.Future[Any]", float | None]
Steps = Generator[Wait, bool, T]

POLL_SECONDS = 0.1
"""Windows delivers Ctrl-C to a waiting main thread only between waits."""


def drive(steps: Steps[T]) -> T:
    """Run `steps` to its end, blocking."""
    resume: Callable[[], Wait] = lambda: next(steps)  # noqa: E731  # rebound below, one shape
    while True:
        try:
            future, seconds = resume()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # typeshed: StopIteration.value is Any
        try:
            done = _wait(future, seconds)
        except KeyboardInterrupt:
            resume = _stopped(steps)
        else:
            resume = _resumed(steps, done)


async def drive_async(steps: Steps[T]) -> T:
    """Run `steps` to its end while the event loop goes on with other things."""
    resume: Callable[[], Wait] = lambda: next(steps)  # noqa: E731  # rebound below, one shape
    while True:
        try:
            future, seconds = resume()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # typeshed: StopIteration.value is Any
        try:
            done, _ = await asyncio.wait({_waited(future)}, timeout=seconds)
        except (asyncio.CancelledError, KeyboardInterrupt):
            _forget_cancellation()
            resume = _stopped(steps)
        else:
            resume = _resumed(steps, bool(done))


def _resumed(steps: Steps[Any], done: bool) -> Callable[[], Wait]:
    return lambda: steps.send(done)


def _stopped(steps: Steps[Any]) -> Callable[[], Wait]:
    return lambda: steps.throw(KeyboardInterrupt())


def _waited(future: concurrent.futures.Future[Any]) -> asyncio.Future[Any]:
    """The future as this loop's own. Its failure is read from `future`, so it counts as seen here."""
    waited = asyncio.wrap_future(future)
    waited.add_done_callback(lambda over: over.cancelled() or over.exception())
    return waited


def _wait(future: concurrent.futures.Future[Any], seconds: float | None) -> bool:
    left = seconds
    while True:
        span = POLL_SECONDS if left is None else min(left, POLL_SECONDS)
        done, _ = concurrent.futures.wait({future}, timeout=span)
        if done or (left is not None and left <= span):
            return bool(done)
        left = None if left is None else left - span


def _forget_cancellation() -> None:
    """The cell ends normally, so its task must not count as being cancelled (Python 3.11+)."""
    task = asyncio.current_task()
    if sys.version_info >= (3, 11) and task is not None:
        task.uncancel()
