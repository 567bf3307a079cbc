"""Everybody can read and use what our extension draws in a real JupyterLab: in each theme, and by the keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.accessible import AXE, faults_in_each_theme
from tests.end_to_end.browser import Opener, Visit, opening
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED, JupyterServer
from tests.end_to_end.labextension.test_labextension_blocks import answered
from tests.end_to_end.labextension.test_labextension_cards import button, card, expect_ready
from tests.service import LocalService

pytestmark = [
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: make labextension"),
    *EXTENDED,
]

LOAD = "%load_ext codex_magic"
WIDGET = "window.jupyterapp.shell.currentWidget"

DIFF = """@@ -1,3 +1,3 @@
 def mean(values):
-    return sum(values) / len(values)
+    return math.fsum(values) / len(values)
"""
TARGET = "x = 1\ny = 2\nprint('sum', x + y)"
ASK = """
from codex_magic.notebook.question import Question
from codex_magic.protocol.types import CellApproval, CommandApproval, FileChangeApproval, RunApproval, Trial
extension = get_ipython().magics_manager.registry["CodexMagics"].extension
[output] = extension.turns
ids = {"thread_id": "t", "turn_id": "u", "item_id": "i"}
tool = {"tool": "run_python", **ids}
for request in (
    CommandApproval(
        command="pip install polars\\u202e",
        cwd="/home/ana/project",
        reason="polars reads the large file faster",
        proposed_execpolicy_amendment=tuple("pip install".split()),
        **ids,
    ),
    FileChangeApproval(changes=({"path": "mean.py", "kind": {"type": "update"}, "diff": DIFF},), **ids),
    RunApproval(code="x = 1\\nprint('tried')", facts=(("Binds", "x"),), **tool),
    RunApproval(
        code="x = 1\\nprint('tried')",
        trial=Trial("ended without an error", "files, network", "tried", (), ("x: 41 -> 1",)),
        **tool,
    ),
    CellApproval(
        cell="CELL", name="cell [ ]", base=TARGET, text=TARGET.replace("x = 1", "x = 10"), old="x = 1", new="x = 10", **tool
    ),
):
    question = Question(request, "/home/ana/project", output)
    extension.questions.add(question)
extension.ask(output)
"""


QUESTIONS = {
    "command": "pip install polars",
    "change": "math.fsum",
    "try-first": "Try first",
    "tried": "nothing of it lasts",
}


def asking(cell: str) -> str:
    """A cell that asks, below the answer that streams, one question of each kind."""
    return f"DIFF, TARGET = {DIFF!r}, {TARGET!r}\n{ASK.replace('CELL', cell)}"


STOP = """node => {
    const { activeElement: active } = document;
    const { left, top, height } = active.getBoundingClientRect();
    return node.contains(active) ? [Math.round(top + height / 2), Math.round(left)] : null;
}"""
"""Where the focus is, if it is in a node: the middle of what has it from the top, and its left edge."""


def expect_reading_order(visit: Visit, part: Locator) -> None:
    """The Tab key goes through a part from its first stop, or what has the focus, as one reads it."""
    stops = [part.evaluate(STOP)]
    while stops[-1]:
        visit.page.keyboard.press("Tab")
        stops.append(part.evaluate(STOP))
    rows = [(top // 8, left) for top, left in stops[:-1]]
    assert len(rows) > 2
    assert rows == sorted(rows)


def test_questions(opened: Opener, service: LocalService) -> None:
    visit = opened(LOAD, "%%codex --background\necho: Words.", TARGET, "")
    hold(service, after=2)
    visit.run_cell(0)
    visit.run_cell(1)
    ids = visit.page.evaluate(f"{WIDGET}.content.widgets.map(cell => cell.model.id)")
    model = f"{WIDGET}.content.model.sharedModel"
    visit.page.evaluate(f"source => {model}.getCell(3).setSource(source)", asking(ids[2]))
    visit.run_cell(3)
    found = []
    for name, words in QUESTIONS.items():
        expect(card(visit)).to_contain_text(words)
        expect(card(visit).get_by_role("alert")).to_be_focused()
        found += faults_in_each_theme(visit, f"access-{name}", ".jp-codex-answer")
        expect_reading_order(visit, card(visit))
        button(visit, "Decline and say why …").click()
        visit.page.keyboard.type("Not now.")
        if name == "command":
            found += faults_in_each_theme(visit, "access-why", ".jp-codex-answer")
        button(visit, "Back").click()
        expect(button(visit, "Decline")).to_be_focused()
        expect_ready(visit)
        visit.page.keyboard.press("Enter")
    edit = visit.page.locator(".jp-codex-proposal .cdx-edit")
    expect(edit).to_be_focused()
    found += faults_in_each_theme(visit, "access-proposal", ".jp-codex-answer")
    visit.page.evaluate(f"{model}.getCell(2).setSource('x = 2')")
    expect(edit).to_contain_text("has changed since")
    expect(edit).to_be_focused()
    found += faults_in_each_theme(visit, "access-proposal-changed", ".jp-codex-answer")
    expect_reading_order(visit, visit.page.locator(".jp-codex-proposal"))
    edit.get_by_role("button", name="Reject").focus()
    visit.page.keyboard.press("Enter")
    expect(edit).to_contain_text("Not applied: rejected")
    expect(visit.page.locator(".jp-Notebook:focus-within")).to_have_count(1)
    service.release()
    assert found == [], "\n".join(map(str, found))


ANSWER = """echo: Two ways:

