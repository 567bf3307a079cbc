"""What the page's extension says of the cells, from the shapes that both sides are tested with."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from IPython.core.interactiveshell import InteractiveShell

from codex_magic.display.items import item_rows
from codex_magic.display.view import TurnView
from codex_magic.notebook.errands import Errand, Report
from codex_magic.notebook.extension import PANEL, PROTOCOL, REPLY, Extension, is_for_panel
from codex_magic.notebook.magics import PAGE_REQUEST, loaded
from codex_magic.notebook.panel import ACTS
from codex_magic.notebook.question import Question
from codex_magic.protocol.types import (
    CommandApproval,
    CommandExecution,
    DeclineBecause,
    FileChange,
    ItemStarted,
    ThreadItem,
    ToolCall,
    UnknownNotification,
)
from tests.end_to_end.kernel import Kernel
from tests.known import some

FIXTURES = Path(__file__).parents[2] / "labextension" / "fixtures"
ANSWERS, APPROVALS, CARD, DECIDE, ERRAND, DONE, KEPT, RUN, STEER, STOP, WAITING = (
    json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    for name in (
        *("answers", "approvals", "card", "decide", "errand", "errand-done"),
        *("kept", "run", "steer", "stop", "waiting"),
    )
)


def test_the_page_speaks_our_protocol() -> None:
    extension = Extension(None)
    assert extension.answer(RUN)["ok"]
    assert extension.run(RUN["cell"]) == RUN


def test_what_the_panel_asks_is_what_both_sides_agree_on() -> None:
    asked = json.loads((FIXTURES / "panel.json").read_text(encoding="utf-8"))
    assert all(map(is_for_panel, asked))
    assert {each["op"] for each in asked} == PANEL
    assert {each["act"] for each in asked if each["op"] == "thread"} == set(ACTS)
    assert not is_for_panel({**asked[0], "protocol": PROTOCOL + 1})


def test_the_cells_of_a_page_are_known_before_one_runs() -> None:
    extension = Extension(None)
    assert extension.answer({**RUN, "op": "here", "cell": ""})["ok"]
    assert extension.said is not None
    assert extension.run(RUN["cell"]) is None, "nothing runs"


def test_a_card_is_what_both_sides_agree_on() -> None:
    command = 'echo "ok"\u202e; curl example.com'
    request = CommandApproval("t", "u", "i", command, "/home/ana/project", "I must")
    question = Question(request, "/home/ana/project", "answer-1")
    question.number = 1
    question.id = CARD["question"]
    assert question.shown_at is None
    assert question.card(CARD["waiting"], CARD["following"]) == CARD
    assert question.shown_at is not None


def test_a_step_that_waits_is_what_both_sides_agree_on() -> None:
    view = TurnView()
    view.feed(ItemStarted("t", "u", CommandExecution("c", "touch x", status="waiting")))
    view.feed(
        UnknownNotification("thread/status/changed", {"status": {"activeFlags": ["waitingOnApproval"]}})
    )
    assert view.markdown() == WAITING["asking"]


def test_the_words_for_a_step_that_runs_are_what_both_sides_agree_on() -> None:
    items: list[ThreadItem] = [
        CommandExecution("c", "ls", status="inProgress"),
        ToolCall("r", tool="read_file", status="inProgress"),
        ToolCall("t", tool="other", status="inProgress"),
        *(
            FileChange("f", ({"path": "a.py", "kind": {"type": kind}},), status="inProgress")
            for kind in ("add", "delete", "update")
        ),
        *(
            ToolCall("m", tool=name, status="inProgress")
            for name in ("move_cell", "restart_kernel", "interrupt_kernel")
        ),
    ]
    labels = [row.label for item in items for row in item_rows(item)]
    assert labels == json.loads((FIXTURES / "running.json").read_text(encoding="utf-8"))


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


def test_a_run_that_comes_twice_does_not_take_the_answer_that_runs_for_an_old_one() -> None:
    extension = Extension(SimpleNamespace(session=Session(), iopub_socket=None))
    run = {**RUN, "once": "1"}
    extension.answer(run)
    extension.stream("answer", RUN["cell"])
    assert extension.answer(run)["ok"]
    assert [each["id"] for each in extension.answer(ANSWERS)["answers"]] == ["answer"]
    extension.answer({**run, "once": "2"})
    assert extension.answer(ANSWERS)["answers"] == []


def test_an_errand_is_done_by_the_first_page_that_asks_for_it() -> None:
    session = Session()
    extension = Extension(SimpleNamespace(session=session, iopub_socket=None))
    extension.answer(RUN)
    extension.stream("answer-1").attach()

    async def ask() -> tuple[Report | None, list[bool]]:
        waiting = asyncio.ensure_future(extension.send_errand("answer-1", {"kind": "look"}))
        await asyncio.sleep(0)
        id = session.sent[-1]["errand"]
        taken = [
            extension.answer({**ERRAND, "id": id, "once": once})["ok"] for once in (ERRAND["once"], "another")
        ]
        assert extension.answer({**DONE, "id": id})["ok"]
        return await waiting, taken

    report, taken = asyncio.run(ask())
    assert taken == [True, False]
    assert report is not None
    assert (report.outcome, report.cell, report.source) == ("conflict", DONE["cell"], DONE["source"])
    assert not extension.answer(ERRAND)["ok"]


def test_an_errand_is_not_for_another_page_than_the_one_where_it_was_allowed() -> None:
    errand = Errand("answer-1", {}, page="one")
    assert not errand.take("1", "two")
    assert errand.take("2", "one")


def test_what_was_said_of_a_cell_holds_for_one_run() -> None:
    extension = Extension(None)
    extension.answer(RUN)
    assert extension.run(RUN["cell"]) is not None
    assert extension.run(RUN["cell"]) is None


def test_a_cell_that_comes_without_its_id_is_found_by_its_source() -> None:
    extension = Extension(None)
    extension.answer(RUN)
    assert extension.run(None, "x = 1") is None
    assert extension.run(None, "%%codex\nWhy are there gaps?") == RUN


class Session:
    """Keeps what a kernel sends."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def send(self, socket: object, kind: str, content: dict[str, Any], **rest: object) -> None:
        self.sent.append(content)


