"""Type checkers and editors see the public names as what they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import codex_magic
import codex_magic.auth
from tests.imports import PACKAGE, imports_of

ROOT = PACKAGE.parent


def checked(program: Path) -> str:
    """What mypy says of a program that is not ours: its strictest rules, and none of our settings."""
    options = ["--strict", "--config-file=", "--follow-imports=silent", "--no-error-summary"]
    cache = ROOT / ".mypy_cache" / "programs"
    run = subprocess.run(
        [sys.executable, "-m", "mypy", *options, f"--cache-dir={cache}", str(program)],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return run.stdout + run.stderr


def test_the_types_of_a_users_program_are_those_it_expects() -> None:
    assert checked(ROOT / "tests" / "user_program.py") == ""


@pytest.mark.parametrize("package", [codex_magic, codex_magic.auth], ids=lambda package: package.__name__)
def test_every_public_name_has_its_type(package: ModuleType, tmp_path: Path) -> None:
    """mypy knows none that is imported for the run alone."""
    program = tmp_path / "program.py"
    program.write_text(f"from {package.__name__} import {', '.join(package.__all__)}\n")
    assert checked(program) == ""


def test_the_run_imports_each_name_from_where_type_checkers_do() -> None:
    stub = imports_of(PACKAGE / "__init__.pyi")
    typing = {each.module for each in stub if each.top == "codex_magic"}
    assert typing == {f"{module}.{name}" for name, module in codex_magic._exports().items()}
