"""Models, servers, functions and people that never come to an end: the turn does, and says why."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from codex_magic import (
    Codex,
    CodexConfig,
    CodexError,
    OutputError,
    RateLimitError,
    Thread,
    TurnStatus,
    tool,
)
from codex_magic.engines.backend import MOST_COMPACTIONS
from codex_magic.protocol.types import AgentMessage, AgentMessageDelta, ContextCompaction, ToolCall, Warned
from codex_magic.responses.tool_turn import FUTILE_ROUNDS, MOST_RETRIES, MOST_ROUNDS
from tests.responses.wire import CREATED, Answer, Wire, completed, delta, event, message, plain, stream


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()


@pytest.fixture
def codex(wire: Wire) -> Iterator[Codex]:
    with Codex(CodexConfig(provider=wire.url, model="m")) as codex:
        yield codex


def act(n: int) -> str:
    return "done"


def call(name: str, kind: str = "function_call", **more: Any) -> bytes:
    given = {"arguments": '{"n": 1}'} if kind == "function_call" else {"input": "1"}
    item = {"type": kind, "call_id": "c", "name": name, **given, **more}
    return event("response.output_item.done", output_index=1, item=item)


def answers(*answers: bytes) -> list[Answer]:
    return [stream(CREATED, answer, completed()) for answer in answers]


def failure(thread: Thread, prompt: str = "hi", **options: Any) -> CodexError:
    with pytest.raises(CodexError) as caught:
        thread.run(prompt, **options)
    return caught.value


# Models that go on calling -----------------------------------------------------------------------

NOBODYS = {
    "a function": [call("exec")],
    "a function in a namespace": [call("exec", namespace="shell")],
    "a custom tool": [call("apply_patch", "custom_tool_call")],
    "another one each time": [call(f"tool_{n}") for n in range(50)],
    "two at once": [call("a") + call("b", "custom_tool_call", call_id="d")],
}


@pytest.mark.parametrize("tools", [(), (act,)], ids=["without tools", "beside one that exists"])
@pytest.mark.parametrize("called", NOBODYS.values(), ids=NOBODYS)
def test_a_model_that_calls_what_nobody_offered_is_told_so_and_then_stopped(
    codex: Codex, wire: Wire, called: list[bytes], tools: tuple[Any, ...]
) -> None:
    wire.answer(*answers(*called))
    error = failure(codex.thread_start(tools=tools))
    assert isinstance(error, OutputError)
    assert "gave no answer" in str(error)
    assert len(wire.requests) == FUTILE_ROUNDS + 1
    told = [item["output"] for item in wire.requests[-1].json["input"] if "output" in item]
    assert all("There is no tool" in text for text in told)
    assert "tool_choice" not in wire.requests[-1].json or tools


TIRELESS = {
    "one that works": [call("act")],
    "one that can not be run": [call("act", arguments="{}")],
    "one that works and one that is not there": [call("act"), call("exec")] * 50,
}


@pytest.mark.parametrize("called", TIRELESS.values(), ids=TIRELESS)
def test_a_model_that_never_answers_is_stopped(codex: Codex, wire: Wire, called: list[bytes]) -> None:
    wire.answer(*answers(*called))
    error = failure(codex.thread_start(tools=(act,)))
    assert "gave no answer" in str(error)
    assert len(wire.requests) == MOST_ROUNDS + 1
    assert wire.requests[-1].json["tool_choice"] == "none"


def test_what_was_said_before_the_turn_was_stopped_is_kept(codex: Codex, wire: Wire) -> None:
    wire.answer(*answers(message("Let me see.") + call("exec")))
    thread = codex.thread_start()
    result = failure(thread).result
    assert [item.text for item in result.items if isinstance(item, AgentMessage)] == ["Let me see."] * 4
    wire.answer(*answers(message("Here.")))
    assert thread.run("again").final_response == "Here."
    calls, outputs = (
        [item for item in wire.requests[-1].json["input"] if item["type"] == kind]
        for kind in ("function_call", "function_call_output")
    )
    assert len(calls) == len(outputs) == FUTILE_ROUNDS + 1


@pytest.mark.parametrize(
    "kind", ["local_shell_call", "shell_call", "computer_call", "apply_patch_call", "tool_search_call"]
)
def test_a_call_of_a_kind_that_nothing_here_runs_is_named_and_does_not_spoil_the_thread(
    codex: Codex, wire: Wire, kind: str
) -> None:
    wire.answer(*answers(call("x", kind)))
    thread = codex.thread_start()
    told = list(thread.turn("hi").stream())
    assert [kind in each.message for each in told if isinstance(each, Warned)] == [True]
    wire.answer(*answers(message("Here.")))
    assert thread.run("again").final_response == "Here."
    assert len(wire.requests) == 2
    assert kind not in str(wire.requests[-1].json["input"])


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "w", "status": "in_progress"},
        {"type": "mcp_approval_request", "id": "m", "name": "x", "arguments": "{}", "server_label": "s"},
        {"type": "something_new", "call_id": "c"},
        {"type": "reasoning", "summary": []},
    ],
)
def test_what_is_no_call_ends_the_turn(codex: Codex, wire: Wire, item: dict[str, Any]) -> None:
    wire.answer(*answers(event("response.output_item.done", output_index=0, item=item)))
    assert codex.thread_start().run("hi").status is TurnStatus.completed
    assert len(wire.requests) == 1


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete"])
def test_an_empty_or_unfinished_answer_ends_the_turn(codex: Codex, wire: Wire, end: str) -> None:
    wire.answer(stream(CREATED, event(end, response={"id": "r", "status": end.split(".")[1], "output": []})))
    assert codex.thread_start().run("hi").status is TurnStatus.completed
    assert len(wire.requests) == 1


# Servers -----------------------------------------------------------------------------------------

BUSY = plain(429, {"error": {"message": "too fast"}}, retry_after="0")


def test_a_turn_is_not_repeated_without_end_although_each_request_comes_through_at_last(
    codex: Codex, wire: Wire
) -> None:
    [called] = answers(call("act"))
    wire.answer(*[BUSY, BUSY, BUSY, BUSY, called] * 20)
    error = failure(codex.thread_start(tools=(act,)))
    assert isinstance(error, RateLimitError)
    assert len(wire.requests) == MOST_RETRIES + 1 + MOST_RETRIES // 4


REFUSALS = {
    "too fast": (BUSY, 6),
    "not signed in": (plain(401, {"error": {"message": "no"}}), 1),
    "a redirect to itself": (plain(307, location="/responses"), 1),
    "another redirect": (plain(302, location="/responses"), 1),
}


@pytest.mark.parametrize(("refusal", "requests"), REFUSALS.values(), ids=REFUSALS)
def test_a_server_that_always_refuses_is_left_alone(
    codex: Codex, wire: Wire, refusal: Answer, requests: int
) -> None:
    wire.answer(refusal)
    failure(codex.thread_start())
    assert len(wire.requests) == requests


def flood(wire: Wire, piece: bytes) -> None:
    """Answer with a stream of `piece` for as long as the client reads."""
    head = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + CREATED
    wire.answer_by(lambda seen: itertools.chain([head], itertools.repeat(piece)))


WORD = delta("word ")
THOUGHT = event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="hm ")


@pytest.mark.parametrize("piece", [WORD, THOUGHT], ids=["words", "thoughts"])
def test_an_answer_without_end_is_stopped_by_the_user_with_what_it_said(
    codex: Codex, wire: Wire, piece: bytes
) -> None:
    flood(wire, piece)
    handle = codex.thread_start().turn("hi")
    told = handle.stream()
    for _ in range(20):
        next(told)
    handle.interrupt()
    result = handle.asynchronous.result
    assert result is not None
    assert result.status is TurnStatus.interrupted
    assert ("word" if piece is WORD else "hm") in str(result.items)


@pytest.mark.parametrize("piece", [WORD, THOUGHT], ids=["words", "thoughts"])
def test_an_answer_without_end_ends_at_its_longest(
    codex: Codex, wire: Wire, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_magic.responses.exchange.LONGEST_ANSWER", 1 << 20)
    flood(wire, piece)
    error = failure(codex.thread_start())
    assert "longer than 1 MiB" in str(error)
    assert ("word" if piece is WORD else "hm") in str(error.result.items)
    assert len(wire.requests) == 1


def test_a_context_that_stays_full_is_not_shortened_without_end(codex: Codex, wire: Wire) -> None:
    usage = {"input_tokens": 90_000, "output_tokens": 10, "total_tokens": 90_010}
    answers = {
        "/models": plain(200, {"models": [{"slug": "m", "context_window": 10_000, "visibility": "list"}]}),
        "/responses/compact": plain(200, {"id": "r", "output": [{"type": "compaction"}], "usage": usage}),
        "/responses": stream(CREATED, call("act"), completed(usage=usage)),
    }
    wire.answer_by(lambda seen: answers[seen.path])
    result = failure(codex.thread_start(tools=(act,))).result
    assert len([item for item in result.items if isinstance(item, ContextCompaction)]) == MOST_COMPACTIONS
    assert len([item for item in result.items if isinstance(item, ToolCall)]) == MOST_ROUNDS + 1


# Functions and people ----------------------------------------------------------------------------


class Deaf:
    """Asynchronous functions that go on when they are cancelled, until the test is over."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()

    async def work(self, *_: Any) -> str:
        self.begun.set()
        while not self.over.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        return "accept"

    def block(self, *_: Any) -> str:
        self.begun.set()
        self.over.wait()
        return "accept"


