"""Items of the program in any shape: they are read, kept, read again and sent to others, and never an exception."""

from __future__ import annotations

import random

import pytest

from codex_magic.engines.app_server.messages import parse, read, readdressed
from codex_magic.engines.history import whole
from codex_magic.engines.replay import as_message, replayed
from codex_magic.protocol.types import AgentMessage, ItemCompleted, decode_item, encode_item, item_type
from codex_magic.threads.history import history_items
from codex_magic.threads.store import Store
from tests.known import some
from tests.service.shape import shape_refusal
from tests.threads.test_odd_items import TEXT, bent, written

KINDS = [
    {"type": "agentMessage", "id": "a", "text": TEXT, "phase": "final_answer"},
    {"type": "userMessage", "id": "u", "content": [{"type": "text", "text": "hi", "text_elements": []}]},
    {"type": "reasoning", "id": "r", "summary": ["Hm"], "content": ["Hm"]},
    {"type": "plan", "id": "p", "text": "first"},
    {"type": "commandExecution", "id": "c", "command": "ls", "cwd": "/", "status": "completed"}
    | {"aggregatedOutput": "a b", "exitCode": 0, "durationMs": 3, "commandActions": [{"type": "unknown"}]},
    {"type": "fileChange", "id": "f", "status": "completed"}
    | {"changes": [{"path": "a", "kind": {"type": "add"}, "diff": "x"}]},
    {"type": "dynamicToolCall", "id": "d", "tool": "add", "arguments": {"a": [1]}, "status": "completed"}
    | {"contentItems": [{"type": "inputText", "text": "3"}], "success": True, "durationMs": 1},
    {
        "type": "functionCallOutput",
        "id": "o",
        "name": "mail",
        "output": [{"type": "input_text", "text": "3"}],
    },
    {"type": "webSearch", "id": "w", "query": "q"},
    {"type": "imageGeneration", "id": "i", "status": "completed", "result": "aGk="},
    {"type": "contextCompaction", "id": "k"},
    {"type": "hologram", "id": "h", "beams": [{"at": [1]}]},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["type"])
def test_any_item_of_the_program_can_be_kept_and_told_again(kind):
    for seed in range(60):
        item, changed = bent(kind, random.Random(f"{seed} {kind}"))
        line = f'{{"method": "item/completed", "params": {{"threadId": "t", "turnId": "u", "item": {written(item)}}}}}'
        message = parse(line.encode())
        if message is None:  # no JSON that any parser takes
            continue
        notification = readdressed(read(some(message.method), message.params), thread_id="t", turn_id="u")
        if not isinstance(notification, ItemCompleted):
            continue
        kept = as_message(notification.item)
        if kind["type"] == "agentMessage" and not any(where[0] in ("type", "text") for where in changed):
            assert isinstance(kept, AgentMessage)
            assert kept.text == TEXT
        with Store(":memory:") as store:
            turn = store.begin_turn(store.create_thread().id)
            store.add_item(turn.id, kept, replayed(kept))
            history = store.history(turn.thread_id)
        assert item_type(history[0].items[0].item) == item_type(kept)
        assert encode_item(decode_item(kept.raw if hasattr(kept, "raw") else {"type": "x"}))
        assert shape_refusal({"input": whole(history_items(history, provider="p"))}) is None
