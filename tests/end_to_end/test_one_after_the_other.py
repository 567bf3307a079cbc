"""Turns of one thread that come while another one runs, and what is said to the one that runs."""

from __future__ import annotations

import pytest

from tests.end_to_end.held import hold
from tests.end_to_end.kernel import OURS, Kernel, markdown, state
from tests.end_to_end.widgets import FrontEnd
from tests.service import LocalService

FIRST = "%%codex --background\necho: The first words, and the last ones."


@pytest.fixture
def front_end(notebook: Kernel, service: LocalService) -> FrontEnd:
    """A turn runs in the background, held in the middle of its answer."""
    hold(service, after=5)
    front_end = FrontEnd(notebook)
    front_end.idle(front_end.run(FIRST))
    front_end.until(lambda: "The first words" in markdown(front_end.outputs))
    return front_end


ONE_PARENT_FOR_ALL = """
from ipykernel.zmqshell import ZMQDisplayPublisher, extract_header

class Publisher(ZMQDisplayPublisher):
    parent_header = None

    def set_parent(self, parent):
        self.parent_header = extract_header(parent)

get_ipython().display_pub.__class__ = Publisher
"""
"""The publisher of ipykernel before 7.0, which sends what any thread shows to the newest cell."""


@pytest.mark.parametrize("kernel_version", ["this one", "before 7.0"])
def test_what_a_turn_in_the_background_shows_goes_to_its_cell(
    notebook: Kernel, service: LocalService, kernel_version: str
) -> None:
    hold(service, after=5)
    front_end = FrontEnd(notebook)
    if kernel_version == "before 7.0":
        front_end.idle(front_end.run(ONE_PARENT_FOR_ALL))
    cell = front_end.run(FIRST)
    front_end.idle(cell)
    front_end.until(lambda: "The first words" in markdown(front_end.outputs))
    front_end.idle(front_end.run("another = 'cell'"))
    service.release()
    front_end.until(lambda: state(front_end.outputs) == "done")
    shown = [message for message in front_end.messages if OURS in message["content"].get("data", {})]
    assert {message["parent_header"]["msg_id"] for message in shown} == {cell}


def asked(service: LocalService) -> int:
    return sum(request.path.endswith("/responses") for request in service.requests)


def states(front_end: FrontEnd) -> list[str]:
    return [output["data"][OURS]["state"] for output in front_end.outputs if OURS in output.get("data", {})]


def test_a_turn_in_the_background_says_so_until_it_ends(front_end: FrontEnd, service: LocalService) -> None:
    told = "Running in the background. `%codex steer TEXT` adds to it, `%codex stop` stops it."
    assert told in markdown(front_end.outputs)
    service.release()
    front_end.until(lambda: state(front_end.outputs) == "done")
    [answer] = front_end.outputs
    assert "The first words, and the last ones." in answer["data"]["text/markdown"]
    assert answer["data"]["text/markdown"].count("in the background ·") == 1
    assert "Running" not in str(answer)


def test_a_cell_that_waits_for_another_says_for_which(front_end: FrontEnd, service: LocalService) -> None:
    cell = front_end.run("%%codex\necho: The second answer.")
    front_end.until(lambda: "Queued: waits for the answer of cell &#91;2&#93;" in markdown(front_end.outputs))
    assert asked(service) == 1
    service.release()
    front_end.idle(cell)
    front_end.until(lambda: states(front_end) == ["done", "done"])
    assert "The second answer." in markdown(front_end.outputs)
    assert "Queued" not in markdown(front_end.outputs)


def test_what_is_stopped_while_it_waits_was_never_asked(front_end: FrontEnd, service: LocalService) -> None:
    cell = front_end.run("%%codex\necho: The second answer.")
    front_end.until(lambda: "Queued" in markdown(front_end.outputs))
    front_end.kernel.interrupt()
    front_end.idle(cell)
    assert "Not sent: stopped while it waited" in markdown(front_end.outputs)
    assert "continue" not in markdown(front_end.outputs)
    service.release()
    front_end.until(lambda: states(front_end) == ["done", "interrupted"])
    front_end.idle(front_end.run("%codex history"))
    assert "The second answer." not in markdown(front_end.outputs)
    assert asked(service) == 1


def test_a_turn_in_another_thread_waits_for_nobody(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%%codex --new\necho: The second answer."))
    assert states(front_end) == ["streaming", "done"]
    service.release()


def test_what_the_user_adds_goes_to_the_turn_that_runs(front_end: FrontEnd, service: LocalService) -> None:
    """And not to one that waits for its end."""
    front_end.idle(front_end.run("%%codex --background\necho: The second answer."))
    front_end.until(lambda: "Queued" in markdown(front_end.outputs))
    steer = front_end.run("%codex steer echo: Tea only.")
    front_end.idle(steer)
    service.release()
    front_end.until(lambda: states(front_end) == ["done", "done"])
    first, *others = [output for output in front_end.outputs if OURS in output.get("data", {})]
    assert "Tea only." in str(first)
    assert "Tea only." not in str(others)


def test_what_the_user_adds_stands_where_it_was_said(front_end: FrontEnd, service: LocalService) -> None:
    front_end.idle(front_end.run("%codex steer echo: Please talk about *tea* only."))
    service.release()
    front_end.until(lambda: "done" in states(front_end))
    whole = markdown(front_end.outputs)
    added = r"> You: echo: Please talk about \*tea\* only."
    assert whole.index("The first words") < whole.index(added) < whole.rindex("Please talk about *tea* only.")
    before = len(front_end.outputs)
    front_end.idle(front_end.run("%codex show"))
    assert added in markdown(front_end.outputs[before:])


def test_a_turn_that_runs_is_shown_as_one_that_runs(front_end: FrontEnd, service: LocalService) -> None:
    before = len(front_end.outputs)
    front_end.idle(front_end.run("%codex show"))
    shown = markdown(front_end.outputs[before:])
    assert "Interrupted" not in shown
    assert "show the answer with `%codex show`" in shown
    service.release()
