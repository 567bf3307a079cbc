"""The program of a kernel: ended when idle, back with the next turn, gone with its kernel, copied beside another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import psutil
import pytest

from codex_magic import Codex, Decision, Sandbox, ServiceError, TurnStatus
from codex_magic.protocol.types import AgentMessageDelta, CommandExecution, Warned
from tests.known import some
from tests.peers.agent import (
    asked_with,
    done,
    escalated,
    first_words,
    held,
    program,
    programs,
    said,
    sent,
    use,
)

pytest.importorskip("codex_cli_bin")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(sys.platform == "win32", reason="a process there ends without signals"),
]

END_SECONDS = 30
"""At most, for the end of a process that is waited for."""


@pytest.fixture
def hasty(config, monkeypatch):
    """A session whose program ends after a fifth of a second without work."""
    monkeypatch.setenv("CODEX_MAGIC_AGENT_IDLE_MINUTES", "0.0033")
    with Codex(config) as codex:
        yield codex


def until_idle():
    """Wait for the end of the running program, of which nothing is left."""
    _, alive = psutil.wait_procs(programs(), timeout=END_SECONDS)
    assert (alive, programs()) == ([], [])


def outlast_an_idle_program(config):
    """Wait as long as a program without work stays: one beside it, begun later, has come and gone."""
    before = {each.pid for each in programs()}
    with Codex(config) as other:
        other.thread_start().run("echo: beside")
        beside = [each for each in programs() if each.pid not in before]
        assert psutil.wait_procs(beside, timeout=END_SECONDS)[1] == []


def copied(told):
    return any(isinstance(each, Warned) and "another process" in each.message for each in told)


def test_an_idle_program_ends_and_the_next_turn_goes_on_with_its_thread(hasty, service):
    thread = hasty.thread_start(name="mine")
    thread.run("echo: one")
    until_idle()
    told = list(thread.turn("echo: two").stream())
    assert not copied(told)
    assert [text for _, text in said(sent(service))] == ["echo: one", "one", "echo: two"]
    assert [each.name for each in hasty.thread_list(source_kinds=["vscode", "appServer"]).data] == ["mine"]


def test_settings_and_approvals_are_as_before_its_end(hasty, service, folder):
    approvals = asked_with(Decision.accept)
    thread = hasty.thread_start(cwd=str(folder), sandbox=Sandbox.read_only, approvals=approvals)
    thread.run("echo: one", model="gpt-5.6-sol", effort="high")
    until_idle()
    [command] = done(thread.run(use("exec_command", cmd="touch no.txt; pwd")), CommandExecution)
    assert str(folder) in command.aggregated_output.splitlines()
    assert (sent(service)["model"], sent(service)["reasoning"]["effort"]) == ("gpt-5.6-sol", "high")
    until_idle()
    [command] = done(thread.run(escalated("touch yes.txt")), CommandExecution)
    assert (command.status, len(approvals.requests)) == ("completed", 1)
    assert [path.name for path in folder.iterdir() if path.suffix == ".txt"] == ["yes.txt"]


def test_no_turn_and_no_question_is_ended(hasty, config, service, folder):
    thinking, answer = threading.Event(), threading.Event()

    def think(request):
        thinking.set()
        answer.wait(END_SECONDS)
        return Decision.accept

    _, handle = held(hasty, service)
    asking = hasty.thread_start(cwd=str(folder), approvals=think).turn(escalated("touch out.txt"))
    assert thinking.wait(END_SECONDS)
    outlast_an_idle_program(config)
    answer.set()
    assert [each.status for each in done(asking.run(), CommandExecution)] == ["completed"]
    outlast_an_idle_program(config)
    handle.steer("echo: steered")
    assert handle.run().final_response == "steered"
    until_idle()


def test_no_command_that_goes_on_after_its_turn_is_ended(hasty, config, folder):
    os.mkfifo(folder / "wait")
    thread = hasty.thread_start(cwd=str(folder), sandbox=Sandbox.workspace_write)
    thread.run(use("exec_command", cmd="cat wait > out", yield_time_ms=250))
    outlast_an_idle_program(config)
    with open(folder / "wait", "w") as pipe:
        pipe.write("to its end")
    until_idle()
    assert (folder / "out").read_text() == "to its end"


def test_what_is_asked_after_its_end_is_answered(hasty):
    thread = hasty.thread_start()
    first, second = (thread.run(f"echo: {text}") for text in ("one", "two"))
    until_idle()
    handle = thread.turn("echo: three")
    handle.run()
    until_idle()
    handle.interrupt()
    thread.set_name("renamed")
    thread.revert(second.id)
    assert programs() == []
    assert hasty.metadata.server_info.name == "codex_magic"
    assert len(thread.read(include_turns=True).thread.turns) == 1
    assert "gpt-5.5" in [model.slug for model in hasty.models()]
    until_idle()
    assert thread.compact().status is TurnStatus.completed
    assert [turn.id for turn in thread.history()][:1] == [first.id]


def test_an_ephemeral_thread_outlives_the_end(hasty, service):
    thread = hasty.thread_start(ephemeral=True)
    thread.run("echo: one")
    until_idle()
    thread.run("echo: two")
    assert ("assistant", "one") in said(sent(service))


# Two kernels, and their ends ----------------------------------------------------------------------


KERNEL = """
import sys
from codex_magic import *
codex = Codex(CodexConfig(engine="app-server", provider={url!r}, model="gpt-5.5"))
"""

ONE_TURN = """
thread = codex.thread_start()
thread.run("echo: in the first")
print(thread.id, flush=True)
sys.stdin.readline()
"""

HELD_TURN = """
thread = codex.thread_start()
thread.run("echo: in the first")
for told in thread.turn("fault: hold after=2\\necho: never ends", summary="none").stream():
    if type(told).__name__ == "AgentMessageDelta":
        print(thread.id, flush=True) or sys.stdin.readline()