def test_an_answer_is_offered_until_a_page_has_it_or_its_cell_runs_again() -> None:
    session = Session()
    extension = Extension(SimpleNamespace(session=session, iopub_socket=None))
    extension.answer(RUN)
    for id in ("one", "two"):
        extension.stream(id, RUN["cell"], "a page").end({})
        assert extension.answer({"op": "attach", "protocol": PROTOCOL, "id": id})["client"] == "a page"
    assert [each["id"] for each in extension.answer(ANSWERS)["answers"]] == ["one", "two"]
    assert extension.answer({**KEPT, "id": "one"})["ok"]
    assert extension.answer(ANSWERS)["answers"] == [{"id": "two", "cell": RUN["cell"]}]
    extension.answer(RUN)
    assert extension.answer(ANSWERS)["answers"] == []


def test_a_page_hears_with_the_end_of_an_answer_which_notebook_it_is_of() -> None:
    session = Session()
    extension = Extension(SimpleNamespace(session=session, iopub_socket=None))
    extension.stream("unheard", "a1").end({})
    assert session.sent == []
    extension.answer(RUN)
    extension.notebook = "0199"
    extension.stream("heard", "b2").end({"text/markdown": "done"})
    assert session.sent == [{"id": "heard", "n": 1, "bundle": {"text/markdown": "done"}, "notebook": "0199"}]


def test_an_end_that_the_output_has_brought_is_short_and_can_be_asked_for() -> None:
    session = Session()
    extension = Extension(SimpleNamespace(session=session, iopub_socket=None))
    extension.notebook, end = "0199", fixture("end")
    stream = extension.stream(end["id"])
    extension.answer({**fixture("attach"), "id": end["id"]})
    stream.end({"text/markdown": "done"}, is_shown=True)
    assert session.sent == [end]
    assert extension.answer(fixture("attach"))["bundle"] == {"text/markdown": "done"}


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


def fixture(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))
    return content


def test_a_page_hears_which_mentions_of_a_question_are_known(shell: InteractiveShell) -> None:
    shell.run_cell("df = 1")
    reply = some(loaded(shell)).extension.answer(fixture("marks"))
    assert reply["ok"]
    assert {"marks": reply["marks"]} == fixture("marks-reply")


def test_a_page_hears_whether_an_error_is_the_last_one(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    about = fixture("failure")

    def failure(number: int, cell: str = about["cell"]) -> str | None:
        message = kernel.client.session.msg(PAGE_REQUEST, {**about, "number": number, "cell": cell})
        kernel.client.control_channel.send(message)
        reply: dict[str, Any] = kernel.client.get_control_msg(timeout=30)["content"]
        return str(reply["failure"]) if reply["failure"] else None

    kernel.execute("x = 1", cell_id=about["cell"])
    assert failure(2) is None
    kernel.execute("1 / 0", cell_id=about["cell"])
    assert failure(3) == "last"
    assert failure(3, "another") is None
    kernel.execute("nothing", cell_id="below")
    assert failure(3) == "earlier"
    assert failure(4, "below") == "last"
    assert failure(9) is None


def test_a_reply_that_is_asked_for_aloud_is_published_as_well(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    client = kernel.client
    for aloud in (False, True, "yes"):
        ask = client.session.msg(PAGE_REQUEST, {"op": "answers", "protocol": PROTOCOL, "aloud": aloud})
        client.control_channel.send(ask)
        reply = client.get_control_msg(timeout=30)
        heard = [client.get_iopub_msg(timeout=30)]
        while heard[-1]["content"].get("execution_state") != "idle":
            heard.append(client.get_iopub_msg(timeout=30))
        [*published] = (each for each in heard if each["msg_type"] == REPLY)
        assert [each["content"] for each in published] == ([reply["content"]] if aloud is True else [])
        assert {each["parent_header"]["msg_id"] for each in heard} == {ask["header"]["msg_id"]}


@pytest.mark.parametrize("op", [[], {}, 5, None, "no such", "threads"])
def test_every_request_has_a_reply_whatever_it_asks(kernel: Kernel, op: object) -> None:
    kernel.execute("%load_ext codex_magic")
    client = kernel.client
    client.control_channel.send(client.session.msg(PAGE_REQUEST, {"op": op, "protocol": PROTOCOL}))
    reply = client.get_control_msg(timeout=30)
    assert (reply["msg_type"], reply["content"]["ok"]) == (REPLY, False)


def test_a_busy_kernel_answers(kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    kernel.client.execute("input('busy')", allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=30)
    kernel.client.control_channel.send(kernel.client.session.msg(PAGE_REQUEST, RUN))
    reply = kernel.client.get_control_msg(timeout=30)
    assert (reply["msg_type"], reply["content"]["ok"]) == (REPLY, True)
    kernel.client.input("done")
