"""One turn of a cell: begun, painted while it arrives, asked about, stopped, bound to a name."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING

from ..protocol.errors import CodexError
from ..protocol.ids import new_id
from ..protocol.types import (
    Notification,
    RateLimitsUpdated,
    Turn,
    TurnCompleted,
    TurnError,
    TurnStatus,
)
from ..threads.relay import Relay
from ..threads.turns import AsyncTurnHandle
from .desk import Desk
from .drive import Steps, drive, finished
from .options import ParsedLine
from .outcome import CellStopped, NotSent
from .question import Question
from .say import surface_for

if TYPE_CHECKING:
    from ..display.pace import Painter
    from .session import Session

GRACE_SECONDS = 0.15
"""How long an interrupted cell waits for the engine to say what it kept."""

QUEUED_SECONDS = 0.5
"""After which a turn that has to wait for another one of its thread says that it is there."""


class CellTurn:
    """Begun when it is made, in its cell; whoever runs `steps` paints it.

    `output`: the id of the output that shows it. Raises OptionError, ConfigurationError when it can't begin.
    """

    def __init__(
        self, session: Session, prompt: str, options: ParsedLine, output: str, *, background: bool = False
    ) -> None:
        self.prompt = prompt
        self.over: Future[None] = Future()
        """Done when all of it is on screen."""
        self.cell = len(session.shell.user_ns["In"]) - 1
        """The number of its cell; `execution_count` is the next one in newer IPythons."""
        self._session = session
        self._options = options
        self._background = background
        self._began = time.monotonic()
        self._relay: Relay[Notification | Question] = Relay()
        self._desk = Desk(session, self._relay.put, background=background)
        self._withdrawn: Future[None] = Future()
        self._starting = session.start_turn(prompt, options, self._relay.put, self._desk.ask, self._withdrawn)
        # Its imports take time while the request is on its way.
        self._painter = _painter(session, output, background=background)
        self._completed = False
        session.running.append(self)

    @property
    def seconds(self) -> int:
        """Since it was begun."""
        return int(time.monotonic() - self._began)

    @property
    def thread_id(self) -> str | None:
        """Known when it has started."""
        return self._painter.view.thread_id

    def stop(self) -> None:
        """Interrupt it, as soon as it has started, or take it back if it still waits; from any thread."""
        self._desk.stop()
        with suppress(InvalidStateError):
            self._withdrawn.set_result(None)
        self._starting.add_done_callback(self._interrupt)

    def steer(self, text: str) -> Steps[None]:
        """Say more to it. Raises InvalidRequestError when it takes no more."""
        handle = yield from finished(self._starting)
        yield from finished(self._session.codex.submit(handle.steer(text)))

    def steps(self) -> Steps[BaseException | None]:
        """Paint it to its end. Gives what it failed with, which is on screen then.

        Where nobody carries it to its end, it is stopped, and shows nothing in the cell that runs by then.
        """
        is_dropped = False
        try:
            while not self._starting.done():
                yield self._starting, QUEUED_SECONDS
                if not self._starting.done():
                    self._show_news()
                    self._painter.open()
            handle = self._starting.result()
            yield from self._paint()
        except NotSent:
            self._painter.view.withdraw()
            return None
        except CodexError as error:
            self._painter.feed([_failed(error)])
            return error
        except KeyboardInterrupt:
            yield from self._stopped()
            raise CellStopped from None
        except GeneratorExit:
            self.stop()
            is_dropped = True
            raise
        finally:
            self._session.running.remove(self)
            self._desk.close(is_shown=not is_dropped)
            if not is_dropped or self._painter.is_open:
                self._painter.finish()
            self._bind()
            self.over.set_result(None)
        return handle.exception

    def run_in_background(self) -> None:
        """Show where it will be painted, then paint it in a thread of its own."""
        self._painter.open()
        threading.Thread(target=self._painted, name="codex_magic background turn", daemon=True).start()

    def _painted(self) -> None:
        with suppress(CancelledError):  # the session was closed before it began
            self._session.last_error = drive(self.steps()) or self._session.last_error

    def _paint(self, *, seconds: float | None = None) -> Steps[bool]:
        """Paint what comes until the turn has ended (True) or time is up (False)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not self._completed:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return False
            due = self._painter.due()
            yield self._relay.ready(), min((s for s in (due, left) if s is not None), default=None)
            self._show_news()
        return True

    def _show_news(self) -> None:
        batch = self._relay.take()
        told = [each for each in batch if not isinstance(each, Question)]
        self._painter.feed(told)
        self._painter.tick()
        for question in (each for each in batch if isinstance(each, Question)):
            self._desk.take(question, pause=self._painter.pause)
        for notification in told:
            if isinstance(notification, RateLimitsUpdated):
                self._session.rate_limits = notification.rate_limits
            if isinstance(notification, TurnCompleted):
                self._completed = True

    def _stopped(self) -> Steps[None]:
        """The user stopped the cell: tell the engine, and take what it still has to say."""
        self.stop()
        self._desk.close()
        try:
            yield self._starting, GRACE_SECONDS
            starting = self._starting
            if starting.done() and not starting.cancelled() and isinstance(starting.exception(), NotSent):
                self._painter.view.withdraw()
                return
            if (yield from self._paint(seconds=GRACE_SECONDS)):
                return
        except KeyboardInterrupt:
            pass  # stopped twice: the same wish
        interrupted = Turn(id=new_id(), status=TurnStatus.interrupted)
        self._painter.feed([TurnCompleted("", interrupted)])

    def _interrupt(self, started: Future[AsyncTurnHandle]) -> None:
        if not started.cancelled() and started.exception() is None:
            self._session.codex.submit(started.result().interrupt())

    def _bind(self) -> None:
        """Give the result the name `-o` asked for, however the turn ended."""
        name, starting = self._options.text("output"), self._starting
        if name is not None and starting.done() and not starting.cancelled() and starting.exception() is None:
            self._session.shell.user_ns[name] = starting.result().result


def _painter(session: Session, output: str, *, background: bool) -> Painter:
    from ..display.pace import Painter
    from ..display.view import TurnView

    return Painter(surface_for(session), TurnView(id=output, background=background))


def _failed(error: CodexError) -> TurnCompleted:
    return TurnCompleted("", Turn(id=new_id(), status=TurnStatus.failed, error=TurnError(str(error))))
