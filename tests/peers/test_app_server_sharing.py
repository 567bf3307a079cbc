"""Sessions that share one app-server: each its own turns and questions, and nothing is left after the last."""

from __future__ import annotations

import os
import select
import signal
import socket as socketlib
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from codex_magic import (
    Codex,
    CodexConfig,
    Decision,
    LocalImageInput,
    NotSignedInError,
    ServiceError,
    TextInput,
    TurnStatus,
    tool,
)
from codex_magic.protocol.types import CommandExecution, ToolCall, Warned
from tests.peers.agent import (
    PNG,
    as_plan,
    as_provider,
    asked_with,
    done,
    escalated,
    first_words,
    held,
    needs_zstd,
    process_of,
    said,
    sent,
    use,
)
from tests.service import start

codex_cli_bin = pytest.importorskip("codex_cli_bin")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Unix sockets to share by"),
]

needs_pidfd = pytest.mark.skipif(
    not hasattr(os, "pidfd_open"), reason="needs Linux to wait for somebody else's child"
)


@pytest.fixture
def runtime(monkeypatch):
    """Where sessions find each other: a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder) / f"codex-magic-{os.getuid()}"


@pytest.fixture
def service(home, monkeypatch, runtime):
    with as_provider(home, monkeypatch) as service:
        yield service


@pytest.fixture
def config(service):
    return CodexConfig(engine="app-server", provider=service.api_url, model="gpt-5.5")


@pytest.fixture
def first(config):
    with Codex(config) as codex:
        yield codex


@pytest.fixture
def second(config):
    with Codex(config) as codex:
        yield codex


@contextmanager
def elsewhere(service, script):
    """A session in a process of its own, which runs `script` with `codex` and prints."""
    begin = f"""
import os, sys
from codex_magic import *
codex = Codex(CodexConfig(engine="app-server", provider={service.api_url!r}, model="gpt-5.5"))
def process(): return codex.asynchronous.engines.agents[0].server.pid
"""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", begin + script], stdin=pipe, stdout=pipe, text=True
    ) as session:
        try:
            yield session
        finally:
            session.kill()


def heard(session):
    return session.stdout.readline().split()


@contextmanager
def watched(pid):
    """A function that waits for the end of a process, at most 10 s, and says whether it came."""
    descriptor = os.pidfd_open(int(pid))
    try:
        yield lambda: bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


def copied(told):
    return any(isinstance(each, Warned) and "another process" in each.message for each in told)


def test_a_thread_goes_on_in_another_session_and_back(first, second, service):
    thread = first.thread_start()
    thread.run("echo: in the first")
    told = list(second.thread_resume(thread.id).turn("echo: in the second").stream())
    thread.run("echo: back in the first")
    assert process_of(first) == process_of(second)
    assert not copied(told)
    assert [text for role, text in said(sent(service)) if role == "assistant"] == [
        "in the first",
        "in the second",
    ]


def test_sessions_that_start_at_once_get_one_process(config):
    sessions = [Codex(config) for _ in range(4)]
    turns = [threading.Thread(target=lambda s=s: s.thread_start().run("echo: x")) for s in sessions]
    for turn in turns:
        turn.start()
    for turn in turns:
        turn.join()
    assert len({process_of(session) for session in sessions}) == 1
    for session in sessions:
        session.close()


def test_the_session_whose_turn_it_is_answers(first, second, tmp_path):
    yes, no = asked_with(Decision.accept), asked_with(Decision.decline)
    thread = first.thread_start(cwd=str(tmp_path), approvals=yes)
    thread.run("echo: first")
    theirs = second.thread_resume(thread.id, approvals=no)
    theirs.run("echo: second")
    [command] = done(thread.run(escalated("touch out.txt")), CommandExecution)
    assert (command.status, len(yes.requests), len(no.requests)) == ("completed", 1, 0)
    [command] = done(theirs.run(escalated("touch other.txt")), CommandExecution)
    assert (command.status, len(yes.requests), len(no.requests)) == ("declined", 1, 1)


def test_who_joins_while_somebody_thinks_answers_nothing(first, second, tmp_path):
    thinking, answer = threading.Event(), threading.Event()

    def think(request):
        thinking.set()
        answer.wait(10)
        return Decision.accept

    no = asked_with(Decision.decline)
    thread = first.thread_start(cwd=str(tmp_path), approvals=think)
    thread.run("echo: x")
    handle = thread.turn(escalated("touch out.txt"))
    assert thinking.wait(10)
    joined = second.thread_resume(thread.id, approvals=no).turn("echo: after")
    told = joined.stream()
    next(each for each in told if isinstance(each, Warned))
    answer.set()
    [command] = done(handle.run(), CommandExecution)
    list(told)
    assert (command.status, joined.run().final_response, no.requests) == ("completed", "after", [])


def test_a_tool_runs_in_the_session_whose_turn_it_is(first, second):
    ran = []

    def named(name):
        @tool
        def mark() -> str:
            """Leave a mark."""
            ran.append(name)
            return name

        return mark

    thread = first.thread_start(tools=(named("first"),))
    thread.run("echo: first")
    theirs = second.thread_resume(thread.id, tools=(named("second"),))
    theirs.run("echo: second")
    [call] = done(thread.run(use("mark")), ToolCall)
    assert (call.content_items[0]["text"], ran) == ("first", ["first"])


def test_turns_of_two_sessions_in_one_thread_come_one_after_the_other(first, second, service):
    thread = first.thread_start()
    thread.run("echo: zero")
    service.faults.next("hold", after=2)
    one = thread.turn("echo: one and more")
    service.wait_for_hold()
    other = second.thread_resume(thread.id).turn("echo: two")
    told = other.stream()
    warned = next(each for each in told if isinstance(each, Warned))
    assert "comes after" in warned.message
    service.release()
    list(told)
    assert (one.run().final_response, other.run().final_response) == ("one and more", "two")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["zero", "one and more"]


def test_a_turn_that_waits_for_another_session_can_be_stopped(first, second, service):
    thread = first.thread_start()
    thread.run("echo: zero")
    service.faults.next("hold", after=2)
    one = thread.turn("echo: one and more")
    service.wait_for_hold()
    other = second.thread_resume(thread.id).turn("echo: two")
    told = other.stream()
    next(each for each in told if isinstance(each, Warned))
    other.interrupt()
    assert other.run().status is TurnStatus.interrupted
    service.release()
    assert one.run().final_response == "one and more"


def test_who_closes_or_interrupts_stops_nobody_else(config, second, service):
    with Codex(config) as first:
        service.faults.next("hold", after=2, times=2)
        ours = first.thread_start().turn("echo: ours and more")
        theirs = second.thread_start().turn("echo: theirs and more")
        service.wait_for_hold(count=2)
        ours.interrupt()
    service.release()
    assert theirs.run().final_response == "theirs and more"


HELD = """
thread = codex.thread_start()
handle = thread.turn("repeat 2000", summary="none")
for told in handle.stream():
    if type(told).__name__ == "AgentMessageDelta":
        break_at = print(process(), thread.id, flush=True) or sys.stdin.readline()
