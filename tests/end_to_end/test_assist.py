"""`%codex fix` and `%codex code` in a kernel: the code goes into the next cell, as the front end is told in the reply."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.kernel import Kernel, markdown, outputs


def payload(notebook: Kernel, code: str) -> tuple[list[str], str]:
    """Run a cell; return what it puts into the next cell, and its outputs as Markdown."""
    request = notebook.send(code, allow_stdin=True)
    shown = outputs(notebook.messages(request))
    while (reply := notebook.client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != request:
        pass
    texts = [
        str(each["text"])
        for each in reply["content"].get("payload", [])
        if each["source"] == "set_next_input"
    ]
    return texts, markdown(shown)


def test_the_code_of_an_answer_goes_into_the_next_cell(notebook: Kernel, tmp_path: Path) -> None:
    notebook.execute("numbers = [1, 2]\nnumber[0]")
    (tmp_path / "fix.md").write_text("echo: A slip.\n```python\nnumbers = [1, 2]\nnumbers[0]\n```")
    notebook.execute(f"%config CodexMagics.prompts = {str(tmp_path)!r}")
    texts, shown = payload(notebook, "%codex fix")
    assert texts == ["numbers = [1, 2]\nnumbers[0]"]
    assert "```diff" in shown
    assert "+numbers[0]" in shown
    assert payload(notebook, "%codex code")[0] == texts
