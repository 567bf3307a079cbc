"""What the panel and the status bar of our extension ask a real kernel: over the control channel, however busy it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd, Reply
from tests.end_to_end.kernel import Kernel
from tests.end_to_end.threads import fill
from tests.service import LocalService

FIXTURES = Path(__file__).parents[2] / "labextension" / "fixtures"

KEY = "sk-proj-" + "a1B2" * 12
SECRET = "zH7kQ2vN9xW4mB6tR1pY"


@pytest.fixture
def page(notebook: Kernel) -> ExtendedFrontEnd:
    return ExtendedFrontEnd(notebook)


def threads(page: ExtendedFrontEnd, **filters: object) -> Reply:
    asked = {"here": False, "search": "", "archived": False, "cursor": None, "limit": 100, **filters}
    return page.tell("threads", **asked)


def ask(page: ExtendedFrontEnd, code: str) -> str:
    """Run the cell to its end; returns the id of the notebook's thread."""
    page.idle(page.run(code))
    return str(page.tell("status")["thread"])


def test_the_status_is_that_of_percent_codex_status(page: ExtendedFrontEnd, service: LocalService) -> None:
    before = page.tell("status")
    assert before["account"]["kind"] == "chatgpt"
    assert [before["thread"], before["newest"], before["running"], before["waiting"]] == [None, 0, [], []]
    thread = ask(page, "%%codex --effort low\necho: hi")
    status = page.tell("status")
    assert [status["thread"], status["newest"], status["running"]] == [thread, 1, []]
    assert status["model"]
    lefts = [each["left"] for each in status["limits"]]
    assert lefts == sorted(lefts), "the tighter one comes first"
    assert lefts
    assert page.tell("usage")["limits"] == status["limits"]
    shape = json.loads((FIXTURES / "status.json").read_text(encoding="utf-8"))
    assert shape.keys() <= status.keys()
    assert shape["limits"][0].keys() == status["limits"][0].keys()


def test_model_and_effort_are_chosen_and_bad_ones_refused(page: ExtendedFrontEnd) -> None:
    models = page.tell("models")["models"]
    name = models[0]["name"]
    status = page.tell("choose", model=name, effort="high")
    assert (status["model"], status["effort"]) == (name, "high")
    for wrong in ({"model": "no-such-model", "effort": ""}, {"model": name, "effort": "endless words"}):
        refused = page.tell("choose", **wrong)
        assert not refused["ok"]
        assert refused["error"]
    assert page.tell("status")["effort"] == "high"
    assert page.tell("choose", model="", effort="")["effort"] == ""


def test_who_signs_out_is_asked_to_sign_in(page: ExtendedFrontEnd) -> None:
    assert page.tell("sign-out")["ok"]
    assert page.tell("status")["account"]["kind"] == "none"


def test_threads_are_renamed_forked_archived_and_resumed(page: ExtendedFrontEnd) -> None:
    first = ask(page, "%%codex\necho: one")
    assert page.tell("thread", act="rename", thread=first, name="  Sales \n\x1b\u202e analysis ")["ok"]
    assert not page.tell("thread", act="rename", thread=first, name=" \u202e\x1b\n")["ok"]
    second = page.tell("thread", act="new", thread="")["thread"]
    assert page.tell("status")["thread"] == second
    assert page.tell("thread", act="resume", thread=first)["thread"] == first
    ask(page, "%%codex\necho: two")
    turns = page.tell("turns", thread=first, before=None)["turns"]
    assert [(each["question"], each["answer"], each["state"]) for each in turns] == [
        ("echo: one", "one", "completed"),
        ("echo: two", "two", "completed"),
    ]
    fork = page.tell("thread", act="fork", thread=first, turn=turns[0]["id"])["thread"]
    here = threads(page, here=True)
    assert {each["id"]: each["forked_from"] for each in here["threads"]} == {first: None, fork: first}
    assert here["current"] == fork
    tree = page.tell("turns", thread=first, before=None)
    assert tree["thread"]["name"] == "Sales analysis"
    assert [[each["id"] for each in turn["forks"]] for turn in tree["turns"]] == [[fork], []]
    assert page.tell("thread", act="archive", thread=first)["ok"]
    assert first not in [each["id"] for each in threads(page)["threads"]]
    assert [each["id"] for each in threads(page, archived=True)["threads"]] == [first]
    assert page.tell("thread", act="unarchive", thread=first)["ok"]
    assert page.tell("thread", act="archive", thread=fork)["ok"]
    assert ask(page, "%%codex\necho: three") == fork
    assert fork in [each["id"] for each in threads(page)["threads"]]


