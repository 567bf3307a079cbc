"""Answers that are values of a type, and what is said when they are not."""

from __future__ import annotations

import asyncio
import enum
import json
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal, Optional, TypedDict

import msgspec
import pydantic
import pytest

from codex_magic.protocol.errors import (
    InvalidOutputError,
    InvalidRequestError,
    OutputError,
    RefusedError,
    TruncatedError,
)
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.parameters import TextConfig
from codex_magic.responses.response import Response
from codex_magic.responses.schema import fitted
from codex_magic.responses.structured import Format
from tests.responses.wire import CREATED, Wire, completed, event, good, stream
from tests.service import LocalService


@dataclass
class City:
    name: str
    people: int = 3
    twin: Optional[City] = None  # noqa: UP045  # msgspec evaluates it, on Python 3.10 too
    tags: list[str] = field(default_factory=lambda: ["new"])


class Place(TypedDict, total=False):
    name: str
    kind: Literal["town", "village"]


class Point(msgspec.Struct):
    x: float
    y: float = 0.5


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(min_length=2)
    home: City


class Colour(enum.Enum):
    red = "r"


SCHEMA = {"title": "City", "type": "object", "properties": {"name": {"type": "string"}}}


def read(text_format: Any, value: Any) -> Any:
    """What an answer that is `value` becomes."""
    text = value if isinstance(value, str) else json.dumps(value)
    content = [{"type": "output_text", "text": text}]
    return Format(text_format).read(Response(output=[{"type": "message", "content": content}])).output_parsed


@pytest.mark.parametrize(
    ("text_format", "value", "expected"),
    [
        (City, {"name": "Oslo", "people": 9, "twin": None, "tags": []}, City("Oslo", 9, None, [])),
        (City, {"name": "Oslo", "people": None, "twin": None, "tags": None}, City("Oslo")),
        (City, {"name": "A", "people": None, "twin": {"name": "B", "tags": None}}, City("A", twin=City("B"))),
        (Place, {"name": "Ås", "kind": None}, {"name": "Ås"}),
        (Point, {"x": 1, "y": None}, Point(1.0)),
        (Person, {"name": "Ada", "home": {"name": "Oslo"}}, Person(name="Ada", home=City("Oslo"))),
        (list[City], {"value": [{"name": "Oslo", "people": None}]}, [City("Oslo")]),
        (City | None, {"value": None}, None),
        (int, {"value": 5}, 5),
        (Colour, {"value": "r"}, Colour.red),
        (SCHEMA, {"name": "Oslo"}, {"name": "Oslo"}),
        ({"type": "array", "items": {"type": "integer"}}, {"value": [1, 2]}, [1, 2]),
    ],
    ids=str,
)
def test_an_answer_becomes_a_value(text_format: Any, value: Any, expected: Any) -> None:
    assert read(text_format, value) == expected


@pytest.mark.parametrize(
    ("text_format", "answer", "word"),
    [
        (City, "Oslo, I think.", "JSON"),
        (City, "", "fit"),
        (City, "[" * 100_000, "fit"),
        (City, {"name": 5}, "name"),
        (City, {}, "name"),
        (Person, {"name": "A", "home": {"name": "Oslo"}}, "at least 2"),
        (list[City], [], "it is no object"),
        (SCHEMA | {"required": ["name"]}, {}, "'name' is missing"),
        (SCHEMA, {"name": 5}, "'name' is no string"),
    ],
    ids=str,
)
def test_an_answer_that_does_not_fit(text_format: Any, answer: Any, word: str) -> None:
    with pytest.raises(InvalidOutputError, match=word) as caught:
        read(text_format, answer)
    assert caught.value.text == (answer if isinstance(answer, str) else json.dumps(answer))
    assert isinstance(caught.value.response, Response)


