"""The first line of `%%codex`: leading options, then prompt as it was typed; and the words that bound the agent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..protocol.errors import OptionError
from ..protocol.plain import did_you_mean
from ..protocol.policy import policy_bounds
from ..protocol.types import ApprovalMode, Sandbox
from ..threads.options import EngineName, working_folder


@dataclass(frozen=True)
class Option:
    """`value`: what stands for its value in the usage line, `None` for a switch."""

    name: str
    value: str | None
    help: str
    short: str | None = None
    choices: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What is typed for it, the short form first."""
        return (*([f"-{self.short}"] if self.short else []), f"--{self.name}")

    @property
    def usage(self) -> str:
        return f"{', '.join(self.words)} {self.value or ''}".rstrip()


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")

CONTEXTS = ("none", "above", "outputs", "all")

CELL_OPTIONS: tuple[Option, ...] = (
    Option("model", "NAME", "use this model", short="m"),
    Option("effort", "LEVEL", "how long the model thinks", short="e", choices=EFFORTS),
    Option("agent", None, "let the agent answer: it may run commands and edit files, after asking"),
    Option("sandbox", "LEVEL", "what the agent may access: read-only, workspace-write or full-access"),
    Option("approval", "MODE", "who approves the agent's actions: ask, untrusted, deny or auto"),
    Option("cwd", "FOLDER", "where the agent works"),
    Option("background", None, "free the kernel immediately; the answer continues here", short="b"),
    Option("new", None, "start a new thread"),
    Option("thread", "THREAD", "ask in that thread: its ID, the beginning of it, or its name", short="t"),
    Option("provider", "PROVIDER", "chatgpt, openai, local or a base URL, for this turn", short="p"),
    Option("instructions", "TEXT", "what the model is told about its task", short="i"),
    Option("verbosity", "LEVEL", "how long the answer is", choices=("low", "medium", "high")),
    Option("tier", "TIER", "the service tier, e.g. priority or flex"),
    Option(
        "context", "WHAT", "what of the notebook goes along: none, above, outputs or all", choices=CONTEXTS
    ),
    Option("rows", "N", "rows of a mentioned table that go along; 0: how it is built alone"),
    Option("dry", None, "show what would be sent, and send nothing"),
    Option("again", None, "ask anew, whatever is stored"),
    Option("replay", None, "ask nothing: show the stored answer to the same question"),
    Option("rerun", None, "with `%codex fix`: run the corrected code in this cell, after your yes"),
    Option("trial", None, "try code in a copy of the kernel before you are asked; nothing of that lasts"),
    Option("no-mask", None, "send what looks like a secret as it is"),
    Option("name", "NAME", "name the thread"),
    Option("output", "NAME", "save the result in this variable", short="o"),
    Option("schema", "TYPE", "with -o: a value of a type, an expression of one, or a JSON schema's file"),
    Option("df", None, "with -o: a DataFrame of pandas, polars or pyarrow, whichever you use"),
    Option("code", None, "put the last code block of the answer into the next cell"),
    Option("run", None, "run the last code block of the answer in this cell, after your yes"),
    Option("wait-login", None, "wait for sign-in if needed (the default in notebooks)"),
    Option("no-wait-login", None, "fail at once if sign-in is needed"),
)

SAVING = {"output", "schema", "df", "code", "run"}
"""Those that do something with the answer."""

OPTIONS = {option.name: option for option in CELL_OPTIONS}
OPTION_WORDS = [f"--{name}" for name in OPTIONS]
BY_WORD = {word: option for option in CELL_OPTIONS for word in option.words}

ALL_OPTIONS = "All options: `%codex help`"

_WORD = re.compile(r"\s*(--?[A-Za-z][\w-]*)(?:=|(?=\s|$))")
_VALUE = re.compile(r"""\s*(?:"((?:\\"|[^"])*)"(?=\s|$)|'((?:\\'|[^'])*)'(?=\s|$)|(\S+))""")
_END = re.compile(r"\s*--(?=\s|$)")


@dataclass(frozen=True)
class ParsedLine:
    """`values` by option name (a switch is `True`); `rest`: the line's text after the options."""

    values: dict[str, str | bool]
    rest: str

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None


def parse_line(line: str) -> ParsedLine:
    """Read the leading options. A lone `--` ends them. Raises OptionError."""
    values: dict[str, str | bool] = {}
    position = 0
    while True:
        if end := _END.match(line, position):
            position = end.end()
            break
        if (word := _WORD.match(line, position)) is None:
            break
        position = word.end()
        if (option := BY_WORD.get(word[1])) is None:
            near = did_you_mean(word[1] if word[1][1] == "-" else f"-{word[1]}", OPTION_WORDS, quote="`")
            raise OptionError(f"Unknown option `{word[1]}`.", hint=f"{near} {ALL_OPTIONS}".strip())
        if option.value is None:
            values[option.name] = True
            continue
        if (value := _VALUE.match(line, position)) is None:
            raise OptionError(f"{word[1]} needs a value.", hint=f"{word[1]} {option.value}. {ALL_OPTIONS}")
        quoted = value[1] if value[1] is not None else value[2]
        text = value[3] if quoted is None else re.sub(r"""\\(["'])""", r"\1", quoted)
        values[option.name] = checked(option.name, text)
        position = value.end()
    return ParsedLine(values, line[position:].strip())


