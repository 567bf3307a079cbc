"""`%codex turns`, `stop` and `steer`: the turns of this kernel, several of which may run in the background at once."""

from __future__ import annotations

from ..protocol.errors import OptionError
from ..protocol.plain import shorten
from ..waiting import Steps, finished
from .screen import count
from .session import RunningTurn, Session, TurnRow

LIST = "List them: `%codex turns`"


def turns(session: Session, _: str) -> None:
    """Show the turns that run, and the latest that are over."""
    from ..display.items import lasting

    rows = [
        (turn.number, f"[{turn.cell}]", shorten(turn.prompt, 60), turn.state, lasting(int(turn.seconds)))
        for turn in sorted([*session.ended, *(_as_row(session, each) for each in session.running)])
    ]
    if not rows:
        session.screen.say("This kernel has asked nothing yet.")
        return
    note = "Stop one: `%codex stop N`. Add to one: `%codex steer N TEXT`" if session.running else ""
    session.screen.table(("#", "Cell", "You asked", "State", "Time"), rows, note=note)


def _as_row(session: Session, turn: RunningTurn) -> TurnRow:
    if session.extension.questions.waiting(turn.output):
        state = "waiting for your approval"
    else:
        state = "running" if turn.handle is not None else "waiting in line"
    return turn.row(state)


def _running(session: Session, number: int) -> RunningTurn:
    """Raises OptionError where no turn of that number runs."""
    turn = next((each for each in session.running if each.number == number), None)
    if turn is None:
        is_over = any(each.number == number for each in session.ended)
        raise OptionError(f"Turn {number} is over." if is_over else f"There is no turn {number}.", hint=LIST)
    return turn


def stop(session: Session, rest: str) -> Steps[None]:
    """Stop the turn of that number, or all. Raises OptionError."""
    running = [_running(session, int(rest))] if rest else list(session.running)
    for turn in running:
        turn.stop()
    for turn in running:
        yield from finished(turn.over)
    what = f"turn {rest}" if rest else count(len(running), "turn")
    session.screen.say(f"Stopped {what}." if running else "Nothing is running.")


def steer(session: Session, rest: str) -> Steps[None]:
    """Add to the turn that a number before the text names, where several run; else to the latest that answers.

    Raises OptionError for the number of one that is over.
    """
    if not session.running:
        session.screen.say(f"Nothing is running. To send it as a question: `%codex -- steer {rest}`")
        return
    number, _, text = rest.partition(" ")
    known = {each.number for each in session.running} | {each.number for each in session.ended}
    if len(session.running) > 1 and number.isdecimal() and int(number) in known and text.strip():
        turn, rest = _running(session, int(number)), text.strip()
    else:
        answering = (turn for turn in reversed(session.running) if turn.handle is not None)
        turn = next(answering, session.running[0])  # the others wait in line
    which = f" of turn {turn.number}, cell [{turn.cell}]" if len(session.running) > 1 else ""
    if turn.handle is None:
        turn.steer(rest)
        session.screen.say(f"It is sent once the answer{which} begins.")
        return
    yield from session.wait(turn.handle.steer(rest))
    session.screen.say(f"Sent to the running answer{which}.")
