"""The panel and the status bar of our extension in a real JupyterLab: threads, what runs and waits, and a box to ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.accessible import faults, faults_in_each_theme
from tests.end_to_end.browser import Opener, Visit, opening
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED, JupyterServer, served
from tests.end_to_end.notebooks import notebook_of
from tests.end_to_end.threads import fill
from tests.peers.agent import escalated
from tests.service import LocalService

pytestmark = EXTENDED

LOAD = "%load_ext codex_magic"
THEMES = ("JupyterLab Light", "JupyterLab Dark")


@pytest.fixture
def home(tmp_path: Path, service: LocalService) -> Path:
    service.sign_in(tmp_path / ".codex")
    return tmp_path


@pytest.fixture
def server(
    request: pytest.FixtureRequest,
    service: LocalService,
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[JupyterServer]:
    app = getattr(request, "param", "lab")
    with served(tmp_path_factory, home, service, app=app, extended=True) as server:
        yield server


def panel(visit: Visit) -> Locator:
    return visit.page.locator(".cdx-panel")


def item(visit: Visit) -> Locator:
    """The item of the status bar."""
    return visit.page.locator(".cdx-sb-i")


def show(visit: Visit) -> Locator:
    visit.page.evaluate("window.jupyterapp.commands.execute('codex-magic:open-panel')")
    expect(panel(visit)).to_be_visible()
    return panel(visit)


def pictures(visit: Visit, name: str) -> None:
    for theme in THEMES:
        visit.theme(theme)
        expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
        visit.screenshot(f"panel-{name}-{theme.split()[-1].lower()}")


def row(visit: Visit, name: str) -> Locator:
    return panel(visit).locator(".cdx-line").filter(has_text=name)


def choose(visit: Visit, thread: str, label: str) -> None:
    """Choose from the menu of a thread."""
    row(visit, thread).get_by_role("button", name="Rename, fork, archive").click()
    visit.page.get_by_role("menuitem", name=label).click()


def test_the_panel_says_why_it_is_empty_and_what_to_do(opened: Opener) -> None:
    visit = opened("1 + 1")
    expect(item(visit)).to_have_count(0)
    shown = show(visit)
    expect(shown).to_contain_text("codex_magic is not loaded")
    pictures(visit, "unloaded")
    shown.get_by_role("button", name="Load it").click()
    expect(shown).to_contain_text("No threads yet")
    expect(shown.get_by_role("textbox", name="Ask Codex")).to_be_focused()
    expect(item(visit)).to_be_visible()
    visit.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    expect(shown).to_contain_text("No kernel is running")
    expect(item(visit)).to_contain_text("Codex: no kernel")
    item(visit).click()
    expect(shown.get_by_role("button", name="Start kernel")).to_be_focused()
    shown.get_by_role("button", name="Start kernel").click()
    expect(shown).to_contain_text("codex_magic is not loaded")


@pytest.mark.parametrize("server", ["notebook"], indirect=True)
def test_notebook_7_has_the_panel_in_its_view_menu(opened: Opener) -> None:
    visit = opened(LOAD, "%%codex\necho: In a cell")
    visit.run_all()
    visit.page.get_by_role("menuitem", name="View", exact=True).click()
    visit.page.get_by_role("menuitem", name="Show the Codex Panel").click()
    box = panel(visit).get_by_role("textbox", name="Ask Codex")
    expect(box).to_be_focused()
    visit.page.keyboard.type("echo: In the panel")
    visit.page.keyboard.press("Enter")
    turns = panel(visit).locator(".cdx-turn")
    expect(turns).to_have_count(2)
    expect(turns.last).to_contain_text("In the panel")
    assert faults_in_each_theme(visit, "panel-notebook", ".cdx-panel") == []


def test_menus_are_opened_and_left_by_keys_and_give_the_focus_back(opened: Opener) -> None:
    visit = opened(LOAD, "%%codex\necho: By keys")
    visit.run_all()
    keys = visit.page.keyboard
    show(visit).get_by_role("searchbox", name="Search threads").focus()
    for _ in range(2):
        keys.press("Tab")
    button = row(visit, "By keys").get_by_role("button", name="Rename, fork, archive")
    expect(button).to_be_focused()
    menu = visit.page.locator(".lm-Menu")
    keys.press("Enter")
    expect(menu).to_be_visible()
    keys.press("Escape")
    expect(menu).to_have_count(0)
    expect(button).to_be_focused()
    keys.press("Enter")
    expect(menu.get_by_role("menuitem")).to_have_text(["Fork", "Rename …", "Archive"])
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        keys.press(key)
    expect(visit.page.get_by_role("textbox", name="Name", exact=True)).to_be_focused()
    keys.press("Escape")
    expect(button).to_be_focused()
    item(visit).focus()
    keys.press("Enter")
    popup = visit.page.get_by_role("dialog", name="Codex")
    expect(popup.get_by_label("Model")).to_be_focused()
    keys.press("Escape")
    expect(popup).to_have_count(0)
    expect(item(visit)).to_be_focused()


def test_threads_are_opened_forked_renamed_searched_and_archived(opened: Opener) -> None:
    visit = opened(LOAD, "%%codex\necho: Units per city?", "%%codex\necho: Use polars instead")
    visit.run_all()
    shown = show(visit)
    expect(row(visit, "Units per city?")).to_contain_text("2 turns")
    choose(visit, "Units per city?", "Rename …")
    visit.page.get_by_role("textbox", name="Name", exact=True).fill("Sales analysis")
    visit.page.get_by_role("button", name="Rename", exact=True).click()
    expect(row(visit, "Sales analysis")).to_be_visible()
    row(visit, "Sales analysis").locator(".cdx-row").click()
    turns = shown.locator(".cdx-turn")
    expect(turns).to_have_count(2)
    expect(turns.nth(0)).to_contain_text("echo: Units per city?")
    expect(turns.nth(1)).to_contain_text("Use polars instead")
    expect(turns.nth(1)).to_contain_text("cell [3]")
    pictures(visit, "thread")
    assert faults(visit, ".cdx-panel") == []
    turns.nth(0).get_by_role("button", name="Fork here").click()
    expect(turns).to_have_count(1)
    shown.get_by_role("button", name="Back to threads").click()
    expect(shown.locator(".cdx-fork")).to_contain_text("fork at turn 1")
    pictures(visit, "threads")
    assert faults(visit, ".cdx-panel") == []
    field = shown.get_by_role("searchbox", name="Search threads")
    field.fill("xyzzy")
    expect(shown).to_contain_text("No thread contains “xyzzy”")
    field.fill("sALES")
    expect(shown.locator("mark")).to_have_text("Sales")
    choose(visit, "Sales analysis", "Archive")
    expect(shown).to_contain_text("Archived threads are not searched.")
    shown.get_by_role("button", name="Search archived too").click()
    expect(row(visit, "Sales analysis")).to_be_visible()


def test_a_question_in_the_panel_is_a_turn_of_the_notebooks_thread(
    opened: Opener, service: LocalService
) -> None:
    visit = opened(LOAD, "%%codex\necho: In a cell")
    visit.run_all()
    shown = show(visit)
    hold(service, after=3)
    box = shown.get_by_role("textbox", name="Ask Codex")
    box.fill("repeat 30")
    box.press("Enter")
    expect(shown.get_by_role("region", name="Running")).to_contain_text("repeat 30")
    expect(item(visit)).to_contain_text("Codex is answering")
    pictures(visit, "running")
    service.release()
    turns = shown.locator(".cdx-turn")
    expect(turns).to_have_count(2)
    expect(turns.nth(1)).to_contain_text("repeat 30")
    expect(shown.locator(".cdx-live")).to_have_count(0)
    assert visit.page.locator(".jp-CodeCell").count() == 2, "it is no cell"
    turns.nth(1).get_by_role("button", name="To a cell").click()
    expect(visit.page.locator(".jp-MarkdownCell")).to_have_count(1)
    box.fill("echo: As a cell")
    shown.get_by_role("button", name="Send as a cell").click()
    expect(turns).to_have_count(3)
    expect(turns.nth(2)).to_contain_text("As a cell")


def test_a_turn_is_steered_and_stopped_from_the_panel(opened: Opener, service: LocalService) -> None:
    visit = opened(LOAD, "%%codex\nrepeat 3000", "%%codex\nrepeat 3000")
    shown = show(visit)
    hold(service, after=3)
    visit.start_all()
    running = shown.get_by_role("region", name="Running")
    expect(running).to_contain_text("cell [*]")
    running.get_by_role("button", name="Steer").click()
    hold(service, after=3)  # what is asked anew with the addition; the second cell's question runs to its end
    running.get_by_role("textbox", name="Add to the running answer").fill("echo: Be brief")
    visit.page.keyboard.press("Enter")
    answers = visit.page.locator(".jp-codex-answer")
    expect(answers.first).to_contain_text("You: echo: Be brief")
    expect(running).to_contain_text("repeat 3000")
    running.get_by_role("button", name="Stop").click()
    expect(answers.first).to_contain_text("Interrupted")
    expect(running).to_have_count(0)
    service.release()


def test_what_was_sent_last_is_shown_part_by_part(opened: Opener) -> None:
    visit = opened(LOAD, "%%codex\necho: Sent words")
    visit.run_all()
    shown = show(visit)
    shown.get_by_role("button", name="What was sent last").click()
    shown.get_by_text("prompt", exact=True).last.click()
    expect(shown.locator("pre").last).to_have_text("echo: Sent words")
    pictures(visit, "sent")
    assert faults(visit, ".cdx-panel") == []


def test_show_opens_what_this_answer_was_sent_with(opened: Opener, service: LocalService) -> None:
    """While it is written, after it, and of an answer before the last and before the kernel's restart."""
    visit = opened(LOAD, "x = 1", "%%codex\necho: First words", "y = 2", "%%codex\nrepeat 3000")
    shown = panel(visit)
    answers = visit.page.locator(".jp-codex-answer")

    def look(index: int) -> Locator:
        answers.nth(index).get_by_role("button", name="Show what was sent").click()
        part = shown.get_by_role("region", name="Sent with this answer")
        part.get_by_text("prompt", exact=True).last.click()
        return part

    for index in range(4):
        visit.run_cell(index)
    hold(service, after=3)
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-below') }")
    expect(answers).to_have_count(2)
    expect(look(1).locator("pre").last).to_have_text("repeat 3000")
    expect(answers.nth(1)).to_have_attribute("aria-busy", "true")
    service.release()
    expect(answers.nth(1)).to_have_attribute("aria-busy", "false")
    part = look(0)
    expect(part.locator("pre").last).to_have_text("echo: First words")
    expect(answers.nth(0)).not_to_contain_text("%codex peek")
    assert faults(visit, ".jp-codex-answer") == []
    visit.restart_kernel()
    visit.kernel_idle()
    visit.run_cell(0)
    shown.get_by_role("button", name="Back to threads").click()
    part = look(0)
    expect(part.locator("pre").last).to_have_text("echo: First words")
    expect(part).to_contain_text("Instructions and tools are not kept there.")
    pictures(visit, "sent-of-a-turn")
    assert faults(visit, ".cdx-panel") == []


