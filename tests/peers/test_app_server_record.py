"""What is told of an action that the official app-server's agent wanted: whether it was done, and why not."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
from pathlib import Path

import pytest

from codex_magic import Decision, Sandbox, ServiceError, TurnStatus, tool
from codex_magic.display.view import TurnView
from codex_magic.protocol.types import CommandExecution, FileChange, ToolCall, Turn
from tests.known import some
from tests.peers.agent import done, escalated, program, sent, use

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer


FOLDERS: list[Path] = []
"""Where the scene of this test is, at the end."""


def act():
    (FOLDERS[-1] / "out.txt").write_text("acted")


ACTIONS = {
    CommandExecution: escalated("echo written > out.txt"),
    FileChange: use(
        "exec_command",
        cmd="apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: out.txt\n+x\n*** End Patch\nEOF",
    ),
    ToolCall: use("act"),
}


class Scene:
    """One action that needs a yes, in a thread that has it kept."""

    def __init__(self, codex, folder, kind, approvals):
        FOLDERS.append(folder)
        self.folder, self.kind = folder, kind
        self.thread = codex.thread_start(
            cwd=str(folder), approvals=approvals, tools=[tool(act, needs_approval=True)]
        )
        self.turn = self.thread.turn(ACTIONS[kind])

    @property
    def is_done(self):
        return (self.folder / "out.txt").exists()

    def status(self):
        """Of the action: the same in the result, in what is kept and in what was told."""
        result = self.turn.run()
        [item] = done(result, self.kind)
        [turn] = self.thread.read(include_turns=True).thread.turns
        assert [kept for kept in turn.items if isinstance(kept, self.kind)] == [item]
        view = TurnView()
        waited = False
        for notification in self.turn.stream():
            view.feed(notification)
            waited = waited or "**Wants to " in view.markdown()
            assert not waited or not re.search("[*>]Running[*<]", view.markdown())
        assert waited
        shown = TurnView.of(turn, self.thread.id)
        line = refusals(view)[0]
        assert refusals(shown)[0] == line
        return item.status, line


def refusals(view):
    """The lines on screen of what was not done, as text."""
    lines = (re.sub(r"<[^>]*>|\*\*", "", line) for line in view.markdown().splitlines())
    return [line for line in lines if line.startswith("Not ")]


def generator(request):
    yield Decision.accept


async def asynchronous_generator(request):
    yield Decision.accept


def raises(error):
    def approvals(request):
        raise error

    return approvals


def raises_later(error):
    async def approvals(request):
        await asyncio.sleep(0)
        raise error

    return approvals


async def cancels_itself(request):
    some(asyncio.current_task()).cancel()
    await asyncio.sleep(0)
    return Decision.accept


async def awaits_what_was_cancelled(request):
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def closes_the_loop(request):
    asyncio.get_running_loop().close()


class LikeAll:
    """Equal to every word."""

    __hash__ = None  # type: ignore[assignment]  # as every class with `__eq__` alone has it

    def __eq__(self, other):
        return True


NO_ANSWERS = {
    "cancelled": raises(asyncio.CancelledError()),
    "cancelled later": raises_later(asyncio.CancelledError()),
    "cancels itself": cancels_itself,
    "awaits what was cancelled": awaits_what_was_cancelled,
    "interrupted": raises_later(KeyboardInterrupt()),
    "exits": raises(SystemExit()),
    "exits later": raises_later(SystemExit()),
    "stops iteration": raises(StopIteration()),
    "ends a generator": raises_later(GeneratorExit()),
    "any other": raises(BaseException("odd")),
    "a generator": generator,
    "an asynchronous generator": asynchronous_generator,
    "closes the loop": closes_the_loop,
    "equal to all": lambda request: LikeAll(),
    "a list": lambda request: [Decision.accept],
    "an amendment of nothing": lambda request: Decision,
}


@pytest.mark.parametrize("approvals", NO_ANSWERS.values(), ids=list(NO_ANSWERS))
def test_a_callable_that_gives_no_answer_is_a_no_and_the_turn_goes_on(codex, tmp_path, approvals):
    scene = Scene(codex, tmp_path, CommandExecution, approvals)
    assert scene.status() == ("unanswered", "Not run: nobody to ask `echo written > out.txt`")
    assert scene.turn.run().status is TurnStatus.completed
    assert not scene.is_done


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize(
    ("answer", "status"),
    [(Decision.decline, "declined"), (Decision.cancel, "declined"), (None, "unanswered")],
)
def test_what_got_no_yes_was_not_done(codex, tmp_path, kind, answer, status):
    scene = Scene(codex, tmp_path, kind, lambda request: answer)
    told, line = scene.status()
    assert told == status
    why = "nobody to ask" if status == "unanswered" else status
    assert re.match(rf"Not (run|added|called): {why}\b", line)
    assert not scene.is_done


@pytest.mark.parametrize("kind", ACTIONS)
def test_what_waited_for_an_answer_when_its_turn_was_stopped_was_not_done(codex, tmp_path, kind):
    asked, over = threading.Event(), threading.Event()

    def approvals(request):
        asked.set()
        over.wait(30)
        return Decision.accept

    scene = Scene(codex, tmp_path, kind, approvals)
    assert asked.wait(30)
    scene.turn.interrupt()
    over.set()
    assert scene.status()[0] == "stopped"
    assert scene.turn.run().status is TurnStatus.interrupted
    assert not scene.is_done


def test_a_program_that_dies_while_it_waits_for_an_answer_has_done_nothing(codex, tmp_path):
    over = threading.Event()

    def approvals(request):
        os.kill(program(), signal.SIGKILL)
        over.wait(30)

    scene = Scene(codex, tmp_path, CommandExecution, approvals)
    with pytest.raises(ServiceError) as failed:
        scene.turn.run()
    over.set()
    [command] = done(failed.value.result, CommandExecution)
    assert command.status == "expired"
    assert not scene.is_done


def test_what_ran_when_its_turn_was_stopped_is_told_so(codex, tmp_path):
    thread = codex.thread_start(cwd=str(tmp_path), approvals=lambda request: Decision.accept)
    arguments = {"sandbox_permissions": "require_escalated", "justification": "I must"}
    turn = thread.turn(
        use("exec_command", cmd="mkfifo f; echo x > f; sleep 600", yield_time_ms=600_000, **arguments)
    )
    while not (tmp_path / "f").exists():
        threading.Event().wait(0.02)
    assert (tmp_path / "f").read_text() == "x\n"  # it runs
    turn.interrupt()
    [command] = done(turn.run(), CommandExecution)
    assert (command.status, command.exit_code) == ("interrupted", None)


def test_a_change_that_failed_half_way_is_called_neither_done_nor_not_done(codex, tmp_path):
    (tmp_path / "file").write_text("no folder")
    patch = "*** Begin Patch\n*** Add File: one.txt\n+one\n*** Add File: file/two.txt\n+two\n*** End Patch\n"
    thread = codex.thread_start(cwd=str(tmp_path), sandbox=Sandbox.full_access)
    result = thread.run(use("exec_command", cmd=f"apply_patch <<'EOF'\n{patch}EOF"))
    [change] = done(result, FileChange)
    assert (change.status, (tmp_path / "one.txt").exists()) == ("failed", True)
    shown = TurnView.of(Turn("u", result.status, (change,)), "t").markdown()
    assert "<b>Failed to add</b> " in shown
    assert "some of it may be done" in shown


def test_the_next_engine_is_told_what_was_not_done(codex, service, tmp_path):
    scene = Scene(codex, tmp_path, CommandExecution, lambda request: None)
    scene.turn.run()
    scene.thread.run("echo: on", engine="backend")
    assert "A command was not run (unanswered)" in str(sent(service)["input"])
