"""Shells besides IPython's own one: each has its own session, and binds in its own names."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.getipython import get_ipython
from IPython.core.interactiveshell import InteractiveShell

from tests.service import LocalService


@pytest.fixture
def other(service: LocalService) -> Iterator[InteractiveShell]:
    """A shell that nobody can get with get_ipython, with the extension."""
    shell = InteractiveShell()
    shell.run_cell("%load_ext codex_magic")
    yield shell
    shell.run_cell("%unload_ext codex_magic")


def answer(shell: InteractiveShell, name: str = "answer") -> str:
    return str(shell.user_ns[name].final_response)


@pytest.mark.parametrize(
    "source",
    [
        "%%codex -o answer\necho: hello",
        "%codex -o answer echo: hello",
        "for _ in range(1):\n    %codex -o answer echo: hello",
        "get_ipython().run_cell_magic('codex', '-o answer', 'echo: hello')",
        "%%time\n%codex -o answer echo: hello",
        "get_ipython = None\n",
    ],
)
def test_a_shell_that_is_not_ipythons_own(other: InteractiveShell, source: str) -> None:
    assert get_ipython() is None
    other.run_cell(source)
    if "answer" not in source:  # even where the name means something else by now
        other.run_cell("%%codex -o answer\necho: hello")
    assert answer(other) == "hello"


def test_two_shells_in_one_process_keep_apart(shell: InteractiveShell, other: InteractiveShell) -> None:
    for each, word in ((shell, "first"), (other, "second"), (shell, "third")):
        each.run_cell(f"%%codex -o {word}\necho: {word}")
    assert [answer(shell, "first"), answer(other, "second"), answer(shell, "third")] == [
        "first",
        "second",
        "third",
    ]
    assert "second" not in shell.user_ns
    assert "first" not in other.user_ns
    shell.run_cell("%%codex -o said\nWhat did I ask so far?")
    assert "third" in answer(shell, "said")
    assert "second" not in answer(shell, "said")


def test_a_shell_inside_another_one(shell: InteractiveShell, service: LocalService) -> None:
    """It shares its names, and what get_ipython is in them."""
    shell.run_cell("from IPython.core.interactiveshell import InteractiveShell")
    shell.run_cell("inner = InteractiveShell(user_ns=globals())\ninner.run_cell('%load_ext codex_magic')")
    shell.run_cell("inner.run_cell('%%codex -o deep\\necho: inside')")
    shell.run_cell("%%codex -o flat\necho: outside")
    assert [answer(shell, "deep"), answer(shell, "flat")] == ["inside", "outside"]
    shell.run_cell("%%codex -o said\nWhat did I ask so far?")
    assert "inside" not in answer(shell, "said")
    shell.run_cell("inner.run_cell('%unload_ext codex_magic')")


def test_a_shell_that_runs_in_a_thread(other: InteractiveShell) -> None:
    thread = threading.Thread(target=other.run_cell, args=["%%codex -o answer\necho: hello"])
    thread.start()
    thread.join()
    assert answer(other) == "hello"


EMBEDDING = """
from IPython import embed
from traitlets.config import Config

config = Config()
config.InteractiveShellEmbed.simple_prompt = True
config.HistoryManager.enabled = False


def work():
    word = "embedded"
    embed(config=config, banner1="", colors="nocolor")


work()
"""

TYPED = """%load_ext codex_magic
%codex -o answer echo: hello
print(word, answer.final_response, sep=", ")
"""


def test_an_embedded_shell(service: LocalService, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(EMBEDDING)
    done = subprocess.run(
        [sys.executable, str(script)], input=TYPED, capture_output=True, text=True, timeout=60, check=False
    )
    assert "embedded, hello" in done.stdout, done.stdout + done.stderr
