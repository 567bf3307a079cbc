"""Turns with tools on servers that are less faithful than most."""

import pytest

from codex_magic import Codex, CodexConfig, OutputError, ServiceError, tool
from codex_magic.display.view import TurnView
from codex_magic.protocol.types import AgentMessage, Reasoning, ToolCall, UserMessage
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
    broken = event(
        "response.output_item.done", output_index=0, item={"type": "function_call", "arguments": "{}"}
    )
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


THOUGHT = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]}
ANSWER = {
    "type": "message",
    "id": "m",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "one"}],
}


def begun(item, **place):
    return event("response.output_item.added", item={**item, "summary": [], "content": []}, **place)


def over(item, **place):
    return event("response.output_item.done", item=item, **place)


def piece(**place):
    return event("response.output_text.delta", delta="one", **place)


def shown(thread, wire, *events):
    """The items of a turn, and what was to be seen of it at its end."""
    wire.answer(stream(CREATED, *events, completed()))
    handle, view = thread.turn("hi"), TurnView()
    for told in handle.stream():
        view.feed(told)
    return [
        item for item in handle.asynchronous.result.items if not isinstance(item, UserMessage)
    ], view.markdown()


def test_what_a_server_adds_to_an_item_that_is_over_is_not_told_again(thread, wire):
    whole = [begun(ANSWER), piece(item_id="m"), over(ANSWER)]
    items, markdown = shown(thread, wire, *whole, piece(item_id="m"))
    assert [item.text for item in items] == ["one"]
    assert markdown.count("one") == 1


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("is_begun", [True, False])
def test_items_without_a_place_of_their_own_stay_apart(thread, wire, named, is_begun):
    """A server that leaves out the index, and perhaps the ids."""
    thought, answer = (
        {**item, "id": item["id"]} if named else {**item, "id": None} for item in (THOUGHT, ANSWER)
    )
    words = piece(item_id="m") if named else piece()
    first, second = ([begun(item)] if is_begun else [] for item in (thought, answer))
    items, markdown = shown(thread, wire, *first, over(thought), *second, words, over(answer))
    assert [type(item) for item in items] == [Reasoning, AgentMessage]
    assert (markdown.count("Hm."), markdown.count("one")) == (1, 1)
