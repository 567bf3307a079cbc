"""When to paint. Redrawing a whole text costs its length, so the longer the text, the rarer.

Pure but for the clock it is given; the caller owns the waiting, in a thread or on a loop:

    painter.feed(notifications)      # folds them in and paints if it is time
    wait(painter.due())              # seconds until the next paint, None: nothing to paint
    painter.tick()
    painter.finish()                 # in a finally
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from codex_magic.protocol.types import Notification

from .view import TurnView


@dataclass(frozen=True)
class Pace:
    """Seconds between two paints: a floor, and a share for every character painted."""

    floor: float
    per_char: float = 0.0

    def interval(self, size: int) -> float:
        return max(self.floor, self.per_char * size)


NOTEBOOK = Pace(floor=0.05, per_char=30e-6)
"""A front end spends about 10 us on a character of live Markdown: this leaves it two thirds of its time."""

TERMINAL = Pace(floor=1 / 15)


class Surface(Protocol):
    """Where a turn is painted. `open` comes first; `close` paints the end and may come without any `update`.

    `pause` leaves the place to somebody else until the next `update`.
    """

    pace: Pace

    def open(self, view: TurnView) -> None: ...

    def update(self, view: TurnView) -> None: ...

    def pause(self) -> None: ...

    def close(self, view: TurnView) -> None: ...


class Painter:
    """Brings a view to a surface: the first text at once, the rest at the surface's pace, the end always.

    What a surface raises passes through; the view has taken the notifications in by then.
    """

    def __init__(
        self, surface: Surface, view: TurnView, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.surface = surface
        self.view = view
        self._clock = clock
        self._next = 0.0
        self._painted = -1
        self._dirty = False
        self._finished = False

    @property
    def is_open(self) -> bool:
        """Whether it has a place on the surface."""
        return self._painted >= 0

    def open(self) -> None:
        """Take the place on the surface now, before there is anything to show."""
        if self._painted < 0:
            self._paint()

    def pause(self) -> None:
        """Paint what there is, then leave the surface to somebody else until the next paint."""
        if self._dirty or self._painted < 0:
            self._paint()
        self.surface.pause()

    def feed(self, notifications: Iterable[Notification]) -> None:
        for notification in notifications:
            self.view.feed(notification)
            self._dirty = True
        self.tick()

    def due(self) -> float | None:
        """Seconds until there is something to paint: 0 is now, `None` means nothing new."""
        if not self._dirty or self._finished:
            return None
        if self._painted <= 0 < self.view.size:
            return 0.0
        return max(0.0, self._next - self._clock())

    def tick(self) -> None:
        """Paint if it is time."""
        if self.due() == 0.0:
            self._paint()

    def _paint(self) -> None:
        size = self.view.size
        if self._painted < 0:
            self.surface.open(self.view)
        else:
            self.surface.update(self.view)
        self._painted = size
        self._next = self._clock() + self.surface.pace.interval(size)
        self._dirty = False

    def finish(self) -> None:
        """Paint the end, once. A turn that is still streaming was interrupted."""
        if self._finished:
            return
        self._finished = True
        if self.view.state == "streaming":
            self.view.interrupt()
        if self._painted < 0:
            self.surface.open(self.view)
        self.surface.close(self.view)
