"""What the extension adds to cells, in real JupyterLab and Notebook 7.

Tools on the blocks of code in answers, marks on mentions, help with errors, questions about what is on screen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from playwright.sync_api import Browser, Locator, expect

from codex_magic.display import MIME
from codex_magic.local_service.stream import TOKEN_CHARS
from tests.end_to_end.browser import Visit, opening
from tests.end_to_end.held import hold
from tests.end_to_end.lab import EXTENDED, JupyterServer
from tests.end_to_end.notebooks import notebook_of
from tests.service import LocalService

pytestmark = EXTENDED

CODE = "def mean(values):\n    if not values:\n        raise ValueError('no values')\n\n\treturn '$x$'\n"
ANSWER = f"""Two ways:

```python
{CODE}```

- in a list

  ```py
  total = 40 + 2
  total
  ```

```bash
ls -l
```

Done.
"""
WIDGET = "window.jupyterapp.shell.currentWidget"


in_notebook_7 = pytest.mark.parametrize("server", ["notebook"], indirect=True)

Opener = Callable[[NotebookNode], Visit]


@pytest.fixture
def opened(chromium_browser: Browser, server: JupyterServer) -> Iterator[Opener]:
    with opening(chromium_browser, server) as opened:
        yield opened


def answered(*below: str, text: str = ANSWER) -> NotebookNode:
    """A notebook as it was saved: a question with its answer, and these cells below."""
    notebook = notebook_of("%%codex\nHow?", *below)
    data = {MIME: {"v": 1, "id": "saved", "state": "done"}, "text/markdown": text, "text/plain": text}
    notebook.cells[0].outputs = [new_output("display_data", data)]
    return notebook


def trust(visit: Visit) -> None:
    """What File > Trust Notebook does after its question."""
    visit.page.evaluate(f"for (const cell of {WIDGET}.content.model.cells) cell.trusted = true")


def sources(visit: Visit) -> list[str]:
    cells = f"{WIDGET}.content.model.sharedModel.cells"
    found: list[str] = visit.page.evaluate(f"{cells}.map(cell => cell.getSource())")
    return found


def block(visit: Visit, index: int) -> Locator:
    return visit.page.locator(".cdx-cb").nth(index)


def press(visit: Visit, index: int, name: str) -> None:
    block(visit, index).get_by_role("button", name=name, exact=True).click()


def card(visit: Visit) -> Locator:
    return visit.page.locator(".cdx-edit")


def answer_button(visit: Visit, name: str) -> None:
    card(visit).get_by_role("button", name=name, exact=True).click()


def edit(visit: Visit, index: int, source: str) -> None:
    """What somebody types into that cell."""
    model = f"{WIDGET}.content.model.sharedModel"
    visit.page.evaluate(f"([index, source]) => {model}.getCell(index).setSource(source)", [index, source])


COUNTS = f"{WIDGET}.content.widgets.map(cell => cell.model.executionCount ?? null)"


def counts(visit: Visit) -> list[int | None]:
    """The execution counts: which cells have run."""
    found: list[int | None] = visit.page.evaluate(COUNTS)
    return found


def expect_counts(visit: Visit, *wanted: int | None) -> None:
    """Wait for them: the reply that brings a count may come after the kernel says that it is idle."""
    is_there = f"wanted => JSON.stringify({COUNTS}) === JSON.stringify(wanted)"
    visit.page.wait_for_function(is_there, arg=wanted)


def test_every_tool_of_a_block_takes_exactly_its_code(opened: Opener) -> None:
    visit = opened(answered("x = 1", "y = 2"))
    trust(visit)
    code = CODE.removesuffix("\n")
    press(visit, 1, "Insert below")
    press(visit, 0, "Insert below")
    expect(block(visit, 0).get_by_role("button", name="Inserted")).to_be_visible()
    press(visit, 1, "Insert below")
    small = "total = 40 + 2\ntotal"
    assert sources(visit)[1:] == [code, small, small, "x = 1", "y = 2"]  # in the order of the answer
    assert set(counts(visit)) == {None}

    press(visit, 1, "Run below")
    expect(visit.page.locator(".jp-OutputArea-executeResult")).to_contain_text("42")
    expect_counts(visit, None, None, None, None, 1, None, None)

    # A page over plain http has no clipboard of its own.
    visit.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    press(visit, 0, "Copy")
    expect(block(visit, 0).get_by_role("button", name="Copied")).to_be_visible()
    visit.page.locator(".jp-CodeCell .cm-content").last.click()
    visit.page.keyboard.press("Control+A")
    visit.page.keyboard.press("Control+V")
    assert sources(visit)[-1] == code

    expect(block(visit, 2).locator("button")).to_have_count(3)  # Python can't run what is for the shell
    press(visit, 1, "More")
    visit.page.get_by_role("menuitem", name="Open as a New Notebook").click()
    visit.page.wait_for_function(f"{WIDGET}.context.path !== '{visit.path.name}'")
    visit.page.evaluate(f"{WIDGET}.context.ready")
    assert sources(visit) == [small]
    assert counts(visit) == [None]


def test_a_cell_is_changed_after_a_look_at_the_difference(opened: Opener) -> None:
    visit = opened(answered("x = 1\ntotal", "y = 2"))
    trust(visit)
    small = "total = 40 + 2\ntotal"
    press(visit, 1, "Replace next")
    expect(card(visit)).to_contain_text("Change cell [ ]?")
    expect(card(visit).locator(".cm-deletedChunk")).to_have_text("x = 1")
    expect(card(visit).locator(".cm-changedLine")).to_have_text(["total = 40 + 2"])
    for theme in ("Dark", "Light"):
        visit.theme(f"JupyterLab {theme}")
        visit.screenshot(f"edit-{theme.lower()}")

    edit(visit, 1, "typed meanwhile")
    expect(card(visit)).to_contain_text("Cell [ ] has changed since")
    answer_button(visit, "Compare again")
    expect(card(visit).locator(".cm-deletedChunk")).to_have_text("typed meanwhile")
    visit.page.evaluate(f"{WIDGET}.content.model.sharedModel.moveCell(1, 2)")
    answer_button(visit, "Show cell")
    assert visit.page.evaluate(f"{WIDGET}.content.activeCellIndex") == 2
    answer_button(visit, "Apply")
    expect(card(visit)).to_have_text("Applied to cell [ ] · Undo")
    assert sources(visit)[1:] == ["y = 2", small]
    visit.page.evaluate(f"{WIDGET}.content.model.sharedModel.getCell(2).undo()")
    assert sources(visit)[1:] == ["y = 2", "typed meanwhile"]  # one step
    visit.page.evaluate(f"{WIDGET}.content.model.sharedModel.getCell(2).redo()")
    answer_button(visit, "Undo")
    expect(card(visit)).to_have_text("Not applied: undone")
    assert sources(visit)[1:] == ["y = 2", "typed meanwhile"]

    press(visit, 1, "Replace next")
    answer_button(visit, "Reject")
    expect(card(visit)).to_have_text("Not applied: rejected")
    press(visit, 1, "Replace next")
    answer_button(visit, "Apply and run")
    expect(card(visit)).to_contain_text("Applied and ran cell [1] · ")
    assert sources(visit)[1:] == [small, "typed meanwhile"]
    edit(visit, 1, "edited by hand")
    expect(card(visit).get_by_role("button", name="Undo")).to_have_count(0)

    press(visit, 0, "Replace next")
    expect(card(visit)).to_have_count(2)
    visit.page.evaluate(f"{WIDGET}.content.model.sharedModel.deleteCell(1)")
    expect(card(visit).first).to_contain_text("was deleted")
    answer_button(visit, "Insert below")
    assert sources(visit)[1:] == [CODE.removesuffix("\n"), "typed meanwhile"]


def test_what_does_not_show_is_named(opened: Opener) -> None:
    visit = opened(answered("x = 1", text="```python\nx = 1 \u202e# 2\n```\n"))
    trust(visit)
    expect(block(visit, 0)).to_contain_text("This code has characters that do not show: U+202E")
    press(visit, 0, "Replace next")
    expect(card(visit).locator(".cm-changedLine")).to_have_text("x = 1 [U+202E]# 2")


def test_without_a_cell_below_the_code_is_inserted(opened: Opener) -> None:
    visit = opened(answered())
    trust(visit)
    press(visit, 1, "Replace next")
    visit.page.wait_for_function(f"{WIDGET}.content.widgets.length === 2")
    assert sources(visit)[1:] == ["total = 40 + 2\ntotal"]
    expect(card(visit)).to_have_count(0)


def test_the_tools_are_reached_with_the_keyboard_and_have_their_names_in_any_width(opened: Opener) -> None:
    visit = opened(answered(""))
    trust(visit)
    bar = block(visit, 1).get_by_role("toolbar", name="Code block, py")
    names = ["Copy", "Insert below", "Replace next", "Run below", "More"]
    bar.get_by_role("button", name="Copy").focus()
    focused = visit.page.locator("button:focus")
    for name in [*names[1:], names[0]]:
        visit.page.keyboard.press("ArrowRight")
        expect(focused).to_have_accessible_name(name)
    visit.page.keyboard.press("End")
    expect(focused).to_have_accessible_name("More")
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("ArrowRight")
    assert focused.evaluate("each => getComputedStyle(each).outlineStyle") == "solid"
    visit.page.keyboard.press("Tab")
    expect(block(visit, 1).locator("pre:focus")).to_have_count(1)
    visit.page.keyboard.press("Shift+Tab")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_function(f"{WIDGET}.content.widgets.length === 3")
    assert visit.page.evaluate(f"{WIDGET}.content.mode") == "command"  # Enter was the button's alone

    visit.page.set_viewport_size({"width": 500, "height": 900})
    visit.screenshot("narrow")
    for name in names[2:]:
        tool = bar.get_by_role("button", name=name)
        expect(tool).to_have_accessible_name(name)
        assert tool.evaluate("each => each.getBoundingClientRect().width") < 40
    frame = block(visit, 1)
    assert frame.evaluate("each => each.scrollWidth <= each.clientWidth")


def test_an_untrusted_notebook_only_lets_code_be_copied(opened: Opener) -> None:
    visit = opened(answered("x = 1"))
    visit.screenshot("untrusted")
    for index in range(3):
        expect(block(visit, index).locator(".cdx-bar button")).to_have_text(["Copy"])
        expect(block(visit, index)).to_contain_text(
            "This notebook is not trusted. Trust it to insert or run code."
        )
    block(visit, 0).get_by_role("button", name="Trust it").click()
    visit.page.get_by_role("button", name="Confirm Trusting this notebook").click()
    expect(block(visit, 1).locator(".cdx-bar button")).to_have_count(5)
    expect(visit.page.get_by_text("This notebook is not trusted.")).to_have_count(0)
    assert counts(visit) == [None, None]


def test_tools_act_on_the_notebook_they_stand_in(opened: Opener, server: JupyterServer) -> None:
    visit = opened(answered("x = 1"))
    trust(visit)
    nbformat.write(notebook_of("z = 3"), server.folder / "beside.ipynb")
    visit.page.evaluate("window.jupyterapp.shell.mode = 'multiple-document'")
    beside = "{ path: 'beside.ipynb', options: { mode: 'split-right' } }"
    visit.page.evaluate(f"window.jupyterapp.commands.execute('docmanager:open', {beside})")
    visit.page.wait_for_function(f"{WIDGET}?.context?.path === 'beside.ipynb'")
    visit.page.evaluate(f"{WIDGET}.context.ready")
    # A press that does not make its panel the current one: what is current must not matter.
    block(visit, 1).get_by_role("button", name="Insert below").dispatch_event("click")
    shown = visit.page.locator(".jp-NotebookPanel").filter(has=visit.page.locator(".cdx-cb"))
    expect(shown.locator(".jp-CodeCell")).to_have_count(3)
    assert sources(visit) == ["z = 3"]


def test_a_block_that_streams_has_the_room_of_its_tools(opened: Opener, service: LocalService) -> None:
    begin = "First.\n\n```python\nx = 1\n```\n\nBetween.\n\n```python\ny = 22"
    visit = opened(notebook_of("%load_ext codex_magic", f"%%codex\necho: {begin}22222222222222\n```\n"))
    hold(service, after=len(begin) // TOKEN_CHARS)
    visit.start_all()
    expect(visit.page.locator(".cdx-cb")).to_have_count(2)
    expect(block(visit, 0).locator(".cdx-bar button")).to_have_count(5)
    expect(block(visit, 1).locator(".cdx-bar button")).to_have_count(0)
    places = "frames => frames.map(frame => frame.offsetTop + frame.querySelector('pre').offsetTop)"
    before = visit.page.locator(".cdx-cb").evaluate_all(places)
    service.release()
    expect(block(visit, 1).locator(".cdx-bar button")).to_have_count(5)
    assert visit.page.locator(".cdx-cb").evaluate_all(places) == before
    visit.kernel_idle()
    expect_counts(visit, 1, 2)


@in_notebook_7
def test_the_same_in_notebook_7(opened: Opener) -> None:
    visit = opened(answered("x = 1\ntotal"))
    trust(visit)
    press(visit, 1, "Replace next")
    expect(card(visit).locator(".cm-deletedChunk")).to_have_text("x = 1")
    visit.screenshot("edit-notebook7")
    answer_button(visit, "Apply and run")
    expect(card(visit)).to_contain_text("Applied and ran cell [1]")
    press(visit, 1, "Insert below")
    assert sources(visit)[1:] == ["total = 40 + 2\ntotal"] * 2
    press(visit, 1, "More")
    with visit.context.expect_page() as opening_page:
        visit.page.get_by_role("menuitem", name="Open as a New Notebook").click()
    expect(opening_page.value.locator(".jp-CodeCell .cm-content")).to_have_text("total = 40 + 2total")
    assert visit.left == []


LOAD = "%load_ext codex_magic"


def run(visit: Visit, index: int) -> None:
    visit.run_cell(index)
    visit.kernel_idle()


def test_mentions_are_marked_by_what_the_kernel_knows(opened: Opener) -> None:
    visit = opened(notebook_of(LOAD, "df = 1", "%%codex\n😀 Why @df, @df2 and me@df.org?"))
    known, unknown = visit.page.locator(".cdx-at:not(.cdx-no)"), visit.page.locator(".cdx-at.cdx-no")
    run(visit, 0)
    expect(known).to_have_count(0)
    run(visit, 1)
    expect(known).to_have_text(["@df"])
    expect(unknown).to_have_text(["@df2"])
    note = visit.page.locator(".cdx-notes")
    expect(note).to_contain_text("No variable or file named df2. It is sent as plain text.")
    for theme in ("Dark", "Light"):
        visit.theme(f"JupyterLab {theme}")
        expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
        visit.screenshot(f"mentions-{theme.lower()}")
    unknown.click()
    expect(note).to_have_count(0)  # it may not be finished
    visit.page.keyboard.press("Control+End")
    expect(note).to_have_count(1)
    visit.page.keyboard.type(" @d")
    expect(unknown).to_have_count(1)
    visit.page.keyboard.type("f.")
    expect(known).to_have_count(2)
    edit(visit, 2, "df")
    expect(visit.page.locator(".cdx-at")).to_have_count(0)
    assert visit.page.evaluate(f"{WIDGET}.content.widgets[2].model.mimeType") == "text/x-ipython"


def answers_done(visit: Visit, count: int) -> None:
    expect(visit.page.get_by_role("button", name="Retry")).to_have_count(count)


def test_help_is_for_the_error_it_stands_below(opened: Opener, service: LocalService) -> None:
    visit = opened(notebook_of(LOAD, "first = {}['one']", "'text'", "second = {}['two']"))
    for index in range(4):
        run(visit, index)
    lines = visit.page.locator(".cdx-fix")
    expect(lines).to_have_count(2)
    expect(lines.first).to_contain_text("sends this cell and its error")
    visit.theme("JupyterLab Dark")
    expect(visit.page.locator("#jupyterlab-splash")).to_have_count(0)
    visit.screenshot("errors-dark")

    lines.first.get_by_role("button", name="Fix with Codex").click()
    visit.page.wait_for_function(f"{WIDGET}.content.widgets.length === 5")
    assert sources(visit)[2] == "%%codex\nFix the error of @In[2]."
    answers_done(visit, 1)
    assert "KeyError: 'one'" in service.requests[-1].body.decode()

    lines.last.get_by_role("button", name="Explain").click()
    answers_done(visit, 2)
    assert sources(visit)[5] == "%codex explain 4"
    lines.last.get_by_role("button", name="Fix with Codex").click()
    answers_done(visit, 3)
    assert sources(visit)[5] == "%codex fix"  # which puts the corrected cell below itself
    assert sources(visit)[7] == "%codex explain 4"

    # Another kernel knows nothing of what the page still shows.
    visit.restart_kernel()
    visit.kernel_idle()
    lines.first.get_by_role("button", name="Explain").click()
    answers_done(visit, 4)
    load, question = sources(visit)[2:4]
    assert load == LOAD
    assert "KeyError: 'one'" in question
    assert "first = {}['one']" in service.requests[-1].body.decode()


def menu(visit: Visit, target: Locator, name: str) -> None:
    target.click(button="right")
    visit.page.get_by_role("menuitem", name=name, exact=True).click()
    visit.page.wait_for_function(f"{WIDGET}.content.mode === 'edit'")


def sent(visit: Visit, service: LocalService, index: int) -> str:
    """Run that question; what it brings along."""
    visit.run_cell(index)
    return json.dumps(service.requests[-1].json["input"], ensure_ascii=False)


def test_questions_about_what_is_on_screen(opened: Opener, service: LocalService) -> None:
    notebook = notebook_of(
        "%load_ext codex_magic\n%config CodexMagics.context = 'none'", "print('ONE')", "print('TWO')"
    )
    notebook.cells.append(new_markdown_cell("# Title\n\nMarked text"))
    visit = opened(notebook)
    for index in range(3):
        run(visit, index)
    outputs = visit.page.locator(".jp-OutputArea-child")
    menu(visit, outputs.nth(0), "Ask Codex About This Output")
    first = visit.page.evaluate(f"{WIDGET}.content.model.cells.get(1).id")[:8]
    assert sources(visit)[2] == f"%%codex\n@output:{first} "
    visit.page.keyboard.type("What is it?")
    assert sources(visit)[2].endswith(" What is it?")
    visit.page.evaluate(
        f"{WIDGET}.content.model.sharedModel.moveCell(2, 4)"
    )  # it means the same wherever it stands
    brings = sent(visit, service, 4)
    assert "ONE" in brings
    assert "TWO" not in brings

    menu(visit, visit.page.locator(".jp-MarkdownCell h1"), "Ask Codex About This Cell")
    assert "Marked text" in sent(visit, service, 4)

    visit.page.locator(".jp-MarkdownCell p").dblclick()
    visit.page.evaluate(
        "getSelection().selectAllChildren(document.querySelector('.jp-OutputArea-child pre'))"
    )
    menu(visit, outputs.nth(0), "Ask Codex About the Selection")
    assert sources(visit)[2] == "%%codex\n@selection "
    visit.page.keyboard.type("And this?")
    assert "# %% @selection\\nONE" in sent(visit, service, 2)
    visit.page.locator(".jp-CodeCell .cm-content").nth(1).click()
    visit.page.keyboard.press("Control+A")
    visit.page.evaluate("window.jupyterapp.commands.execute('codex-magic:ask-selection')")
    assert "# %% @selection\\nprint('ONE')" in sent(visit, service, 2)


@in_notebook_7
def test_help_and_questions_in_notebook_7(opened: Opener) -> None:
    visit = opened(notebook_of(LOAD, "df = {}['one']", "%%codex\nWhy @LOADED?"))
    run(visit, 0)
    run(visit, 1)
    menu(visit, visit.page.locator(".jp-OutputArea-child").first, "Ask Codex About This Output")
    assert "@output:" in sources(visit)[2]
    expect(visit.page.locator(".cdx-at")).to_have_count(1)
    visit.page.get_by_role("button", name="Fix with Codex").click()
    answers_done(visit, 1)
    assert sources(visit)[2] == "%codex fix"
    visit.screenshot("errors-notebook7")
