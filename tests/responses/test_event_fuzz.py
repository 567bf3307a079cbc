"""Every field of every event, null, of a wrong type, left out, wrapped or with others beside it, one at a time:
no text is lost, no failure is called a success, no request is sent too often, and no error is a stranger's.

The answer says everything twice or more, as the service does: in pieces, in wholes, in finished items.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codex_magic import (
    AsyncClient,
    Client,
    Codex,
    CodexConfig,
    CodexError,
    Response,
    Settings,
    TurnStatus,
)
from codex_magic.protocol.types import AgentMessage, ToolCall
from codex_magic.responses.events import EVENT_TYPES
from codex_magic.responses.exchange import RetryPolicy
from codex_magic.responses.provider import custom
from codex_magic.responses.response import texts
from tests.responses.wire import Answer, Wire, stream

SAMPLES = [
    json.loads(line)
    for line in (Path(__file__).parent / "fixtures" / "events.jsonl").read_bytes().splitlines()
]
Raw = dict[str, Any]

TEXT, REFUSAL, THOUGHT, ARGUMENTS = "The answer is 42.", "I can't say more.", "Let me see.", '{"n": 1}'
RAW_THOUGHT = "Six by seven, then."


def of(kind: str, **fields: Any) -> Raw:
    return {"type": f"response.{kind}", **fields}


def item_events(index: int, item: Raw, *inside: Raw) -> list[Raw]:
    """Begin an item, tell what is in it, finish it."""
    begun = {name: [] if isinstance(value, list) else value for name, value in item.items()}
    begun |= {"status": "in_progress"} | ({"arguments": ""} if "arguments" in item else {})
    place = {"output_index": index, "item_id": item["id"]}
    return [
        of("output_item.added", output_index=index, item=begun),
        *({**each, **place} for each in inside),
        of("output_item.done", output_index=index, item=item),
    ]


def part_events(name: str, part: Raw, field: str, text: str, holder: str = "content") -> list[Raw]:
    """Tell a text in pieces, and then as a whole; twice, as the service does."""
    at = {f"{holder}_index": 0}
    begun = {**part, field: ""}
    frame = "content_part" if holder == "content" else "reasoning_summary_part"
    return [
        of(f"{frame}.added", **at, part=begun),
        *(of(f"{name}.delta", **at, delta=piece) for piece in (text[:4], text[4:])),
        of(f"{name}.done", **at, **{field: text}),
        of(f"{frame}.done", **at, part={**part, field: text}),
    ]


def message(id: str, part: Raw) -> Raw:
    return {"id": id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}


SUMMARY_PART = {"type": "summary_text", "text": THOUGHT}
TEXT_PART = {"type": "output_text", "text": TEXT, "annotations": []}
REFUSAL_PART = {"type": "refusal", "refusal": REFUSAL}
THOUGHT_PART = {"type": "reasoning_text", "text": RAW_THOUGHT}
REASONING = {"id": "rs_1", "type": "reasoning", "summary": [SUMMARY_PART], "content": [THOUGHT_PART]} | {
    "encrypted_content": "sealed"
}
CALL = {"id": "fc_1", "type": "function_call", "call_id": "c1", "name": "act", "arguments": ARGUMENTS}

HEAD = [
    of(kind, response={"id": "resp_1", "model": "m", "status": status})
    for kind, status in (("created", "queued"), ("queued", "queued"), ("in_progress", "in_progress"))
]
ITEMS = [
    *item_events(
        0,
        REASONING,
        *part_events("reasoning_summary_text", SUMMARY_PART, "text", THOUGHT, "summary"),
        *part_events("reasoning_text", THOUGHT_PART, "text", RAW_THOUGHT),
    ),
    *item_events(1, message("msg_1", TEXT_PART), *part_events("output_text", TEXT_PART, "text", TEXT)),
    *item_events(
        2, message("msg_2", REFUSAL_PART), *part_events("refusal", REFUSAL_PART, "refusal", REFUSAL)
    ),
    *item_events(
        3,
        CALL,
        of("function_call_arguments.delta", delta=ARGUMENTS[:4]),
        of("function_call_arguments.delta", delta=ARGUMENTS[4:]),
        of("function_call_arguments.done", arguments=ARGUMENTS, name="act"),
    ),
]
TOLD = {each["type"] for each in (*HEAD, *ITEMS)}
ENDS = {f"response.{end}" for end in ("completed", "failed", "incomplete")} | {"error"}
OTHERS = [
    {**each, **({"output_index": 9, "item_id": "x"} if "output_index" in each else {})}
    for each in SAMPLES
    if each["type"] not in TOLD | ENDS
]
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
COMPLETED = of("completed", response={"id": "resp_1", "status": "completed", "output": [], "usage": USAGE})
ERROR = {"code": "server_error", "message": "Sorry", "type": "server_error", "param": None}
FAILURES = [
    of("failed", response={"id": "resp_1", "status": "failed", "error": ERROR}),
    of("incomplete", response={"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}),
    {"type": "error", "error": ERROR, "status": 500, "headers": {"x-request-id": "r"}, "sequence_number": 3},
    {"type": "error", "code": "server_error", "message": "Sorry", "param": None, "status_code": 500},
]


# Mutations ---------------------------------------------------------------------------------------

WRONG: list[Any] = [None, "x", "7", "", 5, -3, 1.5, True, [], {}, [None], {"value": None}, 10**30]


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield (*before, key)
        yield from paths(each, (*before, key))


LEFT_OUT = object()


def put(raw: Raw, path: tuple[Any, ...], value: Any) -> Raw:
    new = copy.deepcopy(raw)
    place: Any = new
    for key in path[:-1]:
        place = place[key]
    if value is LEFT_OUT:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return new


def mutations(raw: Raw) -> Iterator[Raw]:
    """The event with one thing wrong in it."""
    for path in paths(raw):
        old: Any = raw
        for key in path:
            old = old[key]
        for value in (*WRONG, [old], {"value": old}, LEFT_OUT):
            if type(value) is not type(old) or (value in ("", [], {}) and value != old):
                yield put(raw, path, value)
    yield {**raw, "extra": {"deep": [[[None]]]}, "output": 5}


class Case(NamedTuple):
    events: list[Raw]
    is_good: bool
    """It ends with `response.completed`, which is as it should be."""
    is_visible: bool


def cases() -> Iterator[Case]:
    whole = [*HEAD, *ITEMS, *OTHERS]
    for at, each in enumerate(whole):
        for new in mutations(each):
            yield Case([*whole[:at], new, *whole[at + 1 :], COMPLETED], True, True)
    for new in mutations(COMPLETED):
        yield Case([*whole, new], new["type"] == COMPLETED["type"] if "type" in new else False, True)
    for end in FAILURES:
        for new in mutations(end):
            yield Case([HEAD[0], new], False, False)
            yield Case([*HEAD, *ITEMS, new], False, True)


CASES = list(cases())
THREADS = 300
"""How many of them the threads get, which keep each in their store."""


def test_every_type_is_told() -> None:
    told = TOLD | {each["type"] for each in OTHERS} | ENDS
    assert set(EVENT_TYPES) == told
    assert len(CASES) >= 5_000


def answer(*events: Raw) -> Answer:
    return stream(b"".join(f"data: {json.dumps(each)}\n\n".encode() for each in events))


# What becomes of them ----------------------------------------------------------------------------


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()


def judge(case: Case, requests: int, response: Response, failure: CodexError | None) -> None:
    assert requests <= (1 if case.is_visible else RetryPolicy().stream_retries + 1), (requests, case)
    if case.is_visible:
        assert response.output_text == TEXT, case
    if not case.is_good:
        assert failure is not None or response.status == "incomplete", case
        return
    assert failure is None, case
    assert response.status == "completed", case
    assert response.reasoning_summary == THOUGHT, case
    assert [text for item in response.output for text in texts(item, "reasoning_text")] == [RAW_THOUGHT], case
    calls = [(each["name"], each["call_id"], each["arguments"]) for each in response.tool_calls]
    assert calls == [("act", "c1", ARGUMENTS)], case
    refusals = [text for item in response.output for text in texts(item, "refusal", field="refusal")]
    assert refusals == [REFUSAL], case


def test_sync(wire: Wire, settings: Settings) -> None:
    with Client(custom(wire.url, settings=settings), settings=settings, sleep=lambda _: None) as client:
        for case in CASES[0::2]:
            before, failure = len(wire.requests), None
            wire.answer(answer(*case.events))
            try:
                response = client.responses.create("hi", model="m")
            except CodexError as error:
                failure, response = error, error.response
            judge(case, len(wire.requests) - before, response, failure)


def without(*names: str) -> list[Raw]:
    """The items' events without these fields, `id` also within the items."""
    kept = [{name: value for name, value in each.items() if name not in names} for each in ITEMS]
    inside = [
        {name: value for name, value in each.get("item", {}).items() if name not in names} for each in ITEMS
    ]
    return [{**each, **({"item": item} if item else {})} for each, item in zip(kept, inside, strict=True)]


