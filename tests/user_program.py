"""What a type checker makes of the public names: it is checked by mypy, and never run.

Each `type: ignore` is a mistake that has to be noticed: where mypy finds none, it says that the comment is unused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from typing_extensions import assert_type

from codex_magic import (
    AgentMessageDelta,
    AsyncClient,
    AsyncCodex,
    AsyncThread,
    AsyncTurnHandle,
    Client,
    Codex,
    CodexConfig,
    Notification,
    Response,
    Sandbox,
    Settings,
    Thread,
    ThreadPage,
    Tool,
    TurnHandle,
    TurnResult,
    UsageLimitError,
    ask,
    ask_async,
    tool,
)
from codex_magic.auth import TokenData, login


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(name="double")
def twice(text: str) -> str:
    return text * 2


async def values() -> None:
    assert_type(ask("Hello", [1, 2]), str)
    assert_type(ask("How many?", schema=int), int)
    assert_type(await ask_async("How many?", schema=int, model="m"), int)
    ask("Hello", modle="m")  # type: ignore[call-overload]


def threads() -> None:
    with Codex(CodexConfig(engine="app-server")) as codex:
        thread = codex.thread_start(name="a", sandbox=Sandbox.read_only, tools=[add, twice])
        assert_type(thread, Thread)
        assert_type(thread.id, str)
        assert_type(codex.thread_resume(thread.id), Thread)
        assert_type(codex.thread_list(search_term="a"), ThreadPage)
        turn = thread.turn("Hello", effort="low")
        assert_type(turn, TurnHandle)
        assert_type(turn.stream(), Iterator[Notification])
        for notification in turn.stream():
            if isinstance(notification, AgentMessageDelta):
                assert_type(notification.delta, str)
        assert_type(thread.run("And then?"), TurnResult)
        assert_type(thread.run("And then?").final_response, str | None)
        codex.thread_start(modle="gpt")  # type: ignore[call-arg]
        codex.thread_start(model=5)  # type: ignore[arg-type]
        thread.turn("Hello", efort="low")  # type: ignore[call-arg]
        thread.run(5)  # type: ignore[arg-type]
        turn.steer()  # type: ignore[call-arg]


async def threads_in_a_loop() -> None:
    async with AsyncCodex() as codex:
        thread = await codex.thread_start(name="a", model="gpt")
        assert_type(thread, AsyncThread)
        turn = await thread.turn("Hello")
        assert_type(turn, AsyncTurnHandle)
        assert_type(turn.stream(), AsyncIterator[Notification])
        assert_type(await thread.run("Hello"), TurnResult)
        await codex.thread_start(modle="gpt")  # type: ignore[call-arg]
        await thread.turn("Hello", efort="low")  # type: ignore[call-arg]


def requests() -> None:
    with Client(settings=Settings.from_env()) as client:
        response = client.responses.create("Hello", model="gpt", tools=[add])
        assert_type(response, Response)
        assert_type(response.output_text, str)
        with client.responses.create("Hello", stream=True) as stream:
            assert_type(stream.text_deltas(), Iterator[str])
        with client.responses.stream("Hello") as stream:
            assert_type(stream.get_final_response(), Response)
            stream.get_final_answer()  # type: ignore[attr-defined]
        client.responses.create("Hello", modle="gpt")  # type: ignore[call-overload]
        client.responses.stream("Hello", modle="gpt")  # type: ignore[call-arg]


async def requests_in_a_loop() -> None:
    async with AsyncClient() as client:
        assert_type(await client.responses.create("Hello"), Response)
        async with client.responses.stream("Hello") as stream:
            assert_type(stream.text_deltas(), AsyncIterator[str])
        await client.responses.create("Hello", modle="gpt")  # type: ignore[call-overload]


def others() -> None:
    from codex_magic import TurnResut  # type: ignore[attr-defined]

    print(TurnResut)
    assert_type(add, Tool)
    assert_type(twice, Tool)
    token = login(headless=True)
    assert_type(token, TokenData)
    print(token.acces_token)  # type: ignore[attr-defined]
    try:
        requests()
    except UsageLimitError as error:
        assert_type(error.resets_at, int | None)
        assert_type(error.hint, str)
        print(error.resets)  # type: ignore[attr-defined]
