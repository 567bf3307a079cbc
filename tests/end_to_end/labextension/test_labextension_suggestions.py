"""Suggestions as somebody sees them who types: ghost text in real JupyterLab and Notebook 7."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Opener, Visit, opening
from tests.end_to_end.lab import EXTENDED, JupyterServer
from tests.end_to_end.notebooks import notebook_of
from tests.service import LocalService

pytestmark = [pytest.mark.parametrize("server", ["lab", "notebook"], indirect=True), *EXTENDED]

COMPLETER = "@jupyterlab/completer-extension:inline-completer"
LOAD = "%load_ext codex_magic"


@pytest.fixture
def opened(chromium_browser: Browser, server: JupyterServer) -> Iterator[Opener]:
    """Opens a notebook of these cells after the first one, which has run, with these settings of suggestions."""
    with opening(chromium_browser, server) as open_notebook:

        def opened(*sources: str, **settings: object) -> Visit:
            visit = open_notebook(notebook_of(LOAD, *sources))
            raw = json.dumps({"providers": {"codex-magic": settings}} if settings else {})
            address = f"{server.url}/lab/api/settings/{COMPLETER}"
            assert visit.page.request.put(address, data=json.dumps({"raw": raw})).ok
            visit.open()
            visit.kernel_idle()
            visit.run_cell(0)
            return visit

        yield opened


def typed(visit: Visit, index: int, text: str) -> Locator:
    """Type at the end of a cell; returns the ghost text in it."""
    cell = visit.page.locator(f".jp-Notebook .jp-CodeCell[data-windowed-list-index='{index}']")
    cell.locator(".cm-content").click()
    visit.page.keyboard.press("Control+End")
    visit.page.keyboard.type(text)
    return cell.locator(".jp-GhostText")


def requests(service: LocalService) -> list[str]:
    bodies = [each.json for each in service.requests if each.path.endswith("/responses")]
    return [body["input"][-1]["content"][0]["text"] for body in bodies]


def state(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-suggest button")


def test_nothing_is_suggested_until_somebody_turns_it_on(opened: Opener, service: LocalService) -> None:
    visit = opened("total = ", "")
    before = len(requests(service))
    typed(visit, 1, "price")
    visit.page.evaluate("window.jupyterapp.commands.execute('inline-completer:invoke')")
    visit.page.evaluate("window.jupyterapp.commands.execute('notebook:move-cursor-down')")
    typed(visit, 2, "%codex echo: so nothing was sent before this")
    visit.run_cell(2)
    assert requests(service)[before:] == ["echo: so nothing was sent before this"]
    expect(state(visit)).to_be_hidden()


def test_what_is_typed_is_continued_and_tab_takes_it(opened: Opener) -> None:
    visit = opened("def price(item): ...", "total = ", enabled=True)
    ghost = typed(visit, 2, "price")
    expect(ghost).to_have_text("  # scripted, after `price`")
    if visit.server.app == "lab":
        expect(state(visit)).to_have_text("Suggestions on")
    visit.page.keyboard.press("Tab")
    expect(visit.page.locator(".jp-CodeCell .cm-content").nth(2)).to_have_text(
        "total = price  # scripted, after `price`"
    )


def test_an_answer_to_what_stood_there_before_is_never_shown(opened: Opener, service: LocalService) -> None:
    visit = opened("total = ", enabled=True)
    held = len(service.state.held)
    gone = len(service.state.recorder.disconnects)
    service.faults.next("hold", after=0)
    ghost = typed(visit, 1, "pri")
    service.wait_for_hold(count=held + 1)
    if visit.server.app == "lab":
        expect(state(visit)).to_have_text("Suggesting …")
    visit.page.keyboard.type("ce")
    service.wait_for_disconnect(count=gone + 1)
    service.release()
    expect(ghost).to_have_text("  # scripted, after `price`")


def test_a_cell_that_runs_keeps_no_suggestion_back(opened: Opener) -> None:
    visit = opened("import threading\nthreading.Event().wait()", "total = ", enabled=True)
    visit.page.evaluate("window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1")
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
    visit.page.wait_for_selector(".jp-InputPrompt >> text=[*]:")
    expect(typed(visit, 2, "price")).to_have_text("  # scripted, after `price`")
    visit.stop()


def test_questions_and_other_magics_are_left_alone(opened: Opener, service: LocalService) -> None:
    visit = opened("%%codex\nWhy is", "%%html\n<b", "%%time\nx =", enabled=True)
    before = len(requests(service))
    for index, text in ((1, " the price"), (2, ">price"), (3, " price")):
        ghost = typed(visit, index, text)
        visit.page.evaluate("window.jupyterapp.commands.execute('inline-completer:invoke')")
    expect(ghost).to_have_text("  # scripted, after `price`")
    assert {text.partition("\n")[0] for text in requests(service)[before:]} == {"%%time"}


def test_a_spent_budget_is_said(opened: Opener, service: LocalService) -> None:
    visit = opened("total = ", enabled=True, tokens=1)
    before = len(requests(service))
    typed(visit, 1, "price")
    if visit.server.app == "lab":
        expect(state(visit)).to_have_text("Suggestions off for today")
    else:
        expect(visit.page.locator(".Toastify__toast")).to_contain_text("off for today")
    assert requests(service)[before:] == []


def test_a_kernel_without_codex_magic_is_said(opened: Opener) -> None:
    visit = opened("total = ", enabled=True)
    visit.restart_kernel()
    visit.kernel_idle()
    if visit.server.app == "lab":
        typed(visit, 1, "price")
        expect(state(visit)).to_have_text("Suggestions need codex_magic")