def emptied(raw: Raw) -> Raw:
    """The finished item without what its other events said."""
    if raw["type"] != "response.output_item.done":
        return raw
    return {
        **raw,
        "item": {
            name: type(value)() if name in ("content", "arguments") else value
            for name, value in raw["item"].items()
        },
    }


HABITS = {
    "no index": without("output_index"),
    "no ids": without("item_id", "id"),
    "neither": without("output_index", "item_id", "id"),
    "always the first": [{**each, "output_index": 0} for each in ITEMS],
    "no wholes": [
        each for each in ITEMS if not each["type"].endswith(("text.done", "part.done", "arguments.done"))
    ],
    "empty items": [*map(emptied, ITEMS)],
}


@pytest.mark.parametrize("items", HABITS.values(), ids=HABITS)
def test_an_answer_that_says_less(wire: Wire, client: Client, items: list[Raw]) -> None:
    odd = [[*items[:at], new, *items[at + 1 :]] for at, each in enumerate(items) for new in mutations(each)]
    for events in [items, *odd[::20]]:
        case = Case([HEAD[0], *events, COMPLETED], True, True)
        before = len(wire.requests)
        wire.answer(answer(*case.events))
        response = client.responses.create("hi", model="m")
        judge(case, len(wire.requests) - before, response, None)


