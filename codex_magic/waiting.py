"""Threads, futures and one event loop in the background: work that goes on whatever its caller does, and forks.

An asyncio task on a kernel's own loop stalls under a synchronous cell; on a `BackgroundLoop` nothing blocks
it. `blocking` makes the methods of an asynchronous class into those of its blocking facade.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
import math
import os
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager, suppress
from operator import attrgetter
from queue import Empty, SimpleQueue
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload
from weakref import WeakSet

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
A = TypeVar("A", covariant=True)

POLL_SECONDS = 0.05
"""A stop is noticed only between waits: Windows delivers Ctrl-C then, and ipykernel's signal handler
leaves its cancellation to an event loop that it does not wake."""


def in_thread(work: Callable[[], T], *, daemon: bool = False) -> Future[T]:
    """Run `work` to its end, whatever becomes of the caller; a process waits for it unless it is a daemon."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # handed to whoever waits
            future.set_exception(error)

    threading.Thread(target=run, name="codex_magic work", daemon=daemon).start()
    return future


def wait(future: Future[T]) -> T:
    """Return `future.result()`, but let Ctrl-C through on every platform."""
    while True:
        try:
            return future.result(POLL_SECONDS)
        except FutureTimeout:
            if future.done():
                raise


def taken(queue: SimpleQueue[T]) -> T:
    """Return `queue.get()`, but let Ctrl-C through on every platform."""
    while True:
        try:
            return queue.get(timeout=POLL_SECONDS)
        except Empty:
            pass


async def awaited(future: Future[T]) -> T:
    """Await a future of another thread, even one that holds a StopIteration; cancelling leaves the work going on."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def wake(_: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop was closed first
            loop.call_soon_threadsafe(done.set)

    future.add_done_callback(wake)
    await done.wait()
    return future.result()


Wait = tuple[Future[Any], float | None]
Steps = Generator[Wait, bool, T]
"""Work as a generator, so that one function serves callers that await and callers that block.

