"""Our own extension in real JupyterLab and Notebook 7: what it makes of cells."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Visit, browser
from tests.end_to_end.lab import BUILT, JupyterServer
from tests.end_to_end.notebooks import notebook_of
from tests.home import home_variables

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not BUILT.exists(), reason="the extension is not built: make labextension"),
]

QUESTION = "%%codex\nWhy does it don't work?\n```python\nx = 1\n```"


@pytest.fixture(scope="module")
def chromium_browser(chromium: str) -> Iterator[Browser]:
    with browser(chromium) as running:
        yield running


@pytest.fixture(scope="module", params=["lab", "notebook"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home_variables(tmp_path_factory.mktemp("home")).items():
            patch.setenv(name, value)
        running = JupyterServer(tmp_path_factory.mktemp("notebooks"), app=request.param, extended=True)
    with running:
        yield running


@pytest.fixture
def visit(chromium_browser: Browser, server: JupyterServer) -> Iterator[Visit]:
    """A notebook with a cell of code, a question, and an empty cell."""
    path = server.folder / f"{len(list(server.folder.glob('*.ipynb')))}.ipynb"
    nbformat.write(notebook_of("x = 'it'", QUESTION, ""), path)
    visit = Visit(chromium_browser, server, path)
    yield visit
    visit.close()


def cell(visit: Visit, index: int) -> Locator:
    return visit.page.locator(f".jp-Notebook .jp-CodeCell[data-windowed-list-index='{index}']")


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
