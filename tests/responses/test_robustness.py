"""A stream that is cut, split or spoilt anywhere: an error of ours or the right text, never anything else.

The oracle reads events line by line and adds up their text in the most obvious way.
"""

from __future__ import annotations

import gc
import json
import random
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from codex_magic.protocol.errors import CodexError, StreamError
from codex_magic.protocol.plain import read_json
from codex_magic.responses.client import Client
from codex_magic.responses.events import (
    ErrorEvent,
    Event,
    OutputItemDone,
    OutputTextDelta,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    StreamEvent,
    UnknownEvent,
    decode_event,
)
from codex_magic.responses.exchange import Exchange, RetryPolicy
from codex_magic.responses.response import Response
from tests.responses.conftest import Asker
from tests.responses.wire import CREATED, DROP, Wire, completed, delta, event, good, message, plain, stream

RECORDED = (Path(__file__).parent / "fixtures" / "recorded.sse").read_bytes()
"""What the local service once said: reasoning, a message of many alphabets, unannounced events."""

SHORT = (
    b": hello\r\n\r\n" + delta("é\u2028😀") + message("é\u2028😀") + b'data: {"type":\rdata: "keepalive"}\r\r'
)
END = event("response.completed", response={"status": "completed"})

STREAMS = 20_000
SEED = 20261120


# The oracle --------------------------------------------------------------------------------------


