"""The question whether Codex may read the notebook, in real kernels: how long a yes holds, and who else it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.widgets import FrontEnd
from tests.peers.agent import use

LOOK = f"%%codex\n{use('list_variables')}"
LOOK_TWICE = f"%%codex\n{use('list_variables')}, then {use('inspect_variable', name='df')}"
TITLE = "Allow Codex to read this notebook?"


class Notebook(FrontEnd):
    """`answers`: a click on each question that comes; the Markdown of the cell's outputs."""

    def ask(self, cell: str, *answers: str) -> str:
        self.messages.clear()
        request = self.run(cell)
        for answer in answers:
            self.until(lambda: self.shown(TITLE))
            self.click(answer)
            self.until(lambda: not self.shown(TITLE))
        self.idle(request)
        return markdown(self.outputs)


def opened(kernel: Kernel) -> Notebook:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    kernel.execute("df = 'the-value'")
    return Notebook(kernel)


@pytest.fixture
def notebook(kernel: Kernel) -> Notebook:
    return opened(kernel)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Notebook]:
    """Another notebook of the same user."""
    folder = tmp_path / "other"
    folder.mkdir()
    with Kernel(folder) as kernel:
        yield opened(kernel)


def test_a_yes_for_this_time_holds_for_one_answer(notebook: Notebook) -> None:
    shown = notebook.ask(LOOK_TWICE, "This time")
    assert "df: str" in shown
    assert "the-value" in shown
    assert "· approved" in shown
    assert "nobody" not in shown
    assert "df: str" in notebook.ask(LOOK, "This time")


def test_a_yes_for_the_notebook_outlives_its_kernel_and_is_taken_back(
    notebook: Notebook, other: Notebook
) -> None:
    assert "approved for this notebook" in notebook.ask(LOOK, "In this notebook")
    assert "df: str" in notebook.ask(LOOK)
    notebook.kernel.restart()
    notebook = opened(notebook.kernel)
    assert "df: str" in notebook.ask(LOOK)
    assert "declined" in other.ask(LOOK, "No")
    assert "this notebook" in notebook.ask("%codex reads")
    assert "this notebook" not in notebook.ask("%codex reads ask").partition("Allowed")[2]
    assert "declined" in notebook.ask(LOOK, "No")


def test_a_yes_for_good_holds_in_every_notebook_until_it_is_taken_back(
    notebook: Notebook, other: Notebook
) -> None:
    assert "always approved" in notebook.ask(LOOK, "Always, in every notebook")
    assert "df: str" in other.ask(LOOK)
    assert "every notebook" in other.ask("%codex reads")
    other.ask("%codex reads ask")
    assert "declined" in notebook.ask(LOOK, "No")


def test_a_no_is_asked_once_in_an_answer_and_gives_nothing(notebook: Notebook) -> None:
    shown = notebook.ask(LOOK_TWICE, "No")
    assert shown.count("Not read: declined") == 2
    assert "the-value" not in shown


def test_unattended_nothing_is_read_unless_it_was_allowed_before(kernel: Kernel) -> None:
    notebook = opened(kernel)
    assert "Not read: nobody to ask" in markdown(kernel.execute(LOOK))
    notebook.ask(LOOK, "In this notebook")
    assert "df: str" in markdown(kernel.execute(LOOK))


def test_a_background_answer_reads_while_a_cell_is_busy_and_changes_nothing(kernel: Kernel) -> None:
    """The cell changes names and values all the time; it goes on undisturbed, and so does what reads."""
    opened(kernel)
    kernel.execute("%codex reads yes")
    tools = " and ".join(
        [
            use("list_variables 3 times"),
            use("inspect_variable", name="table"),
            use("read_notebook"),
            use("search_notebook", text="busy"),
        ]
    )
    kernel.execute("from codex_magic.notebook.magics import loaded\ntable = {n: n for n in range(1000)}")
    asking = kernel.send(f"%%codex --background -o answer\n{tools}", cell_id="asking", allow_stdin=True)
    busy = kernel.send(
        """
shell, names = get_ipython(), globals()
before = dict(shell.user_ns["_oh"]), shell.user_ns["_i"], shell.execution_count
[turn], rounds = loaded(shell).session.running, 0
while not turn.over.done():
    rounds += 1
    names[f"busy_{rounds % 500}"] = table[rounds] = rounds
    names.pop(f"busy_{(rounds + 250) % 500}", None)
    table.pop(rounds - 500, None)
after = dict(shell.user_ns["_oh"]), shell.user_ns["_i"], shell.execution_count
""",
        cell_id="busy",
    )
    ends = {asking, busy}
    while ends:
        message = kernel.client.get_iopub_msg(timeout=60)
        if message["content"].get("execution_state") == "idle":
            ends.discard(message["parent_header"].get("msg_id"))
    assert kernel.value("rounds > 0 and before == after") == "True"
    calls = "[each for each in answer.items if type(each).__name__ == 'ToolCall']"
    assert kernel.value(f"len({calls})") == "6"
    assert kernel.value(f"{{each.success for each in {calls}}}") == "{True}"
