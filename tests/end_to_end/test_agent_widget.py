"""The agent's questions in a real JupyterLab: a person clicks while the cell runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.end_to_end.browser import Visit
from tests.end_to_end.lab import JupyterServer, served
from tests.end_to_end.notebooks import save_notebook
from tests.peers.agent import escalated, use

pytest.importorskip("codex_cli_bin")

pytestmark = [pytest.mark.browser, pytest.mark.peer, pytest.mark.timeout(240)]

LOAD = "%load_ext codex_magic\n%codex provider local"
THEMES = ("JupyterLab Light", "JupyterLab Dark")
PATCH = """apply_patch <<'EOF'
*** Begin Patch
*** Update File: mean.py
@@
 def mean(values):
-    return sum(values) / len(values)
+    if not values:
+        raise ValueError("<b>no values</b>")
+    return math.fsum(values) / len(values)
*** Add File: notes.md
+# Notes <script>document.title = "run"</script>
*** End Patch
EOF"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    with served(tmp_path_factory, tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture
def visit(
    chromium_browser: Browser, server: JupyterServer, request: pytest.FixtureRequest
) -> Iterator[Visit]:
    """A notebook whose cells the test names, in a folder without what earlier tests wrote."""
    for path in server.folder.glob("[a-z]*.*"):
        path.unlink()
    path = save_notebook(server.folder / "a.ipynb", LOAD, *request.param)
    visit = Visit(chromium_browser, server, path)
    yield visit
    visit.close()


