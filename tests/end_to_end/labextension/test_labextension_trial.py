"""Code is tried first on a card of our extension in real JupyterLab: the card comes again with what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.end_to_end.browser import Visit, opening
from tests.end_to_end.lab import EXTENDED, JupyterServer, served
from tests.end_to_end.labextension.test_labextension_cards import button, card, expect_ready
from tests.end_to_end.notebooks import notebook_of
from tests.peers.agent import use

pytestmark = EXTENDED

LOAD = "%load_ext codex_magic\n%codex provider local\n%codex reads yes\nx = 41"
CODE = "import matplotlib.pyplot as plt\nx = 1\nprint('tried')\nplt.plot([1, 3, 2]);"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    with served(tmp_path_factory, tmp_path_factory.mktemp("home"), extended=True) as server:
        yield server


@pytest.fixture
def visit(chromium_browser: Browser, server: JupyterServer) -> Iterator[Visit]:
    question = f"%%codex\n{use('run_python', code=CODE, scope='commit')}"
    with opening(chromium_browser, server) as opened:
        yield opened(notebook_of(LOAD, question))


def test_the_card_comes_again_with_the_figure_and_what_would_differ(visit: Visit) -> None:
    visit.start_all()
    expect(card(visit)).to_be_visible()
    expect_ready(visit)
    visit.screenshot("try-first")
    button(visit, "Try first").click()
    picture = card(visit).get_by_role("img", name="Figure 1 of the trial")
    expect(picture).to_be_visible()
    expect_ready(visit)
    assert picture.evaluate("image => image.complete && image.naturalWidth > 100")
    expect(card(visit)).to_contain_text("tried")
    expect(card(visit)).to_contain_text("x: 41 -> 1")
    expect(card(visit)).to_contain_text("nothing of it lasts")
    expect(button(visit, "Try first")).to_have_count(0)
    visit.screenshot("tried")
    button(visit, "Approve").click()
    expect(card(visit)).to_have_count(0)
    expect(visit.page.locator(".jp-codex-answer").last).to_contain_text("approved")
