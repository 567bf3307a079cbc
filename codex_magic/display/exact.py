"""Text that a person must be able to trust: everything in it is seen, and no two texts look the same. Pure.

What hides, moves, or looks like something else is written as `[U+202E]`. A `[U+` of the text itself becomes
`[U+005B]U+`, so that `original` reads what is shown back.
"""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

MOST_MARKS = 4
"""Combining marks in a row that scripts are written with; more hide what is below."""

ESCAPED = re.compile(r"\[U\+([0-9A-F]+)\]")
_UNSEEN = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Zs"}
_BLANK = "\u2800\ufffc\U00016fe4\U0001d159"
"""Letters and symbols that draw nothing."""
_IGNORABLE = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt (16.0), which Python does not have."""


def exact_line(text: str) -> str:
    """`text` in one line; a space is seen between two other characters only."""
    return _exact(text, hidden=r"(?<![^ ]) | (?![^ ])")


def exact_lines(text: str) -> str:
    """`text` with its lines; what nobody sees at the end of one is escaped."""
    return _exact(text, hidden=r" (?![^\n])", keep="\n")


def exact_diff(text: str) -> str:
    """A diff, whose every line has a sign before it: blanks at the end of a line, and tabs, do no harm."""
    return _exact(text, hidden="(?!)", keep="\n\t")


def step_line(text: str) -> str:
    """The beginning of `text` as the line of a step, in which one space stands for any others."""
    line = _exact(" ".join(text.split()), hidden="(?!)")
    return line if len(line) <= HEAD_CHARS else line[: HEAD_CHARS - 1] + "…"


def original(shown: str) -> str:
    """Return the text that one of these was made from."""
    return ESCAPED.sub(lambda escaped: chr(int(escaped[1], 16)), shown)


def _exact(text: str, *, hidden: str, keep: str = "") -> str:
    """Escape what is not seen. `hidden`: spaces that are not; `keep`: controls that stay, a last line feed not."""

    def escape(run: re.Match[str]) -> str:
        if run[0] in " [":
            return _escaped(run[0])
        parts: list[str] = []
        marks = 0
        for at in range(*run.span()):
            char = text[at]
            marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
            if char in keep:
                is_seen = char != "\n" or at + 1 < len(text)
            elif marks:
                # Combining marks stand on letters and other marks.
                is_carried = at >= marks and unicodedata.category(text[at - marks])[0] in "LM"
                is_seen = _is_drawn(char) and marks <= MOST_MARKS and is_carried
            else:
                is_seen = _is_drawn(char)
            parts.append(char if is_seen else _escaped(char))
        return "".join(parts)

    # All of ASCII that is drawn stands for itself: a long text has little else.
    return re.sub(rf"[^ -~]+|\[(?=U\+)|{hidden}", escape, text)


def _escaped(char: str) -> str:
    return f"[U+{ord(char):04X}]"


def _is_drawn(char: str) -> bool:
    """Marks of no script of their own are not: they make one letter look like another, or struck out."""
    if char == " " or unicodedata.category(char) not in _UNSEEN:
        is_hidden = char in _BLANK or _IGNORABLE.match(char)
        return not is_hidden and not unicodedata.name(char, "").startswith("COMBINING ")
    return False


# What is asked about ------------------------------------------------------------------------------------

HEAD_CHARS = 300
"""Characters of a command or a tool's arguments, on their one line."""


def shell_and_script(command: str) -> tuple[str, str]:
    """Return the agent's own shell around `command` (empty: none), and the script it runs.

    Only the system's own: what merely calls itself a shell is nothing to hide from who has to say yes.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return "", command
    # In double quotes a shell takes a backslash from these too, and shlex does not.
    is_exact = "\\$" not in command and "\\`" not in command
    if is_exact and len(words) == 3 and re.fullmatch(r"(/usr)?/bin/(ba|z)?sh -l?c", f"{words[0]} {words[1]}"):
        return f"{words[0]} {words[1]}", words[2]
    return "", command


def change_kind(change: Mapping[str, Any]) -> Literal["add", "delete", "update"]:
    kind = change.get("kind")
    name = kind.get("type") if isinstance(kind, dict) else kind
    return "add" if name == "add" else "delete" if name == "delete" else "update"


def change_diff(change: Mapping[str, Any]) -> str:
    """Return the change of one file as a diff; for an added or deleted file the agent sends its text alone."""
    text, kind = str(change.get("diff") or ""), change_kind(change)
    if kind == "update":
        return text
    sign = "+" if kind == "add" else "-"
    lines = [f"{sign}{line}" for line in text.removesuffix("\n").split("\n")] if text else []
    if text and not text.endswith("\n"):
        lines.append("\\ No newline at end of file")
    return "".join(f"{line}\n" for line in lines)


def text_diff(before: str, after: str) -> str:
    """Return what differs between two texts, each line with its sign, and three lines around it."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="")
    return "\n".join(list(lines)[2:])  # without the names of files


def diff_size(diff: str) -> tuple[int, int]:
    """Return how many lines it adds and removes."""
    signs = [line[:1] for line in diff.splitlines()]
    return signs.count("+"), signs.count("-")
