"""Calling what a user gave us, a function or a coroutine function, without ever holding up the event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from ..waiting import awaited, in_thread

CLEANUP_SECONDS = 1.0
"""For a coroutine function that is cancelled; one that goes on nevertheless is left behind."""


async def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A plain function runs in a thread of its own: whatever else waits must not wait for a human.

    Raises what it raises. A cancellation of its own is none of ours, and what ends an event loop must not
    end this one: both are a RuntimeError.
    """
    task = asyncio.ensure_future(_result(function, args, kwargs))
    task.add_done_callback(
        lambda done: done.cancelled() or done.exception()
    )  # nobody may wait for it any more
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task}, timeout=CLEANUP_SECONDS)
        raise
    if task.cancelled():
        raise RuntimeError(f"{function!r} ended in a cancellation")
    return task.result()


async def _result(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        if inspect.iscoroutinefunction(function):
            return await function(*args, **kwargs)
        result = await awaited(in_thread(lambda: function(*args, **kwargs), daemon=True))
        return await result if inspect.isawaitable(result) else result
    except (Exception, asyncio.CancelledError):
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__} in {function!r}") from error
