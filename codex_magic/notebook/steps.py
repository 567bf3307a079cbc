"""The work of a cell as a generator, so that one function serves cells that await and cells that block.

It yields what it waits for: a future, and for how many seconds at most (`None`: as long as it takes). It is
sent `True` when the future is done, `False` when time ran out, and is thrown `KeyboardInterrupt` when the
user stops the cell; after that it ends by itself. `cells` has the two loops that drive it.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

Wait = tuple["Future[Any]", float | None]
Steps = Generator[Wait, bool, T]


def finished(future: Future[T]) -> Steps[T]:
    """Wait for `future` and return its result. Raises what it failed with."""
    while not future.done():
        yield future, None
    return future.result()
