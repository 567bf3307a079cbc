"""The way of a cell: `run_cell` drives its steps, which answer a command or ask a question as a turn."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from .. import waiting
from ..protocol.errors import AuthError, CodexError, OptionError
from ..protocol.ids import new_id
from ..protocol.types import Turn, TurnCompleted, TurnError, TurnResult, TurnStatus
from ..threads.options import working_folder
from ..waiting import Steps, drive
from .desk import Desk
from .environment import may_ask
from .options import ALL_OPTIONS, SAVING, parse_line
from .question import Question
from .session import RunningTurn, Session, Task
from .shell import CellFailed, CellStopped, NotSent, shells
from .tools.entries import offered
from .tools.place import Place

if TYPE_CHECKING:
    from ..display.pace import Painter

T = TypeVar("T")


async def run_cell(line: str, cell: str | None, number: int = 0) -> None:
    """Answer one `%%codex` cell, or one `%codex` line (`cell` is None); what `magics` turns a cell into.

    `number`: of its shell in `shells`; else it is IPython's own. Raises CellFailed or CellStopped at the end.
    """
    session = _session(number)
    with session.screen.request(blocking=False):
        await drive_async(run(session, line, cell))


def run_cell_blocking(line: str, cell: str | None, number: int = 0) -> None:
    """Answer a cell or line as `run_cell` does, where nothing can be awaited."""
    session = _session(number)
    try:
        with session.screen.request(blocking=True):
            drive(run(session, line, cell))
    except KeyboardInterrupt:  # it comes anywhere, between the steps too
        raise CellStopped from None


def _session(number: int) -> Session:
    from IPython.core.getipython import get_ipython

    shell = shells.get(number) or get_ipython()
    magics = shell.magics_manager.registry.get("CodexMagics") if shell is not None else None
    if magics is None:
        raise RuntimeError("Run `%load_ext codex_magic` first.")
    session: Session = magics.session
    return session


def run(session: Session, line: str, cell: str | None) -> Steps[None]:
    """Answer a line or cell. Raises CellFailed or CellStopped."""
    if (news := session.installed.news()) is not None:
        session.screen.say(news)
    try:
        command = None
        if cell is None:
            from .commands import find_command  # a cell is a question, and should be on its way soon

            command = find_command(line)
        task = _question(line, cell) if command is None else (yield from command(session) or ())
        if task is not None:
            working_folder()  # what is asked is about it
            _check_rerun(task)
        if task is not None and task.options.values.get("dry"):
            from .peek import show_dry  # nobody waits for an answer

            yield from show_dry(session, task)
        elif task is not None:
            result = yield from _answer(session, task)
            if task.after is not None and result is not None and result.status is TurnStatus.completed:
                yield from task.after(session, result)
    except CodexError as error:
        session.last_error = error
        session.screen.error(error)
        raise CellFailed(str(error)) from error
    except KeyboardInterrupt:
        raise CellStopped from None


def _question(line: str, cell: str | None) -> Task:
    """Return the words after the options and the cell below them, as they were typed, and the options."""
    options = parse_line(line)
    prompt = "\n".join(filter(None, (options.rest, (cell or "").strip("\n"))))
    if not prompt.strip():
        hint = f"Write it below `%%codex`, or after `%codex`. {ALL_OPTIONS}"
        raise OptionError("The prompt is empty.", hint=hint)
    return Task(prompt, options)


def _check_rerun(task: Task) -> None:
    """Raises OptionError for options that don't go with what is done with the answer."""
    if task.after is None and task.options.values.get("rerun"):
        hint = "Run the failed cell, then `%codex fix --rerun`."
        raise OptionError("--rerun belongs to `%codex fix`.", hint=hint)
    if task.after is not None and task.options.values.get("background"):
        hint = "Leave --background out: its code goes into the next cell."
        raise OptionError("`%codex fix` can't wait in the background.", hint=hint)


def _answer(session: Session, task: Task) -> Steps[TurnResult | None]:
    if SAVING.isdisjoint(task.options.values):
        return (yield from _ask(session, task))
    from .answers import save_answer  # few cells save

    return (yield from save_answer(session, task, _ask))


