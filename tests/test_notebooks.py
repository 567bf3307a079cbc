"""`make demo`, and the notebooks as they are shipped."""

from __future__ import annotations

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode, v4

from tests.end_to_end.notebooks import FOLDER, QUICKSTART, execute


@pytest.mark.timeout(180)
def test_the_demo_paints_the_answers_and_saves_them(tmp_path: Path) -> None:
    """The answers saved in git are those of the demo: after a change copy out/01_quickstart.ipynb there."""
    painted = run_demo(tmp_path / "out")
    executed = nbformat.read(tmp_path / "out" / "01_quickstart.ipynb", as_version=4)
    page = (tmp_path / "out" / "01_quickstart.html").read_text()
    assert failures(executed) == []
    assert answers(executed) == answers(QUICKSTART)
    assert "def running_mean(values):" in painted
    assert "Group first, then aggregate" in painted
    assert "Group first, then aggregate" in page
    table = painted.rpartition("Model  ")[2].partition("Choose one")[0].strip().splitlines()
    assert [line for line in table[1:] if not re.match(" *local-", line)] == []  # no row is broken
    assert f"{tmp_path / 'out' / '01_quickstart.html'}\n" in painted


def run_demo(folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, FOLDER / "demo.py", folder],
        cwd=folder.parent,
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return run.stdout


def answers(notebook: NotebookNode) -> list[str]:
    """What the service said in each `%%codex` cell, as it came."""
    asked = [cell for cell in notebook.cells if cell.source.startswith("%%codex")]
    return [cell.outputs[0].data["text/plain"] for cell in asked]


def failures(notebook: NotebookNode) -> list[NotebookNode]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if output.output_type == "error"]


@pytest.mark.timeout(180)
def test_the_notebook_on_the_client_says_what_is_saved_in_it(tmp_path: Path) -> None:
    """After a change run it and save it: its outputs are those of the local service."""
    saved = nbformat.read(FOLDER / "02_client.ipynb", as_version=4)
    executed = execute(copy.deepcopy(saved), tmp_path)
    assert failures(executed) == []
    assert told(executed) == told(saved)
    assert sum("| `client." in cell for cell in told(saved).values()) == 3


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["backend", pytest.param("app-server", marks=pytest.mark.peer)])
def test_the_notebook_on_threads_says_what_is_saved_in_it_on_either_engine(
    engine: str, tmp_path: Path
) -> None:
    """After a change run it and save it: its outputs are those of the local service."""
    if engine == "app-server":
        pytest.importorskip("codex_cli_bin", reason="needs the official binary")
    saved = nbformat.read(FOLDER / "03_threads.ipynb", as_version=4)
    asked = copy.deepcopy(saved)
    asked.cells[1].source = asked.cells[1].source.replace('engine = "backend"', f'engine = "{engine}"')
    executed = execute(asked, tmp_path)
    assert failures(executed) == []
    assert whole(told(executed)) == whole(told(saved))


