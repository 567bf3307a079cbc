"""`make bench`: run every benchmark here and print one table.

A benchmark is a script in this folder that prints one JSON object a line:
`{"what": ..., "bar": ..., "measured": ..., "holds": true | false | null}`; null is for what is only shown
beside. Usage: run.py [NAME...]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
ROOT = FOLDER.parent.parent

NOT_BENCHMARKS = {"__init__", "measuring", "run"}

WIDTH = 150
"""Columns where there is no terminal to ask."""

MARKS = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: ""}


def main(names: list[str], console: Console) -> bool:
    """Whether every bar holds."""
    table = Table("what", "bar", "measured", "holds")
    held = True
    for name in names or scripts():
        console.print(f"{name} ...", style="dim")
        for row in rows(name):
            table.add_row(row["what"], row["bar"], row["measured"], MARKS[row["holds"]])
            held = held and row["holds"] is not False
    console.print(table)
    return held


def scripts() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def rows(name: str) -> Iterator[dict[str, Any]]:
    """The rows of one script, or one that says how it failed."""
    with tempfile.TemporaryDirectory(prefix="codex_magic-bench-", ignore_cleanup_errors=True) as home:
        run = subprocess.run(
            [sys.executable, "-m", f"tests.benchmarks.{name}"],
            cwd=ROOT,
            env=os.environ | {"CODEX_HOME": home, "CODEX_MAGIC_HOME": home, "IPYTHONDIR": home},
            stdout=subprocess.PIPE,
            text=True,
        )
    yield from (json.loads(line) for line in run.stdout.splitlines() if line.startswith("{"))
    if run.returncode:
        yield {"what": name, "bar": "runs", "measured": f"exit code {run.returncode}", "holds": False}


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:], Console(width=None if sys.stdout.isatty() else WIDTH)))
