"""The %codex commands, and what Tab completes after `%codex` and `%%codex`, without asking the network."""

from __future__ import annotations

import difflib
import re
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..net import scrub
from ..protocol.errors import CodexError, OptionError, StoreError
from ..protocol.plain import did_you_mean, shorten
from ..protocol.policy import policy_bounds
from ..protocol.types import TurnStatus
from ..responses.catalog import Catalog
from ..threads.options import CONTINUE, working_folder
from ..threads.store import Store
from ..waiting import Steps
from . import assist, login, options, turns
from .account import LOGIN_ARGUMENTS, account_rows, log_in, log_out, show_account, show_usage, takes_login
from .approvals import approvals, approve, decline
from .export import export, view
from .login import Way
from .options import APPROVALS, ENGINES, OPTIONS, SANDBOXES
from .peek import show_sent
from .provenance import show_provenance, show_trace
from .screen import ID_SHOWN, ago, count
from .session import Session, Task
from .shell import cell_id
from .tools.listing import names as tool_names
from .tools.listing import show_or_turn
from .tools.permission import show_or_set

Answer = Steps[Task | None] | Steps[Task] | Steps[None] | None
"""`None`: at once; else the steps of an answer that has to wait for something."""


class Command(NamedTuple):
    name: str
    arguments: str
    help: str
    run: Callable[[Session, str], Answer]

    @property
    def usage(self) -> str:
        return f"%codex {self.name} {self.arguments}".rstrip()

    def takes(self, rest: str) -> bool:
        """Whether the words after the name belong to the command."""
        if not rest:
            return not self.arguments or self.arguments[0] + self.arguments[-1] == "[]"
        return bool(self.arguments) and _ARGUMENTS.get(self.arguments, _is_one_word)(rest)


def _is_one_word(rest: str) -> bool:
    return _unquoted(rest) != rest or (len(rest.split()) == 1 and not rest.startswith("-"))


def _unquoted(rest: str) -> str:
    is_quoted = len(rest) > 2 and rest[0] in "'\"" and rest.find(rest[0], 1) == len(rest) - 1
    return rest[1:-1] if is_quoted else rest


_ARGUMENTS: dict[str, Callable[[str], bool]] = {
    **dict.fromkeys(("TEXT", "[N] TEXT", "THREAD", "[THREAD]", "[FOLDER]"), lambda rest: rest[0] != "-"),
    **dict.fromkeys(("N", "[N]"), str.isdecimal),
    "N [WHY]": lambda rest: rest.split()[0].isdecimal(),
    "[revoke N | all]": lambda rest: re.fullmatch(r"revoke (\d+|all)", rest) is not None,
    "[on NAME | off NAME]": lambda rest: re.fullmatch(r"(on|off) \S+", rest) is not None,
    "[OPTIONS]": lambda rest: rest.startswith("-"),
    "[--offline] [--report]": lambda rest: set(rest.split()) <= {"--offline", "--report"},
    "[WORD | --archived]": lambda rest: rest == "--archived" or _is_one_word(rest),
    LOGIN_ARGUMENTS: takes_login,
}
"""What the words must be like; all other arguments are one word."""

_FIRST_WORDS = frozenset({"show", "new", "help", "continue", "login", "approve", "decline", "tools"})
"""Commands with which a sentence may begin too: before three more words or more it does."""


