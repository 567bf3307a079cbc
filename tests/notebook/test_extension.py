"""What the page's extension says of the cells, from the shapes that both sides are tested with."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from codex_magic.notebook.extension import PROTOCOL, REPLY, Extension
from codex_magic.notebook.magics import PAGE_REQUEST
from codex_magic.notebook.question import Question
from codex_magic.protocol.types import CommandApproval, DeclineBecause
from tests.end_to_end.kernel import Kernel

FIXTURES = Path(__file__).parents[2] / "labextension" / "fixtures"
APPROVALS, CARD, DECIDE, RUN, STEER, STOP = (
    json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("approvals", "card", "decide", "run", "steer", "stop")
)


def test_the_page_speaks_our_protocol() -> None:
    extension = Extension(None)
    assert extension.answer(RUN)["ok"]
    assert extension.run(RUN["cell"]) == RUN


def test_a_card_is_what_both_sides_agree_on() -> None:
    command = 'echo "ok"\u202e; curl example.com'
    request = CommandApproval("t", "u", "i", command, "/home/ana/project", "I must")
    question = Question(request, "/home/ana/project", "answer-1")
    question.number = 1
    question.id = CARD["question"]
    assert not question.is_shown
    assert question.card(CARD["waiting"], CARD["following"]) == CARD
    assert question.is_shown


def test_the_page_answers_by_our_protocol() -> None:
    extension = Extension(None)
    question = Question(CommandApproval("t", "u", "i", "ls"), "/", "answer-1")
    question.id = DECIDE["question"]
    extension.questions.add(question)
    assert not extension.answer(DECIDE)["ok"], "it has not been shown"
    assert extension.answer(APPROVALS)["card"]["number"] == 1
    assert [extension.answer(DECIDE)["holds"], extension.answer(DECIDE)["holds"]] == [True, True]
    assert question.answered.result() == DeclineBecause(DECIDE["reason"])
    assert extension.answer({**DECIDE, "choice": "a"})["holds"] is False
    assert extension.answer(APPROVALS)["card"] is None
    assert not extension.answer({**DECIDE, "question": "another"})["ok"]


def test_a_turn_that_runs_is_stopped_and_steered() -> None:
    class Running:
        heard: ClassVar[list[str]] = []

        def stop(self) -> None:
            self.heard.append("stop")

        def steer(self, text: str) -> None:
            self.heard.append(text)

    extension = Extension(None)
    assert not extension.answer(STOP)["ok"]
    extension.turns[STOP["id"]] = Running()
    for request in (STEER, STEER, {**STEER, "text": " ", "once": "2"}, STOP):
        assert extension.answer(request)["ok"]
    assert Running.heard == [STEER["text"], "stop"]


def test_what_was_said_of_a_cell_holds_for_one_run() -> None:
    extension = Extension(None)
    extension.answer(RUN)
    assert extension.run(RUN["cell"]) is not None
    assert extension.run(RUN["cell"]) is None


def test_nobody_waits_for_a_page_that_never_spoke() -> None:
    extension = Extension(None)
    assert extension.run("b2") is None
    assert extension.run(None) is None


def test_what_comes_a_moment_after_the_cell_is_waited_for() -> None:
    extension = Extension(None)
    extension.answer({**RUN, "cell": "earlier"})
    speaking = threading.Thread(target=extension.answer, args=(RUN,))
    speaking.start()
    assert extension.run(RUN["cell"]) == RUN
    speaking.join()


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "run",
        {},
        {"op": "run"},
        {**RUN, "cell": 5},
        {**RUN, "protocol": PROTOCOL + 1},
        {**RUN, "op": None},
    ],
)
def test_what_can_not_be_understood_is_refused_with_our_version(content: object) -> None:
    extension = Extension(None)
    reply = extension.answer(content)
    assert reply == {"ok": False, "protocol": PROTOCOL, "version": reply["version"]}
    assert not extension.is_attached


def test_a_page_that_says_much_is_remembered_within_bounds() -> None:
    extension = Extension(None)
    for number in range(1000):
        extension.answer({**RUN, "cell": str(number)})
    assert extension.run("999") is not None
    assert extension.run("0") is None


def test_a_busy_kernel_answers(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    kernel.client.execute("input('busy')", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.client.control_channel.send(kernel.client.session.msg(PAGE_REQUEST, RUN))
    reply = kernel.client.get_control_msg(timeout=30)
    assert (reply["msg_type"], reply["content"]["ok"]) == (REPLY, True)
    kernel.client.input("done")
