"""A slow reader's notifications."""

import asyncio

from codex_magic.engines.app_server.connection import Subscription
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandOutputDelta,
    ItemCompleted,
    ReasoningSummaryDelta,
    Turn,
    TurnCompleted,
    TurnStatus,
)

END = TurnCompleted("t", Turn("u", TurnStatus.completed))


def delta(text, item="m", kind=AgentMessageDelta, **part):
    return kind("t", "u", item, text, **part)


def read_late(*notifications):
    """What somebody reads who comes when all have been told."""
    subscription = Subscription()
    for notification in (*notifications, END):
        subscription.put(notification)

    async def read():
        read = [await subscription.next()]
        while read[-1] != END:
            read.append(await subscription.next())
        return read[:-1]

    return asyncio.run(read())


def test_deltas_that_wait_are_joined_and_nothing_is_lost():
    pieces = [delta(f"{number} ") for number in range(1000)]
    assert read_late(*pieces) == [delta("".join(piece.delta for piece in pieces))]


def test_no_delta_overtakes_what_came_between():
    done = ItemCompleted("t", "u", AgentMessage("m", "a"))
    shown = delta("x", "c", CommandOutputDelta)
    told = (delta("a"), delta("b"), done, delta("c"), delta("d"), shown, delta("e"))
    assert read_late(*told) == [delta("ab"), done, delta("cd"), shown, delta("e")]


def test_deltas_of_other_parts_and_items_stay_apart():
    parts = [delta(str(at), "r", ReasoningSummaryDelta, summary_index=at) for at in (0, 1, 1)]
    assert read_late(*parts, delta("x", "n")) == [parts[0], delta_of("11", 1), delta("x", "n")]


def delta_of(text, at):
    return delta(text, "r", ReasoningSummaryDelta, summary_index=at)
