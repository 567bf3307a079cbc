"""Where the codex program is."""

from __future__ import annotations

import importlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ...protocol.errors import ConfigurationError
from ...protocol.settings import Settings

OLDEST = (0, 151, 0)
"""The first version that speaks the protocol as it is spoken here."""

INSTALL = "Install it with %pip install 'codex-magic[agent]', or set CODEX_MAGIC_CODEX_BIN to its path."


@dataclass(frozen=True)
class Binary:
    path: str
    """Absolute."""
    search_path: str | None = None
    """A folder with programs that it brings along."""


def find_binary(settings: Settings) -> Binary:
    """The program of the settings, else of PATH, else of the package. Raises ConfigurationError."""
    if settings.codex_bin is not None:
        return _chosen(settings.codex_bin)
    on_path = shutil.which("codex")
    if on_path is not None:
        return Binary(os.path.abspath(on_path))
    return _packaged()


def _chosen(name: str) -> Binary:
    path = shutil.which(str(Path(name).expanduser()))
    if path is None:
        raise ConfigurationError(
            f"There is no program {name!r}.", hint="Check CODEX_MAGIC_CODEX_BIN, or unset it."
        )
    return Binary(os.path.abspath(path))


def _packaged() -> Binary:
    try:
        package = importlib.import_module("codex_cli_bin")
        path, brought = package.bundled_codex_path(), package.bundled_path_dir()
    except (ImportError, FileNotFoundError) as error:
        raise ConfigurationError("The codex program is not installed.", hint=INSTALL) from error
    return Binary(str(path), str(brought) if brought else None)


def check_version(user_agent: str) -> None:
    """Raises ConfigurationError for a program that is too old, by how it introduces itself."""
    found = re.match(r"[^/]*/(\d+)\.(\d+)\.(\d+)", user_agent)
    if found and tuple(map(int, found.groups())) < OLDEST:
        raise ConfigurationError(
            f"The codex program is version {'.'.join(found.groups())};"
            f" {'.'.join(map(str, OLDEST))} or newer is needed.",
            hint="Update it, or take the packaged one: %pip install -U 'codex-magic[agent]'",
        )
