"""`abort()` from anywhere, at any moment: the reader hears of it, the service too, and what arrived is kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from codex_magic.protocol.errors import ResponseAborted
from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.events import OutputTextDelta
from codex_magic.responses.exchange import PATIENT, RetryPolicy
from codex_magic.responses.provider import custom
from tests.responses.wire import CREATED, DROP, HANG, Answer, Seen, Wire, delta, good, plain, stream
from tests.service import LocalService, Pace, start

BEGUN = stream(CREATED, delta("Hel"), HANG)


def test_a_thread_that_waits_for_the_next_event(wire: Wire, client: Client) -> None:
    wire.answer(BEGUN)
    with client.responses.stream("hi", model="m") as events, ThreadPoolExecutor() as pool:
        assert next(events.text_deltas()) == "Hel"
        reading = pool.submit(list, events)
        events.abort()
        with pytest.raises(ResponseAborted) as caught:
            reading.result(10)
    assert wire.left.wait(10)
    assert caught.value.response.output_text == events.output_text == "Hel"


def test_between_two_events(wire: Wire, client: Client) -> None:
    """What had come with the last one is kept, and not delivered any more."""
    wire.answer(stream(CREATED + delta("Hel") + delta("lo"), HANG))
    events = client.responses.create("hi", model="m", stream=True)
    next(events)
    events.abort()
    with pytest.raises(ResponseAborted):
        next(events)
    assert events.output_text == "Hello"
    with pytest.raises(ResponseAborted):
        events.get_final_response()
    assert len(wire.requests) == 1


def test_after_the_end_it_is_harmless(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good("Hello")))
    with client.responses.stream("hi", model="m") as events:
        events.until_done()
        events.abort()
        assert events.get_final_response().output_text == "Hello"
    client.abort()
    client.responses.create("hi", model="m")
    assert wire.connections == 1


def test_before_the_request(wire: Wire, client: Client) -> None:
    events = client.responses.stream("hi", model="m")
    events.abort()
    with pytest.raises(ResponseAborted):
        list(events)
    assert wire.requests == []


def test_a_whole_response_that_another_thread_waits_for(wire: Wire, client: Client) -> None:
    wire.answer(BEGUN)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.responses.create, "hi", model="m")
        while not waiting.done():
            client.abort()
        with pytest.raises(ResponseAborted):
            waiting.result()


def aborted_while_it_waits(wire: Wire, client: Client, begun: Answer, request: Callable[[], object]) -> None:
    """Abort what asks a server that says no more than `begun`."""
    waits = threading.Event()

    def hang(_: Seen) -> Answer:
        waits.set()
        return [*begun, HANG]

    wire.answer_by(hang)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(request)
        assert waits.wait(10)
        client.abort()
        with pytest.raises(ResponseAborted):
            waiting.result(10)


@pytest.mark.parametrize("begun", [[], [b"HTTP/1.1 429 X\r\n\r\nSlow", HANG]], ids=["nothing", "an error"])
@pytest.mark.parametrize("is_kept", [False, True], ids=["a new connection", "a kept connection"])
def test_before_an_answer_has_come(wire: Wire, client: Client, begun: Answer, is_kept: bool) -> None:
    if is_kept:
        wire.answer(stream(*good("Hello")))
        client.responses.create("hi", model="m")
    aborted_while_it_waits(wire, client, begun, lambda: client.responses.create("hi", model="m"))
    assert wire.left.wait(10)
    assert wire.connections == 1
    wire.answer_by(lambda _: stream(*good("Hello")))
    assert client.responses.create("hi", model="m").output_text == "Hello"


@pytest.mark.parametrize(
    ("answer", "retry"),
    [(plain(429, retry_after="50"), PATIENT), (stream(CREATED, DROP), RetryPolicy(first_wait=50))],
    ids=["after a refusal", "after an answer that broke"],
)
def test_a_wait_before_another_attempt(
    answer: Answer, retry: RetryPolicy, wire: Wire, settings: Settings
) -> None:
    wire.answer(answer)
    paused = threading.Event()
    with Client(custom(wire.url), settings=settings, retry=retry) as client, ThreadPoolExecutor() as pool:
        events = client.responses.stream("hi", model="m", on_retry=lambda *_: paused.set())
        reading = pool.submit(list, events)
        assert paused.wait(10)
        events.abort()
        with pytest.raises(ResponseAborted):
            reading.result(10)
    assert len(wire.requests) == 1


@pytest.mark.parametrize("begun", [[], [b"HTTP/1.1 200 OK\r\n\r\n{", HANG]], ids=["nothing", "a part"])
def test_a_list_of_models(wire: Wire, client: Client, begun: Answer) -> None:
    aborted_while_it_waits(wire, client, begun, client.models.list)
    assert len(wire.requests) == 1


# asyncio -----------------------------------------------------------------------------------------


def in_a_thread(abort: Callable[[], None]) -> None:
    threading.Thread(target=abort).start()


def at_once(abort: Callable[[], None]) -> None:
    abort()


@pytest.mark.parametrize("end", [at_once, in_a_thread])
def test_a_task_that_waits_for_the_next_event(
    wire: Wire, settings: Settings, end: Callable[[Callable[[], None]], None]
) -> None:
    wire.answer(BEGUN)

    async def main() -> str:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            async with client.responses.stream("hi", model="m") as events:
                assert await anext(events.text_deltas()) == "Hel"
                reading = asyncio.create_task(events.get_final_response())
                await asyncio.sleep(0)
                end(events.abort)
                with pytest.raises(ResponseAborted):
                    await reading
            return events.output_text

    assert asyncio.run(main()) == "Hel"
    assert wire.left.wait(10)


@pytest.mark.parametrize("answer", [[HANG], plain(429, retry_after="50")], ids=["first byte", "retry"])
def test_a_task_that_waits_for_an_answer(wire: Wire, settings: Settings, answer: list[bytes]) -> None:
    wire.answer(answer)  # type: ignore[arg-type]  # a list of parts is one

    async def main() -> None:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            reading = asyncio.create_task(client.responses.create("hi", model="m"))
            while not reading.done():
                client.abort()
                await asyncio.sleep(0)
            with pytest.raises(ResponseAborted):
                await reading

    asyncio.run(main())


def test_a_foreign_cancellation_stays_one(wire: Wire, settings: Settings) -> None:
    wire.answer(BEGUN)

    async def main() -> None:
        async with AsyncClient(custom(wire.url), settings=settings) as client:
            events = await client.responses.create("hi", model="m", stream=True)
            assert await anext(events.text_deltas()) == "Hel"
            reading = asyncio.create_task(events.get_final_response())
            await asyncio.sleep(0)
            reading.cancel()
            events.abort()
            with pytest.raises(asyncio.CancelledError):
                await reading

    asyncio.run(main())


# The service stops too ---------------------------------------------------------------------------


def test_the_service_sees_the_end(service: LocalService) -> None:
    with Client() as client, client.responses.stream("pace: 50\nrepeat 100000") as events:
        for event in events:
            if isinstance(event, OutputTextDelta):
                break
        events.abort()
        service.wait_for_disconnect(path="/responses")
        with pytest.raises(ResponseAborted):
            next(events)


def test_two_hundred_at_once(settings: Settings) -> None:
    async def main(service: LocalService) -> list[object]:
        async with AsyncClient(custom(service.api_url, "k"), settings=settings) as client:
            tasks = [
                asyncio.create_task(client.responses.create("repeat 100000", model="local-large"))
                for _ in range(200)
            ]
            await asyncio.to_thread(service.wait_for_request, count=200)
            client.abort()
            return await asyncio.gather(*tasks, return_exceptions=True)

    with start(pace=Pace(1)) as service:
        outcomes = asyncio.run(main(service))
    assert {type(outcome) for outcome in outcomes} == {ResponseAborted}
