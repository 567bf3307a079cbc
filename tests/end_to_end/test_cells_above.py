"""Which cells come along with a question, in real kernels with files, with nbclient, and after a restart."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import v4

from tests.end_to_end.kernel import Kernel, markdown
from tests.service import LocalService


def contexts(service: LocalService) -> list[str]:
    """The notebook's texts in the last request."""
    [*_, last] = [each.json["input"] for each in service.requests if each.path.endswith("/responses")]
    texts = [item["content"][0]["text"] for item in last if item.get("role") == "user"]
    return [text for text in texts if text.startswith("<external_notebook>")]


def save(path: Path, **cells: str) -> None:
    listed = [v4.new_code_cell(source, id=id) for id, source in cells.items()]
    path.write_text(json.dumps(v4.new_notebook(cells=listed)))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "a.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    return path


def test_a_notebook_is_told_as_its_file_has_it_with_what_ran_since(path: Path, service: LocalService) -> None:
    save(
        path,
        load01="%load_ext codex_magic",
        one001="x = 1",
        two002="y = 2",
        ask001="%%codex\necho: a",
        low001="z",
    )
    with Kernel(path.parent) as kernel:
        kernel.execute("%load_ext codex_magic", cell_id="load01")
        kernel.execute("y = 2", cell_id="two002")
        kernel.execute("x = 100", cell_id="one001")  # edited, and not saved
        seen = markdown(kernel.execute("%%codex\necho: a", cell_id="ask001"))
        [told] = contexts(service)
        assert told.index("x = 100") < told.index("y = 2")
        assert "\nz" not in told
        assert "Sent: 2 cells · " in seen
        kernel.restart()
        kernel.execute("%load_ext codex_magic", cell_id="load01")
        kernel.execute("%%codex\necho: b", cell_id="ask002")
        [first, again] = contexts(service)
        assert first == told
        assert "(not run), in a new version\nx = 1" in again
        assert "\nz" in again  # nothing has run, and the question is not saved: it may stand below all


def test_a_cell_that_is_cut_in_two_and_run_again_is_told_as_it_is_now(
    path: Path, service: LocalService
) -> None:
    save(path, one001="x = 1\ny = 2", ask001="%%codex\necho: a")
    with Kernel(path.parent) as kernel:
        kernel.execute("%load_ext codex_magic", cell_id="load01")
        kernel.execute("x = 1\ny = 2", cell_id="one001")
        kernel.execute("%%codex\necho: a", cell_id="ask001")
        save(path, one001="x = 1", new001="y = 3", ask001="%%codex\necho: a", ask002="%%codex\necho: b")
        kernel.execute("y = 3", cell_id="new001")
        kernel.execute("%%codex\necho: b", cell_id="ask002")
        news = contexts(service)[1]
        assert "changed since it ran, in a new version\nx = 1\n" in news
        assert "y = 3" in news


def test_in_nbclient_what_ran_is_what_is_above(tmp_path: Path, service: LocalService) -> None:
    sources = ["%load_ext codex_magic", "x = 1", "print('out')", "%%codex\necho: a", "z = 3"]
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    [told] = contexts(service)
    assert told.endswith("# %% In[2]\nx = 1\n\n# %% In[3]\nprint('out')</external_notebook>")
    assert "Sent: 2 cells · " in nbformat.writes(notebook)


def test_outputs_come_along_where_that_is_wanted(path: Path, service: LocalService) -> None:
    with Kernel(path.parent) as kernel:
        kernel.execute("%load_ext codex_magic", cell_id="load01")
        kernel.execute("print('hello\\r' + 'there')\n6 * 7", cell_id="one001")
        kernel.execute("%%codex --context outputs\necho: a", cell_id="ask001")
        [told] = contexts(service)
        assert "# -> output\nthere\n42" in told
        assert "hello" not in told.partition("# -> output")[2]


