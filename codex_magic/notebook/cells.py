"""What a cell does: a question becomes a turn, painted while it arrives; a command is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.errors import AuthError, CodexError, OptionError
from ..protocol.ids import new_id
from .drive import Steps
from .environment import may_ask
from .options import CELL_OPTIONS, ParsedLine, parse_line, usage_line
from .outcome import CellFailed, CellStopped
from .say import say, say_error
from .turn import CellTurn

if TYPE_CHECKING:
    from .session import Session


def run(session: Session, line: str, cell: str | None) -> Steps[None]:
    """Answer one `%codex` line (`cell` is None) or one `%%codex` cell.

    Raises CellFailed or CellStopped, once all there is to see is on screen.
    """
    if (news := session.magics.installed.news()) is not None:
        say(session, news)
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
    if options.values.get("background") and not _waits(session):
        CellTurn(session, prompt, options, new_id(), background=True).run_in_background()
        return
    while True:
        output = new_id()
        error = yield from CellTurn(session, prompt, options, output).steps()
        if error is None:
            return
        session.last_error = error
        if not isinstance(error, AuthError):
            raise CellFailed(str(error)) from error
        from .account import helps, sign_in_first

        if not helps(error, session, options):
            raise CellFailed(str(error)) from error
        yield from sign_in_first(session, error, options, output)


def _waits(session: Session) -> bool:
    """Whether there is nobody to see what comes after the cell: nbclient, papermill and their like save it
    as it is then. Raises OptionError in a terminal."""
    if not session.rich:
        raise OptionError(
            "A terminal has no place for an answer in the background.", hint="Leave --background out."
        )
    if not may_ask(session.shell):
        say(session, "Nobody is there to see an answer in the background, so this cell waits for it.")
        return True
    return not session.page.has_controls


def _prompt(options: ParsedLine, cell: str | None, usage: str) -> str:
    """The words after the options and the cell below them, as they were typed."""
    body = (cell or "").strip("\n")
    prompt = f"{options.rest}\n{body}" if options.rest and body else options.rest or body
    if not prompt.strip():
        raise OptionError("There is nothing to ask.", hint=f"{usage_line(usage=usage)} PROMPT")
    return prompt
