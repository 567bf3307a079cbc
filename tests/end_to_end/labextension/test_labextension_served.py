"""Our extension of the page where a server runs the cells: answers grow on screen, with a first and a last output."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED, JupyterServer, served
from tests.end_to_end.notebooks import save_notebook
from tests.end_to_end.test_server_execution import AGENT, LOAD, SERVERS, WORDS, saved_answer, until
from tests.environments import python_of
from tests.service import LocalService

pytestmark = [pytest.mark.registry, *EXTENDED]

PANEL = "window.jupyterapp.shell.currentWidget"


@pytest.fixture(scope="module", params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(
    kind: str, service: LocalService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    environment, without = SERVERS[kind]
    program = pytest.importorskip("codex_cli_bin").bundled_codex_path()
    home = tmp_path_factory.mktemp("home")
    service.sign_in(home / ".codex")
    with served(
        tmp_path_factory,
        home,
        service,
        {"CODEX_MAGIC_CODEX_BIN": str(program)},
        python=python_of(environment),
        without=without,
        extended=True,
    ) as server:
        yield server


@pytest.fixture
def opened(chromium_browser: Browser, server: JupyterServer, kind: str) -> Iterator[Callable[[str], Visit]]:
    """Opens a notebook with this question, its kernel ready to be asked."""
    visits: list[Visit] = []

    def open_notebook(question: str) -> Visit:
        path = server.folder / f"{len(list(server.folder.glob('*.ipynb')))}.ipynb"
        visits.append(Visit(chromium_browser, server, save_notebook(path, LOAD, question)))
        if kind != "nbmodel":
            visits[-1].save = lambda: None  # type: ignore[method-assign]  # a shared document is written by its server
        visits[-1].run_cell(0)
        return visits[-1]

    yield open_notebook
    for visit in visits:
        visit.close()


@pytest.fixture
def begun(opened: Callable[[str], Visit], service: LocalService) -> Iterator[Callable[[], Visit]]:
    """Opens a page whose last answer stops in the middle until the service is released."""

    def begin() -> Visit:
        visit = opened(WORDS)
        hold(service, after=5)
        ask(visit)
        expect(answer(visit)).to_contain_text("The first words")
        # What a server loses on its way is asked for once more.
        expect(answer(visit)).to_have_attribute("aria-busy", "true")
        expect(answer(visit)).not_to_contain_text("the last ones")
        return visit

    yield begin
    service.release()


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
    expect(answer(visit)).to_contain_text("The first words")
    service.release()
    expect_one_answer(visit, "The first words, and the last ones.")


@pytest.mark.peer
def test_a_card_is_answered_while_its_cell_runs(opened: Callable[[str], Visit]) -> None:
    """By Decline, Stop and Approve; what was decided stands in page and file once."""
    visit = opened(AGENT)
    card = visit.page.locator(".jp-codex-card")
    out = visit.server.folder / "out.txt"
    for choice, text, state in (
        ("Decline", "Not run: declined", "done"),
        ("Stop", "Interrupted", "interrupted"),
        ("Approve", "Ran echo written > out.txt · approved · exit code 0", "done"),
    ):
        ask(visit)
        button = (answer(visit) if choice == "Stop" else card).get_by_role("button", name=choice, exact=True)
        expect(card).to_have_count(1)
        expect(button).to_have_css("pointer-events", "auto")
        button.click()
        expect(card).to_have_count(0)
        expect(answer(visit)).to_contain_text(text)
        expect(visit.page.locator(".jp-InputPrompt").last).not_to_have_text("[*]:")
        saved = saved_answer(visit, state)
        assert saved.count("declined") == (choice == "Decline"), saved
        assert saved.count("approved") == (choice == "Approve"), saved
        assert out.exists() == (choice == "Approve")
        expect(answer(visit)).to_have_count(1)
        expect(visit.outputs.last.locator(".jp-OutputArea-child")).to_have_count(1)
