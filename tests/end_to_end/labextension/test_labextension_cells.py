"""Changes of cells that the model proposes, in real JupyterLab: a person sees them, and the page makes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from codex_magic.context.cells import digest_of
from tests.end_to_end.browser import Opener, Visit, opening
from tests.end_to_end.lab import EXTENDED, JupyterServer
from tests.end_to_end.notebooks import notebook_of
from tests.peers.agent import use

pytestmark = EXTENDED

LOAD = "%load_ext codex_magic\n%codex provider local\n%codex reads yes"
SOURCE = "x = 1\ny = 2\nprint('sum', x + y)"
WIDGET = "window.jupyterapp.shell.currentWidget"


@pytest.fixture
def opened(chromium_browser: Browser, lonely_server: JupyterServer) -> Iterator[Opener]:
    """Opens a notebook of one cell and a question with these orders, and runs the question."""

    with opening(chromium_browser, lonely_server) as opened:

        def ask(*orders: str) -> Visit:
            visit = opened(notebook_of(LOAD, SOURCE, "\n".join(["%%codex", *orders])))
            visit.run_cell(0)
            visit.page.evaluate(f"{WIDGET}.content.activeCellIndex = 2")
            visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
            return visit

        yield ask


def edit(old: str = "x = 1", new: str = "x = 10", of: str = SOURCE) -> str:
    return use("edit_cell", cell="1", expected_revision=digest_of(of, 4), old=old, new=new)


def proposal(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-proposal .cdx-edit")


def line(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-cards .cdx-line")


def card(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-card")


def press(box: Locator, name: str) -> None:
    """Click on a button once the card takes answers."""
    target = box.get_by_role("button", name=name, exact=True)
    expect(target).to_be_visible()
    expect(target).to_have_css("pointer-events", "auto")
    target.click()


def sources(visit: Visit) -> list[str]:
    cells = f"{WIDGET}.content.model.sharedModel.cells"
    found: list[str] = visit.page.evaluate(f"{cells}.map(cell => cell.getSource())")
    return found


def type_into(visit: Visit, index: int, source: str) -> None:
    model = f"{WIDGET}.content.model.sharedModel"
    visit.page.evaluate(f"([index, source]) => {model}.getCell(index).setSource(source)", [index, source])


def answer(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-answer").last


def output(visit: Visit, index: int) -> Locator:
    return visit.page.locator(".jp-CodeCell").nth(index).locator(".jp-OutputArea-output")


def test_a_change_is_applied_and_undone_as_one_step(opened: Opener) -> None:
    visit = opened(edit())
    expect(proposal(visit)).to_contain_text("Change cell [ ]?")
    expect(proposal(visit).locator(".cm-deletedChunk")).to_have_text("x = 1")
    for theme in ("Dark", "Light"):
        visit.theme(f"JupyterLab {theme}")
        visit.screenshot(f"cell-change-{theme.lower()}")
    assert sources(visit)[1] == SOURCE
    press(proposal(visit), "Apply")
    expect(line(visit)).to_have_text("Applied to cell [ ] · Undo")
    assert sources(visit)[1] == SOURCE.replace("x = 1", "x = 10")
    expect(answer(visit)).to_contain_text("Changed cell 1 · approved")
    visit.kernel_idle()
    visit.page.evaluate(f"{WIDGET}.content.model.sharedModel.getCell(1).undo()")
    assert sources(visit)[1] == SOURCE
    visit.page.evaluate(f"{WIDGET}.content.model.sharedModel.getCell(1).redo()")
    press(line(visit), "Undo")
    expect(line(visit)).to_have_text("Not applied: undone")
    assert sources(visit)[1] == SOURCE
    assert visit.left == []


def act(visit: Visit, index: int, *commands: str) -> None:
    """Have commands of the notebook done with one of its cells."""
    notebook = f"{WIDGET}.content"
    visit.page.evaluate(f"() => {{ {notebook}.activeCellIndex = {index}; {notebook}.deselectAll() }}")
    for command in commands:
        visit.page.evaluate(f"window.jupyterapp.commands.execute('notebook:{command}')")


def test_a_change_waits_through_what_becomes_of_its_cell_and_of_the_one_that_asks(opened: Opener) -> None:
    visit = opened(edit())
    expect(proposal(visit)).to_contain_text("Change cell [ ]?")
    for index, commands in (
        (2, "move-cell-up"),
        (2, "move-cell-up"),  # the one that is changed
        (2, "delete-cell undo-cell-action"),
        (1, "delete-cell undo-cell-action"),
        (2, "cut-cell paste-cell-above"),
        (2, "cut-cell paste-cell-above"),
    ):
        act(visit, index, *commands.split())
        expect(proposal(visit)).to_have_count(1)
        expect(proposal(visit)).to_contain_text("Change cell [ ]?")
    notebook = f"{WIDGET}.content"
    cells = "Array.from({length: 60}, () => ({cell_type: 'code', source: 'z = 1'}))"
    visit.page.evaluate(f"() => {{ {notebook}.model.sharedModel.insertCells(3, {cells}) }}")
    visit.page.evaluate(
        f"() => {{ {notebook}.notebookConfig = {{...{notebook}.notebookConfig, windowingMode: 'full'}} }}"
    )
    visit.page.evaluate(f"{notebook}.scrollToItem(62)")
    visit.page.wait_for_function(f"!{notebook}.widgets[2].inViewport")
    visit.page.evaluate(f"{notebook}.scrollToItem(2)")
    press(proposal(visit), "Apply")
    expect(line(visit)).to_have_text("Applied to cell [ ] · Undo")
    expect(answer(visit)).to_contain_text("Changed cell 1 · approved")
    assert sources(visit)[1] == SOURCE.replace("x = 1", "x = 10")


def test_it_is_applied_and_runs_in_its_cell_while_the_question_waits_for_it(opened: Opener) -> None:
    visit = opened(edit(), use("inspect_variable", name="x"))
    press(proposal(visit), "Apply and run")
    expect(output(visit, 1)).to_have_text("sum 12")
    expect(line(visit)).to_contain_text("Applied and ran cell [ ] · ")
    expect(answer(visit)).to_contain_text("Read x")
    visit.kernel_idle()
    visit.screenshot("cell-applied-and-ran")
    visit.run_cell(1)
    expect(output(visit, 1)).to_have_text("sum 12")


def test_a_rejected_change_leaves_its_line(opened: Opener) -> None:
    visit = opened(edit())
    press(proposal(visit), "Reject")
    expect(line(visit)).to_have_text("Not applied: rejected")
    expect(answer(visit)).to_contain_text("Not changed: declined")
    assert sources(visit)[1] == SOURCE


def test_what_was_typed_meanwhile_is_kept(opened: Opener) -> None:
    visit = opened(edit())
    expect(proposal(visit)).to_contain_text("Change cell [ ]?")
    typed = f"{SOURCE}\n# typed meanwhile"
    type_into(visit, 1, typed)
    expect(proposal(visit)).to_contain_text("Cell [ ] has changed since")
    visit.screenshot("cell-changed-since")
    press(proposal(visit), "Compare again")
    expect(proposal(visit).locator(".cm-deletedChunk")).to_have_text("x = 1")
    press(proposal(visit), "Apply")
    expect(line(visit)).to_have_text("Applied to cell [ ] · Undo")
    assert sources(visit)[1] == typed.replace("x = 1", "x = 10")


def test_a_proposal_waits_over_a_reload(opened: Opener) -> None:
    visit = opened(edit())
    expect(proposal(visit)).to_be_visible()
    visit.save()
    visit.open()
    expect(proposal(visit)).to_be_visible()
    assert sources(visit)[1] == SOURCE
    press(proposal(visit), "Apply")
    expect(answer(visit)).to_contain_text("Changed cell 1 · approved")
    assert sources(visit)[1] == SOURCE.replace("x = 1", "x = 10")


def test_of_two_pages_the_one_where_somebody_said_yes_makes_the_change(opened: Opener) -> None:
    visit = opened(edit())
    expect(proposal(visit)).to_be_visible()
    visit.save()
    other = visit.context.new_page()
    other.goto(visit.server.page(visit.path.name).replace("auto-t", "auto-u"))
    expect(other.locator(".jp-codex-proposal .cdx-edit")).to_be_visible()
    press(proposal(visit), "Apply")
    expect(line(visit)).to_have_text("Applied to cell [ ] · Undo")
    expect(other.locator(".jp-codex-proposal")).to_have_count(0)
    expect(other.locator(".jp-codex-answer")).to_contain_text("Changed cell 1 · approved")
    assert sources(visit)[1] == SOURCE.replace("x = 1", "x = 10")
    assert other.evaluate(f"{WIDGET}.content.model.sharedModel.getCell(1).getSource()") == SOURCE


def test_several_proposals_are_reviewed_in_turn_and_cells_are_added_moved_and_deleted(opened: Opener) -> None:
    visit = opened(
        use("add_cell", source="a = 5\na"),
        use("add_cell", source="# Title", kind="markdown", below="0"),
        use("move_cell", cell="2", below="0"),
        use("delete_cell", cell="1", expected_revision=digest_of(SOURCE, 4)),
    )
    expect(card(visit)).to_contain_text("Add this cell?")
    visit.screenshot("cell-add")
    press(card(visit), "Apply and run")
    expect(output(visit, 3)).to_have_text("5")
    expect(card(visit)).to_contain_text("# Title")
    press(card(visit), "Apply")
    expect(card(visit)).to_contain_text("Move cell [ ]?")
    visit.screenshot("cell-move")
    press(card(visit), "Move")
    expect(card(visit)).to_contain_text("Delete cell")
    assert sources(visit)[0] == SOURCE
    press(card(visit), "Delete")
    expect(answer(visit)).to_contain_text("Deleted cell 1 · approved")
    after = sources(visit)
    assert (after[0], after[1], after[3]) == ("# Title", LOAD, "a = 5\na")
    visit.page.evaluate(f"{WIDGET}.content.model.sharedModel.undo()")
    assert sources(visit)[0] == SOURCE
    assert sources(visit)[1:] == after


def test_committed_code_runs_in_a_cell_below_the_question(opened: Opener) -> None:
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nprint('drawn')"
    visit = opened(use("run_python", code=figure, scope="commit"))
    expect(card(visit)).to_contain_text("Allow Codex to run this code?")
    press(card(visit), "Approve")
    below = visit.page.locator(".jp-CodeCell").nth(3)
    expect(below.locator("img")).to_have_count(1)
    expect(below).to_contain_text("drawn")
    expect(answer(visit)).to_contain_text("approved")
    visit.kernel_idle()
    assert sources(visit)[3:] == [figure]
    visit.screenshot("cell-committed")
