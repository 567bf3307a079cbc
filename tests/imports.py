"""The imports of Python files, read from their source: those for type checkers and those in functions too."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent.parent / "codex_magic"

OUR_TABLE = "_exports()[name]"
"""The one import whose name is computed: of the package's own modules."""


class Import(NamedTuple):
    """`module`: the full name, with the imported name behind it; `place`: file and line, for messages."""

    module: str
    place: str
    late: bool
    """In a function: at its first call, not with its file."""
    optional: bool
    """It may fail, and the code says what is missing."""
    typing: bool
    """Only type checkers see it."""
    elsewhere: bool
    """Only newer Pythons than this one run it."""

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def files(folder: Path = PACKAGE) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def module_name(path: Path) -> str:
    """`codex_magic.auth.http`; of a folder's `__init__.py` the folder's."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(path: Path) -> list[Import]:
    """Of any file of the project: statements, and `import_module` calls with the name in them."""
    reader = _Reader(path)
    reader.visit(ast.parse(path.read_text(encoding="utf-8")))
    return reader.imports


class _Reader(ast.NodeVisitor):
    def __init__(self, path: Path) -> None:
        self.imports: list[Import] = []
        self._file = path.relative_to(PACKAGE.parent)
        self._package = self._file.parent.parts
        self._late = self._optional = self._typing = self._elsewhere = False

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = self._package[: len(self._package) - node.level + 1] if node.level else ()
        module = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            self._add(f"{module}.{alias.name}", node)

    def visit_Call(self, node: ast.Call) -> None:
        if ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__", "importorskip"):
            name = node.args[0]
            self._add(str(name.value) if isinstance(name, ast.Constant) else ast.unparse(name), node)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        outside, self._late = self._late, True
        self.generic_visit(node)
        self._late = outside

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Try(self, node: ast.Try) -> None:
        caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
        is_guard = re.search(r"\b(ImportError|ModuleNotFoundError)\b", caught)
        outside, self._optional = self._optional, self._optional or is_guard is not None
        self._visit_all(node.body)
        self._optional = outside
        self._visit_all([*node.handlers, *node.orelse, *node.finalbody])

    def visit_If(self, node: ast.If) -> None:
        test = ast.unparse(node.test)
        newer = re.fullmatch(r"sys\.version_info >= \(3, (\d+)\)", test)
        outside = self._typing, self._elsewhere
        self._typing = self._typing or test == "TYPE_CHECKING"
        self._elsewhere = self._elsewhere or (newer is not None and sys.version_info < (3, int(newer[1])))
        self._visit_all(node.body)
        self._typing, self._elsewhere = outside
        self._visit_all(node.orelse)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _add(self, module: str, node: ast.stmt | ast.expr) -> None:
        place = f"{self._file}:{node.lineno}"
        self.imports.append(Import(module, place, self._late, self._optional, self._typing, self._elsewhere))
