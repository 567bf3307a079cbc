"""Events on both sides: openai-python's models read every one of the local service's, and ours read theirs."""

from __future__ import annotations

import json
from typing import Any, get_args

import httpx
import pytest

from codex_magic.responses.events import EVENT_TYPES, UnknownEvent, decode_event
from tests.service import LocalService

openai = pytest.importorskip("openai")

from openai.types.responses import ResponseStreamEvent  # noqa: E402  # only where it is installed

pytestmark = pytest.mark.peer("openai")

THEIRS = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(ResponseStreamEvent)[0])
}
"""Name on the wire -> model."""

FUNCTION = {
    "type": "function",
    "name": "look",
    "strict": True,
    "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("explain lists", {"reasoning": {"effort": "low", "summary": "auto"}}),
    ("refuse this", {}),
    ("use the tool look", {"tools": [FUNCTION]}),
    ("use the tool write", {"tools": [{"type": "custom", "name": "write"}]}),
    ("search the web", {"tools": [{"type": "web_search"}]}),
    ("fault: failed\nhello", {}),
    ("fault: incomplete\nhello", {}),
    ("fault: huge_event bytes=100\nhello", {}),
]


@pytest.fixture(params=["codex", "public"])
def sent(request: pytest.FixtureRequest, service: LocalService) -> list[dict[str, Any]]:
    """Every event of the service, by one of its two ways."""
    codex = request.param == "codex"
    url = service.base_url if codex else service.api_url
    token = service.issue_tokens().access_token if codex else "key"
    headers = {"Authorization": f"Bearer {token}", "version": "0.163.0"}
    events = []
    for prompt, more in REQUESTS:
        asked = [{"role": "user", "content": prompt}]
        body = {"model": "local-large", "instructions": "x", "input": asked, "store": False, "stream": True}
        text = httpx.post(f"{url}/responses", json=body | more, headers=headers).text
        events += [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
    return events


def test_their_models_accept_every_event_of_the_service(sent: list[dict[str, Any]]) -> None:
    known = [event for event in sent if event["type"] in THEIRS]
    assert {"response.refusal.delta", "response.custom_tool_call_input.done", "response.failed"} <= {
        event["type"] for event in known
    }
    for event in known:
        THEIRS[event["type"]].model_validate(event)


def test_our_events_accept_what_they_serialise(sent: list[dict[str, Any]]) -> None:
    for event in sent:
        if event["type"] in THEIRS:
            read = THEIRS[event["type"]].model_validate(event)
            again = read.model_dump_json(exclude_unset=True).encode()
            assert decode_event(again) == decode_event(json.dumps(event).encode())
            assert not isinstance(decode_event(read.model_dump_json().encode()), UnknownEvent), event["type"]


def test_each_of_their_events_is_one_of_ours() -> None:
    """But for audio, which this backend does not send; it would be kept raw."""
    assert {name.split(".")[1] for name in THEIRS.keys() - EVENT_TYPES.keys()} == {"audio"}
