"""A notebook keeps its own thread whatever becomes of its file and its kernel, on a real Jupyter server.

Each question tells what the service was sent before it, so a foreign turn or a lost one is seen there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.end_to_end.kernel import markdown
from tests.end_to_end.lab import JupyterServer
from tests.end_to_end.page import Page, new_untitled
from tests.home import home_variables, personal_variables, service_variables
from tests.service import LocalService, start

LOAD = "%load_ext codex_magic"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, LocalService]]:
    """One server for all; each test has a folder of it."""
    home = tmp_path_factory.mktemp("home")
    with start() as service, pytest.MonkeyPatch.context() as patch:
        service.sign_in(home / ".codex")
        for name in personal_variables():
            patch.delenv(name)
        for name, value in {**home_variables(home), **service_variables(service)}.items():
            patch.setenv(name, value)
        with JupyterServer(tmp_path_factory.mktemp("notebooks")) as server:
            yield server, service


@pytest.fixture
def folder(served: tuple[JupyterServer, LocalService], request: pytest.FixtureRequest) -> Path:
    folder = served[0].folder / request.node.name
    folder.mkdir()
    return folder


def conversations(service: LocalService) -> list[list[str]]:
    """The user's words in each request, oldest first."""
    bodies = [request.json for request in service.requests if request.path.endswith("/responses")]
    asked = [[item for item in body["input"] if item.get("role") == "user"] for body in bodies]
    texts = [[part["text"] for item in items for part in item["content"]] for items in asked]
    return [[text for text in each if not text.startswith("<external_")] for each in texts]


_OPEN: list[Page] = []


class Notebook:
    """A page that loads the extension first; `ask` gives the conversation that was sent, and the answer."""

    def __init__(self, server: JupyterServer, service: LocalService, path: str) -> None:
        self.server, self.service = server, service
        self.page = Page(server, path)
        _OPEN.append(self.page)
        loading = next((cell for cell in self.page.cells if cell["source"] == LOAD), None)
        self.page.run(LOAD, cell=loading)
        self.answer = ""

    def ask(self, question: str, *, cell: dict | None = None) -> list[str]:
        self.answer = markdown(self.page.run(f"%%codex\n{question}", cell=cell))
        return conversations(self.service)[-1]

    def saved(self) -> Notebook:
        self.page.save()
        return self

    def reopened(self) -> Notebook:
        """Shut down and opened again, by a new kernel."""
        self.page.shut_down()
        return Notebook(self.server, self.service, self.page.path)

    def rename(self, name: str) -> None:
        self.page.save()
        self.page.rename(str(PurePosixPath(self.page.path).parent / name))


@pytest.fixture
def new(served: tuple[JupyterServer, LocalService], folder: Path) -> Iterator[Callable[..., Notebook]]:
    """Opens the notebook of that name in the test's folder, or a new one."""
    server, service = served

    def open_notebook(name: str | None = None) -> Notebook:
        path = f"{folder.name}/{name}" if name else new_untitled(server, folder.name)
        return Notebook(server, service, path)

    yield open_notebook
    while _OPEN:
        _OPEN.pop().close()


def test_a_new_notebook_at_an_old_path_begins_empty_and_the_renamed_one_keeps_its_thread(new):
    """JupyterLab's everyday order: New, rename at the first save, New again; then restart the first."""
    taxes = new()
    taxes.ask("echo: my salary")
    taxes.rename("taxes.ipynb")
    other = new()
    assert PurePosixPath(other.page.path).name == "Untitled.ipynb"
    assert other.ask("echo: hello") == ["echo: hello"]
    other.saved()
    assert taxes.ask("echo: more") == ["echo: my salary", "echo: more"]
    taxes.page.restart()
    taxes.page.run(LOAD)
    assert taxes.ask("echo: after") == ["echo: my salary", "echo: more", "echo: after"]
    assert other.ask("echo: again") == ["echo: hello", "echo: again"]


def test_a_notebook_renamed_before_its_first_question_does_not_take_its_successor_for_itself(new):
    first = new()
    first.rename("first.ipynb")
    second = new()
    second.ask("echo: of the second")
    second.saved().page.shut_down()
    assert first.ask("echo: of the first") == ["echo: of the first"]


