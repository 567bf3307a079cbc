"""`%codex fix --rerun` in a kernel: the corrected code runs after a yes, and the notebook says what ran."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import v4

from tests.end_to_end.kernel import Kernel, markdown, outputs
from tests.end_to_end.widgets import FrontEnd
from tests.service import LocalService

Correct = Callable[[str], None]

FAILS = "numbers = [1, 2]\nnumber[0]"


@pytest.fixture
def page(notebook: Kernel, tmp_path: Path) -> FrontEnd:
    """A front end with buttons, whose kernel corrects every cell by what `corrected` says."""
    page = FrontEnd(notebook)
    run(page, f"%config CodexMagics.prompts = {str(tmp_path)!r}")
    run(page, FAILS)
    return page


@pytest.fixture
def corrected(tmp_path: Path) -> Correct:
    def corrected(code: str) -> None:
        (tmp_path / "fix.md").write_text(f"echo: A slip.\n```python\n{code}\n```")

    return corrected


def run(page: FrontEnd, code: str) -> str:
    """Run a cell to its end; return what it published."""
    return ended(page, page.run(code))


def ended(page: FrontEnd, request: str) -> str:
    page.idle(request)
    shown = outputs([each for each in page.messages if each["parent_header"].get("msg_id") == request])
    texts = [each.get("text", "") + each.get("data", {}).get("text/plain", "") for each in shown]
    return "\n".join([markdown(shown), *texts, *(str(each.get("ename", "")) for each in shown)])


def fix(page: FrontEnd, *, answer: str = "Approve") -> str:
    request = page.run("%codex fix --rerun")
    page.until(lambda: page.shown("Run this code in this cell?"))
    page.click(answer)
    return ended(page, request)


def test_after_a_yes_the_code_runs_as_a_cell_would(page: FrontEnd, corrected: Correct) -> None:
    corrected("numbers = [10, 20]\nprint('ran')\nnumbers[0]")
    shown = fix(page)
    assert shown.index("This runs here") < shown.index("It ran to its end.")
    assert "\nran\n" in shown
    assert page.kernel.value("numbers, _") == "([10, 20], 10)"
    assert "No cell has failed" in run(page, "%codex fix")


def test_what_it_changed_is_told_and_can_be_undone(page: FrontEnd, corrected: Correct) -> None:
    corrected("numbers = [10, 20, 30]\nopen('made.txt', 'w').write('x')")
    assert "Changed: numbers: list of 2 -> list of 3" in fix(page)
    assert "Undone: numbers, made.txt." in run(page, "%codex undo")
    assert page.kernel.value("numbers, __import__('os').path.exists('made.txt')") == "([1, 2], False)"


def test_without_a_yes_nothing_runs(page: FrontEnd, corrected: Correct) -> None:
    corrected("ran = True")
    shown = fix(page, answer="Decline")
    assert "Declined: the code did not run." in shown
    assert "This runs here" not in shown
    assert page.kernel.value("'ran' in globals()") == "False"


def test_a_stop_is_no_yes(page: FrontEnd, corrected: Correct) -> None:
    corrected("ran = True")
    request = page.run("%codex fix --rerun")
    page.until(lambda: page.shown("Run this code in this cell?"))
    page.kernel.interrupt()
    assert "the code did not run" in ended(page, request)
    assert page.kernel.value("'ran' in globals()") == "False"


@pytest.mark.parametrize(
    "waits",
    ["while True:\n    pass", "import asyncio\nawait asyncio.sleep(100)", "import time\ntime.sleep(100)"],
)
def test_code_that_runs_can_be_stopped_and_later_cells_work(
    page: FrontEnd, corrected: Correct, waits: str
) -> None:
    corrected(f"print('begun', flush=True)\n{waits}\nran = True")
    request = page.run("%codex fix --rerun")
    page.until(lambda: page.shown("Run this code in this cell?"))
    page.click("Approve")
    page.until(lambda: any(each["content"].get("text") == "begun\n" for each in page.messages))
    page.kernel.interrupt()
    assert "You stopped it." in ended(page, request)
    assert page.kernel.value("'ran' in globals()") == "False"
    assert "echo of it" in run(page, "%%codex\necho: echo of it")


def test_code_awaits_and_shows_figures_where_it_ran(page: FrontEnd, corrected: Correct) -> None:
    corrected(
        "import asyncio\n%matplotlib inline\nimport matplotlib.pyplot as plt\n"
        "await asyncio.sleep(0)\nplt.plot([1, 2]);"
    )
    request = page.run("%codex fix --rerun")
    page.until(lambda: page.shown("Run this code in this cell?"))
    page.click("Approve")
    shown = ended(page, request)
    data = [
        each["content"]["data"]
        for each in page.messages
        if each["parent_header"].get("msg_id") == request and "data" in each["content"]
    ]
    kinds = [("image/png" in each, "It ran to its end." in each.get("text/plain", "")) for each in data]
    assert kinds.index((True, False)) < kinds.index((False, True))
    assert "It ran to its end." in shown


def test_what_fails_again_is_what_the_next_fix_is_about(
    page: FrontEnd, corrected: Correct, service: LocalService
) -> None:
    corrected("1 / 0")
    shown = fix(page)
    assert "It failed, as shown above." in shown
    assert "ZeroDivisionError" in shown
    corrected("1 / 1")
    run(page, "%codex fix")
    sent = str(service.requests[-1].json["input"][-2])
    assert "1 / 0" in sent
    assert "number[0]" not in sent.partition("What ran before")[0]


def test_the_next_question_knows_what_ran(page: FrontEnd, corrected: Correct, service: LocalService) -> None:
    corrected("numbers = [1, 2]\nnumbers[0]")
    fix(page)
    run(page, "%%codex\necho: a")
    sent = "\n".join(str(item) for item in service.requests[-1].json["input"])
    assert "numbers = [1, 2]\\nnumbers[0]</external_notebook>" in sent.replace("\\\\n", "\\n")
    assert "The last error" not in sent.rpartition("New or changed")[2]


@pytest.mark.parametrize("code", ["def (:", "«SECRET_7»"])
def test_what_cannot_run_is_not_offered(page: FrontEnd, corrected: Correct, code: str) -> None:
    corrected(code)
    shown = run(page, "%codex fix --rerun")
    assert page.shown("Run this code in this cell?") is None
    assert "The code is in the next cell." in shown


def test_where_nobody_is_the_code_is_only_proposed(tmp_path: Path, service: LocalService) -> None:
    (tmp_path / "fix.md").write_text("echo: A slip.\n```python\nran = True\n```")
    cells = [
        v4.new_code_cell("%load_ext codex_magic\n%config CodexMagics.prompts = '.'"),
        v4.new_code_cell("1 / 0", metadata={"tags": ["raises-exception"]}),
        v4.new_code_cell("%codex fix --rerun"),
        v4.new_code_cell("'ran' in globals()"),
    ]
    notebook = v4.new_notebook(cells=cells)
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert notebook.cells[3].outputs[0]["data"]["text/plain"] == "False"
    shown = nbformat.writes(notebook)
    assert "No one was available to approve: the code did not run." in shown
    assert "in the next cell" not in shown
    assert "ran = True" in str(notebook.cells[2].outputs)


@pytest.mark.parametrize("cell", ["%%codex --rerun\nWhy?", "%codex review --rerun", "%codex fix --rerun -b"])
def test_options_that_do_not_go_together_are_refused(
    notebook: Kernel, service: LocalService, cell: str
) -> None:
    notebook.execute("1 / 0")
    asked = len(service.requests)
    assert "Error: " in markdown(notebook.execute(cell))
    assert len(service.requests) == asked


@pytest.mark.parametrize(("answer", "ran"), [("Approve", "True"), ("Decline", "False")])
def test_the_code_of_any_answer_runs_after_a_yes(page: FrontEnd, answer: str, ran: str) -> None:
    code = "```python\nfirst = True\n```\nor\n```python\nran = True\n```\n```json\n{}\n```"
    request = page.run(f"%%codex --run\necho: This:\n{code}")
    page.until(lambda: page.shown("Run this code in this cell?"))
    page.click(answer)
    ended(page, request)
    assert page.kernel.value("'ran' in globals()") == ran
    assert page.kernel.value("'first' in globals()") == "False"
