"""A request that the program begins anew after a broken connection, and what it says twice: a reader sees it once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from codex_magic import Codex, CodexConfig
from codex_magic.display.view import TurnView
from codex_magic.protocol.types import AgentMessage, Reasoning
from tests.app_server.tireless_server import command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the program's pipes are POSIX ones")

BREAK = ("error", {"error": {"message": "Reconnecting... 1/5"}, "willRetry": True})
USAGE: Any = ("thread/tokenUsage/updated", {"tokenUsage": {"total": {}, "last": {}}})


def message(id: str, text: str = "") -> dict[str, Any]:
    return {"item": {"type": "agentMessage", "id": id, "text": text}}


def begun(id: str, *pieces: str) -> list[Any]:
    deltas = [("item/agentMessage/delta", {"itemId": id, "delta": piece}) for piece in pieces]
    return [("item/started", message(id)), *deltas]


def said(id: str, text: str) -> list[Any]:
    return [*begun(id, *text.split("|")), ("item/completed", message(id, text.replace("|", "")))]


def thought(id: str, text: str) -> list[Any]:
    item = {"item": {"type": "reasoning", "id": id, "summary": [text], "content": []}}
    return [("item/started", item), ("item/completed", item)]


def play(tmp_path: Path, *events: Any) -> tuple[list[str], str]:
    """Texts of the messages and thoughts that are kept, and what was shown at the end."""
    config = CodexConfig(
        engine="app-server", launch_args_override=command(f"plays {json.dumps(events)}", tmp_path / "log")
    )
    view = TurnView()
    with Codex(config) as codex:
        thread = codex.thread_start()
        handle = thread.turn("hi")
        for told in handle.stream():
            view.feed(told)
        items = [entry.item for entry in thread.history()[0].items]
        assert handle.asynchronous.result is not None
        assert handle.asynchronous.result.final_response == kept(items)[-1]
    return kept(items), view.markdown()


def kept(items: list[Any]) -> list[str]:
    texts = [item.text for item in items if isinstance(item, AgentMessage)]
    return [item.summary[0] for item in items if isinstance(item, Reasoning)] + texts


def test_an_answer_that_begins_again_goes_on_where_it_broke(tmp_path):
    events = [*begun("a", "one ", "two "), BREAK, *begun("b", "one "), BREAK, *said("c", "one |two |three")]
    texts, shown = play(tmp_path, *events)
    assert texts == ["one two three"]
    assert shown.count("one") == 1


def test_an_answer_that_begins_otherwise_takes_the_place_of_the_broken_one(tmp_path):
    texts, shown = play(tmp_path, *begun("a", "one ", "two "), BREAK, *said("b", "one |more |time"))
    assert texts == ["one more time"]
    assert "two" not in shown


def test_a_thought_that_was_whole_is_not_thought_again(tmp_path):
    first = [*thought("r", "Hm."), *begun("a", "one ")]
    texts, shown = play(tmp_path, *first, BREAK, *thought("s", "Hm."), *said("b", "one |two"))
    assert texts == ["Hm.", "one two"]
    assert shown.count("Hm.") == 1


def test_another_answer_in_place_of_a_whole_one_is_told(tmp_path):
    texts, _ = play(tmp_path, *said("a", "first"), BREAK, *said("b", "second"))
    assert texts == ["first", "second"]


def test_the_same_words_in_the_next_request_are_told(tmp_path):
    texts, _ = play(tmp_path, *said("a", "OK"), USAGE, BREAK, *said("b", "OK"))
    assert texts == ["OK", "OK"]


def test_nothing_is_added_to_an_item_that_is_over(tmp_path):
    late = ("item/agentMessage/delta", {"itemId": "a", "delta": "one"})
    texts, shown = play(tmp_path, *said("a", "one"), late, *said("a", "one"))
    assert texts == ["one"]
    assert shown.count("one") == 1