def find_command(line: str) -> Callable[[Session], Answer] | None:
    """Return the command that a %codex line names, or None for a question, as of `show me the data`.

    Raises OptionError for what looks like a command and is none: an answer costs.
    """
    name, *words = line.split() or ["help"]
    rest = line.strip().removeprefix(name).strip()
    as_question = f"To send it as a question: `%codex -- {line.strip()}`"
    if (command := COMMANDS.get(name)) is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.8 if words else 0.6)
        if near and len(words) < 2:
            meant = " ".join(["%codex", near[0], *words])
            raise OptionError(f"No command `{name}`.", hint=f"Did you mean `{meant}`? {as_question}")
        return None
    if command.takes(rest):
        return lambda session: command.run(session, _unquoted(rest))
    if words and (name in assist.ABOUT or name == "code"):
        return None
    if name in _FIRST_WORDS and len(words) > 2 and not (rest[0] == "-" or rest[0].isdecimal()):
        return None
    choices = command.arguments.strip("[]").split(" | ")
    near = difflib.get_close_matches(words[0], choices, n=1) if rest[:1] not in ("", "-") else []
    hint = f"Did you mean `%codex {name} {near[0]}`?" if near else f"Usage: `{command.usage}`."
    problem = f"doesn't take `{rest}`" if words else "needs more"
    raise OptionError(f"`%codex {name}` {problem}.", hint=f"{hint} {as_question}")


def _new(session: Session, _: str) -> Steps[None]:
    thread = yield from session.wait(session.new_thread())
    session.screen.say(f"Started a new thread, {thread.id[:ID_SHOWN]}.")


def _threads(session: Session, rest: str) -> Steps[None]:
    archived = rest == "--archived"
    term = None if archived or not rest else rest
    page = yield from session.wait(session.codex.thread_list(archived=archived, search_term=term))
    if not page.threads:
        nothing = f"No thread is about {term}." if term else "No threads yet. Ask something: `%%codex`"
        session.screen.say(nothing)
        return
    current = yield from session.wait(session.current_id())

    def rows(store: Store) -> Iterator[tuple[object, ...]]:
        paths, turns = store.notebook_paths(page.threads), store.turn_counts(page.threads)
        for each in page.threads:
            mark = "→" if each.id == current else ""
            about = each.name or each.preview or "(empty)"
            if each.forked_from:
                about = f"{about} (a fork of {each.forked_from[:ID_SHOWN]})"
            notebook = Path(paths.get(each.id, "")).name
            yield mark, each.id[:ID_SHOWN], about, turns[each.id], notebook, ago(each.updated_at)

    older = " · Find an older one: `%codex threads WORD`" if page.next_cursor else ""
    note = f"Continue one: `%codex resume {page.threads[0].id[:ID_SHOWN]}`{older}"
    heads = ("", "Thread", "About", "Turns", "Notebook", "Last used")
    shown = yield from session.wait(session.codex.store.run(lambda store: list(rows(store))))
    session.screen.table(heads, shown, note=note)


def _resume(session: Session, rest: str) -> Steps[None]:
    thread = yield from session.wait(session.resume(rest))
    turns = yield from session.wait(thread.history(include_items=False))
    session.screen.say(f"Switched to thread {thread.id[:ID_SHOWN]} ({count(len(turns), 'turn')} so far).")


def _fork(session: Session, rest: str) -> Steps[None]:
    thread = yield from session.wait(session.fork(rest or None))
    turns = yield from session.wait(thread.history(include_items=False))
    forked = f"Forked into {thread.id[:ID_SHOWN]} ({count(len(turns), 'turn')} so far)."
    session.screen.say(f"{forked} The original thread is unchanged.")


def _name(session: Session, rest: str) -> Steps[None]:
    thread = yield from session.wait(session.thread())
    yield from session.wait(thread.set_name(rest))
    session.screen.say(f"This thread is now called {rest}.")


def _archive(session: Session, rest: str) -> Steps[None]:
    thread_id = yield from session.wait(session.resolve(rest))
    yield from session.wait(session.codex.thread_archive(thread_id))
    short = thread_id[:ID_SHOWN]
    session.screen.say(f"Archived {short}. Bring it back: `%codex unarchive {short}`")


def _unarchive(session: Session, rest: str) -> Steps[None]:
    thread_id = yield from session.wait(session.resolve(rest))
    yield from session.wait(session.codex.thread_unarchive(thread_id))
    session.screen.say(f"{thread_id[:ID_SHOWN]} is back in the list.")


