"""What `create` takes: every name is seen by editors, reaches the request, or is refused with a way out."""

from __future__ import annotations

import inspect
from typing import Any

import codex_open_client
import jedi
import openai.resources.responses
import pytest

from codex_magic.protocol.errors import InvalidRequestError, ServiceError, StreamError, TimedOutError
from codex_magic.responses.client import Client
from codex_magic.responses.parameters import (
    FunctionTool,
    JsonSchema,
    Parameters,
    PlainText,
    Reasoning,
    TextConfig,
    Timeouts,
)
from codex_magic.responses.provider import custom
from codex_magic.responses.request import body_of
from codex_magic.responses.responses import AsyncResponses, Responses
from tests.responses.wire import CREATED, HANG, Answer, Wire, delta, good, plain, stream

NAMED = (
    "model instructions input stream tools tool_choice parallel_tool_calls reasoning text service_tier include "
    "previous_response_id prompt_cache_key verbosity output_schema web_search store timeout extra_body extra_headers"
).split()


def body(*, is_codex: bool = True, **parameters: Any) -> dict[str, Any]:
    return body_of("hi", {"model": "m", **parameters}, is_codex=is_codex)  # type: ignore[typeddict-item]  # any, to test them


@pytest.mark.parametrize("kind", [Responses, AsyncResponses])
@pytest.mark.parametrize("method", ["create", "stream", "parse"])
def test_a_running_editor_sees_every_parameter(kind: type, method: str) -> None:
    seen = inspect.signature(getattr(kind, method)).parameters
    assert seen.keys() >= Parameters.__annotations__.keys() | {"input", "on_retry"}
    if method == "create":
        assert seen.keys() >= set(NAMED)
        assert all(f"{name}" in (Responses.create.__doc__ or "") for name in NAMED)


def test_a_notebook_completes_them(client: Client) -> None:
    completed = jedi.Interpreter("client.responses.create(reas", [{"client": client}]).complete()
    assert "reasoning=" in [each.name for each in completed]


@pytest.mark.parametrize(
    "reasoning", ["low", {"effort": "low"}, Reasoning("low"), codex_open_client.Reasoning(effort="low")]
)
def test_reasoning_in_any_form(reasoning: Any) -> None:
    assert body(reasoning=reasoning)["reasoning"] == {"effort": "low"}


STRICT = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


@pytest.mark.parametrize(
    "text",
    [
        TextConfig(JsonSchema("a", {"properties": {}}, strict=True), "low"),
        {"format": JsonSchema("a", {"properties": {}}, strict=True), "verbosity": "low"},
        codex_open_client.TextConfig(
            codex_open_client.ResponseFormatJsonSchema("a", {"properties": {}}, strict=True), "low"
        ),
    ],
    ids=["struct", "dict", "peer"],
)
def test_text_in_any_form(text: Any) -> None:
    sent = body(text=text)["text"]
    assert (sent["verbosity"], sent["format"]["schema"]) == ("low", STRICT)
    assert body(text=TextConfig(PlainText()))["text"] == {"format": {"type": "text"}}


@pytest.mark.parametrize(
    "tool",
    [
        FunctionTool("f", "does", {"properties": {}}),
        codex_open_client.FunctionTool("f", "does", {"properties": {}}),
        {
            "type": "function",
            "name": "f",
            "description": "does",
            "parameters": {"properties": {}},
            "strict": True,
        },
    ],
    ids=["struct", "peer", "dict"],
)
def test_a_strict_tool_is_made_valid(tool: Any) -> None:
    sent = body(tools=[tool])
    assert sent["tools"][0] | {"strict": True} == {
        "type": "function",
        "name": "f",
        "description": "does",
        "parameters": STRICT,
        "strict": True,
    }
    assert sent["tool_choice"] == "auto"


@pytest.mark.parametrize(("asked", "live"), [("cached", False), ("live", True)])
def test_web_search(asked: str, live: bool) -> None:
    sent = body(web_search=asked, tools=[FunctionTool("f")])
    assert sent["tools"][1] == {"type": "web_search", "external_web_access": live}
    assert len(sent["tools"]) == 2


def test_no_web_search() -> None:
    assert "tools" not in body(web_search="disabled")


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"web_search": "fast"}, "web_search"),
        ({"web_search": "live", "reasoning": "minimal"}, "web_search"),
        ({"verbosity": "loud"}, "verbosity"),
        ({"store": True}, "store"),
    ],
)
def test_a_refusal_names_the_way_out(parameters: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        body(**parameters)
    assert caught.value.param == name
    assert caught.value.hint


@pytest.mark.parametrize(
    ("tier", "codex", "elsewhere"),
    [("auto", None, "auto"), ("fast", "priority", "priority"), ("flex", "flex", "flex")],
)
def test_service_tiers(tier: str, codex: str | None, elsewhere: str) -> None:
    assert body(service_tier=tier).get("service_tier") == codex
    assert body(is_codex=False, service_tier=tier)["service_tier"] == elsewhere


def test_extra_headers(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good()))
    client.responses.create("x", model="m", extra_headers={"X-Own": "né", "Accept": "*/*"})
    assert (wire.requests[0].headers["x-own"], wire.requests[0].headers["accept"]) == ("n%C3%A9", "*/*")


def test_an_extra_query(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good()))
    client.responses.create("x", model="m", extra_query={"a": "b c"})
    assert wire.requests[0].path == "/responses?a=b+c"


def test_a_session_named_in_the_extra_body_is_the_session(wire: Wire, client: Client) -> None:
    wire.answer(stream(*good()))
    client.responses.create("x", model="m", extra_body={"prompt_cache_key": "k"})
    assert wire.requests[0].headers["session-id"] == wire.requests[0].json["prompt_cache_key"] == "k"


FOR_EXTRA_BODY = {"access_programs", "background_options", "image", "moderation", "prompt_cache_options"}
"""`background_options` is about answers that are fetched later, which this client, a stream's reader, doesn't."""


@pytest.mark.peer("openai")
def test_every_other_parameter_of_openai_python_has_its_name_here() -> None:
    theirs = inspect.signature(openai.resources.responses.Responses.create).parameters.keys()
    assert theirs - Parameters.__annotations__.keys() - {"self", "input", "stream"} <= FOR_EXTRA_BODY


@pytest.mark.parametrize("name", sorted(FOR_EXTRA_BODY))
def test_what_has_no_name_here_goes_into_the_extra_body(name: str) -> None:
    with pytest.raises(TypeError, match="extra_body"):
        body(is_codex=False, **{name: {}})
    assert body(is_codex=False, extra_body={name: {}})[name] == {}


def test_a_number_of_seconds_is_the_longest_silence() -> None:
    assert Timeouts.of(2) == Timeouts(2, 2, 2, 2)
    assert Timeouts.of(Timeouts(1)) == Timeouts(1)


@pytest.mark.parametrize(
    ("answer", "error"), [([HANG], TimedOutError), (stream(CREATED, delta("Hel"), HANG), StreamError)]
)
def test_one_request_has_limits_of_its_own(
    wire: Wire, client: Client, answer: Answer, error: type[Exception]
) -> None:
    wire.answer(answer)
    with pytest.raises(error):
        client.responses.create("x", model="m", timeout=0.5)


def test_how_often_a_client_asks_again(wire: Wire) -> None:
    wire.answer(plain(500))
    waits: list[float] = []
    with (
        Client(custom(wire.url), max_retries=2, sleep=waits.append) as client,
        pytest.raises(ServiceError),
    ):
        client.responses.create("x", model="m")
    assert len(waits) == 2
