"""The agent's questions as cards of our extension, in real JupyterLab and Notebook 7: a person reads and clicks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from codex_magic.display.exact import original
from codex_magic.notebook.question import Question
from codex_magic.protocol.types import ApprovalRequest, CommandApproval, FileChangeApproval
from tests.end_to_end.browser import Opener, Visit, opening, screenshot
from tests.end_to_end.lab import EXTENDED, JupyterServer, served
from tests.end_to_end.notebooks import notebook_of
from tests.peers.agent import escalated, use

pytest.importorskip("codex_cli_bin")

pytestmark = [pytest.mark.peer, *EXTENDED]

LOAD = "%load_ext codex_magic\n%codex provider local"
WRITE = escalated("echo written > out.txt")
BLOCKING = f"%%time\nget_ipython().run_cell_magic('codex', '--agent', {WRITE!r})"
AWAITING = f"%%codex --agent\n{WRITE}"


@pytest.fixture
def opened(chromium_browser: Browser, lonely_server: JupyterServer) -> Iterator[Opener]:
    """Opens a notebook of these cells in a new page, in a folder without what earlier tests wrote."""
    for path in lonely_server.folder.glob("[a-z]*.*"):
        path.unlink()
    with opening(chromium_browser, lonely_server) as opened:
        yield lambda *sources: opened(notebook_of(LOAD, *sources))


def card(page: Visit | Page) -> Locator:
    return (page.page if isinstance(page, Visit) else page).locator(".jp-codex-card")


def button(page: Visit | Page, label: str) -> Locator:
    return card(page).get_by_role("button", name=label, exact=True)


def answer(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-answer").last


def ask(visit: Visit) -> None:
    """Run the cells until the agent asks."""
    visit.start_all()
    expect(card(visit)).to_be_visible()
    expect_ready(visit)


def expect_ready(visit: Visit) -> None:
    """Wait until the buttons in sight answer; those in a closed fold begin to get ready when it opens."""
    for each in card(visit).locator("button:visible").all():
        expect(each).to_have_css("pointer-events", "auto")
        expect(each).to_have_css("opacity", "1")


def pictures(visit: Visit, name: str) -> None:
    for theme in ("Light", "Dark"):
        visit.theme(f"JupyterLab {theme}")
        expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
        expect_ready(visit)
        visit.screenshot(f"card-{name}-{theme.lower()}")


def test_a_card_is_answered_by_its_keys_while_the_cell_keeps_the_kernel_busy(opened: Opener) -> None:
    visit = opened(BLOCKING)
    out = visit.server.folder / "out.txt"
    ask(visit)
    title = card(visit).get_by_role("alert")
    expect(title).to_have_text("Allow Codex to run this command?")
    expect(title).to_be_focused()
    expect(visit.page.locator(".jp-InputPrompt").last).to_have_text("[*]:")
    expect(card(visit).get_by_role("region", name="Command")).to_have_text("echo written > out.txt")
    expect(visit.page.locator(".codex-approval")).to_have_count(0)
    pictures(visit, "command")
    for key in ("a", "s", "Control+Shift+A", "Enter", "Shift+D"):
        visit.page.keyboard.press(key)
    assert visit.page.locator(".jp-CodeCell").count() == 2  # a bare A is JupyterLab's
    expect(card(visit).locator(".jp-codex-keys")).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(card(visit).locator(".jp-codex-keys")).to_be_hidden()
    visit.page.keyboard.press("Shift+A")
    expect(card(visit)).to_be_visible()
    assert not out.exists()
    title.focus()
    visit.page.keyboard.press("Shift+A")
    expect(card(visit)).to_have_count(0)
    expect(answer(visit)).to_contain_text("Ran echo written > out.txt · approved · exit code 0")
    assert out.read_text() == "written\n"
    expect(visit.page.locator(".jp-InputPrompt").last).not_to_have_text("[*]:")
    pictures(visit, "approved")


def test_a_command_that_runs_has_a_dot_and_what_one_that_failed_printed_scrolls(opened: Opener) -> None:
    waiting = "seq 40; until [ -e go.txt ]; do sleep 0.1; done; exit 3"
    visit = opened(f"%%codex --agent\n{use('exec_command', cmd=waiting, yield_time_ms=600_000)}")
    visit.start_all()
    running = answer(visit).locator(".jp-codex-running")
    expect(running).to_have_text("Running")
    motion = "verb => getComputedStyle(verb, '::before').animationName"
    assert running.evaluate(motion) == "jp-codex-running"
    visit.page.emulate_media(reduced_motion="reduce")
    assert running.evaluate(motion) == "none"
    (visit.server.folder / "go.txt").touch()
    output = answer(visit).locator("details[open] pre")
    expect(output).to_contain_text("40")
    expect(running).to_have_count(0)
    scrolled = "pre => [pre.scrollHeight > pre.clientHeight, pre.clientHeight < 300, pre.scrollTop]"
    assert output.evaluate(scrolled) == [True, True, 0], "it begins at its end"
    visit.screenshot("failed")


def test_a_card_is_there_again_after_a_reload_and_an_hour_later_and_a_person_says_why_not(
    opened: Opener, chromium_browser: Browser
) -> None:
    visit = opened(AWAITING)
    ask(visit)
    visit.save()
    with closing(chromium_browser.new_context(viewport={"width": 1100, "height": 900})) as context:
        page = context.new_page()
        page.clock.install()
        page.goto(visit.server.page(visit.path.name))
        expect(card(page)).to_be_visible()
        page.clock.fast_forward("01:00:00")
        expect(card(page)).to_contain_text("echo written > out.txt")
        visit.open()
        expect(card(visit)).to_be_visible()
        expect(button(page, "Approve")).to_have_css("pointer-events", "auto")
        card(page).get_by_role("alert").focus()
        page.keyboard.press("w")
        field = card(page).get_by_label("Tell Codex what to do instead")
        expect(field).to_be_focused()
        page.keyboard.type("echo: As you like, da Da dA")
        screenshot(page, "card-why", visit.server.folder)
        page.keyboard.press("Escape")
        expect(button(page, "Decline")).to_be_focused()
        page.keyboard.press("w")
        field.fill("echo: Then not.")
        button(page, "Decline and send").click()
        for each in (page, visit.page):
            expect(card(each)).to_have_count(0)
            expect(each.locator(".jp-codex-answer").last).to_contain_text("you said “echo: Then not.”")
    expect(answer(visit)).to_contain_text("Then not.")
    assert not (visit.server.folder / "out.txt").exists()


def test_cards_are_drawn_in_notebook_7_too_also_where_there_is_little_room(
    chromium_browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    with (
        served(tmp_path_factory, home, app="notebook", extended=True) as server,
        opening(chromium_browser, server) as opened,
    ):
        visit = opened(notebook_of(LOAD, AWAITING))
        ask(visit)
        visit.page.set_viewport_size({"width": 400, "height": 800})
        card(visit).scroll_into_view_if_needed()
        visit.screenshot("card-notebook-narrow")
        assert visit.page.evaluate("document.querySelector('.jp-codex-card').scrollWidth") <= 400
        button(visit, "Decline").click()
        expect(answer(visit)).to_contain_text("Not run: declined")


TWICE = WRITE.replace("the tool exec_command", "the tools exec_command and exec_command")


def test_two_questions_at_once_and_one_in_the_background_each_get_an_answer_of_their_own(
    opened: Opener,
) -> None:
    visit = opened(
        f"%%codex --agent --background --new\n{TWICE}", f"%%codex --agent --background --new\n{WRITE}"
    )
    visit.start_all()
    expect(card(visit)).to_have_count(2)
    first, second = card(visit).nth(0), card(visit).nth(1)
    expect(first).to_contain_text("1 of 2")
    pictures(visit, "several")
    first.get_by_role("button", name="Decline", exact=True).click()
    expect(first).not_to_contain_text("1 of 2")
    second.get_by_role("button", name="Approve", exact=True).click()
    expect(card(visit)).to_have_count(1)
    expect(answer(visit)).to_contain_text("· approved · exit code 0")
    button(visit, "Decline").click()
    expect(card(visit)).to_have_count(0)
    expect(visit.outputs.nth(1)).to_contain_text("Not run: declined")
    expect(visit.outputs.nth(1)).not_to_contain_text("approved")


def test_a_click_that_was_meant_for_something_else_approves_nothing(opened: Opener) -> None:
    visit = opened(AWAITING)
    # As somebody who clicks again and again where the card comes to be.
    visit.page.evaluate("""() => new MutationObserver(() => {
        const [button] = [...document.querySelectorAll('.jp-codex-card button')].filter(each => each.textContent === 'Approve');
        if (button && !window.clicked) { window.clicked = true; button.click(); }
    }).observe(document.body, { childList: true, subtree: true })""")
    visit.start_all()
    expect(card(visit)).to_be_visible()
    assert visit.page.evaluate("window.clicked")
    expect(button(visit, "Approve")).to_have_css("pointer-events", "auto")
    visit.page.evaluate("document.querySelector('.jp-codex-card .cdx-pri').click()")  # no person's
    visit.stop()
    expect(card(visit)).to_have_count(0)
    expect(answer(visit)).to_contain_text("Not run: stopped")
    assert not (visit.server.folder / "out.txt").exists()


def test_a_kernel_that_begins_anew_takes_its_question_along(opened: Opener) -> None:
    visit = opened(AWAITING)
    ask(visit)
    visit.restart_kernel()
    expect(card(visit)).to_have_count(0)
    expect(answer(visit)).to_contain_text("Interrupted: the kernel was restarted")
    expect(answer(visit)).not_to_contain_text("Waiting for your approval")
    assert not (visit.server.folder / "out.txt").exists()


SLOW = "%%codex\nrepeat 20000"


def action(visit: Visit, label: str) -> Locator:
    return answer(visit).get_by_role("toolbar", name="Answer actions").get_by_role("button", name=label)


def test_an_answer_is_steered_stopped_continued_and_asked_for_again(opened: Opener) -> None:
    visit = opened(SLOW)
    visit.start_all()
    action(visit, "Steer").click()
    field = answer(visit).get_by_label("Add to the running answer")
    field.fill("repeat 30000")
    pictures(visit, "steer")
    field.press("Enter")
    expect(answer(visit)).to_contain_text("You: repeat 30000")
    action(visit, "Stop").click()
    expect(answer(visit)).to_contain_text("Interrupted")
    expect(answer(visit)).to_have_attribute("aria-busy", "false")
    pictures(visit, "interrupted")
    action(visit, "Continue").click()
    expect(visit.page.locator(".jp-codex-answer")).to_have_count(2)
    expect(visit.page.locator(".jp-CodeCell").last).to_contain_text("%codex continue")
    action(visit, "Stop").click()
    first = visit.page.locator(".jp-codex-answer").first
    expect(first).to_contain_text("Interrupted")
    first.get_by_role("button", name="Retry").click()
    expect(first).to_have_attribute("aria-busy", "true")
    first.get_by_role("button", name="Stop").click()
    expect(first).to_have_attribute("aria-busy", "false")


def test_an_answer_of_a_notebook_that_is_not_trusted_can_only_be_copied(opened: Opener) -> None:
    visit = opened("%%codex\necho: Words.")
    visit.run_all()
    expect(action(visit, "Retry")).to_be_visible()
    visit.page.evaluate("window.jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted = false")
    expect(action(visit, "Retry")).to_have_count(0)
    expect(action(visit, "Copy")).to_be_visible()


RUNS = "document.title = 'run'"
HOSTILE = (
    f'</pre></div><img src=x onerror="{RUNS}"><script>{RUNS}</script><svg onload="{RUNS}">'
    '<form id="jp-codex" name="questions"><input name="choices" id="card"><a id="body" href="javascript:alert(1)">'
    "<!--<style>*{display:none}</style> \\(x\\) $$y$$ $z$ &lt;b&gt; {{7*7}} [U+202E]"
    "\u202e\u2066\u200b\u00ad\ufeff\u3164\x1b[31m\x00\x07\r\u2028\U000e0041 e\u0301\u0336\u0489 \u05d0\u05d1 ok \t end "
)
LONG_LINE = "x" * 200_000 + HOSTILE
LONG_DIFF = "".join(f"+line {number} of a long file\n" for number in range(36_000)) + f"+{HOSTILE}\n"
IDS: dict[str, Any] = {"thread_id": "t", "turn_id": "u", "item_id": "i"}
ASKED: list[ApprovalRequest] = [
    CommandApproval(command=HOSTILE, cwd=HOSTILE, reason=HOSTILE, **IDS),
    CommandApproval(command=LONG_LINE, proposed_execpolicy_amendment=(HOSTILE, "b"), **IDS),
    FileChangeApproval(
        changes=({"path": HOSTILE, "kind": {"type": "update"}, "diff": LONG_DIFF},), grant_root=HOSTILE, **IDS
    ),
]
ASK = """
import msgspec
from pathlib import Path
from codex_magic.notebook.question import Question
from codex_magic.protocol.types import CommandApproval, FileChangeApproval
extension = get_ipython().magics_manager.registry["CodexMagics"].extension
[output] = extension.turns
questions = []
for kind, fields in msgspec.json.decode(Path("asked.json").read_bytes()):
    request = msgspec.convert(fields, {"command": CommandApproval, "change": FileChangeApproval}[kind])
    questions.append(Question(request, "/", output))
    extension.questions.add(questions[-1])
