"""Ghost text in IPython on a real terminal, whose window changes its size."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from codex_magic.local_service.stream import TOKEN_CHARS
from tests.end_to_end.held import hold
from tests.service import LocalService

PROMPT = r"In \[(?:\x1b\[[\d;]*m)*%d(?:\x1b\[[\d;]*m)*\]: "


@pytest.fixture
def terminal(service: LocalService, home: Path) -> Iterator[pexpect.spawn]:
    """A terminal with ghost text turned on."""
    command = [*"-m IPython --no-banner --no-confirm-exit".split()]
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn(
        sys.executable, command, encoding="utf-8", timeout=30, dimensions=(40, 100), env=environment
    )
    child.expect(PROMPT % 1)
    for number, line in enumerate(["%load_ext codex_magic", "%config CodexMagics.suggestions = True"], 2):
        child.send(f"{line}\r")
        child.expect(PROMPT % number)
    yield child
    child.close(force=True)


def test_what_is_typed_is_continued_and_the_right_key_takes_it(
    terminal: pexpect.spawn, service: LocalService
) -> None:
    terminal.send("total = 41 + 1")
    terminal.expect("scripted, after `1`")
    assert service.wait_for_request().json["input"][-1]["content"][0]["text"] == "total = 41 + 1<cursor/>"
    terminal.send("\x1b[C")
    terminal.send("\r")
    terminal.expect(PROMPT % 4)
    terminal.send("In[3].upper(), total\r")
    terminal.expect("TOTAL = 41 \\+ 1  # SCRIPTED, AFTER `1`.*42")


def test_a_request_for_what_stood_there_before_is_closed(
    terminal: pexpect.spawn, service: LocalService
) -> None:
    service.faults.next("hold", after=0)
    terminal.send("total = pri")
    service.wait_for_hold()
    terminal.send("ce")
    service.wait_for_disconnect()
    terminal.expect("scripted, after `price`")


def test_questions_are_left_alone_and_what_was_typed_before_comes_first(
    terminal: pexpect.spawn, service: LocalService
) -> None:
    terminal.send("quantity = 12345\r")
    terminal.expect(PROMPT % 4)
    seen = len(service.requests)
    terminal.send("quantity =")
    terminal.expect("12345")
    terminal.send("\x15%codex echo: nothing but this was sent\r")
    terminal.expect(PROMPT % 5)
    asked = [each.json["input"][-1]["content"][0]["text"] for each in service.requests[seen:] if each.json]
    assert asked == ["echo: nothing but this was sent"]


def test_turned_off_ipython_suggests_as_before(terminal: pexpect.spawn, service: LocalService) -> None:
    terminal.send("%config CodexMagics.suggestions = False\r")
    terminal.expect(PROMPT % 4)
    terminal.send(
        "type(get_ipython().auto_suggest).__name__, get_ipython().pt_app.auto_suggest is get_ipython().auto_suggest\r"
    )
    terminal.expect("'NavigableAutoSuggestFromHistory', True")


def test_an_answer_that_is_written_reflows_when_the_window_changes(
    terminal: pexpect.spawn, service: LocalService
) -> None:
    words = " ".join(f"word{number}" for number in range(40))
    hold(service, after=len(words) // TOKEN_CHARS // 2)
    terminal.send(f"%codex echo: {words}\r")
    terminal.expect(r"\n *word0 (.*)")
    service.wait_for_hold()
    terminal.setwinsize(40, 50)
    service.release()
    terminal.expect(PROMPT % 4)
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", str(terminal.before)).rpartition("word0 ")[2]
    lines = [line.rstrip() for line in f"word0 {last}".replace("\r", "").split("\n") if "word" in line]
    assert " ".join(lines) == words
    assert 30 < max(map(len, lines)) <= 50