def test_the_status_bar_shows_and_changes_model_and_effort(opened: Opener) -> None:
    visit = opened(LOAD, "%%codex\necho: hi")
    visit.run_all()
    expect(item(visit)).to_contain_text("left")
    item(visit).click()
    popup = visit.page.get_by_role("dialog", name="Codex")
    expect(popup.get_by_label("Model")).to_be_focused()
    expect(popup.locator("progress")).not_to_have_count(0)
    popup.get_by_label("Effort").select_option("high")
    expect(item(visit)).to_contain_text("high")
    pictures(visit, "popup")
    assert faults(visit, ".cdx-pop") == []
    assert faults(visit, ".cdx-sb") == []
    popup.get_by_role("button", name="Sign out").click()
    expect(item(visit)).to_contain_text("Sign in to Codex")


def test_one_click_signs_in_by_a_code(opened: Opener, home: Path) -> None:
    (home / ".codex" / "auth.json").unlink()
    visit = opened(LOAD)
    visit.run_all()
    expect(item(visit)).to_contain_text("Sign in to Codex")
    item(visit).click()
    expect(panel(visit).locator(".cdx-live")).to_contain_text("Copy the code", ignore_case=True)
    pictures(visit, "sign-in")


def test_a_question_that_waits_is_reviewed_at_its_card_and_never_answered_in_the_panel(
    opened: Opener,
) -> None:
    pytest.importorskip("codex_cli_bin")
    command = escalated("echo written > out.txt")
    cells = ["# filler\n" * 60, f"%%codex --agent --background --new\n{command}", *["1 + 1"] * 30]
    visit = opened(f"{LOAD}\n%codex provider local", *cells)
    shown = show(visit)
    visit.run_all()
    waits = shown.get_by_role("region", name="Needs your approval")
    expect(waits).to_contain_text("echo written > out.txt")
    expect(item(visit)).to_contain_text("1 approval waiting")
    assert not waits.get_by_role("button", name="Approve").count()
    pictures(visit, "waiting")
    assert faults(visit, ".cdx-panel") == []
    waits.get_by_role("button", name="Review").click()
    title = visit.page.locator(".jp-Notebook .jp-codex-card .jp-codex-title")
    expect(title).to_be_focused()
    expect(title).to_be_in_viewport()
    visit.page.locator(".jp-codex-card").get_by_role("button", name="Decline", exact=True).click()
    expect(waits).to_have_count(0)
    expect(visit.page.locator(".jp-codex-answer")).to_contain_text("Not run: declined")


