"""Whatever a server sends in place of an item, its thread can be read and gone on with; by type, not by example.

CODEX_MAGIC_ODD_ITEMS=1000 tries that many.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import random
from contextlib import suppress
from typing import Any

from codex_magic import AsyncCodex, Codex, CodexConfig, TurnStatus
from codex_magic.protocol.errors import ServiceError
from codex_magic.protocol.types import AgentMessage, encode_item
from codex_magic.threads.store import Store
from tests.responses.wire import CREATED, Wire, completed, event, good, stream
from tests.service import start
from tests.service.shape import shape_refusal
from tests.threads.backend import texts

TRIES = int(os.environ.get("CODEX_MAGIC_ODD_ITEMS", "60"))
TEXT = "what the model said"

KINDS: list[dict[str, Any]] = [
    {"type": "message", "id": "m", "role": "assistant", "status": "completed", "phase": "final_answer"}
    | {"content": [{"type": "output_text", "text": TEXT, "annotations": [{"type": "url_citation"}]}]},
    {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": TEXT}]},
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm"}]}
    | {"content": [{"type": "reasoning_text", "text": "Hm"}], "encrypted_content": "sealed"},
    {"type": "function_call", "id": "f", "call_id": "c", "name": "add", "arguments": '{"a": 1, "b": [2]}'},
    {"type": "custom_tool_call", "call_id": "c", "name": "add", "input": "1 + 2", "namespace": "n"},
    {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "3"}]},
    {"type": "custom_tool_call_output", "call_id": "c", "output": "3"},
    {"type": "web_search_call", "id": "w", "action": {"type": "search", "query": "q", "queries": ["q"]}},
    {"type": "image_generation_call", "id": "i", "status": "completed", "result": "aGk=", "size": [1, 2]},
    {"type": "compaction", "encrypted_content": "sealed"},
    {"type": "compaction_summary", "encrypted_content": "sealed"},
    {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}},
    {"type": "mcp_call", "id": "x", "arguments": "{}", "name": "t", "result": "3", "error": None},
    {"type": "item_reference", "id": "m"},
    {"type": "hologram", "beams": [{"at": [1, 2]}]},
]
COMMON = {kind["type"] for kind in KINDS[:11]}
"""The kinds that are checked against what a strict service takes; of the others only their server knows."""


class Raw:
    """JSON that `json.dumps` can't write."""

    def __init__(self, text):
        self.text = text


VALUES = [
    *(None, True, 7, -1.5, 10**30, "", "x", "\ud83d", "\x00\x1b", [], {}, ["x"], [None], [[["x"]]], {"a": 1}),
    *([{"type": "output_text"}], [{"type": ["x"], "text": {"value": "y"}}], {"text": "y"}, "[1, {", "NaN"),
    *(Raw("NaN"), Raw("-Infinity"), Raw("1e999"), Raw("9" * 400), '"\\ud83d"', "9" * 5000, "[" * 5000),
    *(Raw("[" * n + "]" * n) for n in (90, 500, 950, 1_100, 20_000)),
    *('{"a":' * n + "1" + "}" * n for n in (90, 950)),
]


