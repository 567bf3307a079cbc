"""Responses Lite: tools and instructions in the input."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from codex_magic.protocol.errors import CodexError, InvalidRequestError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.client import Client
from codex_magic.responses.inputs import input_image, user
from codex_magic.responses.provider import custom
from codex_magic.responses.tools import web_search
from tests.responses.conftest import Asker, only_api, only_codex
from tests.responses.conversing import Caller
from tests.responses.wire import CREATED, Answer, Seen, Wire, delta, event, good, plain, stream

HEADER = "x-openai-internal-codex-responses-lite"
LITE_MODEL = plain(200, {"models": [{"slug": "m", "use_responses_lite": True}]})


def add(a: int) -> int:
    return a + 1


def create(**options: Any) -> Any:
    options = {"model": "local-lite", "lite": True, "tools": [add, web_search()], **options}
    shown = input_image("https://example.com/a.png", detail="high")
    return lambda client: client.responses.create([user("hi", shown)], instructions="Be brief.", **options)


@only_codex
def test_a_lite_request(call: Caller) -> None:
    call(create(reasoning={"effort": "low"}, parallel_tool_calls=True))
    sent = call.service.requests[-1]
    assert sent.headers[HEADER] == "true"
    assert not {"tools", "instructions"} & set(sent.json)
    assert sent.json["parallel_tool_calls"] is False
    assert sent.json["reasoning"] == {"effort": "low", "context": "all_turns"}
    tools, instructions, question = sent.json["input"]
    assert (tools["type"], tools["role"], tools["id"][:3]) == ("additional_tools", "developer", "at_")
    assert [(tool["type"], tool.get("name")) for tool in tools["tools"]] == [
        ("namespace", "functions"),
        ("web_search", None),
    ]
    assert instructions["role"] == "developer"
    assert instructions["content"] == [{"type": "input_text", "text": "Be brief."}]
    assert question["content"][1] == {"type": "input_image", "image_url": "https://example.com/a.png"}


@only_codex
def test_the_same_tools_have_the_same_id(call: Caller) -> None:
    """Otherwise nothing of the prompt would be cached."""
    for tools in ([add], [add], []):
        call(create(tools=tools))
    first, second, third = (each.json["input"][0] for each in call.service.requests)
    assert first == second
    assert third["type"] == "message"


@only_codex
def test_a_turn_with_tools(call: Caller) -> None:
    asked = 'use the tool add 2 times with {"a": 1}'
    done = call(lambda client: client.responses.run_tools(asked, model="local-lite", lite=True, tools=[add]))
    assert done.rounds == 2
    assert "The 2 calls gave:" in done.output_text


@pytest.mark.parametrize(("model", "is_lite"), [("local-lite", True), ("local-large", False)])
@only_codex
def test_the_catalog_chooses_the_dialect(call: Caller, model: str, is_lite: bool) -> None:
    for _ in range(2):
        call(create(model=model, lite="auto"))
    sent = [each for each in call.service.requests if each.path.endswith("/responses")]
    assert [HEADER in each.headers for each in sent] == [is_lite, is_lite]
    assert len(call.service.requests) == 3


@only_codex
def test_it_is_not_spoken_unasked(call: Caller) -> None:
    call(create(lite=None))
    assert HEADER not in call.service.requests[-1].headers


# A model that wants the other dialect ------------------------------------------------------------------


@pytest.fixture
def backend(ask: Asker, wire: Wire) -> Asker:
    """The Codex backend, whose catalog has one model of either dialect."""
    models = [{"slug": "lite", "use_responses_lite": True}, {"slug": "classic", "use_responses_lite": False}]
    refusal = plain(400, {"detail": "This model can't be used in this way."})

    def choose(seen: Seen) -> Answer:
        if seen.method == "GET":
            return plain(200, {"models": models})
        wants_lite = seen.json["model"].startswith("lite")
        return stream(*good("Hello")) if (HEADER in seen.headers) == wants_lite else refusal

    wire.answer_by(choose)
    ask.provider = dataclasses.replace(custom(wire.url), is_codex=True)
    return ask


def dialects(wire: Wire) -> list[bool]:
    return [HEADER in seen.headers for seen in wire.requests if seen.method == "POST"]


def test_a_model_that_refuses_the_classic_dialect_is_asked_in_the_other(backend: Asker, wire: Wire) -> None:
    assert backend(model="lite", tools=[add], instructions="Be brief.").output_text == "Hello"
    assert dialects(wire) == [False, True]
    assert wire.requests[-1].json["input"][0]["type"] == "additional_tools"


def test_a_model_that_refuses_the_other_dialect_is_asked_in_the_classic(backend: Asker, wire: Wire) -> None:
    wire.answer_by(
        lambda seen: (
            LITE_MODEL
            if seen.method == "GET"
            else plain(400, {"detail": "No lite."})
            if HEADER in seen.headers
            else stream(*good("Hello"))
        )
    )
    assert backend(model="m", lite="auto").output_text == "Hello"
    assert dialects(wire) == [True, False]


def test_the_dialect_is_remembered(backend: Asker, wire: Wire, settings: Settings) -> None:
    with Client(backend.provider, settings=settings) as client:
        for _ in range(3):
            client.responses.create("hi", model="lite")
    assert dialects(wire) == [False, True, True, True]


@pytest.mark.parametrize("options", [{"model": "classic", "lite": True}, {"model": "lite", "lite": False}])
def test_a_dialect_that_was_asked_for_is_kept(backend: Asker, wire: Wire, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        backend(**options)
    assert len(dialects(wire)) == 1


def test_a_refusal_in_both_dialects_is_the_first_one(backend: Asker, wire: Wire) -> None:
    answers = iter([plain(400, {"detail": "The first."}), LITE_MODEL, plain(400, {"detail": "The second."})])
    wire.answer_by(lambda seen: next(answers))
    with pytest.raises(InvalidRequestError, match="The first"):
        backend(model="m")
    assert dialects(wire) == [False, True]


NOT_SUPPORTED = "The 'm' model is not supported when using Codex with a ChatGPT account."

REFUSED_IN_THE_STREAM = {
    "an error with a status": event("error", status=400, error={"message": "No lite."}),
    "a failure with a code": event("response.failed", response={"error": {"code": "invalid_request_error"}}),
    "a failure in words": event("response.failed", response={"error": {"message": NOT_SUPPORTED}}),
}


@pytest.mark.parametrize("refusal", REFUSED_IN_THE_STREAM.values(), ids=REFUSED_IN_THE_STREAM)
def test_a_dialect_that_is_refused_inside_the_stream(backend: Asker, wire: Wire, refusal: bytes) -> None:
    answers = iter([stream(CREATED, refusal), LITE_MODEL, stream(*good("Hello"))])
    wire.answer_by(lambda seen: next(answers))
    assert backend(model="m").output_text == "Hello"
    assert dialects(wire) == [False, True]


def test_a_dialect_is_not_changed_after_a_text(backend: Asker, wire: Wire) -> None:
    refusal = REFUSED_IN_THE_STREAM["an error with a status"]
    wire.answer_by(
        lambda seen: LITE_MODEL if seen.method == "GET" else stream(CREATED, delta("Hel"), refusal)
    )
    with pytest.raises(InvalidRequestError, match="No lite"):
        backend(model="m")
    assert dialects(wire) == [False]


def test_a_refusal_inside_the_stream_of_both_dialects_is_the_first_one(backend: Asker, wire: Wire) -> None:
    first, second = (event("error", status=400, error={"message": words}) for words in ("One.", "Two."))
    answers = iter([stream(first), LITE_MODEL, stream(second)])
    wire.answer_by(lambda seen: next(answers))
    with pytest.raises(InvalidRequestError, match="One"):
        backend(model="m")
    assert dialects(wire) == [False, True]


@pytest.mark.parametrize(
    "refusal",
    [
        plain(400, {"error": {"code": "context_length_exceeded"}}),
        plain(400, {"error": {"code": "invalid_encrypted_content", "message": "No"}}),
        plain(401, {"detail": "No"}),
        plain(413),
    ],
)
def test_a_refusal_of_another_kind_is_none_of_the_dialect(
    backend: Asker, wire: Wire, refusal: Answer
) -> None:
    wire.answer(refusal)
    wire.answer_by(lambda seen: refusal)
    with pytest.raises(CodexError):
        backend(model="lite")
    assert dialects(wire) == [False]


@only_codex
def test_the_memory_of_a_client_is_classic(call: Caller) -> None:
    def use(client: Any) -> Any:
        first = create()(client)
        return create(previous_response_id=first.id)(client)

    async def use_async(client: Any) -> Any:
        first = await create()(client)
        return await create(previous_response_id=first.id)(client)

    call(use_async if call.is_async else use)
    kinds = [item.get("role") or item["type"] for item in call.service.requests[-1].json["input"]]
    assert kinds == ["developer", "developer", "user", "reasoning", "assistant", "user"]


@only_api
def test_other_services_do_not_speak_it(call: Caller) -> None:
    with pytest.raises(InvalidRequestError, match="Lite"):
        call(create(model="local-large"))
    call(create(model="local-large", lite="auto"))
    assert HEADER not in call.service.requests[-1].headers
