"""One way of running a cell, two ways of waiting in it.

A cell's work is a generator that yields what it waits for: a future, and for how many seconds at
most (`None`: as long as it takes). It is sent `True` when the future is done, `False` when time ran
out, and is thrown `KeyboardInterrupt` when the user stops it; after that it ends by itself.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

T = TypeVar("T")

Wait = tuple["concurrent.futures.Future[Any]", float | None]
Steps = Generator[Wait, bool, T]

POLL_SECONDS = 0.05
"""A stop is noticed only between waits: Windows delivers Ctrl-C then, and ipykernel's signal handler
leaves its cancellation to an event loop that it does not wake."""


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
            done = await _wait_async(_waited(future), seconds)
        except (asyncio.CancelledError, KeyboardInterrupt):
            _forget_cancellation()
            resume = _stopped(steps)
        else:
            resume = _resumed(steps, done)


def finished(future: concurrent.futures.Future[T]) -> Steps[T]:
    """Wait for `future`, and give its result. Raises what it failed with."""
    while not future.done():
        yield future, None
    return future.result()


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
    for span in _spans(seconds):
        done, _ = concurrent.futures.wait({future}, timeout=span)
        if done:
            return True
    return False


async def _wait_async(future: asyncio.Future[Any], seconds: float | None) -> bool:
    for span in _spans(seconds):
        done, _ = await asyncio.wait({future}, timeout=span)
        if done:
            return True
    return False


def _spans(seconds: float | None) -> Iterator[float]:
    """`seconds` in pieces of at most POLL_SECONDS; `None` never ends."""
    left = math.inf if seconds is None else seconds
    while left > POLL_SECONDS:
        yield POLL_SECONDS
        left -= POLL_SECONDS
    yield left


def _forget_cancellation() -> None:
    """The cell ends normally, so its task must not count as being cancelled (Python 3.11+)."""
    task = asyncio.current_task()
    if sys.version_info >= (3, 11) and task is not None:
        task.uncancel()
