"""Cells that the Jupyter server runs for its page: one output for an answer, right on screen and in the file.

jupyter-server-documents appends display updates as outputs; jupyter-server-nbmodel drops them. Each is
in an environment of its own.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.held import hold
from tests.end_to_end.kernel import OURS
from tests.end_to_end.lab import JupyterServer, served
from tests.end_to_end.notebooks import save_notebook
from tests.environments import python_of
from tests.peers.agent import escalated
from tests.service import LocalService, start

pytestmark = [pytest.mark.browser, pytest.mark.registry, pytest.mark.timeout(240)]

LOAD = "%load_ext codex_magic"
WORDS = "%%codex\necho: The first words, and the last ones."
AGENT = f"%%codex --agent --provider local\n{escalated('echo written > out.txt')}"

COLLABORATION = (
    "jupyter_server_ydoc",
    "@jupyter/collaboration-extension",
    "@jupyter/docprovider-extension",
)
SERVERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "documents": ("documents", ()),
    "nbmodel": ("nbmodel", COLLABORATION),
    "nbmodel-collaboration": ("nbmodel", ()),
}
"""By name: the environment, and what is left out of it."""


@pytest.fixture(scope="module")
def service() -> Iterator[LocalService]:
    with start(auto_approve=True) as service:
        yield service


@pytest.fixture(scope="module", params=SERVERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def lab_home(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def server(
    kind: str, lab_home: Path, service: LocalService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    environment, without = SERVERS[kind]
    variables = {"CODESPACES": "true", "CODEX_MAGIC_CODEX_BIN": _agents_program()}  # no browser opens here
    with served(
        tmp_path_factory, lab_home, service, variables, python=python_of(environment), without=without
    ) as server:
        yield server


def _agents_program() -> str:
    import codex_cli_bin

    return str(codex_cli_bin.bundled_codex_path())


Opener = Callable[..., Visit]


@pytest.fixture
def opened(
    chromium_browser: Browser, server: JupyterServer, service: LocalService, lab_home: Path, kind: str
) -> Iterator[Opener]:
    """Opens a notebook of these cells, signed in unless told otherwise."""
    visits: list[Visit] = []

    def open_notebook(*cells: str, signed_in: bool = True) -> Visit:
        if signed_in:
            service.sign_in(lab_home / ".codex")
        else:
            (lab_home / ".codex" / "auth.json").unlink(missing_ok=True)
        path = save_notebook(
            server.folder / f"{len(list(server.folder.glob('*.ipynb')))}.ipynb", LOAD, *cells
        )
        visit = Visit(chromium_browser, server, path)
        if kind != "nbmodel":
            visit.save = lambda: None  # type: ignore[method-assign]  # a shared document is written by its server
        visits.append(visit)
        return visit

    yield open_notebook
    service.release()
    for visit in visits:
        visit.close()


def answer(visit: Visit) -> Locator:
    return visit.outputs.last


def until(look: Callable[[], bool]) -> bool:
    """Whether that comes true within half a minute."""
    late = threading.Event()
    timer = threading.Timer(30, late.set)
    timer.start()
    try:
        while not late.wait(0.1):
            if look():
                return True
        return False
    finally:
        timer.cancel()


def begin(visit: Visit, service: LocalService) -> None:
    """Run the cells until the first words of the last answer have come, and are seen where they can be."""
    hold(service, after=5)
    before = len(service.requests)
    visit.start_all()
    asked = lambda: any(request.path.endswith("/responses") for request in service.requests[before:])  # noqa: E731
    assert until(asked)


def file_outputs(visit: Visit, cell: int = -1) -> list[NotebookNode]:
    """None while the server writes the file."""
    visit.save()
    text = visit.path.read_text()
    return list(nbformat.reads(text, as_version=4).cells[cell].outputs) if text else []


def saved_answer(visit: Visit, state: str, *, cell: int = -1) -> str:
    """The Markdown of the one output of a cell in the file, when the file has the end of the answer."""
    seen: list[NotebookNode] = []

    def ended() -> bool:
        seen[:] = file_outputs(visit, cell)
        return [output.get("data", {}).get(OURS, {}).get("state") for output in seen] == [state]

    assert until(ended), seen
    markdown = str(seen[0].data["text/markdown"])
    assert "If this stays" not in str(seen[0])
    return markdown


def expect_one_answer(visit: Visit, text: str, state: str = "done") -> None:
    """It stands once, on screen and in the file."""
    expect(answer(visit)).to_contain_text(text)
    expect(answer(visit).locator(".jp-OutputArea-child")).to_have_count(1)
    assert saved_answer(visit, state).count(text) == 1


@pytest.fixture
def is_seen(kind: str) -> bool:
    """Whether the page shows anything of a cell before its end; jupyter-server-nbmodel alone does not."""
    return kind != "nbmodel"


def test_an_answer_grows_on_screen_and_ends_as_one_output(
    opened: Opener, service: LocalService, is_seen: bool
) -> None:
    visit = opened(WORDS)
    begin(visit, service)
    if is_seen:
        expect(answer(visit)).to_contain_text("The first words")
        expect(answer(visit)).to_contain_text("If this stays, show the answer with %codex show.")
        expect(answer(visit)).not_to_contain_text("the last ones")
    service.release()
    expect_one_answer(visit, "The first words, and the last ones.")


def test_the_stop_button_ends_an_answer_that_stays(
    opened: Opener, service: LocalService, is_seen: bool
) -> None:
    visit = opened(WORDS)
    begin(visit, service)
    if is_seen:
        expect(answer(visit)).to_contain_text("The first words")
    visit.stop()
    expect_one_answer(visit, "Interrupted", "interrupted")


def test_every_cell_has_one_output_for_its_answer(opened: Opener, service: LocalService) -> None:
    """A long answer, one among other code, one in an Output widget, an error."""
    visit = opened(
        "%%codex\nrepeat 6000",
        "print('above')\n%codex echo: between\nprint('below')",
        "import ipywidgets; out = ipywidgets.Output()\nwith out:\n    %codex echo: captured\nout",
        "%%codex --model no-such-model\nhello",
    )
    visit.start_all()
    expect_one_answer(visit, "no-such-model", "error")
    assert "steps, so doubling" in saved_answer(visit, "done", cell=1)
    among = [output.get("text") or output.data[OURS]["state"] for output in file_outputs(visit, 2)]
    assert among == ["above\n", "done", "below\n"]


def test_a_cell_without_a_sign_in_goes_on_after_it(opened: Opener, service: LocalService, kind: str) -> None:
    visit = opened("%%codex\necho: signed in now", signed_in=False)
    visit.start_all()
    prompt = visit.page.locator(".jp-Stdin-prompt")
    told = answer(visit) if kind == "documents" else prompt
    expect(told).to_contain_text("codex/device")
    [code] = re.findall(r"\b[A-Z0-9]{4}-[A-Z0-9]{4,5}\b", told.inner_text())
    service.approve_device(code)
    if kind != "documents":
        visit.page.locator(".jp-Stdin-input").press("Enter")
    expect_one_answer(visit, "signed in now")
    assert code not in visit.path.read_text()


def test_an_approval_is_typed_where_a_line_can_be(opened: Opener, server: JupyterServer, kind: str) -> None:
    out = server.folder / "out.txt"
    out.unlink(missing_ok=True)
    visit = opened(AGENT)
    visit.start_all()
    if kind == "documents":
        expect_one_answer(visit, "nobody to ask")
        assert not out.exists()
        return
    expect(visit.page.locator(".jp-Stdin-prompt")).to_contain_text("echo written > out.txt")
    field = visit.page.locator(".jp-Stdin-input")
    field.fill("a")
    field.press("Enter")
    expect_one_answer(visit, "approved")
    assert "exit code 0" in saved_answer(visit, "done")
    assert out.read_text() == "written\n"


@pytest.mark.parametrize("leave", ["reload", "close"])
def test_an_answer_ends_right_when_its_page_was_left(
    opened: Opener, service: LocalService, kind: str, leave: str
) -> None:
    if kind == "nbmodel":
        pytest.skip("only a page that stays takes its outputs; %codex show has them")
    visit = opened(WORDS)
    begin(visit, service)
    expect(answer(visit)).to_contain_text("The first words")
    if leave == "close":
        visit.page.goto("about:blank")
        service.release()
        saved = lambda: "the last ones" in visit.path.read_text()  # noqa: E731
        assert until(saved)
        visit.open()
    else:
        visit.open()
        service.release()
    expect_one_answer(visit, "The first words, and the last ones.")
