"""Which requests wait for their reply. Pure: what waits is the caller's own kind of thing."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Calls(Generic[T]):
    """Gives out ids, and each waiter back once: with its reply, when forgotten, or at the end."""

    def __init__(self) -> None:
        self._last = 0
        self._waiting: dict[int | str, T] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self, waiter: T) -> int:
        """The id under which `waiter` is kept."""
        self._last += 1
        self._waiting[self._last] = waiter
        return self._last

    def settle(self, id: int | str) -> T | None:
        """Take the waiter of a reply; `None` for a second reply, or one to nothing we asked."""
        return self._waiting.pop(id, None)

    def drain(self) -> list[T]:
        """Take all that still wait, oldest first."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        return waiting
