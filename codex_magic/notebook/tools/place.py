"""Where the code of one turn runs."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context as CellContext
from typing import Any


class Place:
    """Where the code of one turn runs; made in the cell that asks, in its `context`, to which what is shown goes.

    `put` has something called in the thread that paints the turn. `output`: the id of the turn's answer.
    `committed`: code for the next cell. `below`: the id of the last cell that the turn has added.
    `page`: the session of the page where the user answered last.
    `restarts`: the kernel is about to be restarted, and the turn ends for that.
    `tries_first`: what needs a yes is tried in a copy of the kernel before the question.
    """

    def __init__(
        self,
        put: Callable[[Callable[[], None]], None],
        context: CellContext,
        *,
        is_blocking: bool,
        is_background: bool,
        output: str = "",
        tries_first: bool = False,
    ) -> None:
        self.put, self.context, self.output = put, context, output
        self.is_blocking, self.is_background = is_blocking, is_background
        self.tries_first = tries_first
        self.committed: list[str] = []
        self.below = self.page = ""
        self.is_closed = self.restarts = False
        self.bench: Any = None  # a Workbench, made for the first code

    @classmethod
    def nowhere(cls) -> Place:
        """Return a place for a turn that is only looked at."""
        return cls(lambda call: None, CellContext(), is_blocking=False, is_background=False)

    def close(self, _: object = None) -> None:
        """Stop what runs, and begin nothing more; from any thread."""
        self.is_closed = True
        if self.bench is not None:
            self.bench.close()
