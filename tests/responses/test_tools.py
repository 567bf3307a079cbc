"""What a model is told of a function, and what its arguments become."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional, TypedDict

import msgspec
import pydantic
import pytest

from codex_magic.protocol.errors import InvalidRequestError, ServiceError
from codex_magic.responses.parameters import FunctionTool
from codex_magic.responses.tools import (
    Call,
    Namespace,
    Toolbox,
    ToolCallError,
    calls,
    custom_tool,
    image_generation,
    tool,
    web_search,
)


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    city: str
    country: str = "de"


class Span(TypedDict):
    start: int
    end: int


class Order(pydantic.BaseModel):
    name: str
    count: int = pydantic.Field(1, ge=1)


class Point(msgspec.Struct):
    x: float
    y: float


def plain(a: str, b: int, c: float, d: bool) -> None: ...
def chosen(a: Literal["x", "y"], b: Unit = Unit.CELSIUS) -> None: ...
def optional(a: Optional[int], b: int | None = None, c: str = "z") -> None: ...  # noqa: UP045  # as people write it
def nested(a: Place, b: Span, c: list[Place]) -> None: ...
def modelled(a: Order, b: Order | None = None) -> None: ...
def timed(a: datetime.date, b: set[int], c: tuple[int, str], d: Point) -> None: ...
def bare(a, b=2): ...  # type: ignore[no-untyped-def]  # a tool may be
def keyword_only(*, a: int) -> None: ...
def nothing() -> None: ...


class Counter:
    def method(self, a: int) -> None: ...
    def __call__(self, a: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "text", "arguments"),
    [
        (plain, '{"a": "x", "b": 1, "c": 2, "d": true}', {"a": "x", "b": 1, "c": 2.0, "d": True}),
        (chosen, '{"a": "y", "b": "f"}', {"a": "y", "b": Unit.FAHRENHEIT}),
        (chosen, '{"a": "y", "b": null}', {"a": "y"}),
        (optional, '{"a": null, "b": null, "c": null}', {"a": None, "b": None}),
        (optional, '{"a": 1}', {"a": 1}),
        (
            nested,
            '{"a": {"city": "Bonn", "country": null}, "b": {"start": 1, "end": 2}, "c": [{"city": "Ulm"}]}',
            {"a": Place("Bonn"), "b": {"start": 1, "end": 2}, "c": [Place("Ulm")]},
        ),
        (modelled, '{"a": {"name": "tea", "count": 2}}', {"a": Order(name="tea", count=2)}),
        (
            timed,
            '{"a": "2026-01-02", "b": [1, 1], "c": [1, "x"], "d": {"x": 1, "y": 2.5}}',
            {"a": datetime.date(2026, 1, 2), "b": {1}, "c": (1, "x"), "d": Point(1.0, 2.5)},
        ),
        (bare, '{"a": {"any": [1]}}', {"a": {"any": [1]}}),
        (keyword_only, '{"a": 1}', {"a": 1}),
        (Counter().method, '{"a": 1}', {"a": 1}),
        (Counter(), '{"a": 1}', {"a": 1}),
        (functools.partial(plain, d=False), '{"a": "x", "b": 1, "c": 2}', {"a": "x", "b": 1, "c": 2.0}),
        (nothing, "", {}),
        (nothing, "{}", {}),
    ],
)
def test_arguments_become_what_the_hints_say(
    function: Callable[..., Any], text: str, arguments: dict[str, Any]
) -> None:
    given = function.keywords if isinstance(function, functools.partial) else {}
    assert tool(function).bind(text).keywords == given | arguments


@pytest.mark.parametrize(
    ("function", "text", "said"),
    [
        (plain, '{"a": 5, "b": 1, "c": 2, "d": true}', r"got `int` - at `\$.a`"),
        (plain, '{"a": "x"}', "missing required field `b`"),
        (keyword_only, '{"a": 1, "b": 2}', "unknown field `b`"),
        (keyword_only, '{"a": "1"}', "Expected `int`"),
        (keyword_only, "[1]", "Expected `object`"),
        (keyword_only, "{", "do not fit"),
        (keyword_only, "[" * 5000, "do not fit"),
        (keyword_only, '"\ud800"', "do not fit"),
        (chosen, '{"a": "z"}', "Invalid enum value 'z'"),
        (modelled, '{"a": {"name": "tea", "count": 0}}', "greater than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_said_in_words(function: Callable[..., Any], text: str, said: str) -> None:
    with pytest.raises(ToolCallError, match=said):
        tool(function).bind(text)


def test_the_model_is_told_what_the_docstring_says() -> None:
    def find(word: str, limit: Annotated[int, "Most hits."] = 3, unit: Unit = Unit.CELSIUS) -> None:
        """Find a word.

        Slowly.

        Args:
            word: The word.
        """

    definition = tool(strict=False)(find).definition
    assert definition == {
        "type": "function",
        "name": "find",
        "description": "Find a word.",
        "strict": False,
        "parameters": {
            "type": "object",
            "properties": {
                "word": {"type": "string", "description": "The word."},
                "limit": {"type": "integer", "description": "Most hits.", "default": 3},
                "unit": {"$ref": "#/$defs/Unit", "default": "c"},
            },
            "required": ["word"],
            "additionalProperties": False,
            "$defs": {"Unit": {"title": "Unit", "enum": ["c", "f"]}},
        },
    }


def test_strict_where_the_types_allow() -> None:
    strict = tool(optional).definition
    assert strict["strict"] is True
    assert strict["parameters"]["required"] == ["a", "b", "c"]
    assert tool(bare).definition["strict"] is False
    with pytest.raises(InvalidRequestError, match="anything"):
        tool(strict=True)(bare)


def test_a_schema_of_ones_own() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    made = tool(lambda **given: given, name="f", input_schema=schema)
    assert (made.input_schema, made.definition["strict"]) == (schema, True)
    assert made.bind('{"n": 1}')() == {"n": 1}
    with pytest.raises(ToolCallError, match="'n' is missing"):
        made.bind("{}")
    assert tool(print, name="g", input_schema={"type": "object"}).definition["strict"] is False


def test_a_tool_is_still_its_function() -> None:
    @tool(name="add_up", description="Adds.")
    def add(a: int, b: int) -> int:
        return a + b

    assert (add(1, b=2), add.name, add.definition["description"]) == (3, "add_up", "Adds.")


def variadic(*args: int) -> None: ...
def keywords(**kwargs: int) -> None: ...
def positional(a: int, /) -> None: ...
def unknown(a: NoSuchType) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # that is the case
def unspeakable(a: Callable[[], int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (variadic, r"\*args"),
        (keywords, r"\*\*kwargs"),
        (positional, "'a'"),
        (unknown, "NoSuchType"),
        (unspeakable, "can't be described"),
        (lambda a: a, "<lambda>"),
        (zip, "zip"),
    ],
)
def test_a_function_that_can_be_no_tool(function: Callable[..., Any], said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said):
        tool(function)


@pytest.mark.parametrize("grammar", [None, {"type": "grammar", "syntax": "regex", "definition": "[a-z]+"}])
def test_a_freeform_tool(grammar: dict[str, str] | None) -> None:
    def run_sql(query: str) -> None:
        """Run a query."""

    made = custom_tool(run_sql, grammar=grammar)
    told = {"type": "custom", "name": "run_sql", "description": "Run a query."}
    assert made.definition == told | ({"format": grammar} if grammar else {})
    assert made.bind("SELECT {").args == ("SELECT {",)


def test_the_service_s_own_tools() -> None:
    assert web_search() == {"type": "web_search", "external_web_access": False}
    assert web_search(live=True, filters={})["external_web_access"] is True
    assert image_generation(size="auto") == {"type": "image_generation", "size": "auto"}


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (plain, "function"),
        (tool(plain), "function"),
        (FunctionTool("f"), "function"),
        ({"type": "web_search"}, "web_search"),
        (Namespace("n", "d", [plain, tool(bare)]), "namespace"),
    ],
)
def test_what_a_request_holds_for_each(given: Any, kind: str) -> None:
    definition = Toolbox([given], runs=False).definitions[0]
    assert definition["type"] == kind
    assert [each["name"] for each in definition.get("tools", [])] in ([], ["plain", "bare"])


ITEMS: list[dict[str, Any]] = [
    {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a":1}', "namespace": "n"},
    {"type": "message", "role": "assistant", "content": []},
    {"type": "custom_tool_call", "call_id": "2", "name": "g", "input": "x"},
]


def test_the_calls_of_a_response() -> None:
    function, custom = calls(ITEMS)
    assert function == Call("1", "f", '{"a":1}', "n")
    assert function.parsed_arguments() == {"a": 1}
    assert function.output({"b": 2}) == {"type": "function_call_output", "call_id": "1", "output": '{"b":2}'}
    assert custom.output("y") == {"type": "custom_tool_call_output", "call_id": "2", "output": "y"}
    assert [call.is_custom for call in calls(ITEMS)] == [False, True]


@pytest.mark.parametrize("item", [{}, {"call_id": None, "name": "f"}, {"call_id": "1", "name": 5}])
def test_a_call_that_can_not_be_read(item: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="tool call"):
        calls([{"type": "function_call", **item}])
