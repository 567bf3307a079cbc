"""In a terminal, an answer that was typed before the question was there is none. The official program asks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.peers.agent import as_provider, escalated
from tests.service import LocalService

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

PROMPT = r"In \[\d+\]:"
WRITE = escalated("echo written > out.txt")
ASKED = "Allow Codex to run this command"


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalService]:
    with as_provider(home, monkeypatch) as service:
        yield service


@pytest.fixture(params=["prompt_toolkit", "simple"])
def terminal(
    request: pytest.FixtureRequest, service: LocalService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[pexpect.spawn]:
    options = ["--simple-prompt"] if request.param == "simple" else []
    arguments = [*"-m IPython --no-banner --no-confirm-exit --colors=NoColor".split(), *options]
    monkeypatch.setenv("PROMPT_TOOLKIT_NO_CPR", "1")  # nobody answers where the cursor is
    child = pexpect.spawn(
        sys.executable, arguments, encoding="utf-8", timeout=15, dimensions=(50, 200), cwd=str(tmp_path)
    )
    number = 1
    for line in (
        "%load_ext codex_magic",
        f"%codex provider {service.api_url}",
        "%config CodexMagics.model = 'gpt-5.5'",
        "%codex engine app-server",
    ):
        child.expect(rf"In \[{number}\]:")
        child.send(f"{line}\r")
        number += 1
    child.expect(rf"In \[{number}\]:")
    yield child
    child.close(force=True)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.txt"


def ask(terminal: pexpect.spawn, prompt: str = WRITE) -> None:
    terminal.send(f"%codex {prompt}\r")


@pytest.mark.parametrize("typed", ["a\r", "s\r", "a\ra\ra\r", "a\rmore\r", "\x1b[200~a\r\x1b[201~\r"])
def test_what_was_typed_while_the_agent_worked_answers_nothing(
    terminal: pexpect.spawn, service: LocalService, out: Path, typed: str
) -> None:
    service.faults.next("hold", after=0)
    ask(terminal)
    service.wait_for_hold()
    terminal.send(typed)
    terminal.expect(r"[\n~K][as]\r\n")  # the terminal has it
    service.release()
    terminal.expect(ASKED)
    terminal.expect("Your answer")
    terminal.send("\r")
    terminal.expect("Not run: echo written")
    terminal.expect(PROMPT)
    assert not out.exists()


@pytest.mark.parametrize("moment", [ASKED, "In: ", "Approve for this session"])
def test_what_is_typed_before_the_prompt_is_there_answers_nothing(
    terminal: pexpect.spawn, out: Path, moment: str
) -> None:
    ask(terminal)
    terminal.expect(moment)
    terminal.send("a\r")
    terminal.expect("Your answer")
    terminal.send("\r")
    terminal.expect("Not run: echo written")
    assert not out.exists()


@pytest.mark.parametrize("pasted", ["a\rmore\r", "s\ra\r", "a\ra", "\x1b[200~a\rx\x1b[201~\r", "yes\r"])
def test_a_pasted_block_or_another_word_is_no_answer_and_is_asked_again(
    terminal: pexpect.spawn, out: Path, pasted: str
) -> None:
    ask(terminal)
    terminal.expect("Your answer")
    terminal.send(pasted)
    terminal.expect("Type one of these letters.*Your answer")
    assert not out.exists()
    terminal.send("a\r")
    terminal.expect("Ran echo written > out.txt")
    terminal.expect(PROMPT)
    assert out.exists()


def test_two_answers_typed_in_one_go_answer_neither_question(terminal: pexpect.spawn, out: Path) -> None:
    twice = escalated("echo written >> out.txt").replace(
        "tool exec_command", "tools exec_command, exec_command"
    )
    ask(terminal, twice)
    terminal.expect("Your answer")
    terminal.send("a\ra\r")
    terminal.expect("Your answer")
    assert not out.exists()
    terminal.send("a\r")
    terminal.expect("Your answer")
    terminal.send("\r")
    terminal.expect("Not run: echo written")
    terminal.expect(PROMPT)
    assert out.read_text() == "written\n"


def test_ctrl_c_at_the_prompt_stops_the_turn(terminal: pexpect.spawn, out: Path) -> None:
    ask(terminal)
    terminal.expect("Your answer")
    terminal.sendintr()
    terminal.expect("Not run: echo written > out.txt · stopped")
    terminal.expect(PROMPT)
    assert not out.exists()


def test_ctrl_d_at_the_prompt_is_no(terminal: pexpect.spawn, out: Path) -> None:
    ask(terminal)
    terminal.expect("Your answer")
    terminal.send("\x04")
    terminal.expect("Not run: echo written > out.txt · nobody to ask")
    terminal.expect(PROMPT)
    assert not out.exists()


def test_where_the_question_can_not_be_seen_it_is_no(terminal: pexpect.spawn, out: Path) -> None:
    terminal.send(f"get_ipython().run_cell_magic('capture', 'seen', {'%codex ' + WRITE!r})\r")
    terminal.expect(PROMPT)
    terminal.send("'nobody to ask' in seen.stdout\r")
    terminal.expect("True")
    assert not out.exists()


def test_a_piped_answer_is_none(service: LocalService, tmp_path: Path, out: Path) -> None:
    script = (
        f"%load_ext codex_magic\n%codex provider {service.api_url}\n%codex --agent -m gpt-5.5 {WRITE}\na\ns\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt"],
        input=script,
        text=True,
        capture_output=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert "nobody to ask" in ran.stdout
    assert not out.exists()
