"""What a forked child does with what its parent had.

Threads do not survive a fork, locks may be held by those that are gone, and connections, event loops and
SQLite's files are still the parent's: what is closed here may end there. So whatever holds such things
begins anew in the child, and what it held before is never collected.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet

WORK_SECONDS = 6.0
"""How long a fork waits for undivided work; one step of a store takes 5 at most."""

_living: WeakSet[Forkable] = WeakSet()
_left: list[object] = []


class Forkable(Protocol):
    def forked(self) -> object:
        """Begin anew, in the child; return what must not be collected there."""


def begin_anew_in_children(thing: Forkable) -> None:
    """Call its `forked` in each child that this process, or a child of it, forks while it lives."""
    _living.add(thing)


class _Gate:
    """Lets work in until somebody forks, who waits for its end."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = 0
        self._is_shut = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._busy += 1
        try:
            yield
        finally:
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


@contextmanager
def undivided() -> Iterator[None]:
    """Let forks wait for work in SQLite, whose own locks a child would find held for ever."""
    with _gate.passing():
        yield


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