def _history(session: Session, _: str) -> Steps[None]:
    kernel = session.look()
    thread = yield from session.wait(session.thread())
    deleted = yield from session.wait(session.deleted_turns(thread, kernel))
    rows = []
    for n, turn in enumerate((yield from session.wait(thread.history())), 1):
        question, answer = next(iter(turn.asked), ""), next(reversed(turn.told), "")
        words = "↳ continued" if question == CONTINUE else shorten(question, 60)
        state = _STATES.get(turn.status, turn.status.value)
        state += ", cell deleted" if turn.id in deleted else ""
        rows.append((n, words, shorten(re.sub("[*#>`|]", "", answer), 60), state))
    if not rows:
        session.screen.say("This thread is empty.")
        return
    note = f"Show a turn again: `%codex show {len(rows)}`"
    session.screen.table(("#", "You asked", "Answer", "State"), rows, note=note)


_STATES = {TurnStatus.completed: "done", TurnStatus.in_progress: "running"}


def _show(session: Session, rest: str) -> Steps[None]:
    thread = yield from session.wait(session.thread())
    turns = yield from session.wait(thread.history())
    number = int(rest) if rest else len(turns)
    if not 1 <= number <= len(turns):
        session.screen.say(f"This thread has {count(len(turns), 'turn')}. List them: `%codex history`")
        return
    shown = view(turns[number - 1])
    painter = session.screen.painter(shown)
    if shown.state == "streaming":
        painter.open()
    else:
        painter.finish()


def _continue(session: Session, rest: str) -> Steps[Task]:
    cell_options = assist.only_options("continue", rest)
    yield from ()  # there is nothing to wait for
    if (said := session.extension.restarted(cell_id(session.shell))) is None:
        return Task(CONTINUE, cell_options)
    from .tools.lifecycle import after_restart  # few answers go on after one

    return Task(CONTINUE, cell_options, after_restart(session, said), is_beside=True)


def _status(session: Session, _: str) -> Steps[None]:
    settings, provider = session.settings, session.provider()
    problem: CodexError | None = session.unkept
    current = None
    try:
        current = yield from session.wait(session.current_id())
    except StoreError as error:
        problem = error
    rows: list[tuple[str, object]] = [
        ("Provider", f"{provider.name} ({provider.base_url})"),
        *account_rows(session, provider),
        ("Model", _model_words(session)),
        ("Effort", settings.effort or DEFAULT_EFFORT),
        ("Engine", _with_meaning(settings.engine)),
        *(("Policy", f"{path}: {policy.summary()}") for path, policy in policy_bounds().policies),
    ]
    if settings.engine == "app-server":
        for name in ("sandbox", "approval"):
            rows.append((name.capitalize(), _with_meaning(getattr(settings, name))))
        rows.append(("Folder", settings.cwd or working_folder()))
    rows += [
        ("Thread", current[:ID_SHOWN] if current else "none yet"),
        ("Threads kept in", problem or session.env.home / "threads.db"),
    ]
    spent = session.suggestions.budget.spent
    if settings.suggestions or spent:
        of = f" of {settings.suggestion_tokens:,}" if settings.suggestions else ""
        rows.append(("Suggestions", f"{'on, ' * settings.suggestions}{spent:,}{of} tokens today"))
    for turn in session.running:
        seconds = int(time.monotonic() - turn.began)
        rows.append(("Running", f"{shorten(turn.prompt, 60)}, for {count(seconds, 'second')}"))
    if session.rate_limits and (windows := login.windows(session.rate_limits)):
        rows.append(("Limits", "; ".join(map(login.sentence, windows))))
    session.screen.table(("", ""), rows)


def _model_words(session: Session) -> str:
    return session.model_in_use() or "provider default (looked up with your first question)"


def _models(session: Session, _: str) -> Steps[None]:
    rows = []
    for model in (yield from session.wait(session.codex.models(provider=session.provider()))):
        context = f"{model.context_window:,}" if model.context_window else ""
        about = model.description or model.display_name or ""
        rows.append((model.slug, about, context, ", ".join(model.efforts)))
    note = "Choose one: `%codex model NAME`"
    session.screen.table(("Model", "", "Context", "Effort"), rows, note=note)