def test_async(wire: Wire, settings: Settings) -> None:
    async def sleep(_: float) -> None:
        pass

    async def main() -> None:
        async with AsyncClient(custom(wire.url, settings=settings), settings=settings, sleep=sleep) as client:
            for case in CASES[1::2]:
                before, failure = len(wire.requests), None
                wire.answer(answer(*case.events))
                try:
                    response = await client.responses.create("hi", model="m")
                except CodexError as error:
                    failure, response = error, error.response
                judge(case, len(wire.requests) - before, response, failure)

    asyncio.run(main())


TOLD_TEXTS = sorted([TEXT, REFUSAL, "Done."])
"""What loses its event is finished by the end, after the others."""
AFTER_THE_CALL = message("msg_9", {"type": "output_text", "text": "Done.", "annotations": []})


def test_threads(wire: Wire, settings: Settings) -> None:
    """Texts, calls and failures as the notebook gets them; the call is run, and its output is answered."""
    ran = []

    def act(n: int) -> str:
        ran.append(n)
        return "done"

    config = CodexConfig(provider=wire.url, model="m", settings=settings)
    with Codex(config) as codex:
        for case in [case for case in CASES if case.is_visible][:: len(CASES) // THREADS]:
            before, failure = len(wire.requests), None
            ran.clear()
            wire.answer(answer(*case.events), answer(HEAD[0], *item_events(0, AFTER_THE_CALL), COMPLETED))
            try:
                result = codex.thread_start(tools=(act,)).run("hi")
            except CodexError as error:
                failure, result = error, error.result
            messages = [item.text for item in result.items if isinstance(item, AgentMessage)]
            assert TEXT in messages, case
            assert len(messages) == len(set(messages)), case
            if case.is_good:
                assert failure is None, case
                assert (sorted(messages), messages[-1], ran) == (TOLD_TEXTS, "Done.", [1]), case
                assert [item.tool for item in result.items if isinstance(item, ToolCall)] == ["act"], case
                assert len(wire.requests) - before == 2, case
            else:
                assert failure is not None or result.status is not TurnStatus.failed, case
                is_cut_off = failure is None  # what it called before is run all the same
                assert len(wire.requests) - before == 1 + is_cut_off, case
