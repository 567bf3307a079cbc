"""What a type checker knows of the blocking classes: the parameters and results of the asynchronous ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

USES = {
    'reveal_type(codex.thread_start(name="x", model="m"))': "codex_magic.threads.sync.Thread",
    "reveal_type(codex.thread_fork(thread.id).id)": "str",
    "reveal_type(codex.thread_list(limit=3))": "codex_magic.threads.store.ThreadPage",
    "reveal_type(codex.login_chatgpt(open_browser=True))": "codex_magic.auth.handles.ChatgptLoginHandle",
    "reveal_type(codex.login_chatgpt_device_code().wait().success)": "bool",
    'reveal_type(thread.turn("x", effort="low"))': "codex_magic.threads.sync.TurnHandle",
    'reveal_type(thread.turn("x").run().status)': "TurnStatus",
    'codex.thread_start(modle="m")': 'Unexpected keyword argument "modle"',
    "codex.thread_archive(3)": 'incompatible type "int"; expected "str"',
    "thread.set_name()": "Too few arguments",
    'thread.run("x", effort=3)': 'incompatible type "int"; expected "str | None"',
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """mypy's words by line."""
    path = tmp_path_factory.mktemp("typed") / "uses.py"
    head = "from codex_magic.threads.sync import Codex, Thread\ncodex: Codex\nthread: Thread"
    path.write_text("\n".join([head, *USES]))
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found: dict[int, str] = {}
    for line, text in re.findall(r"uses\.py:(\d+): (.*)", done.stdout):
        found[int(line)] = found.get(int(line), "") + text
    assert found, done.stdout + done.stderr
    return found


@pytest.mark.parametrize(("use", "word"), USES.items())
def test_a_blocking_method_is_typed_as_the_asynchronous_one(
    said: dict[int, str], use: str, word: str
) -> None:
    assert word in said[4 + list(USES).index(use)]
