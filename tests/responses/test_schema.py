"""JSON schemas of types, and their strict forms."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import msgspec
import pydantic
import pytest

from codex_magic.protocol.errors import InvalidRequestError
from codex_magic.responses.schema import schema_of, strict_schema
from tests.service.rules import _schema_fault


@dataclass
class City:
    """A place."""

    name: str
    people: int = 3
    twin: Optional[City] = None  # noqa: UP045  # msgspec evaluates it, on Python 3.10 too
    tags: list[str] = field(default_factory=list)


class Place(TypedDict, total=False):
    kind: Literal["town", 1]
    point: tuple[float, float]


class Tree(msgspec.Struct):
    children: list[Tree] = []
    label: Annotated[str, msgspec.Meta(description="What it says.", max_length=9)] = "x"


class Person(pydantic.BaseModel):
    name: str
    homes: list[City] = []
    friends: list[Person] = []


@dataclass
class Household:
    head: Person
    others: list[Person]


class Point(NamedTuple):
    x: int
    y: str


class Colour(enum.Enum):
    red = "r"
    blue = "b"


class Cat(msgspec.Struct, tag=True):
    lives: int


class Dog(msgspec.Struct, tag=True):
    name: str


class Pets(msgspec.Struct):
    pet: Cat | Dog | None = None
    when: datetime.datetime | None = None
    colour: Colour = Colour.red
    point: Point | None = None


TYPES: list[Any] = [City, Place, Tree, Person, Household, Pets, list[City], int, City | None, Colour]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_the_strict_schema_of_a_type_is_one_the_service_takes(kind: Any) -> None:
    strict = strict_schema(schema_of(kind))
    assert _schema_fault(strict, "x") is None
    assert strict_schema(strict) == strict


@pytest.mark.parametrize("kind", [City, Place, Tree, Person, Household, Pets])
def test_an_object_stands_at_the_root(kind: Any) -> None:
    assert schema_of(kind)["type"] == strict_schema(schema_of(kind))["type"] == "object"


def test_definitions_are_kept_where_something_needs_them() -> None:
    assert "$defs" in schema_of(Tree)
    assert set(schema_of(Household)["$defs"]) == {"Person", "City"}
    assert "$defs" not in schema_of(Place)


def test_what_may_be_absent_becomes_nullable() -> None:
    strict = strict_schema(schema_of(City))
    assert strict["required"] == ["name", "people", "twin", "tags"]
    assert strict["properties"]["name"] == {"type": "string"}
    people = {"type": "integer", "description": "(default 3)"}
    assert strict["properties"]["people"] == {"anyOf": [people, {"type": "null"}]}
    assert strict["properties"]["twin"]["anyOf"][1:] == [{"type": "null"}]


def test_limits_the_service_can_not_enforce_are_told() -> None:
    label = strict_schema(schema_of(Tree))["properties"]["label"]["anyOf"][0]
    assert label == {"type": "string", "description": "What it says. (maxLength 9, default x)"}


def test_a_schema_stays_as_it_is() -> None:
    schema = {"properties": {"a": {"oneOf": [{"type": "string"}, {"enum": [1, None]}], "examples": ["x"]}}}
    before = msgspec.json.encode(schema)
    assert strict_schema(schema) == {
        "type": "object",
        "properties": {
            "a": {"anyOf": [{"type": "string"}, {"enum": [1, None], "type": ["integer", "null"]}]}
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    assert msgspec.json.encode(schema) == before


def test_a_reference_has_no_neighbours() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/definitions/A", "description": "An A."}},
        "required": ["a"],
        "definitions": {"A": {"type": "string"}},
    }
    strict = strict_schema(schema)
    assert strict["properties"]["a"] == {"anyOf": [{"$ref": "#/definitions/A"}], "description": "An A."}
    assert strict["definitions"] == {"A": {"type": "string"}}


def test_two_models_of_one_name_stay_apart() -> None:
    one = pydantic.create_model("Part", size=(int, ...))
    other = pydantic.create_model("Part", name=(str, ...))
    first = pydantic.create_model("First", parts=(list[one], ...))  # type: ignore[valid-type]  # made here
    second = pydantic.create_model("Second", parts=(list[other], ...))  # type: ignore[valid-type]
    schema = schema_of(tuple[first, second])  # type: ignore[valid-type]
    assert {tuple(part["properties"]) for part in schema["$defs"].values()} >= {("size",), ("name",)}


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"properties": {"a": {}}}, "anything"),
        ({"properties": {"a": True}}, "anything"),
        ({"type": "object"}, "free keys"),
        ({"properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}}}, "free keys"),
        ({"properties": {"a": {"type": "array"}}}, "an item of 'a'"),
        ({"properties": {"a": {"not": {"type": "string"}}}}, "'not'"),
        ({"allOf": [{"type": "object"}, {"type": "object"}]}, "allOf"),
        ({"properties": {"a": {"$ref": "#/$defs/Missing"}}}, "nothing at"),
    ],
)
def test_what_has_no_strict_form(schema: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidRequestError, match=word) as caught:
        strict_schema(schema)
    assert caught.value.hint


@pytest.mark.parametrize("kind", [complex, lambda: None, 5])
def test_a_type_that_json_can_not_hold(kind: Any) -> None:
    with pytest.raises(InvalidRequestError, match="no JSON schema"):
        schema_of(kind)


def test_a_pattern_that_looks_around_is_told_and_not_asked_for() -> None:
    plain = {"type": "string", "pattern": "^a+$"}
    looking = {"type": "string", "pattern": r"^(?!0)\d+(?<=5)$", "description": "A number."}
    strict = strict_schema({"type": "object", "properties": {"plain": plain, "looking": looking}})
    kept, told = strict["properties"]["plain"], strict["properties"]["looking"]
    assert "^a+$" in str(kept["anyOf"][0]["pattern"])
    assert "pattern" not in told["anyOf"][0]
    assert looking["pattern"] in told["anyOf"][0]["description"]
