"""The wire's words in ours, whatever else is on the wire."""

import random
from typing import Any

import msgspec
import pytest

from codex_magic.engines.app_server.messages import (
    MaskedNotifications,
    address_of,
    parse,
    read,
    readdressed,
)
from codex_magic.protocol.secrets import hide
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandExecution,
    ErrorReported,
    ItemCompleted,
    ItemStarted,
    Notification,
    RateLimitsUpdated,
    TokenUsageUpdated,
    Turn,
    TurnCompleted,
    TurnStatus,
    UnknownItem,
    UnknownNotification,
    UserMessage,
    Warned,
)
from tests.echoes import KEY, shows
from tests.known import the
from tests.threads.test_odd_items import bent, written

HERE = {"threadId": "T", "turnId": "U"}


def told(method, **params):
    return read(method, msgspec.Raw(msgspec.json.encode(params)))


def item(**fields):
    return told("item/completed", item={"id": "i", **fields}, completedAtMs=5, **HERE)


def test_unknown_fields_are_tolerated():
    delta = told("item/agentMessage/delta", itemId="i", delta="x", new={"a": 1}, **HERE)
    assert delta == AgentMessageDelta("T", "U", "i", "x")


def test_items_are_decoded_and_unknown_ones_kept():
    command = item(type="commandExecution", command="ls", cwd="/", status="completed", exitCode=0)
    assert command == ItemCompleted("T", "U", CommandExecution("i", "ls", "/", "completed", exit_code=0))
    assert isinstance(item(type="fromTheFuture", x=1).item, UnknownItem)


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        (
            "turn/completed",
            {"threadId": "T", "turn": {"id": "U", "status": "failed", "items": []}},
            TurnCompleted,
        ),
        ("error", {"error": {"message": "m"}, "willRetry": True, **HERE}, ErrorReported),
        ("account/rateLimits/updated", {"rateLimits": {"primary": {"usedPercent": 3}}}, RateLimitsUpdated),
        ("warning", {"message": "m"}, Warned),
        ("configWarning", {"summary": "s"}, Warned),
        ("thread/tokenUsage/updated", {"tokenUsage": {"total": {}, "last": {}}, **HERE}, TokenUsageUpdated),
    ],
)
def test_what_is_known(method, params, kind):
    assert isinstance(told(method, **params), kind)


def test_what_is_not_known_or_has_changed_is_passed_on():
    assert told("new/thing", threadId="T") == UnknownNotification("new/thing", {"threadId": "T"})
    assert told("item/agentMessage/delta", text=1) == UnknownNotification(
        "item/agentMessage/delta", {"text": 1}
    )
    assert read("bare", msgspec.Raw(b"null")) == UnknownNotification("bare", {})


def test_the_servers_ids_become_ours():
    for notification in (
        told("item/agentMessage/delta", itemId="i", delta="x", **HERE),
        told("new/thing", **HERE),
        item(type="plan", text="p"),
    ):
        assert address_of(notification) == ("T", "U")
        ours = readdressed(notification, thread_id="t", turn_id="u")
        assert address_of(ours) == ("t", "u")
    limits = told("account/rateLimits/updated", rateLimits={})
    assert readdressed(limits, thread_id="t", turn_id="u") == limits


def test_what_the_program_repeats_of_a_key_is_masked_in_every_piece():
    hide(KEY)
    masked = MaskedNotifications()
    text = f"the key {KEY}, again {KEY}"
    told: list[Notification] = [
        AgentMessageDelta("t", "u", "i", text[at : at + 5]) for at in range(0, len(text), 5)
    ]
    told.append(ItemCompleted("t", "u", AgentMessage("i", text)))
    told.append(UnknownNotification("thread/odd", {"deep": [{"name": KEY}]}))
    told.append(Warned(None, f"Bearer {KEY} was refused"))
    seen = [each for one in told for each in masked.feed(one)]
    pieces = [each.delta for each in seen if isinstance(each, AgentMessageDelta)]
    assert "".join(pieces) == "the key <hidden>, again <hidden>"
    assert not shows(repr(seen))


@pytest.mark.parametrize(
    "broken_off",
    [
        ItemStarted("t", "u", UserMessage("m", ())),
        ItemCompleted("t", "u", UserMessage("m", ())),
        TurnCompleted("t", Turn("u", TurnStatus.interrupted)),
    ],
)
def test_what_was_held_back_comes_before_what_breaks_it_off(broken_off):
    hide(KEY)
    masked = MaskedNotifications()
    [told] = masked.feed(AgentMessageDelta("t", "u", "i", f"some {KEY[:6]}"))
    assert the(AgentMessageDelta, told).delta == "some "
    assert masked.feed(AgentMessageDelta("other", "v", "j", KEY[:6])) == []
    assert masked.feed(broken_off) == [AgentMessageDelta("t", "u", "i", KEY[:6]), broken_off]


def test_a_field_of_a_wrong_type_costs_that_field_alone():
    paused = told("turn/completed", threadId="T", turn={"id": "U", "status": "paused", "durationMs": "long"})
    assert paused == TurnCompleted("T", Turn("U", TurnStatus.failed))
    nowhere = told("item/completed", threadId="T", turnId=5, item={"type": "plan", "id": "i", "text": "p"})
    assert (type(nowhere), address_of(nowhere)) == (ItemCompleted, ("T", None))


def test_the_end_of_an_unknown_turn_in_an_unknown_thread_ends_none():
    assert isinstance(told("turn/completed", turn={"status": "completed", "items": []}), UnknownNotification)


EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("turn/completed", {"threadId": "T", "turn": {"id": "U", "status": "completed", "error": None}}),
    ("item/started", {"item": {"type": "agentMessage", "id": "i", "text": ""}, **HERE}),
    ("item/completed", {"item": {"type": "agentMessage", "id": "i", "text": "hello"}, **HERE}),
    ("item/agentMessage/delta", {"itemId": "i", "delta": "hello", **HERE}),
    ("item/reasoning/summaryTextDelta", {"itemId": "i", "delta": "hello", "summaryIndex": 0, **HERE}),
    ("item/fileChange/patchUpdated", {"itemId": "i", "changes": [{"path": "a", "diff": "x"}], **HERE}),
    ("thread/tokenUsage/updated", {"tokenUsage": {"total": {"inputTokens": 1}, "last": {}}, **HERE}),
    ("account/rateLimits/updated", {"rateLimits": {"primary": {"usedPercent": 3}}}),
    ("error", {"error": {"message": "m", "codexErrorInfo": "other"}, "willRetry": True, **HERE}),
    ("configWarning", {"summary": "s", "details": "d"}),
    ("serverRequest/resolved", {"threadId": "T", "requestId": 1}),
    ("turn/plan/updated", {"plan": [{"step": "a", "status": "pending"}], **HERE}),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event[0])
def test_whatever_is_in_a_field_is_read_and_is_no_success(event):
    method, params = event
    for seed in range(150):
        odd, changed = bent(params, random.Random(f"{seed} {method}"))
        message = parse(f'{{"method":"{method}","params":{written(odd)}}}'.encode())
        if message is None:  # no JSON that any parser takes
            continue
        for seen in MaskedNotifications().feed(read(method, message.params)):
            assert all(id is None or isinstance(id, str) for id in address_of(seen))
            readdressed(seen, thread_id="t", turn_id="u")
            if isinstance(seen, TurnCompleted) and any("status" in where for where in changed):
                assert seen.turn.status is not TurnStatus.completed
