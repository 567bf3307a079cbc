"""Saying more to a turn over HTTP that is still running."""

import asyncio
import threading

import pytest

from codex_magic import AsyncCodex, InvalidRequestError, TextInput, TurnStatus
from codex_magic.protocol.types import AgentMessage, ItemCompleted, ItemStarted, ToolCall, UserMessage
from tests.peers.agent import done, use
from tests.threads.backend import held, kinds, requests, sent, texts


def test_a_steered_turn_breaks_off_its_answer_and_answers_to_both(codex, service):
    thread = codex.thread_start()
    handle, words = held(thread, service)
    next(words)
    assert handle.steer("echo: steered").turn_id == handle.id
    service.wait_for_disconnect()
    result = handle.run()
    assert (result.status, result.final_response) == (TurnStatus.completed, "steered")
    partial = done(result, AgentMessage)[0]
    assert partial.text
    assert texts(sent(service)) == ["repeat 2000", partial.text, "echo: steered"]
    assert kinds(sent(service)) == ["user", "assistant", "user"]


def test_what_is_said_and_what_was_broken_off_are_told_as_items_in_their_order(codex, service):
    handle, words = held(codex.thread_start(), service)
    next(words)
    handle.steer("echo: more")
    told = [n for n in handle.stream() if isinstance(n, ItemStarted | ItemCompleted)]
    completed = [type(n.item) for n in told if isinstance(n, ItemCompleted)]
    assert completed == [UserMessage, AgentMessage, UserMessage, AgentMessage]
    assert [n.item.content for n in told if isinstance(n.item, UserMessage)][-1] == (TextInput("echo: more"),)


def test_the_next_turn_sends_the_same_again(codex, service):
    thread = codex.thread_start()
    handle, words = held(thread, service)
    next(words)
    handle.steer("echo: steered")
    handle.run()
    before = sent(service)
    thread.run("echo: next")
    assert sent(service)[: len(before)] == before


def test_steered_before_a_word_came_only_the_messages_are_sent(codex, service):
    service.faults.next("hold_headers")
    handle = codex.thread_start().turn("repeat 2000")
    service.wait_for_hold()
    handle.steer("echo: both")
    assert handle.run().final_response == "both"
    assert texts(sent(service)) == ["repeat 2000", "echo: both"]


def test_what_is_added_passes_the_mask_of_the_turn(codex, service):
    handle, words = held(codex.thread_start(), service, mask=lambda text: text.replace("my-5ecret", "«1»"))
    next(words)
    handle.steer("echo: my-5ecret")
    assert handle.run().final_response == "«1»"
    assert texts(sent(service))[-1] == "echo: «1»"


def test_steered_twice(codex, service):
    handle, words = held(codex.thread_start(), service)
    next(words)
    service.faults.next("hold", after=1)
    handle.steer("repeat 3000")
    service.wait_for_hold(count=2)
    handle.steer("echo: third")
    assert handle.run().final_response == "third"
    assert [text for text in texts(sent(service)) if text.startswith(("repeat", "echo"))] == [
        "repeat 2000",
        "repeat 3000",
        "echo: third",
    ]


def test_while_a_tool_runs_the_model_hears_of_it_with_the_result(codex, service):
    begun, said = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        said.wait(10)
        return "slow"

    handle = codex.thread_start(tools=(slow,)).turn(use("slow"))
    assert begun.wait(10)
    handle.steer("echo: meanwhile")
    said.set()
    result = handle.run()
    assert result.final_response == "meanwhile"
    assert [call.success for call in done(result, ToolCall)] == [True]
    assert kinds(sent(service))[-3:] == ["function_call", "function_call_output", "user"]
    assert len(requests(service)) == 2


def test_a_call_that_was_being_written_is_not_run(codex, service):
    calls = []

    def act(text: str) -> None:
        calls.append(text)

    service.faults.next("hold", after=2)
    handle = codex.thread_start(tools=(act,)).turn(use("act", text="word " * 50))
    service.wait_for_hold()
    handle.steer("echo: no")
    assert handle.run().final_response == "no"
    assert (calls, kinds(sent(service))) == ([], ["user", "user"])


def test_a_turn_that_is_over_takes_no_more(codex):
    handle = codex.thread_start().turn("echo: over")
    handle.run()
    with pytest.raises(InvalidRequestError, match="no longer"):
        handle.steer("more")


def test_what_can_not_be_read_does_not_stop_the_turn(codex, service, tmp_path):
    from codex_magic import LocalImageInput

    handle, words = held(codex.thread_start(), service)
    next(words)
    with pytest.raises(InvalidRequestError, match="can't be read"):
        handle.steer(LocalImageInput(str(tmp_path / "gone.png")))
    service.release()
    assert handle.run().status is TurnStatus.completed


def test_a_turn_can_be_steered_as_soon_as_it_is_there(service):
    async def scene():
        async with AsyncCodex() as codex:
            thread = await codex.thread_start()
            handle = await thread.turn("echo: first")
            await handle.steer("echo: second")
            return await handle.run()

    result = asyncio.run(scene())
    assert result.final_response == "second"
    assert len(done(result, UserMessage)) == 2
