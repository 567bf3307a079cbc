"""What becomes of a page while an answer streams: whatever it is, the answer ends right, once, in page and file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, WebSocketRoute, expect

from codex_magic.display import MIME
from codex_magic.notebook.extension import PROTOCOL
from tests.end_to_end.browser import Opener, Visit, opening
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED, JupyterServer, served
from tests.end_to_end.notebooks import notebook_of, save_notebook
from tests.end_to_end.test_server_execution import until
from tests.environments import python_of
from tests.service import LocalService, start

pytestmark = EXTENDED

LOAD = "%load_ext codex_magic"
WORDS = "%%codex\necho: The first words, **bold**, and the last ones."
PANEL = "window.jupyterapp.shell.currentWidget"
CELLS = f"{PANEL}.content.model.sharedModel"
KERNEL = f"{PANEL}.sessionContext.session?.kernel"


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with start(open_access=True) as service:
        yield service


@pytest.fixture
def opened(chromium_browser: Browser, server: JupyterServer, service: LocalService) -> Iterator[Opener]:
    """Opens a notebook of these cells in a new page."""
    with opening(chromium_browser, server) as opened:
        yield lambda *sources: opened(notebook_of(*sources))
        service.release()


def answer(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-answer")


def begun(opened: Opener, service: LocalService, *more: str) -> Visit:
    """A page that draws an answer, which stops in the middle until the service is released."""
    visit = opened(LOAD, WORDS, *more)
    hold(service, after=5)
    visit.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 0 }}")
    visit.page.evaluate("window.jupyterapp.commands.execute('notebook:run-cell')")
    visit.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 1 }}")
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
    expect(answer(visit)).to_have_attribute("aria-busy", "true")
    expect(answer(visit)).to_contain_text("The first words")
    return visit


def expect_one_answer(visit: Visit, *, cell: int = 1, text: str = "and the last ones.") -> None:
    """It stands once, in the page and in the file."""
    expect(answer(visit)).to_contain_text(text)
    expect(answer(visit)).to_have_count(1)
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    visit.save()
    cells = nbformat.read(visit.path, as_version=4).cells
    assert len(cells[cell].outputs) == 1, cells[cell].outputs
    [output] = cells[cell].outputs
    assert output.data[MIME]["state"] == "done"
    assert output.data["text/markdown"].count(text) == 1
    assert sum(len(each.get("outputs", ())) for each in cells) == 1
    assert answer(visit).inner_text().count(text) == 1


def speak(visit: Visit, protocol: int, version: str) -> None:
    """Have the kernel speak this version of the messages, as another codex_magic would."""
    about = f'{{"protocol": {protocol}, "version": {version!r}}}'
    code = f"from codex_magic.notebook import extension; extension.PROTOCOL = {protocol}; "
    visit.page.evaluate(
        f"code => {KERNEL}.requestExecute({{code}}).done", f"{code}extension._ABOUT.update({about})"
    )


def test_a_page_and_a_kernel_of_different_versions_say_which_is_older_and_answers_are_whole(
    opened: Opener, service: LocalService
) -> None:
    visit = opened(LOAD, WORDS)
    visit.run_cell(0)
    notes = visit.page.locator(".Toastify__toast")
    for protocol, version, words in (
        (
            PROTOCOL + 1,
            "9.0",
            "too old for codex_magic 9.0 in the kernel: answers lack their buttons. Reload it, or update codex-magic for Jupyter.",
        ),
        (
            PROTOCOL - 1,
            "0.0.9",
            "codex_magic 0.0.9 in the kernel is too old for this page: answers lack their buttons. Update it there, then restart the kernel.",
        ),
    ):
        speak(visit, protocol, version)
        hold(service, after=5)
        visit.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 1 }}")
        visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
        expect(notes).to_contain_text([words])
        expect(answer(visit)).to_contain_text("The first words")
        expect(answer(visit)).to_have_attribute("aria-busy", "true")
        service.release()
        expect_one_answer(visit)
        expect(answer(visit)).not_to_contain_text("Interrupted")
        visit.kernel_idle()
    visit.screenshot("older-kernel")
    speak(visit, PROTOCOL, "1.0")
    visit.run_cell(1)
    expect(notes).to_have_count(0)
    expect_one_answer(visit)


def test_a_page_that_was_frozen_goes_on(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service)
    session = visit.context.new_cdp_session(visit.page)
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    service.release()
    session.send("Page.setWebLifecycleState", {"state": "active"})
    expect_one_answer(visit)


class Line:
    """The page's WebSockets, which can lose what comes and break."""

    def __init__(self, visit: Visit) -> None:
        self.is_lossy = self.is_cut = False
        self.lost: list[bytes] = []
        """The next message of the page with each of these is lost on its way."""
        self._pages: list[WebSocketRoute] = []
        visit.page.route_web_socket("**/api/kernels/**", self._route)

    def _route(self, page: WebSocketRoute) -> None:
        if self.is_cut:
            page.close()
            return
        server = page.connect_to_server()
        page.on_message(lambda message: None if self._loses(message) else server.send(message))
        server.on_message(lambda message: None if self.is_lossy else page.send(message))
        self._pages.append(page)

    def _loses(self, message: str | bytes) -> bool:
        raw = message if isinstance(message, bytes) else message.encode()
        words = next((each for each in self.lost if each in raw), None)
        if words is None:
            return False
        self.lost.remove(words)
        return True

    def cut(self) -> None:
        self.is_cut = True
        while self._pages:
            self._pages.pop().close()


