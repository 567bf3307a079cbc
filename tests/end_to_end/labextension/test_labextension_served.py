"""Our extension of the page where a server runs the cells: answers grow on screen, with a first and a last output."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.held import hold
from tests.end_to_end.lab import BUILT, JupyterServer, served
from tests.end_to_end.notebooks import save_notebook
from tests.end_to_end.test_server_execution import LOAD, SERVERS, WORDS, saved_answer, until
from tests.environments import python_of
from tests.service import LocalService

pytestmark = [
    pytest.mark.browser,
    pytest.mark.registry,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not BUILT.exists(), reason="the extension is not built: make labextension"),
]

PANEL = "window.jupyterapp.shell.currentWidget"


@pytest.fixture(scope="module", params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(
    kind: str, service: LocalService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    environment, without = SERVERS[kind]
    home = tmp_path_factory.mktemp("home")
    service.sign_in(home / ".codex")
    with served(
        tmp_path_factory, home, service, python=python_of(environment), without=without, extended=True
    ) as server:
        yield server


@pytest.fixture
def begun(
    chromium_browser: Browser, server: JupyterServer, service: LocalService, kind: str
) -> Iterator[Callable[[], Visit]]:
    """Opens a page whose last answer stops in the middle until the service is released."""
    visits: list[Visit] = []

    def begin() -> Visit:
        path = save_notebook(server.folder / f"{len(list(server.folder.glob('*.ipynb')))}.ipynb", LOAD, WORDS)
        visit = Visit(chromium_browser, server, path)
        visits.append(visit)
        if kind != "nbmodel":
            visit.save = lambda: None  # type: ignore[method-assign]  # a shared document is written by its server
        visit.run_cell(0)
        hold(service, after=5)
        ask(visit)
        expect(answer(visit)).to_contain_text("The first words")
        # What a server loses on its way is asked for once more.
        expect(answer(visit)).to_have_attribute("aria-busy", "true", timeout=15_000)
        expect(answer(visit)).not_to_contain_text("the last ones")
        return visit

    yield begin
    service.release()
    for visit in visits:
        visit.close()


def ask(visit: Visit) -> None:
    """Begin to run the question."""
    visit.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 1 }}")
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")


def answer(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-answer")


def expect_one_answer(visit: Visit, text: str, state: str = "done") -> None:
    """It stands once, in the page and in the file, also when the page is loaded again."""
    expect(answer(visit)).to_contain_text(text)
    assert saved_answer(visit, state).count(text) == 1
    expect(answer(visit)).to_have_count(1)
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    expect(visit.outputs.last.locator(".jp-OutputArea-child")).to_have_count(1)


def questions(service: LocalService) -> list[str]:
    """What the last request asks, the turns before it included."""
    items = [item for item in service.requests[-1].json["input"] if item.get("role") == "user"]
    texts = [part["text"] for item in items for part in item["content"]]
    return [text for text in texts if not text.startswith("<external_")]


def test_an_answer_grows_and_its_cell_is_known(begun: Callable[[], Visit], service: LocalService) -> None:
    visit = begun()
    service.release()
    expect_one_answer(visit, "The first words, and the last ones.")
    asked = questions(service)
    # The cell runs again: its turn takes the place of the one before.
    before = len(service.requests)
    ask(visit)
    assert until(lambda: len(service.requests) > before)
    expect_one_answer(visit, "The first words, and the last ones.")
    assert questions(service) == asked


def test_the_answers_own_button_stops_it(begun: Callable[[], Visit]) -> None:
    visit = begun()
    answer(visit).get_by_role("button", name="Stop", exact=True).click()
    expect_one_answer(visit, "Interrupted", "interrupted")


def test_a_page_that_is_loaded_again_goes_on(begun: Callable[[], Visit], service: LocalService) -> None:
    visit = begun()
    visit.open()
    expect(answer(visit)).to_contain_text("The first words", timeout=15_000)
    service.release()
    expect_one_answer(visit, "The first words, and the last ones.")
