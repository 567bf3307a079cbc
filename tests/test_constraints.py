"""What `make` installs is the same on every day: constraints.txt names all of it, each in one exact version."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.pins import CONSTRAINTS, ROOT, requirements

ENVIRONMENTS = sorted((ROOT / "tests" / "environments").glob("*.in"))
FILES = [CONSTRAINTS, *(path.with_suffix(".txt") for path in ENVIRONMENTS)]

PYTHONS = ["3.10", "3.11", "3.12", "3.13", "3.14"]
SYSTEMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
    "darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix"},
    "win32": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"},
}

REGISTRY = re.compile(
    r"\b(pypi|pythonhosted|npmjs|yarnpkg|debian|ubuntu)\.(org|com)\b|--(extra-)?index-url|://\S*/simple\b"
)
"""Where packages come from is the business of the machine that installs them."""


def declared() -> list[Requirement]:
    """All that pyproject.toml names, and what its build backend wants for an editable installation."""
    tomllib = pytest.importorskip(
        "tomllib", reason="Python 3.10 can't read TOML; the newer ones read the same file"
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lists: list[list[Any]] = [
        ["pip", "editables"],
        project["build-system"]["requires"],
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    return [Requirement(each) for names in lists for each in names if isinstance(each, str)]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_finds_one_version_of_all_that_is_declared(python: str, system: str) -> None:
    versions = {"python_version": python, "python_full_version": f"{python}.9"}
    there: dict[str, Any] = {**default_environment(), **SYSTEMS[system], **versions}
    valid = [each for each in requirements() if each.marker is None or each.marker.evaluate(there)]
    assert [name for name, times in Counter(each.name for each in valid).items() if times > 1] == []
    pinned = {canonicalize_name(each.name): Version(str(each.specifier).removeprefix("==")) for each in valid}
    for each in declared():
        if each.marker is None or each.marker.evaluate(there):
            assert each.specifier.contains(pinned[canonicalize_name(each.name)], prereleases=True), each


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_line_is_a_name_an_exact_version_and_a_marker(path: Path) -> None:
    for each in requirements(path):
        [clause] = each.specifier
        assert (clause.operator, each.url, each.extras) == ("==", None, set()), each
        assert "*" not in clause.version, each


def test_an_environment_of_a_test_is_pinned_too() -> None:
    for path in ENVIRONMENTS:
        names = {canonicalize_name(each.name) for each in requirements(path.with_suffix(".txt"))}
        assert {canonicalize_name(each.name) for each in requirements(path)} <= names, path


def test_no_file_names_a_registry() -> None:
    assert [f"{path}: {line}" for path, line in lines() if REGISTRY.search(line)] == []


def lines() -> Iterator[tuple[str, str]]:
    """Of every file that belongs to the project."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=ROOT, text=True).splitlines():
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            yield from ((name, line) for line in path.read_text("utf-8", errors="replace").splitlines())


def test_what_a_test_installs_is_pinned_too() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text()
        if re.search(r'"pip",.*"install"', text):
            names_a_version = re.search(r'f"[\w-]+==\{', text)
            assert "*pinned()" in text or names_a_version, path


MAKEFILE = (ROOT / "Makefile").read_text()
INTERNAL = {"always", "help"}


def test_make_help_lists_every_target() -> None:
    phony = " ".join(re.findall(r"^\.PHONY:(.*)$", MAKEFILE, re.MULTILINE)).split()
    helped = subprocess.check_output(["make", "--no-print-directory", "help"], cwd=ROOT, text=True)
    listed = Counter(line.split()[1] for line in helped.splitlines())
    assert listed == Counter(set(phony) - INTERNAL)
    for target in re.findall(r"^([a-z]+):(?!=)", MAKEFILE, re.MULTILINE):
        assert target in phony
