"""The model proposes to restart, to run several cells or to interrupt: a page does it, and the turn goes on."""

from __future__ import annotations

from typing import Any

import pytest

from codex_magic import Codex
from codex_magic.protocol.types import ToolCall, TurnStatus
from tests.end_to_end.extended import ExtendedFrontEnd, Reply
from tests.end_to_end.kernel import OURS, Kernel, markdown
from tests.end_to_end.widgets import FrontEnd
from tests.peers.agent import use
from tests.service import LocalService

ASKING = "asking"
LOAD = "%load_ext codex_magic\n%codex reads yes"
CELLS = {
    "load": LOAD,
    "one": "x = 1",
    "earlier": "%%codex\nWhat is x?",
    "two": "y = x + 1",
    "fails": "1 / 0",
    "last": "z = 3",
}


class Restarting(ExtendedFrontEnd):
    """A page that does what `labextension/src/restart.ts` does."""

    def __init__(self, kernel: Kernel, cells: dict[str, str]) -> None:
        super().__init__(kernel, {**cells, ASKING: "%%codex"})
        self.held: dict[str, Reply] = {}
        self.is_over = False
        self.goes_on = True

    def _change(self, work: Reply) -> tuple[str, str]:
        if work["kind"] == "interrupt":
            self.kernel.interrupt()
            return "done", ""
        if work["kind"] == "restart":
            is_as_it_was = all(self.cells.get(step["cell"]) == step["source"] for step in work["steps"])
            return ("done" if is_as_it_was else "conflict"), ""
        return super()._change(work)

    def _do(self, errand: str, once: str = "this page") -> None:
        super()._do(errand, once)
        if self.done and self.done[-1]["kind"] == "restart":
            self.held[errand] = self.done[-1]

    def _receive(self, message: dict[str, Any]) -> None:
        super()._receive(message)
        if message["msg_type"] == "codex_delta" and (go := message["content"].get("go")):
            self._restart(self.held.pop(go))

    def _restart(self, work: Reply) -> None:
        self.kernel.restart()
        self.messages.clear()
        ran = [{"name": step["name"], "outcome": "none", "text": ""} for step in work["steps"]]
        for step, told in zip(work["steps"], ran, strict=True):
            request = FrontEnd.run(self, step["source"], step["cell"])
            self.idle(request)
            errors = [each["content"] for each in self.messages if each["msg_type"] == "error"]
            told["outcome"] = "failed" if errors else "ran"
            if errors:
                told["text"] = f"{errors[0]['ename']}: {errors[0]['evalue']}"
                break
        self.kernel.execute("%load_ext codex_magic")
        if self.goes_on:
            about = {"executor": "browser", "selection": "", "restarted": ran, **self.notebook()}
            assert self.tell("run", cell=work["cell"], **about)["ok"]
            self.idle(FrontEnd.run(self, work["code"], work["cell"]))
        self.is_over = True


@pytest.fixture
def page(notebook: Kernel) -> Restarting:
    page = Restarting(notebook, CELLS)
    notebook.execute("%codex reads yes")
    return page


def card_of(page: Restarting, *orders: str, options: str = "") -> tuple[str, Reply]:
    request = page.run("\n".join([f"%%codex {options}".strip(), *orders]), ASKING)
    return request, page.card(page.attach())


def restarted(page: Restarting, card: Reply, label: str = "Restart and run") -> str:
    """What the page shows that the kernel of after the restart has said."""
    assert page.choose(card, label)["ok"]
    page.until(lambda: page.is_over, timeout=60)
    return markdown(page.outputs)


def asked(service: LocalService) -> str:
    """All that the last request told."""
    return str(service.requests[-1].json["input"])


def test_the_card_says_what_happens_and_a_no_does_nothing(page: Restarting, notebook: Kernel) -> None:
    request, card = card_of(page, use("restart_kernel", run_up_to="3"))
    assert card["title"] == "Restart the kernel and run 4 cells? All variables are lost."
    assert [(each["title"], each["text"]) for each in card["passages"]] == [
        ("set-up of Codex", LOAD),
        ("cell 1", "x = 1"),
        ("cell 2", "y = x + 1"),
        ("cell 3", "1 / 0"),
    ]
    assert ["Skipped", "1 cell that asks Codex"] in card["facts"]
    page.choose(card, "Reject")
    page.idle(request)
    assert "Not restarted: declined" in markdown(page.outputs)
    assert page.done == []