extension.ask(output)
"""


def test_a_card_shows_what_would_run_and_runs_nothing_of_it(opened: Opener) -> None:
    """Its whole text, which reads back to what was asked, however long or hostile that is."""
    visit = opened("%%codex --background\nrepeat 400000", ASK)
    kinds = [("change" if isinstance(each, FileChangeApproval) else "command", each) for each in ASKED]
    (visit.server.folder / "asked.json").write_bytes(msgspec.json.encode(kinds))
    visit.page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
    visit.start_all()
    for number, request in enumerate(ASKED):
        text = Question(request, "/").text
        passage = card(visit).locator(".jp-codex-passage")
        beginning = text.passages[0].text[:20]
        expect(passage).to_contain_text(beginning)
        drawn = passage.evaluate(DRAWN)
        assert drawn == text.passages[0].text
        whole = request.command if isinstance(request, CommandApproval) else LONG_DIFF.removesuffix("\n")
        assert original(drawn) == whole
        assert (
            card(visit)
            .locator("img, script, svg:not(.jp-codex-icon *), form, a, style, math, mjx-container")
            .count()
            == 0
        )
        assert card(visit).locator("dd").all_text_contents() == [value for _, value in text.facts]
        assert visit.page.title() != "run"
        card(visit).scroll_into_view_if_needed()
        visit.screenshot(f"card-hostile-{number}")
        expect_ready(visit)
        button(visit, "Decline").click()
    expect(card(visit)).to_have_count(0)
    assert visit.left == []
    action(visit, "Stop").first.click()


DRAWN = """box => [...box.childNodes].reduce(
    (text, node) => text + (node.tagName && node.tagName !== 'MARK' && text ? '\\n' : '') + node.textContent, '')"""
"""All that a passage shows; each run of lines of a diff is an element of its own."""