def no_such(kind: str, word: str, words: Iterable[str]) -> OptionError:
    """Return the error that names the closest of the words there are, else all of them."""
    hint = did_you_mean(word, words).strip() or f"Choose one of: {', '.join(words)}."
    return OptionError(f"Unknown {kind} {word!r}.", hint=hint)


def checked(name: str, value: str) -> str:
    """Return the value of that option. Raises OptionError."""
    choices = OPTIONS[name].choices
    if choices and value not in choices:
        raise no_such(name, value, choices)
    if name == "rows" and not value.isdecimal():
        raise OptionError(f"--rows needs a number, not {value!r}.", hint="For example: `%%codex --rows 0`")
    if name in ("model", "context"):
        policy_bounds().check(name, value)
    if name == "output" and not value.isidentifier():
        problem = f"-o needs a Python variable name, not {value!r}."
        raise OptionError(problem, hint="For example: `%%codex -o answer`")
    return value


ENGINES = {
    "backend": "answers only; no access to your files",
    "app-server": "the Codex program as an agent that runs commands and edits files",
}

SANDBOXES = {
    "read-only": "may read files; asks before writing or using the network",
    "workspace-write": "may also write below its folder and in temporary folders; asks before using the network",
    "full-access": "no sandbox: its commands may do whatever you may",
}

APPROVALS = {
    "ask": "you are asked before anything goes beyond the sandbox",
    "untrusted": "you are asked before every command that is not known to be harmless",
    "deny": "never leaves the sandbox; you are not asked",
    "auto": "a reviewing model of the service decides in your place",
}

READS = {
    "ask": "you are asked when it first wants to",
    "yes": "it may read variables, cells, outputs and files without asking",
    "no": "it reads nothing but what you send",
}

RUNS = {
    "ask": "you are asked before code stays, writes files, starts a process or uses the network",
    "probes": "it only looks: what it binds is dropped, and you are asked before it writes or changes anything",
    "no": "it runs nothing in your kernel",
}

ANSWERS = {
    "auto": "a cell that runs by itself is asked anew; one of many that run together keeps its answer while its "
    "question is the same, and so does an unattended run without a sign-in",
    "keep": "a cell keeps its answer while its question is the same; `--again` asks anew",
    "new": "every cell is asked anew",
    "replay": "nothing is asked: the same question has its stored answer",
}

_ENGINES: dict[str, EngineName] = {"backend": "backend", "app-server": "app-server", "agent": "app-server"}

_MODES = {
    "ask": ApprovalMode.ask,
    "untrusted": ApprovalMode.untrusted,
    "deny": ApprovalMode.deny_all,
    "auto": ApprovalMode.auto_review,
}


def engine(word: str) -> EngineName:
    """Raises OptionError, as do the next five."""
    if word not in _ENGINES:
        raise no_such("engine", word, ENGINES)
    policy_bounds().check("engine", _ENGINES[word])
    return _ENGINES[word]


def sandbox(word: str) -> Sandbox:
    try:
        chosen = Sandbox(word)
    except ValueError:
        raise no_such("sandbox", word, SANDBOXES) from None
    policy_bounds().check("sandbox", chosen)
    return chosen


def approval(word: str) -> ApprovalMode:
    try:
        mode = _MODES.get(word) or ApprovalMode(word)
    except ValueError:
        raise no_such("approval", word, APPROVALS) from None
    policy_bounds().check("approval", mode)
    return mode


def _one_of(words: Iterable[str], word: str, *, name: str) -> str:
    if word not in words:
        raise no_such(f"setting of {name}", word, words)
    if name != "answers":  # which nobody bounds
        policy_bounds().check(name, word)
    return word


reads = partial(_one_of, READS, name="reads")
runs = partial(_one_of, RUNS, name="runs")
answers = partial(_one_of, ANSWERS, name="answers")


def folder(path: str) -> str:
    """Return the full path of a folder that exists; `~` is the home folder, an empty path the current one.

    Raises ConfigurationError where that one is gone.
    """
    full = os.path.normpath(os.path.join(working_folder(), Path(path).expanduser()))
    if not os.path.isdir(full):
        raise OptionError(f"No such folder: '{path}'.", hint="The agent needs one that exists.")
    return full


def word_for(value: str) -> str:
    """Return the word that is shown for an engine, a sandbox or an approval mode."""
    if isinstance(value, Sandbox):
        return value.name.replace("_", "-")
    return next((word for word, mode in _MODES.items() if mode is value), value)