def _ask(session: Session, task: Task) -> Steps[TurnResult | None]:
    """Ask one question: a turn from its request to its last painted line; again after a sign-in that it needs.

    Returns the result, unless the turn is left to the background, was taken back, or has been there before.
    """
    options = task.options
    background = bool(options.values.get("background")) and not _waits(session)
    while True:
        output = new_id()
        desk = Desk(session.shell, session.screen, output, background=background)
        place = Place(
            desk.news.put,
            copy_context(),
            is_blocking=session.screen.blocked,
            is_background=background,
            output=output,
            tries_first=bool(options.values.get("trial")) or session.settings.trial,
        )
        offer = partial(offered, session, desk.ask, place)
        started = session.start_turn(task, desk.news.put, desk.ask, offer, output=output)
        started.withdrawn.add_done_callback(place.close)
        # The imports of display/ take time while the request is on its way.
        from ..display.view import TurnView

        is_value = task.saving is not None and task.saving.schema is not None
        view = TurnView(id=output, background=background, is_value=is_value, clock=time.monotonic)
        painter = session.screen.painter(view, cell=started.context.kernel.cell)
        turn = CellTurn(started, desk, painter)
        if background:
            painter.open()
            # In the cell's context ipykernel sends what is shown to it; else to whoever sent the newest message.
            header = getattr(session.shell.display_pub, "parent_header", None)
            paint = partial(copy_context().run, _drive_in_thread, session, turn, header)
            threading.Thread(target=paint, name="codex_magic background turn", daemon=True).start()
            return None
        error = yield from turn.steps()
        if place.restarts:
            raise CellStopped  # no cell that waits for this one is to run before
        if session.screen.rich and place.committed:
            session.shell.set_next_input("\n\n".join(place.committed))
        if error is None:
            return started.handle.result if started.handle is not None and not started.is_kept else None
        session.last_error = error
        if not isinstance(error, AuthError):
            raise CellFailed(str(error)) from error
        from .account import can_sign_in, sign_in_first  # their imports are not small

        if not can_sign_in(session, error, options):
            raise CellFailed(str(error)) from error
        yield from sign_in_first(session, error, options, output)


def _drive_in_thread(session: Session, turn: CellTurn, header: object) -> None:
    """Drive a turn; before version 7 ipykernel knows no context, so what it shows is addressed here."""
    register_hook = getattr(session.shell.display_pub, "register_hook", None)
    if register_hook is not None and header:
        register_hook(lambda message: {**message, "parent_header": header})
    with suppress(CancelledError):  # the session was closed before it began
        session.last_error = drive(turn.steps()) or session.last_error


def _waits(session: Session) -> bool:
    """Whether nobody sees what comes after the cell, as in nbclient. Raises OptionError in a terminal."""
    if not session.screen.rich:
        problem = "--background works in notebooks only."
        raise OptionError(problem, hint="Leave it out.")
    if not may_ask(session.shell):
        session.screen.say("No one is here to see a background answer, so this cell waits for it.")
        return True
    return not session.screen.page.has_controls


GRACE_SECONDS = 0.15  # an interrupted cell waits for the last notifications of the engine
QUEUED_SECONDS = 0.5  # a turn waits for another one of its thread before it shows that it is there


class CellTurn:
    """Paints a turn, and takes its questions to a person at `desk`; driving `steps` does it.

    The engine's notifications come through the queue `desk.news` from the background loop.
    """

    def __init__(self, turn: RunningTurn, desk: Desk, painter: Painter) -> None:
        self._turn, self._desk, self._painter = turn, desk, painter
        self._completed = False
        turn.withdrawn.add_done_callback(lambda _: desk.stop())

    def steps(self) -> Steps[BaseException | None]:
        """Paint the turn to its end, or stop it when it is dropped. Returns what it failed with, once it is shown."""
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
            self._painter.view.interrupt(withdrawn=True)
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
                self._turn.trace.display = self._painter.seconds
            finally:
                self._turn.end()

    def _paint(self, *, seconds: float | None = None) -> Steps[bool]:
        """Paint what comes until the turn has ended (True) or time is up (False)."""
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        while not self._completed:
            if (left := deadline - time.monotonic()) <= 0:
                return False
            due = [seconds for seconds in (self._painter.due(), self._desk.due()) if seconds is not None]
            yield self._desk.news.ready(), min([left, *due])
            self._show_news()
        return True

    def _show_news(self) -> None:
        batch = self._desk.news.take()
        self._painter.feed([each for each in batch if not (isinstance(each, Question) or callable(each))])
        self._painter.tick()
        for errand in (each for each in batch if callable(each)):
            self._painter.pause()
            errand()
        for question in (each for each in batch if isinstance(each, Question)):
            self._desk.take(question, pause=self._painter.pause)
        self._desk.tick(pause=self._painter.pause)
        self._completed = self._completed or any(isinstance(each, TurnCompleted) for each in batch)

    def _stopped(self) -> Steps[None]:
        """Tell the engine that the user stopped the cell, and paint what it still has to say."""
        self._turn.stop()
        self._desk.close()
        started = self._turn.started
        try:
            yield started, GRACE_SECONDS
            if started.done() and not started.cancelled() and isinstance(started.exception(), NotSent):
                self._painter.view.interrupt(withdrawn=True)
                return
            if (yield from self._paint(seconds=GRACE_SECONDS)):
                return
        except KeyboardInterrupt:
            pass  # stopped twice: the same wish
        self._painter.feed([TurnCompleted("", Turn(id=new_id(), status=TurnStatus.interrupted))])


async def drive_async(steps: Steps[T]) -> T:
    """Run `steps` to its end while the event loop continues. What cancels the cell stops it, and it ends normally."""
    return await waiting.drive_async(steps, stop=_stopped)


def _stopped(_: BaseException) -> BaseException:
    task = asyncio.current_task()
    if sys.version_info >= (3, 11) and task is not None:
        task.uncancel()  # the cell ends normally, so its task must not count as being cancelled
    return KeyboardInterrupt()
