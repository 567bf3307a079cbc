"""Our own extension in real JupyterLab and Notebook 7: what it makes of cells."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, expect

from codex_magic.display import MIME
from tests.end_to_end.browser import Opener, Visit
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED, JupyterServer
from tests.service import LocalService

pytestmark = [pytest.mark.parametrize("server", ["lab", "notebook"], indirect=True), *EXTENDED]

QUESTION = "%%codex\nWhy does it don't work?\n```python\nx = 1\n```"


@pytest.fixture
def visit(opened: Opener) -> Visit:
    """A notebook with a cell of code, a question, and an empty cell."""
    return opened("x = 'it'", QUESTION, "")


def cell(visit: Visit, index: int) -> Locator:
    return visit.page.locator(f".jp-Notebook .jp-CodeCell[data-windowed-list-index='{index}']")


MOST_AT_START = 150_000
"""Bytes of scripts that every page loads."""


def test_a_page_loads_little_before_anything_is_opened(visit: Visit) -> None:
    sizes: dict[str, int] = visit.page.evaluate("""() => Object.fromEntries(
        performance.getEntriesByType('resource')
            .filter(each => each.name.includes('/codex-magic/static/'))
            .map(each => [each.name.split('/').pop().split('?')[0], each.decodedBodySize]))""")
    assert any(name.startswith("remoteEntry") for name in sizes)
    assert sum(sizes.values()) <= MOST_AT_START, sizes


def test_a_question_reads_as_prose(visit: Visit) -> None:
    question, code = cell(visit, 1), cell(visit, 0)
    expect(question.locator(".cm-line.jp-codex-magic")).to_have_text("%%codex")
    expect(question.locator(".cm-line.jp-codex-prose")).to_have_text(["Why does it don't work?"])
    expect(question.locator(".cm-line.jp-codex-code")).to_have_count(3)
    expect(question.locator(".cm-content.cm-lineWrapping")).to_have_count(1)
    expect(code.locator(".jp-codex-prose")).to_have_count(0)
    expect(code.locator("[class*=lineWrapping]")).to_have_count(0)
    # An apostrophe opens a string in Python, and nothing in Markdown.
    expect(question.locator(".jp-codex-prose span")).to_have_count(0)


def test_a_cell_is_highlighted_by_what_it_is_at_the_moment(visit: Visit) -> None:
    typed = cell(visit, 2)
    typed.locator(".cm-content").click()
    visit.page.keyboard.type("%%codex\n")
    expect(typed.locator(".cm-placeholder")).to_have_text(
        "Ask Codex. Type @ to add a variable, a cell or a file."
    )
    visit.page.keyboard.type("What is **this**?")
    expect(typed.locator(".cm-placeholder")).to_have_count(0)
    expect(typed.locator(".jp-codex-prose span").filter(has_text="this")).not_to_have_count(0)
    visit.page.keyboard.press("Control+Home")
    visit.page.keyboard.type("# ")
    expect(typed.locator(".jp-codex-prose")).to_have_count(0)
    expect(typed.locator("[class*=lineWrapping]")).to_have_count(0)


def test_a_cell_becomes_a_question_and_code_again(visit: Visit) -> None:
    visit.page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0")
    ask = "window.jupyterapp.commands.execute('codex-magic:ask')"
    visit.page.evaluate(ask)
    expect(cell(visit, 0).locator(".jp-codex-magic")).to_have_count(1)
    expect(cell(visit, 0).locator(".jp-codex-prose")).to_have_text(["x = 'it'"])
    visit.page.evaluate(ask)
    expect(cell(visit, 0).locator(".cm-line")).to_have_text(["x = 'it'"])
    expect(cell(visit, 0).locator("[class*=jp-codex]")).to_have_count(0)
    visit.save()
    assert nbformat.read(visit.path, as_version=4).cells[0].source == "x = 'it'"


def test_the_button_in_the_toolbar_of_a_cell_asks(visit: Visit) -> None:
    cell(visit, 0).click()
    button = cell(visit, 0).locator("[data-command='codex-magic:ask']")
    button.click()
    expect(cell(visit, 0).locator(".jp-codex-magic")).to_have_count(1)
    for theme in ("Dark", "Light"):
        visit.theme(f"JupyterLab {theme}")
        visit.screenshot(f"prose-{visit.server.app}-{theme.lower()}")
    assert visit.left == []


def test_nothing_of_it_is_saved(visit: Visit, server: JupyterServer) -> None:
    before = nbformat.read(visit.path, as_version=4)
    visit.save()
    saved = nbformat.read(visit.path, as_version=4)
    assert [each.source for each in saved.cells] == [each.source for each in before.cells]
    assert all("codex" not in str(each.metadata) for each in saved.cells)
    assert Path(visit.path).exists()


LOAD = "%load_ext codex_magic"
WORDS = "%%codex\necho: The first words, **bold**, and the last ones."


ANSWER = ".jp-codex-answer"


def answer(visit: Visit) -> Locator:
    return visit.page.locator(ANSWER)


def begun(opened: Opener, service: LocalService) -> Visit:
    """A page that draws an answer, which stops in the middle until the service is released."""
    visit = opened(LOAD, WORDS)
    hold(service, after=5)
    visit.start_all()
    expect(answer(visit)).to_have_attribute("aria-busy", "true")
    expect(answer(visit)).to_contain_text("The first words")
    return visit


def saved_answer(visit: Visit) -> dict[str, Any]:
    """The data of the last output of the file."""
    visit.save()
    [output] = nbformat.read(visit.path, as_version=4).cells[-1].outputs
    return dict(output.data)


def test_an_answer_is_drawn_by_the_page_while_it_comes(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service)
    expect(answer(visit)).not_to_contain_text("the last ones")
    service.release()
    expect(answer(visit)).to_contain_text("the last ones")
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    expect(answer(visit).get_by_text("bold", exact=True)).to_have_count(1)
    data = saved_answer(visit)
    assert data[MIME]["state"] == "done"
    assert "the last ones" in data["text/markdown"]


def test_what_is_saved_meanwhile_is_what_has_come(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service)
    data = saved_answer(visit)
    assert data[MIME]["state"] == "streaming"
    assert "The first words" in data["text/markdown"]
    service.release()
    expect(answer(visit)).to_contain_text("the last ones")


def test_a_page_loaded_again_goes_on_with_the_answer(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service)
    visit.save()
    visit.open()
    expect(answer(visit)).to_have_attribute("aria-busy", "true")
    service.release()
    expect(answer(visit)).to_contain_text("the last ones")
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    assert saved_answer(visit)[MIME]["state"] == "done"


def test_a_page_loaded_again_before_any_save_finds_the_answer_again(
    opened: Opener, service: LocalService
) -> None:
    visit = begun(opened, service)
    assert nbformat.read(visit.path, as_version=4).cells[-1].outputs == []
    visit.open()
    expect(answer(visit)).to_contain_text("The first words")
    service.release()
    expect(answer(visit)).to_contain_text("the last ones")
    expect(answer(visit)).to_have_count(1)
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    assert saved_answer(visit)[MIME]["state"] == "done"


def test_a_second_page_draws_the_same_answer(
    opened: Opener, chromium_browser: Browser, server: JupyterServer, service: LocalService
) -> None:
    visit = begun(opened, service)
    visit.save()
    with closing(chromium_browser.new_context()) as context:
        page = context.new_page()
        page.goto(server.page(visit.path.name))
        page.wait_for_selector(ANSWER)  # a page takes its time to load
        second = page.locator(ANSWER)
        expect(second).to_have_attribute("aria-busy", "true")
        service.release()
        for each in (answer(visit), second):
            expect(each).to_contain_text("the last ones")


def test_a_stopped_answer_keeps_what_came(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service)
    visit.stop()
    expect(answer(visit)).to_contain_text("Interrupted")
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    assert saved_answer(visit)[MIME]["state"] == "interrupted"
    service.release()


def test_a_kernel_that_begins_anew_leaves_what_came(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service)
    visit.restart_kernel()
    service.release()
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    expect(answer(visit)).to_contain_text("The first words")
    expect(answer(visit)).to_contain_text("Interrupted: the kernel was restarted")
    assert saved_answer(visit)[MIME]["state"] == "interrupted"


def told(service: LocalService) -> str:
    """What the last request says of the notebook."""
    texts = [part["text"] for item in service.requests[-1].json["input"] for part in item.get("content", ())]
    return "\n".join(text for text in texts if text.startswith("<external_notebook>"))


def test_a_question_brings_along_what_the_page_holds_and_no_file_does(
    opened: Opener, service: LocalService
) -> None:
    visit = opened(LOAD, "x = 'as saved'", "never = 'ran'", WORDS)
    visit.run_cell(0)
    visit.run_cell(1)
    model = "window.jupyterapp.shell.currentWidget.content.model.sharedModel"
    visit.page.evaluate(f"{model}.getCell(1).setSource(\"x = 'edited and not saved'\")")
    visit.page.evaluate(f"{model}.moveCell(2, 1)")
    visit.run_cell(3)
    expect(answer(visit)).to_contain_text("the last ones")
    told_first = told(service)
    assert told_first.index("never = 'ran'") < told_first.index("x = 'edited and not saved'")
    assert "changed since it ran" in told_first
    assert "as saved" not in told_first
    expect(visit.page.locator(".jp-OutputArea").last).not_to_contain_text("as last saved")


def test_what_is_selected_in_another_cell_is_what_a_question_mentions(
    opened: Opener, service: LocalService
) -> None:
    visit = opened(LOAD, "first = 'selected words'\nsecond = 2", "%%codex\necho: About @selection here.")
    visit.run_cell(0)
    cell(visit, 1).locator(".cm-line").first.click()
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("Shift+End")
    cell(visit, 2).locator(".cm-content").click()
    visit.page.keyboard.press("Control+Enter")
    expect(answer(visit)).to_contain_text("About @selection here.")
    texts = [part["text"] for item in service.requests[-1].json["input"] for part in item.get("content", ())]
    [mentioned] = [text for text in texts if text.startswith("<external_mentions>")]
    assert "# %% @selection\nfirst = 'selected words'<" in mentioned