def payloads(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Each with the name of its event; without any, the lines of JSON."""
    seen = False
    name, data = "", list[bytes]()
    lines = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in [*lines, b""]:
        if line.startswith(b"data:"):
            value = line[5:]
            data.append(value[1:] if value.startswith(b" ") else value)
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode(errors="replace")
        elif line == b"":
            payload = b"\n".join(data)
            if payload not in (b"", b"[DONE]"):
                yield name, payload
                seen = True
            name, data = "", []
    for line in [] if seen else lines:
        if not line.startswith(b"{") or not isinstance(decode_event(line), StreamEvent):
            break
        yield "", line


ENDS = (ResponseCompleted, ResponseIncomplete, ResponseFailed, ErrorEvent)


def told(raw: bytes) -> list[Event]:
    """The events up to the first end; a failure without a reason waits for one."""
    events: list[Event] = []
    bare: list[Event] = []
    for name, payload in payloads(raw):
        events.append(decode_event(payload))
        if isinstance(events[-1], UnknownEvent) and not events[-1].type and name:
            with suppress(ValueError, TypeError):
                events[-1] = decode_event(json.dumps({**read_json(payload), "type": name}).encode())
            if name == "error" and isinstance(events[-1], UnknownEvent):
                events[-1] = ErrorEvent()
        last = events[-1]
        if isinstance(last, ResponseFailed) and not (last.error or (last.response or {}).get("error")):
            bare = [events.pop()]
        elif isinstance(last, ENDS):
            return events
    return events + bare


def text_of(item: dict[str, Any]) -> str:
    """The text of a message, whose parts may come without their type."""
    parts = item.get("content")
    parts = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    typed = [part if isinstance(part.get("type"), str) else {**part, "type": "output_text"} for part in parts]
    return Response(output=[{**item, "content": typed}]).output_text


def added_up(events: list[Event], pieces_told: list[str] | None = None) -> str:
    """The text of finished messages, and of those that were begun. A message that is finished without a text has
    that of its pieces; pieces that come after a message with such a text are late. `pieces_told` becomes what is
    told: pieces that no index and no id places wait as long as a finished message holds them."""
    told: list[str] = [] if pieces_told is None else pieces_told
    finished: list[tuple[int, str]] = []
    begun: dict[tuple[int, int], str] = {}
    named: dict[str, int] = {}
    for each in events:
        if not isinstance(each, OutputTextDelta | OutputItemDone):
            continue
        places = [index for index, _ in begun]
        following = max([-1, *places, *(index for index, _ in finished)]) + 1
        name = each.item_id if isinstance(each, OutputTextDelta) else str(each.item.get("id") or "")
        index = each.output_index
        if index < 0:
            index = named.get(name, [following, *places][-1])
        if name:
            named[name] = index
        if isinstance(each, OutputTextDelta):
            before = "".join(text for place, text in sorted(begun.items()) if place[0] == index)
            is_placed = each.output_index >= 0 or index in named.values()
            whole = [text for at, text in finished if at == index][-1:] if index not in places else []
            if each.delta and not (whole and whole[0] and each.delta in whole[0]):
                begun[index, each.content_index] = begun.get((index, each.content_index), "") + each.delta
            if is_placed or not each.delta or not any(before + each.delta in text for _, text in finished):
                waited = not is_placed and any(before in text for _, text in finished)
                told.append(before + each.delta if waited else each.delta)
        else:
            pieces = "".join(text for place, text in sorted(begun.items()) if place[0] == index)
            finished.append((index, text_of(each.item) or pieces))
            begun = {place: text for place, text in begun.items() if place[0] != index}
    end = events[-1] if events else None
    listed = (getattr(end, "response", None) or {}).get("output") if isinstance(end, ENDS[:3]) else None
    if not finished and isinstance(listed, list) and any(isinstance(item, dict) for item in listed):
        return Response(output=[item for item in listed if isinstance(item, dict)]).output_text
    rest = [
        (place[0], text)
        for place, text in sorted(begun.items())
        if not any(text in whole for _, whole in finished)
    ]
    return "".join(text for _, text in sorted([*finished, *rest], key=lambda pair: pair[0]))


def deltas(events: list[Event]) -> list[str]:
    return [each.delta for each in events if isinstance(each, OutputTextDelta)]


# Reading -----------------------------------------------------------------------------------------


def read(chunks: Iterable[bytes]) -> tuple[list[Event], Response, CodexError | None]:
    """What a client would deliver, the response as far as it came, and what it ended with."""
    exchange = Exchange(RetryPolicy())
    exchange.begin({})
    events: list[Event] = []
    for chunk in chunks:
        events += exchange.feed(chunk)
        if exchange.over:
            break
    else:
        events += exchange.end()
    try:
        return events, exchange.finish(), None
    except CodexError as error:
        return events, exchange.response, error


WHOLE = added_up(told(RECORDED))


def test_the_recording_is_what_it_claims() -> None:
    events, response, error = read([RECORDED])
    assert 7000 < len(RECORDED) < 9000
    assert (error, response.output_text) == (None, WHOLE)
    assert "漢字" in WHOLE
    assert "\u2028" in WHOLE
    assert events == told(RECORDED)


def test_cut_at_every_byte() -> None:
    last = RECORDED.rindex(b"event: response.completed")
    for at in range(len(RECORDED)):
        _, response, error = read([RECORDED[:at]])
        assert WHOLE.startswith(response.output_text)
        if at <= last:
            assert isinstance(error, StreamError), at
        else:
            assert response.output_text == WHOLE
            assert error is None or isinstance(error, StreamError)


def test_split_at_every_byte() -> None:
    expected = read([RECORDED])
    for at in range(len(RECORDED)):
        assert read([RECORDED[:at], RECORDED[at:]]) == expected, at


def test_split_at_every_pair_of_bytes() -> None:
    raw = SHORT + END
    expected = read([raw])
    assert expected[1].output_text == "é\u2028😀"
    for first in range(len(raw)):
        head, rest = raw[:first], raw[first:]
        for size in range(len(rest)):
            assert read([head, rest[:size], rest[size:]]) == expected, (first, size)


# Spoilt streams ----------------------------------------------------------------------------------

BASE = CREATED + SHORT + delta("Hel") + delta("lo") + completed()
TOKENS = [
    b"\n", b"\r", b"\r\n", b"\n\n", b"data:", b"data: ", b"event: x\n", b":", b"[DONE]", b"null", b"5", b'"',
    b"{", b"}", b"[", b"]", b",", b"\\", b"\\ud83d", b"\xff", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\x00", b"1e999",
    b'"output_index":1', b'"content_index":-1', b'"type":"error"', b'"response":null', b'"item":{}', b'"item":null',
    delta("x"), message("y"), END, event("response.failed"), event("error", code=5), event("response.incomplete"),
    event("response.output_item.done", item={"type": "message", "content": None}),
    event("response.output_item.done", item={"type": "message", "content": [{"type": "output_text"}]}),
    event("response.output_item.done", item={"type": "message", "content": [5]}),
    event("response.completed", response={"output": 5, "usage": 5, "incomplete_details": 5, "id": 5}),
    event("response.completed", response={"output": [5], "status": 5, "model": []}),
    event("codex.rate_limits", rate_limits={"primary": 5}),
    event("response.metadata", headers={"x-codex-primary-used-percent": "x", "openai-model": None}),
    event("response.created", response={"id": [], "usage": {"input_tokens": "x"}}),
    event("error", error={"type": "usage_limit_reached", "resets_at": "soon", "plan_type": 5}, status=429),
    event("response.failed", response={"error": [], "usage": []}),
]  # fmt: skip


def spoil(chance: random.Random) -> bytes:
    raw = BASE
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw) + 1)
        to = min(len(raw), at + chance.choice((0, 1, 1, 2, 10, 100, 400)))
        raw = chance.choice(
            (
                raw[:at] + raw[to:],
                raw[:at] + chance.choice(TOKENS) + raw[at:],
                raw[:at] + chance.choice(TOKENS) + raw[to:],
                raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :],
                raw[:to] + raw[at:],
                raw[at:] + raw[:at],
                raw[:at],
            )
        )
    return raw


def pieces(chance: random.Random, raw: bytes) -> list[bytes]:
    cuts = sorted(chance.randrange(len(raw) + 1) for _ in range(chance.randrange(5)))
    return [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


def survive(chance: random.Random) -> None:
    raw = spoil(chance)
    events, response, error = read(pieces(chance, raw))
    expected = told(raw)
    pieces_told: list[str] = []
    assert response.output_text == added_up(expected, pieces_told), raw
    assert deltas(events) == pieces_told, raw
    assert error is None or str(error)


def test_spoilt_streams() -> None:
    chance = random.Random(SEED)
    for _ in range(STREAMS):
        survive(chance)


def test_spoilt_streams_leave_nothing_behind() -> None:
    chance = random.Random(SEED)
    tracemalloc.start()
    try:
        held = []
        for _ in range(3):
            for _ in range(500):
                survive(chance)
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[2] - held[1] < 50_000


@pytest.mark.parametrize("ending", [[], [DROP]], ids=["ended", "dropped"])
def test_spoilt_streams_over_sockets(ask: Asker, wire: Wire, ending: list[Any]) -> None:
    chance = random.Random(SEED)
    for _ in range(50):
        wire.answer(stream(*pieces(chance, spoil(chance)), *ending))
        with suppress(CodexError):
            assert isinstance(ask(), Response)


# Depth -------------------------------------------------------------------------------------------

DEPTHS = [b"[" * 900 + b"]" * 900, b'{"a":' * 50_000 + b"1" + b"}" * 50_000, b"[" * 50_000]


@pytest.mark.parametrize("deep", DEPTHS, ids=["900", "50000", "open"])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_json_of_any_depth_is_an_answer_or_an_error_of_ours(
    client: Client, wire: Wire, deep: bytes, status: int
) -> None:
    wire.answer(plain(status, b'{"models": [{"slug": "m", "extra": %s}]}' % deep))
    with suppress(CodexError):
        assert [model.slug for model in client.models.list(force_refresh=True)] == ["m"]
    wire.answer(plain(status, b'{"error": {"message": %s}}' % deep))
    with suppress(CodexError):
        client.responses.create("hi", model="m")
    wire.answer(stream(b'data: {"type": "response.output_item.done", "item": {"a": %s}}\n\n' % deep, *good()))
    response = client.responses.create("hi", model="m")
    assert response.output_text == "Hello"
    client.responses.create([*response.output, "And then?"], model="m")
