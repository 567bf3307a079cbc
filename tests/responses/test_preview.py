"""A request is shown before it is sent, as it would be sent."""

from __future__ import annotations

from typing import Any

from codex_magic.protocol.secrets import hide
from codex_magic.responses.tools import web_search
from tests.responses.conftest import only_codex
from tests.responses.conversing import Caller


def add(a: int) -> int:
    return a + 1


ABOUT: dict[str, Any] = {"model": "local-large", "instructions": "Be brief.", "tools": [add, web_search()]}


def test_a_preview_is_what_is_sent_and_sends_nothing(call: Caller) -> None:
    about = {**ABOUT, "prompt_cache_key": "k", "extra_headers": {"x-more": "yes"}}
    preview = call(lambda client: client.responses.preview(["hi"], **about))
    assert call.service.requests == []
    call(lambda client: client.responses.create(["hi"], **about))
    sent = call.service.requests[-1]
    assert preview.body == sent.json
    assert preview.url.endswith("/responses")
    added = {"authorization", "chatgpt-account-id"}
    assert preview.headers == {name: value for name, value in sent.headers.items() if name not in added}


def test_the_parts_of_a_preview(call: Caller) -> None:
    preview = call(lambda client: client.responses.preview("hi", **ABOUT))
    assert preview.instructions == "Be brief."
    assert [tool["type"] for tool in preview.tools] == ["function", "web_search"]
    assert [item["content"][0]["text"] for item in preview.input] == ["hi"]


@only_codex
def test_the_parts_of_a_preview_in_the_other_dialect(call: Caller) -> None:
    preview = call(lambda client: client.responses.preview("hi", lite=True, **ABOUT))
    assert preview.instructions == "Be brief."
    assert [tool["type"] for tool in preview.tools] == ["namespace", "web_search"]
    assert [item["content"][0]["text"] for item in preview.input] == ["hi"]


def test_a_preview_shows_no_secret(call: Caller) -> None:
    hide(key := "a-key-that-nobody-may-read")
    options = {**ABOUT, "extra_headers": {"x-key": key}}
    preview = call(lambda client: client.responses.preview(f"Read {key}", **options))
    assert key not in repr(preview)
