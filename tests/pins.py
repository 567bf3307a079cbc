"""The versions that constraints.txt pins for this Python, beside those that are installed."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CONSTRAINTS = ROOT / "constraints.txt"


class Move(NamedTuple):
    name: str
    pinned: str
    """Nothing for a package that is new."""
    installed: str

    def __str__(self) -> str:
        return f"{self.name} {self.installed}, pinned: {self.pinned or 'nothing'}"


def requirements(path: Path = CONSTRAINTS) -> list[Requirement]:
    """All lines of a file that `make constraints` writes, for whatever Python they are."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pins(path: Path = CONSTRAINTS) -> dict[str, str]:
    """Version of each package, for this Python on this system."""
    here = [each for each in requirements(path) if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): str(each.specifier).removeprefix("==") for each in here}


def pinned() -> list[str]:
    """The options of a `pip install` in a test, which runs in the newest versions too."""
    return [] if os.environ.get("LATEST") else ["--constraint", str(CONSTRAINTS)]


def moves(path: Path = CONSTRAINTS, folders: list[str] | None = None) -> Iterator[Move]:
    """What is installed in another version than the pinned one: here, or in the folders of another environment."""
    versions = pins(path)
    own = {"codex-magic", "setuptools"}  # the latter comes with a virtual environment of an old Python
    for each in importlib.metadata.distributions(path=folders or sys.path):
        name = canonicalize_name(each.name)
        if name not in own and versions.get(name, "") != each.version:
            yield Move(name, versions.get(name, ""), each.version)


def move(name: str) -> Move | None:
    return next((each for each in moves() if each.name == name), None)
