"""How our extension draws answers in a real JupyterLab: as JupyterLab itself would, in view, and for everybody."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, expect

from tests.end_to_end.accessible import AXE, faults_in_each_theme
from tests.end_to_end.browser import Opener, Visit
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED
from tests.service import LocalService

pytestmark = EXTENDED

LOAD = "%load_ext codex_magic"
LONG = "%%codex --context none\nrepeat 3000"
WORDS = "%%codex\necho: The first words, **bold**, and the last ones."

MODEL = "window.jupyterapp.shell.currentWidget.content.model.sharedModel"
SCROLLER = "document.querySelector('.jp-Notebook .jp-WindowedPanel-outer')"

RENDERED = """node => {
    const copy = node.cloneNode(true);
    for (const frame of copy.querySelectorAll('.cdx-cb')) frame.replaceWith(frame.querySelector('pre'));
    for (const formula of copy.querySelectorAll('mjx-container')) formula.replaceWith('[formula]');
    for (const each of copy.querySelectorAll('pre')) each.removeAttribute('tabindex');
    for (const code of copy.querySelectorAll('.language-diff')) code.textContent = code.textContent;
    for (const each of copy.querySelectorAll('a:empty')) each.remove();
    return copy.innerHTML.replace(/<!--.*?-->/g, '');
}"""
"""What stands in a rendered text, without what we add to it and without what differs between two formulas."""


def answer(visit: Visit) -> Locator:
    return visit.page.locator(".jp-codex-answer")


def text_of(visit: Visit) -> Locator:
    return answer(visit).locator("> .jp-RenderedMarkdown")


def begun(visit: Visit, service: LocalService, after: int) -> Visit:
    """The page draws an answer, which stops after some deltas until the service is released."""
    hold(service, after=after)
    visit.start_all()
    expect(answer(visit)).to_have_attribute("aria-busy", "true")
    return visit


def settle(visit: Visit) -> None:
    expect(answer(visit)).to_have_attribute("aria-busy", "false")


def test_an_answer_reads_as_jupyterlab_renders_it_in_one_piece(opened: Opener, service: LocalService) -> None:
    visit = begun(opened(LOAD, LONG), service, after=100)
    service.release()
    settle(visit)
    source = visit.page.evaluate(f"{MODEL}.getCell(1).getOutputs()[0].data['text/markdown']")
    visit.page.evaluate(
        f"source => {MODEL}.insertCell(2, {{ cell_type: 'markdown', source }})", "".join(source)
    )
    visit.page.evaluate("window.jupyterapp.commands.execute('notebook:render-all-markdown')")
    rendered = visit.page.locator(".jp-MarkdownOutput.jp-RenderedMarkdown")
    formulas = text_of(visit).locator("mjx-container")
    expect(formulas).not_to_have_count(0)
    expect(rendered.locator("mjx-container")).to_have_count(formulas.count())
    assert text_of(visit).evaluate(RENDERED) == rendered.evaluate(RENDERED)


DIFF = """--- a/mean.py
+++ b/mean.py
@@ -1,2 +1,2 @@
 def mean(values):
-    return sum(values) / len(values)
+    return math.fsum(values) / len(values) # <b>&amp;</b>
"""


def test_a_diff_has_its_colours_while_it_comes_and_afterwards(opened: Opener, service: LocalService) -> None:
    visit = begun(opened(LOAD, f"%%codex\necho: See:\n```diff\n{DIFF}```"), service, after=24)
    code = text_of(visit).locator("code.language-diff")
    expect(code.locator("del")).to_contain_text("-    return sum(")
    service.release()
    settle(visit)
    expect(code.locator("ins")).to_have_text(["+    return math.fsum(values) / len(values) # <b>&amp;</b>\n"])
    expect(code.locator("del")).to_have_count(1)
    expect(code.locator("ins")).to_have_css("border-left-width", "3px")
    assert code.evaluate("code => code.textContent").strip() == DIFF.strip()
    selected = "code => { getSelection().selectAllChildren(code); return getSelection().toString() }"
    assert code.evaluate(selected).strip() == DIFF.strip()
    visit.screenshot("diff")


IS_AT_END = f"""() => {SCROLLER}.scrollTop > 100 &&
    document.querySelector('.jp-codex-answer').getBoundingClientRect().bottom <=
    {SCROLLER}.getBoundingClientRect().bottom"""


def test_the_view_follows_the_end_while_the_reader_is_there(opened: Opener, service: LocalService) -> None:
    visit = opened(LOAD, "%%codex --context none\npace: 100 chars=8\nrepeat 3000")
    visit.page.set_viewport_size({"width": 900, "height": 500})
    begun(visit, service, after=200)
    service.wait_for_hold(timeout=60)
    visit.page.wait_for_function(IS_AT_END)
    jump = answer(visit).get_by_role("button", name="Jump to end")
    expect(jump).to_be_hidden()
    visit.page.evaluate(f"() => {{ {SCROLLER}.scrollTop = 0 }}")
    expect(jump).to_be_in_viewport()
    visit.screenshot("jump")
    jump.click()
    visit.page.wait_for_function(IS_AT_END)
    expect(jump).to_be_hidden()
    visit.page.evaluate(f"() => {{ {SCROLLER}.scrollTop = 0 }}")
    service.release()
    settle(visit)
    assert visit.page.evaluate(f"{SCROLLER}.scrollTop") == 0


def test_what_is_selected_stays_selected_while_the_rest_comes(opened: Opener, service: LocalService) -> None:
    visit = begun(opened(LOAD, WORDS), service, after=5)
    paragraph = text_of(visit).locator("p").filter(has_text="The first words")
    paragraph.evaluate("node => getSelection().setBaseAndExtent(node.firstChild, 4, node.firstChild, 9)")
    service.release()
    settle(visit)
    expect(paragraph).to_contain_text("the last ones")
    assert visit.page.evaluate("getSelection().toString()") == "first"


def test_a_fold_stays_as_the_reader_left_it(opened: Opener, service: LocalService) -> None:
    visit = begun(opened(LOAD, WORDS), service, after=5)
    fold = text_of(visit).locator("details").first
    expect(fold).not_to_have_attribute("open", "")
    fold.locator("summary").click()
    service.release()
    settle(visit)
    expect(fold).to_have_attribute("open", "")


def test_the_end_is_announced_once(opened: Opener, service: LocalService) -> None:
    visit = opened(LOAD, LONG)
    region = visit.page.get_by_role("status").and_(visit.page.locator(".jp-codex-announcement"))
    expect(region).to_be_empty()
    begun(visit, service, after=5)
    service.release()
    settle(visit)
    blocks = text_of(visit).locator("pre > code").count()
    expect(region).to_have_text(f"Codex answered, {blocks} code blocks")


def test_an_interrupted_answer_is_announced_as_one(opened: Opener, service: LocalService) -> None:
    visit = begun(opened(LOAD, WORDS), service, after=5)
    visit.stop()
    expect(visit.page.locator(".jp-codex-announcement")).to_have_text("Codex was interrupted")
    service.release()


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: make labextension")
def test_everybody_can_read_an_answer(opened: Opener, service: LocalService) -> None:
    visit = begun(opened(LOAD, LONG), service, after=100)
    assert faults_in_each_theme(visit, "answer-live", ".jp-codex-answer") == []
    service.release()
    settle(visit)
    assert faults_in_each_theme(visit, "answer", ".jp-codex-answer") == []
