"""One asynchronous object in several event loops, one after the other and at the same time."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_magic import (
    AgentMessageDelta,
    AsyncClient,
    AsyncCodex,
    AsyncThread,
    AsyncTurnHandle,
    Codex,
    CodexConfig,
    ConfigurationError,
    TurnCompleted,
    TurnStatus,
)
from tests.app_server.tireless_server import command
from tests.service import LocalService

# The connections of a loop that was closed without them are what this is about.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """No later test finds what one of these left open."""
    yield
    gc.collect()


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "left open"])
def test_a_client_in_one_loop_after_the_other(service: LocalService, closes: bool) -> None:
    client = AsyncClient()

    async def ask(word: str) -> str:
        answer = await client.responses.create(f"echo: {word}")
        if closes:
            await client.aclose()
        return answer.output_text

    assert [asyncio.run(ask(word)) for word in ("one", "two", "three")] == ["one", "two", "three"]


def test_a_client_in_two_loops_at_once(service: LocalService) -> None:
    client = AsyncClient()
    both = threading.Barrier(2, timeout=10)
    answers: list[str] = []

    async def ask(word: str) -> None:
        for _ in range(5):
            answers.append((await client.responses.create(f"echo: {word}")).output_text)
        await asyncio.to_thread(both.wait)  # until then neither is closed
        await client.aclose()

    threads = [threading.Thread(target=lambda word=word: asyncio.run(ask(word))) for word in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["a"] * 5 + ["b"] * 5


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "left open"])
def test_threads_in_one_loop_after_the_other(service: LocalService, closes: bool) -> None:
    codex = AsyncCodex()

    async def ask(word: str, thread_id: str | None) -> tuple[str | None, str]:
        thread = await (codex.thread_resume(thread_id) if thread_id else codex.thread_start())
        result = await thread.run(f"echo: {word}")
        assert len(await thread.history()) == (2 if thread_id else 1)
        if closes:
            await codex.close()
        return result.final_response, thread.id

    one, thread_id = asyncio.run(ask("one", None))
    two, _ = asyncio.run(ask("two", thread_id))
    assert (one, two) == ("one", "two")


def test_a_turn_that_was_left_with_its_loop_does_not_hold_up_the_next(service: LocalService) -> None:
    codex = AsyncCodex()
    service.faults.next("hold", after=1)

    async def leave() -> str:
        thread = await codex.thread_start()
        await thread.turn("echo: never")
        await asyncio.to_thread(service.wait_for_hold)
        return thread.id

    async def go_on(thread_id: str) -> str | None:
        thread = await codex.thread_resume(thread_id)
        return (await thread.run("echo: on")).final_response

    thread_id = asyncio.run(leave())
    service.release()
    assert asyncio.run(go_on(thread_id)) == "on"


def test_the_agent_in_one_loop_after_the_other(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "heard"
    codex = AsyncCodex(CodexConfig(engine="app-server", launch_args_override=command("quiet", log)))

    async def stop() -> None:
        handle = await (await codex.thread_start()).turn("hi")
        async for told in handle.stream():
            if told.method == "item/agentMessage/delta":
                await handle.interrupt()
                break
        await codex.close()

    async def leave() -> None:
        handle = await (await codex.thread_start()).turn("hi")
        begun = asyncio.Event()
        handle.subscribe(lambda told: begun.set() if told.method == "item/agentMessage/delta" else None)
        await begun.wait()

    asyncio.run(leave())
    asyncio.run(stop())
    assert log.read_text().split().count("initialize") == 2


def test_two_loops_at_once_are_one_too_many_for_threads(service: LocalService) -> None:
    codex = AsyncCodex()

    async def ask() -> str | None:
        return (await (await codex.thread_start()).run("echo: x")).final_response

    async def outer() -> None:
        assert await ask() == "x"
        with pytest.raises(ConfigurationError, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(ask()))
        assert await ask() == "x"
        await codex.close()

    asyncio.run(outer())


def test_a_codex_can_be_used_again_after_it_was_closed(service: LocalService) -> None:
    codex = Codex()
    for _ in range(2):
        assert codex.thread_start().run("echo: x").final_response == "x"
        codex.close()


def test_a_turn_that_runs_when_its_loop_ends_is_interrupted_with_what_came(service: LocalService) -> None:
    """As at the end of `asyncio.run`, which cancels every task."""
    codex = AsyncCodex()
    service.faults.next("hold", after=2)

    async def begin() -> tuple[AsyncThread, AsyncTurnHandle]:
        thread = await codex.thread_start()
        handle = await thread.turn("repeat 200", summary="none")
        said = asyncio.Event()
        handle.subscribe(lambda told: said.set() if isinstance(told, AgentMessageDelta) else None)
        await said.wait()
        return thread, handle

    async def look(thread: AsyncThread, handle: AsyncTurnHandle) -> list[tuple[TurnStatus, int]]:
        told = [each async for each in handle.stream()]
        assert isinstance(told[-1], TurnCompleted)
        assert (await handle.run()).status is TurnStatus.interrupted
        await thread.run("echo: on", summary="none")
        history = await thread.history()
        await codex.close()
        return [(turn.status, len(turn.items)) for turn in history]

    thread, handle = asyncio.run(begin())
    statuses = asyncio.run(asyncio.wait_for(look(thread, handle), 30))
    assert statuses == [(TurnStatus.interrupted, 2), (TurnStatus.completed, 2)]
