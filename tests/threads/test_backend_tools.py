"""Tools of ours in turns over HTTP, with the local service as the model."""

import asyncio
import threading
import time
from typing import Any

import pytest

from codex_magic import (
    Codex,
    CodexConfig,
    Decision,
    DeclineBecause,
    InvalidRequestError,
    Sandbox,
    StreamError,
    TurnStatus,
    custom_tool,
    tool,
)
from codex_magic.engines.tools import LONGEST_TEXT
from codex_magic.protocol.types import (
    AgentMessage,
    ItemCompleted,
    ItemStarted,
    Reasoning,
    ToolCall,
)
from codex_magic.responses.tool_turn import MOST_ROUNDS
from codex_magic.responses.tools import web_search
from tests.peers.agent import PNG, asked_with, done, use
from tests.service import start
from tests.threads.backend import kinds, requests, sent


def add(a: int, b: int = 1) -> int:
    """Add up."""
    return a + b


def outputs(items):
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def test_a_tool_is_called_and_the_model_answers_with_its_result(codex, service):
    result = codex.thread_start(tools=(add,)).run(use("add", a=2, b=3))
    [call] = done(result, ToolCall)
    assert (call.tool, call.arguments, call.status, call.success) == (
        "add",
        {"a": 2, "b": 3},
        "completed",
        True,
    )
    assert call.content_items == ({"type": "inputText", "text": "5"},)
    assert outputs(sent(service)) == ["5"]
    assert "The tool gave:" in result.final_response


def test_a_call_says_how_long_it_took(codex):
    def pause() -> None:
        time.sleep(0.05)

    [call] = done(codex.thread_start(tools=(pause,)).run(use("pause")), ToolCall)
    assert call.duration_ms >= 50


def test_a_call_is_told_when_it_begins_and_when_it_is_done(codex):
    handle = codex.thread_start(tools=(add,)).turn(use("add", a=1))
    told = [
        (type(n), n.item.status)
        for n in handle.stream()
        if isinstance(n, ItemStarted | ItemCompleted) and isinstance(n.item, ToolCall)
    ]
    assert told == [(ItemStarted, "inProgress"), (ItemCompleted, "completed")]


def test_the_next_turn_sends_calls_with_their_outputs_and_the_sealed_thoughts(codex, service):
    thread = codex.thread_start(tools=(add,))
    thread.run(use("add", a=1))
    thread.run("echo: next")
    once = ["user", "reasoning", "function_call", "function_call_output", "reasoning", "assistant"]
    assert kinds(sent(service)) == [*once, "user"]
    assert all(item["encrypted_content"] for item in sent(service) if item["type"] == "reasoning")
    assert kinds(sent(service, 1)) == once[:4]


def test_the_model_sees_pictures(codex, service):
    def look() -> list:
        return ["see:", PNG]

    codex.thread_start(tools=(look,)).run(use("look"))
    [(text, image)] = outputs(sent(service))
    assert text == {"type": "input_text", "text": "see:"}
    assert image["type"] == "input_image"
    assert image["image_url"].startswith("data:image/png;base64,")


