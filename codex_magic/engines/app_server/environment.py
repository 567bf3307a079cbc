"""The variables that the codex program gets, and those of them that its commands get.

The output of a command goes to the model. So what holds a secret, and what the Jupyter server gave this
kernel alone, stays here. The program gets those that its own configuration names, its commands none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...net import scrub
from ...protocol.secrets import HIDDEN, names_secret

_POLICY = "shell_environment_policy"
"""The table of config.toml that says what commands get."""

_OF_THE_SERVER = ("JUPYTERHUB_", "JPY_")
_OF_THE_PROGRAM = "CODEX_"
_MANAGED = Path("/etc/codex")

_URL_WITH_PASSWORD = re.compile(r"[a-z][\w+.-]*://[^/\s@:]*:[^/\s@]+@", re.IGNORECASE)


def is_withheld(name: str, value: str) -> bool:
    """Whether a variable stays here. A proxy does not: without it nothing is reached, password or not."""
    if name.upper().startswith(_OF_THE_SERVER) or names_secret(name):
        return True
    if name.upper().endswith("_PROXY"):
        return False
    return _URL_WITH_PASSWORD.match(value) is not None or scrub(value.strip()) == HIDDEN


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


def exclusions(config: Mapping[str, Any]) -> list[str] | None:
    """Return those of a config.toml's table, nested or with dots; `None` where it has none."""
    nested = config.get(_POLICY) or {}
    excluded: list[str] | None = config.get(f"{_POLICY}.exclude", nested.get("exclude"))
    return excluded


def with_exclusions(config: Mapping[str, Any], excluded: Iterable[str]) -> dict[str, Any]:
    """Return it with these exclusions: the program takes one list, and ours would replace the user's."""
    names = list(dict.fromkeys(excluded))
    if not names:
        return dict(config)
    if _POLICY in config:
        return {**config, _POLICY: {**config[_POLICY], "exclude": names}}
    return {**config, f"{_POLICY}.exclude": names}


def _is_one_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
