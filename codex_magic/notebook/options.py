"""The first line of `%%codex`: options, then prompt text. Pure.

Only leading options are read; from the first other word on, everything is prompt and stays as it
was typed, so apostrophes, braces and backslashes need no quoting.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..protocol.errors import OptionError


@dataclass(frozen=True)
class Option:
    """`value`: what stands for its value in the usage line, `None` for a switch."""

    name: str
    value: str | None
    help: str
    short: str | None = None
    choices: tuple[str, ...] = ()


EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra")

CELL_OPTIONS: tuple[Option, ...] = (
    Option("model", "MODEL", "the model for this turn", short="m"),
    Option("effort", "EFFORT", "how long the model thinks", short="e", choices=EFFORTS),
    Option("agent", None, "let the agent do this turn: it runs commands and edits files"),
    Option("sandbox", "LEVEL", "what the agent reaches: read-only, workspace-write or full-access"),
    Option("approval", "MODE", "who says yes to the agent: ask, untrusted, deny or auto"),
    Option("cwd", "FOLDER", "where the agent works"),
    Option("background", None, "give the kernel back at once; the answer goes on here", short="b"),
    Option("new", None, "start a new thread"),
    Option("thread", "ID", "ask in that thread (id, its beginning, or name)", short="t"),
    Option("provider", "PROVIDER", "chatgpt, openai, local or a base URL, for this turn", short="p"),
    Option("instructions", "TEXT", "what the model is told about where it is", short="i"),
    Option("verbosity", "LEVEL", "how long the answer is", choices=("low", "medium", "high")),
    Option("tier", "TIER", "the service tier, e.g. priority or flex"),
    Option("name", "NAME", "name the thread"),
    Option("output", "NAME", "bind the TurnResult to this Python name", short="o"),
    Option("wait-login", None, "if a sign-in is needed, wait for it and go on; so in notebooks anyway"),
    Option("no-wait-login", None, "fail at once if a sign-in is needed"),
)

_WORD = re.compile(r"\s*(--?[A-Za-z][\w-]*)(?:=|(?=\s|$))")
_VALUE = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\S+))""")


@dataclass(frozen=True)
class ParsedLine:
    """`values` by option name (a switch is `True`); `rest`: the line's text after the options."""

    values: dict[str, str | bool]
    rest: str

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        return value if isinstance(value, str) else None


def parse_line(line: str, options: Sequence[Option] = CELL_OPTIONS, *, usage: str = "%%codex") -> ParsedLine:
    """Read the leading options. A lone `--` ends them. Raises OptionError with the usage line."""
    values: dict[str, str | bool] = {}
    position = 0
    while True:
        ended = re.compile(r"\s*--(?=\s|$)").match(line, position)
        if ended:
            position = ended.end()
            break
        word = _WORD.match(line, position)
        if word is None:
            break
        option = _find(word[1], options, usage)
        position = word.end()
        if option.value is None:
            values[option.name] = True
            continue
        value = _VALUE.match(line, position)
        if value is None:
            raise OptionError(f"{word[1]} needs a value.", hint=usage_line(options, usage))
        values[option.name] = _checked(option, _unquoted(value))
        position = value.end()
    return ParsedLine(values, line[position:].strip())


def usage_line(options: Sequence[Option] = CELL_OPTIONS, usage: str = "%%codex") -> str:
    """One line: every option with its short form and its value."""
    return f"Usage: {usage} " + " ".join(f"[{_shown(option)}]" for option in options)


def nearest(word: str, known: Sequence[str]) -> str:
    """` Did you mean X?` for the closest known word, else nothing."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean {found[0]}?" if found else ""


def _shown(option: Option) -> str:
    name = f"-{option.short}|--{option.name}" if option.short else f"--{option.name}"
    return f"{name} {option.value}" if option.value else name


def _find(word: str, options: Sequence[Option], usage: str) -> Option:
    for option in options:
        if word == f"--{option.name}" or (option.short and word == f"-{option.short}"):
            return option
    known = [f"--{option.name}" for option in options]
    near = nearest(word if word.startswith("--") else f"-{word}", known)
    raise OptionError(f"There is no option {word}.{near}", hint=usage_line(options, usage))


def _unquoted(match: re.Match[str]) -> str:
    quoted = match[1] if match[1] is not None else match[2]
    return re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match[3]


def _checked(option: Option, value: str) -> str:
    if option.choices and value not in option.choices:
        raise OptionError(
            f"--{option.name} can't be {value!r}.{nearest(value, option.choices)}",
            hint=f"It is one of {', '.join(option.choices)}.",
        )
    if option.name == "output" and not value.isidentifier():
        raise OptionError(f"-o needs a Python name, not {value!r}.", hint="For example: %%codex -o answer")
    return value
