"""An analysis from its first cell to its last, in real JupyterLab, as one person does it with Codex."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import SCREENSHOTS, Visit, opening
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED, JupyterServer
from tests.end_to_end.labextension.test_labextension_blocks import press, sources
from tests.end_to_end.labextension.test_labextension_cards import answer, button, card, expect_ready
from tests.end_to_end.notebooks import notebook_of
from tests.peers.agent import use
from tests.service import LocalService

pytest.importorskip("pandas")

pytestmark = [pytest.mark.timeout(300), *EXTENDED]

WIDGET = "window.jupyterapp.shell.currentWidget"
LOAD = '%load_ext codex_magic\nimport pandas as pd\nsales = pd.read_csv("sales.csv")\nsales.head(3)'
PLOT = 'totals = sales.groupby("city")["price"].sum()\nsales["total"] = sales["quantity"] * sales["price"]\ntotals.plot(kind="bar");'
CITY = """from dataclasses import dataclass

@dataclass
class City:
    name: str
    people: int"""
DROP = 'sales = sales[sales["price"] > 40]\nlen(sales)'


@pytest.fixture
def visit(chromium_browser: Browser, server: JupyterServer) -> Iterator[Visit]:
    write_sales(server.folder / "sales.csv")
    with opening(chromium_browser, server) as opened:
        yield opened(notebook_of(""))


def write_sales(path: Path) -> None:
    chance = random.Random(7)
    rows = [
        f"{order},{chance.choice(['Lima', 'Oslo', 'Quito'])},{chance.randint(1, 5)},{chance.uniform(5, 80):.2f}"
        for order in range(1, 201)
    ]
    path.write_text("\n".join(["order,city,quantity,price", *rows]))


def cell(visit: Visit, index: int) -> Locator:
    return visit.page.locator(".jp-Notebook-cell").nth(index)


def run(visit: Visit, source: str, *, in_cell: int = -1, waits: bool = True) -> int:
    """Type into that cell, and run it as a person does; return its place."""
    index = in_cell % len(sources(visit))
    box = cell(visit, index).locator(".cm-content").first
    box.click()
    visit.page.keyboard.press("Control+A")
    visit.page.keyboard.insert_text(source)
    visit.page.keyboard.press("Shift+Enter")
    if waits:
        visit.page.wait_for_function(
            f"index => {WIDGET}.content.widgets[index].model.executionState === 'idle'", arg=index
        )
    return index


def approve(visit: Visit, code: str, picture: str) -> None:
    """Have Codex run code that stays, after a yes."""
    run(visit, f"%%codex\n{use('run_python', code=code, scope='commit')}", waits=False)
    expect(card(visit)).to_contain_text("Allow Codex to run this code?")
    expect_ready(visit)
    pictures(visit, f"{picture}-card")
    button(visit, "Approve").click()
    expect(answer(visit)).to_contain_text("approved")
    visit.kernel_idle()


def pictures(visit: Visit, name: str) -> None:
    """Where somebody wants to look at each step."""
    for theme in ("Light", "Dark") if SCREENSHOTS in os.environ else ():
        visit.theme(f"JupyterLab {theme}")
        expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
        visit.screenshot(f"analysis-{name}-{theme.lower()}")


def test_an_analysis(visit: Visit, service: LocalService) -> None:
    """Its steps are one after the other in one notebook, as each needs what the ones before have left."""
    ask_about_a_table(visit)
    run_code_of_the_answer(visit)
    approve_code_that_draws(visit)
    fix_an_error(visit)
    ask_for_a_table(visit)
    stop_an_answer(visit, service)
    restart(visit)
    undo(visit)
    go_on(visit)
    assert visit.left == []


def ask_about_a_table(visit: Visit) -> None:
    run(visit, LOAD)
    expect(cell(visit, 0).locator("table")).to_contain_text("Lima")
    run(visit, "%%codex\nPlot the mean price of each city in @sales.")
    expect(answer(visit)).to_contain_text("Sent: 1 cell, @sales")
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    pictures(visit, "answer")


def run_code_of_the_answer(visit: Visit) -> None:
    press(visit, 0, "Run below")
    expect(cell(visit, 2).locator("img")).to_be_visible()
    assert sources(visit)[2] == 'sales.groupby("city")["price"].mean().plot(kind="bar")'
    pictures(visit, "code")


def approve_code_that_draws(visit: Visit) -> None:
    approve(visit, PLOT, "plot")
    expect(cell(visit, 4).locator("img")).to_be_visible()
    assert sources(visit)[4] == PLOT
    expect(cell(visit, 3)).to_contain_text("sales: +1 column (total)")
    for text in cell(visit, 3).locator(".cm-line span", has_text="price").all():
        expect(text).not_to_have_css("text-decoration-line", "underline")  # no link, whatever Markdown says
    pictures(visit, "figure")


def fix_an_error(visit: Visit) -> None:
    run(visit, 'sales["prices"].mean()')
    pictures(visit, "error")
    visit.page.get_by_role("button", name="Fix with Codex").click()
    expect(answer(visit)).to_contain_text("what comes closest in your notebook is")
    visit.kernel_idle()
    fixed = sources(visit).index('sales["price"].mean()')
    run(visit, sources(visit)[fixed], in_cell=fixed)
    expect(cell(visit, fixed)).to_contain_text("42.8")
    pictures(visit, "fixed")


def ask_for_a_table(visit: Visit) -> None:
    run(visit, CITY)
    run(visit, "%%codex -o cities --df --schema City\nThe two largest cities of Peru.")
    table = cell(visit, run(visit, "cities")).locator("table")
    expect(table.locator("thead th")).to_have_text(["", "name", "people"])
    expect(table.locator("tbody tr")).to_have_count(2)
    pictures(visit, "table")


def stop_an_answer(visit: Visit, service: LocalService) -> None:
    hold(service, after=20)
    run(visit, "%%codex\nExplain how a rolling mean works.", waits=False)
    expect(answer(visit)).to_contain_text("A scripted")
    pictures(visit, "running")
    answer(visit).get_by_role("button", name="Stop").click()
    expect(answer(visit)).to_contain_text("Interrupted")
    service.release()
    visit.kernel_idle()
    pictures(visit, "stopped")


def restart(visit: Visit) -> None:
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('kernelmenu:restart') }")
    visit.page.get_by_role("button", name="Confirm Kernel Restart").click()
    visit.page.wait_for_function(f"{WIDGET}.sessionContext.session.kernel.connectionStatus === 'connected'")
    visit.kernel_idle()
    command = run(visit, "%codex undo")
    load = visit.page.get_by_role("button", name="Load Codex and run again")
    expect(load).to_be_visible()
    pictures(visit, "not-loaded")
    before = len(sources(visit))
    load.click()
    expect(cell(visit, command)).to_contain_text("There is nothing to undo")
    expect(load).to_have_count(0)
    assert len(sources(visit)) == before, "the first cell loads it"
    pictures(visit, "loaded")


def undo(visit: Visit) -> None:
    run(visit, LOAD, in_cell=0)
    approve(visit, DROP, "drop")
    expect(answer(visit)).to_contain_text("sales: 200 -> 110 rows")
    run(visit, "%codex undo")
    rows = run(visit, "len(sales)")
    expect(cell(visit, rows).locator(".jp-OutputArea-output")).to_have_text("200")
    pictures(visit, "undone")


def go_on(visit: Visit) -> None:
    run(visit, "%%codex\nWhat did I ask so far?")
    expect(answer(visit)).to_contain_text("Plot the mean price of each city in @sales.")
    expect(answer(visit)).to_contain_text("Explain how a rolling mean works.")
    pictures(visit, "on")