def test_a_turn_is_shown_as_its_output_was(page: ExtendedFrontEnd) -> None:
    thread = ask(page, "%%codex\necho: **bold** words")
    [turn] = page.tell("turns", thread=thread, before=None)["turns"]
    shown = page.tell("turn", thread=thread, turn=turn["id"])
    assert shown["question"] == "echo: **bold** words"
    assert "**bold** words" in shown["bundle"]["text/markdown"]
    assert not page.tell("turn", thread=thread, turn="another")["ok"]


LAST = {"thread": "", "turn": ""}
"""Asks what was sent last."""


def test_what_was_sent_is_there_part_by_part(page: ExtendedFrontEnd) -> None:
    assert page.tell("sent", **LAST)["rows"] == []
    ask(page, "%%codex\necho: hi")
    sent = page.tell("sent", **LAST)
    assert dict(sent["texts"])["prompt"] == "echo: hi"
    assert "all" in [row[0] for row in sent["rows"]]


def prompts_and_turns(sent: Reply) -> tuple[str, str]:
    """What was asked, and how many turns went along with it."""
    return dict(sent["texts"])["prompt"], {row[0]: row[2] for row in sent["rows"]}.get("thread", "")


def test_what_a_turn_was_sent_with_is_told_as_it_was_then(page: ExtendedFrontEnd) -> None:
    cells = {name: page.run(f"%%codex\necho: {name}", name) for name in ("first", "second", "third")}
    page.idle(cells["third"])
    thread = str(page.tell("status")["thread"])
    turns = [each["id"] for each in page.tell("turns", thread=thread, before=None)["turns"]]
    page.idle(page.run("%%codex\necho: first once more", "first"))
    told = [page.tell("sent", thread=thread, turn=turn) for turn in turns]
    assert [prompts_and_turns(each) for each in told] == [
        ("echo: first", ""),
        ("echo: second", "1 turn"),
        ("echo: third", "2 turns"),
    ]
    assert all(each["whole"] for each in told)
    assert page.tell("sent", **LAST) != told[2]
    assert page.tell("sent", thread=thread, turn="of another store")["rows"] == []


def test_what_a_running_answer_was_sent_with_is_told_by_its_id(page: ExtendedFrontEnd) -> None:
    request = page.run("%%codex\nrepeat 100000")
    id = page.attach()
    page.until(lambda: page.tell("status")["running"][0]["turn"])
    assert prompts_and_turns(page.tell("sent", thread="", turn=id)) == ("repeat 100000", "")
    page.tell("stop", id=id)
    page.idle(request)


def test_the_store_keeps_what_a_question_brought_along(page: ExtendedFrontEnd) -> None:
    page.idle(page.run(f"import os\nos.environ['PLANTED_API_KEY'] = {SECRET!r}\norders = [{SECRET!r}]"))
    thread = ask(page, "%%codex\nWhy @orders?")
    [turn] = page.tell("turns", thread=thread, before=None)["turns"]
    before = page.tell("sent", thread=thread, turn=turn["id"])
    page.kernel.restart()
    page.kernel.execute("%load_ext codex_magic")
    after = page.tell("sent", thread=thread, turn=turn["id"])
    assert (before["whole"], after["whole"]) == (True, False)
    texts, kept = dict(before["texts"]), dict(after["texts"])
    brought = ("context", "mentions", "prompt")
    assert [kept[name] for name in brought] == [texts[name] for name in brought]
    assert ["masked", "", "1 secret: PLANTED_API_KEY"] in after["rows"]
    assert SECRET not in str(after)
    assert "tools" not in {row[0] for row in after["rows"]}, "nobody knows them any more"


