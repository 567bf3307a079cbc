"""What a response is made of: finished items in order, text of unfinished ones, usage, the end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codex_magic.protocol.errors import ContextWindowError, ServiceError, StreamError, UsageLimitError
from codex_magic.protocol.types import TokenUsage
from codex_magic.responses.events import (
    CodexRateLimits,
    ContentPartDone,
    ErrorEvent,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
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


def part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


BEGUN = OutputItemAdded(
    output_index=1,
    item={"id": "f", "type": "function_call", "call_id": "c", "name": "act", "arguments": ""},
)
ARGUMENTS = FunctionCallArgumentsDelta(output_index=1, item_id="f", delta='{"n": 1}')


@pytest.mark.parametrize(
    "before",
    [
        [OutputTextDelta(delta="Hel"), OutputTextDelta(delta="lo")],
        [OutputTextDone(text="Hello")],
        [ContentPartDone(part=part("Hello"))],
        [OutputTextDelta(delta="Hel"), OutputTextDone(text="Hello")],
    ],
)
@pytest.mark.parametrize("content", [[], None, "", [part("")], [{"type": "output_text"}], [None], 5])
def test_a_message_that_is_finished_without_its_text_has_what_its_events_said(
    before: list[Any], content: Any
) -> None:
    done = OutputItemDone(item={"type": "message", "role": "assistant", "content": content})
    accumulator = ResponseAccumulator()
    told = accumulator.feed(*before, done, ResponseCompleted())
    assert accumulator.finish().output_text == "Hello"
    items = [event.item for event in told if isinstance(event, OutputItemDone)]
    assert [item["content"] for item in items] == [[part("Hello")]]


@pytest.mark.parametrize("content", ["Hello", ["Hello"], [{"text": "Hello"}]])
def test_a_message_in_an_odd_shape_is_read(content: Any) -> None:
    done = OutputItemDone(item={"type": "message", "content": content})
    assert fed(done, ResponseCompleted()).finish().output_text == "Hello"


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "call_id": "c", "name": "act", "arguments": ""},
        {"type": "function_call", "call_id": "", "name": ""},
        {"type": "function_call", "name": None, "arguments": 5},
        {"type": "function_call", "arguments": {"n": 1}},
        {},
    ],
)
@pytest.mark.parametrize(
    "arguments", [ARGUMENTS, FunctionCallArgumentsDone(output_index=1, arguments='{"n": 1}', name="act")]
)
def test_a_call_is_finished_with_what_its_events_said(arguments: Any, item: dict[str, Any]) -> None:
    done = OutputItemDone(output_index=1, item=item)
    (call,) = fed(BEGUN, arguments, done, ResponseCompleted()).finish().tool_calls
    assert (call["name"], call["call_id"], json.loads(call["arguments"])) == ("act", "c", {"n": 1})


def test_a_call_that_nothing_but_the_end_finishes() -> None:
    (call,) = fed(BEGUN, ARGUMENTS, ResponseCompleted()).finish().tool_calls
    assert (call["name"], call["arguments"]) == ("act", '{"n": 1}')
    assert fed(BEGUN, ARGUMENTS, ResponseIncomplete()).finish().tool_calls == []


def test_items_without_an_index_stay_apart() -> None:
    accumulator = ResponseAccumulator()
    told = accumulator.feed(
        *[event for text in ("one", "two") for event in (OutputTextDelta(delta=text), done(text))],
        ResponseCompleted(),
    )
    assert [event.output_index for event in told if isinstance(event, OutputItemDone)] == [0, 1]
    assert [event.output_index for event in told if isinstance(event, OutputTextDelta)] == [0, 1]
    assert accumulator.finish().output_text == "onetwo"


def done(text: str, **place: Any) -> OutputItemDone:
    return OutputItemDone(item=message(text), **place)


def test_items_that_all_have_the_same_index_stay_apart() -> None:
    accumulator = ResponseAccumulator()
    told = accumulator.feed(done("one", output_index=0), done("two", output_index=0), ResponseCompleted())
    assert [event.output_index for event in told if isinstance(event, OutputItemDone)] == [0, 1]
    assert accumulator.finish().output_text == "onetwo"


@pytest.mark.parametrize(
    "place", [{"output_index": 0}, {"item_id": "m"}, {"output_index": 0, "item_id": "m"}]
)
def test_a_piece_that_comes_late_is_no_second_message(place: dict[str, Any]) -> None:
    whole = OutputItemDone(output_index=0, item={**message("Hello"), "id": "m"})
    late = OutputTextDelta(delta="lo", **place)
    assert fed(OutputTextDelta(delta="Hel", **place), whole, late, ResponseCompleted()).finish().output == [
        whole.item
    ]


def shown(*events: Any) -> list[str]:
    """The texts of an answer as they are told, by their messages."""
    accumulator, told = ResponseAccumulator(), dict[int, str]()
    for event in (each for new in events for each in accumulator.feed(new)):
        if isinstance(event, OutputTextDelta):
            told[event.output_index] = told.get(event.output_index, "") + event.delta
    return [*told.values()]


def test_a_late_piece_of_no_item_is_not_shown_as_a_second_message() -> None:
    late = OutputTextDelta(delta="Hel"), OutputTextDelta(delta="lo")
    assert shown(OutputTextDelta(delta="Hello"), done("Hello"), *late, ResponseCompleted()) == ["Hello"]


def test_a_second_message_that_begins_like_the_first_is_shown_whole() -> None:
    second = OutputTextDelta(delta="Hel"), OutputTextDelta(delta="p"), OutputTextDelta(delta="!")
    assert shown(OutputTextDelta(delta="Hello"), done("Hello"), *second) == ["Hello", "Help!"]


def test_a_message_that_only_its_pieces_tell_is_finished_by_the_end() -> None:
    accumulator = ResponseAccumulator()
    told = accumulator.feed(OutputTextDelta(delta="Hello"), ResponseCompleted())
    assert [type(event) for event in told] == [OutputTextDelta, OutputItemDone, ResponseCompleted]
    assert accumulator.finish().output[0]["status"] == "completed"


@pytest.mark.parametrize("count", [12, 12.0, "12"])
def test_tokens_are_counted_however_they_are_written(count: Any) -> None:
    usage = {"input_tokens": count, "total_tokens": count}
    response = fed(ResponseCompleted(response={"usage": usage})).finish()
    assert response.usage == TokenUsage(input_tokens=12, total_tokens=12)


@pytest.mark.parametrize(
    ("status", "expected"), [("failed", None), ("incomplete", "incomplete"), ("cancelled", "incomplete")]
)
def test_what_is_not_completed_is_not_called_so(status: str, expected: str | None) -> None:
    accumulator = fed(OutputTextDelta(delta="Hel"), ResponseCompleted(response={"status": status}))
    if expected is None:
        with pytest.raises(ServiceError):
            accumulator.finish()
    else:
        assert accumulator.finish().status == expected
