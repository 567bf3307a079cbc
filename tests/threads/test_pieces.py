"""Text in pieces, in every order in which engines tell it: none is lost, none is kept twice."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec
import pytest

from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    CommandOutputDelta,
    ErrorReported,
    ItemCompleted,
    ItemStarted,
    Plan,
    PlanDelta,
    Reasoning,
    ReasoningSummaryDelta,
    ReasoningTextDelta,
    ToolCall,
    TurnCompleted,
    TurnError,
)
from tests.threads.test_turns import Told, turn

COMMAND = CommandExecution("i", "make", "/", "inProgress")


def told(delta: Any, *more: Any) -> Any:
    return lambda at, text: delta(*at, "i", text, *more)


KINDS: list[Any] = [
    (AgentMessage("i", ""), told(AgentMessageDelta), lambda item: item.text),
    (Plan("i", ""), told(PlanDelta), lambda item: item.text),
    (Reasoning("i"), told(ReasoningSummaryDelta, 0), lambda item: item.summary[0]),
    (Reasoning("i"), told(ReasoningTextDelta, 0), lambda item: item.content[0]),
    (COMMAND, told(CommandOutputDelta), lambda item: item.aggregated_output),
]


def started(item):
    return lambda request: ItemStarted(request.thread_id, request.turn_id, item)


def completed(item):
    return lambda request: ItemCompleted(request.thread_id, request.turn_id, item)


def broke(request):
    error = TurnError("Reconnecting... 1/5")
    return ErrorReported(request.thread_id, request.turn_id, error, will_retry=True)


def items_of(tmp_path, *script, end=None, kept_between=False):
    """The items that are told as complete, and those that the store has; both are the same."""

    async def scene():
        async with turn(Told(*script, end=end), tmp_path / "t.db") as (handle, store):
            told: list[Any] = []
            all_told = asyncio.Event()
            handle.subscribe(told.append)
            handle.subscribe(lambda _: all_told.set() if len(told) == len(script) else None)
            if end == "hang":
                await all_told.wait()
                if kept_between:
                    await handle.keep()
                    broken_off = await store.run(lambda s: s.turn(handle.id))
                await handle.interrupt()
            else:
                await handle.ended()
            kept = await store.run(lambda s: s.turn(handle.id))
        assert isinstance(told[-1], TurnCompleted)
        complete = [each.item for each in told if isinstance(each, ItemCompleted)]
        assert [entry.item for entry in kept.items] == complete
        if kept_between:
            assert len(broken_off.items) == len(complete)
            return [entry.item for entry in broken_off.items]
        return complete

    return asyncio.run(asyncio.wait_for(scene(), 60))


@pytest.mark.parametrize(("item", "delta", "text"), KINDS)
@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("end", ["whole", "empty", "none", "kept"])
def test_a_piece_may_come_before_its_start_and_the_whole_may_be_empty(
    tmp_path, item, delta, text, start, end
):
    script = [lambda request, word=word: delta((request.thread_id, request.turn_id), word) for word in "ab"]
    script.insert(start, started(item))
    if end == "empty":
        done = msgspec.structs.replace(item, status="completed") if item is COMMAND else item
        script.append(completed(done))
    elif end == "whole":
        names = {"text": "ab", "aggregated_output": "ab", "summary": ("ab",), "content": ("ab",)}
        own = {name: value for name, value in names.items() if hasattr(item, name)}
        script.append(completed(msgspec.structs.replace(item, **own)))
    hangs = {"end": "hang", "kept_between": end == "kept"} if end in ("none", "kept") else {}
    (kept,) = items_of(tmp_path, *script, **hangs)
    assert text(kept) == "ab"


@pytest.mark.parametrize(("item", "delta", "text"), KINDS)
def test_whoever_listens_gets_the_start_with_what_came_before_it(tmp_path, item, delta, text):
    async def scene():
        script = [lambda request: delta((request.thread_id, request.turn_id), "a"), started(item)]
        async with turn(Told(*script), tmp_path / "t.db") as (handle, _):
            return [each.item async for each in handle.stream() if isinstance(each, ItemStarted)]

    (told,) = asyncio.run(scene())
    assert text(told) == "a"


@pytest.mark.parametrize("again", ["i", "j"])
@pytest.mark.parametrize("with_start", [True, False])
def test_what_is_written_again_after_a_broken_connection_is_kept_once(tmp_path, again, with_start):
    def said(word, item_id="i"):
        return lambda request: AgentMessageDelta(request.thread_id, request.turn_id, item_id, word)

    starts = [started(AgentMessage(again, ""))] if with_start else []
    script = [started(AgentMessage("i", "")), said("Hello wor"), broke, *starts, said("Hello world", again)]
    for number, hangs in enumerate(({}, {"end": "hang", "kept_between": True})):
        (kept,) = items_of(tmp_path / str(number), *script, **hangs)
        assert kept.text == "Hello world"


def test_what_came_before_a_broken_connection_is_kept_where_nothing_follows(tmp_path):
    said = lambda request: AgentMessageDelta(request.thread_id, request.turn_id, "i", "Hello wor")  # noqa: E731
    (kept,) = items_of(tmp_path, said, broke, end="hang")
    assert kept.text == "Hello wor"


def test_no_order_of_notifications_breaks_a_turn_or_loses_a_text(tmp_path):
    """Each of three messages is told in two pieces; starts, ends, breaks and other items come anywhere."""
    for seed in range(60):
        chance = random.Random(seed)
        script = []
        for item_id in ("a", "b", "c"):
            pieces = [
                lambda request, i=item_id, n=n: AgentMessageDelta(
                    request.thread_id, request.turn_id, i, i + n
                )
                for n in "12"
            ]
            for extra in (
                started(AgentMessage(item_id, "")),
                started(COMMAND),
                completed(ToolCall("t", "f", {})),
            ):
                if chance.random() < 0.6:
                    pieces.insert(chance.randint(0, len(pieces)), extra)
            if chance.random() < 0.5:
                pieces.append(completed(AgentMessage(item_id, chance.choice(["", f"{item_id}1{item_id}2"]))))
            script += pieces
        end = chance.choice([None, "hang", KeyError("x")])
        kept = items_of(tmp_path / str(seed), *script, end=end)
        texts = [item.text for item in kept if isinstance(item, AgentMessage)]
        assert sorted(texts) == ["a1a2", "b1b2", "c1c2"], seed


def test_output_of_a_command_that_never_began_is_no_command(tmp_path):
    output = lambda request: CommandOutputDelta(request.thread_id, request.turn_id, "i", "x")  # noqa: E731
    assert items_of(tmp_path, output) == []
