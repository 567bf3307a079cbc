"""Real JupyterLab and Notebook 7 in a real Chromium: what a person sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from codex_magic.local_service import LocalService
from tests.end_to_end.browser import Visit, browser
from tests.end_to_end.held import hold
from tests.end_to_end.lab import JupyterServer
from tests.end_to_end.notebooks import QUICKSTART, save_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LOAD = "%load_ext codex_magic"

HOSTILE = """%%codex
echo: Before <script>window.ran = 'script'</script> it.

<img src="x" onerror="window.ran = 'onerror'">

<iframe srcdoc="<script>parent.ran = 'iframe'</script>"></iframe>

<svg onload="window.ran = 'svg'"></svg> <details open ontoggle="window.ran = 'toggle'">x</details>

![tracked](http://192.0.2.1/pixel.png) ![data](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9Ii8+)

[click me](javascript:window.ran='link') and [me too](&#106;avascript:window.ran='entity') <a href="javascript:0">x</a>

<link rel="stylesheet" href="http://192.0.2.1/a.css"><meta http-equiv="refresh" content="0;url=http://192.0.2.1/">

The last line."""


@pytest.fixture(scope="module")
def chromium_browser(chromium: str) -> Iterator[Browser]:
    with browser(chromium) as running:
        yield running


@pytest.fixture(params=["lab", "notebook"])
def server(request: pytest.FixtureRequest, service: LocalService, tmp_path: Path) -> Iterator[JupyterServer]:
    """JupyterLab, then Notebook 7; their kernels are signed in to the local service."""
    with JupyterServer(tmp_path, app=request.param) as server:
        yield server


def test_the_quickstart_runs_in_a_browser(chromium_browser: Browser, server: JupyterServer) -> None:
    nbformat.write(QUICKSTART, server.folder / "quickstart.ipynb")
    visit = Visit(chromium_browser, server, "quickstart.ipynb")
    visit.kernel_idle()
    visit.run_all()
    visit.save()
    saved = nbformat.read(server.folder / "quickstart.ipynb", as_version=4)
    codes = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in codes)
    assert "error" not in {output.output_type for cell in codes for output in cell.outputs}
    for theme in ("Light", "Dark"):
        visit.theme(f"JupyterLab {theme}")
        visit.screenshot(f"quickstart-{server.app}-{theme.lower()}")
    assert visit.left == []
    visit.close()


def test_an_answer_is_visible_before_it_ends(
    chromium_browser: Browser, server: JupyterServer, service: LocalService
) -> None:
    save_notebook(server.folder / "a.ipynb", LOAD, "%%codex\necho: The first words, and the last ones.")
    hold(service, after=5)
    visit = Visit(chromium_browser, server, "a.ipynb")
    visit.kernel_idle()
    visit.run("notebook:run-all-cells")
    answer = visit.outputs.last
    expect(answer).to_contain_text("The first words")
    expect(answer).not_to_contain_text("the last ones")
    service.release()
    expect(answer).to_contain_text("the last ones")
    visit.close()


def test_the_stop_button_ends_an_answer_on_screen(
    chromium_browser: Browser, server: JupyterServer, service: LocalService
) -> None:
    save_notebook(server.folder / "a.ipynb", LOAD, "%%codex\necho: The first words, and the last ones.")
    hold(service, after=5)
    visit = Visit(chromium_browser, server, "a.ipynb")
    visit.kernel_idle()
    visit.run("notebook:run-all-cells")
    expect(visit.outputs.last).to_contain_text("The first words")
    visit.run("notebook:interrupt-kernel")
    expect(visit.outputs.last).to_contain_text("nterrupted")
    expect(visit.page.locator("[data-mime-type*='jupyter.error']")).to_have_count(0)
    visit.close()


def test_a_reload_and_a_visit_without_kernel_show_what_the_file_holds(
    chromium_browser: Browser, server: JupyterServer
) -> None:
    path = save_notebook(server.folder / "a.ipynb", LOAD, "%%codex\nShow me some math")
    visit = Visit(chromium_browser, server, "a.ipynb")
    visit.kernel_idle()
    visit.run_all()
    visit.save()
    visit.open()
    expect(visit.outputs.last).to_contain_text("The Gaussian integral")
    path.write_text(path.read_text().replace('"python3"', '"no such kernel"'))
    visit.shut_down_kernels()
    visit.open()
    expect(visit.outputs.last).to_contain_text("The Gaussian integral")
    expect(visit.outputs.last.locator("mjx-container").first).to_be_visible()
    assert visit.kernels() == []
    visit.close()


def test_hostile_markdown_runs_nothing_and_asks_nobody(
    chromium_browser: Browser, server: JupyterServer
) -> None:
    save_notebook(server.folder / "a.ipynb", LOAD, HOSTILE)
    visit = Visit(chromium_browser, server, "a.ipynb")
    visit.kernel_idle()
    visit.run_all()
    expect(visit.outputs.last).to_contain_text("The last line.")
    for link in visit.outputs.locator("a[href^='javascript']").all():
        link.click()
    visit.save()
    visit.open()
    expect(visit.outputs.last).to_contain_text("The last line.")
    assert visit.page.evaluate("window.ran") is None
    assert visit.outputs.locator("script, iframe, svg, img").count() == 0
    assert visit.left == []
    visit.close()