def test_a_question_in_vs_code_knows_its_place(
    path: Path, service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME")
    save(path, one001="x = 1", ask001="%%codex\necho: a", low001="z = 3")
    address = "vscode-notebook-cell:/a.ipynb#W{}sZmlsZQ%3D%3D"
    with Kernel(path.parent) as kernel:
        kernel.execute(
            f"%load_ext codex_magic\n__vsc_ipynb_file__ = {str(path)!r}", cell_id=address.format(9)
        )
        kernel.execute("z = 3", cell_id=address.format(2))
        kernel.execute("%%codex\necho: a", cell_id=address.format(1))
        [told] = contexts(service)
        assert "x = 1" in told
        assert "z = 3" not in told


def sources(told: str) -> list[str]:
    """The sources of the cells in a text, top to bottom."""
    body = told.removesuffix("</external_notebook>")
    return [part.partition("\n")[2].strip() for part in body.split("# %% ")[1:]]


def test_cells_that_are_moved_inserted_deleted_and_run_again_are_told_as_they_stand(
    path: Path, service: LocalService
) -> None:
    first = {"one001": "x = 1", "two002": "y = 2", "tri003": "z = 3"}
    save(path, **first, ask001="%%codex\necho: a")
    with Kernel(path.parent) as kernel:
        kernel.execute("%load_ext codex_magic", cell_id="load01")
        for id, source in first.items():
            kernel.execute(source, cell_id=id)
        kernel.execute("%%codex\necho: a", cell_id="ask001")
        assert sources(contexts(service)[-1]) == ["x = 1", "y = 2", "z = 3"]
        # Moved: all is told once more, in the new order.
        save(path, tri003="z = 3", one001="x = 1", two002="y = 2", ask002="%%codex\necho: b")
        kernel.execute("%%codex\necho: b", cell_id="ask002")
        assert sources(contexts(service)[-1]) == ["z = 3", "x = 1", "y = 2"]
        # One inserted and saved, one deleted, one run again with another text that is not saved.
        save(path, tri003="z = 3", new004="w = 0", two002="y = 2", ask003="%%codex\necho: c")
        kernel.execute("y = 20", cell_id="two002")
        seen = markdown(kernel.execute("%%codex\necho: c", cell_id="ask003"))
        news = contexts(service)[-1]
        assert sources(news) == ["w = 0", "y = 20"]
        assert "Deleted since: In[" in news
        assert "as last saved" not in seen
        # A question that no save has seen yet: where it stands is said to be uncertain.
        kernel.execute("v = 5", cell_id="new005")
        seen = markdown(kernel.execute("%%codex\necho: d", cell_id="ask004"))
        assert sources(contexts(service)[-1]) == ["v = 5"]
        assert "as last saved" in seen


def test_a_notebook_in_vs_code_through_edits_and_a_restart(
    path: Path, service: LocalService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """VS Code names the notebook in a variable that it sets silently, and cells by numbers that a window gives."""
    monkeypatch.delenv("JPY_SESSION_NAME")
    monkeypatch.setenv("VSCODE_PID", "1")
    address = "vscode-notebook-cell:/a.ipynb#X{}sZmlsZQ%3D%3D"

    def open_in(kernel: Kernel) -> None:
        kernel.client.execute(
            f"__vsc_ipynb_file__ = {str(path)!r}", silent=True, store_history=False, reply=True
        )
        kernel.execute("%load_ext codex_magic", cell_id=address.format(0))

    save(path, one001="x = 1", two002="y = 2", ask001="%%codex\necho: a", low001="z = 3")
    with Kernel(path.parent) as kernel:
        open_in(kernel)
        kernel.execute("y = 2", cell_id=address.format(2))
        kernel.execute("x = 100", cell_id=address.format(1))  # edited, and not saved
        kernel.execute("z = 3", cell_id=address.format(4))
        seen = markdown(kernel.execute("%%codex\necho: a", cell_id=address.format(3)))
        told = contexts(service)[-1]
        assert "z = 3" not in told
        assert {"y = 2", "x = 100"} <= set(sources(told))
        assert "cells as last saved" in seen  # it can't know that this was `x = 1`
        save(path, two002="y = 2", one001="x = 100", ask001="%%codex\necho: a", ask002="%%codex\necho: b")
        kernel.restart()
        open_in(kernel)
        kernel.execute("%%codex\necho: b", cell_id=address.format(5))
        assert sources(contexts(service)[-1]) == ["y = 2", "x = 100"]
        assert "(not run)" in contexts(service)[-1]