def test_what_the_panels_own_question_asks_is_reviewed_in_a_dialog(opened: Opener) -> None:
    pytest.importorskip("codex_cli_bin")
    visit = opened(f"{LOAD}\n%codex provider local\n%codex engine app-server")
    visit.run_all()
    shown = show(visit)
    box = shown.get_by_role("textbox", name="Ask Codex")
    box.fill(escalated("echo written > out.txt"))
    box.press("Enter")
    waits = shown.get_by_role("region", name="Needs your approval")
    expect(waits).to_contain_text("echo written > out.txt")
    expect(shown.get_by_role("button", name="Approve")).to_have_count(0)
    waits.get_by_role("button", name="Review").click()
    card = visit.page.get_by_role("dialog").locator(".jp-codex-card")
    expect(card.get_by_role("region", name="Command")).to_have_text("echo written > out.txt")
    pictures(visit, "dialog")
    card.get_by_role("button", name="Approve", exact=True).click()
    expect(card).to_have_count(0)
    expect(shown.locator(".cdx-turn")).to_contain_text("Ran echo written > out.txt")


def test_in_320_pixels_nothing_is_cut_off(opened: Opener) -> None:
    visit = opened(LOAD, "%%codex\necho: " + "unbreakable" * 12)
    visit.run_all()
    shown = show(visit)
    visit.page.set_viewport_size({"width": 320, "height": 640})
    row(visit, "unbreakable").locator(".cdx-row").click()
    expect(shown.locator(".cdx-turn")).to_contain_text("unbreakable")
    pictures(visit, "narrow")
    wide = "panel => [...panel.querySelectorAll('*')].filter(each => each.scrollWidth > panel.clientWidth && getComputedStyle(each).overflowX == 'visible').map(each => each.outerHTML.slice(0, 90))"
    assert shown.evaluate(wide) == []


