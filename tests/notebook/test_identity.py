"""Which notebook and cell a kernel runs, as each front end says it."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from codex_magic.notebook.environment import may_ask
from codex_magic.notebook.recognition import gather, recognise
from codex_magic.notebook.shell import cell_id
from codex_magic.threads.store import NotebookRecord, Store
from tests.known import some
from tests.notebook.shell_like import shell_like


def shell(*, connection="/run/kernel-12ab.json", metadata=None, **names):
    kernel = SimpleNamespace(
        parent=SimpleNamespace(connection_file=connection), get_parent=lambda _: {"metadata": metadata}
    )
    return shell_like(user_ns=names, kernel=kernel)


def evidence_of(shell, cells, environ):
    return some(gather(shell, cells, environ))


def test_jupyter_server_names_the_file(tmp_path):
    path = os.path.realpath(tmp_path / "a.ipynb")
    evidence = evidence_of(shell(), set(), {"JPY_SESSION_NAME": path})
    assert (evidence.path, evidence.kernel) == (path, "kernel-12ab")


def test_a_path_that_is_relative_to_the_server_is_looked_for_in_the_kernels_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evidence = evidence_of(shell(), set(), {"JPY_SESSION_NAME": f"below/{tmp_path.name}/a.ipynb"})
    assert evidence.path == os.path.realpath(tmp_path / "a.ipynb")


def test_a_session_without_a_file_is_named_by_the_server():
    evidence = evidence_of(shell(), set(), {"JPY_SESSION_NAME": "console-1-8c0f"})
    assert (evidence.path, evidence.here) == (None, "session:console-1-8c0f")


def test_vs_code_names_the_file(tmp_path):
    path = os.path.realpath(tmp_path / "a.ipynb")
    assert evidence_of(shell(__vsc_ipynb_file__=path), set(), {}).path == path


def test_otherwise_the_kernel_is_recognised_by_what_outlives_its_restart():
    evidence = evidence_of(shell(), set(), {})
    assert (evidence.here, evidence.kernel) == (None, "kernel-12ab")


def test_a_terminal_has_no_notebook():
    terminal = shell_like(user_ns={})
    assert gather(terminal, set(), {}) is None
    assert cell_id(terminal) is None


ADDRESS = "vscode-notebook-cell:/notebooks/a.ipynb#W2sZmlsZQ%3D%3D"


@pytest.mark.parametrize(
    ("metadata", "cell"),
    [
        ({"cellId": "c1"}, "c1"),
        ({"cell_id": "c2"}, "c2"),
        ({}, None),
        (None, None),
        ({"cellId": 7}, None),
        ({"cellId": ADDRESS}, f"kernel-12ab:{ADDRESS}"),
    ],
)
def test_the_cell_is_the_one_the_front_end_named(metadata, cell):
    """VS Code's address is made of the cell's place, so it names a cell as long as its kernel lives."""
    assert cell_id(shell(metadata=metadata)) == cell


def test_a_kernel_may_have_one_channel_only():
    """xeus-python's takes none by its name."""
    kernel = SimpleNamespace(get_parent=lambda: {"metadata": {"cellId": "c1"}})
    assert cell_id(shell_like(kernel=kernel)) == "c1"
    assert not may_ask(shell_like(kernel=kernel))


def test_only_ids_that_a_file_keeps_are_evidence():
    cells = {"0badcafe", "3", f"kernel-12ab:{ADDRESS}"}
    assert evidence_of(shell(), cells, {}).cells == {"0badcafe"}


CHILD = """
from types import SimpleNamespace
from codex_magic.notebook.recognition import gather
kernel = SimpleNamespace(parent=SimpleNamespace(connection_file="k.json"))
print(gather(SimpleNamespace(user_ns={}, kernel=kernel), set()).here)
"""


def run(script: str, env: dict[str, str], *arguments: str) -> str:
    env = {**os.environ, **env}
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


LAUNCHER = """
import os, subprocess, sys
env = {**os.environ, "JPY_PARENT_PID": str(os.getpid()), **({"JPY_SESSION_NAME": sys.argv[2]} if sys.argv[2:] else {})}
print(subprocess.run([sys.executable, "-c", sys.argv[1]], env=env, capture_output=True, text=True, check=True).stdout)
"""


