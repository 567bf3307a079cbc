"""Conversations made short: when, how, and what is left of them."""

from __future__ import annotations

from typing import Any

import pytest

from codex_magic.local_service.conversation import unseal
from codex_magic.protocol.errors import ServiceError
from codex_magic.protocol.types import TokenUsage
from codex_magic.responses.catalog import Model
from codex_magic.responses.client import Client
from codex_magic.responses.compaction import is_due, kept, token_limit
from codex_magic.responses.inputs import assistant, developer, user
from codex_magic.responses.provider import Provider
from tests.known import some
from tests.responses.conftest import only_api, only_codex
from tests.responses.conversing import Caller
from tests.responses.wire import CREATED, Wire, completed, message, plain, stream

TALK = [developer("Be brief."), "What is tea?", assistant("A drink."), "And coffee?", assistant("Another.")]
CALL = [
    {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "1", "output": "x"},
]


def compact(input: Any, **options: Any) -> Any:
    return lambda client: client.responses.compact(input, **{"model": "local-large"} | options)


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (Model("m"), None),
        (Model("m", context_window=1000), 900),
        (Model("m", context_window=1000, effective_context_window_percent=80), 800),
        (Model("m", context_window=1000, auto_compact_token_limit=700), 700),
        (Model("m", context_window=1000, auto_compact_token_limit=5000), 900),
        (Model("m", auto_compact_token_limit=700), 700),
    ],
)
def test_the_limit_of_a_model(model: Model, limit: int | None) -> None:
    assert token_limit(model) == limit


@pytest.mark.parametrize(
    ("tokens", "limit", "due"), [(99, 100, False), (100, 100, True), (100, None, False), (None, 1, False)]
)
def test_when_it_is_due(tokens: int | None, limit: int | None, due: bool) -> None:
    usage = None if tokens is None else TokenUsage(total_tokens=tokens)
    assert is_due(usage, limit) is due


def test_messages_are_kept_and_the_oldest_is_cut() -> None:
    wire_items = [developer("d" * 8), user("u" * 8, {"type": "input_image", "image_url": "x"}), *CALL]
    wire_items += [assistant("answer"), user("last")]
    assert kept(wire_items) == [wire_items[0], wire_items[1], wire_items[-1]]
    shorter = kept(wire_items, tokens=2)
    assert [part for item in shorter for part in item["content"]] == [
        {"type": "input_text", "text": "uuuu"},
        {"type": "input_image", "image_url": "x"},
        {"type": "input_text", "text": "last"},
    ]
    assert kept(wire_items, tokens=1) == wire_items[-1:]


@only_codex
def test_the_codex_backend_is_asked_in_a_stream(call: Caller) -> None:
    done = call(compact([*TALK, *CALL], instructions="Be brief."))
    sent = call.service.requests[-1]
    assert sent.path.endswith("/codex/responses")
    assert sent.json["input"][-1] == {"type": "compaction_trigger"}
    assert sent.headers["x-codex-beta-features"] == "remote_compaction_v2"
    assert sent.headers["x-codex-turn-metadata"] == '{"request_kind": "compaction"}'
    assert [item.get("role", item["type"]) for item in done.output] == [
        *["developer", "user", "user"],
        "compaction",
    ]
    assert done.output[-1:] == done.added
    assert done.usage.total_tokens > 0


@only_api
def test_the_public_api_has_an_endpoint(call: Caller) -> None:
    done = call(compact(TALK, instructions="Be brief."))
    sent = call.service.requests[-1]
    assert sent.path == "/v1/responses/compact"
    assert set(sent.json) == {"model", "input", "instructions"}
    assert [item["type"] for item in done.output] == ["message", "message", "compaction"]
    assert done.usage.total_tokens > 0


def test_the_conversation_goes_on_after_it(call: Caller) -> None:
    done = call(compact(TALK))
    answer = call(
        lambda client: client.responses.create([*done.output, "table, please"], model="local-large")
    )
    assert "This is turn 3; the 2 before it were compacted." in answer.output_text


def test_a_compacted_conversation_can_be_compacted(call: Caller) -> None:
    done = call(compact([*call(compact(TALK)).output, "And milk?", assistant("Too.")]))
    assert some(unseal(done.added[0]["encrypted_content"]))["turns"] == 3
    assert len(done.added) == 1


@only_codex
def test_what_went_before_an_earlier_response_is_part_of_it(call: Caller) -> None:
    """`previous_response_id` is looked up in the client's memory."""

    def use(client: Any) -> Any:
        if call.is_async:
            return use_async(client)
        first = client.responses.create("What is tea?", model="local-large")
        return client.responses.compact([], model="local-large", previous_response_id=first.id)

    async def use_async(client: Any) -> Any:
        first = await client.responses.create("What is tea?", model="local-large")
        return await client.responses.compact([], model="local-large", previous_response_id=first.id)

    assert call(use).output[0]["content"] == [{"type": "input_text", "text": "What is tea?"}]


def test_a_service_that_compacts_nothing(wire: Wire, settings: Any) -> None:
    wire.answer(stream(CREATED, message("Sure."), completed()))
    provider = Provider("chatgpt", wire.url, is_codex=True)
    with Client(provider, settings=settings) as client, pytest.raises(ServiceError, match="0 compactions"):
        client.responses.compact("hi", model="m")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"id": "x"}', b"\xff"])
def test_an_answer_that_can_not_be_read(wire: Wire, client: Client, body: bytes) -> None:
    wire.answer(plain(200, body))
    with pytest.raises(ServiceError, match="compacted"):
        client.responses.compact("hi", model="m")
