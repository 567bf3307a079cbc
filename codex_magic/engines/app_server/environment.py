"""The variables that the codex program gets, and those of them that its commands do not get.

The output of a command goes to the model. So what holds a secret, and what the Jupyter server gave this
kernel alone, stays here. The program gets those that its own configuration names, its commands none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ...net import scrub
from ...protocol.secrets import HIDDEN, names_secret

_OF_THE_SERVER = ("JUPYTERHUB_", "JPY_")
_OF_THE_PROGRAM = "CODEX_"
_MANAGED = Path("/etc/codex")
_URL_WITH_PASSWORD = re.compile(r"[a-z][\w+.-]*://[^/\s@:]*:[^/\s@]+@", re.IGNORECASE)


def program_environment(
    variables: Mapping[str, str], *, allowed: Sequence[str], configuration: str
) -> dict[str, str]:
    """Return the variables that the program is started with.

    `allowed`: names that the user lets pass, with `*` for any characters; `configuration`: of the program.
    """
    return {
        name: value
        for name, value in variables.items()
        if not is_withheld(name, value)
        or name.startswith(_OF_THE_PROGRAM)
        or _is_one_of(name, allowed)
        or re.search(rf"\b{re.escape(name)}\b", configuration)
    }


def configuration(codex_home: Path, overrides: Sequence[str]) -> str:
    """Return all text that may name a variable which the program, a provider or an MCP server of it reads."""
    files = [*sorted(codex_home.glob("*.toml")), *sorted(_MANAGED.glob("*.toml"))]
    return "\n".join((*overrides, *(file.read_text(errors="replace") for file in files if file.is_file())))


def withheld(environment: Mapping[str, str], *, allowed: Sequence[str], key: str | None) -> list[str]:
    """Return the names of the program's variables that commands do not get. `key`: its provider's."""
    return sorted(
        name
        for name, value in environment.items()
        if (is_withheld(name, value) or (key is not None and value == key)) and not _is_one_of(name, allowed)
    )


def is_withheld(name: str, value: str) -> bool:
    """Whether a variable stays here. A proxy does not: without it nothing is reached, password or not."""
    if name.upper().startswith(_OF_THE_SERVER) or names_secret(name):
        return True
    if name.upper().endswith("_PROXY"):
        return False
    return _URL_WITH_PASSWORD.match(value) is not None or scrub(value.strip()) == HIDDEN


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