It yields what it waits for: a future, and for how many seconds at most (`None`: as long as it takes). It is sent
`True` when the future is done, `False` when time ran out, and is thrown what stops its caller; after that it ends
by itself. `drive` and `drive_async` run it.
"""


def finished(future: Future[T]) -> Steps[T]:
    """Wait for `future` and return its result. Raises what it failed with."""
    while not future.done():
        yield future, None
    return future.result()


def drive(steps: Steps[T]) -> T:
    """Run `steps` to its end, blocking."""
    resume: Callable[[], Wait] = functools.partial(next, steps)
    while True:
        try:
            future, seconds = resume()
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]  # typeshed: StopIteration.value is Any
        try:
            done = any(concurrent.futures.wait({future}, span).done for span in _spans(seconds))
            resume = functools.partial(steps.send, done)
        except BaseException as error:  # noqa: BLE001  # Ctrl-C: it goes to the steps
            resume = functools.partial(steps.throw, error)


async def drive_async(
    steps: Steps[T], *, stop: Callable[[BaseException], BaseException] = lambda error: error
) -> T:
    """Run `steps` to its end while the event loop continues. They are thrown what `stop` makes of a cancellation."""
    resume: Callable[[], Wait] = functools.partial(next, steps)
    last: Future[Any] | None = None
    while True:
        try:
            future, seconds = resume()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if future is not last:
            last, waiting = future, asyncio.wrap_future(future)
            # Its failure is read from `future`, so it counts as seen here.
            waiting.add_done_callback(lambda over: over.cancelled() or over.exception())
        done = False
        try:
            for span in _spans(seconds):
                if done := bool((await asyncio.wait({waiting}, timeout=span))[0]):
                    break
            resume = functools.partial(steps.send, done)
        except (asyncio.CancelledError, KeyboardInterrupt) as error:
            resume = functools.partial(steps.throw, stop(error))


def _spans(seconds: float | None) -> Iterator[float]:
    """`seconds` in pieces of at most POLL_SECONDS; `None` never ends."""
    left = math.inf if seconds is None else seconds
    while left > POLL_SECONDS:
        yield POLL_SECONDS
        left -= POLL_SECONDS
    yield left


class Relay(Generic[T]):
    """Carries values to a thread: put from any, take all that wait from one; a slow one gets larger batches."""

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
        """Return a future that is done as soon as there is something to take."""
        with self._lock:
            if (future := self._ready) is None:
                future = Future()
                future.set_running_or_notify_cancel()  # so that nobody's cancel can make `put` fail
            self._ready = None if self._waiting else future
            if self._waiting:
                future.set_result(None)
            return future

    def take(self) -> list[T]:
        with self._lock:
            batch, self._waiting = self._waiting, []
            return batch


class BackgroundLoop:
    """An event loop in a daemon thread, started at first use, and again in a forked child."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._serving: tuple[asyncio.AbstractEventLoop, threading.Thread] | None = None
        begin_anew_in_children(self)

    def forked(self) -> object:
        left, self._serving = self._serving, None
        self._lock = threading.Lock()
        return left

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` there; the future can be waited for from any thread."""
        with self._lock:
            if self._serving is None:
                # Jupyter makes Windows' selector loop the default, which can't start other programs.
                loop = getattr(asyncio, "ProactorEventLoop", asyncio.new_event_loop)()
                thread = threading.Thread(target=_serve, args=[loop], name="codex_magic", daemon=True)
                self._serving = loop, thread
                thread.start()
            return asyncio.run_coroutine_threadsafe(work, self._serving[0])

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
            serving, self._serving = self._serving, None
        if serving is not None:
            loop, thread = serving
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


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


class Direct(Generic[A]):
    """A facade, for code that does not await, of an object whose coroutines never suspend: they block the thread.

    Nothing changes threads: context variables, Ctrl-C, tracebacks and forks are those of a plain call.
    """

    def __init__(self, asynchronous: A) -> None:
        self.asynchronous = asynchronous

    def _block_on(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            work.send(None)
        except StopIteration as end:
            value: T = end.value
            return value
        work.close()
        raise RuntimeError("Something asynchronous can't be awaited here: this call has no event loop.")


class Blocking(Direct[A]):
    """A facade of an object that lives in a loop in the background."""

    def __init__(self, asynchronous: A, loop: BackgroundLoop) -> None:
        super().__init__(asynchronous)
        self._loop = loop

    def _block_on(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)


AsyncMethod = Callable[Concatenate[A, P], Coroutine[Any, Any, T]]


@overload
def blocking(method: AsyncMethod[A, P, T]) -> Callable[Concatenate[Direct[A], P], T]: ...
@overload
def blocking(
    method: AsyncMethod[A, P, T], into: Callable[[T, BackgroundLoop], R]
) -> Callable[Concatenate[Blocking[A], P], R]: ...
def blocking(method: Callable[..., Coroutine[Any, Any, Any]], into: Callable[..., Any] | None = None) -> Any:
    """Make an async method a facade's, `into` the facade of its result, or what makes that one by its annotations."""

    @functools.wraps(method)
    def run(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = self._block_on(method(self.asynchronous, *args, **kwargs))
        return result if into is None else into(result, self._loop)

    if into is not None:
        facade = into.__name__ if isinstance(into, type) else into.__annotations__["return"]
        signature = inspect.signature(method)
        run.__signature__ = signature.replace(return_annotation=facade)  # type: ignore[attr-defined]  # for inspect
        run.__annotations__ = {**method.__annotations__, "return": facade}
    return run


def same(name: str) -> Any:
    """Return an attribute of a facade that is the asynchronous object's own."""
    return property(attrgetter(f"asynchronous.{name}"))


WORK_SECONDS = 6.0  # that a fork waits for undivided work; one step of a store takes 5 at most
_living: WeakSet[Any] = WeakSet()
_left: list[object] = []


def begin_anew_in_children(thing: Any) -> None:
    """Call its `forked` in each child that this process, or a child of it, forks while it lives.

    Threads do not survive a fork, their locks do, and connections, event loops and SQLite's files are still the
    parent's: what is closed in the child may end there. `forked` returns what must not be collected.
    """
    _living.add(thing)


class _Gate:
    """Lets work in until somebody forks, who waits for its end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy, self._is_shut = 0, False

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._busy += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    def shut(self) -> None:
        self._changed.acquire()
        self._is_shut = True
        self._changed.wait_for(lambda: self._busy == 0, WORK_SECONDS)

    def open(self) -> None:
        self._is_shut = False
        self._changed.notify_all()
        self._changed.release()


_gate = _Gate()


def undivided() -> AbstractContextManager[None]:
    """Return a context whose work forks wait for: SQLite's own locks would be held for ever in a child."""
    return _gate


def _in_child() -> None:
    global _gate  # whoever waits for the old one is not here
    _gate = _Gate()
    import ctypes  # a child's alone

    for thing in list(_living):
        _left.append(thing.forked())
    # At the end of the child, too, nothing of it is closed, and nobody complains that it was not.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_left))


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(
        before=lambda: _gate.shut(), after_in_parent=lambda: _gate.open(), after_in_child=_in_child
    )
