"""The agent's scenes in both dialects that the official app-server speaks to models, and both ways it connects."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading

import pytest

from codex_magic import Codex, CodexConfig, Decision, InvalidRequestError, Sandbox, ServiceError, TurnStatus
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    FileChange,
    ItemCompleted,
    ItemStarted,
    ToolCall,
    TurnCompleted,
    TurnStarted,
)
from tests.peers.agent import (
    PATCH,
    PNG,
    as_plan,
    as_provider,
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

CLASSIC, CODE_MODE = "gpt-5.5", "gpt-5.6-sol"


@pytest.fixture(params=[CLASSIC, CODE_MODE])
def model(request):
    return request.param


@pytest.fixture(params=["provider", pytest.param("plan", marks=needs_zstd)])
def service(request, home, tmp_path_factory, monkeypatch):
    if request.param == "provider":
        with as_provider(home, monkeypatch) as service:
            yield service
        return
    with as_plan(home, tmp_path_factory.mktemp("tls"), monkeypatch) as service:
        service.sign_in(home / ".codex")
        yield service


@pytest.fixture
def config(service, model):
    provider = None if service.ca_file else service.api_url
    return CodexConfig(engine="app-server", provider=provider, model=model)


def calls(body):
    """The tool calls that the model made, and each one's output."""
    made = {item["call_id"]: item for item in body["input"] if item["type"].endswith("_call")}
    outputs = {item["call_id"]: item for item in body["input"] if item["type"].endswith("_call_output")}
    return [(made[call_id]["name"], outputs[call_id]["output"]) for call_id in made]


def test_a_turn_is_streamed_and_the_next_one_knows_of_it(codex, service, model):
    thread = codex.thread_start()
    handle = thread.turn("echo: one two three")
    told = list(handle.stream())
    assert (type(told[0]), type(told[-1])) == (TurnStarted, TurnCompleted)
    assert "".join(n.delta for n in told if isinstance(n, AgentMessageDelta)) == "one two three"
    ids = {(n.thread_id, n.turn_id) for n in told if isinstance(n, ItemStarted | ItemCompleted)}
    assert ids == {(thread.id, handle.id)}
    assert thread.run("echo: again").final_response == "again"
    assert said(sent(service))[:2] == [("user", "echo: one two three"), ("assistant", "one two three")]
    assert ("tools" in sent(service)) == (model == CLASSIC)


def test_an_accepted_command_runs_and_the_model_sees_its_output(codex, service, model, tmp_path):
    approvals = asked_with(Decision.accept)
    thread = codex.thread_start(cwd=str(tmp_path), sandbox=Sandbox.read_only, approvals=approvals)
    result = thread.run(escalated("echo written | tee out.txt"))
    [asked] = approvals.requests
    [command] = done(result, CommandExecution)
    assert (asked.item_id, asked.cwd, asked.reason) == (command.id, str(tmp_path), "I must")
    assert (command.status, command.exit_code, command.aggregated_output) == ("completed", 0, "written\n")
    assert (tmp_path / "out.txt").read_text() == "written\n"
    [(name, output)] = calls(sent(service))
    assert name == ("exec_command" if model == CLASSIC else "exec")
    assert "written" in json.dumps(output)
    assert "written" in result.final_response


def test_a_declined_command_does_not_run_and_the_model_hears_of_it(codex, service, tmp_path):
    approvals = asked_with(Decision.decline)
    result = codex.thread_start(cwd=str(tmp_path), approvals=approvals).run(escalated("touch out.txt"))
    assert [command.status for command in done(result, CommandExecution)] == ["declined"]
    assert result.status is TurnStatus.completed
    assert "rejected by user" in result.final_response
    assert not (tmp_path / "out.txt").exists()


def test_a_cancelled_command_ends_the_turn(codex, tmp_path):
    thread = codex.thread_start(cwd=str(tmp_path), approvals=asked_with(Decision.cancel))
    result = thread.run(escalated("touch out.txt"))
    assert result.status is TurnStatus.interrupted
    assert not (tmp_path / "out.txt").exists()
    assert thread.run("echo: on").final_response == "on"


def test_an_interrupt_does_not_wait_for_someone_who_thinks(codex, tmp_path):
    thinking, answer = threading.Event(), threading.Event()

    def approvals(request):
        thinking.set()
        answer.wait(10)
        return Decision.accept

    handle = codex.thread_start(cwd=str(tmp_path), approvals=approvals).turn(escalated("touch out.txt"))
    assert thinking.wait(10)
    handle.interrupt()
    [command] = done(handle.run(), CommandExecution)
    answer.set()
    assert command.status == "stopped"
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("answer", "status"), [(Decision.accept, "completed"), (Decision.decline, "declined")]
)
def test_a_file_change_is_asked_about_with_its_diff(codex, tmp_path, answer, status):
    approvals = asked_with(answer)
    thread = codex.thread_start(cwd=str(tmp_path), sandbox=Sandbox.read_only, approvals=approvals)
    [change] = done(thread.run(use("apply_patch", input=PATCH)), FileChange)
    [asked] = approvals.requests
    assert asked.item_id == change.id
    assert [(each["path"], each["diff"]) for each in asked.changes] == [
        (str(tmp_path / "new.txt"), "one line\n")
    ]
    assert change.status == status
    assert (tmp_path / "new.txt").exists() == (status == "completed")