def test_a_name_that_the_launcher_has_itself_is_another_notebooks(tmp_path):
    """nbclient, papermill or a script started by a cell hand the cell's own variables on to their kernels."""
    outer = os.path.realpath(tmp_path / "outer.ipynb")
    assert run(LAUNCHER, {"JPY_SESSION_NAME": outer}, CHILD) == "None"


def test_a_name_that_the_launcher_gave_is_this_notebooks(tmp_path):
    outer, inner = (os.path.realpath(tmp_path / name) for name in ("outer.ipynb", "inner.ipynb"))
    assert run(LAUNCHER, {}, CHILD, inner) == inner
    # A server that was started by a cell.
    assert run(LAUNCHER, {"JPY_SESSION_NAME": outer}, CHILD, inner) == inner


def test_a_process_between_the_server_and_the_kernel_has_the_kernels_variables(tmp_path):
    """`conda run` in a kernel specification, for example."""
    path = os.path.realpath(tmp_path / "a.ipynb")
    wrapper = f"import subprocess, sys; print(subprocess.run([sys.executable, '-c', {CHILD!r}], capture_output=True, text=True).stdout)"
    assert run(LAUNCHER, {}, wrapper, path) == path


def test_a_notebook_whose_file_cannot_be_read_is_not_taken_for_another_one(tmp_path):
    """Contents on a remote store: a path says who was there, and a cell that is not known says who is."""
    path = os.path.realpath(tmp_path / "a.ipynb")
    with Store(tmp_path / "threads.db") as store:
        thread = store.create_thread()
        store.keep_notebook(NotebookRecord("n1", thread.id, path), kernel=None)
        store.begin_turn(thread.id, cell_id="0badcafe", notebook="n1")
        for cells, notebook in (({"0badcafe"}, "n1"), (set(), "n1"), ({"12345678"}, None)):
            seen = recognise(store, evidence_of(shell(), cells, {"JPY_SESSION_NAME": path}))
            assert (seen.id if notebook else seen.thread_id) == notebook


def test_the_id_in_the_metadata_outweighs_cells_and_answers_that_were_pasted(tmp_path):
    with Store(tmp_path / "threads.db") as store:
        turns = {}
        for name in ("n1", "n2"):
            thread = store.create_thread()
            store.keep_notebook(NotebookRecord(name, thread.id, None), kernel=None)
            turns[name] = store.begin_turn(thread.id, cell_id=f"cell-of-{name}", notebook=name).id
        path = tmp_path / "a.ipynb"
        for written, claimed in ((None, "n2"), ("n1", "n1"), ("another store's", "n2")):
            path.write_text(saved(cell="cell-of-n2", turn=turns["n2"], notebook=written))
            seen = recognise(store, evidence_of(shell(), set(), {"JPY_SESSION_NAME": str(path)}))
            assert seen.id == claimed


def test_the_id_that_the_page_has_outweighs_the_kernels_own_record(tmp_path):
    """The kernel of one notebook was given to another, which is not saved yet."""
    with Store(tmp_path / "threads.db") as store:
        for name, kernel in (("n1", "kernel-12ab"), ("n2", None)):
            store.keep_notebook(NotebookRecord(name, store.create_thread().id, None), kernel=kernel)
        for told, claimed in ((None, "n1"), ("n2", "n2"), ("nobody's", "n1")):
            evidence = some(gather(shell(), set(), {}, said={"path": "a.ipynb", "notebook": told}))
            assert recognise(store, evidence).id == claimed


@pytest.mark.parametrize("metadata", [[], "n1", {"codex_magic": 1}, {"codex_magic": {"notebook": ["n1"]}}])
def test_metadata_of_another_shape_says_nothing(tmp_path, metadata):
    with Store(tmp_path / "threads.db") as store:
        store.keep_notebook(NotebookRecord("n1", store.create_thread().id, None), kernel=None)
        path = tmp_path / "a.ipynb"
        path.write_text(json.dumps({"cells": [], "metadata": metadata}))
        evidence = evidence_of(shell(), set(), {"JPY_SESSION_NAME": str(path)})
        assert recognise(store, evidence).thread_id is None


def saved(*, cell: str, turn: str, notebook: str | None) -> str:
    data = {"application/vnd.codex-magic.v1+json": {"turn": turn}}
    cells = [{"id": cell, "cell_type": "code", "source": "", "outputs": [{"data": data}]}]
    metadata = {"codex_magic": {"notebook": notebook}} if notebook else {}
    return json.dumps({"cells": cells, "metadata": metadata})
