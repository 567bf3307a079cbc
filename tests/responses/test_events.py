"""Every event has its struct; what has none, or does not fit, is kept as it came."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from codex_magic.responses.events import (
    EVENT_TYPES,
    ErrorEvent,
    OutputItemDone,
    OutputTextDelta,
    ResponseCompleted,
    UnknownEvent,
    decode_event,
    decode_events,
)

SAMPLES = (Path(__file__).parent / "fixtures" / "events.jsonl").read_bytes().splitlines()
NOT_TYPED = {"logprobs", "obfuscation"}


def test_there_is_a_sample_of_every_type() -> None:
    assert {json.loads(sample)["type"] for sample in SAMPLES} == set(EVENT_TYPES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: json.loads(sample)["type"])
def test_a_sample_is_read_with_all_its_fields(sample: bytes) -> None:
    event, raw = decode_event(sample), json.loads(sample)
    assert type(event) is EVENT_TYPES[raw["type"]]
    assert {name: getattr(event, name) for name in raw if name not in NOT_TYPED} == {
        name: value for name, value in raw.items() if name not in NOT_TYPED
    }


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_every_field_may_be_absent(kind: str) -> None:
    assert type(decode_event(json.dumps({"type": kind}).encode())) is EVENT_TYPES[kind]


def test_an_error_in_its_flat_shape() -> None:
    event = decode_event(b'{"type":"error","code":"oops","message":"Sorry","param":null}')
    assert event == ErrorEvent(code="oops", message="Sorry")


def test_an_unknown_event_is_kept() -> None:
    raw = {"type": "responsesapi.websocket_timing", "ms": 5}
    assert decode_event(json.dumps(raw).encode()) == UnknownEvent(str(raw["type"]), raw)


@pytest.mark.parametrize(
    ("field", "value", "read"),
    [
        ("output_index", None, -1),
        ("output_index", "2", -1),
        ("output_index", 2.0, -1),
        ("output_index", [2], -1),
        ("content_index", None, 0),
        ("sequence_number", "3", 3),
        ("item_id", None, ""),
        ("item_id", 7, ""),
        ("delta", 5, ""),
        ("delta", None, ""),
    ],
)
def test_a_field_of_a_wrong_type_costs_that_field_alone(field: str, value: object, read: Any) -> None:
    whole: dict[str, Any] = {
        "sequence_number": 1,
        "item_id": "m",
        "output_index": 1,
        "content_index": 1,
        "delta": "a",
    }
    raw = {"type": "response.output_text.delta", **whole, field: value}
    assert decode_event(json.dumps(raw).encode()) == OutputTextDelta(**whole | {field: read})


def test_an_item_that_is_none_costs_the_item_alone() -> None:
    raw = {"type": "response.output_item.done", "output_index": 1, "item": None}
    assert decode_event(json.dumps(raw).encode()) == OutputItemDone(output_index=1)


@pytest.mark.parametrize("payload", [b"", b"nonsense", b'{"type":"respo', b"[]", b"{}", b"5", b"[" * 5000])
def test_what_is_no_event_is_kept_as_bytes(payload: bytes) -> None:
    assert decode_event(payload) == UnknownEvent("", payload)


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (rb'{"type":"response.output_text.delta","delta":"a\ud83d"}', "a\ufffd"),
        (rb'{"type":"response.output_text.delta","delta":"\ud83d\ude00"}', "\U0001f600"),
        (b'{"type":"response.output_text.delta","delta":"a\xff"}', "a\ufffd"),
    ],
)
def test_broken_text_is_mended(payload: bytes, text: str) -> None:
    assert decode_event(payload) == OutputTextDelta(delta=text)


@pytest.mark.parametrize("number", [b"NaN", b"-Infinity", b"Infinity", b"1e999", b"1" * 5000])
def test_a_number_that_is_none_costs_itself_alone(number: bytes) -> None:
    delta = b'{"type":"response.output_text.delta","delta":"a","logprobs":[{"logprob":%s}]}' % number
    assert decode_event(delta) == OutputTextDelta(delta="a")
    end = decode_event(b'{"type":"response.completed","response":{"status":"completed","x":%s}}' % number)
    assert isinstance(end, ResponseCompleted)
    assert end.response is not None
    assert end.response["status"] == "completed"


def test_one_odd_event_spoils_none_of_its_neighbours() -> None:
    good = b'{"type":"response.output_text.delta","delta":"a"}'
    kinds = [type(event) for event in decode_events([good, b'{"type":"new"}', good])]
    assert kinds == [OutputTextDelta, UnknownEvent, OutputTextDelta]


def test_an_item_goes_back_as_it_came() -> None:
    item = {"type": "new_item", "z": [1, 2.5, None], "a": {"deep": "\u2028"}, "id": "x"}
    event = decode_event(json.dumps({"type": "response.output_item.done", "item": item}).encode())
    assert isinstance(event, OutputItemDone)
    assert list(event.item.items()) == list(item.items())


def test_an_event_names_its_type() -> None:
    assert OutputTextDelta().type == "response.output_text.delta"
