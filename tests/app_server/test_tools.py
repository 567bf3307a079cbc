"""Python functions as tools."""

import asyncio
import json
import threading

import pytest

from codex_magic.engines.tools import LONGEST_TEXT, ToolSet, content_items, output_of, run_tool, written
from codex_magic.protocol.errors import InvalidRequestError
from codex_magic.responses.tools import Namespace, custom_tool, tool, web_search

PNG = b"\x89PNG\r\n\x1a\n rest"


class Figure:
    def _repr_png_(self):
        return PNG


def run(function, arguments, **options):
    made = tool(function, **options)
    return asyncio.run(run_tool(made, written(made, arguments)))


def text(value):
    return [{"type": "inputText", "text": value}]


def test_the_agent_is_told_the_schema_as_it_was_meant():
    def plot(column: str, bins: int = 10, *, log: bool = False) -> bytes:
        """Plot a column."""
        return b""

    [spec] = ToolSet([plot]).specs()
    assert (spec["type"], spec["name"], spec["description"]) == ("function", "plot", "Plot a column.")
    assert spec["inputSchema"]["required"] == ["column"]
    kinds = {name: schema["type"] for name, schema in spec["inputSchema"]["properties"].items()}
    assert kinds == {"column": "string", "bins": "integer", "log": "boolean"}


def test_defaults_are_filled_in():
    def add(a: int, b: float = 0.5) -> float:
        return a + b

    assert run(add, {"a": 2}) == (True, text("2.5"))


def test_a_freeform_tool_is_a_function_of_one_text_to_the_agent():
    shout = custom_tool(str.upper, name="shout")
    [spec] = ToolSet([shout]).specs()
    assert list(spec["inputSchema"]["properties"]) == ["input"]
    assert asyncio.run(run_tool(shout, written(shout, {"input": "{tea"}))) == (True, text("{TEA"))


def test_the_agent_has_its_own_way_to_search():
    with pytest.raises(InvalidRequestError, match="web_search"):
        ToolSet([web_search()]).specs()


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


@pytest.mark.parametrize(
    ("value", "kinds"), [("text", None), (PNG, ["input_image"]), (["a", PNG], ["input_text", "input_image"])]
)
def test_the_same_for_a_request(value, kinds):
    output = output_of(content_items(value))
    assert (output if isinstance(output, str) else [part["type"] for part in output]) == (kinds or "text")


def test_a_result_without_end_is_cut_off():
    [item] = content_items("x" * (LONGEST_TEXT + 5))
    assert item["text"].endswith("[5 more characters were cut off]")
    first, _, last = content_items(["x" * LONGEST_TEXT, PNG, "more"])
    assert (len(first["text"]), last["text"]) == (LONGEST_TEXT, "\n[4 more characters were cut off]")


def test_the_version_changes_with_what_the_model_sees():
    def same(function, **options):
        return ToolSet([tool(function, name="t", input_schema={"type": "object"}, **options)]).version

    assert same(_one) == same(lambda: 1)
    assert same(_one) != same(_one, namespace="n")
    assert ToolSet().version == ""
    assert json.dumps(ToolSet([_one]).specs())


def test_namespaces_are_told_apart():
    here, there = tool(_one), tool(_one, namespace="n")
    tools = ToolSet([here, there, Namespace("n", "More", [tool(_one, name="two")])])
    function, namespace = tools.specs()
    assert (function["type"], namespace["type"]) == ("function", "namespace")
    assert [spec["name"] for spec in namespace["tools"]] == ["_one", "two"]
    assert tools.find(None, "_one") is here
    assert tools.find("n", "_one") is there
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


def test_a_name_that_the_agent_has_taken_is_refused():
    with pytest.raises(InvalidRequestError, match="already has"):
        ToolSet([tool(lambda: 1, name="exec_command")]).specs()