```python
def mean(values):
    return sum(values) / 2  # half
```

```diff
--- a/mean.py
+++ b/mean.py
-    return sum(values) / 2
+    return math.fsum(values) / 2
```

| a | b |
|---|---|
| 1 | 2 |

> See [the docs](https://example.com), `len` and **bold**.
"""
CELLS = (
    f"{LOAD}\n%xmode Minimal\nsales = 1",
    f"%%codex\n{ANSWER}",
    TARGET,
    "1 / 0",
    "%%codex --modle x",
    "%%codex --context none\nrepeat 300",
    "%%codex\nDo the types of @sales fit those of @salse?",
)
OURS = (".jp-codex-answer", ".cdx-fix", ".cdx-notes", ".cdx-edit")


def test_answers_and_what_can_be_done_with_them(
    chromium_browser: Browser, server: JupyterServer, service: LocalService
) -> None:
    """One that is not trusted and one that streams, with the words for steering it; then all ways in which they end."""
    found = []
    with opening(chromium_browser, server) as opened:
        visit = opened(answered(*CELLS))
        page = visit.page
        page.set_viewport_size({"width": 900, "height": 2800})
        visit.run_cell(1)
        begin(visit, 2, service)
        answer = page.locator(".jp-codex-answer").nth(1)
        steer, field = answer.get_by_role("button", name="Steer"), answer.get_by_role("textbox").last
        steer.click()
        expect(field).to_be_focused()
        page.keyboard.press("Escape")
        expect(steer).to_be_focused()
        page.keyboard.press("Enter")
        expect(field).to_be_focused()
        found += faults_in_each_theme(visit, "access-live", *OURS)
        page.set_viewport_size({"width": 480, "height": 2800})
        visit.screenshot("access-live-narrow")
        ends = answer.locator(".jp-codex-steer button").evaluate_all(BOTTOMS)
        assert len(set(ends)) == 1, "they stand side by side"
        page.set_viewport_size({"width": 900, "height": 2800})
        service.release()
        expect(answer).to_have_attribute("aria-busy", "false")
        for index in (4, 5):
            visit.run_cell(index)
        begin(visit, 6, service)
        last = page.locator(".jp-codex-answer").last
        last.get_by_role("button", name="Stop").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Continue")).to_be_visible()
        expect(last.get_by_role("toolbar", name="Answer actions")).to_be_focused()
        service.release()
        edit = page.locator(".cdx-edit")
        expect(answer.locator(".cdx-lang")).to_have_text(["python", "diff"])
        answer.get_by_role("button", name="Copy").first.focus()
        expect_reading_order(visit, answer)
        answer.get_by_role("button", name="Replace next").first.click()
        expect(edit.locator(".cm-changedLine").first).to_be_visible()
        expect(page.locator(".cdx-notes")).to_contain_text("salse")
        expect(page.get_by_role("button", name="Trust it")).to_have_count(3)
        found += faults_in_each_theme(visit, "access-answer", *OURS)
        edit.get_by_role("button", name="Apply", exact=True).click()
        expect(edit).to_contain_text("Applied")
        found += faults_in_each_theme(visit, "access-applied", ".cdx-edit")
    assert found == [], "\n".join(map(str, found))


BOTTOMS = "all => all.map(each => each.getBoundingClientRect().bottom)"


def begin(visit: Visit, index: int, service: LocalService) -> None:
    """Run that cell until its answer has begun."""
    hold(service, after=20)
    visit.page.evaluate(f"index => {{ {WIDGET}.content.activeCellIndex = index }}", index)
    visit.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell') }")
    service.wait_for_hold(timeout=60)


def test_the_sign_in_and_the_settings(opened: Opener, service: LocalService) -> None:
    visit = opened(LOAD, "%codex login")
    found = []
    visit.run_all()
    widget = visit.page.locator(".codex-login").last
    expect(widget.get_by_role("progressbar").first).to_be_visible()
    found += faults_in_each_theme(visit, "access-account", ".codex-login")
    widget.get_by_role("button", name="Use another account").click()
    expect(widget.get_by_role("button", name="One-time code")).to_be_visible()
    found += faults_in_each_theme(visit, "access-ways", ".codex-login")
    service.faults.next("device_login_off")
    widget.get_by_role("button", name="One-time code").click()
    expect(widget.get_by_role("alert")).to_be_visible()
    found += faults_in_each_theme(visit, "access-sign-in-failed", ".codex-login")
    widget.get_by_role("button", name="Get a new code").click()
    expect(widget.get_by_role("timer")).to_contain_text("14:")
    found += faults_in_each_theme(visit, "access-code", ".codex-login")
    widget.get_by_role("button", name="Other options").click()
    widget.get_by_role("button", name="API key").click()
    expect(widget.get_by_label("API key")).to_be_visible()
    found += faults_in_each_theme(visit, "access-key", ".codex-login")
    visit.page.evaluate("window.jupyterapp.commands.execute('settingeditor:open', { query: 'Codex' })")
    form = visit.page.locator(".jp-SettingsForm").filter(has_text="Follow the end of an answer")
    expect(form).to_be_visible()
    found += faults_in_each_theme(visit, "access-settings", ".jp-SettingsForm")
    assert found == [], "\n".join(map(str, found))
