"""A kernel whose cells are run otherwise than IPython does by itself."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.end_to_end.kernel import Kernel, markdown, state
from tests.end_to_end.notebooks import execute, notebook_of
from tests.service import LocalService

THREADED = """
import asyncio, threading
def runner(coroutine):
    "As trio's and curio's: in a world of its own, where asyncio's futures mean nothing."
    outcome = []
    def run():
        try:
            coroutine.send(None)
        except StopIteration as end:
            outcome.append(end.value)
        else:
            raise TypeError("unrecognized yield message")
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return outcome[0]
get_ipython().loop_runner = runner
"""


def last_input(kernel: Kernel) -> str:
    """What became of the cell before."""
    return kernel.value("get_ipython().history_manager.input_hist_parsed[-1]")


@pytest.mark.parametrize("before", ["%autoawait off", "%autoawait sync", "%autoawait False", THREADED])
def test_a_cell_is_answered_by_blocking_where_asyncio_does_not_run_it(notebook: Kernel, before: str) -> None:
    assert notebook.execute(before) == []
    found = notebook.execute("%%codex\necho: all the same")
    assert "all the same" in markdown(found)
    assert state(found) == "done"
    assert "await" not in last_input(notebook)
    [error] = notebook.execute("1/0")
    assert error["ename"] == "ZeroDivisionError"
    assert notebook.execute("%autoawait asyncio") == []
    assert "again" in markdown(notebook.execute("%%codex\necho: again"))
    assert "await" in last_input(notebook)


NESTED = {
    "run_cell_async": "await shell.run_cell_async(source, transformed_cell=shell.transform_cell(source))",
    "run_cell": "shell.run_cell(source)",
    "an error": "1/0",
    "a silent one": "shell.run_cell(source, silent=True)",
}


@pytest.mark.parametrize("source", ["1 + 1", "%%codex\necho: nested"])
@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
def test_a_cell_inside_a_cell_changes_nothing_for_those_after(
    notebook: Kernel, nested: str, source: str
) -> None:
    found = notebook.execute(f"shell, source = get_ipython(), {source!r}\n{nested}")
    if "codex" in source and "1/0" not in nested:
        assert "nested" in markdown(found)
    assert "after" in markdown(notebook.execute("%%codex\necho: after"))
    assert last_input(notebook).startswith("\"await __import__('codex_magic')")


def test_a_cell_that_nobody_carries_to_its_end_shows_nothing_in_the_next(
    notebook: Kernel, service: LocalService
) -> None:
    service.faults.next("hold", after=1)
    begin = """
        import codex_magic
        coroutine = codex_magic.run_cell("", "echo: never seen")
        for _ in range(1):
            coroutine.send(None)
    """
    assert notebook.execute(textwrap.dedent(begin)) == []
    service.wait_for_hold()
    assert notebook.execute("coroutine.close()") == []
    service.release()
    found = notebook.execute("%%codex\necho: seen")
    assert "seen" in markdown(found)
    assert "never" not in markdown(found)
    assert "Interrupted" not in markdown(found)


def test_a_shell_besides_the_kernels_binds_in_its_own_names(notebook: Kernel) -> None:
    notebook.execute(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "other = InteractiveShell()\n"
        "other.run_cell('%load_ext codex_magic')"
    )
    notebook.execute("other.run_cell('%%codex -o answer\\necho: in the other');")
    assert notebook.value("other.user_ns['answer'].final_response") == "'in the other'"
    assert notebook.value("'answer' in globals()") == "False"


def test_where_nobody_looks_a_cell_waits_for_its_answer_in_the_background(
    service: LocalService, tmp_path: Path
) -> None:
    """nbclient, as nbconvert, papermill and `jupyter execute` use it."""
    sources = (
        "%load_ext codex_magic",
        "%%codex --background -o answer\necho: hello",
        "print(answer.status.value)",
    )
    _, asked, used = execute(notebook_of(*sources), tmp_path).cells
    assert "hello" in markdown(asked.outputs)
    assert state(asked.outputs) == "done"
    assert "waits for it" in markdown(asked.outputs)
    assert "Working" not in str(asked.outputs)
    assert used.outputs[0].text == "completed\n"
