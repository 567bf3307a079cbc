"""Python functions as tools."""

import asyncio
import json
import threading

import pytest

from codex_magic.engines.tools import LONGEST_TEXT, Tool, ToolSet, content_items, run_tool, tool
from codex_magic.protocol.errors import InvalidRequestError

PNG = b"\x89PNG\r\n\x1a\n rest"


class Figure:
    def _repr_png_(self):
        return PNG


def run(function, arguments, **options):
    return asyncio.run(run_tool(tool(function, **options), arguments))


def text(value):
    return [{"type": "inputText", "text": value}]


def test_a_signature_is_a_schema():
    def plot(column: str, bins: int = 10, *, log: bool = False) -> bytes:
        """Plot a column."""

    made = tool(plot)
    assert (made.name, made.description) == ("plot", "Plot a column.")
    assert made.input_schema["required"] == ["column"]
    kinds = {name: schema["type"] for name, schema in made.input_schema["properties"].items()}
    assert kinds == {"column": "string", "bins": "integer", "log": "boolean"}


def test_arguments_are_converted_and_defaults_filled_in():
    def add(a: int, b: float = 0.5) -> float:
        return a + b

    assert run(add, {"a": "2"}) == (True, text("2.5"))


@pytest.mark.parametrize("arguments", [{}, {"a": "x"}, None])
def test_wrong_arguments_are_told_to_the_model(arguments):
    success, [told] = run(_one, arguments)
    assert not success
    assert "a" in told["text"]


def _one(a: int) -> int:
    return a


def test_failures_are_told_even_those_that_would_end_a_program():
    def leave() -> None:
        raise SystemExit(3)

    async def fail() -> None:
        raise KeyError("x")

    assert run(fail, {}) == (False, text("KeyError: 'x'"))
    assert run(leave, {})[0] is False


def test_a_plain_function_does_not_run_in_the_event_loop():
    def where() -> bool:
        return threading.current_thread() is threading.main_thread()

    assert run(where, {}) == (True, text("false"))


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ("text", ["inputText"]),
        (PNG, ["inputImage"]),
        (Figure(), ["inputImage"]),
        (["a", Figure(), PNG], ["inputText", "inputImage", "inputImage"]),
        ([1, 2], ["inputText"]),
        (b"bytes", ["inputText"]),
        (object(), ["inputText"]),
        (None, ["inputText"]),
    ],
)
def test_what_a_tool_returns_reaches_the_model(value, kinds):
    assert [item["type"] for item in content_items(value)] == kinds


def test_a_result_without_end_is_cut_off():
    [item] = content_items("x" * (LONGEST_TEXT + 5))
    assert item["text"].endswith("[5 more characters were cut off]")


def test_the_version_changes_with_what_the_model_sees():
    def same(function, **options):
        return ToolSet([Tool("t", "d", {"type": "object"}, function, **options)]).version

    assert same(print) == same(len)
    assert same(print) != same(print, namespace="n")
    assert ToolSet().version == ""
    assert json.dumps(ToolSet([_one]).specs())


def test_namespaces_are_told_apart():
    tools = ToolSet([tool(_one), tool(_one, namespace="n")])
    assert [spec["type"] for spec in tools.specs()] == ["function", "namespace"]
    assert tools.find("n", "_one").namespace == "n"
    assert tools.find("m", "_one") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: tool(_one, name="a b"),
        lambda: ToolSet([_one, _one]),
        lambda: tool(zip),
        lambda: tool(lambda *a: a),
    ],
)
def test_what_can_be_no_tool_is_refused(make):
    with pytest.raises(InvalidRequestError):
        make()