def _model(session: Session, rest: str) -> Steps[None]:
    if rest:
        options.checked("model", rest)
        yield from session.wait(session.check_model(rest))
        session.settings.model = rest
    session.screen.say(f"Model: {_model_words(session)}")


def _set_or_show(session: Session, word: str, *, name: str, read: Callable[[str], str]) -> None:
    """Set a setting to what `read` makes of a word, and show it."""
    if word:
        setattr(session.settings, name, options.word_for(read(word)))
    shown = options.word_for(read(getattr(session.settings, name)))
    title = "Folder" if name == "cwd" else name.capitalize()
    session.screen.say(f"{title}: {_with_meaning(shown or DEFAULT_EFFORT)}")


_effort = partial(_set_or_show, name="effort", read=lambda word: word and options.checked("effort", word))
_cwd = partial(_set_or_show, name="cwd", read=options.folder)
_engine = partial(_set_or_show, name="engine", read=options.engine)
_sandbox = partial(_set_or_show, name="sandbox", read=options.sandbox)
_approval = partial(_set_or_show, name="approval", read=options.approval)


def _provider(session: Session, rest: str) -> None:
    provider = session.provider(rest)
    if rest:
        session.settings.provider = rest
    session.screen.say(f"Provider: {provider.name} ({provider.base_url})")


def _with_meaning(word: str) -> str:
    return f"{word} ({_MEANINGS[word]})" if word in _MEANINGS else word


def _runs(session: Session, rest: str) -> None:
    if rest:
        session.settings.runs = options.runs(rest)
    word = options.runs(session.settings.runs)
    session.screen.say(f"Runs: {word} ({options.RUNS[word]})")


def _answers(session: Session, rest: str) -> None:
    if rest:
        session.settings.answers = options.answers(rest)
    word = options.answers(session.answers)
    session.screen.say(f"Answers: {word} ({options.ANSWERS[word]})")


def _undo(session: Session, _: str) -> None:
    from .tools.running import undo

    undo(session)


def _doctor(session: Session, rest: str) -> Steps[None]:
    from .checkup import doctor

    yield from doctor(session, rest)


_MEANINGS = {**ENGINES, **SANDBOXES, **APPROVALS}

DEFAULT_EFFORT = "the model's default"


def _debug(session: Session, _: str) -> None:
    if (error := session.last_error) is None:
        session.screen.say("No error to show.")
    else:
        session.screen.code(scrub("".join(traceback.format_exception(error))))


_EXAMPLES = """\
%%codex
How do I get the mean price of each city with pandas?

%codex What is a generator?

%%codex --agent
Add a test for mean() and run it."""


def _help(session: Session, rest: str) -> None:
    screen = session.screen
    if rest:
        if (command := COMMANDS.get(rest)) is None:
            hint = f"{did_you_mean(rest, COMMANDS)} All commands: `%codex help`".strip()
            raise OptionError(f"No command `{rest}`.", hint=hint)
        screen.say(f"`{command.usage}` · {command.help}")
        return
    screen.say("Ask in a cell, or in a line:")
    screen.code(_EXAMPLES + "\n")
    rows: list[tuple[str, ...]] = []
    for group, commands in GROUPS.items():
        rows += [(group,), *((f"`{command.usage}`", command.help) for command in commands)]
    screen.table(("Command", "What it does"), rows, wraps=True)
    described = [(f"`{each.usage}`", each.help) for each in options.CELL_OPTIONS]
    note = "One command in detail: `%codex help threads`"
    screen.table(("Option", "What it does"), described, note=note, wraps=True)


