"""What a response is made of: finished items in order, text of unfinished ones, usage, the end."""

from __future__ import annotations

from typing import Any

import pytest

from codex_magic.protocol.errors import ContextWindowError, ServiceError, StreamError, UsageLimitError
from codex_magic.protocol.types import TokenUsage
from codex_magic.responses.events import (
    CodexRateLimits,
    ErrorEvent,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    RefusalDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    ResponseMetadata,
)
from codex_magic.responses.response import Response, ResponseAccumulator

CREATED = ResponseCreated(response={"id": "resp_1", "model": "m", "status": "in_progress"})


def message(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}


def fed(*events: Any, headers: dict[str, str] | None = None) -> ResponseAccumulator:
    accumulator = ResponseAccumulator(headers)
    for event in events:
        accumulator.feed(event)
    return accumulator


def test_items_come_from_their_done_events_in_the_order_of_the_response() -> None:
    reasoning = {"type": "reasoning", "encrypted_content": "x"}
    done = [OutputItemDone(output_index=1, item=message("b")), OutputItemDone(output_index=0, item=reasoning)]
    response = fed(CREATED, *done, ResponseCompleted(response={"output": []})).finish()
    assert response.output == [reasoning, message("b")]
    assert (response.output_text, response.status, response.id) == ("b", "completed", "resp_1")


def test_items_of_a_server_that_only_lists_them_at_the_end() -> None:
    events = OutputTextDelta(delta="a"), ResponseCompleted(response={"output": [message("a")]})
    assert fed(*events).finish().output == [message("a")]


def test_text_of_an_unfinished_message_is_kept() -> None:
    added = OutputItemAdded(output_index=1, item={"id": "msg_1", "type": "message", "phase": "final_answer"})
    deltas = [OutputTextDelta(output_index=1, delta=text) for text in ("Hel", "lo")]
    response = fed(CREATED, OutputItemDone(output_index=0, item=message("a")), added, *deltas).response
    assert response.output_text == "aHello"
    assert response.output[1] == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "phase": "final_answer",
        "status": "incomplete",
        "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
    }


def test_a_cut_off_message_keeps_its_parts_apart() -> None:
    parts = OutputTextDelta(delta="a"), RefusalDelta(content_index=1, delta="No"), OutputTextDelta(delta="b")
    assert [part["type"] for part in fed(*parts).response.output[0]["content"]] == ["output_text", "refusal"]
    assert fed(*parts).response.output_text == "ab"


def test_a_finished_message_is_not_repeated_from_its_deltas() -> None:
    events = OutputTextDelta(delta="a"), OutputItemDone(item=message("a"))
    assert fed(*events).response.output_text == "a"


def test_usage() -> None:
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    assert fed(ResponseCompleted(response={"usage": usage})).response.usage == TokenUsage(10, 4, 5, 2, 15)
    assert fed(ResponseCompleted(response={"usage": None})).response.usage is None


def test_an_incomplete_response_says_why() -> None:
    end = ResponseIncomplete(response={"incomplete_details": {"reason": "max_output_tokens"}})
    response = fed(CREATED, end).finish()
    assert (response.status, response.incomplete_reason) == ("incomplete", "max_output_tokens")


def test_a_stream_without_an_end_keeps_what_arrived() -> None:
    with pytest.raises(StreamError) as caught:
        fed(CREATED, OutputTextDelta(delta="Hel")).finish()
    assert caught.value.response.output_text == "Hel"


@pytest.mark.parametrize(
    ("end", "error"),
    [
        (ResponseFailed(response={"error": {"code": "context_length_exceeded"}}), ContextWindowError),
        (ResponseFailed(), ServiceError),
        (ErrorEvent(error={"type": "usage_limit_reached"}, status_code=429), UsageLimitError),
        (ErrorEvent(code="server_error", message="Sorry"), ServiceError),
        (ErrorEvent(error="Sorry"), ServiceError),
    ],
)
def test_a_failure_keeps_what_arrived(end: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        fed(CREATED, OutputTextDelta(delta="Hel"), end).finish()
    response = caught.value.response  # type: ignore[attr-defined]  # every error here has it
    assert isinstance(response, Response)
    assert (response.output_text, response.status) == ("Hel", "failed")


def test_the_first_end_counts() -> None:
    limit = ErrorEvent(error={"type": "usage_limit_reached"}, status_code=429)
    with pytest.raises(UsageLimitError):
        fed(limit, ResponseFailed(response={"error": {"code": "server_error"}}), ResponseCompleted()).finish()


def test_a_server_that_gives_an_item_two_ids() -> None:
    events = OutputTextDelta(item_id="b", delta="Hel"), OutputTextDelta(item_id="a", delta="lo")
    assert fed(*events).response.output_text == "Hello"
    assert len(fed(*events).response.output[0]["content"]) == 1


def test_headers_name_model_turn_state_limits_and_request() -> None:
    headers = {
        "OpenAI-Model": "m-2",
        "x-codex-turn-state": "ts",
        "x-request-id": "req",
        "x-codex-primary-used-percent": "12.5",
    }
    response = fed(CREATED, headers=headers).response
    assert (response.model, response.turn_state, response.request_id) == ("m-2", "ts", "req")
    assert response.rate_limits is not None
    assert response.rate_limits.effective is not None
    assert response.rate_limits.effective.used_percent == 12.5


def test_headers_that_come_later_as_events() -> None:
    metadata = ResponseMetadata(headers={"x-codex-turn-state": "late", "openai-model": "m-3"})
    limits = CodexRateLimits(plan_type="plus", rate_limits={"primary": {"used_percent": 7}})
    response = fed(CREATED, metadata, limits).response
    assert (response.turn_state, response.model) == ("late", "m-3")
    assert response.rate_limits is not None
    assert response.rate_limits.plan_type == "plus"


def test_calls_and_thoughts_are_at_hand() -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    custom = {"type": "custom_tool_call", "call_id": "d", "name": "g", "input": ""}
    thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": text} for text in "ab"]}
    response = Response(output=[thought, call, message("x"), custom])
    assert response.tool_calls == [call, custom]
    assert response.reasoning_summary == "a\n\nb"
    assert Response(output=[message("x")]).reasoning_summary is None
