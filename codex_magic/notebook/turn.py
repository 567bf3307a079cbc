"""One turn of a cell: on its way, painted while it arrives, stopped, over."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING

from ..protocol.errors import CodexError
from ..protocol.ids import new_id
from ..protocol.types import Turn, TurnCompleted, TurnError, TurnStatus
from ..threads.sync import Codex
from ..threads.turns import AsyncTurnHandle
from .desk import Desk
from .question import Question
from .shell import CellStopped, NotSent
from .steps import Steps, finished

if TYPE_CHECKING:
    from ..display.pace import Painter

GRACE_SECONDS = 0.15
"""How long an interrupted cell waits for the engine to say what it kept."""

QUEUED_SECONDS = 0.5
"""After which a turn that has to wait for another one of its thread says that it is there."""


class RunningTurn:
    """A turn of the notebook, from its request until all of it is on screen.

    `cell`: the number of its cell; `started`: its handle, once the thread answers nothing else, else NotSent or
    a CodexError; `withdrawn`: done when it is to be taken back before that. `end` is called at its end.
    """

    def __init__(
        self,
        codex: Codex,
        prompt: str,
        cell: int,
        started: Future[AsyncTurnHandle],
        withdrawn: Future[None],
        end: Callable[[RunningTurn], None],
    ) -> None:
        self.prompt = prompt
        self.cell = cell
        self.started = started
        self.withdrawn = withdrawn
        self.over: Future[None] = Future()
        """Done when all of it is on screen."""
        self._codex = codex
        self._end = end
        self._began = time.monotonic()

    @property
    def seconds(self) -> int:
        """Since its request."""
        return int(time.monotonic() - self._began)

    @property
    def handle(self) -> AsyncTurnHandle | None:
        """`None` before it has started, and when it never will."""
        started = self.started
        is_there = started.done() and not started.cancelled() and started.exception() is None
        return started.result() if is_there else None

    def stop(self) -> None:
        """Interrupt it, as soon as it has started, or take it back if it still waits; from any thread."""
        with suppress(InvalidStateError):
            self.withdrawn.set_result(None)
        self.started.add_done_callback(lambda _: self._interrupt())

    def steer(self, text: str) -> Steps[None]:
        """Say more to it. Raises InvalidRequestError when it takes no more."""
        handle = yield from finished(self.started)
        yield from finished(self._codex.submit(handle.steer(text)))

    def end(self) -> None:
        """Leave the notebook's running turns."""
        self._end(self)
        self.over.set_result(None)

    def _interrupt(self) -> None:
        if self.handle is not None:
            self._codex.submit(self.handle.interrupt())


class CellTurn:
    """Paints a turn, and takes its questions to a person at `desk`. Driving `steps` does it."""

    def __init__(self, turn: RunningTurn, desk: Desk, painter: Painter) -> None:
        self._turn = turn
        self._desk = desk
        self._painter = painter
        self._completed = False
        turn.withdrawn.add_done_callback(lambda _: desk.stop())

    def steps(self) -> Steps[BaseException | None]:
        """Paint the turn to its end. Returns what it failed with, which is on screen then.

        When nobody drives it to its end, the turn is stopped, and shows nothing in the cell that runs by then.
        """
        is_dropped = False
        try:
            started = self._turn.started
            while not started.done():
                yield started, QUEUED_SECONDS
                if not started.done():
                    self._show_news()
                    self._painter.open()
            handle = started.result()
            yield from self._paint()
            return handle.exception
        except NotSent:
            self._painter.view.withdraw()
            return None
        except CodexError as error:
            failed = Turn(id=new_id(), status=TurnStatus.failed, error=TurnError(str(error)))
            self._painter.feed([TurnCompleted("", failed)])
            return error
        except KeyboardInterrupt:
            yield from self._stopped()
            raise CellStopped from None
        except GeneratorExit:
            self._turn.stop()
            is_dropped = True
            raise
        finally:
            try:
                self._desk.close(is_shown=not is_dropped)
                if not is_dropped or self._painter.is_open:
                    self._painter.finish()
            finally:
                self._turn.end()

    def _paint(self, *, seconds: float | None = None) -> Steps[bool]:
        """Paint what comes until the turn has ended (True) or time is up (False)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._completed:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            due = self._painter.due()
            yield self._desk.news.ready(), min((s for s in (due, left) if s is not None), default=None)
            self._show_news()
        return True

    def _show_news(self) -> None:
        batch = self._desk.news.take()
        notifications = [each for each in batch if not isinstance(each, Question)]
        self._painter.feed(notifications)
        self._painter.tick()
        for question in (each for each in batch if isinstance(each, Question)):
            self._desk.take(question, pause=self._painter.pause)
        if any(isinstance(each, TurnCompleted) for each in notifications):
            self._completed = True

    def _stopped(self) -> Steps[None]:
        """Tell the engine that the user stopped the cell, and paint what it still has to say."""
        self._turn.stop()
        self._desk.close()
        started = self._turn.started
        try:
            yield started, GRACE_SECONDS
            if started.done() and not started.cancelled() and isinstance(started.exception(), NotSent):
                self._painter.view.withdraw()
                return
            if (yield from self._paint(seconds=GRACE_SECONDS)):
                return
        except KeyboardInterrupt:
            pass  # stopped twice: the same wish
        interrupted = Turn(id=new_id(), status=TurnStatus.interrupted)
        self._painter.feed([TurnCompleted("", interrupted)])
