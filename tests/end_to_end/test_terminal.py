"""`%%codex` in IPython and `jupyter console` on a real terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.end_to_end.held import hold
from tests.service import LocalService
from tests.test_readme import blocks, cells

PROMPT = r"In \[\d+\]: "


@pytest.fixture
def terminal(service: LocalService) -> Iterator[pexpect.spawn]:
    command = [*"-m IPython --simple-prompt --no-banner --no-confirm-exit --colors=NoColor".split()]
    child = pexpect.spawn(sys.executable, command, encoding="utf-8", timeout=30, dimensions=(40, 100))
    child.expect(PROMPT)
    child.sendline("%load_ext codex_magic")
    child.expect(PROMPT)
    yield child
    child.close(force=True)


def test_an_answer_is_printed(terminal: pexpect.spawn) -> None:
    terminal.sendline("%codex echo: Hello terminal")
    terminal.expect("Hello terminal.*Hello terminal")
    terminal.expect(PROMPT)


def test_a_cell_of_several_lines_is_asked(terminal: pexpect.spawn) -> None:
    terminal.sendline("%%codex\necho: first line\nsecond line\n")
    terminal.expect("first line.*second line.*first line.*second line")
    terminal.expect(PROMPT)


def test_ctrl_c_stops_an_answer_without_a_traceback(terminal: pexpect.spawn, service: LocalService) -> None:
    hold(service, after=5)
    terminal.sendline("%codex echo: Some words, then more")
    terminal.expect("Some words, the.*Some words, the")
    terminal.sendintr()
    terminal.expect("nterrupted")
    terminal.expect(PROMPT)
    assert "Traceback" not in terminal.before


def squashed(text: str) -> str:
    """Without colours, spaces and the lines of tables."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\s|│─]", "", text)


@pytest.mark.parametrize("program", ["IPython", "jupyter_console"])
def test_the_first_session_of_the_readme_can_be_typed(home: Path, program: str) -> None:
    """Key by key as a person does, at the prompts as the program draws them."""
    options = ["-m", program, "--no-confirm-exit"]
    child = pexpect.spawn(sys.executable, options, encoding="utf-8", timeout=60, dimensions=(50, 160))
    prompt = r"In \[(?:\x1b\[[\d;]*m)*%d(?:\x1b\[[\d;]*m)*\]: "
    child.expect(prompt % 1)
    for number, cell in enumerate(cells(blocks("ipython")[0]), 2):
        first, *others = cell.source.split("\n")
        child.send(f"{first}\r")
        for line in others:
            child.expect(r"\.\.\.: ")
            child.send(f"{line}\r")
        if others:
            child.expect(r"\.\.\.: ")
            child.send("\r")
        child.expect(prompt % number)
        seen = squashed(str(child.before))
        shown = [
            line for line in cell.shown if not line.startswith("```")
        ]  # a terminal draws code in colours
        assert [line for line in shown if squashed(line) not in seen] == []
    child.close(force=True)
