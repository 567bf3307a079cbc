"""What the tests of turns over HTTP share: prompts, and what to look at afterwards."""

from __future__ import annotations

from codex_magic.protocol.types import AgentMessageDelta

RESPONSES = "/backend-api/codex/responses"


def requests(service):
    """Those for a response; one for a WebSocket, which is refused, is none."""
    return [each for each in service.requests if each.path == RESPONSES and each.method == "POST"]


def sent(service, number=-1):
    """The input items of a request."""
    return requests(service)[number].json["input"]


def kinds(items):
    """The types of items, roles for messages."""
    return [item.get("role", item["type"]) for item in items]


def texts(items):
    return [part["text"] for item in items for part in item.get("content") or () if "text" in part]


def held(thread, service, prompt="repeat 2000", *, after=2, **options):
    """A turn whose answer stopped after a few words, and an iterator of those."""
    service.faults.next("hold", after=after)
    handle = thread.turn(prompt, summary="none", **options)
    service.wait_for_hold()
    return handle, words(handle)


def words(handle):
    """Reads on until something was said; to let go of it would be to stop the turn."""
    for notification in handle.stream():
        if isinstance(notification, AgentMessageDelta):
            yield notification.delta
