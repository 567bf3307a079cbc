"""What the package and its tests import pyproject.toml declares, and what it declares they use."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.imports import OUR_TABLE, PACKAGE, Import, files, imports_of, module_name

ROOT = PACKAGE.parent

TYPE_CHECKERS_OWN = {"typing-extensions"}
"""Every type checker brings it."""

USED_UNIMPORTED = {
    "check-wheel-contents": "make dist",
    "hatchling": "builds the wheel",
    "ipykernel": "the kernels that tests start",
    "jupyter-console": "a terminal that tests type into",
    "jupyterlab": "the pages that tests open",
    "mypy": "make types",
    "myst-parser": "make docs",
    "notebook": "the pages that tests open",
    "pydata-sphinx-theme": "make docs",
    "pytest-timeout": "the option `timeout` of pytest",
    "pytest-xdist": "the option `-n` of pytest",
    "ruff": "make lint",
    "sphinx": "make docs",
    "twine": "make dist",
}

OTHERWISE_NAMED = {"sklearn": "scikit-learn"}
"""Modules whose distribution has another name, for where it is not installed."""

BY_HAND = {"tests/peers/make_tiny_model.py", "tests/benchmarks/map.py", "tests/values/test_clusters.py"}
"""What no check runs, or skips without what it needs; whoever runs it installs that."""


@cache
def imports() -> list[Import]:
    """Every import of something that is not the standard library's; a file that is itself only imported
    where that may fail makes all its imports optional."""
    ours = [
        each
        for path in files()
        for each in imports_of(path)
        if each.top == "codex_magic" and not each.typing and not each.elsewhere
    ]

    def may_fail(path: Path) -> bool:
        importers = [each for each in ours if f"{each.module}.".startswith(f"{module_name(path)}.")]
        return importers != [] and all(each.optional for each in importers)

    return [
        each._replace(optional=each.optional or may_fail(path))
        for path in files()
        for each in imports_of(path)
        if each.top not in {*sys.stdlib_module_names, "codex_magic", OUR_TABLE} and not each.elsewhere
    ]


@cache
def distributions(found: Import) -> set[str]:
    """What brings the module; its own name where nothing installed here does."""
    brought = _brought().get(found.top, [OTHERWISE_NAMED.get(found.top, found.top)])
    return set(map(canonicalize_name, brought))


@cache
def _brought() -> dict[str, list[str]]:
    return dict(packages_distributions())


@pytest.fixture(scope="module")
def declared(requirements: list[Requirement]) -> dict[str, set[str]]:
    """Distributions by the extra that asks for them; "" stands for none."""
    by_extra: dict[str, set[str]] = {"": set()}
    for requirement in requirements:
        extra = re.search(r'extra == "([\w-]+)"', str(requirement.marker))
        by_extra.setdefault(extra[1] if extra else "", set()).add(canonicalize_name(requirement.name))
    return by_extra


def test_what_is_imported_is_declared(declared: dict[str, set[str]]) -> None:
    """What an extra brings is imported only where it may be missing."""
    anywhere = set().union(*declared.values())
    undeclared = [
        f"{found.place}: {found.module}"
        for found in imports()
        for allowed in [
            anywhere | TYPE_CHECKERS_OWN if found.typing else anywhere if found.optional else declared[""]
        ]
        if not distributions(found) & allowed
    ]
    assert undeclared == [], "\n".join(undeclared)


def test_what_is_declared_is_imported(declared: dict[str, set[str]]) -> None:
    imported = set().union(*(distributions(found) for found in imports() if not found.typing))
    assert {extra: names - imported for extra, names in declared.items() if names - imported} == {}


@pytest.fixture(scope="module")
def grouped() -> set[str]:
    """The distributions that the dependency groups name: what the checks need beside the package."""
    tomllib = pytest.importorskip(
        "tomllib", reason="Python 3.10 can't read TOML; newer ones read the same file"
    )
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    names = [name for group in groups.values() for name in group if isinstance(name, str)]
    return {canonicalize_name(Requirement(name).name) for name in names}


def test_what_the_tests_import_is_declared(declared: dict[str, set[str]], grouped: set[str]) -> None:
    allowed = grouped.union(TYPE_CHECKERS_OWN, *declared.values())
    undeclared = [
        f"{each.place}: {each.module}"
        for each in imports_of_tests()
        if not distributions(each) & allowed and each.place.partition(":")[0] not in BY_HAND
    ]
    assert undeclared == [], "\n".join(undeclared)


def test_what_the_groups_declare_is_used(declared: dict[str, set[str]], grouped: set[str]) -> None:
    """Besides what is imported: programs, plugins, and what an extra of ours brings into the test environment."""
    imported = set().union(*(distributions(each) for each in imports_of_tests()))
    assert grouped - imported - set().union(*declared.values()) == set(USED_UNIMPORTED)


def imports_of_tests() -> list[Import]:
    ours = {*sys.stdlib_module_names, "codex_magic", "tests"}
    paths = [*files(ROOT / "tests"), *files(ROOT / "notebooks")]
    return [
        each for path in paths for each in imports_of(path) if each.top not in ours and not each.elsewhere
    ]


def test_where_an_extra_is_missing_the_reader_is_told_its_name(declared: dict[str, set[str]]) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"pip install (?:-U )?'codex-magic\[([\w-]+)\]'", source))
    assert named == declared.keys() - {""}


def test_the_command_line_of_httpx_is_not_imported() -> None:
    """Where click is installed it takes longer than the rest of httpx, and a notebook's first cell would wait for it."""
    code = "import sys, codex_magic.responses.client as _; print('httpx._main' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
