"""What a stranger types and clicks before the first answer and the first approved run: at most five things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.end_to_end.browser import Visit, opening
from tests.end_to_end.lab import EXTENDED, JupyterServer, served
from tests.end_to_end.labextension.test_labextension_cards import button, card, expect_ready
from tests.end_to_end.notebooks import notebook_of
from tests.peers.agent import use
from tests.service import LocalService

pytestmark = EXTENDED

CELLS = (
    "%load_ext codex_magic",
    "%%codex\necho: The first answer",
    f"%%codex\n{use('run_python', code='prices = [40, 20]', scope='commit')}",
    "sum(prices)",
)


@pytest.fixture
def server(
    service: LocalService, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    with served(tmp_path_factory, tmp_path, service, extended=True) as server:
        yield server


@pytest.fixture
def visit(chromium_browser: Browser, server: JupyterServer) -> Iterator[Visit]:
    """Nobody is signed in."""
    with opening(chromium_browser, server) as opened:
        yield opened(notebook_of(*CELLS))


def begin(visit: Visit, index: int) -> None:
    visit.page.evaluate(
        """index => {
            window.jupyterapp.shell.currentWidget.content.activeCellIndex = index;
            window.jupyterapp.commands.execute('notebook:run-cell');
        }""",
        index,
    )


def test_five_commands_and_clicks_sign_in_answer_and_run(visit: Visit, service: LocalService) -> None:
    answers = visit.page.locator(".jp-codex-answer")
    visit.run_cell(0)  # 1: the extension is loaded
    begin(visit, 1)  # 2: a question, which offers the sign-in
    sign_in = visit.page.locator(".codex-login")
    visit.screenshot("first-sign-in")
    sign_in.get_by_role("button", name="One-time code (recommended)").click()  # 3
    code = sign_in.locator("output")
    expect(sign_in.get_by_role("link", name="Open the sign-in page")).to_be_visible()
    visit.screenshot("first-code")
    service.approve_device(code.inner_text())  # pasted on the page, on any device
    expect(answers).to_contain_text("The first answer")
    expect(sign_in).to_have_count(0)
    begin(visit, 2)  # 4: a question that wants to run something
    expect(card(visit)).to_be_visible()
    expect(card(visit)).to_be_in_viewport()
    expect_ready(visit)
    visit.screenshot("first-question")
    button(visit, "Approve").click()  # 5
    expect(answers.last).to_contain_text("approved")
    visit.run_cell(len(CELLS) - 1)
    expect(visit.outputs.last).to_contain_text("60")
    visit.screenshot("first-run")