"""


def test_the_turn_of_a_killed_session_stops_and_its_thread_goes_on(first, service):
    first.thread_start().run("echo: here")
    service.faults.next("hold", after=2)
    with elsewhere(service, HELD) as session:
        pid, thread_id = heard(session)
        session.kill()
        service.wait_for_disconnect()
    assert first.thread_resume(thread_id).run("echo: on").final_response == "on"
    assert process_of(first) == int(pid)


ASKING = """
def think(request):
    print(process(), request.thread_id, flush=True)
    sys.stdin.readline()
codex.thread_start(cwd={cwd!r}, approvals=think).run({prompt!r})
"""


def test_a_question_whose_session_was_killed_is_answered_no(first, service, tmp_path):
    first.thread_start().run("echo: here")
    script = ASKING.format(cwd=str(tmp_path), prompt=escalated("touch out.txt"))
    with elsewhere(service, script) as session:
        pid, thread_id = heard(session)
        session.kill()
    yes = asked_with(Decision.accept)
    assert first.thread_resume(thread_id, approvals=yes).run("echo: on").final_response == "on"
    assert (yes.requests, process_of(first)) == ([], int(pid))
    assert not (tmp_path / "out.txt").exists()


def test_when_the_process_is_killed_every_turn_says_so_and_the_next_ones_share_again(first, second, service):
    thread, handle = held(first, service)
    other, theirs = held(second, service, count=2)
    words = first_words(handle), first_words(theirs)
    for each in words:
        next(each)
    before = process_of(first)
    os.kill(before, signal.SIGKILL)
    for each in (handle, theirs):
        with pytest.raises(ServiceError, match=r"ended \(exit code -9\)"):
            each.run()
    assert thread.run("echo: on").final_response == "on"
    assert other.run("echo: on too").final_response == "on too"
    assert before != process_of(first) == process_of(second)


QUICK = """
codex.thread_start().run("echo: x")
print(process(), flush=True)
sys.stdin.readline()
"""


@needs_pidfd
@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_the_process_ends_with_the_last_session_however_that_ends(service, runtime, end):
    with elsewhere(service, QUICK) as one, elsewhere(service, QUICK) as other:
        [pid], [same] = heard(one), heard(other)
        with watched(pid) as gone:
            one.kill()
            one.wait()
            with Codex(CodexConfig(engine="app-server", provider=service.api_url, model="gpt-5.5")) as third:
                third.thread_start().run("echo: x")
                assert process_of(third) == int(pid) == int(same)
            getattr(other, end)()
            assert gone()


def test_who_closes_last_leaves_nothing_behind(config, runtime):
    with Codex(config) as codex:
        codex.thread_start().run("echo: x")
        assert list(runtime.iterdir())
        pid = process_of(codex)
    assert list(runtime.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def keeper_of(pid):
    """The parent of the process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@needs_pidfd
def test_without_its_keeper_the_process_ends_and_the_next_turn_starts_anew(first):
    thread = first.thread_start()
    thread.run("echo: x")
    before = process_of(first)
    with watched(before) as gone:
        os.kill(keeper_of(before), signal.SIGKILL)
        assert gone()
    assert thread.run("echo: on").final_response == "on"
    assert process_of(first) != before