def places(value, path=()):
    """The path of every field and element inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inside:
        yield (*path, name)
        yield from places(each, (*path, name))


def bent(item, chance):
    """The item with one to three places changed, removed or added; and the paths of those."""
    item = json.loads(json.dumps(item))
    changed: list[Any] = []
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        where = chance.choice([*places(item), (f"extra {len(changed)}",)])
        inside = item
        for name in where[:-1]:
            inside = inside[name]
        if isinstance(inside, dict) and where[-1] in inside and chance.random() < 0.25:
            del inside[where[-1]]
        else:
            inside[where[-1]] = copy.deepcopy(chance.choice(VALUES))
        changed.append(where)
        if not isinstance(item, dict):
            break
    return item, changed


def written(value):
    raws = []

    def mark(each):
        raws.append(each.text)
        return f"raw {len(raws) - 1}!"

    text = json.dumps(value, default=mark)
    for number, raw in enumerate(raws):
        text = text.replace(f'"raw {number}!"', raw)
    return text


def told(kind, item):
    data = written({"type": kind, "output_index": 0, "item": item})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def answer(item, chance):
    """An answer that holds the item, in one of the ways of servers."""
    added, done = (told(f"response.output_item.{kind}", item) for kind in ("added", "done"))
    delta = event(
        "response.output_text.delta", item_id="m", output_index=0, content_index=0, delta="what the"
    )
    end = written({"type": "response.completed", "response": {"id": "r", "output": [item]}})
    only_at_its_end = f"event: response.completed\ndata: {end}\n\n".encode()
    ways = [(done, completed()), (added, done, completed()), (added, delta, done, completed())]
    return stream(CREATED, *chance.choice([*ways, (only_at_its_end,)]))


def add(a: int, b: list[int]) -> int:
    return a + sum(b)


def config(wire):
    return CodexConfig(provider=f"{wire.url}/v1", model="m")


async def scene(codex, wire, seed):
    """A turn whose answer holds an odd item, then all that can be done with its thread."""
    chance = random.Random(seed)
    item, changed = bent(chance.choice(KINDS), chance)
    wire.answer(answer(item, chance), stream(*good()))
    thread = await codex.thread_start(tools=[add] if chance.random() < 0.5 else [])
    with suppress(ServiceError):  # a call that can't be read
        await thread.run("one")
    kept = (await thread.history())[0]
    if item.get("type") == "message" and not any(where[0] in ("type", "content") for where in changed):
        assert TEXT in [entry.item.text for entry in kept.items if isinstance(entry.item, AgentMessage)], item
    assert (await thread.run("two")).final_response == "Hello"
    sent = wire.requests[-1].json["input"]
    refusal = shape_refusal({"input": [each for each in sent if each["type"] in COMMON]})
    assert refusal is None, (refusal, item)
    assert (await thread.read(include_turns=True)).thread.turns[0].items
    fork = await codex.thread_fork(thread.id)
    assert [turn.items for turn in await fork.history()] == [turn.items for turn in await thread.history()]
    for turn in await fork.history():
        assert turn.items[0].item.content[0].text in ("one", "two")
        for entry in turn.items:
            encode_item(entry.item)
    return thread.id


def test_no_item_of_a_server_spoils_its_thread():
    wire = Wire()
    with start(open_access=True) as service, Codex(config(wire)) as codex:
        for seed in range(0, TRIES, 2):
            thread_id = codex.call(scene(codex.asynchronous, wire, seed))
            other = codex.thread_resume(thread_id, model_provider=service.api_url, model="local-large")
            assert other.run("echo: three").final_response == "three", seed
    wire.close()


def test_no_item_of_a_server_spoils_its_thread_for_asyncio():
    wire = Wire()

    async def main():
        async with AsyncCodex(config(wire)) as codex:
            for seed in range(1, TRIES, 2):
                await scene(codex, wire, seed)

    asyncio.run(main())
    wire.close()


OLD: list[dict[str, Any]] = [
    {"type": ["x"]},
    {"type": "message", "content": [{"type": "output_text", "text": "of old"}]},
    {"type": "message", "role": "assistant"},
    {"role": "assistant", "content": "of old, too"},
    {"type": "function_call", "call_id": "alone", "name": "f", "arguments": "{}"},
    {"type": "function_call", "call_id": ["x"], "name": "f", "arguments": {}},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}},
    {"type": "function_call_output", "call_id": "c", "output": None},
    {"type": "function_call", "call_id": "of a function", "name": "f", "arguments": "{}"},
    {"type": "custom_tool_call_output", "call_id": "of a function", "output": "of another kind"},
    {},
]


def test_a_thread_that_was_spoilt_by_an_older_version_can_be_gone_on_with():
    wire = Wire()
    wire.answer(stream(*good()))
    with Codex(config(wire)) as codex:
        thread = codex.thread_start()
        with Store(codex.asynchronous.settings.home / "threads.db") as store:
            turn = store.begin_turn(thread.id, provider="elsewhere")
            store.add_item(turn.id, AgentMessage("a", "of old"), OLD)
            store.finish_turn(turn.id, TurnStatus.completed)
        assert thread.run("two").final_response == "Hello"
    sent = wire.requests[-1].json["input"]
    wire.close()
    assert texts(sent) == ["of old", "of old, too", "two"]
    calls = [each for each in sent if each["type"] != "message"]
    assert [(each["call_id"], each.get("arguments"), each.get("output")) for each in calls] == [
        ("c", '{"a":1}', None),
        ("c", None, ""),
    ]