def test_a_page_without_a_connection_has_it_all_afterwards(opened: Opener, service: LocalService) -> None:
    """Nothing arrives, the answer ends, the connection breaks and comes back."""
    visit = opened(LOAD, WORDS)
    line = Line(visit)
    visit.open()
    visit.kernel_idle()
    hold(service, after=5)
    visit.start_all()
    expect(answer(visit)).to_contain_text("The first words")
    line.is_lossy = True
    service.release()
    line.cut()
    visit.page.wait_for_function(f"{KERNEL}.connectionStatus === 'connecting'")
    expect(answer(visit)).not_to_contain_text("the last ones")
    line.is_lossy = line.is_cut = False
    expect_one_answer(visit)


@pytest.mark.parametrize("op", ["answers", "attach"])
def test_a_page_asks_once_more_where_its_request_is_lost(
    opened: Opener, service: LocalService, op: str
) -> None:
    visit = begun(opened, service)
    line = Line(visit)
    line.lost = [
        f'"op":"{op}"'.encode()
    ] * 2  # a new page looks when it has a kernel, and when it is connected
    visit.open()
    expect(answer(visit)).to_contain_text("The first words")
    assert line.lost == []
    service.release()
    expect_one_answer(visit)


def test_a_cell_that_moves_keeps_its_answer(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service, "x = 1")
    visit.page.evaluate(f"() => {PANEL}.content.moveCell(1, 2)")
    service.release()
    expect_one_answer(visit, cell=2)


def test_a_cell_that_was_deleted_and_comes_back_has_its_answer(opened: Opener, service: LocalService) -> None:
    visit = begun(opened, service)
    visit.page.evaluate(f"{PANEL}.content.activeCellIndex = 1")
    visit.page.evaluate("window.jupyterapp.commands.execute('notebook:delete-cell')")
    expect(answer(visit)).to_have_count(0)
    service.release()
    visit.kernel_idle()
    visit.page.evaluate("window.jupyterapp.commands.execute('notebook:undo-cell-action')")
    expect_one_answer(visit)


