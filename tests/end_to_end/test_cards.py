"""The agent's questions on a page with our extension, from any cell and in the background, in a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown, state
from tests.peers.agent import escalated, use

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

WRITE = escalated("echo written > out.txt")
NEVER_ENDS = use("exec_command", cmd="sleep 600", yield_time_ms=600_000)


@pytest.fixture
def page(kernel: Kernel) -> ExtendedFrontEnd:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("%codex provider local")
    return ExtendedFrontEnd(kernel)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.txt"


ASYNC = f"%%codex --agent\n{WRITE}"
BLOCKING = f"%%time\nget_ipython().run_cell_magic('codex', '--agent', {WRITE!r})"


@pytest.mark.parametrize("cell", [ASYNC, BLOCKING], ids=["awaiting", "blocking"])
def test_a_click_on_a_card_is_the_answer_and_no_buttons_are_shown_too(
    page: ExtendedFrontEnd, out: Path, cell: str
) -> None:
    request = page.run(cell)
    card = page.card(page.attach())
    assert card["title"] == "Allow Codex to run this command?"
    assert card["passages"][0]["text"] == "echo written > out.txt"
    assert not out.exists()
    assert page.choose(card, "Approve") == page.choose(card, "Approve")
    page.idle(request)
    assert out.read_text() == "written\n"
    assert "· approved · exit code 0" in markdown(page.outputs)
    assert page.open_widgets == 0
    assert "Allow Codex" not in markdown(page.outputs)


def test_the_first_answer_holds(page: ExtendedFrontEnd, out: Path) -> None:
    request = page.run(ASYNC)
    card = page.card(page.attach())
    assert page.choose(card, "Decline")["holds"]
    assert not page.choose(card, "Approve")["holds"]
    page.idle(request)
    assert not out.exists()
    assert "Not run: declined" in markdown(page.outputs)


def test_only_the_question_that_was_shown_is_answered(page: ExtendedFrontEnd, out: Path) -> None:
    request = page.run(ASYNC)
    id = page.attach()
    card = page.card(id)
    for wrong in ({"question": "1"}, {"question": id}, {"choice": "Approve"}, {"choice": "A"}, {"reason": 5}):
        refused = page.tell("decide", **{"question": card["question"], "choice": "a", "reason": "", **wrong})
        assert not refused["ok"]
    assert page.tell("approvals", id="another answer")["card"] is None
    page.choose(card, "Decline")
    page.idle(request)
    assert not out.exists()


def test_what_a_person_says_who_declines_is_told_to_the_model(page: ExtendedFrontEnd, out: Path) -> None:
    request = page.run(ASYNC)
    page.choose(page.card(page.attach()), "Decline and say why …", "echo: Not there, please.")
    page.idle(request)
    seen = markdown(page.outputs)
    assert "· you said “echo: Not there, please.”" in seen
    assert "\nNot there, please.\n" in seen  # what the model says, which heard it
    assert "You: " not in seen
    assert not out.exists()


def test_a_page_that_takes_no_question_is_asked_by_buttons_and_may_still_answer(
    page: ExtendedFrontEnd, out: Path
) -> None:
    request = page.run(ASYNC)
    page.until(lambda: page.model(description="Approve"))
    card = page.card(page.attach())
    page.until(lambda: page.open_widgets == 0)
    page.choose(card, "Approve")
    page.idle(request)
    assert out.exists()


def test_a_card_that_comes_late_answers_what_waits_for_a_typed_line(
    page: ExtendedFrontEnd, out: Path
) -> None:
    request = page.run(BLOCKING)
    page.kernel.client.get_stdin_msg(timeout=30)
    page.choose(page.card(page.attach()), "Approve")
    page.idle(request)
    assert out.exists()
    assert "Wall time" in str(page.outputs)
    page.idle(page.run("still = 'here'"))
    assert page.kernel.value("still") == "'here'"


def test_why_is_typed_too(page: ExtendedFrontEnd, out: Path) -> None:
    request = page.run(BLOCKING)
    for prompt, line in (("Your answer", "w"), ("What should Codex do instead?", "echo: Otherwise.")):
        assert prompt in page.kernel.client.get_stdin_msg(timeout=30)["content"]["prompt"]
        page.kernel.client.input(line)
    page.idle(request)
    assert "· you said “echo: Otherwise.”" in markdown(page.outputs)
    assert not out.exists()


def test_a_turn_in_the_background_asks_on_its_card_while_another_cell_keeps_the_kernel_busy(
    page: ExtendedFrontEnd, out: Path
) -> None:
    page.idle(page.run(f"%%codex --agent --background\n{WRITE}"))
    id = page.attach()
    busy = page.run("input()")
    page.kernel.client.get_stdin_msg(timeout=30)
    page.choose(page.card(id), "Approve")
    page.until(lambda: "exit code 0" in markdown(page.outputs))
    page.kernel.client.input("")
    page.idle(busy)
    assert out.exists()


def test_a_question_in_the_background_is_read_and_answered_in_another_cell(
    page: ExtendedFrontEnd, out: Path
) -> None:
    notebook = page.kernel
    page.idle(page.run(f"%%codex --agent --background\n{WRITE}"))
    page.until(lambda: page.tell("attach", id=page.answer())["asks"])
    assert "after this cell was run" in markdown(notebook.execute("%codex approve 1"))
    assert "echo written > out.txt" in markdown(notebook.execute("%codex approvals"))
    assert "No question 2" in markdown(notebook.execute("%codex decline 2"))
    assert not out.exists()
    assert "Approved" in markdown(notebook.execute("%codex approve 1"))
    page.until(lambda: "· approved · exit code 0" in markdown(page.outputs))
    assert "No question 1" in markdown(notebook.execute("%codex approve 1"))
    assert "Nothing waits" in markdown(notebook.execute("%codex approvals"))


def test_what_is_run_together_with_the_question_approves_nothing(page: ExtendedFrontEnd, out: Path) -> None:
    question = page.run(f"%%codex --agent --background\n{WRITE}")
    wait = "import time\nwhile not get_ipython().magics_manager.registry['CodexMagics'].extension.questions.waiting(): time.sleep(0.01)"
    cells = [question, *map(page.run, (wait, "%codex approvals", "%codex approve 1"))]
    for cell in cells:
        page.idle(cell)
    assert "after this cell was run" in markdown(page.outputs)
    page.idle(page.run("%codex decline 1 no"))
    page.until(lambda: "you said “no”" in markdown(page.outputs))
    assert not out.exists()


@pytest.mark.parametrize("options", ["", "--background"])
def test_a_turn_is_stopped_by_its_button(page: ExtendedFrontEnd, options: str) -> None:
    request = page.run(f"%%codex --agent {options}\n{NEVER_ENDS}")
    id = page.attach()
    page.until(lambda: page.tell("attach", id=id)["text"].count("Running"))
    assert page.tell("stop", id=id)["ok"]
    page.idle(request)
    page.until(lambda: state(page.outputs) == "interrupted")
    page.until(lambda: not page.tell("stop", id=id)["ok"])  # once the turn has left


def test_what_is_added_to_a_running_turn_is_sent_once(page: ExtendedFrontEnd) -> None:
    request = page.run(f"%%codex --agent\n{NEVER_ENDS}")
    id = page.attach()
    page.until(lambda: page.tell("attach", id=id)["text"].count("Running"))
    for _ in range(2):
        assert page.tell("steer", id=id, text="echo: tea only", once="1")["ok"]
    page.idle(request)
    assert markdown(page.outputs).count("You: echo: tea only") == 1
