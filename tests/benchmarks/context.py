"""What a turn pays for the context of a notebook with 200 cells, beside one reading of its file by nbformat."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import nbformat
from IPython.core.interactiveshell import InteractiveShell
from nbformat import v4

from codex_magic.context.secrets import OutgoingMask
from codex_magic.notebook.context import Context, learn_secrets
from codex_magic.notebook.extension import Extension
from codex_magic.notebook.gathering import look
from codex_magic.notebook.runs import Runs
from codex_magic.notebook.shell import CellLog
from tests.benchmarks.measuring import ratio

CELLS = 200
ROUNDS = 15
BAR = 0.8


def main() -> None:
    shell = InteractiveShell.instance()
    log = CellLog(shell)
    shell.events.register("post_run_cell", log.end)
    runs = Runs(shell, log)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = notebook(shell, Path(folder) / "a.ipynb")
        mask = OutgoingMask()
        read: list[float] = []
        first: list[float] = []
        again: list[float] = []
        for _ in range(ROUNDS):
            begun = time.process_time()
            nbformat.read(path, as_version=4)
            read.append(time.process_time() - begun)
            known: dict[str, str] = {}
            for turns in (first, again):
                begun = time.process_time()
                known = known | turn(shell, runs, path, mask, known)
                turns.append(time.process_time() - begun)
    for what, mine in (("first turn", first), ("next turn", again)):
        print(
            json.dumps(
                ratio(f"context of {CELLS} cells, {what}, CPU", "nbformat.read of them", BAR, mine, read)
            )
        )


def notebook(shell: InteractiveShell, path: Path) -> str:
    """Run every cell, and save them all with outputs."""
    cells = []
    for number in range(CELLS):
        lines = [
            f"column_{number % 50}_{line} = {{'name': 'value {line}'}}  # a note on {number}"
            for line in range(9)
        ]
        shell.run_cell("\n".join(lines), store_history=True)
        output = v4.new_output("stream", text="a line of output\n" * 100)
        cells.append(v4.new_code_cell("\n".join(lines), execution_count=number + 1, outputs=[output]))
    nbformat.write(v4.new_notebook(cells=cells), path)
    return str(path)


def turn(
    shell: InteractiveShell, runs: Runs, path: str, mask: OutgoingMask, held: dict[str, str]
) -> dict[str, str]:
    learn_secrets(mask, shell, path, "")
    kernel = look(shell, runs, Extension(None).run)
    context = Context(shell, kernel, path, scope="above", mask=mask)
    return context.told("Why?", held).cells.held


if __name__ == "__main__":
    main()