"""

FORKED = """
import os
child = os.fork() if not codex.thread_start().run("echo: up") is None else None
if child == 0:
    sys.stdin.readline()
    os._exit(0)
print(child, flush=True)
sys.stdin.readline()
"""


@contextmanager
def kernel(service, script):
    """A process of its own that runs `script` with a `codex`; gives it and the word that it prints."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", KERNEL.format(url=service.api_url) + script]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as session:
        try:
            yield session, some(session.stdout).readline().strip()
        finally:
            session.kill()


def test_a_thread_that_another_kernel_has_open_goes_on_as_a_copy_and_as_itself_when_that_is_gone(
    codex, service
):
    with kernel(service, ONE_TURN) as (first, thread_id):
        thread = codex.thread_resume(thread_id)
        told = list(thread.turn("echo: in the second").stream())
        assert copied(told)
        assert ("assistant", "in the first") in said(sent(service))
        [theirs] = programs(first.pid)
        first.kill()
        assert psutil.wait_procs([theirs], timeout=END_SECONDS)[1] == []
    assert not copied(list(thread.turn("echo: on").stream()))
    assert [text for role, text in said(sent(service)) if role == "assistant"] == [
        "in the first",
        "in the second",
    ]


@pytest.mark.parametrize("script", [ONE_TURN, HELD_TURN])
def test_a_killed_kernel_leaves_no_program_and_its_thread_goes_on_in_another(codex, service, script):
    with kernel(service, script) as (session, thread_id):
        [theirs] = programs(session.pid)
        session.kill()
        assert psutil.wait_procs([theirs], timeout=END_SECONDS)[1] == []
    told = list(codex.thread_resume(thread_id).turn("echo: on").stream())
    assert not copied(told)
    assert ("assistant", "in the first") in said(sent(service))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks on Windows")
def test_a_forked_child_keeps_no_program_alive(service):
    with kernel(service, FORKED) as (session, child):
        [theirs] = programs(session.pid)
        session.kill()
        try:
            assert psutil.wait_procs([theirs], timeout=END_SECONDS)[1] == []
            assert psutil.pid_exists(int(child))
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_a_killed_program_fails_its_turn_and_the_next_one_goes_on_with_the_thread(codex, service):
    thread = codex.thread_start()
    thread.run("echo: kept")
    service.faults.next("hold", after=2)
    handle = thread.turn("repeat 2000", summary="none")
    words = first_words(handle)
    next(words)
    os.kill(program(), signal.SIGKILL)
    with pytest.raises(ServiceError, match="exit code -9"):
        handle.run()
    told = list(thread.turn("echo: on").stream())
    assert not copied(told)
    assert "".join(each.delta for each in told if isinstance(each, AgentMessageDelta)) == "on"
    assert ("assistant", "kept") in said(sent(service))


def test_two_sessions_have_a_program_each(config):
    with Codex(config) as one, Codex(config) as other:
        for codex in (one, other):
            assert codex.thread_start().run("echo: x").final_response == "x"
        assert len(programs()) == 2
    assert programs() == []


def test_minutes_that_are_none_are_ten(monkeypatch):
    from codex_magic import Settings

    for text, seconds in (("0.5", 30), ("0", 0), ("-1", 600), ("soon", 600), ("nan", 600), ("", 600)):
        monkeypatch.setenv("CODEX_MAGIC_AGENT_IDLE_MINUTES", text)
        assert Settings.from_env().agent_idle_seconds == seconds