@pytest.fixture
def deaf() -> Iterator[Deaf]:
    deaf = Deaf()
    yield deaf
    deaf.over.set()


@pytest.mark.parametrize("how", ["work", "block"])
@pytest.mark.parametrize("who", ["a function", "one of two functions", "somebody who is asked"])
def test_a_turn_can_be_stopped_whatever_it_waits_for(
    codex: Codex, wire: Wire, deaf: Deaf, how: str, who: str
) -> None:
    never = getattr(deaf, how)

    async def forever(n: int) -> str:
        return str(await never())

    def blocking(n: int) -> str:
        return str(never())

    function = tool(forever if how == "work" else blocking, name="act", needs_approval="asked" in who)
    called = call("act") + (call("act", call_id="d") if "two" in who else b"")
    wire.answer(*answers(called))
    approvals = never if "asked" in who else None
    thread = codex.thread_start(tools=(function,), approvals=approvals)
    handle = thread.turn("hi")
    assert deaf.begun.wait(10)
    handle.interrupt()
    result = handle.asynchronous.result
    assert result is not None
    assert result.status is TurnStatus.interrupted
    wire.answer(*answers(message("Here.")))
    assert thread.run("again").final_response == "Here."


def test_a_turn_that_somebody_steers_again_and_again_can_be_stopped(codex: Codex, wire: Wire) -> None:
    flood(wire, WORD)
    handle = codex.thread_start().turn("hi")
    told = handle.stream()
    for _ in range(3):
        while not isinstance(next(told), AgentMessageDelta):
            pass
        handle.steer("more")
    handle.interrupt()
    assert handle.asynchronous.result is not None
    assert handle.asynchronous.result.status is TurnStatus.interrupted
