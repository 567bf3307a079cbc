"""The model restarts the kernel, in real JupyterLab: after a yes the page does it, and the answer continues there."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from codex_magic.display import MIME
from tests.end_to_end.browser import Opener, Visit
from tests.end_to_end.lab import EXTENDED
from tests.peers.agent import use
from tests.service import LocalService, start

pytestmark = EXTENDED

LOAD = "%load_ext codex_magic\n%codex reads yes"
WIDGET = "window.jupyterapp.shell.currentWidget"


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with start(open_access=True) as service:
        yield service


def begin(visit: Visit, index: int) -> None:
    visit.page.evaluate(f"index => {{ {WIDGET}.content.activeCellIndex = index }}", index)
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")


def press(visit: Visit, title: str, name: str) -> None:
    """Click on a button once the card takes answers."""
    card = visit.page.locator(".jp-codex-card")
    expect(card).to_contain_text(title)
    target = card.get_by_role("button", name=name, exact=True)
    expect(target).to_have_css("pointer-events", "auto")
    visit.screenshot(f"kernel-{name.split()[0].lower()}")
    target.click()


def output(visit: Visit, index: int) -> Locator:
    return visit.page.locator(".jp-CodeCell").nth(index).locator(".jp-OutputArea-output")


def states(visit: Visit, cell: int) -> list[str]:
    """Of the answers in the file below that cell."""
    visit.save()
    outputs = nbformat.read(visit.path, as_version=4).cells[cell].outputs
    return [each.data[MIME]["state"] for each in outputs if MIME in each.get("data", {})]


@pytest.mark.parametrize("agent", [False, True], ids=["over HTTP", "the codex program"])
def test_the_answer_continues_after_a_restart_in_its_cell(
    opened: Opener, service: LocalService, agent: bool
) -> None:
    if agent:
        pytest.importorskip("codex_cli_bin")
    options = f" --agent --provider {service.api_url}" if agent else ""
    question = f"%%codex{options}\n" + use("restart_kernel", run_up_to="2")
    visit = opened(LOAD, "x = 1\nprint('x is', x)", "%%codex\necho: asked once", "y = x + 1\ny", question)
    visit.run_cell(0)
    visit.run_cell(2)
    before = len(service.requests)
    begin(visit, 4)
    press(visit, "Restart the kernel and run 3 cells? All variables are lost.", "Restart and run")
    answers = visit.page.locator(".jp-CodeCell").nth(4).locator(".jp-codex-answer")
    expect(answers).to_have_count(2)
    expect(answers.last).to_have_attribute("aria-busy", "false")
    expect(answers.first).to_contain_text("Ended to restart the kernel and run up to cell 2 · approved")
    expect(output(visit, 4).filter(has_text="The kernel was restarted · 3 cells ran")).to_have_count(1)
    expect(output(visit, 1)).to_have_text("x is 1")
    expect(output(visit, 3)).to_have_text("2")
    expect(output(visit, 2)).to_have_count(1)
    inputs = [each.json["input"] for each in service.requests[before:] if "input" in (each.json or {})]
    assert "cell 1: ran\\ncell 2: ran" in str(inputs[-1])
    assert "asked once" not in str([each[-1] for each in inputs])
    visit.kernel_idle()
    visit.screenshot("kernel-restarted")
    assert states(visit, 4) == ["interrupted", "done"]
    assert states(visit, 2) == ["done"]
    assert visit.left == []


def test_a_cell_that_fails_stops_the_run_and_the_answer_says_so(
    opened: Opener, service: LocalService
) -> None:
    """The extension is loaded below it, and the page loads it for the answer."""
    question = "%%codex\n" + use("restart_kernel", run_up_to="2")
    visit = opened("if 'again' in open('flag.txt').read(): 1 / 0", LOAD, "z = 3", question)
    flag = visit.path.parent / "flag.txt"
    flag.write_text("first")
    for index in range(3):
        visit.run_cell(index)
    flag.write_text("again")
    begin(visit, 3)
    press(visit, "Restart the kernel and run 3 cells? All variables are lost.", "Restart and run")
    line = output(visit, 3).filter(has_text="The kernel was restarted · cell 1 failed · 2 did not run")
    expect(line).to_have_count(1)
    visit.kernel_idle()
    told = str(service.requests[-1].json["input"])
    assert "cell 1: failed: ZeroDivisionError: division by zero" in told
    assert "cell 2: not run" in told
    assert states(visit, 3) == ["interrupted", "done"]


def test_a_cell_is_interrupted_from_a_background_answer(opened: Opener) -> None:
    loop = "import threading\nthreading.Event().wait(600)"
    visit = opened(LOAD, "%%codex -b\n" + use("interrupt_kernel"), loop)
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells') }")
    press(visit, "Interrupt the cell that runs now?", "Interrupt")
    expect(output(visit, 2).last).to_contain_text("KeyboardInterrupt")
    expect(output(visit, 1).first).to_contain_text("It has ended.")