MISFITS: list[tuple[dict[str, Any], Any, str | None]] = [
    ({"type": "integer"}, 5.0, None),
    ({"type": "integer"}, 5.5, "integer"),
    ({"type": "integer"}, True, "integer"),
    ({"type": ["string", "null"]}, None, None),
    ({"enum": [1, 2]}, 3, "none of"),
    ({"const": 1}, 2, "is not 1"),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 5, "string"),
    ({"type": "number", "minimum": 3}, 2, "minimum"),
    ({"type": "number", "exclusiveMaximum": 3}, 3, "exclusiveMaximum"),
    ({"type": "string", "minLength": 3}, "ab", "minLength"),
    ({"type": "array", "maxItems": 1, "items": {}}, [1, 2], "maxItems"),
    ({"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "null"}}, ["a", 1], "item 1"),
    ({"properties": {}, "additionalProperties": False}, {"a": 1}, "one too many"),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}}, 5, "string"),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}, 5, None),
]


@pytest.mark.parametrize(("schema", "value", "word"), MISFITS)
def test_a_plain_schema_is_checked_here(schema: dict[str, Any], value: Any, word: str | None) -> None:
    with pytest.raises(ValueError, match=word) if word else nullcontext():
        assert fitted(value, schema, schema) == value


# Requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text_format", [City, Place, Point, Person, list[City], int, SCHEMA], ids=str)
def test_every_kind_of_type_against_the_service(service: LocalService, text_format: Any) -> None:
    with Client() as client:
        parsed = client.responses.parse("a city", text_format=text_format, verbosity="low")
    assert parsed.output_parsed is not None
    assert parsed.status == "completed"
    sent = service.wait_for_request().json["text"]
    assert (sent["verbosity"], sent["format"]["strict"]) == ("low", True)


def test_the_async_client_parses_too(service: LocalService) -> None:
    async def main() -> City:
        async with AsyncClient() as client:
            return (await client.responses.parse("a city", text_format=City)).output_parsed

    assert isinstance(asyncio.run(main()), City)


def test_the_model_declines(wire: Wire, client: Client) -> None:
    content = [{"type": "refusal", "refusal": "I won't."}]
    refused = event("response.output_item.done", item={"type": "message", "content": content})
    wire.answer(stream(CREATED, refused, completed()))
    with pytest.raises(RefusedError) as caught:
        client.responses.parse("x", text_format=City, model="m")
    assert caught.value.text == "I won't."


def test_the_answer_is_cut_short(service: LocalService) -> None:
    service.faults.next("incomplete", reason="content_filter")
    with Client() as client, pytest.raises(TruncatedError) as caught:
        client.responses.parse("a city", text_format=City)
    assert caught.value.reason == "content_filter"
    assert caught.value.text == caught.value.response.output_text


def test_a_tool_is_called_in_place_of_an_answer(service: LocalService) -> None:
    tool = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
    with Client() as client, pytest.raises(OutputError, match="tool"):
        client.responses.parse("use the tool look", text_format=City, tools=[tool])


def test_a_repair_turn(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good("Oslo!")), stream(*good('{"name": "Oslo"}')))
    parsed = client.responses.parse("a city", text_format=City, model="m", repair=1)
    assert parsed.output_parsed == City("Oslo")
    first, second = (seen.json for seen in wire.requests)
    assert second["input"][0] == first["input"][0]
    assert [item["role"] for item in second["input"]] == ["user", "assistant", "user"]
    assert "does not fit" in second["input"][2]["content"][0]["text"]


def test_a_repair_that_fails_too(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good("Oslo!")))
    with pytest.raises(InvalidOutputError):
        client.responses.parse("a city", text_format=City, model="m", repair=2)
    assert len(wire.requests) == 3


def test_what_the_model_says_on_the_way_is_not_the_answer() -> None:
    said = [
        {"type": "message", "phase": phase, "content": [{"type": "output_text", "text": text}]}
        for phase, text in (("commentary", "Let me see."), ("final_answer", '{"value": 5}'))
    ]
    assert Format(int).read(Response(output=said)).output_parsed == 5


def test_text_options_stay() -> None:
    asked = Format(City).parameters({"text": TextConfig(verbosity="high")})["text"]
    assert isinstance(asked, dict)
    assert (asked["verbosity"], asked["format"]["name"]) == ("high", "City")


def test_two_schemas_are_one_too_many() -> None:
    with pytest.raises(InvalidRequestError, match="Two schemas"):
        Format(City).parameters({"output_schema": SCHEMA})
