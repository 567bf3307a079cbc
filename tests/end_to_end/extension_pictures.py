"""Pictures of what our JupyterLab extension draws, in every state, theme and width; and those of the README."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, FloatRect, Locator, expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.held import hold
from tests.end_to_end.lab import JupyterServer
from tests.end_to_end.notebooks import save_notebook
from tests.home import service_variables
from tests.known import some
from tests.peers.agent import use
from tests.service import LocalService, start

"""For what a kernel, the codex program or a new page does, on a busy machine."""

WIDTH, HEIGHT = 960, 9000
"""Pixels of a page; so high that no cell is out of view."""
LOOKS = {"light": WIDTH, "dark": WIDTH, "narrow": 400, "zoomed": WIDTH // 2}
"""How wide a page is in each look; one that is shown at 200 % has half the pixels across."""
THEMES = {"light": WIDTH, "dark": WIDTH}
WINDOW = {"light": 1180, "dark": 1180}
WINDOW_HEIGHT = 700
"""Of a picture of all of JupyterLab."""
SCALE = 2
"""Pixels of a picture for one of the page, as on most screens."""

COLOURS = 64
"""Of a picture in the README: greys of the letters, and the few colours of the page."""

LOAD = "%load_ext codex_magic\n%xmode Minimal"
DATA = """import pandas as pd

