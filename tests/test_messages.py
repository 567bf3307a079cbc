"""What users read sets commands as code, so that they can be told from the sentence around them and copied."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "codex_magic"

COMMAND = re.compile(r"%%?codex\b|%load_ext\b|\bpip install\b")
CODE = re.compile(r"`[^`]*`|<code>[^<]*</code>")
ALONE = re.compile(r"%%?codex(?: \S+){0,2}|%%codex\n.*", re.DOTALL)
"""A command by itself, or a cell with its lines: no sentence."""


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and text of each string that is no docstring, no pattern and no part of another."""
    passed_over: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # a docstring, of an attribute too
            passed_over.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            passed_over.update(each for each in ast.walk(node) if each is not node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re."):
            passed_over.update(node.args)
    for node in ast.walk(tree):
        if node in passed_over:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            parts = (str(each.value) if isinstance(each, ast.Constant) else "X" for each in node.values)
            yield node.lineno, "".join(parts)


def test_commands_in_sentences_are_set_as_code() -> None:
    bare = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, text in texts(ast.parse(path.read_text("utf-8")))
        if COMMAND.search(CODE.sub("", text)) and not ALONE.fullmatch(text)
    ]
    assert bare == []


def test_a_bare_command_is_found_wherever_it_stands() -> None:
    source = 'raise Error("Run %codex new.", hint=f"Try {x}: %codex {x} now.")\nre.search("%codex x y z")\n'
    assert [text for _, text in texts(ast.parse(source))] == ["Run %codex new.", "Try X: %codex X now."]
