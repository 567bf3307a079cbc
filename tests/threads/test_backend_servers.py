"""Turns with tools on servers that are less faithful than most."""

import pytest

from codex_magic import Codex, CodexConfig, OutputError, ServiceError, tool
from codex_magic.protocol.types import AgentMessage, ToolCall, UserMessage
from tests.peers.agent import done
from tests.responses.wire import CREATED, Wire, completed, event, good, stream
from tests.threads.backend import kinds


@pytest.fixture
def wire():
    server = Wire()
    yield server
    server.close()


@pytest.fixture
def thread(wire):
    with Codex(CodexConfig(provider=wire.url, model="m")) as codex:
        yield codex.thread_start(tools=(tool(lambda: "done", name="act"),))


def call(name, index=0, call_id=None, arguments="{}", **more):
    item = {"type": "function_call", "call_id": call_id or f"c{index}", "name": name, "arguments": arguments}
    return event("response.output_item.done", output_index=index, item=item | more)


def outputs(wire):
    return [item["output"] for item in wire.requests[-1].json["input"] if "output" in item]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (call("atc"), "There is no tool 'atc'. There are: act."),
        (call("act", namespace="n"), "There is no tool 'act'"),
        (call("act", arguments='{"a": 1}'), "The arguments do not fit"),
        (call("act", arguments="{"), "The arguments do not fit"),
        (call("act", arguments="[1]"), "The arguments do not fit"),
        (call("act", namespace="functions"), "done"),
    ],
)
def test_a_call_that_can_not_be_run_is_told_why(thread, wire, asked, told):
    wire.answer(stream(CREATED, asked, completed()), stream(*good()))
    result = thread.run("hi")
    assert outputs(wire)[0].startswith(told)
    assert [each.success for each in done(result, ToolCall)] == [told == "done"]
    assert result.final_response == "Hello"


def test_a_model_that_never_stops_calling_is_stopped(thread, wire):
    wire.answer(stream(CREATED, call("act"), completed()))
    with pytest.raises(OutputError) as caught:
        thread.run("hi")
    last = done(caught.value.result, ToolCall)[-1]
    assert wire.requests[-1].json["tool_choice"] == "none"
    assert "no more calls" in last.content_items[0]["text"]


def test_a_call_that_can_not_be_read_fails_the_turn_and_not_the_thread(thread, wire):
    broken = event("response.output_item.done", output_index=0, item={"type": "function_call", "name": "act"})
    wire.answer(stream(CREATED, broken, completed()), stream(*good()))
    with pytest.raises(ServiceError, match="tool call"):
        thread.run("hi")
    assert thread.run("again").final_response == "Hello"
    assert kinds(wire.requests[-1].json["input"]) == ["user", "user"]


def test_items_that_come_with_the_end_only_are_told_too(thread, wire):
    answer = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "late"}]}
    asked = {"type": "function_call", "call_id": "c", "name": "act", "arguments": "{}"}
    wire.answer(stream(CREATED, completed(output=[asked])), stream(CREATED, completed(output=[answer])))
    result = thread.run("hi")
    assert [type(item) for item in result.items] == [UserMessage, ToolCall, AgentMessage]
    assert (result.final_response, outputs(wire)) == ("late", ["done"])


def test_calls_that_share_an_id_do_not_stop_the_turn(thread, wire):
    both = call("act", 0, "same"), call("atc", 1, "same")
    wire.answer(stream(CREATED, *both, completed()), stream(*good()))
    assert thread.run("hi").final_response == "Hello"
    assert len(outputs(wire)) == 2