def test_a_notebook_that_was_deleted_leaves_its_path_and_not_its_thread(new, folder):
    notebook = new()
    notebook.ask("echo: secret plans")
    notebook.saved().page.shut_down()
    (folder / "Untitled.ipynb").unlink()
    assert new().ask("echo: hello") == ["echo: hello"]


def test_a_restart_keeps_the_thread_though_nothing_was_saved(new):
    notebook = new()
    notebook.ask("echo: one")
    notebook.page.restart()
    notebook.page.run(LOAD)
    assert notebook.ask("echo: two") == ["echo: one", "echo: two"]
    assert "Continues thread" in notebook.answer
    assert "1 turn, last used just now" in notebook.answer
    assert notebook.ask("echo: three")[0] == "echo: one"
    assert "Continues thread" not in notebook.answer


def test_a_notebook_opened_by_a_new_kernel_goes_on(new):
    notebook = new()
    notebook.ask("echo: one")
    assert notebook.saved().reopened().ask("echo: two") == ["echo: one", "echo: two"]


def test_a_notebook_whose_outputs_were_cleared_goes_on_by_its_cells(new):
    notebook = new()
    notebook.ask("echo: one")
    for cell in notebook.page.cells:
        cell["outputs"] = []
    assert notebook.saved().reopened().ask("echo: two") == ["echo: one", "echo: two"]


def test_a_notebook_that_is_moved_and_renamed_while_closed_goes_on(new, folder):
    notebook = new()
    notebook.ask("echo: one")
    notebook.saved().page.shut_down()
    (folder / "archive").mkdir()
    (folder / "Untitled.ipynb").rename(folder / "archive" / "plans.ipynb")
    new()  # somebody else has the old name by then
    assert new("archive/plans.ipynb").ask("echo: two") == ["echo: one", "echo: two"]


def test_a_copy_goes_on_in_a_fork_and_says_so(new, folder):
    original = new()
    original.ask("echo: one")
    original.rename("plans.ipynb")
    original = original.reopened()
    original.ask("echo: two")
    original.saved()
    (folder / "copy.ipynb").write_bytes((folder / "plans.ipynb").read_bytes())
    copy = new("copy.ipynb")
    assert copy.ask("echo: in the copy") == ["echo: one", "echo: two", "echo: in the copy"]
    assert "A copy of plans.ipynb: continues in a fork of thread" in copy.answer
    assert original.ask("echo: three") == ["echo: one", "echo: two", "echo: three"]
    # Each keeps its own, also after both were closed; a question of the copy's cell is the copy's alone.
    copy, original = copy.saved().reopened(), original.saved().reopened()
    first = next(cell for cell in copy.page.cells if "one" in cell["source"])
    assert copy.ask("echo: another one", cell=first) == ["echo: another one"]
    assert copy.ask("echo: last")[:2] == ["echo: another one", "echo: two"]
    assert original.ask("echo: four") == [f"echo: {n}" for n in ("one", "two", "three", "four")]


def test_a_copy_of_a_notebook_that_was_renamed_by_its_open_page_is_a_copy(new, folder):
    original = new()
    original.ask("echo: one")
    original.rename("plans.ipynb")  # its kernel does not know
    (folder / "copy.ipynb").write_bytes((folder / "plans.ipynb").read_bytes())
    copy = new("copy.ipynb")
    copy.ask("echo: in the copy")
    assert original.ask("echo: two") == ["echo: one", "echo: two"]


def test_copies_made_before_anything_was_asked_are_strangers(new, folder):
    """Course material: the same cells, ids and all, handed out twice."""
    template = new()
    template.page.run("1")
    template.saved().page.shut_down()
    for name in ("hw1.ipynb", "hw2.ipynb"):
        (folder / name).write_bytes((folder / "Untitled.ipynb").read_bytes())
    one, two = new("hw1.ipynb"), new("hw2.ipynb")
    for notebook, question in ((one, "echo: first"), (two, "echo: second")):
        cell = notebook.page.cells[-1]
        assert notebook.ask(question, cell=cell) == [question]
    two.page.shut_down()
    assert new("hw2.ipynb").ask("echo: more") == ["echo: second", "echo: more"]


