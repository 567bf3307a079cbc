"""Tab in a question in real JupyterLab, without our extension and with it, where a question is prose."""

from __future__ import annotations

from collections.abc import Iterator

import nbformat
import pytest
from playwright.sync_api import expect

from tests.end_to_end.browser import Visit, browser
from tests.end_to_end.lab import BUILT, JupyterServer
from tests.end_to_end.notebooks import notebook_of
from tests.home import home_variables, service_variables
from tests.service import LocalService

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(params=["plain", "extended"])
def visit(
    request: pytest.FixtureRequest,
    chromium: str,
    service: LocalService,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Visit]:
    """A notebook with variables and the beginning of a question."""
    extended = request.param == "extended"
    if extended and not BUILT.exists():
        pytest.skip("the extension is not built: make labextension")
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (home_variables(folder / "home") | service_variables(service)).items():
            patch.setenv(name, value)
        server = JupyterServer(folder, app="lab", extended=extended)
    cells = ["%load_ext codex_magic\norders, order_lines = {'id': [1]}, [2, 3]", "%%codex\nFirst line.\nWhy"]
    nbformat.write(notebook_of(*cells), folder / "a.ipynb")
    with server, browser(chromium) as chromium_browser:
        visit = Visit(chromium_browser, server, folder / "a.ipynb")
        visit.run_cell(0)
        yield visit
        visit.close()


def test_tab_completes_a_mention_in_a_question(visit: Visit) -> None:
    page = visit.page
    cell = page.locator(".jp-CodeCell .cm-content").nth(1)
    cell.click()
    page.keyboard.press("Control+End")
    page.keyboard.type(" is @ord")
    page.keyboard.press("Tab")
    offers = page.locator(".jp-Completer-item")
    expect(offers.filter(has_text="@orders")).to_be_visible()
    expect(offers.filter(has_text="@order_lines")).to_be_visible()
    expect(offers.filter(has_text="@orders")).to_contain_text("dict")
    visit.screenshot("completion")
    offers.filter(has_text="@orders").click()
    expect(cell).to_contain_text("Why is @orders")
