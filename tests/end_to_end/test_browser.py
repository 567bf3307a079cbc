"""Real JupyterLab and Notebook 7 in a real Chromium: what a person sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import nbformat
import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser, expect

from tests.end_to_end.browser import Visit, opening
from tests.end_to_end.held import hold
from tests.end_to_end.lab import JupyterServer, served
from tests.end_to_end.notebooks import QUICKSTART, notebook_of
from tests.service import LocalService, start

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LOAD = "%load_ext codex_magic"

WORDS = "%%codex\necho: The first words, and the last ones."

HOSTILE = """%%codex
echo: Before <script>window.ran = 'script'</script> it.

<img src="x" onerror="window.ran = 'onerror'">

<iframe srcdoc="<script>parent.ran = 'iframe'</script>"></iframe>

<svg onload="window.ran = 'svg'"></svg> <details open ontoggle="window.ran = 'toggle'">x</details>

![tracked](http://192.0.2.1/pixel.png) ![data](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9Ii8+)

[click me](javascript:window.ran='link') and [me too](&#106;avascript:window.ran='entity') <a href="javascript:0">x</a>

It costs $40.00 here and $20.00 there; [top](#), [top too](<#>), [part](#part?x), [é](#é), [file](a.ipynb), []().

<link rel="stylesheet" href="http://192.0.2.1/a.css"><meta http-equiv="refresh" content="0;url=http://192.0.2.1/">

The last line."""


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with start() as service:
        yield service


@pytest.fixture(scope="module", params=["lab", "notebook"])
def server(
    request: pytest.FixtureRequest, service: LocalService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """JupyterLab, then Notebook 7; their kernels are signed in to the local service."""
    home = tmp_path_factory.mktemp("home")
    service.sign_in(home / ".codex")
    with served(tmp_path_factory, home, service, app=request.param) as server:
        yield server


Opener = Callable[[NotebookNode], Visit]


@pytest.fixture
def opened(chromium_browser: Browser, server: JupyterServer) -> Iterator[Opener]:
    with opening(chromium_browser, server) as opened:
        yield opened


def test_the_quickstart_runs_in_a_browser(opened: Opener, server: JupyterServer) -> None:
    visit = opened(QUICKSTART)
    visit.run_all()
    visit.save()
    codes = [cell for cell in nbformat.read(visit.path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in codes] == list(range(1, len(codes) + 1))
    assert "error" not in {output.output_type for cell in codes for output in cell.outputs}
    for theme in ("Dark", "Light"):
        visit.theme(f"JupyterLab {theme}")
        visit.screenshot(f"quickstart-{server.app}-{theme.lower()}")
    assert visit.left == []


def test_an_answer_is_visible_before_it_ends(opened: Opener, service: LocalService) -> None:
    hold(service, after=5)
    visit = opened(notebook_of(LOAD, WORDS))
    visit.start_all()
    expect(visit.outputs.last).to_contain_text("The first words")
    expect(visit.outputs.last).not_to_contain_text("the last ones")
    service.release()
    expect(visit.outputs.last).to_contain_text("the last ones")


def test_the_stop_button_ends_an_answer_on_screen(opened: Opener, service: LocalService) -> None:
    hold(service, after=5)
    visit = opened(notebook_of(LOAD, WORDS))
    visit.start_all()
    expect(visit.outputs.last).to_contain_text("The first words")
    visit.stop()
    expect(visit.outputs.last).to_contain_text("nterrupted")
    expect(visit.page.locator("[data-mime-type*='jupyter.error']")).to_have_count(0)


def test_a_page_loaded_again_while_an_answer_comes_says_how_to_see_it(
    opened: Opener, service: LocalService
) -> None:
    hold(service, after=5)
    visit = opened(notebook_of(LOAD, WORDS, "%codex show"))
    visit.start_all()
    expect(visit.outputs.last).to_contain_text("The first words")
    visit.save()
    visit.open()
    expect(visit.outputs.last).to_contain_text("If this stays, show the answer with %codex show.")
    service.release()
    visit.kernel_idle()  # a page still looking for its kernel would start another one
    visit.run_cell(2)
    expect(visit.outputs.last).to_contain_text("the last ones")
    expect(visit.outputs.last).not_to_contain_text("If this stays")


def test_a_reload_and_a_visit_without_kernel_show_what_the_file_holds(opened: Opener) -> None:
    visit = opened(notebook_of(LOAD, "%%codex\nShow me some math"))
    visit.run_all()
    visit.save()
    visit.open()
    visit.kernel_idle()  # a page still looking for its kernel would start another one
    expect(visit.outputs.last).to_contain_text("The Gaussian integral")
    saved = visit.path.read_text().replace('"python3"', '"no such kernel"')
    # JupyterLab starts the one kernel of the same language otherwise.
    visit.path.write_text(saved.replace('"python"', '"no such language"'))
    visit.shut_down_kernel()
    visit.open()
    expect(visit.outputs.last).to_contain_text("The Gaussian integral")
    expect(visit.outputs.last.locator("mjx-container").first).to_be_visible()
    assert visit.sessions() == []


def test_hostile_markdown_runs_nothing_and_asks_nobody(opened: Opener) -> None:
    visit = opened(notebook_of(LOAD, HOSTILE))
    visit.run_all()
    expect(visit.outputs.last).to_contain_text("The last line.")
    expect(visit.outputs.last).to_contain_text("It costs $40.00 here and $20.00 there; top, top too")
    addresses = visit.outputs.locator("a").evaluate_all("links => links.map(link => link.href)")
    assert any(address.endswith("#part?x") for address in addresses)
    assert [address for address in addresses if "_xsrf" in address or "/files/" in address] == []
    for link in visit.outputs.locator("a[href^='javascript']").all():
        link.click()
    visit.save()
    visit.open()
    expect(visit.outputs.last).to_contain_text("The last line.")
    assert visit.page.evaluate("window.ran") is None
    assert visit.outputs.locator("script, iframe, svg, img").count() == 0
    assert visit.left == []