PAINTED = """async ({ search, first }) => {
    const panel = document.querySelector('.cdx-panel');
    const tasks = [];
    const observer = new PerformanceObserver(list => tasks.push(...list.getEntries().map(each => each.duration)));
    observer.observe({ entryTypes: ['longtask'] });
    const field = panel.querySelector('input[type=search]');
    const begun = performance.now();
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, search);
    field.dispatchEvent(new InputEvent('input', { bubbles: true }));
    while (!panel.querySelector('.cdx-row')?.textContent.includes(first)) {
        await new Promise(requestAnimationFrame);
    }
    const took = performance.now() - begun;
    observer.disconnect();
    return { took, longest: Math.max(0, ...tasks) };
}"""
"""Search, and wait until the first line is another one: milliseconds, and the longest task of over 50 ms."""

SCROLLED = """async () => {
    const list = document.querySelector('.cdx-list');
    const tasks = [];
    const observer = new PerformanceObserver(entries => tasks.push(...entries.getEntries().map(each => each.duration)));
    observer.observe({ entryTypes: ['longtask'] });
    let rows = 0;
    for (let last = -1; list.scrollTop !== last || rows < 1; ) {
        last = list.scrollTop;
        list.scrollTop += 2000;
        for (let frames = 0; frames < 10; frames++) await new Promise(requestAnimationFrame);
        rows = Math.max(rows, list.querySelectorAll('.cdx-row').length);
        if (last > 80_000) break;
    }
    observer.disconnect();
    return { scrolled: list.scrollTop, rows, longest: Math.max(0, ...tasks) };
}"""
"""Scroll down through the list: how far, lines in the page at most, and the longest task of over 50 ms."""


