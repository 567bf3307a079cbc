"""A turn from start to end, on an engine that is one function."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from codex_magic.engines.seam import TurnRequest
from codex_magic.protocol.errors import StoreError, UsageLimitError
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    CommandOutputDelta,
    ItemCompleted,
    ItemStarted,
    Notification,
    Reasoning,
    ReasoningSummaryDelta,
    TextInput,
    Turn,
    TurnCompleted,
    TurnStarted,
    TurnStatus,
    UserMessage,
    Warned,
)
from codex_magic.threads.history import history_items
from codex_magic.threads.store import AsyncStore
from codex_magic.threads.turns import AsyncTurnHandle

ANSWER = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}


class Told:
    """An engine that tells a list of notifications, then returns, raises or waits for ever."""

    def __init__(self, *script, end=None):
        self.script, self.end, self.closed = script, end, asyncio.Event()

    async def run(self, request, tell):
        try:
            for make in self.script:
                tell(make(request))
            if isinstance(self.end, BaseException):
                raise self.end
            if self.end == "hang":
                await asyncio.Event().wait()
        finally:
            self.closed.set()

    async def close(self):
        pass


def delta(text):
    return lambda request: AgentMessageDelta(request.thread_id, request.turn_id, "m1", text)


def completed(request):
    return ItemCompleted(request.thread_id, request.turn_id, AgentMessage("m1", "hello"), (ANSWER,))


@asynccontextmanager
async def turn(engine, path):
    store = AsyncStore(path)
    thread = await store.run(lambda s: s.create_thread())
    record = await store.run(lambda s: s.begin_turn(thread.id, provider="p"))
    request = TurnRequest(thread_id=thread.id, turn_id=record.id, inputs=(TextInput("hi"),), instructions="x")
    yield AsyncTurnHandle(engine, request, store), store
    await store.close()


def run(test):
    return asyncio.run(asyncio.wait_for(test, 60))


def test_a_turn_ends_in_one_completion_and_its_items_are_kept(tmp_path):
    async def scene():
        async with turn(Told(delta("hel"), delta("lo"), completed), tmp_path / "t.db") as (handle, store):
            told = [notification async for notification in handle.stream()]
            kept = await store.run(lambda s: s.turn(handle.id))
        assert [type(n) for n in told] == [AgentMessageDelta, AgentMessageDelta, ItemCompleted, TurnCompleted]
        assert handle.result.final_response == "hello"
        assert (kept.status, kept.items[0].response_items) == (TurnStatus.completed, (ANSWER,))

    run(scene())


def test_two_listeners_get_the_same_also_when_one_comes_late(tmp_path):
    async def scene():
        async with turn(Told(delta("a"), completed), tmp_path / "t.db") as (handle, _):
            first: list[Notification] = []
            late: list[Notification] = []
            handle.subscribe(first.append)
            await handle.run()
            handle.subscribe(late.append)
        assert first == late != []

    run(scene())


def test_an_interrupted_turn_keeps_its_partial_text_and_sends_it_again(tmp_path):
    async def scene():
        engine = Told(delta("half an "), delta("ans"), end="hang")
        async with turn(engine, tmp_path / "t.db") as (handle, store):
            stream = handle.stream()
            assert [(await anext(stream)).delta for _ in range(2)] == ["half an ", "ans"]
            await handle.interrupt()
            kept = await store.run(lambda s: s.history(handle.thread_id))
            await stream.aclose()
        assert engine.closed.is_set()
        assert handle.result.status is TurnStatus.interrupted
        assert handle.result.final_response == "half an ans"
        sent = history_items(kept, provider="p")
        assert [item["role"] for item in sent] == ["assistant", "developer"]

    run(scene())


def test_interrupting_twice_or_after_the_end_is_harmless(tmp_path):
    async def scene():
        async with turn(Told(completed), tmp_path / "t.db") as (handle, _):
            await handle.run()
            await handle.interrupt()
            await handle.interrupt()
        assert handle.result.status is TurnStatus.completed

    run(scene())


def test_a_turn_interrupted_before_it_began_is_interrupted(tmp_path):
    async def scene():
        async with turn(Told(end="hang"), tmp_path / "t.db") as (handle, _):
            await handle.interrupt()
        assert handle.result.status is TurnStatus.interrupted

    run(scene())


def test_leaving_the_stream_early_stops_the_turn(tmp_path):
    async def scene():
        engine = Told(delta("a"), end="hang")
        async with turn(engine, tmp_path / "t.db") as (handle, _):
            stream = handle.stream()
            await anext(stream)
            await stream.aclose()
            await engine.closed.wait()

    run(scene())


def test_a_failed_turn_raises_its_error_with_what_arrived(tmp_path):
    async def scene():
        engine = Told(delta("part"), end=UsageLimitError(resets_at=1, window=300))
        async with turn(engine, tmp_path / "t.db") as (handle, _):
            with pytest.raises(UsageLimitError) as failed:
                await handle.run()
        assert failed.value.result.final_response == "part"
        assert failed.value.result.error.codex_error_info == "usageLimitExceeded"

    run(scene())


def test_a_bug_in_the_engine_ends_the_turn_too(tmp_path):
    async def scene():
        async with turn(Told(end=KeyError("x")), tmp_path / "t.db") as (handle, _):
            with pytest.raises(KeyError):
                await handle.run()
        assert handle.result.status is TurnStatus.failed

    run(scene())


def test_open_reasoning_is_kept_but_not_sent_again(tmp_path):
    async def scene():
        def started(request):
            return ItemStarted(request.thread_id, request.turn_id, Reasoning("r1"))

        def thought(request):
            return ReasoningSummaryDelta(request.thread_id, request.turn_id, "r1", "Hm", 0)

        async with turn(Told(started, thought, end="hang"), tmp_path / "t.db") as (handle, store):
            stream = handle.stream()
            await anext(stream), await anext(stream)
            await handle.interrupt()
            kept = await store.run(lambda s: s.turn(handle.id))
            await stream.aclose()
        assert kept.items[0].item.summary == ("Hm",)
        assert kept.items[0].response_items == ()

    run(scene())


def test_an_answer_that_cannot_be_kept_is_an_error_that_has_it(tmp_path):
    async def scene():
        def long(request):
            return ItemCompleted(request.thread_id, request.turn_id, AgentMessage("m1", "hello" * 50_000), ())

        async with turn(Told(long), tmp_path / "t.db") as (handle, store):
            await store.run(lambda s: s._db.execute("PRAGMA max_page_count = 1"))  # a disk without space
            with pytest.raises(StoreError, match="no space") as unkept:
                await handle.run()
            told = [notification async for notification in handle.stream()]
        assert isinstance(told[-2], Warned)
        assert unkept.value.result.final_response == "hello" * 50_000
        assert unkept.value.result.status is TurnStatus.completed

    run(scene())


def test_what_is_being_produced_is_kept_piece_by_piece_and_once(tmp_path):
    async def scene():
        more = asyncio.Event()

        class Slow(Told):
            async def run(self, request, tell):
                for make in self.script[:-2]:
                    tell(make(request))
                await more.wait()
                for make in self.script[-2:]:
                    tell(make(request))

        def thought(request):
            return ReasoningSummaryDelta(request.thread_id, request.turn_id, "r1", "Hm", 0)

        def ran(request):
            return CommandOutputDelta(request.thread_id, request.turn_id, "c1", "1 passed")

        command = started(CommandExecution("c1", "pytest"))
        engine = Slow(thought, command, ran, delta("hel"), delta("lo"), completed)
        async with turn(engine, tmp_path / "t.db") as (handle, store):
            stream = handle.stream()
            for _ in range(4):
                await anext(stream)
            await handle.keep()
            begun = await store.run(lambda s: s.history(handle.thread_id))
            more.set()
            await handle.run()
            kept = await store.run(lambda s: s.turn(handle.id))
            left = await store.run(lambda s: s._db.execute("SELECT * FROM partials").fetchall())
            await stream.aclose()
        reasoning, command, message = [entry.item for entry in begun[0].items]
        assert (reasoning.summary, command.aggregated_output, message.text) == (("Hm",), "1 passed", "hel")
        assert command.status == "inProgress"
        assert begun[0].items[2].response_items[0]["content"][0]["text"] == "hel"
        assert [entry.item.text for entry in kept.items if isinstance(entry.item, AgentMessage)] == ["hello"]
        assert left == []

    run(scene())


def test_a_whole_message_without_its_text_keeps_what_its_deltas_said(tmp_path):
    async def scene():
        def empty(request):
            return ItemCompleted(request.thread_id, request.turn_id, AgentMessage("m1", ""), ())

        async with turn(Told(delta("hel"), delta("lo"), empty), tmp_path / "t.db") as (handle, store):
            assert (await handle.run()).final_response == "hello"
            kept = await store.run(lambda s: s.history(handle.thread_id))
        assert history_items(kept, provider="p")[0]["content"][0]["text"] == "hello"

    run(scene())


def test_another_providers_encrypted_reasoning_is_not_sent(tmp_path):
    async def scene():
        sealed = {"type": "reasoning", "summary": [], "encrypted_content": "x"}

        def reasoned(request):
            return ItemCompleted(request.thread_id, request.turn_id, Reasoning("r1"), (sealed,))

        async with turn(Told(reasoned, completed), tmp_path / "t.db") as (handle, store):
            await handle.run()
            kept = await store.run(lambda s: s.history(handle.thread_id))
        assert history_items(kept, provider="p") == (sealed, ANSWER)
        assert history_items(kept, provider="q") == (ANSWER,)

    run(scene())


def test_the_turn_that_started_names_its_model(tmp_path):
    async def scene():
        def started(request):
            return TurnStarted(
                request.thread_id, Turn(request.turn_id, TurnStatus.in_progress), "local-large"
            )

        async with turn(Told(started, completed), tmp_path / "t.db") as (handle, store):
            await handle.run()
            kept = await store.run(lambda s: s.turn(handle.id))
        assert kept.model == "local-large"

    run(scene())


def started(item):
    return lambda request: ItemStarted(request.thread_id, request.turn_id, item)


def printed(text):
    return lambda request: CommandOutputDelta(request.thread_id, request.turn_id, "c1", text)


def test_an_answer_broken_off_by_more_input_is_kept_in_its_place(tmp_path):
    async def scene():
        more = started(UserMessage("u2", (TextInput("more"),)))
        answer = ItemCompleted("t", "u", AgentMessage("m2", "both"))
        async with turn(Told(delta("beginn"), more, lambda _: answer), tmp_path / "t.db") as (handle, _):
            result = await handle.run()
        assert [item.text for item in result.items] == ["beginn", "both"]
        assert result.final_response == "both"

    run(scene())


@pytest.mark.parametrize(("end", "status"), [(None, "inProgress"), (UsageLimitError(), "failed")])
def test_a_command_that_nobody_completed_has_the_output_so_far(tmp_path, end, status):
    async def scene():
        script = started(CommandExecution("c1", "make")), printed("a"), printed("b")
        async with turn(Told(*script, end=end), tmp_path / "t.db") as (handle, store):
            async for _ in handle.stream():
                pass
            kept = await store.run(lambda s: s.turn(handle.id))
        assert kept.items[0].item == CommandExecution("c1", "make", status=status, aggregated_output="ab")

    run(scene())
