"""What a cell does: a question becomes a turn, painted while it arrives; a command is answered."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ..protocol.errors import AuthError, CodexError, OptionError
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
from .drive import Steps
from .options import CELL_OPTIONS, ParsedLine, parse_line, usage_line
from .outcome import CellFailed, CellStopped
from .say import say_error, surface_for

if TYPE_CHECKING:
    from ..display.pace import Painter
    from .session import Session

GRACE_SECONDS = 0.15
"""How long an interrupted cell waits for the engine to say what it kept."""


def run(session: Session, line: str, cell: str | None) -> Steps[None]:
    """Answer one `%codex` line (`cell` is None) or one `%%codex` cell.

    Raises CellFailed or CellStopped, once all there is to see is on screen.
    """
    try:
        if cell is None:
            from .commands import find_command

            command = find_command(line)
            if command is not None:
                yield from command(session) or ()
                return
        usage = "%codex" if cell is None else "%%codex"
        parsed = parse_line(line, CELL_OPTIONS, usage=usage)
        yield from ask(session, _prompt(parsed, cell, usage), parsed)
    except CodexError as error:
        session.last_error = error
        say_error(session, error)
        raise CellFailed(str(error)) from error
    except KeyboardInterrupt:
        raise CellStopped from None


def ask(session: Session, prompt: str, options: ParsedLine) -> Steps[None]:
    """One turn from start to end, on screen and bound to the name `-o` gives.

    Where it fails for want of a sign-in that somebody here can give, it is begun again after that.
    """
    while True:
        output = new_id()
        error = yield from _turn(session, prompt, options, output)
        if error is None:
            return
        session.last_error = error
        if not isinstance(error, AuthError):
            raise CellFailed(str(error)) from error
        from .account import helps, sign_in_first

        if not helps(error, session, options):
            raise CellFailed(str(error)) from error
        yield from sign_in_first(session, error, options, output)


def _turn(session: Session, prompt: str, options: ParsedLine, output: str) -> Steps[BaseException | None]:
    """One turn, shown as the output of that id. What it failed with is on screen already."""
    relay: Relay[Notification] = Relay()
    starting = session.start_turn(prompt, options, relay.put)
    painter = _painter(session, output)  # its imports take their time while the request is on its way
    try:
        while not starting.done():
            yield starting, None
        handle = starting.result()
        yield from _paint(session, relay, painter)
    except CodexError as error:
        painter.feed([_failed(error)])
        return error
    except KeyboardInterrupt:
        yield from _stop(session, starting, relay, painter)
        raise CellStopped from None
    finally:
        painter.finish()
        _bind(session, starting, options)
    return handle.exception


def _paint(
    session: Session, relay: Relay[Notification], painter: Painter, *, seconds: float | None = None
) -> Steps[bool]:
    """Paint what comes until the turn has ended (True) or time is up (False)."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            return False
        due = painter.due()
        yield relay.ready(), min((s for s in (due, left) if s is not None), default=None)
        batch = relay.take()
        painter.feed(batch)
        painter.tick()
        for notification in batch:
            if isinstance(notification, RateLimitsUpdated):
                session.rate_limits = notification.rate_limits
            if isinstance(notification, TurnCompleted):
                return True


def _stop(
    session: Session, starting: Future[AsyncTurnHandle], relay: Relay[Notification], painter: Painter
) -> Steps[None]:
    """The user stopped the cell: tell the engine, and take what it still has to say."""
    starting.add_done_callback(lambda started: _interrupt(session, started))
    try:
        if (yield from _paint(session, relay, painter, seconds=GRACE_SECONDS)):
            return
    except KeyboardInterrupt:
        pass  # stopped twice: the same wish
    painter.feed([TurnCompleted("", Turn(id=new_id(), status=TurnStatus.interrupted))])


def _interrupt(session: Session, started: Future[AsyncTurnHandle]) -> None:
    if not started.cancelled() and started.exception() is None:
        session.codex.submit(started.result().interrupt())


def _bind(session: Session, starting: Future[AsyncTurnHandle], options: ParsedLine) -> None:
    """Give the result the name `-o` asked for, however the turn ended."""
    name = options.text("output")
    if name is not None and starting.done() and not starting.cancelled() and starting.exception() is None:
        session.shell.user_ns[name] = starting.result().result


def _painter(session: Session, output: str) -> Painter:
    from ..display.pace import Painter
    from ..display.view import TurnView

    return Painter(surface_for(session), TurnView(id=output))


def _failed(error: CodexError) -> TurnCompleted:
    return TurnCompleted("", Turn(id=new_id(), status=TurnStatus.failed, error=TurnError(str(error))))


def _prompt(options: ParsedLine, cell: str | None, usage: str) -> str:
    """The words after the options and the cell below them, as they were typed."""
    body = (cell or "").strip("\n")
    prompt = f"{options.rest}\n{body}" if options.rest and body else options.rest or body
    if not prompt.strip():
        raise OptionError("There is nothing to ask.", hint=f"{usage_line(usage=usage)} PROMPT")
    return prompt