def test_a_cell_that_runs_again_meanwhile_has_the_new_answer_alone(
    opened: Opener, service: LocalService
) -> None:
    visit = begun(opened, service)
    visit.page.evaluate(f"{CELLS}.getCell(1).setSource('%%codex\\necho: Another one, and the last ones.')")
    visit.page.evaluate(f"{PANEL}.content.activeCellIndex = 1")
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
    service.release()
    expect(answer(visit)).to_contain_text("Another one")
    expect_one_answer(visit)
    expect(answer(visit)).not_to_contain_text("The first words")


@pytest.mark.parametrize("is_saved", [True, False], ids=["saved", "unsaved"])
@pytest.mark.parametrize("ends", ["closed", "open"])
def test_a_notebook_closed_meanwhile_finds_its_answer_again(
    opened: Opener, service: LocalService, is_saved: bool, ends: str
) -> None:
    visit = begun(opened, service)
    if is_saved:
        visit.save()
    visit.page.evaluate(f"{PANEL}.dispose()")
    if ends == "closed":
        before = len(service.requests)
        service.release()
        assert before
    visit.page.evaluate(
        "path => window.jupyterapp.commands.execute('docmanager:open', {path})", visit.path.name
    )
    visit.page.wait_for_function(f"{KERNEL}?.connectionStatus === 'connected'")
    service.release()
    expect_one_answer(visit)


def test_an_answer_out_of_sight_is_there_when_it_is_scrolled_to(
    opened: Opener, service: LocalService
) -> None:
    visit = begun(opened, service, *(f"x = {n}" for n in range(60)))
    visit.page.evaluate(
        f"{PANEL}.content.notebookConfig = {{...{PANEL}.content.notebookConfig, windowingMode: 'full'}}"
    )
    visit.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 61 }}")
    visit.page.evaluate(f"{PANEL}.content.scrollToItem(60)")
    visit.page.wait_for_function(f"!{PANEL}.content.widgets[1].inViewport")
    service.release()
    visit.kernel_idle()
    visit.page.evaluate(f"{PANEL}.content.scrollToItem(1)")
    expect_one_answer(visit)


def test_an_agents_answer_goes_on_in_a_page_that_is_loaded_again(
    opened: Opener, service: LocalService
) -> None:
    pytest.importorskip("codex_cli_bin")
    question = WORDS.replace("%%codex", f"%%codex --agent --provider {service.api_url}")
    visit = opened(LOAD, question)
    hold(service, after=5)
    visit.start_all()
    expect(answer(visit)).to_contain_text("The first words")
    visit.open()
    expect(answer(visit)).to_have_attribute("aria-busy", "true")
    service.release()
    expect_one_answer(visit)


def named(visit: Visit) -> str:
    """The id in the metadata of the saved notebook."""
    visit.save()
    assert not visit.page.evaluate(f"{PANEL}.context.model.dirty")
    return str(nbformat.read(visit.path, as_version=4).metadata["codex_magic"]["notebook"])


def asked(service: LocalService) -> list[str]:
    """The questions of the last request, the turns before it included."""
    items = [item for item in service.requests[-1].json["input"] if item.get("role") == "user"]
    texts = [part["text"] for item in items for part in item["content"]]
    return [text for text in texts if not text.startswith("<external_")]


def ask(visit: Visit, question: str) -> None:
    """Ask in the last cell, to the end of the answer."""
    cell = visit.page.evaluate(f"{CELLS}.cells.length") - 1
    visit.page.evaluate(f"text => {CELLS}.getCell({cell}).setSource(text)", f"%%codex\necho: {question}")
    visit.run_cell(cell)
    expect(answer(visit).last).to_contain_text(question)
    expect(answer(visit).last).to_have_attribute("aria-busy", "false")


