"""Run All in JupyterLab asks again only what changed; a cell that is run by itself is asked anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.lab import EXTENDED
from tests.service import LocalService, start

pytestmark = EXTENDED

PANEL = "window.jupyterapp.shell.currentWidget"


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with start(open_access=True) as service:
        yield service


def test_run_all_keeps_what_did_not_change(opened: Callable[..., Visit], service: LocalService) -> None:
    visit = opened("%load_ext codex_magic", "x = 1", "%%codex\necho: one", "y = 2", "%%codex\necho: two")
    page = visit.page

    def run(command: str) -> int:
        """Run cells, to the end; returns how many questions have been sent so far."""
        page.evaluate(f"window.jupyterapp.commands.execute('notebook:{command}')")
        return len([each for each in service.requests if each.path.endswith("/responses")])

    def restart() -> None:
        page.evaluate(f"{PANEL}.sessionContext.restartKernel()")
        page.wait_for_function(f"{PANEL}.sessionContext.session?.kernel?.status === 'idle'")

    answers = page.locator(".jp-codex-answer")
    assert run("run-all-cells") == 2
    expect(answers).to_have_count(2)
    expect(page.get_by_text("%%codex --again")).to_have_count(0)
    assert run("run-all-cells") == 2
    expect(answers.nth(0)).to_contain_text("Kept")
    expect(answers.nth(1)).to_contain_text("Kept")
    expect(answers.nth(1)).to_contain_text("two")
    restart()
    assert run("run-all-cells") == 2
    expect(answers.nth(0)).to_contain_text("Kept")
    expect(answers.nth(1)).to_contain_text("Kept")
    page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 4; {PANEL}.content.deselectAll() }}")
    assert run("run-cell") == 3
    expect(answers.nth(1)).not_to_contain_text("Kept")
    page.evaluate(f"{PANEL}.content.model.sharedModel.getCell(3).setSource('y = 3')")
    assert run("run-all-cells") == 4
    expect(answers.nth(0)).to_contain_text("Kept")
    expect(answers.nth(1)).not_to_contain_text("Kept")


def test_the_first_question_of_run_all_knows_the_page_before_it_is_saved(
    opened: Callable[..., Visit], service: LocalService
) -> None:
    """Though what it said when the cells were scheduled came to a kernel that had not loaded the extension."""
    visit = opened("%load_ext codex_magic", "y = 1", "%%codex\necho: one")
    cell = "{cell_type: 'markdown', source: 'The plan that nobody has saved', metadata: {}}"
    visit.page.evaluate(f"() => {{ {PANEL}.content.model.sharedModel.insertCell(2, {cell}) }}")
    visit.run_all()
    expect(visit.page.locator(".jp-codex-answer")).to_contain_text("one")
    assert "The plan that nobody has saved" in str(service.requests[-1].json["input"])