def test_ten_thousand_threads_are_listed_searched_and_scrolled_as_fast_as_a_hundred(
    service: LocalService, chromium_browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The paint itself is measured in the page, in turns, so that a busy machine slows both."""
    took: dict[int, dict[str, list[float]]] = {}
    for number in (100, 10_000):
        home = tmp_path_factory.mktemp("home")
        service.sign_in(home / ".codex")
        fill(home / "codex-magic", number)
        with (
            served(tmp_path_factory, home, service, extended=True) as server,
            opening(chromium_browser, server) as opened,
        ):
            visit = opened(notebook_of(LOAD))
            visit.run_all()
            shown = show(visit)
            expect(shown.locator(".cdx-row").first).to_contain_text("Question number 0.")
            measured: dict[str, list[float]] = {"all": [], "one": []}
            tasks: dict[str, list[float]] = {"all": [], "one": []}
            for _ in range(7):
                for name, search, first in (("one", "NUMBER 99.", "number 99."), ("all", "", "number 0.")):
                    painted = visit.page.evaluate(PAINTED, {"search": search, "first": first})
                    measured[name].append(painted["took"])
                    tasks[name].append(painted["longest"])
            took[number] = measured
            assert max(map(min, tasks.values())) <= 100, "what is long is so each time"
            if number == 10_000:
                scrolls = [visit.page.evaluate(SCROLLED) for _ in range(2)]
                assert scrolls[-1]["scrolled"] > 20_000
                assert max(each["rows"] for each in scrolls) < 60, "only what is in view is in the page"
                assert min(each["longest"] for each in scrolls) <= 100
                visit.screenshot("panel-many")
                shown.locator(".cdx-row[tabindex='0']").focus()
                for key, number_of in (("Home", 0), ("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1)):
                    visit.page.keyboard.press(key)
                    expect(shown.locator(".cdx-row:focus")).to_contain_text(f"Question number {number_of}.")
    for name, times in took[10_000].items():
        ratio = min(times) / min(took[100][name])
        assert ratio <= 2, f"{name}: {times}, and with a hundred {took[100][name]}"
