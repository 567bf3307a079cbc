"""The wire's words in ours, whatever else is on the wire."""

import msgspec
import pytest

from codex_magic.engines.app_server.messages import (
    MaskedNotifications,
    address_of,
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
