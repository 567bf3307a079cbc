"""Notebooks run without a person, and read without a kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pypandoc
import pytest
from nbconvert import HTMLExporter, LatexExporter, MarkdownExporter
from nbconvert.exporters import Exporter
from nbformat import NotebookNode

from tests.end_to_end.kernel import OURS
from tests.end_to_end.notebooks import execute, notebook_of, save_notebook
from tests.service import LocalService

LOAD = "%load_ext codex_magic"


@pytest.fixture
def executed(service: LocalService, tmp_path: Path) -> NotebookNode:
    return execute(notebook_of(LOAD, "%%codex\nShow me some math"), tmp_path)


def test_nbclient_saves_the_answer(executed: NotebookNode) -> None:
    [output] = executed.cells[1].outputs
    assert output.data[OURS]["state"] == "done"
    assert "Gaussian integral" in output.data["text/markdown"]
    nbformat.validate(executed)


@pytest.mark.parametrize(
    ("exporter", "expected"),
    [
        (HTMLExporter, [">The Gaussian integral", "\\int_0^{2\\pi}", "<span"]),
        (MarkdownExporter, ["**The Gaussian integral**", "```python", "\\int_0^{2\\pi}"]),
        (LatexExporter, ["{The Gaussian", "\\int_0^{2\\pi}", "range"]),
    ],
)
def test_nbconvert_shows_the_answer(
    executed: NotebookNode, exporter: type[Exporter], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pandoc = Path(pypandoc.get_pandoc_path()).parent  # nbconvert makes LaTeX with it
    monkeypatch.setenv("PATH", str(pandoc), prepend=os.pathsep)
    text, _ = exporter().from_notebook_node(executed)
    assert [part for part in expected if part not in text] == []


def test_papermill_runs_a_notebook(service: LocalService, tmp_path: Path) -> None:
    source = save_notebook(
        tmp_path / "in.ipynb", LOAD, "%%codex -o answer\necho: by papermill", "print(answer)"
    )
    papermill.execute_notebook(source, tmp_path / "out.ipynb", cwd=tmp_path, progress_bar=False)
    written = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert written.cells[-1].outputs[0].text == "by papermill\n"


BY_NBCLIENT = "import nbformat, nbclient; nbclient.execute(nbformat.read('in.ipynb', 4))"

RUNNERS = {
    "papermill": "-m papermill in.ipynb out.ipynb".split(),
    "jupyter execute": "-m jupyter execute in.ipynb".split(),
    "nbconvert": "-m jupyter nbconvert --to html --execute in.ipynb".split(),
    "nbclient": ["-c", BY_NBCLIENT],
}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("%%codex\nhello", "You are not signed in."),
        ("%codex resume nowhere", "There is no thread 'nowhere'."),
    ],
)
def test_the_log_of_an_unattended_run_says_why_it_failed(
    home: Path, tmp_path: Path, runner: str, cell: str, reason: str
) -> None:
    save_notebook(tmp_path / "in.ipynb", LOAD, cell)
    command = [sys.executable, *RUNNERS[runner]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert f"CellFailed: {reason}" in done.stderr
