"""The notebook surface in a real kernel, and as a saved notebook keeps it."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

from codex_magic.display import MIME
from tests.end_to_end.kernel import Kernel, outputs

from .scripted import answer, seen

TEXT = "Hello **there**\n\n```python\n1 + 1\n```\n"

PAINT = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from codex_magic.display.pace import JupyterSurface, Painter
from codex_magic.display.view import TurnView
from tests.display.scripted import answer

painter = Painter(JupyterSurface(), TurnView(id="output"))
try:
    for notification in answer({TEXT!r}, chars=5):
        painter.feed([notification])
        await asyncio.sleep(painter.due() or 0)
        painter.tick()
finally:
    painter.finish()
"""

EXPECTED = seen(answer(TEXT)).bundle()


def test_an_answer_is_one_output_updated_in_place(kernel: Kernel) -> None:
    messages = list(kernel.messages(kernel.send(PAINT)))
    painted = [m for m in messages if m["msg_type"] in ("display_data", "update_display_data")]
    assert [m["msg_type"] for m in painted] == ["display_data", *["update_display_data"] * (len(painted) - 1)]
    assert len(painted) > 2
    assert {m["content"]["transient"]["display_id"] for m in painted} == {"output"}
    assert all(m["content"]["metadata"] == {} for m in painted)
    assert [m["content"]["data"][MIME]["state"] for m in painted].count("done") == 1
    assert [output["data"] for output in outputs(messages)] == [EXPECTED]


def test_an_interrupted_cell_leaves_an_interrupted_answer(kernel: Kernel) -> None:
    # A loop with nothing to do does not notice an interrupt: ipykernel's handler does not wake it.
    code = PAINT.replace("painter.tick()", "while True: await asyncio.sleep(0.05)")
    request = kernel.send(code)
    messages = []
    for message in kernel.messages(request):
        messages.append(message)
        if message["msg_type"] == "display_data":
            kernel.interrupt()
    shown = outputs(messages)[0]
    assert shown["data"][MIME]["state"] == "interrupted"


def test_a_notebook_run_without_a_front_end_keeps_the_answer(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(PAINT)])
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert dict(output.data) == EXPECTED
    assert output.metadata == {}