def test_the_model_sees_what_a_tool_returns_pictures_included(codex, service):
    def measure(where: str, times: int = 2) -> list:
        """Measure something."""
        return [f"{where} x {times}", PNG]

    result = codex.thread_start(tools=(measure,)).run(use("measure", where="here"))
    [call] = done(result, ToolCall)
    assert (call.status, call.success, call.arguments) == ("completed", True, {"where": "here"})
    [(_, output)] = calls(sent(service))
    text, image = output[-2:]
    assert text["text"] == "here x 2"
    assert image["image_url"].startswith("data:image/png;base64,")


def test_a_tool_that_fails_tells_the_model_why(codex, service):
    async def broken() -> str:
        raise LookupError("no such thing")

    result = codex.thread_start(tools=(broken,)).run(use("broken"))
    assert [(call.status, call.success) for call in done(result, ToolCall)] == [("failed", False)]
    assert result.status is TurnStatus.completed
    assert "LookupError: no such thing" in result.final_response


def test_an_interrupt_ends_a_tool_that_waits(codex):
    waiting, ended = threading.Event(), threading.Event()

    async def linger() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    handle = codex.thread_start(tools=(linger,)).turn(use("linger"))
    assert waiting.wait(10)
    handle.interrupt()
    assert ended.wait(10)
    assert [call.status for call in done(handle.run(), ToolCall)] == ["unfinished"]


def test_a_steered_turn_answers_to_both(codex, service):
    _, handle = held(codex, service)
    words = first_words(handle)
    next(words)
    handle.steer("echo: steered")
    result = handle.run()
    partial, answer = done(result, AgentMessage)
    assert (bool(partial.text), answer.text) == (True, "steered")
    assert [role for role, _ in said(sent(service))] == ["user", "user"]


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


def test_a_thread_is_resumed_in_a_new_process_with_what_it_did(config, service, tmp_path):
    with Codex(config) as first:
        thread = first.thread_start(cwd=str(tmp_path))
        thread.run(use("exec_command", cmd="echo from the shell"))
    with Codex(config) as second:
        assert second.thread_resume(thread.id).run("echo: and now").final_response == "and now"
    [(_, output)] = calls(sent(service))
    assert "from the shell" in json.dumps(output)
    assert said(sent(service))[-1] == ("user", "echo: and now")


def test_a_fork_goes_on_beside_its_thread(codex, service):
    thread = codex.thread_start()
    thread.run("echo: shared")
    codex.thread_fork(thread.id).run("echo: in the fork")
    thread.run("echo: in the thread")
    for number in (-2, -1):
        texts = [text for role, text in said(sent(service, number)) if role == "assistant"]
        assert texts == ["shared"]


def test_an_output_schema_comes_back_as_json(codex):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    answer = codex.thread_start().run("give me a number", output_schema=schema).final_response
    assert isinstance(json.loads(answer)["n"], int)


def test_two_threads_stream_at_once(codex, service):
    service.faults.next("hold", after=1, times=2)
    handles = [codex.thread_start().turn(f"echo: {name} says a few words") for name in ("one", "two")]
    service.wait_for_hold(count=2)
    service.release()
    answers = [handle.run().final_response for handle in handles]
    assert answers == ["one says a few words", "two says a few words"]


def test_a_megabyte_arrives_and_one_more_character_is_refused(codex, service):
    text = "haiku " + "x" * (1_048_576 - 6)
    assert codex.thread_start().run(text).status is TurnStatus.completed
    assert said(sent(service)) == [("user", text)]
    with pytest.raises(InvalidRequestError, match="1,048,576"):
        codex.thread_start().run(text + "x")


def test_a_killed_process_fails_its_turn_and_the_next_turn_goes_on(codex, service):
    thread, handle = held(codex, service)
    words = first_words(handle)
    begun = next(words)
    os.kill(program(), signal.SIGKILL)
    with pytest.raises(ServiceError, match="ended"):
        handle.run()
    assert thread.run("echo: on").final_response == "on"
    asked, (role, partial) = said(sent(service))[:2]
    assert (asked, role) == (("user", "repeat 2000"), "assistant")
    assert partial.startswith(begun)
