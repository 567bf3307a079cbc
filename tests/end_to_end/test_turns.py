"""Several turns of one kernel at once: listed, stopped and added to by their numbers, in a real kernel."""

from __future__ import annotations

import re

import pytest

from tests.end_to_end.extended import ExtendedFrontEnd
from tests.end_to_end.kernel import Kernel, markdown
from tests.end_to_end.widgets import FrontEnd
from tests.peers.agent import use
from tests.service import LocalService

COMMIT = use("run_python", code="x = 1", scope="commit")


@pytest.fixture
def page(notebook: Kernel) -> ExtendedFrontEnd:
    return ExtendedFrontEnd(notebook)


def ran(page: FrontEnd, code: str) -> str:
    """Run a cell to its end; return what it showed."""
    request, seen = page.run(code), len(page.messages)
    page.idle(request)
    return markdown([*map(dict, outputs_of(page, request, seen))])


def outputs_of(page: FrontEnd, request: str, since: int) -> list[dict]:
    mine = [m for m in page.messages[since:] if m["parent_header"].get("msg_id") == request]
    return [m["content"] for m in mine if m["msg_type"] == "display_data"]


def states(page: FrontEnd) -> dict[int, str]:
    """What `%codex turns` says of each turn, by its number."""
    rows = re.findall(r"<tr>(.*?)</tr>", ran(page, "%codex turns"))
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    return {int(row[0]): row[3] for row in cells if row}


def reach(page: FrontEnd, wanted: dict[int, str]) -> None:
    """Wait until the turns are in these states: a turn leaves the list shortly after its last update."""
    while states(page) != wanted:
        pass


def hold_two(page: FrontEnd, service: LocalService) -> None:
    """Two turns side by side in threads of their own, each of whose answers has begun."""
    service.faults.next("hold", after=2, times=4)
    for count in (1, 2):
        page.idle(page.run("%%codex --background --new\nrepeat 2000"))
        service.wait_for_hold(count=count)


def test_turns_side_by_side_are_listed_and_stopped_one_by_one(
    page: ExtendedFrontEnd, service: LocalService
) -> None:
    assert "asked nothing yet" in ran(page, "%codex turns")
    hold_two(page, service)
    assert states(page) == {1: "running", 2: "running"}
    assert "Stopped turn 1." in ran(page, "%codex stop 1")
    assert states(page) == {1: "interrupted", 2: "running"}
    assert "Turn 1 is over." in ran(page, "%codex stop 1")
    assert "There is no turn 9." in ran(page, "%codex stop 9")
    assert "Stopped 1 turn." in ran(page, "%codex stop")
    assert states(page) == {1: "interrupted", 2: "interrupted"}


def test_a_number_says_which_turn_is_added_to(page: ExtendedFrontEnd, service: LocalService) -> None:
    hold_two(page, service)
    assert "Sent to the running answer of turn 1" in ran(page, "%codex steer 1 echo: to the first")
    service.wait_for_hold(count=3)
    assert "Sent to the running answer of turn 2" in ran(page, "%codex steer 3 echo: to the latest")
    service.wait_for_hold(count=4)
    service.release()
    reach(page, {1: "done", 2: "done"})
    answers = [r.json["input"] for r in service.requests if r.path.endswith("/responses")]
    said = [str(each) for each in answers if "to the" in str(each)]
    assert sum("echo: to the first" in each for each in said) == 1
    assert sum("3 echo: to the latest" in each for each in said) == 1


def test_a_turn_says_what_it_waits_for(page: ExtendedFrontEnd, service: LocalService) -> None:
    ran(page, "%codex reads yes")
    page.idle(page.run(f"%%codex --background\n{COMMIT}"))
    card = page.card(page.attach())
    page.idle(page.run("%%codex --background\necho: later"))
    reach(page, {1: "waiting for your approval", 2: "waiting in line"})
    page.choose(card, "Decline")
    reach(page, {1: "done", 2: "done"})


def test_a_grant_is_exact_counted_and_taken_back(page: ExtendedFrontEnd) -> None:
    ran(page, "%codex reads yes")
    request = page.run(f"%%codex\n{COMMIT}")
    page.choose(page.card(page.attach()), "Approve for this session")
    page.idle(request)
    assert "not again yet" in ran(page, "%codex approvals")
    for _ in range(2):
        assert "this code approved" in markdown_of(page, page.run(f"%%codex\n{COMMIT}"))
    assert "2 times" in ran(page, "%codex approvals")
    other = page.run(f"%%codex\n{COMMIT.replace('x = 1', 'x = 2')}")
    page.choose(page.card(page.attach()), "Decline")
    page.idle(other)
    assert "Taken back" in ran(page, "%codex approvals revoke all")
    assert "Nothing was approved for longer." in ran(page, "%codex approvals revoke all")
    again = page.run(f"%%codex\n{COMMIT}")
    page.choose(page.card(page.attach()), "Decline")
    page.idle(again)
    assert page.kernel.value("x") == "1"


def markdown_of(page: FrontEnd, request: str) -> str:
    page.idle(request)
    return markdown(page.outputs)


def test_what_was_allowed_to_be_read_is_taken_back_with_the_rest(page: ExtendedFrontEnd) -> None:
    ran(page, "x = 41")
    read = f"%%codex\n{use('inspect_variable', name='x')}"
    request = page.run(read)
    page.choose(page.card(page.attach()), "In this notebook")
    page.idle(request)
    page.idle(page.run(read))
    assert "1 time<" in ran(page, "%codex approvals")
    assert "Taken back" in ran(page, "%codex approvals revoke 1")
    request = page.run(read)
    page.choose(page.card(page.attach()), "No")
    page.idle(request)


def test_the_same_that_waits_elsewhere_is_approved_with_it(page: ExtendedFrontEnd) -> None:
    ran(page, "%codex reads yes")
    for _ in range(2):
        page.idle(page.run(f"%%codex --background --new\n{COMMIT}"))
    reach(page, dict.fromkeys((1, 2), "waiting for your approval"))
    page.choose(page.card(page.attach()), "Approve for this session")
    reach(page, {1: "done", 2: "done"})
    assert "1 time<" in ran(page, "%codex approvals")
