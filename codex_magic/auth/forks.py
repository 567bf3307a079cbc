"""What a forked child does with what its parent had.

Threads do not survive a fork, locks may be held by those that are gone, and connections, event loops and
SQLite's files are still the parent's: what is closed here may end there. So whatever holds such things
begins anew in the child, and what it held before is never collected.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet

_living: WeakSet[Forkable] = WeakSet()
_left: list[object] = []


class Forkable(Protocol):
    def forked(self) -> object:
        """Begin anew, in the child; gives what must not be collected there."""


def begin_anew_in_children(thing: Forkable) -> None:
    """Call its `forked` in each child that this process, or a child of it, forks while it lives."""
    _living.add(thing)


def _in_child() -> None:
    import ctypes  # a child's alone

    for thing in list(_living):
        _left.append(thing.forked())
    # At the end of the child, too, nothing of it is closed, and nobody complains that it was not.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_left))


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_in_child)
