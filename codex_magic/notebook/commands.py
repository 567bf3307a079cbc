"""The %codex commands. A line that is no command is a question."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..protocol.errors import CodexError, ConfigurationError, ModelNotFoundError, OptionError, StoreError
from ..protocol.types import AgentMessage, UserMessage, input_text
from ..threads.options import CONTINUE
from . import agent, quota
from .account import LOGIN_USAGE, account_rows, log_in, log_out, show_account, show_usage, takes_login
from .drive import Steps, finished
from .options import CELL_OPTIONS, EFFORTS, nearest, parse_line, usage_line
from .say import ID_SHOWN, ago, count, say, say_code, say_table, surface_for

if TYPE_CHECKING:
    from ..threads.store import ThreadRecord, TurnRecord
    from .session import Session

T = TypeVar("T")


class Command(NamedTuple):
    """`takes` says whether the words after the name belong to the command; if not, it is a question.

    `run` answers at once, or returns the steps of an answer that has to wait for something.
    """

    run: Callable[[Session, str], Steps[None] | None]
    usage: str
    help: str
    takes: Callable[[str], bool]


def find_command(line: str) -> Callable[[Session], Steps[None] | None] | None:
    """The command a %codex line names, or None for a question. Raises OptionError.

    %codex show is a command, %codex show me the data is a question. A question that looks like a
    command can be asked after `--`.
    """
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if not name:
        return lambda session: _help(session, "")
    command = COMMANDS.get(name)
    if command is None:
        if not rest and (near := nearest(name, list(COMMANDS))):
            raise OptionError(
                f"There is no command {name!r}.{near}", hint=f"To ask it all the same: %codex -- {name}"
            )
        return None
    if command.takes(rest):
        word = rest[1:-1] if _one_word(rest) and rest[0] in "'\"" else rest
        return lambda session: command.run(session, word)
    if rest.startswith("-"):
        raise OptionError(f"%codex {name} doesn't take {rest.split()[0]!r}.", hint=f"Usage: {command.usage}")
    return None


def _nothing(rest: str) -> bool:
    return not rest


def _one_word(rest: str) -> bool:
    if rest[:1] in ("'", '"'):
        return len(rest) > 2 and rest.find(rest[0], 1) == len(rest) - 1
    return bool(rest) and len(rest.split()) == 1 and not rest.startswith("-")


def _perhaps_one_word(rest: str) -> bool:
    return not rest or _one_word(rest)


def _perhaps_number(rest: str) -> bool:
    return not rest or rest.isdecimal()


def _some_text(rest: str) -> bool:
    return bool(rest) and not rest.startswith("-")


def _perhaps_options(rest: str) -> bool:
    return not rest or rest.startswith("-")


def _perhaps_search(rest: str) -> bool:
    return rest in ("", "--archived") or _one_word(rest)


def _waited(session: Session, work: Coroutine[Any, Any, T]) -> Steps[T]:
    """Wait for work without holding up the kernel. Raises what it raises."""
    return (yield from finished(session.codex.submit(work)))


# Threads -----------------------------------------------------------------------------------------


def _new(session: Session, _: str) -> Steps[None]:
    thread = yield from _waited(session, session.new_thread())
    say(session, f"A new thread: {thread.id[:ID_SHOWN]}")


def _threads(session: Session, rest: str) -> Steps[None]:
    codex = session.codex.asynchronous
    archived = rest == "--archived"
    page = yield from _waited(
        session, codex.thread_list(archived=archived, search_term=None if archived or not rest else rest)
    )
    if not page.threads:
        say(session, "There are no threads here yet. Ask something: %%codex")
        return
    current = yield from _waited(session, session.current_id())
    rows = [
        (
            "→" if t.id == current else "",
            t.id[:ID_SHOWN],
            t.name or t.preview or "(empty)",
            ago(t.updated_at),
        )
        for t in page.threads
    ]
    more = " There are older ones: %codex threads WORD searches." if page.next_cursor else ""
    say_table(
        session, ("", "thread", "about", "last used"), rows, note=f"%codex resume ID goes on with one.{more}"
    )


def _resume(session: Session, rest: str) -> Steps[None]:
    thread = yield from _waited(session, session.resume(rest))
    turns = yield from _waited(session, thread.history())
    say(session, f"This notebook is now on {thread.id[:ID_SHOWN]}, {count(len(turns), 'turn')} so far.")


def _fork(session: Session, rest: str) -> Steps[None]:
    thread = yield from _waited(session, session.fork(rest or None))
    turns = yield from _waited(session, thread.history())
    say(
        session,
        f"A fork, {thread.id[:ID_SHOWN]}, with {count(len(turns), 'turn')} of the past. The other thread stays as it is.",
    )


def _name(session: Session, rest: str) -> Steps[None]:
    thread = yield from _waited(session, session.thread())
    yield from _waited(session, thread.set_name(rest))
    say(session, f"This thread is now called {rest}.")


def _archive(session: Session, rest: str) -> Steps[None]:
    found = yield from _waited(session, session.resolve(rest))
    yield from _waited(session, session.codex.asynchronous.thread_archive(found))
    say(session, f"Archived {found[:ID_SHOWN]}. %codex unarchive {found[:ID_SHOWN]} brings it back.")


def _unarchive(session: Session, rest: str) -> Steps[None]:
    found = yield from _waited(session, session.resolve(rest))
    yield from _waited(session, session.codex.asynchronous.thread_unarchive(found))
    say(session, f"{found[:ID_SHOWN]} is back in the list.")


def _history(session: Session, _: str) -> Steps[None]:
    thread = yield from _waited(session, session.thread())
    turns = yield from _waited(session, thread.history())
    if not turns:
        say(session, "This thread is empty.")
        return
    rows = [
        (n, _shortened(_question(turn)), _shortened(_answer(turn)), turn.status.value)
        for n, turn in enumerate(turns, 1)
    ]
    say_table(session, ("turn", "question", "answer", "status"), rows, note="%codex show N shows one again.")


def _show(session: Session, rest: str) -> Steps[None]:
    from ..display.pace import Painter
    from ..display.view import TurnView

    thread = yield from _waited(session, session.thread())
    turns = yield from _waited(session, thread.history())
    number = int(rest) if rest else len(turns)
    if not 1 <= number <= len(turns):
        raise OptionError(f"This thread has {count(len(turns), 'turn')}.", hint="%codex history lists them.")
    turn = turns[number - 1]
    view = TurnView.of(
        [entry.item for entry in turn.items],
        turn_id=turn.id,
        thread_id=turn.thread_id,
        status=turn.status,
        error=turn.error,
        usage=turn.usage,
        model=turn.model,
        duration_ms=turn.duration_ms,
    )
    painter = Painter(surface_for(session), view)
    if view.state == "streaming":
        painter.open()
    else:
        painter.finish()


def _continue(session: Session, rest: str) -> Steps[None]:
    from .cells import ask

    parsed = parse_line(rest, usage="%codex continue")
    if parsed.rest:
        raise OptionError("%codex continue takes options only.", hint=f"To ask it: %codex -- continue {rest}")
    yield from ask(session, CONTINUE, parsed)


# What runs ---------------------------------------------------------------------------------------

NOTHING_RUNS = "Nothing is running."


def _steer(session: Session, rest: str) -> Steps[None]:
    if not session.running:
        say(session, f"{NOTHING_RUNS} To ask it: %codex -- steer {rest}")
        return
    yield from session.running[-1].steer(rest)
    say(session, "Said.")


def _stop(session: Session, _: str) -> Steps[None]:
    running = list(session.running)
    for turn in running:
        turn.stop()
    for turn in running:
        yield from finished(turn.over)
    say(session, f"Stopped {count(len(running), 'turn')}." if running else NOTHING_RUNS)


# Settings ----------------------------------------------------------------------------------------


def _status(session: Session, _: str) -> Steps[None]:
    provider = session.provider()
    model = _model_in_use(session)
    problem: CodexError | None = session.unkept
    current = None
    try:
        current = yield from _waited(session, session.current_id())
    except StoreError as error:
        problem = error
    rows: list[tuple[str, object]] = [
        ("provider", f"{provider.name} ({provider.base_url})"),
        *account_rows(session, provider),
        ("model", model),
        ("effort", session.magics.effort or "the model's default"),
        *_agent_rows(session),
        ("thread", current[:ID_SHOWN] if current else "none yet"),
        ("threads kept in", problem or session.settings.home / "threads.db"),
    ]
    rows += [
        ("running", f"{_shortened(t.prompt)}, for {count(t.seconds, 'second')}") for t in session.running
    ]
    if session.rate_limits is not None and (windows := quota.windows(session.rate_limits)):
        rows.append(("limits", "; ".join(map(quota.sentence, windows))))
    say_table(session, ("", ""), rows)


def _model_in_use(session: Session) -> str:
    chosen = session.magics.model or session.remembered_model()
    return chosen or "the provider's default, asked for with the first question"


def _models(session: Session, _: str) -> Steps[None]:
    models = yield from _waited(session, session.codex.asynchronous.models(provider=session.provider()))
    rows = [
        (m.slug, m.description or m.display_name or "", _tokens(m.context_window), ", ".join(m.efforts))
        for m in models
    ]
    say_table(
        session,
        ("model", "", "context", "effort"),
        rows,
        note="%codex model NAME takes one for this notebook.",
    )


def _provider(session: Session, rest: str) -> None:
    provider = session.provider(rest or None)
    if rest:
        session.magics.provider = rest
    say(session, f"Provider: {provider.name} ({provider.base_url})")


def _model(session: Session, rest: str) -> Steps[None]:
    if rest:
        models = yield from _waited(
            session, session.codex.asynchronous.models(provider=session.provider(), include_hidden=True)
        )
        slugs = [model.slug for model in models]
        if slugs and rest not in slugs:
            raise ModelNotFoundError(rest, near=_near(rest, slugs))
        session.magics.model = rest
    say(session, f"Model: {_model_in_use(session)}")


def _effort(session: Session, rest: str) -> None:
    if rest and rest not in EFFORTS:
        raise OptionError(
            f"There is no effort {rest!r}.{nearest(rest, EFFORTS)}",
            hint=f"It is one of {', '.join(EFFORTS)}.",
        )
    if rest:
        session.magics.effort = rest
    say(session, f"Effort: {session.magics.effort or 'the default of the model'}")


def _agent_rows(session: Session) -> list[tuple[str, object]]:
    magics = session.magics
    rows: list[tuple[str, object]] = [("engine", _told(magics.engine, agent.ENGINES))]
    if magics.engine == "app-server":
        rows += [
            ("sandbox", _told(magics.sandbox, agent.SANDBOXES)),
            ("approval", _told(magics.approval, agent.APPROVALS)),
            ("folder", magics.cwd or os.getcwd()),
        ]
    return rows


def _engine(session: Session, rest: str) -> None:
    session.magics.engine = agent.engine(rest or session.magics.engine)
    say(session, f"Engine: {_told(session.magics.engine, agent.ENGINES)}")


def _sandbox(session: Session, rest: str) -> None:
    session.magics.sandbox = agent.spelled(agent.sandbox(rest or session.magics.sandbox))
    say(session, f"Sandbox: {_told(session.magics.sandbox, agent.SANDBOXES)}")


def _approval(session: Session, rest: str) -> None:
    session.magics.approval = agent.spelled(agent.approval(rest or session.magics.approval))
    say(session, f"Approval: {_told(session.magics.approval, agent.APPROVALS)}")


def _cwd(session: Session, rest: str) -> None:
    if rest:
        session.magics.cwd = agent.folder(rest)
    say(session, f"Folder: {agent.folder(session.magics.cwd)}")


def _told(word: str, meanings: Mapping[str, str]) -> str:
    return f"{word} ({meanings[word]})" if word in meanings else word


def _debug(session: Session, _: str) -> None:
    error = session.last_error
    if error is None:
        raise ConfigurationError("Nothing has failed yet.")
    from ..net import scrub

    say_code(session, scrub("".join(traceback.format_exception(type(error), error, error.__traceback__))))


def _help(session: Session, rest: str) -> None:
    if rest:
        command = COMMANDS.get(rest)
        if command is None:
            near = nearest(rest, list(COMMANDS))
            raise OptionError(f"There is no command {rest!r}.{near}", hint="%codex help lists them.")
        say(session, f"{command.usage} — {command.help}")
        return
    rows = [(command.usage, command.help) for command in COMMANDS.values()]
    rows += [
        ("%%codex [OPTIONS]", "ask what the cell says, braces and all"),
        ("%codex TEXT", "ask in one line"),
    ]
    options = "; ".join(f"--{option.name}: {option.help}" for option in CELL_OPTIONS)
    say_table(session, ("write", "to"), rows, note=f"{usage_line()} — {options}")


COMMANDS: dict[str, Command] = {
    "new": Command(_new, "%codex new", "start a new thread", _nothing),
    "threads": Command(
        _threads, "%codex threads [WORD | --archived]", "list or search threads", _perhaps_search
    ),
    "resume": Command(
        _resume, "%codex resume ID", "go on with a thread (id, its beginning, or name)", _one_word
    ),
    "fork": Command(_fork, "%codex fork [ID]", "go on from here in a copy of the thread", _perhaps_one_word),
    "name": Command(_name, "%codex name TEXT", "name this thread", _some_text),
    "archive": Command(_archive, "%codex archive ID", "take a thread out of the list", _one_word),
    "unarchive": Command(_unarchive, "%codex unarchive ID", "bring it back", _one_word),
    "history": Command(_history, "%codex history", "list the turns of this thread", _nothing),
    "show": Command(_show, "%codex show [N]", "show a turn again, the last one by default", _perhaps_number),
    "continue": Command(
        _continue, "%codex continue [OPTIONS]", "go on with an interrupted answer", _perhaps_options
    ),
    "login": Command(log_in, LOGIN_USAGE, "sign in, or change the account", takes_login),
    "logout": Command(log_out, "%codex logout", "sign out, here and at the service", _nothing),
    "account": Command(show_account, "%codex account", "who is signed in, and where that is kept", _nothing),
    "usage": Command(show_usage, "%codex usage", "what is left of the plan, asked of the service", _nothing),
    "status": Command(
        _status,
        "%codex status",
        "who is signed in, which model, which thread, what runs, what is left",
        _nothing,
    ),
    "models": Command(_models, "%codex models", "list the models", _nothing),
    "provider": Command(
        _provider,
        "%codex provider [NAME]",
        "show or set: chatgpt, openai, local or a base URL",
        _perhaps_one_word,
    ),
    "model": Command(_model, "%codex model [NAME]", "show or set the model", _perhaps_one_word),
    "effort": Command(
        _effort, "%codex effort [LEVEL]", "show or set how long the model thinks", _perhaps_one_word
    ),
    "engine": Command(
        _engine, "%codex engine [NAME]", "show or set: backend or app-server", _perhaps_one_word
    ),
    "sandbox": Command(
        _sandbox,
        "%codex sandbox [LEVEL]",
        "show or set what the agent reaches: read-only, workspace-write or full-access",
        _perhaps_one_word,
    ),
    "approval": Command(
        _approval,
        "%codex approval [MODE]",
        "show or set who says yes to the agent: ask, untrusted, deny or auto",
        _perhaps_one_word,
    ),
    "cwd": Command(_cwd, "%codex cwd [FOLDER]", "show or set where the agent works", _perhaps_one_word),
    "steer": Command(_steer, "%codex steer TEXT", "say more to the turn that runs", _some_text),
    "stop": Command(_stop, "%codex stop", "stop what runs, and keep what was said", _nothing),
    "debug": Command(_debug, "%codex debug", "show where the last error came from", _nothing),
    "help": Command(_help, "%codex help [COMMAND]", "show this", _perhaps_one_word),
}


def _near(word: str, known: Sequence[str]) -> list[str]:
    import difflib

    return difflib.get_close_matches(word, known, n=2, cutoff=0.4)


def _about(thread: ThreadRecord) -> str:
    about = thread.name or thread.preview or "(empty)"
    return f"{about} (a fork)" if thread.forked_from and not thread.name else about


def _question(turn: TurnRecord) -> str:
    return next((input_text(e.item.content) for e in turn.items if isinstance(e.item, UserMessage)), "")


def _answer(turn: TurnRecord) -> str:
    text = next((e.item.text for e in reversed(turn.items) if isinstance(e.item, AgentMessage)), "")
    return re.sub("[*#>`|]", "", text)


def _shortened(text: str, limit: int = 60) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _tokens(number: int | None) -> str:
    return f"{number:,}" if number else ""