@needs_pidfd
def test_the_process_ends_when_all_around_it_are_killed_at_once(service, config):
    with elsewhere(service, QUICK) as session:
        [pid] = heard(session)
        with watched(pid) as gone:
            session.send_signal(signal.SIGSTOP)  # or it would end the process
            os.kill(keeper_of(pid), signal.SIGKILL)
            session.kill()
            assert gone()


@needs_pidfd
def test_files_that_killed_processes_left_are_in_nobodys_way(service, config, runtime):
    with elsewhere(service, QUICK) as session:
        [pid] = heard(session)
        keeper = keeper_of(pid)
        with watched(pid) as server_gone, watched(keeper) as keeper_gone:
            os.kill(keeper, signal.SIGSTOP)  # or it would tidy up
            os.kill(int(pid), signal.SIGKILL)
            os.kill(keeper, signal.SIGKILL)
            assert keeper_gone()
            assert server_gone()
    assert len(list(runtime.iterdir())) == 3
    with Codex(config) as codex:
        assert codex.thread_start().run("echo: on").final_response == "on"
        assert process_of(codex) != int(pid)
    assert list(runtime.iterdir()) == []


def test_a_process_that_outlived_its_keeper_is_ended_by_the_next(config, runtime):
    with Codex(config) as codex:
        codex.thread_start().run("echo: x")
        [lock] = runtime.glob("*.lock")
    socket = lock.with_suffix(".s")
    binary = str(codex_cli_bin.bundled_codex_path())
    command = [binary, "app-server", "--listen", f"unix://{socket}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as orphan:
        lock.write_text(str(orphan.pid))
        reach(socket, orphan)
        with Codex(config) as codex:
            assert codex.thread_start().run("echo: on").final_response == "on"
            assert process_of(codex) != orphan.pid
        assert orphan.wait() == -signal.SIGKILL


def reach(path, process):
    """Wait until the process listens there, which takes it a moment."""
    while process.poll() is None:
        with suppress(OSError), socketlib.socket(socketlib.AF_UNIX) as connection:
            connection.connect(str(path))
            return
        time.sleep(0.01)
    pytest.fail("it ended before it listened")


def test_the_folder_is_private_and_another_is_not_trusted(config, runtime):
    runtime.mkdir(mode=0o777)
    runtime.chmod(0o777)
    with Codex(config) as one, Codex(config) as other:
        for codex in (one, other):
            assert codex.thread_start().run("echo: x").final_response == "x"
        assert process_of(one) != process_of(other)
    assert list(runtime.iterdir()) == []
    runtime.rmdir()
    with Codex(config) as codex:
        codex.thread_start().run("echo: x")
        assert stat.S_IMODE(runtime.stat().st_mode) == 0o700


def test_a_path_too_long_for_a_socket_means_a_process_of_its_own(config, tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with Codex(config) as codex:
        assert codex.thread_start().run("echo: x").final_response == "x"


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:8", False),
        ("SOMETHING", "made up", False),
        ("SOME_KEY", "made up", True),
        ("JUPYTERHUB_API_TOKEN", "made up", True),
        ("JPY_SESSION_NAME", "other.ipynb", True),
    ],
)
def test_only_sessions_with_the_same_environment_share(config, first, monkeypatch, name, value, same):
    first.thread_start().run("echo: x")
    monkeypatch.setenv(name, value)
    with Codex(config) as other:
        other.thread_start().run("echo: x")
        assert (process_of(first) == process_of(other)) is same


def test_a_picture_is_found_from_where_its_session_stands(first, second, service, tmp_path, monkeypatch):
    first.thread_start().run("echo: x")
    (tmp_path / "dot.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    second.thread_start().run([TextInput("echo: seen"), LocalImageInput("dot.png")])
    parts = [part for item in sent(service)["input"] for part in item.get("content") or ()]
    assert any(part["type"] == "input_image" for part in parts)


def test_a_setting_keeps_processes_apart(config, first, monkeypatch):
    first.thread_start().run("echo: x")
    monkeypatch.setenv("CODEX_MAGIC_SHARED_AGENT", "0")
    with Codex(config) as other:
        other.thread_start().run("echo: x")
        assert process_of(first) != process_of(other)


@needs_zstd
def test_who_signs_in_gets_a_process_that_knows_and_others_keep_theirs(home, tmp_path, monkeypatch, runtime):
    with as_plan(home, tmp_path / "tls", monkeypatch) as plan, start(open_access=True) as other:
        without = CodexConfig(engine="app-server", provider=other.api_url, model="gpt-5.5")
        with Codex(without) as theirs, Codex(CodexConfig(engine="app-server", model="gpt-5.5")) as ours:
            thread = theirs.thread_start()
            thread.run("echo: before")
            before = process_of(theirs)
            early = ours.thread_start()
            with pytest.raises(NotSignedInError):
                early.run("echo: too early")
            plan.sign_in(home / ".codex")
            assert early.run("echo: now").final_response == "now"
            assert thread.run("echo: after").final_response == "after"
            assert process_of(theirs) == before != process_of(ours)
