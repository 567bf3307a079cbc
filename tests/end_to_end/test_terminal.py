"""`%%codex` in IPython on a real terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pexpect
import pytest

from tests.end_to_end.held import hold
from tests.service import LocalService

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
