"""A slow reader's notifications."""

from codex_magic.engines.app_server.inbox import Inbox
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandOutputDelta,
    ItemCompleted,
    Turn,
    TurnCompleted,
    TurnStatus,
)


def delta(text, item="m", kind=AgentMessageDelta):
    return kind("t", "u", item, text)


def emptied(inbox):
    return [inbox.take() for _ in range(len(inbox))]


def test_notifications_come_out_in_order():
    inbox = Inbox()
    sent = [delta("a"), delta("b"), ItemCompleted("t", "u", AgentMessage("m", "ab"))]
    for notification in sent:
        inbox.put(notification)
    assert emptied(inbox) == sent


def test_far_behind_the_deltas_of_an_item_are_joined_and_nothing_is_lost():
    inbox = Inbox(far_behind=3)
    for number in range(1000):
        inbox.put(delta(f"{number} "))
        inbox.put(delta("x", "c", CommandOutputDelta))
    end = TurnCompleted("t", Turn("u", TurnStatus.completed))
    inbox.put(end)
    assert len(inbox) == 6
    *told, last = emptied(inbox)
    assert last == end
    assert "".join(n.delta for n in told if n.item_id == "m") == "".join(f"{n} " for n in range(1000))
    assert "".join(n.delta for n in told if n.item_id == "c") == "x" * 1000


def test_no_delta_overtakes_an_ending():
    inbox = Inbox(far_behind=1)
    done = ItemCompleted("t", "u", AgentMessage("m", "a"))
    for notification in (delta("a"), delta("b"), done, delta("c"), delta("d")):
        inbox.put(notification)
    assert emptied(inbox) == [delta("a"), delta("b"), done, delta("cd")]