def cells(*sources: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("visit", [sources], indirect=True, ids=[""])


def question(visit: Visit) -> Locator:
    return visit.page.locator(".codex-approval")


def ask(visit: Visit) -> None:
    """Run the cells until the agent asks."""
    visit.start_all()
    expect(question(visit)).to_be_visible()


def button(visit: Visit, label: str) -> Locator:
    return question(visit).get_by_role("button", name=label, exact=True)


def pictures(visit: Visit, name: str) -> None:
    for theme in THEMES:
        visit.theme(theme)
        expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
        for each in question(visit).get_by_role("button").all():
            expect(each).to_have_css("opacity", "1")
        visit.screenshot(f"agent-{name}-{theme.split()[1].lower()}")


def answer(visit: Visit) -> Locator:
    return visit.outputs.last


def saved(visit: Visit) -> str:
    """The notebook file, in which no button may be."""
    visit.save()
    text = visit.path.read_text()
    assert "widget-view" not in text
    return text


@cells(f"%%codex --agent\n{escalated('echo written > out.txt')}")
def test_a_click_on_yes_runs_the_command_while_the_cell_runs(visit: Visit) -> None:
    ask(visit)
    expect(question(visit)).to_contain_text("echo written > out.txt")
    expect(question(visit)).to_contain_text("I must")
    expect(visit.page.locator(".jp-InputPrompt").last).to_have_text("[*]:")
    pictures(visit, "command")
    button(visit, "Approve").click()
    expect(answer(visit)).to_contain_text("exit code 0")
    expect(question(visit)).to_have_count(0)
    pictures(visit, "command-allowed")
    assert (visit.server.folder / "out.txt").read_text() == "written\n"
    assert "· approved · exit code 0" in saved(visit)


@cells(f"%%codex --agent\n{escalated('echo written > out.txt')}")
def test_only_letters_with_shift_approve_and_only_while_the_card_has_the_focus(visit: Visit) -> None:
    ask(visit)
    expect(question(visit)).to_have_attribute("data-lm-suppress-shortcuts", "true")
    for each in question(visit).get_by_role("button").all():
        expect(each).to_have_css("pointer-events", "auto")
    visit.page.evaluate("document.activeElement.blur()")
    visit.page.keyboard.press("Shift+A")
    question(visit).locator(".codex-title").focus()
    expect(question(visit).locator(".codex-keys")).to_be_visible()
    cells = visit.page.locator(".jp-CodeCell").count()
    for key in ("a", "s", "Control+Shift+A"):
        visit.page.keyboard.press(key)
    assert visit.page.locator(".jp-CodeCell").count() == cells  # a bare A is JupyterLab's
    for key in ("Escape", "Shift+A"):
        expect(question(visit)).to_be_visible()
        assert not (visit.server.folder / "out.txt").exists()
        visit.page.keyboard.press(key)
    expect(question(visit)).to_be_visible()  # Escape has given the focus back
    expect(question(visit).locator(".codex-keys")).to_be_hidden()
    question(visit).locator(".codex-title").focus()
    visit.page.keyboard.press("Shift+A")
    expect(answer(visit)).to_contain_text("Ran echo written > out.txt")


@cells(f"%%codex --agent\n{escalated('echo written > out.txt')}")
def test_the_letter_d_declines_on_a_card_that_has_come_by_itself(visit: Visit) -> None:
    ask(visit)
    expect(question(visit).locator(".codex-title")).to_be_focused()
    expect(button(visit, "Decline")).to_have_css("pointer-events", "auto")
    visit.page.keyboard.press("d")
    expect(answer(visit)).to_contain_text("Not run: declined echo written > out.txt")
    assert visit.page.locator(".jp-CodeCell").count() == 2


@cells(f"%%codex --agent\n{escalated('echo written > out.txt')}")
def test_a_click_on_no_declines_it(visit: Visit) -> None:
    ask(visit)
    button(visit, "Decline").click()
    expect(answer(visit)).to_contain_text("Not run: declined echo written > out.txt")
    expect(answer(visit)).to_contain_text("declined")
    pictures(visit, "command-declined")
    assert not (visit.server.folder / "out.txt").exists()
    assert "Not run: declined" in saved(visit)


@cells(f"%%codex --agent\n{escalated('echo written > out.txt')}")
def test_no_and_stop_ends_the_turn(visit: Visit) -> None:
    ask(visit)
    expect(button(visit, "Decline and stop the turn")).to_be_hidden()
    button(visit, "More answers").click()
    pictures(visit, "more")
    button(visit, "Decline and stop the turn").click()
    expect(answer(visit)).to_contain_text("Interrupted")
    expect(answer(visit)).to_contain_text("declined")
    assert not (visit.server.folder / "out.txt").exists()


@cells(
    "open('mean.py', 'w').write('def mean(values):\\n    return sum(values) / len(values)\\n')",
    f"%%codex --agent\n{use('exec_command', cmd=PATCH)}",
)
def test_a_change_is_shown_as_a_diff_and_nothing_in_it_is_html(visit: Visit) -> None:
    ask(visit)
    expect(question(visit).locator("ins").first).to_contain_text("+    if not values:")
    expect(question(visit).locator("pre b, pre script")).to_have_count(0)
    pictures(visit, "diff")
    button(visit, "Approve for this session").click()
    expect(answer(visit)).to_contain_text("approved for this session")
    pictures(visit, "diff-allowed")
    assert "ValueError" in (visit.server.folder / "mean.py").read_text()
    assert visit.page.title() != "run"


@cells(f"%%codex --agent\n{escalated('echo written > out.txt')}")
def test_the_stop_button_is_a_no(visit: Visit) -> None:
    ask(visit)
    visit.stop()
    expect(answer(visit)).to_contain_text("Not run: stopped")
    expect(question(visit)).to_have_count(0)
    assert not (visit.server.folder / "out.txt").exists()


@cells(f"%%codex --agent --background\n{escalated('echo written > out.txt')}", "import time; time.sleep(0)")
def test_a_turn_in_the_background_asks_when_its_cell_has_long_ended(visit: Visit) -> None:
    ask(visit)
    expect(visit.page.locator(".jp-InputPrompt").last).to_have_text("[3]:")
    expect(visit.outputs.nth(1).locator(".codex-approval")).to_contain_text("echo written > out.txt")
    pictures(visit, "background")
    button(visit, "Approve").click()
    expect(visit.outputs.nth(1)).to_contain_text("exit code 0")
    expect(visit.outputs.nth(1)).to_contain_text(", in the background")
    pictures(visit, "background-done")
    assert (visit.server.folder / "out.txt").exists()


@cells(f"%%time\nget_ipython().run_cell_magic('codex', '--agent', {escalated('echo written > out.txt')!r})")
def test_a_timed_cell_asks_by_a_typed_line(visit: Visit) -> None:
    visit.start_all()
    field = visit.page.locator(".jp-Stdin-input")
    expect(answer(visit)).to_contain_text("Allow Codex to run this command?")
    pictures(visit, "typed")
    field.fill("a")
    field.press("Enter")
    expect(answer(visit)).to_contain_text("exit code 0")
    assert (visit.server.folder / "out.txt").exists()
