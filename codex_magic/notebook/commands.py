"""The %codex commands, and what Tab completes after `%codex` and `%%codex`, without asking the network.

A line that is no command is a question.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..display.items import one_line
from ..net import scrub
from ..protocol.errors import CodexError, ConfigurationError, ModelNotFoundError, OptionError, StoreError
from ..protocol.types import AgentMessage, UserMessage, input_text
from ..responses.catalog import default_model
from ..threads.options import CONTINUE
from ..threads.store import ThreadRecord, TurnRecord
from . import login_view, options
from .account import LOGIN_ARGUMENTS, account_rows, log_in, log_out, show_account, show_usage, takes_login
from .login_view import Way
from .options import APPROVALS, CELL_OPTIONS, EFFORTS, ENGINES, SANDBOXES, ParsedLine, nearest, no_such
from .screen import ID_SHOWN, ago, count
from .session import Session, Steps, finished

Question = tuple[str, ParsedLine]
"""What a command asks: a prompt, and the options of a cell."""

Run = Callable[[Session, str], Steps[Question | None] | Steps[None] | None]


class Command(NamedTuple):
    """`run` answers at once, or returns the steps of an answer that has to wait for something."""

    name: str
    arguments: str
    help: str
    run: Run

    @property
    def usage(self) -> str:
        return f"%codex {self.name} {self.arguments}".rstrip()

    def takes(self, rest: str) -> bool:
        """Whether the words after the name belong to the command; if not, the line is a question."""
        if not rest:
            return self.arguments[:1] in ("", "[")
        return bool(self.arguments) and _ARGUMENTS.get(self.arguments, _is_one_word)(rest)


def _is_one_word(rest: str) -> bool:
    if rest[0] in "'\"":
        return len(rest) > 2 and rest.find(rest[0], 1) == len(rest) - 1
    return len(rest.split()) == 1 and not rest.startswith("-")


_ARGUMENTS: dict[str, Callable[[str], bool]] = {
    "TEXT": lambda rest: not rest.startswith("-"),
    "[N]": str.isdecimal,
    "[OPTIONS]": lambda rest: rest.startswith("-"),
    "[WORD | --archived]": lambda rest: rest == "--archived" or _is_one_word(rest),
    LOGIN_ARGUMENTS: takes_login,
}
"""What the words must be like; all other arguments are one word."""


def find_command(line: str) -> Callable[[Session], Steps[Question | None] | Steps[None] | None] | None:
    """Return the command that a %codex line names, or None for a question. Raises OptionError.

    %codex show is a command, %codex show me the data is a question. A question that looks like a
    command can be asked after `--`.
    """
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    if not name:
        return lambda session: _help(session, "")
    if (command := COMMANDS.get(name)) is None:
        if not rest and (near := nearest(name, COMMANDS)):
            hint = f"To ask it all the same: %codex -- {name}"
            raise OptionError(f"There is no command {name!r}.{near}", hint=hint)
        return None
    if command.takes(rest):
        word = rest[1:-1] if rest and rest[0] in "'\"" and _is_one_word(rest) else rest
        return lambda session: command.run(session, word)
    if rest.startswith("-"):
        raise OptionError(f"%codex {name} doesn't take {rest.split()[0]!r}.", hint=f"Usage: {command.usage}")
    return None


def _new(session: Session, _: str) -> Steps[None]:
    thread = yield from session.wait(session.new_thread())
    session.screen.say(f"A new thread: {thread.id[:ID_SHOWN]}")


def _threads(session: Session, rest: str) -> Steps[None]:
    archived = rest == "--archived"
    term = None if archived or not rest else rest
    page = yield from session.wait(session.codex.thread_list(archived=archived, search_term=term))
    if not page.threads:
        session.screen.say("There are no threads here yet. Ask something: %%codex")
        return
    current = yield from session.wait(session.current_id())
    rows = [
        ("→" if each.id == current else "", each.id[:ID_SHOWN], _title(each), ago(each.updated_at))
        for each in page.threads
    ]
    older = " There are older ones: %codex threads WORD searches." if page.next_cursor else ""
    note = f"%codex resume ID goes on with one.{older}"
    session.screen.table(("", "thread", "about", "last used"), rows, note=note)


def _title(thread: ThreadRecord) -> str:
    about = thread.name or thread.preview or "(empty)"
    return f"{about} (a fork of {thread.forked_from[:ID_SHOWN]})" if thread.forked_from else about


def _resume(session: Session, rest: str) -> Steps[None]:
    thread = yield from session.wait(session.resume(rest))
    turns = yield from session.wait(thread.history())
    session.screen.say(f"This notebook is now on {thread.id[:ID_SHOWN]}, {count(len(turns), 'turn')} so far.")


def _fork(session: Session, rest: str) -> Steps[None]:
    thread = yield from session.wait(session.fork(rest or None))
    turns = yield from session.wait(thread.history())
    past = f"with {count(len(turns), 'turn')} of the past"
    session.screen.say(f"A fork, {thread.id[:ID_SHOWN]}, {past}. The other thread stays as it is.")


def _name(session: Session, rest: str) -> Steps[None]:
    thread = yield from session.wait(session.thread())
    yield from session.wait(thread.set_name(rest))
    session.screen.say(f"This thread is now called {rest}.")


def _archive(session: Session, rest: str) -> Steps[None]:
    thread_id = yield from session.wait(session.resolve(rest))
    yield from session.wait(session.codex.thread_archive(thread_id))
    short = thread_id[:ID_SHOWN]
    session.screen.say(f"Archived {short}. %codex unarchive {short} brings it back.")


def _unarchive(session: Session, rest: str) -> Steps[None]:
    thread_id = yield from session.wait(session.resolve(rest))
    yield from session.wait(session.codex.thread_unarchive(thread_id))
    session.screen.say(f"{thread_id[:ID_SHOWN]} is back in the list.")


def _history(session: Session, _: str) -> Steps[None]:
    thread = yield from session.wait(session.thread())
    turns = yield from session.wait(thread.history())
    if not turns:
        session.screen.say("This thread is empty.")
        return
    rows = [(n, *_question_and_answer(turn), turn.status.value) for n, turn in enumerate(turns, 1)]
    heads = ("turn", "question", "answer", "status")
    session.screen.table(heads, rows, note="%codex show N shows one again.")


def _question_and_answer(turn: TurnRecord) -> tuple[str, str]:
    """Return both, each on one short line."""
    items = [entry.item for entry in turn.items]
    question = next((input_text(item.content) for item in items if isinstance(item, UserMessage)), "")
    answer = next((item.text for item in reversed(items) if isinstance(item, AgentMessage)), "")
    return one_line(question, 60), one_line(re.sub("[*#>`|]", "", answer), 60)


def _show(session: Session, rest: str) -> Steps[None]:
    from ..display.view import TurnView

    thread = yield from session.wait(session.thread())
    turns = yield from session.wait(thread.history())
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
    painter = session.screen.painter(view)
    if view.state == "streaming":
        painter.open()
    else:
        painter.finish()


def _continue(session: Session, rest: str) -> Steps[Question]:
    cell_options = options.parse_line(rest, usage="%codex continue")
    if cell_options.rest:
        raise OptionError("%codex continue takes options only.", hint=f"To ask it: %codex -- continue {rest}")
    yield from ()  # there is nothing to wait for
    return CONTINUE, cell_options


def _steer(session: Session, rest: str) -> Steps[None]:
    if not session.running:
        session.screen.say(f"Nothing is running. To ask it: %codex -- steer {rest}")
        return
    yield from session.running[-1].steer(rest)
    session.screen.say("Said.")


def _stop(session: Session, _: str) -> Steps[None]:
    running = list(session.running)
    for turn in running:
        turn.stop()
    for turn in running:
        yield from finished(turn.over)
    session.screen.say(f"Stopped {count(len(running), 'turn')}." if running else "Nothing is running.")


def _status(session: Session, _: str) -> Steps[None]:
    provider, settings = session.provider(), session.settings
    problem: CodexError | None = session.unkept
    current = None
    try:
        current = yield from session.wait(session.current_id())
    except StoreError as error:
        problem = error
    rows: list[tuple[str, object]] = [
        ("provider", f"{provider.name} ({provider.base_url})"),
        *account_rows(session, provider),
        ("model", _model_in_use(session)),
        ("effort", settings.effort or "the model's default"),
        ("engine", _with_meaning(settings.engine, ENGINES)),
    ]
    if settings.engine == "app-server":
        rows += [
            ("sandbox", _with_meaning(settings.sandbox, SANDBOXES)),
            ("approval", _with_meaning(settings.approval, APPROVALS)),
            ("folder", settings.cwd or os.getcwd()),
        ]
    rows += [
        ("thread", current[:ID_SHOWN] if current else "none yet"),
        ("threads kept in", problem or session.env.home / "threads.db"),
    ]
    for turn in session.running:
        rows.append(("running", f"{one_line(turn.prompt, 60)}, for {count(turn.seconds, 'second')}"))
    if session.rate_limits and (windows := login_view.windows(session.rate_limits)):
        rows.append(("limits", "; ".join(map(login_view.sentence, windows))))
    session.screen.table(("", ""), rows)


def _model_in_use(session: Session) -> str:
    models = session.catalog.remembered(max_age=math.inf)
    with suppress(ConfigurationError):  # none of them is the default
        return session.settings.model or default_model(models or []).slug
    return "provider default (looked up with your first question)"


def _models(session: Session, _: str) -> Steps[None]:
    models = yield from session.wait(session.codex.models(provider=session.provider()))
    rows = []
    for model in models:
        context = f"{model.context_window:,}" if model.context_window else ""
        about = model.description or model.display_name or ""
        rows.append((model.slug, about, context, ", ".join(model.efforts)))
    note = "%codex model NAME takes one for this notebook."
    session.screen.table(("model", "", "context", "effort"), rows, note=note)


def _provider(session: Session, rest: str) -> None:
    provider = session.provider(rest or None)
    if rest:
        session.settings.provider = rest
    session.screen.say(f"Provider: {provider.name} ({provider.base_url})")


def _model(session: Session, rest: str) -> Steps[None]:
    if rest:
        provider = session.provider()
        models = yield from session.wait(session.codex.models(provider=provider, include_hidden=True))
        slugs = [model.slug for model in models]
        if slugs and rest not in slugs:
            raise ModelNotFoundError(rest, near=difflib.get_close_matches(rest, slugs, n=2, cutoff=0.4))
        session.settings.model = rest
    session.screen.say(f"Model: {_model_in_use(session)}")


def _effort(session: Session, rest: str) -> None:
    if rest:
        if rest not in EFFORTS:
            raise no_such("effort", rest, EFFORTS)
        session.settings.effort = rest
    session.screen.say(f"Effort: {session.settings.effort or 'the default of the model'}")


def _setting(name: str, read: Callable[[str], str], meanings: Mapping[str, str]) -> Run:
    """Return the command that shows or sets a word which bounds the agent."""

    def show_or_set(session: Session, rest: str) -> None:
        word = options.word_for(read(rest or getattr(session.settings, name)))
        setattr(session.settings, name, word)
        session.screen.say(f"{name.capitalize()}: {_with_meaning(word, meanings)}")

    return show_or_set


def _cwd(session: Session, rest: str) -> None:
    if rest:
        session.settings.cwd = options.folder(rest)
    session.screen.say(f"Folder: {options.folder(session.settings.cwd)}")


def _with_meaning(word: str, meanings: Mapping[str, str]) -> str:
    return f"{word} ({meanings[word]})" if word in meanings else word


def _debug(session: Session, _: str) -> None:
    if (error := session.last_error) is None:
        raise ConfigurationError("Nothing has failed yet.")
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    session.screen.code(scrub("".join(lines)))


def _help(session: Session, rest: str) -> None:
    if rest:
        if (command := COMMANDS.get(rest)) is None:
            near = nearest(rest, COMMANDS)
            raise OptionError(f"There is no command {rest!r}.{near}", hint="%codex help lists them.")
        session.screen.say(f"{command.usage} — {command.help}")
        return
    rows = [(command.usage, command.help) for command in COMMANDS.values()]
    rows.append(("%%codex [OPTIONS]", "ask what the cell says, braces and all"))
    rows.append(("%codex TEXT", "ask in one line"))
    meanings = "; ".join(f"--{option.name}: {option.help}" for option in CELL_OPTIONS)
    session.screen.table(("write", "to"), rows, note=f"{options.usage_line()} — {meanings}")


_engine = _setting("engine", options.engine, ENGINES)
_sandbox = _setting("sandbox", options.sandbox, SANDBOXES)
_approval = _setting("approval", options.approval, APPROVALS)

_TABLE = (
    Command("new", "", "start a new thread", _new),
    Command("threads", "[WORD | --archived]", "list or search threads", _threads),
    Command("resume", "ID", "go on with a thread (id, its beginning, or name)", _resume),
    Command("fork", "[ID]", "go on from here in a copy of the thread", _fork),
    Command("name", "TEXT", "name this thread", _name),
    Command("archive", "ID", "take a thread out of the list", _archive),
    Command("unarchive", "ID", "bring it back", _unarchive),
    Command("history", "", "list the turns of this thread", _history),
    Command("show", "[N]", "show a turn again, the last one by default", _show),
    Command("continue", "[OPTIONS]", "go on with an interrupted answer", _continue),
    Command("login", LOGIN_ARGUMENTS, "sign in, or change the account", log_in),
    Command("logout", "", "sign out, here and at the service", log_out),
    Command("account", "", "who is signed in, and where that is kept", show_account),
    Command("usage", "", "what is left of the plan, asked of the service", show_usage),
    Command("status", "", "who is signed in, which model, which thread, what runs, what is left", _status),
    Command("models", "", "list the models", _models),
    Command("provider", "[NAME]", "show or set: chatgpt, openai, local or a base URL", _provider),
    Command("model", "[NAME]", "show or set the model", _model),
    Command("effort", "[LEVEL]", "show or set how long the model thinks", _effort),
    Command("engine", "[NAME]", "show or set: backend or app-server", _engine),
    Command("sandbox", "[LEVEL]", f"show or set {options.help_of('sandbox')}", _sandbox),
    Command("approval", "[MODE]", f"show or set {options.help_of('approval')}", _approval),
    Command("cwd", "[FOLDER]", "show or set where the agent works", _cwd),
    Command("steer", "TEXT", "say more to the turn that runs", _steer),
    Command("stop", "", "stop what runs, and keep what was said", _stop),
    Command("debug", "", "show where the last error came from", _debug),
    Command("help", "[COMMAND]", "show this", _help),
)

COMMANDS = {command.name: command for command in _TABLE}


def complete(session: Session, line: str, symbol: str) -> list[str]:
    """Return the words that may stand where `symbol` is being typed, the last word of `line`."""
    try:
        return [word for word in _candidates(session, line, symbol) if word.startswith(symbol)]
    except CodexError:
        return []  # a store or a catalog that can't be read completes nothing; the command will say why


def _candidates(session: Session, line: str, symbol: str) -> Iterable[str]:
    words = line[: len(line) - len(symbol)].split()
    last = words[-1] if words else ""
    if last == "--cwd" or words == ["%codex", "cwd"]:
        return _folders(symbol)
    option = next((o for o in CELL_OPTIONS if last in (f"--{o.name}", f"-{o.short}")), None)
    if option is not None and option.value is not None:
        return option.choices or _SOURCES.get(option.name, _nothing)(session)
    if symbol.startswith("-"):
        return [f"--{option.name}" for option in CELL_OPTIONS]
    if last == "%codex":
        return COMMANDS
    is_argument = words[:1] == ["%codex"] and len(words) == 2
    return _SOURCES.get(last, _nothing)(session) if is_argument else ()


def _nothing(session: Session) -> Iterable[str]:
    return ()


def _folders(symbol: str) -> list[str]:
    """Return the folders whose path continues what is typed."""
    beginning, slash, _ = symbol.rpartition("/")
    try:
        entries = Path(beginning + slash or ".").expanduser().iterdir()
        return [f"{beginning}{slash}{entry.name}/" for entry in sorted(entries) if entry.is_dir()]
    except OSError:
        return []


def _recent_threads(session: Session) -> list[str]:
    page = session.blocking.thread_list(limit=50)
    return [name for t in page.threads for name in (t.id[:ID_SHOWN], t.name) if name and " " not in name]


def _archived(session: Session) -> list[str]:
    return [t.id[:ID_SHOWN] for t in session.blocking.thread_list(limit=50, archived=True).threads]


_SOURCES: dict[str, Callable[[Session], Iterable[str]]] = {
    "model": lambda session: session.catalog.names(),
    **dict.fromkeys(("thread", "resume", "fork", "archive"), _recent_threads),
    "unarchive": _archived,
    "provider": lambda session: ("chatgpt", "openai", "local"),
    "engine": lambda session: ENGINES,
    "sandbox": lambda session: SANDBOXES,
    "approval": lambda session: APPROVALS,
    "effort": lambda session: EFFORTS,
    "login": lambda session: [way.value for way in Way],
    "help": lambda session: COMMANDS,
}
