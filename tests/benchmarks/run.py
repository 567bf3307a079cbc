"""`make bench`: run every benchmark here and print one table.

A benchmark is a script in this folder that prints one JSON object a line:
`{"what": ..., "bar": ..., "measured": ..., "holds": true | false | null}`; null is for what is only shown
beside. Each is a process with a time limit, and one that fails or hangs is a row: the others run all the same.
Usage: python -m tests.benchmarks.run [NAME...]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measuring import Row, group, row

FOLDER = Path(__file__).parent

NOT_BENCHMARKS = {"__init__", "compare", "measuring", "run"}

LIMIT_SECONDS = 1200
"""The longest takes some minutes on a quick day."""

WIDTH = 170
"""Columns where there is no terminal to ask."""

MARKS = {True: "[green]yes[/]", False: "[bold red]NO[/]", None: ""}


def main(names: list[str], console: Console) -> bool:
    """Whether every bar holds."""
    table = Table("what", "bar", "measured", "holds")
    held = True
    for name in names or scripts():
        console.print(f"{name} ...", style="dim")
        begun = time.monotonic()
        for each in rows(name, [sys.executable, "-m", f"tests.benchmarks.{name}"], LIMIT_SECONDS):
            table.add_row(each["what"], each["bar"], each["measured"], MARKS[each["holds"]])
            held = held and each["holds"] is not False
        console.print(f"{name}: {time.monotonic() - begun:.0f} s", style="dim")
    console.print(table)
    console.print("All bars hold." if held else "NOT all bars hold.")
    return held


def scripts() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def rows(name: str, command: list[str], limit: float) -> Iterator[Row]:
    """The rows of one script, and one that says how it failed."""
    with tempfile.TemporaryDirectory(prefix="codex_magic-bench-", ignore_cleanup_errors=True) as home:
        printed = Path(home) / "rows"
        environment = os.environ | {"CODEX_HOME": home, "CODEX_MAGIC_HOME": home, "IPYTHONDIR": home}
        with printed.open("w") as output, group(command, env=environment, stdout=output) as process:
            try:
                code = process.wait(limit)
                end = f"exit code {code}" if code else ""
            except subprocess.TimeoutExpired:
                end = f"no end in {limit:.0f} s"
        yield from (json.loads(line) for line in printed.read_text().splitlines() if line.startswith("{"))
    if end:
        yield row(name, "runs to its end", end, False)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:], Console(width=None if sys.stdout.isatty() else WIDTH)))