def test_the_turn_goes_on_after_the_restart(
    page: Restarting, notebook: Kernel, service: LocalService
) -> None:
    notebook.execute("lost = 1")
    _, card = card_of(page, use("restart_kernel", run_up_to="2"), options="--effort low")
    shown = restarted(page, card)
    assert "The kernel was restarted · 3 cells ran" in shown
    assert notebook.value("(x, y, 'lost' in globals())") == "(1, 2, False)"
    told = asked(service)
    assert "set-up of Codex: ran\\ncell 1: ran\\ncell 2: ran" in told
    assert "use the tool restart_kernel" in told  # the question before
    assert service.requests[-1].json["reasoning"]["effort"] == "low"
    facts = [output["data"][OURS] for output in page.outputs if OURS in output.get("data", {})]
    assert [each["state"] for each in facts] == ["done"]
    with Codex() as codex:
        [thread] = codex.thread_list().data
        first, then = codex.thread_resume(thread.id).history()
    assert (first.status, then.status) == (TurnStatus.interrupted, TurnStatus.completed)
    [call] = [each.item for each in first.items if isinstance(each.item, ToolCall)]
    assert (call.status, call.approval, call.success) == ("interrupted", "accept", False)


def test_a_cell_that_fails_is_told_and_those_below_do_not_run(
    page: Restarting, notebook: Kernel, service: LocalService
) -> None:
    _, card = card_of(page, use("restart_kernel", run_up_to="4"))
    shown = restarted(page, card)
    assert "3 cells ran · cell 3 failed · 1 did not run" in shown
    assert "cell 3: failed: ZeroDivisionError: division by zero\\ncell 4: not run" in asked(service)
    assert notebook.value("'z' in globals()") == "False"


def test_a_restart_alone_runs_nothing(page: Restarting, notebook: Kernel) -> None:
    notebook.execute("lost = 1")
    _, card = card_of(page, use("restart_kernel"))
    assert card["title"] == "Restart the kernel? All variables are lost."
    assert "The kernel was restarted" in restarted(page, card, "Restart")
    assert notebook.value("'lost' in globals()") == "False"


def test_a_page_that_leaves_in_between_leaves_an_interrupted_answer(page: Restarting) -> None:
    page.goes_on = False
    _, card = card_of(page, use("restart_kernel"))
    restarted(page, card, "Restart")
    with Codex() as codex:
        [thread] = codex.thread_list().data
        [turn] = codex.thread_resume(thread.id).history()
    assert turn.status is TurnStatus.interrupted
    shown = page.kernel.execute("%codex show")
    assert "Ended to restart" in markdown(shown)
    assert "Continue with `%codex continue`" in markdown(shown)


def test_a_cell_that_was_changed_while_the_card_waits_keeps_the_kernel(
    page: Restarting, notebook: Kernel
) -> None:
    notebook.execute("kept = 1")
    request, card = card_of(page, use("restart_kernel", run_up_to="1"))
    page.cells["one"] = "x = 100"
    page.choose(card, "Restart and run")
    page.idle(request)
    assert "holds another text by now" in markdown(page.outputs)
    assert notebook.value("kept") == "1"


def test_the_question_can_be_asked_again_after_all(page: Restarting, service: LocalService) -> None:
    """Its turn is replaced; what continued it does not count without its answer in the notebook."""
    _, card = card_of(page, use("restart_kernel"))
    restarted(page, card, "Restart")
    page.idle(page.run("%%codex\necho: again", ASKING))
    assert "restart_kernel" not in asked(service)


def test_all_below_run_up_to_the_first_that_fails(page: Restarting, notebook: Kernel) -> None:
    request, card = card_of(page, use("run_cell", cell="1-"))
    assert card["title"] == "Run 4 cells, one after the other?"
    page.choose(card, "Run")
    page.idle(request)
    assert notebook.value("(x, y, 'z' in globals())") == "(1, 2, False)"
    shown = markdown(page.outputs)
    assert "cell 3 failed" in shown
    assert "Not run: cell 4" in shown


def test_a_running_cell_is_interrupted_by_a_background_turn(page: Restarting, notebook: Kernel) -> None:
    page.idle(page.run("%%codex -b\n" + use("interrupt_kernel"), ASKING))
    id = page.attach()
    loop = page.run("import threading\nwaiting = threading.Event()\nwaiting.wait(600)", "loop")
    card = page.card(id)
    assert card["title"] == "Interrupt the cell that runs now?"
    assert card["passages"][0]["text"].endswith("waiting.wait(600)")
    page.choose(card, "Interrupt")
    page.idle(loop)
    page.until(lambda: "It has ended." in markdown(page.outputs))
    assert "KeyboardInterrupt" in str(page.outputs)


def test_without_a_page_nothing_happens_and_the_user_hears_what_to_do(notebook: Kernel) -> None:
    notebook.execute("%codex reads yes")
    notebook.execute("kept = 1")
    shown = markdown(notebook.execute("%%codex\n" + use("restart_kernel"), cell_id=ASKING))
    assert "It was not restarted; restart it yourself and continue with `%codex continue`" in shown
    assert notebook.value("kept") == "1"


def test_a_setting_that_lets_nothing_run_lets_nothing_restart(page: Restarting, notebook: Kernel) -> None:
    notebook.execute("%codex runs no")
    request = page.run("%%codex\n" + use("restart_kernel"), ASKING)
    page.attach()
    page.idle(request)
    assert "the user's settings let you run no code" in markdown(page.outputs)