def test_a_result_without_end_is_cut_off(codex, service):
    def much() -> str:
        service.faults.next("hold", after=0)
        return "x" * (LONGEST_TEXT + 7)

    handle = codex.thread_start(tools=(much,)).turn(use("much"))
    service.wait_for_hold()
    handle.interrupt()
    assert outputs(sent(service))[0].endswith("[7 more characters were cut off]")


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        (use("add", a="x"), "The arguments do not fit"),
        (use("broken"), "LookupError: no such thing"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(codex, service, prompt, told):
    async def broken() -> str:
        raise LookupError("no such thing")

    result = codex.thread_start(tools=(add, broken)).run(prompt)
    [call] = done(result, ToolCall)
    assert (call.status, call.success) == ("failed", False)
    assert told in outputs(sent(service))[0]
    assert result.status is TurnStatus.completed


def test_calls_of_one_response_run_at_the_same_time(codex, service):
    both = threading.Barrier(2, timeout=10)

    def one() -> int:
        return both.wait()

    def two() -> int:
        return both.wait()

    result = codex.thread_start(tools=(one, two)).run("use the tools one, two with {}")
    assert [call.success for call in done(result, ToolCall)] == [True, True]
    assert kinds(sent(service))[-4:] == [*["function_call"] * 2, *["function_call_output"] * 2]


def test_a_model_that_takes_one_call_at_a_time_is_asked_for_one(codex, service):
    thread = codex.thread_start(tools=(add,), model="local-lite")
    codex.models()
    thread.run('use the tools add, add with {"a": 1}')
    assert {request.json["parallel_tool_calls"] for request in requests(service)} == {False}


def test_a_freeform_tool(codex, service):
    result = codex.thread_start(tools=(custom_tool(str.upper, name="shout"),)).run(
        "use the tool shout with {}"
    )
    [call] = done(result, ToolCall)
    assert (call.arguments, call.content_items[0]["text"]) == ("{}", "{}")
    assert kinds(sent(service))[-2:] == ["custom_tool_call", "custom_tool_call_output"]


def test_what_can_be_no_tool_begins_no_turn(codex):
    thread = codex.thread_start(tools=(lambda numbers: sum(numbers),))
    with pytest.raises(InvalidRequestError, match="valid tool name"):
        thread.run("hi")
    assert thread.history() == []


def test_a_tool_of_the_services_own(codex):
    result = codex.thread_start(tools=(web_search(),)).run("search the web for tea")
    assert [item.query for item in result.items if hasattr(item, "query")] == ["search the web for tea"]


def test_the_requests_of_a_turn_share_its_state_and_its_usage_is_their_sum(codex, service):
    result = codex.thread_start(tools=(add,)).run('use the tool add 2 times with {"a": 1}')
    first, second, third = (request.headers.get("x-codex-turn-state") for request in requests(service))
    assert first is None
    assert second == third is not None
    assert result.usage.total.input_tokens > result.usage.last.input_tokens > 0


def test_after_many_rounds_the_model_has_to_answer(codex, service):
    result = codex.thread_start(tools=(add,)).run(f'use the tool add {MOST_ROUNDS + 5} times with {{"a": 1}}')
    assert len(done(result, ToolCall)) == MOST_ROUNDS
    assert requests(service)[-1].json["tool_choice"] == "none"
    assert result.final_response


def test_an_interrupted_call_stands_in_the_history_with_an_output(codex, service):
    begun, ended = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    thread = codex.thread_start(tools=(forever,))
    handle = thread.turn(use("forever"))
    assert begun.wait(10)
    handle.interrupt()
    assert ended.wait(10)
    [call] = done(handle.asynchronous.result, ToolCall)
    assert (call.status, call.success, call.arguments) == ("unfinished", False, {})
    assert thread.run("echo: on").final_response == "on"
    assert outputs(sent(service)) == ["aborted"]
    assert kinds(sent(service)) == [
        *["user", "reasoning", "function_call", "function_call_output", "developer", "user"]
    ]


def test_an_interrupt_does_not_wait_for_a_function_that_goes_on(codex):
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait(10)

    handle = codex.thread_start(tools=(slow,)).turn(use("slow"))
    assert begun.wait(10)
    handle.interrupt()
    assert not go_on.is_set()
    assert done(handle.asynchronous.result, ToolCall)[0].status == "unfinished"
    go_on.set()


def test_a_failed_turn_leaves_nothing_that_the_service_would_refuse(codex, service):
    def spoil() -> str:
        service.faults.next("failed", after=0, code="invalid_prompt")
        return "spoilt"

    thread = codex.thread_start(tools=(spoil,))
    with pytest.raises(InvalidRequestError, match="flagged"):
        thread.run(use("spoil"))
    assert thread.run("echo: on").final_response == "on"
    assert outputs(sent(service)) == ["spoilt"]


def test_a_response_that_breaks_after_its_call_runs_nothing(codex, service):
    calls: list[Any] = []
    service.faults.next("eof_before_end", times=9)
    thread = codex.thread_start(tools=(tool(lambda: calls.append(1), name="act"),))
    with pytest.raises(StreamError, match="ended before"):
        thread.run(use("act"))
    service.faults.clear()
    assert thread.run("echo: on").final_response == "on"
    assert (calls, outputs(sent(service))) == ([], ["aborted"])


def test_thoughts_that_led_nowhere_are_not_sent_again(codex, service):
    """The call that they led to was not written to its end."""
    service.faults.next("hold", after=1)
    thread = codex.thread_start(tools=(add,))
    handle = thread.turn(use("add", a=12345678), summary="none", effort="low")
    for told in handle.stream():
        if isinstance(told, ItemCompleted) and isinstance(told.item, Reasoning):
            break
    thread.run("echo: on")
    assert kinds(sent(service)) == ["user", "developer", "user"]


# Approvals ---------------------------------------------------------------------------------------


def acting(calls):
    return tool(lambda: calls.append(1), name="act", needs_approval=True)


@pytest.mark.parametrize(
    ("answer", "ran", "asked"),
    [
        (Decision.accept, 2, 2),
        ("acceptForSession", 2, 1),
        (Decision.decline, 0, 2),
        (Decision.try_first, 0, 2),
        (None, 0, 2),
        (OSError("closed"), 0, 2),
    ],
)
def test_a_tool_that_acts_needs_a_yes(codex, service, answer, ran, asked):
    calls: list[Any] = []
    requested: list[Any] = []

    def approvals(request):
        requested.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    thread = codex.thread_start(tools=(acting(calls),), approvals=approvals)
    for _ in range(2):
        assert thread.run(use("act")).status is TurnStatus.completed
    assert (len(calls), len(requested)) == (ran, asked)
    assert (requested[0].tool, requested[0].thread_id, requested[0].arguments) == ("act", thread.id, {})
    if not ran:
        declined = answer is Decision.decline
        assert ("declined" if declined else "nobody was there") in outputs(sent(service))[0]


def test_a_yes_for_the_session_is_one_threads_and_counts_for_calls_at_the_same_time(codex):
    calls: list[Any] = []
    approvals = asked_with(Decision.accept_for_session)
    for _ in range(2):
        thread = codex.thread_start(tools=(acting(calls),), approvals=approvals)
        thread.run("use the tools act, act with {}")
    assert (len(calls), len(approvals.requests)) == (4, 2)


def test_why_a_call_was_declined_is_told_and_kept(codex, service):
    thread = codex.thread_start(tools=(acting([]),), approvals=asked_with(DeclineBecause("Read it first.")))
    result = thread.run(use("act"))
    assert "Read it first." in outputs(sent(service))[0]
    assert done(result, ToolCall)[0].reason == "Read it first."
    [turn] = thread.history()
    assert "Read it first." in str(turn.items)


def test_a_cancelled_call_ends_the_turn(codex, service):
    calls: list[Any] = []
    thread = codex.thread_start(tools=(acting(calls), add), approvals=asked_with(Decision.cancel))
    result = thread.run(use("act"))
    assert (result.status, calls) == (TurnStatus.interrupted, [])
    assert len(requests(service)) == 1
    assert thread.run("echo: on").final_response == "on"


@pytest.mark.parametrize("options", [{}, {"approvals": lambda _: "accept", "approval_mode": "deny_all"}])
def test_nobody_to_ask_and_nobody_who_may_be_asked_is_a_no(codex, options):
    calls: list[Any] = []
    result = codex.thread_start(tools=(acting(calls),), **options).run(use("act"))
    assert (done(result, ToolCall)[0].success, calls) == (False, [])


@pytest.mark.parametrize(
    ("answer", "status"),
    [(Decision.decline, "declined"), (Decision.cancel, "declined"), (None, "unanswered")],
)
def test_what_came_of_a_call_that_got_no_yes_is_kept(codex, answer, status):
    thread = codex.thread_start(tools=(acting([]),), approvals=asked_with(answer))
    [call] = done(thread.run(use("act")), ToolCall)
    assert (call.status, call.success) == (status, False)
    assert call in thread.read(include_turns=True).thread.turns[0].items


def test_a_call_that_waits_for_an_answer_when_its_turn_is_stopped_was_not_made(codex):
    calls: list[Any] = []
    thinking, over = threading.Event(), threading.Event()

    def approvals(request):
        thinking.set()
        over.wait(10)
        return "accept"

    handle = codex.thread_start(tools=(acting(calls),), approvals=approvals).turn(use("act"))
    assert thinking.wait(10)
    handle.interrupt()
    over.set()
    assert (done(handle.run(), ToolCall)[0].status, calls) == ("stopped", [])


def test_a_call_that_was_allowed_and_is_at_work_when_its_turn_is_stopped_is_told_so(codex):
    working = threading.Event()

    async def act():
        working.set()
        await asyncio.Event().wait()

    tools = (tool(act, needs_approval=True),)
    handle = codex.thread_start(tools=tools, approvals=asked_with(Decision.accept)).turn(use("act"))
    assert working.wait(10)
    handle.interrupt()
    assert done(handle.run(), ToolCall)[0].status == "interrupted"


def test_a_tool_that_ends_in_a_cancellation_of_its_own_has_failed(codex):
    async def act():
        raise asyncio.CancelledError

    result = codex.thread_start(tools=(tool(act),)).run(use("act"))
    assert result.status is TurnStatus.completed
    assert done(result, ToolCall)[0].status == "failed"


def test_while_someone_thinks_other_threads_go_on(codex):
    thinking, answer = threading.Event(), threading.Event()

    def approvals(request):
        thinking.set()
        return "accept" if answer.wait(10) else None

    handle = codex.thread_start(tools=(acting([]),), approvals=approvals).turn(use("act"))
    assert thinking.wait(10)
    assert codex.thread_start().run("echo: meanwhile").final_response == "meanwhile"
    answer.set()
    assert done(handle.run(), ToolCall)[0].success


# The sandbox -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sandbox", "needs", "runs"),
    [
        (None, "full_access", True),
        (Sandbox.read_only, "read_only", True),
        (Sandbox.read_only, "workspace_write", False),
        (Sandbox.workspace_write, "workspace_write", True),
        (Sandbox.workspace_write, "full_access", False),
        (Sandbox.full_access, "full_access", True),
    ],
)
def test_a_turn_runs_no_tool_that_needs_a_wider_sandbox(codex, service, sandbox, needs, runs):
    thread = codex.thread_start(tools=(tool(lambda: "ran", name="act", needs=needs),), sandbox=sandbox)
    [call] = done(thread.run(use("act")), ToolCall)
    assert call.success is runs
    if not runs:
        assert Sandbox(needs).value in outputs(sent(service))[0]


def test_tools_and_thoughts_on_a_server_of_ones_own():
    with (
        start(open_access=True) as server,
        Codex(CodexConfig(provider=server.api_url, model="local-small")) as codex,
    ):
        thread = codex.thread_start(tools=(add,), effort="low")
        result = thread.run(use("add", a=1))
        assert done(result, ToolCall)[0].success
        assert done(result, Reasoning)
        assert len(done(result, AgentMessage)) == 1
        assert thread.run("echo: next").final_response == "next"


def test_an_async_tool_that_blocks_holds_up_no_other_turn_and_no_other_tool(codex):
    stuck, released = threading.Event(), threading.Event()

    async def stick() -> str:
        stuck.set()
        released.wait()
        return "released"

    async def greet() -> str:
        return "hello"

    handle = codex.thread_start(tools=(stick,)).turn(use("stick"))
    assert stuck.wait(10)
    try:
        assert codex.thread_start().run("echo: meanwhile").final_response == "meanwhile"
        other = codex.thread_start(tools=(greet,)).run(use("greet"))
        assert [call.content_items[0]["text"] for call in done(other, ToolCall)] == ["hello"]
        handle.interrupt()
        assert done(handle.run(), ToolCall)[0].status == "unfinished"
    finally:
        released.set()
