"""A server that repeats the key puts it nowhere: not into an event, an error, a log, the store or an output."""

from __future__ import annotations

import asyncio
import logging
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from codex_magic import AsyncClient, Client, Codex, CodexConfig
from codex_magic.protocol.errors import CodexError
from codex_magic.protocol.secrets import HIDDEN
from codex_magic.protocol.settings import Settings
from codex_magic.responses.exchange import RetryPolicy
from codex_magic.responses.provider import Provider, custom
from tests.echoes import (
    HEADERS,
    KEY,
    SPELLINGS,
    Echo,
    completed,
    created,
    deltas,
    echoing,
    events_with,
    message,
    refusals,
    shows,
    sse,
)

ONCE = RetryPolicy(request_retries=0, stream_retries=0)


@pytest.fixture
def echo():
    with echoing() as echo:
        yield echo


@pytest.fixture
def client(echo):
    with Client(custom(echo.url, KEY), retry=ONCE) as client:
        yield client


@pytest.fixture(autouse=True)
def logged(caplog):
    caplog.set_level(logging.DEBUG)
    return caplog


def told(error: BaseException) -> str:
    """All that an error holds, with its causes, as a traceback with locals shows them too."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    parts = traceback.TracebackException(type(error), error, trace, capture_locals=True).format()
    each: BaseException | None = error
    seen = ["".join(parts)]
    while each is not None:
        seen += [str(each), repr(each), repr(each.args), repr(vars(each))]
        each = each.__cause__ or each.__context__
    return "\n".join(seen)


def all_of(client: Client) -> str:
    """What comes of a question: each event and the response, or the error."""
    seen: list[str] = []
    try:
        with client.responses.stream("hi", model="m") as stream:
            seen += [repr(event) for event in stream]
            response = stream.get_final_response()
            seen += [repr(response), response.output_text]
    except CodexError as error:
        seen += [told(error), repr(error.response)]
    return "\n".join([*seen, repr(client.rate_limits), repr(vars(client._core))])


def answers(value: str) -> list[tuple[int, dict[str, str], bytes]]:
    streams = [sse(created(), event, completed()) for event in events_with(value)]
    ends = [
        sse(created(), {"type": "error", "error": {"message": value, "code": value, "param": value}}),
        sse(created(), {"type": "error", "message": value, "code": value, "param": value}),
        sse(
            {"type": "response.failed", "response": {"id": value, "error": {"code": value, "message": value}}}
        ),
        sse(created(model=value, usage={value: value}), message(value), completed(service_tier=value)),
        b"data: " + value.replace("\n", " ").encode() + b"\n\n" + sse(completed()),
        b'data: {"type": "' + value.replace("\n", " ").encode() + b"\n\n" + sse(completed()),
    ]
    return [*refusals(value), *((200, {}, body) for body in [*streams, *ends])]


def test_no_event_and_no_error_holds_the_key(echo: Echo, client: Client, logged: Any) -> None:
    for echo.answer in [*answers(KEY), *(each for value in SPELLINGS[1:] for each in answers(value)[::20])]:
        seen = all_of(client)
        assert not shows(seen), (echo.answer, seen)
    assert echo.keys[-1] == f"Bearer {KEY}"
    assert not shows(logged.text)


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("status", [200, 401, 500])
def test_no_header_is_quoted_with_the_key(
    echo: Echo, client: Client, logged: Any, name: str, status: int
) -> None:
    body = sse(created(), *deltas("hello", 5), message("hello"), completed()) if status == 200 else b""
    quiet = {"x-codex-primary-used-percent": "5", name: HEADERS[name]}
    echo.answer = status, quiet, body
    assert not shows(all_of(client))
    assert not shows(logged.text)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 13, 100])
def test_a_key_that_is_streamed_in_pieces_is_masked_in_each(echo: Echo, client: Client, size: int) -> None:
    text = f"Your key is {KEY}, keep {KEY} safe."
    clean = f"Your key is {HIDDEN}, keep {HIDDEN} safe."
    keepalive = {"type": "keepalive"}
    pieces = [each for delta in deltas(text, size) for each in (delta, keepalive)]
    for end in ([message(text), completed()], [completed()], []):
        echo.answer = 200, {}, sse(created(), *pieces, *end)
        seen, shown = [], ""
        with client.responses.stream("hi", model="m") as stream, suppress(CodexError):
            for event in stream:
                seen.append(repr(event))
                shown += getattr(event, "delta", "")
        assert stream.output_text == shown == clean
        assert not shows("".join(seen))


def test_other_ways_to_ask_are_masked_too(echo: Echo, logged: Any) -> None:
    async def ask(client: AsyncClient) -> str:
        try:
            return repr(await client.responses.create("hi", model="m"))
        except CodexError as error:
            return told(error)

    async def ask_all() -> None:
        async with AsyncClient(custom(echo.url, KEY), retry=ONCE) as client:
            for echo.answer in answers(KEY)[::5]:
                assert not shows(await ask(client))

    asyncio.run(ask_all())
    assert not shows(logged.text)


def test_a_catalog_names_no_key(echo: Echo, client: Client, home: Path) -> None:
    for body in (
        f'{{"models": [{{"slug": "{KEY}"}}]}}',
        f'{{"data": [{{"id": "{KEY}"}}]}}',
        KEY,
        f'["{KEY}"]',
    ):
        echo.answer = 200, {"etag": KEY}, body.encode()
        try:
            seen = repr(client.models.list(force_refresh=True))
        except CodexError as error:
            seen = told(error)
        assert not shows(seen)
    assert not any(shows(path.read_bytes().decode(errors="replace")) for path in _files(home))


@pytest.mark.parametrize(
    "provider",
    [
        lambda url: custom(url.replace("//", f"//me:{KEY}@")),
        lambda url: Provider("own", url, headers={"api-key": KEY}),
        lambda url: Provider("own", url, models_query={"api-key": KEY}),
    ],
    ids=["in the address", "in a header", "in a query"],
)
def test_a_key_in_another_place_is_masked_as_well(echo: Echo, logged: Any, provider: Any) -> None:
    with Client(provider(echo.url), retry=ONCE) as client:
        for echo.answer in list(refusals(KEY))[::6]:
            assert not shows(all_of(client))
            with pytest.raises(CodexError) as refused:
                client.models.list(force_refresh=True)
            assert not shows(told(refused.value))
    assert not shows(repr(client.provider))
    assert not shows(logged.text)


@pytest.mark.parametrize(
    "options", [{"extra_headers": {"x-api-key": KEY}}, {"extra_query": {"api_key": KEY}}]
)
def test_a_key_of_one_request_is_masked(echo: Echo, logged: Any, options: Any) -> None:
    echo.answer = 401, {}, f'{{"error": {{"message": "{KEY}"}}}}'.encode()
    with Client(custom(echo.url), retry=ONCE) as client, pytest.raises(CodexError) as refused:
        client.responses.create("hi", model="m", **options)
    assert HIDDEN in str(refused.value)
    assert not shows(str(refused.value) + repr(vars(refused.value)))
    assert not shows(logged.text)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("value", SPELLINGS[:3])
def test_a_turn_leaves_no_key_in_the_store(echo: Echo, home: Path, logged: Any, value: str) -> None:
    settings = Settings.from_env()
    config = CodexConfig(provider=custom(echo.url, KEY), model="m", settings=settings)
    streamed = sse(created(), *deltas(f"it is {value}.", 3), message(f"it is {value}."), completed())
    cut = sse(created(), *deltas(f"it is {value} and", 3))
    whole = [sse(created(), each, completed()) for each in events_with(value)]
    answered = [streamed, cut, *whole[::3], *whole[-6:]]
    seen: list[str] = []
    with Codex(config) as codex:
        for echo.answer in [*((200, {}, body) for body in answered), *list(refusals(value))[::7]]:
            thread = codex.thread_start()
            try:
                seen.append(repr(thread.run("hi")))
            except CodexError as error:
                seen.append(told(error))
            seen.append(repr(thread.read()))
        stored = {path: path.read_bytes().decode(errors="replace") for path in _files(home)}
    assert any(path.name.startswith("threads.db") for path in stored)
    assert [path for path, text in stored.items() if shows(text)] == []
    assert not shows("\n".join(seen))
    assert not shows(logged.text)
