"""Threads and turns of the official app-server, with the local service as its model."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from codex_magic import (
    ApprovalMode,
    AsyncCodex,
    Codex,
    CodexConfig,
    Decision,
    InvalidRequestError,
    LocalImageInput,
    NotSignedInError,
    Sandbox,
    ServiceError,
    TextInput,
    TurnStatus,
    UsageLimitError,
    tool,
)
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    FileChange,
    ItemCompleted,
    ItemStarted,
    RateLimitsUpdated,
    Reasoning,
    ToolCall,
    TurnCompleted,
    TurnStarted,
    UserMessage,
    Warned,
)
from tests.known import some, the
from tests.peers.agent import (
    PATCH,
    PNG,
    as_plan,
    asked_with,
    done,
    escalated,
    first_words,
    held,
    needs_zstd,
    program,
    said,
    sent,
    use,
)

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer


def test_a_turn_answers_and_the_next_one_knows_of_it(codex, service):
    thread = codex.thread_start()
    result = thread.run("echo: Hello {name}!")
    assert (result.status, result.final_response) == (TurnStatus.completed, "Hello {name}!")
    assert result.usage.total == result.usage.last
    second = thread.run("echo: again")
    assert second.usage.total.input_tokens == second.usage.last.input_tokens > 0
    assert said(sent(service)) == [
        ("user", "echo: Hello {name}!"),
        ("assistant", "Hello {name}!"),
        ("user", "echo: again"),
    ]


def test_a_stream_tells_our_ids_and_every_delta(codex):
    thread = codex.thread_start()
    handle = thread.turn("echo: one two three")
    told = list(handle.stream())
    assert isinstance(told[0], TurnStarted)
    assert isinstance(told[-1], TurnCompleted)
    assert "".join(n.delta for n in told if isinstance(n, AgentMessageDelta)) == "one two three"
    ids = {(n.thread_id, n.turn_id) for n in told if isinstance(n, ItemStarted | ItemCompleted)}
    assert ids == {(thread.id, handle.id)}


def test_an_accepted_command_runs(codex, folder):
    approvals = asked_with(Decision.accept)
    thread = codex.thread_start(cwd=str(folder), sandbox=Sandbox.read_only, approvals=approvals)
    result = thread.run(escalated("echo written > out.txt"))
    [asked] = approvals.requests
    assert "echo written" in asked.command
    assert (asked.cwd, asked.reason, asked.thread_id) == (str(folder), "I must", thread.id)
    [command] = done(result, CommandExecution)
    assert (command.status, command.exit_code) == ("completed", 0)
    assert (folder / "out.txt").read_text() == "written\n"


@pytest.mark.parametrize(
    "answer", [Decision.decline, "decline", None, "yes", True, OSError("closed"), TimeoutError()]
)
def test_anything_but_a_yes_is_a_no(codex, folder, answer):
    def approvals(request):
        if isinstance(answer, Exception):
            raise answer
        return answer

    thread = codex.thread_start(cwd=str(folder), approvals=approvals)
    result = thread.run(escalated("touch out.txt"))
    said_no = answer is Decision.decline or answer == "decline"
    status = "declined" if said_no else "unanswered"
    assert [command.status for command in done(result, CommandExecution)] == [status]
    assert result.status is TurnStatus.completed
    assert not (folder / "out.txt").exists()


def test_a_cancelled_command_ends_the_turn(codex, folder):
    thread = codex.thread_start(cwd=str(folder), approvals=asked_with(Decision.cancel))
    result = thread.run(escalated("touch out.txt"))
    assert result.status is TurnStatus.interrupted
    assert not (folder / "out.txt").exists()
    assert thread.run("echo: on").final_response == "on"


def test_nobody_to_ask_is_a_no(codex, folder):
    thread = codex.thread_start(cwd=str(folder), approval_mode=ApprovalMode.ask)
    result = thread.run(escalated("touch out.txt"))
    assert [command.status for command in done(result, CommandExecution)] == ["unanswered"]


def test_allowed_for_the_session_is_not_asked_again(codex, folder):
    approvals = asked_with(Decision.accept_for_session)
    thread = codex.thread_start(cwd=str(folder), approvals=approvals)
    for _ in range(2):
        thread.run(escalated("touch out.txt"))
    assert len(approvals.requests) == 1


def test_a_command_in_the_sandbox_needs_no_approval_and_cannot_write(codex, folder):
    thread = codex.thread_start(cwd=str(folder), sandbox=Sandbox.read_only)
    [command] = done(thread.run(use("exec_command", cmd="touch out.txt; pwd")), CommandExecution)
    assert str(folder) in command.aggregated_output.splitlines()
    assert not (folder / "out.txt").exists()


def test_while_someone_thinks_everything_else_goes_on(codex, folder):
    thinking, answer = threading.Event(), threading.Event()

    def approvals(request):
        thinking.set()
        answer.wait(10)
        return Decision.accept

    handle = codex.thread_start(cwd=str(folder), approvals=approvals).turn(escalated("touch out.txt"))
    assert thinking.wait(10)
    assert codex.thread_start().run("echo: meanwhile").final_response == "meanwhile"
    answer.set()
    assert handle.run().status is TurnStatus.completed
    assert (folder / "out.txt").exists()


def test_an_interrupt_does_not_wait_for_someone_who_thinks(codex, folder):
    thinking = threading.Event()

    async def approvals(request):
        thinking.set()
        await asyncio.Event().wait()

    handle = codex.thread_start(cwd=str(folder), approvals=approvals).turn(escalated("touch out.txt"))
    assert thinking.wait(10)
    handle.interrupt()
    [command] = done(handle.run(), CommandExecution)
    assert command.status == "stopped"
    assert not (folder / "out.txt").exists()


def use_patch(patch):
    return use("exec_command", cmd=f"apply_patch <<'EOF'\n{patch}EOF")


@pytest.mark.parametrize(
    ("answer", "status"), [(Decision.accept, "completed"), (Decision.decline, "declined")]
)
def test_a_file_change_is_asked_about_with_its_diff(codex, folder, answer, status):
    approvals = asked_with(answer)
    thread = codex.thread_start(cwd=str(folder), sandbox=Sandbox.read_only, approvals=approvals)
    [change] = done(thread.run(use_patch(PATCH)), FileChange)
    [asked] = approvals.requests
    assert asked.changes[0]["path"] == str(folder / "new.txt")
    assert "one line" in asked.changes[0]["diff"]
    assert change.status == status
    assert (folder / "new.txt").exists() == (status == "completed")


def test_the_model_sees_what_a_tool_returns_pictures_included(codex, service):
    def measure(where: str, times: int = 2) -> list:
        """Measure something."""
        return [f"{where} x {times}", PNG]

    thread = codex.thread_start(tools=(measure,))
    [call] = done(thread.run(use("measure", where="here")), ToolCall)
    assert (call.status, call.success, call.arguments) == ("completed", True, {"where": "here"})
    [output] = [item for item in sent(service)["input"] if item["type"] == "function_call_output"]
    text, image = output["output"]
    assert text["text"] == "here x 2"
    assert image["image_url"].startswith("data:image/png;base64,")


def test_a_tool_that_fails_tells_the_model_why(codex, service):
    async def broken(number: int) -> str:
        raise LookupError("no such thing")

    thread = codex.thread_start(tools=(broken,))
    wrong, right = thread.run(use("broken", number="x")), thread.run(use("broken", number=1))
    assert "number" in done(wrong, ToolCall)[0].content_items[0]["text"]
    assert done(right, ToolCall)[0].content_items[0]["text"] == "LookupError: no such thing"
    assert right.status is TurnStatus.completed


def test_a_tool_may_need_a_yes(codex):
    calls = []
    act = tool(lambda: calls.append(1), name="act", needs_approval=True)
    for answer, expected in ((Decision.decline, 0), (Decision.accept, 1)):
        approvals = asked_with(answer)
        codex.thread_start(tools=(act,), approvals=approvals).run(use("act"))
        assert (approvals.requests[0].tool, len(calls)) == ("act", expected)


def test_other_tools_go_on_in_a_thread_that_remembers(codex, service):
    thread = codex.thread_start()
    thread.run("echo: before the tools")
    again = codex.thread_resume(thread.id, tools=(tool(lambda: "came", name="late"),))
    assert done(again.run(use("late")), ToolCall)[0].content_items[0]["text"] == "came"
    assert said(sent(service))[:2] == [("user", "echo: before the tools"), ("assistant", "before the tools")]


def test_a_steered_turn_answers_to_both(codex, service):
    _, handle = held(codex, service)
    words = first_words(handle)
    next(words)
    handle.steer("echo: steered")
    result = handle.run()
    assert result.final_response == "steered"
    assert [role for role, _ in said(sent(service))] == ["user", "user"]
    partial, answer = done(result, AgentMessage)
    assert partial.text
    assert answer.text == "steered"


def test_a_turn_that_is_over_can_not_be_steered(codex):
    handle = codex.thread_start().turn("echo: over")
    handle.run()
    with pytest.raises(InvalidRequestError):
        handle.steer("more")


def test_interrupting_twice_keeps_the_partial_answer_and_says_it_to_the_model(codex, service):
    thread, handle = held(codex, service, after=5)
    words = first_words(handle)
    next(words)
    interrupting = [threading.Thread(target=handle.interrupt) for _ in range(2)]
    for each in interrupting:
        each.start()
    for each in interrupting:
        each.join(10)
    handle.interrupt()
    result = handle.run()
    [partial] = done(result, AgentMessage)
    assert result.status is TurnStatus.interrupted
    assert thread.run("echo: next").final_response == "next"
    assert ("assistant", partial.text) in said(sent(service))


def test_a_turn_is_stopped_as_soon_as_it_has_started_and_the_process_lives(codex, service):
    codex.thread_start().run("echo: up")
    process = program()
    for _ in range(3):
        handle = codex.thread_start().turn("repeat 20000")
        next(handle.stream())
        handle.interrupt()
        assert handle.run().status is TurnStatus.interrupted
    assert program() == process


def test_a_turn_that_names_no_model_and_no_effort_has_the_usual_ones(service):
    with Codex(CodexConfig(engine="app-server", provider=service.api_url)) as codex:
        thread = codex.thread_start()
        thread.run("echo: x", model="gpt-5.6-sol", effort="high")
        assert (sent(service)["model"], sent(service)["reasoning"]["effort"]) == ("gpt-5.6-sol", "high")
        codex.thread_resume(thread.id).run("echo: x")
        assert (sent(service)["model"], sent(service)["reasoning"]["effort"]) == ("gpt-5.5", "medium")


def test_leaving_a_stream_early_stops_the_turn(codex, service):
    thread, handle = held(codex, service)
    for _ in handle.stream():
        break
    service.wait_for_disconnect()
    assert thread.history()[0].status is TurnStatus.interrupted


def test_a_thread_is_resumed_in_a_new_process(config, service):
    with Codex(config) as first:
        thread_id = first.thread_start().id
        first.thread_resume(thread_id).run("echo: remember me")
    with Codex(config) as second:
        thread = second.thread_resume(thread_id)
        thread.run("echo: and now")
    assert said(sent(service)) == [
        ("user", "echo: remember me"),
        ("assistant", "remember me"),
        ("user", "echo: and now"),
    ]


def test_a_killed_process_fails_its_turn_and_the_next_turn_goes_on(codex, service):
    thread, handle = held(codex, service)
    words = first_words(handle)
    next(words)
    os.kill(program(), signal.SIGKILL)
    with pytest.raises(ServiceError, match="ended"):
        handle.run()
    assert thread.run("echo: on").final_response == "on"
    texts = said(sent(service))
    assert texts[0] == ("user", "repeat 2000")
    assert texts[1] == ("assistant", thread.history()[0].items[-1].item.text)


def test_a_killed_process_fails_each_of_its_turns_with_its_own_words(codex, service):
    service.faults.next("hold", after=2, times=2)
    handles = [codex.thread_start().turn("repeat 2000", summary="none") for _ in range(2)]
    service.wait_for_hold(count=2)
    os.kill(program(), signal.SIGKILL)
    for handle in handles:
        with pytest.raises(ServiceError) as failed:
            handle.run()
        assert failed.value.result.id == handle.id


def test_two_threads_stream_at_once(codex, service):
    service.faults.next("hold", after=1, times=2)
    handles = [codex.thread_start().turn(f"echo: {name} says a few words") for name in ("one", "two")]
    service.wait_for_hold(count=2)
    service.release()
    assert [handle.run().final_response for handle in handles] == [
        "one says a few words",
        "two says a few words",
    ]


def test_two_turns_of_a_thread_run_one_after_the_other(codex, service):
    thread = codex.thread_start()
    thread.run("echo: zero")
    handles = [thread.turn(f"echo: {name}") for name in ("one", "two")]
    assert [handle.run().final_response for handle in handles] == ["one", "two"]
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["zero", "one"]


def test_a_megabyte_arrives_and_one_more_character_is_refused(codex, service):
    text = "haiku " + "x" * (1_048_576 - 6)
    assert codex.thread_start().run(text).status is TurnStatus.completed
    assert said(sent(service)) == [("user", text)]
    with pytest.raises(InvalidRequestError, match="1,048,576"):
        codex.thread_start().run("x" * 1_048_577)


def test_a_question_that_the_program_refuses_is_kept(codex):
    thread = codex.thread_start()
    with pytest.raises(InvalidRequestError):
        thread.run("haiku " + "x" * 1_048_576)
    [turn] = thread.read(include_turns=True).thread.turns
    assert (turn.status, turn.items[0].content[0].text[:5]) == (TurnStatus.failed, "haiku")


def test_an_output_schema_comes_back_as_json(codex):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    answer = codex.thread_start().run("give me a number", output_schema=schema).final_response
    assert isinstance(json.loads(answer)["n"], int)


def test_a_fork_and_a_cell_that_runs_again_go_on_from_where_they_stand(codex, service):
    thread = codex.thread_start()
    for cell, text in (("a", "one"), ("b", "two"), ("c", "three")):
        thread.run(f"echo: {text}", cell_id=cell)
    thread.run("echo: TWO", cell_id="b")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["one"]
    thread.run("echo: four", cell_id="d")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["one", "TWO", "three"]
    codex.thread_fork(thread.id).run("echo: forked")
    thread.run("echo: five", cell_id="e")
    assert [text for role, text in said(sent(service)) if role == "assistant"][-2:] == ["three", "four"]


def test_a_turn_that_is_left_out_is_not_told_to_the_program_and_is_again_afterwards(codex, service):
    thread = codex.thread_start()
    _, second, _ = (thread.run(f"echo: {text}") for text in ("one", "two", "three"))

    def answers(prompt, **options):
        thread.run(prompt, **options)
        return [text for role, text in said(sent(service)) if role == "assistant"]

    assert answers("echo: four", left_out=[second.id]) == ["one", "three"]
    assert answers("echo: five", left_out=[second.id]) == ["one", "three", "four"]
    assert answers("echo: six") == ["one", "two", "three", "four", "five"]


def test_the_engines_go_on_from_each_other(config, service):
    with Codex(config) as codex:
        thread = codex.thread_start()
        thread.run("echo: by the agent")
        thread.run("echo: over http", engine="backend")
        assert [text for role, text in said_plain(sent(service)) if role == "assistant"] == ["by the agent"]
        thread.run("echo: agent again")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == [
        "by the agent",
        "over http",
    ]


def test_what_the_agent_brings_along_passes_the_mask_of_its_turn(config, service):
    def mask(text):
        return text.replace("by the agent", "«SECRET_1»")

    with Codex(config) as codex:
        thread = codex.thread_start()
        result = thread.run("echo: by the agent", mask=mask)
        thread.run("echo: over http", engine="backend")
    assert result.final_response == "«SECRET_1»"
    assert [text for role, text in said_plain(sent(service)) if role == "assistant"] == ["«SECRET_1»"]


def said_plain(body):
    return [(item["role"], item["content"][0]["text"]) for item in body["input"] if item["type"] == "message"]


def test_a_thread_open_in_another_process_goes_on_as_a_copy(config, service):
    with Codex(config) as first, Codex(config) as second:
        thread = first.thread_start()
        thread.run("echo: in the first")
        told = list(second.thread_resume(thread.id).turn("echo: in the second").stream())
        thread.run("echo: back in the first")
    assert any(isinstance(n, Warned) and "another process" in n.message for n in told)
    assert [text for role, text in said(sent(service)) if role == "assistant"] == [
        "in the first",
        "in the second",
    ]


def test_a_failed_turn_has_its_error_and_its_words(codex, service):
    service.faults.next("usage_limit")
    with pytest.raises(UsageLimitError) as failed:
        codex.thread_start().run("hi")
    assert failed.value.result.error.codex_error_info == "usageLimitExceeded"


def test_eight_that_wait_hold_up_nobody(codex, service):
    service.faults.next("hold", after=1, times=8)
    handles = [codex.thread_start().turn("repeat 500", summary="none") for _ in range(8)]
    service.wait_for_hold(count=8)
    assert codex.thread_start().run("echo: ninth").final_response == "ninth"
    for handle in handles:
        handle.interrupt()


def test_pictures_and_the_cell_reach_the_agent(codex, service, folder):
    picture = folder / "dot.png"
    picture.write_bytes(PNG)
    result = codex.thread_start().run(
        [TextInput("echo: seen"), LocalImageInput(str(picture))], cell_id="cell-1"
    )
    assert done(result, UserMessage)[0].client_id == "cell-1"
    parts = [part for item in sent(service)["input"] for part in item.get("content") or ()]
    assert any(part["type"] == "input_image" for part in parts)


def test_a_picture_is_found_from_where_the_kernel_stands_now(codex, service, folder, monkeypatch):
    codex.thread_start().run("echo: the program has started")
    (folder / "dot.png").write_bytes(PNG)
    monkeypatch.chdir(folder)
    codex.thread_start().run([TextInput("echo: seen"), LocalImageInput("dot.png")])
    parts = [part for item in sent(service)["input"] for part in item.get("content") or ()]
    assert any(part["type"] == "input_image" for part in parts)


def test_turn_settings_reach_the_model(codex, service):
    codex.thread_start(developer_instructions="Be a pirate.").run("hi", effort="high", summary="detailed")
    body = sent(service)
    assert body["reasoning"] == {"effort": "high", "summary": "detailed"}
    assert any("Be a pirate." in part["text"] for part in body["input"][1]["content"])


def test_awaited_it_is_the_same(config):
    async def scene():
        async with AsyncCodex(config) as codex:
            thread = await codex.thread_start()
            handle = await thread.turn("echo: awaited")
            told = [n async for n in handle.stream()]
            return the(TurnCompleted, told[-1]).turn.status, (await thread.run("echo: again")).final_response

    assert asyncio.run(scene()) == (TurnStatus.completed, "again")


@needs_zstd
@pytest.mark.parametrize("model", ["gpt-5.5", "local-lite"])
def test_with_a_chatgpt_plan_in_both_dialects(plan, home, model):
    plan.sign_in(home / ".codex")
    with Codex(CodexConfig(engine="app-server", model=model)) as codex:
        told = list(codex.thread_start().turn("echo: by plan").stream())
    assert any(isinstance(n, RateLimitsUpdated) and n.rate_limits.primary for n in told)
    assert [
        n.item.text for n in told if isinstance(n, ItemCompleted) and isinstance(n.item, AgentMessage)
    ] == ["by plan"]


@needs_zstd
def test_who_signs_in_later_needs_no_new_session(plan, home):
    with Codex(CodexConfig(engine="app-server", model="gpt-5.5")) as codex:
        thread = codex.thread_start()
        with pytest.raises(NotSignedInError):
            thread.run("echo: too early")
        plan.sign_in(home / ".codex")
        assert thread.run("echo: now").final_response == "now"


@needs_zstd
def test_a_process_that_does_not_stop_a_turn_is_replaced(home, tmp_path, monkeypatch):
    """It starts no turn while its first message over a WebSocket, which asks for no answer, is held up."""
    monkeypatch.setattr("codex_magic.engines.app_server.turn.STOP_SECONDS", 0.5)
    config = CodexConfig(engine="app-server", model="gpt-5.5")
    with as_plan(home, tmp_path / "tls", monkeypatch, websocket=True) as plan, Codex(config) as codex:
        plan.sign_in(home / ".codex")
        plan.faults.next("hold_headers")
        thread = codex.thread_start()
        handle = thread.turn("echo: held")
        plan.wait_for_hold()
        handle.interrupt()
        assert handle.run().status is TurnStatus.interrupted
        assert thread.run("echo: on").final_response == "on"


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to wait for somebody else's child")
def test_the_process_ends_with_ours_and_has_a_group_of_its_own(config, service):
    script = f"""