def test_an_answer_pasted_from_another_notebook_does_not_bring_its_thread(new):
    source = new()
    source.ask("echo: private")
    source.saved()
    other = new()
    other.page.cells.append({**source.page.cells[-1], "id": "0badcafe"})
    assert other.saved().reopened().ask("echo: hello") == ["echo: hello"]


def test_two_kernels_on_one_file_share_its_thread(new, served, monkeypatch):
    notebook = new()
    notebook.ask("echo: one")
    notebook.saved()
    # JupyterLab gives a file one session; a second server on the same folder gives it another kernel.
    server, service = served
    home = server.runtime.parent
    for name, value in {**home_variables(home), **service_variables(service)}.items():
        monkeypatch.setenv(name, value)
    with JupyterServer(server.folder) as second:
        beside = Notebook(second, service, notebook.page.path)
        assert beside.ask("echo: two") == ["echo: one", "echo: two"]
        assert notebook.ask("echo: three") == ["echo: one", "echo: two", "echo: three"]


NESTED = """
import json, nbformat
from concurrent.futures import ThreadPoolExecutor
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
def run(n):
    cells = [new_code_cell("%load_ext codex_magic"), new_code_cell(f"%%codex\\necho: inner {n}")]
    NotebookClient(new_notebook(cells=cells), kernel_name="python3").execute()
"""


def test_notebooks_run_by_a_notebook_are_notebooks_of_their_own(new):
    outer = new()
    outer.ask("echo: outer")
    outer.saved()
    outer.page.run(NESTED)
    outer.page.run("with ThreadPoolExecutor(2) as pool:\n    list(pool.map(run, range(2)))")
    inner = conversations(outer.service)[-2:]
    assert sorted(inner) == [["echo: inner 0"], ["echo: inner 1"]]
    assert outer.ask("echo: more") == ["echo: outer", "echo: more"]


def test_a_program_that_a_cell_starts_has_no_part_in_the_notebook(new):
    outer = new()
    outer.ask("echo: outer")
    outer.saved()
    script = "%load_ext codex_magic\\n%codex echo: from a script"
    outer.page.run(
        "import subprocess, sys\n"
        f"done = subprocess.run([sys.executable, '-m', 'IPython', '-c', '{script}'], capture_output=True, text=True)"
    )
    assert conversations(outer.service)[-1] == ["echo: from a script"]
    assert outer.ask("echo: more") == ["echo: outer", "echo: more"]


@pytest.mark.parametrize("ids", ["renumbered", "removed"])
def test_a_git_filter_that_renumbers_cells_loses_and_mixes_nothing(new, folder, ids):
    notebook = new()
    notebook.ask("echo: my name is Ada")
    notebook.ask("echo: second")
    notebook.saved().page.shut_down()
    path = folder / "Untitled.ipynb"
    saved = json.loads(path.read_text())
    for number, cell in enumerate(saved["cells"]):
        cell["outputs"] = []
        cell["id"] = str(number)
        if ids == "removed":
            del cell["id"]
    if ids == "removed":
        saved["nbformat_minor"] = 4
    path.write_text(json.dumps(saved))
    filtered = new("Untitled.ipynb")
    assert filtered.ask("echo: third", cell=filtered.page.cells[0])[:2] == [
        "echo: my name is Ada",
        "echo: second",
    ]


def test_a_file_that_is_no_notebook_any_more_is_no_evidence(new, folder):
    notebook = new()
    notebook.ask("echo: one")
    notebook.saved().page.shut_down()
    page = new()  # a new kernel, whose file is spoilt before it is asked anything
    (page.server.folder / page.page.path).write_text('{"cells": [' + "[" * 5000)
    assert page.ask("echo: hello") == ["echo: hello"]


def test_commands_see_the_same_thread_without_making_one(new):
    notebook = new()
    notebook.ask("echo: one")
    again = notebook.saved().reopened()
    thread_ids = [markdown(again.page.run("%codex status")), markdown(again.page.run("%codex threads"))]
    assert "none yet" not in thread_ids[0]
    assert "→" in thread_ids[1]
    again.page.run("%codex new")
    assert again.ask("echo: two") == ["echo: two"]
    assert again.saved().reopened().ask("echo: three") == ["echo: two", "echo: three"]
