"""`previous_response_id`: passed on where responses are stored, made up from memory where they are not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from codex_magic.protocol.errors import InvalidRequestError, ServiceError
from codex_magic.responses import transport
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.response import Response
from codex_magic.responses.transport import Memory
from tests.responses.wire import CREATED, Wire, delta, event, good, stream
from tests.service import LocalService


def roles(body: Any) -> list[str]:
    return [item.get("role", item["type"]) for item in body["input"]]


def test_a_response_is_gone_on_from(service: LocalService) -> None:
    with Client() as client:
        first = client.responses.create("What is a list?", reasoning="low")
        second = client.responses.create("did I ask?", previous_response_id=first.id)
        other = client.responses.create("did I ask?", previous_response_id=first.id)
    assert "1. What is a list?" in second.output_text
    assert second.output_text == other.output_text
    body = service.requests[-1].json
    assert "previous_response_id" not in body
    assert roles(body) == ["user", "reasoning", "assistant", "user"]


def test_a_chain_of_streams(service: LocalService) -> None:
    async def main() -> str:
        async with AsyncClient() as client:
            previous = None
            for question in ("one", "two", "did I ask?"):
                stream = client.responses.stream(question, previous_response_id=previous)
                async with stream:
                    previous = (await stream.get_final_response()).id
            return stream.output_text

    text = asyncio.run(main())
    assert "1. one" in text
    assert "2. two" in text


def test_a_response_that_nobody_here_knows(service: LocalService) -> None:
    with Client() as client, pytest.raises(InvalidRequestError, match=r"response\.output") as caught:
        client.responses.create("x", model="local-large", previous_response_id="resp_1")
    assert caught.value.param == "previous_response_id"
    assert service.requests == []


def test_an_unfinished_response_is_not_remembered(service: LocalService) -> None:
    with Client() as client:
        with client.responses.stream("repeat 1000") as stream:
            next(stream)
        with pytest.raises(InvalidRequestError, match="remember"):
            client.responses.create("x", previous_response_id=stream.response.id)


def test_a_service_that_stores_gets_the_id(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good()))
    client.responses.create("x", model="m", previous_response_id="resp_0", store=True)
    assert wire.requests[0].json["previous_response_id"] == "resp_0"


def test_a_response_cut_short_is_remembered(service: LocalService) -> None:
    service.faults.next("incomplete")
    with Client() as client:
        first = client.responses.create("explain lists")
        client.responses.create("continue", previous_response_id=first.id)
    assert roles(service.requests[-1].json) == ["user", "assistant", "user"]


def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = Memory()
    for number in range(transport.MOST_RESPONSES + 1):
        remembered.keep(Response(id=str(number)), [], 1)
    with pytest.raises(InvalidRequestError):
        remembered.items("0")
    assert remembered.items("1") == []


def test_large_ones_are_forgotten_sooner() -> None:
    remembered = Memory()
    for name in "abc":
        remembered.keep(Response(id=name), [], transport.MOST_BYTES // 2)
    remembered.keep(Response(id="c"), [], transport.MOST_BYTES // 2)
    with pytest.raises(InvalidRequestError):
        remembered.items("a")
    assert remembered.items("b") == remembered.items("c") == []
    remembered.keep(Response(id="d"), [], transport.MOST_BYTES * 2)
    assert remembered.items("d") == []


def test_what_a_broken_stream_brought_is_not_remembered(wire: Wire, client: Client) -> None:
    wire.answer(stream(CREATED, delta("Hel"), event("error", code="x")))
    with pytest.raises(ServiceError):
        client.responses.create("x", model="m")
    with pytest.raises(InvalidRequestError):
        client._core.memory.items("resp_1")