GROUPS = {
    "Ask": (
        Command("continue", "[OPTIONS]", "continue an interrupted answer", _continue),
        Command("steer", "[N] TEXT", "add to the question of the running answer, or of turn N", turns.steer),
        Command("peek", "", "show what the last question was sent with", show_sent),
        Command("turns", "", "list what runs, waits for your approval, or has ended", turns.turns),
        Command("stop", "[N]", "stop turn N, or all that runs; what has arrived is kept", turns.stop),
        Command("model", "[NAME]", "show or set the model", _model),
        Command("models", "", "list the models", _models),
        Command("effort", "[LEVEL]", "show or set how long the model thinks", _effort),
        Command("undo", "", "put back what Codex changed last: names, values and files", _undo),
        Command("runs", "[WORD]", "show or set if the model may run code here: ask, probes or no", _runs),
        Command(
            "reads", "[WORD]", "show or set if the model may read the notebook: ask, yes or no", show_or_set
        ),
        Command(
            "tools",
            "[on NAME | off NAME]",
            "list the model's tools and their calls; turn one on or off",
            show_or_turn,
        ),
        Command(
            "answers", "[WORD]", "show or set if stored answers will do: auto, keep, new or replay", _answers
        ),
        Command(
            "doctor",
            "[--offline] [--report]",
            "check all that an answer needs, with one question that costs a few tokens",
            _doctor,
        ),
        Command(
            "provenance", "", "show where each answer comes from, and if its cell was edited", show_provenance
        ),
        Command("trace", "", "show where the time of the last turn went", show_trace),
        Command("debug", "", "show where the last error came from", _debug),
        Command("help", "[COMMAND]", "show this page, or one command", _help),
    ),
    "Code": (
        Command(
            "fix", "[OPTIONS]", "correct the cell that failed; the code goes into the next cell", assist.fix
        ),
        Command("explain", "[N]", "explain cell N, or the last one that ran", assist.explain),
        Command("review", "[OPTIONS]", "review the cells above", assist.review),
        Command("test", "NAME", "write tests for a function or class", assist.test),
        Command("doc", "NAME", "write its documentation", assist.doc),
        Command("optimize", "[N]", "make cell N faster, or the last one that ran", assist.optimize),
        Command("code", "[N]", "put the last answer's code, or its block N, into the next cell", assist.code),
        Command(
            "prompts",
            "[FOLDER]",
            "list the prompts of these commands, or copy them to change them",
            assist.prompts,
        ),
    ),
    "Threads": (
        Command("new", "", "start a new thread", _new),
        Command("threads", "[WORD | --archived]", "list or search threads", _threads),
        Command("resume", "THREAD", "continue a thread: its ID, the beginning of it, or its name", _resume),
        Command("fork", "[THREAD]", "continue in a copy of this thread, or of another", _fork),
        Command("name", "TEXT", "name this thread", _name),
        Command("history", "", "list the turns of this thread", _history),
        Command("export", "FILE", "write this thread to a new .md, .ipynb, .json or .html file", export),
        Command("show", "[N]", "show turn N again, or the last one", _show),
        Command("archive", "THREAD", "remove a thread from the list", _archive),
        Command("unarchive", "THREAD", "bring it back", _unarchive),
    ),
    "Account": (
        Command("login", LOGIN_ARGUMENTS, "sign in, or change the account", log_in),
        Command("logout", "", "sign out, here and at the service", log_out),
        Command("account", "", "show who is signed in, and where that is stored", show_account),
        Command("usage", "", "show remaining plan limits (live)", show_usage),
        Command("status", "", "show account, model, thread, limits and what is running", _status),
        Command("provider", "[NAME]", "show or set: chatgpt, openai, local or a base URL", _provider),
    ),
    "Agent": (
        Command("engine", "[NAME]", "show or set who answers: backend, or app-server (the agent)", _engine),
        Command("sandbox", "[LEVEL]", f"show or set {OPTIONS['sandbox'].help}", _sandbox),
        Command("approval", "[MODE]", f"show or set {OPTIONS['approval'].help}", _approval),
        Command("cwd", "[FOLDER]", "show or set where the agent works", _cwd),
        Command(
            "approvals",
            "[revoke N | all]",
            "show what waits for your approval, and what has it for longer",
            approvals,
        ),
        Command("approve", "N", "approve what waits as N, once", approve),
        Command("decline", "N [WHY]", "decline what waits as N; the agent is told why", decline),
    ),
}