sales = pd.read_csv("sales.csv", parse_dates=["day"], index_col="order")
sales.head(3)"""
QUESTION = (
    "%%codex\nWhich column of @sales tells the cities apart, and how do I get the totals and means for each?"
)
OWN = 'sales.groupby("city")["price"].sum()'
WRONG = 'revenue = sales["quantity"] * sales["prices"]\nrevenue.sum()'
MENTIONS = "%%codex\nDo the types of @sales fit the rows in @sales.csv:1-5? In which **city** of @salse is most sold?"
ABOUT = "Which of these orders is the largest?"
INTERRUPTED = "%%codex --context none\nHow does a generator work? Explain it with an example."
LIVE = "%%codex --context none\nHow do I group a data frame by two columns?"
AGENT = "%%codex --agent\n" + use(
    "exec_command",
    cmd="pip install polars",
    sandbox_permissions="require_escalated",
    justification="polars reads the large file faster",
)
LOCAL = f"{LOAD}\nimport matplotlib.pyplot\n%codex provider local\n%codex reads yes"
TOOL = '''import codex_magic


@codex_magic.tool(needs_approval=False)
def price_of(city: str, nights: int = 1) -> float:
    """The price of a room, in dollars."""
    return nights * {"Lima": 41.5, "Oslo": 89.0}[city]'''
CALL = "%%codex --context none\n" + use("price_of", city="Lima", nights=2)
TRIAL = "%%codex --context none\n" + use(
    "run_python",
    code="totals = sales.groupby('city')['price'].sum()\ntotals.plot.barh(figsize=(4.5, 1.4));",
    scope="commit",
)
OTHERS = ("Missing prices", "Which plot for orders over time?", "Faster joins")
"""Threads of another notebook."""

WIDGET = "window.jupyterapp.shell.currentWidget"
CELLS = f"{WIDGET}.content.model.sharedModel.cells"

README = {
    "lab-light-answer": "answer",
    "lab-light-panel": "panel",
    "lab-light-change": "change",
    "lab-light-trial": "trial",
    "lab-light-tools": "tools",
    "lab-light-approval": "approval",
    "lab-light-mentions": "mentions",
    "lab-light-error": "error",
    "lab-dark-live": "live",
    "lab-dark-status": "status",
}
"""The pictures of the README and the documentation, and their names there."""


def orders() -> str:
    """A table of orders, the same each time."""
    cities = ("Lima", "Oslo", "Quito")
    rows = (
        f"{n},2026-02-{n % 28 + 1:02},{cities[n * n % 7 % 3]},{n * 3 % 5 + 1},{5 + n * 7.77 % 75:.2f}"
        for n in range(1, 201)
    )
    return "\n".join(["order,day,city,quantity,price", *rows])


@contextmanager
def shop() -> Iterator[Path]:
    """A folder whose name may be seen: the card of an approval shows it."""
    folder = Path(tempfile.gettempdir(), "shop")
    folder.mkdir()
    try:
        (folder / "sales.csv").write_text(orders())
        yield folder
    finally:
        shutil.rmtree(folder)


class Album:
    """Takes pictures of cells of one page, in each look."""

    def __init__(self, visit: Visit, folder: Path) -> None:
        self.visit = visit
        self.folder = folder
        self._app = visit.server.app
        visit.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})

    def index(self, source: str) -> int:
        sources = self.visit.page.evaluate(f"{CELLS}.map(cell => cell.getSource())")
        return next(index for index, each in enumerate(sources) if each.startswith(source))

    def cell(self, source: str) -> Locator:
        return self.visit.page.locator(".jp-Notebook .jp-Cell").nth(self.index(source))

    def run(self, source: str) -> None:
        self.visit.run_cell(self.index(source))

    def press(self, source: str, button: str) -> None:
        self.cell(source).get_by_role("button", name=button, exact=True).click()

    def begin(self, source: str) -> None:
        """Begin to run that cell."""
        page = self.visit.page
        page.evaluate(f"index => {{ {WIDGET}.content.activeCellIndex = index }}", self.index(source))
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")

    def take(
        self, looks: Mapping[str, int] = LOOKS, height: int = HEIGHT, **states: Sequence[Locator]
    ) -> None:
        """Take a picture of each state in each look, as large as what stands for it."""
        page = self.visit.page
        for look, width in looks.items():
            page.set_viewport_size({"width": width, "height": height})
            self.visit.theme("JupyterLab Dark" if look == "dark" else "JupyterLab Light")
            expect(page.locator("#jupyterlab-splash")).to_have_count(0)
            for state, shown in states.items():
                shown[-1].scroll_into_view_if_needed()  # which also waits until it stands still
                name = f"{self._app}-{look}-{state}"
                whole = page.screenshot(clip=around(shown), animations="disabled")
                (self.folder / f"{name}.png").write_bytes(whole)
                if name in README:
                    save_small(whole, self.folder / "readme" / f"{README[name]}.png")


def around(shown: Sequence[Locator]) -> FloatRect:
    """Return the least rectangle of a page with all of these."""
    boxes = [some(each.bounding_box()) for each in shown]
    left, top = min(each["x"] for each in boxes), min(each["y"] for each in boxes)
    right = max(each["x"] + each["width"] for each in boxes)
    bottom = max(each["y"] + each["height"] for each in boxes)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def save_small(picture: bytes, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    image = Image.open(BytesIO(picture)).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def answers(album: Album, service: LocalService) -> None:
    """A notebook about a table: questions, their answers, and what can be done with them."""
    page = album.visit.page
    for source in (LOAD, DATA, QUESTION, OWN, WRONG):
        album.run(source)
    album.cell(DATA).locator(".jp-OutputArea-child").click(button="right")
    page.get_by_role("menuitem", name="Ask Codex About This Output", exact=True).click()
    about = "%%codex\n@output"
    page.wait_for_function(f"{CELLS}.length === 9")
    expect(album.cell(about).locator(".cm-focused")).to_be_visible()
    page.keyboard.type(ABOUT)
    album.run(about)
    expect(album.cell(MENTIONS).locator(".cdx-notes")).to_contain_text("salse")
    interrupt(album, service)
    album.take(
        answer=[album.cell(QUESTION)],
        error=[album.cell(WRONG)],
        mentions=[album.cell(MENTIONS)],
        about=[album.cell(about)],
        interrupted=[album.cell(INTERRUPTED)],
    )
    album.press(QUESTION, "Replace next")
    edit = album.cell(QUESTION).locator(".cdx-edit")
    expect(edit.locator(".cm-changedLine").first).to_be_visible()
    hold(service, after=110)
    album.begin(LIVE)
    service.wait_for_hold(timeout=60)
    album.press(LIVE, "Steer")
    page.keyboard.type("Use named aggregation, please.")
    album.take(change=[album.cell(QUESTION).locator(".cdx-cb"), edit], live=[album.cell(LIVE)])
    service.release()
    expect(album.cell(LIVE).get_by_role("button", name="Retry")).to_be_visible()
    if album.visit.server.app == "lab":
        workbench(album)


def workbench(album: Album) -> None:
    """The window with the panel and the status bar, and what that opens."""
    page = album.visit.page
    page.set_viewport_size({"width": WINDOW["light"], "height": WINDOW_HEIGHT})
    page.evaluate("window.jupyterapp.commands.execute('codex-magic:open-panel')")
    panel = page.locator(".cdx-panel")
    current = panel.locator(".cdx-sel")
    current.locator(".cdx-row").click()
    panel.locator(".cdx-turn").first.get_by_role("button", name="Fork here").click()
    expect(panel.locator(".cdx-turn")).to_have_count(1)
    panel.get_by_role("button", name="Back to threads").click()
    expect(panel.locator(".cdx-fork")).to_have_count(1)
    album.cell(QUESTION).evaluate("cell => cell.scrollIntoView()")
    album.take(WINDOW, WINDOW_HEIGHT, panel=[page.locator("#main")])
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    item = page.locator(".cdx-sb-i")
    item.click()
    popup = page.get_by_role("dialog", name="Codex")
    expect(popup.locator("progress")).not_to_have_count(0)
    album.take(THEMES, status=[popup, item])


def acting(album: Album) -> None:
    """A function that is called, and code that is tried before it runs."""
    for source in (LOCAL, DATA, TOOL, CALL):
        album.run(source)
    album.take(tools=[album.cell(TOOL), album.cell(CALL)])
    album.begin(TRIAL)
    card = album.visit.page.locator(".jp-codex-card")
    ready = card.get_by_role("button", name="Try first")
    expect(ready).to_have_css("pointer-events", "auto")
    ready.click()
    expect(card.get_by_role("img", name="Figure 1 of the trial")).to_be_visible()
    album.take(trial=[card])
    album.press(TRIAL, "Decline")
    expect(card).to_have_count(0)


def interrupt(album: Album, service: LocalService) -> None:
    hold(service, after=80)
    album.begin(INTERRUPTED)
    service.wait_for_hold(timeout=60)
    album.press(INTERRUPTED, "Stop")
    expect(album.cell(INTERRUPTED).get_by_role("button", name="Continue")).to_be_visible()
    service.release()


def asked(album: Album) -> None:
    """What the codex program asks, and what became of it."""
    album.run(LOAD)
    album.begin(AGENT)
    card = album.visit.page.locator(".jp-codex-card")
    expect(card).to_be_visible()
    expect(card.get_by_role("button", name="Approve", exact=True)).to_have_css("pointer-events", "auto")
    output = album.cell(AGENT).locator(".jp-Cell-outputWrapper")
    album.take(approval=[output.locator(".jp-codex-answer")])
    album.press(AGENT, "Decline")
    expect(output.get_by_role("button", name="Retry")).to_be_visible()
    album.take(declined=[output.locator(".jp-codex-answer")])


def take(app: str, chromium: Browser, home: Path, folder: Path) -> None:
    with start() as service, shop() as work, pytest.MonkeyPatch.context() as patch:
        service.sign_in(home / ".codex")
        for name, value in service_variables(service).items():
            patch.setenv(name, value)
        table = save_notebook(
            work / "sales.ipynb", LOAD, DATA, QUESTION, OWN, WRONG, MENTIONS, INTERRUPTED, LIVE
        )
        agent = save_notebook(work / "agent.ipynb", LOAD + "\n%codex provider local", AGENT)
        acts = save_notebook(work / "acting.ipynb", LOCAL, DATA, TOOL, CALL, TRIAL)
        others = save_notebook(
            work / "orders.ipynb", LOAD, *(f"%%codex --new --name '{name}'\necho: Yes." for name in OTHERS)
        )
        with JupyterServer(work, app=app, extended=True) as server:
            for path, show in (
                (others, lambda album: album.visit.run_all()),
                (table, partial(answers, service=service)),
                (agent, asked),
                (acts, acting),
            ):
                visit = Visit(chromium, server, path, scale=SCALE)
                show(Album(visit, folder))
                visit.close()