import os
from codex_magic import Codex, CodexConfig
codex = Codex(CodexConfig(engine="app-server", provider={service.api_url!r}, model="gpt-5.5"))
codex.thread_start().run("echo: x")
import psutil
[program] = psutil.Process().children()
pid = program.pid
print(pid, os.getpgid(pid) != os.getpgid(0), flush=True)
input()
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as ours:
        pid, apart = some(ours.stdout).readline().split()
        watched = os.pidfd_open(int(pid))
        some(ours.stdin).write("\n")
        some(ours.stdin).flush()
        assert select.select([watched], [], [], 10)[0]
        os.close(watched)
    assert apart == "True"


def test_a_thread_that_the_program_has_lost_goes_on_from_ours(config, service, home):
    with Codex(config) as codex:
        thread_id = codex.thread_start().id
        codex.thread_resume(thread_id).run("echo: kept here")
    for name in os.listdir(home / ".codex"):
        if name != "config.toml":
            path = home / ".codex" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with Codex(config) as codex:
        assert codex.thread_resume(thread_id).run("echo: on").final_response == "on"
    assert said(sent(service))[:2] == [("user", "echo: kept here"), ("assistant", "kept here")]


def test_a_command_may_run_on_after_its_turn(codex, folder):
    os.mkfifo(folder / "never")
    command = use("exec_command", cmd="cat never", yield_time_ms=250)
    result = codex.thread_start(cwd=str(folder)).run(command)
    assert [command.status for command in done(result, CommandExecution)] == ["inProgress"]


