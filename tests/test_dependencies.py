"""What the package imports it declares, and what it declares it imports."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGE = Path(__file__).parent.parent / "codex_magic"

TYPE_CHECKERS_OWN = {"typing-extensions"}
"""Every type checker brings it."""

OUR_TABLE = "_EXPORTS[name]"
"""The one import whose name is computed: of the package's own modules."""


class Import(NamedTuple):
    """`optional`: it may fail, and the code says what is missing. `typing`: only type checkers see it."""

    module: str
    place: str
    optional: bool
    typing: bool


class Imports(ast.NodeVisitor):
    """The imports of one file: statements, and `import_module` calls with the name in them."""

    def __init__(self, path: Path) -> None:
        self._place = path.relative_to(PACKAGE.parent)
        self._package = path.relative_to(PACKAGE.parent).parent.parts
        self._optional = self._typing = False
        self.all: list[Import] = []
        self.visit(ast.parse(path.read_text(encoding="utf-8")))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._package[: len(self._package) - node.level + 1] if node.level else ()
        module = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            self._add(f"{module}.{alias.name}", node)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            name = node.args[0]
            self._add(str(name.value) if isinstance(name, ast.Constant) else ast.unparse(name), node)
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
        is_guard = re.search(r"\b(ImportError|ModuleNotFoundError)\b", caught)
        outside, self._optional = self._optional, self._optional or is_guard is not None
        for step in node.body:
            self.visit(step)
        self._optional = outside
        for step in [*node.handlers, *node.orelse, *node.finalbody]:
            self.visit(step)

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        is_newer = re.fullmatch(r"sys\.version_info >= \(3, (\d+)\)", test)
        is_here = is_newer is None or sys.version_info >= (3, int(is_newer[1]))
        steps = [*(node.body if is_here else ()), *node.orelse]
        outside, self._typing = self._typing, self._typing or test == "TYPE_CHECKING"
        for step in steps:
            self.visit(step)
        self._typing = outside

    def _add(self, module: str, node: ast.stmt | ast.expr) -> None:
        place = f"{self._place}:{node.lineno}"
        self.all.append(Import(module, place, self._optional, self._typing))


@cache
def imports() -> list[Import]:
    """Every import of something that is not the standard library's; a file that is itself only imported
    where that may fail makes all its imports optional."""
    by_file = {path: Imports(path).all for path in sorted(PACKAGE.rglob("*.py"))}
    ours = [i for found in by_file.values() for i in found if _top(i) == "codex_magic" and not i.typing]

    def may_fail(path: Path) -> bool:
        module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        importers = [i for i in ours if f"{i.module}.".startswith(f"{module}.")]
        return importers != [] and all(i.optional for i in importers)

    return [
        found._replace(optional=found.optional or may_fail(path))
        for path, all_of_it in by_file.items()
        for found in all_of_it
        if _top(found) not in {*sys.stdlib_module_names, "codex_magic", OUR_TABLE}
    ]


def _top(found: Import) -> str:
    return found.module.partition(".")[0]


@cache
def distributions(found: Import) -> set[str]:
    """What brings the module; its own name where nothing installed here does."""
    return set(map(canonicalize_name, _brought().get(_top(found), [_top(found)])))


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


def test_where_an_extra_is_missing_the_reader_is_told_its_name(declared: dict[str, set[str]]) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r"pip install (?:-U )?'codex-magic\[([\w-]+)\]'", source))
    assert named == declared.keys() - {""}
