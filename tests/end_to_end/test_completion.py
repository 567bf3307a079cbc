"""Tab in the middle of a question, through a kernel and on a real terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest

from tests.end_to_end.kernel import Kernel


def test_a_kernel_completes_a_mention_in_the_middle_of_a_question(notebook: Kernel) -> None:
    notebook.execute("orders = {'price': [1.5, 2.5]}")
    before, after = "%%codex -m local-small\nWhy does\n  the price of @ord", " look odd?\nSay why."
    reply = notebook.client.complete(before + after, len(before), reply=True, timeout=30)["content"]
    begin, end = reply["cursor_start"], reply["cursor_end"]
    assert [before[:begin] + text + after for text in reply["matches"]] == [before[:-4] + "@orders" + after]
    assert end == len(before)
    (offer,) = reply["metadata"]["_jupyter_types_experimental"]
    assert offer["text"] == "@orders"
    assert offer["type"].startswith("dict")


def test_a_kernel_completes_python_elsewhere(notebook: Kernel) -> None:
    reply = notebook.client.complete("import sys\nsys.getrecu", reply=True, timeout=30)["content"]
    assert "sys.getrecursionlimit" in {f"sys.{text.removeprefix('sys.')}" for text in reply["matches"]}


@pytest.mark.skipif(sys.platform == "win32", reason="pexpect needs a terminal of Unix")
def test_a_terminal_completes_a_mention(home: Path) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "IPython", "--no-banner", "--no-confirm-exit"], encoding="utf-8", timeout=60
    )
    child.expect("In ")
    child.send("%load_ext codex_magic\r")
    child.expect("In ")
    child.send("distances = [1, 2]\r")
    child.expect("In ")
    child.send("%codex how long are @dis\t")
    child.expect("tances")
    child.close(force=True)