def test_a_deleted_question_is_not_sent_until_the_deletion_is_undone(
    opened: Opener, service: LocalService
) -> None:
    visit = opened(LOAD, "%%codex\necho: one", "%%codex\necho: two", "")
    for cell in range(3):
        visit.run_cell(cell)
    expect(answer(visit)).to_have_count(2)
    visit.kernel_idle()
    visit.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 1 }}")
    visit.page.evaluate("window.jupyterapp.commands.execute('notebook:delete-cell')")
    ask(visit, "three")
    assert asked(service) == ["echo: two", "echo: three"]
    visit.page.evaluate("window.jupyterapp.commands.execute('notebook:undo-cell-action')")
    expect(answer(visit)).to_have_count(3)
    ask(visit, "four")
    assert asked(service) == ["echo: one", "echo: two", "echo: four"]
    visit.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 1 }}")
    for command in ("cut-cell", "paste-cell-below"):
        visit.page.evaluate(f"window.jupyterapp.commands.execute('notebook:{command}')")
    ask(visit, "five")
    assert asked(service) == ["echo: one", "echo: two", "echo: five"]


def test_a_notebook_keeps_its_thread_by_the_id_in_its_file(
    opened: Opener, chromium_browser: Browser, server: JupyterServer, service: LocalService
) -> None:
    """Moved, renamed, without outputs and with other cell ids; a copy has an id of its own."""
    visit = opened(LOAD, "")
    visit.run_cell(0)
    ask(visit, "one")
    id = named(visit)
    ask(visit, "one again")
    assert named(visit) == id
    visit.open()
    assert visit.page.evaluate(f"[...{PANEL}.content.model.cells].every(cell => cell.trusted)")
    visit.shut_down_kernel()

    notebook = nbformat.read(visit.path, as_version=4)
    notebook.cells = notebook_of(LOAD, "").cells
    moved, copy = server.folder / "plans.ipynb", server.folder / "copy.ipynb"
    nbformat.write(notebook, moved)
    visit.path.unlink()
    visits = []
    for path in (moved, copy):
        if path == copy:
            shutil.copy(moved, copy)
        visits.append(Visit(chromium_browser, server, path))
        visits[-1].run_cell(0)
        ask(visits[-1], "two")
        assert asked(service)[0] == "echo: one again"
    assert named(visits[0]) == id
    assert named(visits[1]) != id
    expect(answer(visits[1])).to_contain_text("A copy of plans.ipynb")
    for each in visits:
        each.close()


@pytest.fixture(scope="module")
def shared_server(service: LocalService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """JupyterLab with jupyter-collaboration, whose pages run their cells themselves."""
    home = tmp_path_factory.mktemp("home")
    service.sign_in(home / ".codex")
    executor = ("jupyter_server_nbmodel", "@datalayer/jupyter-server-nbmodel")
    with served(
        tmp_path_factory, home, service, python=python_of("nbmodel"), without=executor, extended=True
    ) as server:
        yield server


@pytest.mark.registry
@pytest.mark.parametrize("leaves", [False, True], ids=["both stay", "the one that asked leaves"])
def test_an_answer_in_a_shared_notebook_stands_there_once(
    chromium_browser: Browser, shared_server: JupyterServer, service: LocalService, leaves: bool
) -> None:
    path = save_notebook(shared_server.folder / f"shared-{leaves}.ipynb", LOAD, WORDS)
    first, second = (Visit(chromium_browser, shared_server, path) for _ in range(2))
    first.run_cell(0)
    hold(service, after=5)
    first.page.evaluate(f"() => {{ {PANEL}.content.activeCellIndex = 1 }}")
    first.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
    for visit in (first, second):
        expect(answer(visit)).to_contain_text("The first words")
    if leaves:
        first.page.close()
    service.release()
    assert until(lambda: states(path) == ["done"]), states(path)
    for visit in [second] if leaves else [first, second]:
        expect(answer(visit)).to_contain_text("and the last ones.")
        expect(answer(visit)).to_have_count(1)
    second.close()
    first.context.close()


def states(path: Path) -> list[str]:
    """Of the answers in the file; none while the server writes it."""
    text = path.read_text()
    outputs = nbformat.reads(text, as_version=4).cells[1].outputs if text else []
    return [output.data[MIME]["state"] for output in outputs]