COMMANDS = {command.name: command for group in GROUPS.values() for command in group}


def offers(session: Session, line: str, symbol: str) -> list[str] | None:
    """Return the words that may stand where `symbol` is being typed, the last word of `line`.

    `None` inside a question, where everything may be mentioned.
    """
    try:
        candidates = _candidates(session, line, symbol)
    except CodexError:
        return []  # a store or a catalog that can't be read completes nothing; the command will say why
    return None if candidates is None else [word for word in candidates if word.startswith(symbol)]


def _candidates(session: Session, line: str, symbol: str) -> Iterable[str] | None:
    first, *words = line[: len(line) - len(symbol)].split()
    last = words[-1] if words else ""
    if last == "--cwd" or (first, *words) in (("%codex", "cwd"), ("%codex", "prompts")):
        return _folders(symbol)
    if (option := options.BY_WORD.get(last)) is not None and option.value is not None:
        return option.choices or _offered(session, option.name)
    prompt = options.parse_line(" ".join(words)).rest.split()
    if symbol.startswith("-") and last != "doctor":
        return options.OPTION_WORDS if prompt in ([], ["continue"]) else None
    if not prompt:
        return COMMANDS if first == "%codex" and not words else None if symbol else options.OPTION_WORDS
    if first == "%codex" and words[:1] == ["tools"] and len(words) == 2 and last in ("on", "off"):
        return tool_names(session)
    is_argument = first == "%codex" and len(words) == 1 and last in COMMANDS
    if is_argument and symbol and last in assist.ABOUT and last not in _SOURCES:
        return None  # it may be a question
    return _offered(session, last) if is_argument else None


def _offered(session: Session, name: str) -> Iterable[str]:
    return _SOURCES[name](session) if name in _SOURCES else ()


def _folders(symbol: str) -> list[str]:
    """Return the folders whose path continues what is typed."""
    beginning, slash, _ = symbol.rpartition("/")
    try:
        entries = Path(beginning + slash or ".").expanduser().iterdir()
        return [f"{beginning}{slash}{entry.name}/" for entry in sorted(entries) if entry.is_dir()]
    except OSError:
        return []


def _threads_by_name(session: Session, *, archived: bool = False) -> list[str]:
    page = session.blocking.thread_list(limit=50, archived=archived)
    return [name for t in page.threads for name in (t.id[:ID_SHOWN], t.name) if name and " " not in name]


def _variables(session: Session) -> list[str]:
    hidden = session.shell.user_ns_hidden
    return sorted(name for name in session.shell.user_ns if name[0] != "_" and name not in hidden)


def _schemas(session: Session) -> list[str]:
    """Return the user's types, and the files that may hold a JSON schema."""
    namespace = session.shell.user_ns
    types = [name for name in _variables(session) if isinstance(namespace[name], type)]
    return [*types, *sorted(path.name for path in Path().glob("*.json"))]


_SOURCES: dict[str, Callable[[Session], Iterable[str]]] = {
    "model": lambda session: Catalog(session.provider(), session.env).names(),
    **dict.fromkeys(("thread", "resume", "fork", "archive"), _threads_by_name),
    **dict.fromkeys(("test", "doc"), assist.testable),
    "unarchive": partial(_threads_by_name, archived=True),
    "provider": lambda session: ("chatgpt", "openai", "local"),
    "engine": lambda session: ENGINES,
    "sandbox": lambda session: SANDBOXES,
    "approval": lambda session: APPROVALS,
    "effort": lambda session: options.EFFORTS,
    "reads": lambda session: options.READS,
    "runs": lambda session: options.RUNS,
    "tools": lambda session: ("on", "off"),
    "answers": lambda session: options.ANSWERS,
    "login": lambda session: [way.value for way in Way],
    "help": lambda session: COMMANDS,
    "stop": lambda session: [str(turn.number) for turn in session.running],
    "doctor": lambda session: ("--offline", "--report"),
    "output": _variables,
    "schema": _schemas,
}
