"""What the doctor found: one line for each check, and a report without secrets and names. Pure but for the names."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from enum import Enum
from typing import NamedTuple
from urllib.parse import urlsplit

from ..net import scrub
from ..protocol.errors import CodexError

HEADS = ("", "Check", "Finding", "What to do")

PUBLIC_HOSTS = frozenset(
    {"chatgpt.com", "auth.openai.com", "api.openai.com", "127.0.0.1", "localhost", "::1"}
)
"""Their names tell nobody anything; all others are left out of a report."""

_LEAST_NAME = 3
"""Characters of a name that is taken out of a report: shorter ones stand in ordinary words."""


class Level(str, Enum):
    """`failed` alone makes the doctor end with 1: nothing, or not what is chosen, can be answered."""

    ok = "ok"
    note = "note"
    """Something that is not there and may be wanted; all else works without it."""
    warning = "warning"
    failed = "failed"
    skipped = "skipped"


MARKS = {Level.ok: "✓", Level.note: "·", Level.warning: "!", Level.failed: "✗", Level.skipped: "–"}


class Finding(NamedTuple):
    """What one check found, in a sentence or less; `hint`: what to do about it."""

    check: str
    level: Level
    text: str
    hint: str = ""

    @classmethod
    def of(cls, check: str, error: CodexError, level: Level = Level.failed) -> Finding:
        return cls(check, level, error.message, error.hint)


def rows(findings: Iterable[Finding], *, has_marks: bool = True) -> list[tuple[str, str, str, str]]:
    """Return the findings as rows below `HEADS`."""
    return [
        (MARKS[each.level] if has_marks else each.level.value, each.check, each.text, each.hint)
        for each in findings
    ]


def summary(findings: Sequence[Finding]) -> str:
    failed = [each.check for each in findings if each.level is Level.failed]
    warnings = sum(each.level is Level.warning for each in findings)
    if failed:
        return f"Not in order: {', '.join(failed)}."
    return "Codex can be used." + (f" Warnings: {warnings}." if warnings else "")


def exit_code(findings: Iterable[Finding]) -> int:
    return int(any(each.level is Level.failed for each in findings))


def report(findings: Sequence[Finding], addresses: Iterable[str]) -> str:
    """Return the findings as text for a bug report. `addresses`: of servers, whose names are left out."""
    width = max(len(each.check) for each in findings)
    lines = [f"[{each.level.value:7}] {each.check:{width}}  {each.text}" for each in findings]
    return redacted("\n".join(["codex_magic doctor", *lines]), addresses)


def redacted(text: str, addresses: Iterable[str] = ()) -> str:
    """Return the text without secrets, this user's and this machine's names, and servers that are not public."""
    hosts = {urlsplit(each).hostname or "" for each in addresses} - PUBLIC_HOSTS
    names = {os.path.expanduser("~"): "~", socket.gethostname(): "<host>"}
    with suppress(OSError, KeyError):  # a user id without a name
        names[getpass.getuser()] = "<user>"
    names |= dict.fromkeys(hosts, "<server>")
    text = scrub(text)
    for name in sorted(names, key=len, reverse=True):
        if len(name) >= _LEAST_NAME:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", names[name], text, flags=re.IGNORECASE)
    return text