def test_keys_are_masked_in_whatever_the_panel_shows(page: ExtendedFrontEnd) -> None:
    thread = ask(page, f"%%codex --no-mask\necho: my key is {KEY}")
    page.tell("thread", act="rename", thread=thread, name=f"About {KEY}")
    turns = page.tell("turns", thread=thread, before=None)
    shown = [
        threads(page),
        threads(page, here=True),
        turns,
        page.tell("turn", thread=thread, turn=turns["turns"][0]["id"]),
        page.tell("sent", **LAST),
        page.tell("status"),
    ]
    assert "SECRET_1" in str(shown[0])
    assert KEY not in str(shown)


@pytest.mark.parametrize("before", [0, 60, 100])
def test_a_key_where_a_text_is_cut_off_is_masked_too(page: ExtendedFrontEnd, before: int) -> None:
    thread = ask(page, f"%%codex --no-mask\necho: {'x' * before} {KEY}")
    shown = str([threads(page), threads(page, here=True), page.tell("turns", thread=thread, before=None)])
    assert KEY[:16] not in shown


@pytest.mark.parametrize(
    "wrong",
    [
        {"op": "threads"},
        {"op": "threads", "here": False, "search": 5, "archived": False, "cursor": None, "limit": 10},
        {"op": "threads", "here": False, "search": "", "archived": False, "cursor": None, "limit": 0},
        {"op": "threads", "here": False, "search": "", "archived": False, "cursor": None, "limit": 10**9},
        {"op": "threads", "here": False, "search": "", "archived": False, "cursor": "x", "limit": 10},
        {"op": "sent", "thread": "t"},
        {"op": "turns", "thread": 7, "before": None},
        {"op": "turns", "thread": "no such thread", "before": None},
        {"op": "turns", "thread": "t", "before": "first"},
        {"op": "thread", "act": "erase", "thread": "t"},
        {"op": "thread", "act": "rename", "thread": "t", "name": "  "},
        {"op": "thread", "act": "fork", "thread": "t", "turn": 1},
        {"op": "choose", "model": None, "effort": ""},
    ],
    ids=str,
)
def test_bad_requests_are_refused_and_change_nothing(page: ExtendedFrontEnd, wrong: Reply) -> None:
    op = wrong.pop("op")
    assert not page.tell(op, **wrong)["ok"]
    assert threads(page) == threads(page)
    assert threads(page)["threads"] == []


def test_a_turn_that_runs_is_listed_while_the_kernel_is_busy_and_stopped(page: ExtendedFrontEnd) -> None:
    request = page.run("%%time\nget_ipython().run_cell_magic('codex', '', 'repeat 100000')")
    id = page.attach()
    [running] = page.tell("status")["running"]
    shape = json.loads((FIXTURES / "status.json").read_text(encoding="utf-8"))
    assert running.keys() == shape["running"][0].keys()
    assert (running["id"], running["text"]) == (id, "repeat 100000")
    assert page.tell("stop", id=id)["ok"]
    page.idle(request)
    assert page.tell("status")["running"] == []


def test_ten_thousand_threads_come_in_pages_and_are_searched(page: ExtendedFrontEnd) -> None:
    fill(Path(os.environ["CODEX_MAGIC_HOME"]), 10_000)
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        reply = threads(page, cursor=cursor, limit=200)
        cursor = reply["cursor"]
        seen += [each["id"] for each in reply["threads"]]
    assert len(set(seen)) == 600
    assert cursor is not None
    [found] = threads(page, search="NUMBER 7777.")["threads"]
    assert found["about"] == "Question number 7777."
    assert threads(page, search="xyzzy")["threads"] == []


def test_a_long_thread_comes_in_pages_from_its_end(page: ExtendedFrontEnd) -> None:
    home = Path(os.environ["CODEX_MAGIC_HOME"])
    fill(home, 1, turns=120)
    seen: list[int] = []
    before = None
    while True:
        reply = page.tell("turns", thread="thread-0", before=before)
        positions = [each["position"] for each in reply["turns"]]
        seen, before = [*positions, *seen], positions[0]
        if not reply["more"]:
            break
    assert seen == list(range(120))
    assert reply["turns"][0]["answer"] == "Answer 0."
