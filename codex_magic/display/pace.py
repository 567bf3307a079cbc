"""When to paint. Redrawing a whole text costs its length, so the longer the text, the rarer.

Pure but for the clock: the caller waits for `due()` seconds, calls `tick()`, and `finish()` in a finally.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol

from codex_magic.protocol.types import Notification

from .page import Bundle, Pace, Page, UpdatedPage
from .view import TurnView


class Surface(Protocol):
    """Where a turn is painted; `close` paints the end and may come without any `update`.

    `pause` leaves the place to somebody else until the next `update`.
    """

    @property
    def pace(self) -> Pace: ...

    def update(self, view: TurnView) -> None: ...

    def pause(self) -> None: ...

    def close(self, view: TurnView) -> None: ...


class JupyterSurface:
    """The whole bundle as one output, shown again as it grows: for every front end, with or without ours.

    Measured for an answer of 40,000 characters in 20 s, updated in place: 0.94 MB in 74 messages; for
    160,000 in the same time 1.27 MB in 28.
    """

    def __init__(self, page: Page | None = None) -> None:
        self._page = page or UpdatedPage()
        self._shown: object = None

    @property
    def pace(self) -> Pace:
        return self._page.pace

    def update(self, view: TurnView) -> None:
        bundle = view.bundle()
        if bundle != self._shown:
            self._shown = bundle
            self._page.show(view.id, bundle)

    close = update

    def pause(self) -> None:
        """Other outputs have places of their own."""


class Followed(Protocol):
    """What a page hears of one answer that it draws itself, as our JupyterLab extension does.

    `is_followed`: by a page that has asked for it. `grow` takes the text, and `end` the last bundle; `is_shown`:
    the output itself has just brought it.
    """

    is_followed: bool

    def grow(self, text: str) -> None: ...

    def end(self, bundle: Bundle, *, is_shown: bool) -> None: ...


LIVE = Pace(floor=0.05)
"""A page that draws only what is new: its work does not grow with the text."""


class LiveSurface(JupyterSurface):
    """The same, until a page follows the stream: then only the first and the last bundle are shown.

    Measured by `make bench`; see `labextension/`.
    """

    def __init__(self, page: Page | None, stream: Followed) -> None:
        super().__init__(page)
        self._stream = stream

    @property
    def pace(self) -> Pace:
        return LIVE if self._stream.is_followed else super().pace

    def update(self, view: TurnView) -> None:
        self._stream.grow(view.markdown())
        if self._shown is None or not self._stream.is_followed:
            super().update(view)

    def close(self, view: TurnView) -> None:
        if not self._page.has_controls:
            self._stream.end(view.bundle(), is_shown=False)
            super().update(view)
            return
        try:
            super().update(view)
        finally:
            self._stream.end(view.bundle(), is_shown=True)


class Painter:
    """Brings a view to a surface: the first text at once, the rest at the surface's pace, the end always.

    What a surface raises passes through; the view has taken the notifications in by then.
    """

    def __init__(
        self, surface: Surface, view: TurnView, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.surface = surface
        self.view = view
        self.is_open = False
        """Whether it has a place on the surface."""
        self.seconds = 0.0
        """What painting has taken."""
        self._clock = clock
        self._next, self._size = 0.0, 0
        self._dirty = self._finished = False

    def open(self) -> None:
        """Take the place on the surface now, before there is anything to show."""
        if not self.is_open:
            self._paint()

    def pause(self) -> None:
        """Paint what there is, then leave the surface to somebody else until the next paint."""
        if self._dirty or not self.is_open:
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
        return 0.0 if self._size == 0 < self.view.size else max(0.0, self._next - self._clock())

    def tick(self) -> None:
        """Paint if it is time."""
        if self.due() == 0.0:
            self._paint()

    def _paint(self) -> None:
        begun = self._clock()
        self.surface.update(self.view)
        self.seconds += self._clock() - begun
        self._size = self.view.size
        self.is_open, self._dirty = True, False
        pace = self.surface.pace
        self._next = self._clock() + max(pace.floor, pace.per_char * self._size)

    def finish(self) -> None:
        """Paint the end, once. A turn that is still streaming was interrupted."""
        if self._finished:
            return
        self._finished = True
        if self.view.state == "streaming":
            self.view.interrupt()
        begun = self._clock()
        self.surface.close(self.view)
        self.seconds += self._clock() - begun
