"""Calling what a user gave us, a function or a coroutine function, without ever holding up the event loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..auth.waiting import awaited, in_thread


async def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A plain function runs in a thread of its own: whatever else waits must not wait for a human."""
    if inspect.iscoroutinefunction(function):
        return await function(*args, **kwargs)
    result = await awaited(in_thread(lambda: _called(function, args, kwargs), daemon=True))
    return await result if inspect.isawaitable(result) else result


def _called(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return function(*args, **kwargs)
    except (KeyboardInterrupt, SystemExit) as error:
        # These would end the event loop that waits for the answer.
        raise RuntimeError(f"{type(error).__name__} in {function!r}") from error
