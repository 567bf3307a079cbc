"""Answers inside an Output widget or %%capture, which take new outputs and no changes of earlier ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.end_to_end.browser import Visit, browser
from tests.end_to_end.kernel import OURS, Kernel
from tests.end_to_end.lab import JupyterServer
from tests.end_to_end.notebooks import execute, notebook_of, save_notebook
from tests.service import LocalService

LOAD = "%load_ext codex_magic\nimport ipywidgets\nout = ipywidgets.Output()"

ASK = "get_ipython().run_line_magic('codex', 'echo: captured')"

WAYS = {
    "with": f"with out:\n    print('above')\n    {ASK}\n    print('below')",
    "cell magic": "with out:\n    get_ipython().run_cell_magic('codex', '', 'echo: captured')",
    "capture": f"@out.capture()\ndef ask():\n    {ASK}\nask()",
    "button": f"def clicked(_):\n    with out:\n        {ASK}\n"
    "button = ipywidgets.Button()\nbutton.on_click(clicked)\nbutton.click()",
    "nested": f"inner = ipywidgets.Output()\nwith out:\n    display(inner)\n    with inner:\n        {ASK}\nout = inner",
    "interactive": f"def ask(n):\n    {ASK}\n"
    "out = ipywidgets.interactive_output(ask, {'n': ipywidgets.IntSlider()})\nout",
    "background": "with out:\n    get_ipython().run_line_magic('codex', '--background echo: captured')",
    "show": f"{ASK}\nwith out:\n    %codex show",
}


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_in_an_output_widget_is_one_output(service: LocalService, tmp_path: Path, way: str) -> None:
    notebook = execute(notebook_of(LOAD, WAYS[way], "print(out.model_id)"), tmp_path)
    model = notebook.cells[-1].outputs[0].text.strip()
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"][model]["state"]
    [answer] = [output for output in state["outputs"] if OURS in output.get("data", {})]
    assert answer["data"][OURS]["state"] == "done"
    above, found, _ = answer["data"]["text/markdown"].partition("<details")
    assert found
    assert re.fullmatch("(<small[^>]*>Sent: .*\n\n)?", above)
    assert answer["data"]["text/markdown"].count("captured") == 1
    printed = [output["text"] for output in state["outputs"] if "text" in output]
    assert printed == (["above\n", "below\n"] if way == "with" else [])


def test_a_captured_answer_is_one_output(notebook: Kernel) -> None:
    notebook.execute("%%capture cell\nget_ipython().run_line_magic('codex', 'echo: captured')")
    found = notebook.execute("cell.show()")
    assert [output["data"][OURS]["state"] for output in found] == ["done"]


def test_a_cell_beside_an_output_widget_is_updated_in_place(notebook: Kernel) -> None:
    notebook.execute("import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    print('above')")
    request = notebook.send("%%codex\necho: beside")
    kinds = [message["msg_type"] for message in notebook.messages(request)]
    assert "update_display_data" in kinds
    assert "clear_output" not in kinds


def test_an_error_in_an_output_widget_asks_for_a_sign_in_elsewhere(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic\nimport ipywidgets\nout = ipywidgets.Output()")
    found: list[dict[str, Any]] = kernel.execute("with out:\n    %codex login")
    assert "A sign-in needs a cell of its own" in str(found)


@pytest.fixture
def lab(service: LocalService, tmp_path: Path) -> Iterator[JupyterServer]:
    with JupyterServer(tmp_path) as running:
        yield running


CLICKED = f"""{LOAD}
button = ipywidgets.Button(description="Ask")
def clicked(_):
    with out:
        print("above")
        {ASK}
button.on_click(clicked)
display(button, out)"""


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_a_click_brings_the_answer_into_the_output_widget(lab: JupyterServer, chromium: str) -> None:
    with browser(chromium) as running:
        visit = Visit(running, lab, save_notebook(lab.folder / "a.ipynb", CLICKED))
        visit.run_all()
        visit.page.get_by_role("button", name="Ask", exact=True).click()
        shown = visit.outputs.last
        expect(shown).to_contain_text("above")
        expect(shown).to_contain_text("captured")
        expect(shown).not_to_contain_text("Working")
        visit.close()