def told(notebook: NotebookNode) -> dict[str, str]:
    """What each cell printed and displayed."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {cell.id: "".join(map(_text, cell.outputs)) for cell in code}


def whole(cells: dict[str, str]) -> dict[str, str]:
    """`cells` with the answer of the one that prints it in pieces joined: a slow machine hands over fewer."""
    return cells | {"stream": cells["stream"].replace("|", "")}


def _text(output: NotebookNode) -> str:
    if output.output_type == "error":
        return str(output.evalue)
    return str(output.text if output.output_type == "stream" else output.data.get("text/markdown", ""))


@pytest.mark.timeout(180)
def test_the_notebook_on_an_analysis_says_what_is_saved_in_it(tmp_path: Path) -> None:
    """After a change run it and save it: its outputs are those of the local service."""
    pytest.importorskip(
        "pandas", minversion="3", reason="an earlier one calls the types of columns otherwise"
    )
    saved = nbformat.read(FOLDER / "05_data_analysis.ipynb", as_version=4)
    executed = execute(copy.deepcopy(saved), tmp_path)
    assert [failure.ename for failure in failures(executed)] == ["KeyError"]
    others = {"start": "", "peek": ""}  # a port, and the whole request with its instructions
    assert plain(executed) | others == plain(saved) | others
    sent = plain(executed)["peek"]
    assert "city str" in sent
    assert "Lima" not in sent
    assert "| `price` | float64 |" in told(executed)["ask"]
    assert '+revenue = sales["quantity"] * sales["price"]' in told(executed)["fix"]
    assert "«SECRET_1»" in told(executed)["less"]


@pytest.mark.timeout(180)
def test_the_notebook_on_acting_says_what_is_saved_in_it(tmp_path: Path) -> None:
    """After a change run it and save it: its outputs are those of an unattended run."""
    saved = nbformat.read(FOLDER / "07_acting.ipynb", as_version=4)
    executed = execute(copy.deepcopy(saved), tmp_path)
    assert failures(executed) == []
    others = {"start": "", "probe": "", "provenance": "", "trace": ""}  # a port, and times
    assert plain(executed) | others == plain(saved) | others
    assert "only looked" in told(executed)["probe"]
    assert "not allowed" not in told(executed)["probe"]
    assert "nobody to ask" in told(executed)["commit"]
    assert "120.0" in told(executed)["tool"]
    assert "Replayed" in told(executed)["replay"]
    assert "price_of" in (tmp_path / "acting.md").read_text()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["06_structured_answers", "08_map"])
def test_the_notebooks_on_values_say_what_is_saved_in_them(name: str, tmp_path: Path) -> None:
    """After a change run them and save them: their outputs are those of the local service."""
    pytest.importorskip(
        "pandas", minversion="3", reason="an earlier one calls the types of columns otherwise"
    )
    saved = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    executed = execute(copy.deepcopy(saved), tmp_path)
    assert [each.evalue for each in failures(executed)] == [each.evalue for each in failures(saved)]
    assert plain(executed) | {"start": ""} == plain(saved) | {"start": ""}


def plain(notebook: NotebookNode) -> dict[str, str]:
    """What the cells that ask and those that print have said, as a reader of plain text has it."""
    cells = {cell.id: cell for cell in notebook.cells if cell.cell_type == "code"}
    texts = (
        "".join(
            output.text if output.output_type == "stream" else output.data["text/plain"] for output in outputs
        )
        for outputs in [[o for o in cell.outputs if o.output_type != "error"] for cell in cells.values()]
    )
    # An error names the files it went through, which stand in another folder on each machine.
    counted = (re.sub(r"· [\d.]+k? tokens", "· N tokens", text) for text in texts)
    return dict(zip(cells, counted, strict=True))


@pytest.mark.peer
@pytest.mark.timeout(180)
def test_the_notebook_on_the_agent_declines_what_nobody_allows(tmp_path: Path) -> None:
    """After a change run it and save it: its outputs are those of an unattended run."""
    pytest.importorskip("codex_cli_bin")
    saved = nbformat.read(FOLDER / "04_agent.ipynb", as_version=4)
    executed = execute(copy.deepcopy(saved), tmp_path)
    assert failures(executed) == []
    assert printed(executed) == printed(saved)
    for notebook in (executed, saved):
        cells = told(notebook)
        assert "city,price\nLima,10" in cells["look"]
        assert "nobody to ask" in cells["ask"]
        assert "+        raise ValueError('no values')" in cells["change"]
        assert "this cell waits for it" in cells["background"]
        assert cells["python-stop"] == "interrupted interrupted\n"


def printed(notebook: NotebookNode) -> dict[str, str]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return {
        cell.id: "".join(output.text for output in cell.outputs if output.output_type == "stream")
        for cell in code
    }


CUT_OFF = """\
import socket, sys

attempts = []

def refuse(event, arguments):
    if event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        attempts.append(arguments[1])
        raise OSError("there is no network")

sys.addaudithook(refuse)
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [
        "01_quickstart",
        pytest.param("04_agent", marks=pytest.mark.peer),
        "05_data_analysis",
        "06_structured_answers",
        "07_acting",
        "08_map",
    ],
)
def test_a_notebook_is_replayed_without_a_network(
    name: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it looks up besides answers (`models`), and ids of threads, are the service's and the day's.

    The other two have no cell that could be replayed: 02_client is about bare requests, which are kept nowhere, and
    03_threads about what a program does with a turn while it runs.
    """
    pytest.importorskip("pandas")
    if name == "04_agent":
        pytest.importorskip("codex_cli_bin")
    asked = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    asked.cells = [cell for cell in asked.cells if cell.get("id") not in LIVE]
    for cell in asked.cells:
        cell.source = cell.source.replace("tempfile.mkdtemp()", repr(str(tmp_path)))
    replayed = copy.deepcopy(asked)
    execute(asked, tmp_path)
    monkeypatch.setenv("CODEX_MAGIC_ANSWERS", "replay")
    monkeypatch.setenv("IPYTHONDIR", str(home / "cut off"))
    startup = home / "cut off" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "cut_off.py").write_text(CUT_OFF)
    last = v4.new_code_cell("print(attempts)")
    replayed.cells.append(last)
    (tmp_path / "again").mkdir()
    execute(replayed, tmp_path / "again")
    said, again = answered(asked), answered(replayed)
    assert again.pop(last.id) == "[]", "a connection was tried"
    assert {id: again[id] for id in STEPS & again.keys() if not said[id].endswith(again[id])} == {}
    assert {id for id in again if again[id] != said[id]} <= STEPS


LIVE = {
    *("models", "errors"),
    *("ask-result", "change-result"),
    *("python", "python-change", "python-command", "python-tool", "python-steer", "python-stop", "end"),
}
"""Cells that look at the service, or ask again what has failed: the same question has one stored answer. Those that
look at what a step has done, which no replay does. Turns of a program, which are its own to repeat."""

STEPS = {"probe", "commit", "tool", "look", "ask", "change"}
"""Cells whose answers have steps, which are not repeated: what was said after them is."""

OF_THE_DAY = (
    "provider start status settings threads fork new history peek answers provenance trace export".split()
)


def answered(notebook: NotebookNode) -> dict[str, str]:
    """What each cell shows, blanks left out, without the lines on what was sent and whether it was."""
    shown = {id: text for id, text in plain(notebook).items() if id not in OF_THE_DAY}
    lines = r"^Sent: .*$|\s*^Replayed.*? · %%codex --again( · 1 step not repeated)?"
    return {id: "".join(re.sub(lines, "", text, flags=re.MULTILINE).split()) for id, text in shown.items()}
