"""What is sent: the body's rules, refusals before sending, items sent again, headers."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from codex_magic.net import header_value
from codex_magic.protocol.errors import InvalidRequestError
from codex_magic.responses.parameters import Parameters
from codex_magic.responses.request import (
    body_of,
    encode,
    session_headers,
)

REFUSED = (
    "max_output_tokens temperature top_p presence_penalty frequency_penalty seed metadata user safety_identifier "
    "truncation top_logprobs prompt_cache_retention previous_response_id background conversation max_tool_calls "
    "stream_options"
).split()


def body(input: Any = "hi", *, is_codex: bool = True, **parameters: Any) -> dict[str, Any]:
    sent = json.loads(
        encode(body_of(input, cast("Parameters", {"model": "m", **parameters}), is_codex=is_codex))
    )
    assert isinstance(sent, dict)
    return sent


def test_the_smallest_body_for_the_codex_backend() -> None:
    sent = body(prompt_cache_key="k")
    assert sent.pop("instructions")
    assert sent == {
        "model": "m",
        "stream": True,
        "store": False,
        "prompt_cache_key": "k",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "include": ["reasoning.encrypted_content"],
    }


def test_instructions_are_never_empty_for_the_codex_backend() -> None:
    assert body(instructions="")["instructions"]
    assert body(instructions="Be brief.")["instructions"] == "Be brief."
    assert "instructions" not in body(is_codex=False)


@pytest.mark.parametrize("name", REFUSED)
def test_a_parameter_the_codex_backend_refuses_is_refused_here(name: str) -> None:
    with pytest.raises(InvalidRequestError, match=name) as caught:
        body("hi", **dict[str, Any]({name: 1}))
    assert caught.value.param == name
    assert caught.value.hint


@pytest.mark.parametrize("name", REFUSED)
def test_other_servers_get_it(name: str) -> None:
    parameters: Any = {name: 1}
    assert body(is_codex=False, **parameters)[name] == 1


def test_refusals_look_into_the_extra_body_too() -> None:
    with pytest.raises(InvalidRequestError, match="generate"):
        body(extra_body={"generate": False})
    assert body(is_codex=False, extra_body={"generate": False})["generate"] is False


@pytest.mark.parametrize(("name", "value"), [("store", True), ("stream", False)])
def test_what_has_one_possible_value(name: str, value: bool) -> None:
    with pytest.raises(InvalidRequestError, match=name):
        body(extra_body={name: value})


def test_none_is_absent() -> None:
    assert body(temperature=None, reasoning=None, verbosity=None) == body()


def test_a_misspelt_parameter_is_named_with_its_neighbour() -> None:
    with pytest.raises(TypeError, match="did you mean instructions"):
        body(instrctions="x")


def test_text_options() -> None:
    text = body(text={"a": 1}, verbosity="low", output_schema={"properties": {}})["text"]
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert text == {
        "a": 1,
        "verbosity": "low",
        "format": {"type": "json_schema", "name": "codex_output_schema", "schema": schema, "strict": True},
    }


def test_a_tool_choice_goes_with_tools() -> None:
    tool = {"type": "function", "name": "f", "parameters": {}}
    assert body(tools=[tool])["tool_choice"] == "auto"
    assert body(tools=[tool], tool_choice="none")["tool_choice"] == "none"
    assert "tool_choice" not in body(tools=[])


def test_encrypted_reasoning_is_asked_for_where_it_can_come() -> None:
    assert body(include=["x"])["include"] == ["x", "reasoning.encrypted_content"]
    assert "include" not in body(is_codex=False)
    assert body(is_codex=False, reasoning={"effort": "low"})["include"] == ["reasoning.encrypted_content"]
    assert "include" not in body(is_codex=False, reasoning={"effort": "low"}, store=True)


def test_the_system_role() -> None:
    item = {"role": "system", "content": "x"}
    with pytest.raises(InvalidRequestError, match="developer"):
        body([item])
    assert body([item], is_codex=False)["input"][0]["role"] == "system"


def part(kind: str, text: str) -> dict[str, str]:
    return {"type": kind, "text": text}


REPLAYED = [
    (
        {"role": "user", "content": "a"},
        {"type": "message", "role": "user", "content": [part("input_text", "a")]},
    ),
    (
        {"role": "assistant", "content": "a"},
        {"type": "message", "role": "assistant", "content": [part("output_text", "a")]},
    ),
    (
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "phase": "p",
            "content": [],
        },
        {"type": "message", "role": "assistant", "phase": "p", "content": []},
    ),
    ({"id": "rs_1", "type": "reasoning", "summary": []}, None),
    ({"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": None}, None),
    (
        {"id": "rs_1", "type": "reasoning", "status": "completed", "summary": [], "encrypted_content": "e"},
        {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "e"},
    ),
    (
        {
            "id": "fc_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "c",
            "name": "f",
            "arguments": "",
        },
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
    ),
    (
        {"type": "function_call_output", "call_id": "c", "output": "o"},
        {"type": "function_call_output", "call_id": "c", "output": "o"},
    ),
    (
        {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"query": "q"}},
        {"type": "web_search_call", "status": "completed", "action": {"query": "q"}},
    ),
    (
        {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "iVBO"},
        {"id": "ig_1", "type": "image_generation_call", "status": "completed", "result": "iVBO"},
    ),
    (
        {"id": "cmp_1", "type": "compaction", "encrypted_content": "e"},
        {"id": "cmp_1", "type": "compaction", "encrypted_content": "e"},
    ),
    (
        {"type": "additional_tools", "role": "developer", "tools": []},
        {"type": "additional_tools", "role": "developer", "tools": []},
    ),
    ({"type": "item_reference", "id": "msg_1"}, None),
]


@pytest.mark.parametrize(("item", "sent"), REPLAYED)
def test_an_item_is_sent_as_a_server_without_memory_accepts_it(item: Any, sent: Any) -> None:
    assert body([item])["input"] == ([] if sent is None else [sent])


def test_a_server_with_memory_gets_items_as_they_are() -> None:
    items = [{"type": "item_reference", "id": "msg_1"}, {"id": "rs_1", "type": "reasoning", "summary": []}]
    assert body(items, is_codex=False, store=True)["input"] == items


def test_half_of_a_surrogate_pair_does_not_break_a_request() -> None:
    item = {"role": "user", "content": "a\ud83d\u2028\U0001f600"}
    sent = body([item], tools=[{"name": "\udc00", "parameters": {"\ud800": (1, "\ud800")}}])
    assert sent["input"][0]["content"][0]["text"] == "a\ufffd\u2028\U0001f600"
    assert sent["tools"] == [{"name": "\ufffd", "parameters": {"\ufffd": [1, "\ufffd"]}}]


def test_one_id_names_the_session() -> None:
    assert session_headers("k", None) == {"session-id": "k", "thread-id": "k", "x-client-request-id": "k"}
    assert session_headers("k", "ts")["x-codex-turn-state"] == "ts"


@pytest.mark.parametrize("text", ["né", "a\r\nb: c", " x ", "\ud83d", "\x00"])
def test_a_header_value_is_always_sendable(text: str) -> None:
    value = header_value(text)
    assert value.isascii()
    assert value.isprintable()
    assert value == value.strip()


def test_an_ordinary_header_value_stays_as_it_is() -> None:
    text = "codex_magic/0.1 (Linux 6.1; x86_64) 100%"
    assert header_value(text) == text


@pytest.mark.parametrize(
    ("input", "parameters"),
    [
        ([{"type": ["x"]}], {}),
        ({"role": "user", "content": 5}, {}),
        ("hi", {"tools": 5}),
        ("hi", {"tools": ["x"]}),
        ("hi", {"tools": [5]}),
        ("hi", {"text": "x"}),
        ("hi", {"text": {"format": 5}}),
        ("hi", {"include": 5}),
        ("hi", {"extra_body": [1]}),
    ],
)
def test_what_is_of_a_wrong_type_is_refused_in_a_sentence(input: Any, parameters: Any) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        body_of(input, cast(Parameters, {"model": "m", **parameters}), is_codex=False)
    assert caught.value.hint