def test_commands_and_changes_are_told_to_the_next_engine(codex, service, folder):
    thread = codex.thread_start(cwd=str(folder), sandbox=Sandbox.workspace_write)
    thread.run(use("exec_command", cmd="echo from the shell"))
    thread.run("echo: over http", engine="backend")
    told = [text for role, text in said_plain(sent(service)) if role == "developer"]
    assert "from the shell" in told[0]


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals to press Ctrl-C")
def test_ctrl_c_stops_the_turn_and_not_the_process(codex, service):
    service.faults.next("hold", after=1)
    main = some(threading.main_thread().ident)

    def press():
        service.wait_for_hold()
        signal.pthread_kill(main, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    thread = codex.thread_start()
    with pytest.raises(KeyboardInterrupt):
        thread.run("repeat 2000", summary="none")
    presser.join()
    service.wait_for_disconnect()
    before = program()
    assert thread.run("echo: on").final_response == "on"
    assert program() == before


def test_an_answer_whose_connection_breaks_is_told_and_kept_once(codex, service):
    words = " ".join(map(str, range(200)))
    service.faults.next("drop", after=70, times=2)
    result = codex.thread_start().run(f"echo: {words}")
    assert result.final_response == words
    assert [item.text for item in done(result, AgentMessage)] == [words]
    assert len(done(result, Reasoning)) == 1
