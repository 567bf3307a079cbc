"""Notifications of one turn, short to write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from codex_magic.display.view import TurnView
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    ErrorReported,
    ItemCompleted,
    ItemStarted,
    Notification,
    ReasoningSummaryDelta,
    ThreadItem,
    Turn,
    TurnCompleted,
    TurnError,
    TurnStarted,
    TurnStatus,
)


def begun(model: str | None = "gpt-test") -> TurnStarted:
    return TurnStarted("thread", Turn("turn", TurnStatus.in_progress), model)


def start(item: ThreadItem) -> ItemStarted:
    return ItemStarted("thread", "turn", item)


def whole(item: ThreadItem) -> ItemCompleted:
    return ItemCompleted("thread", "turn", item)


def said(delta: str, item_id: str = "m") -> AgentMessageDelta:
    return AgentMessageDelta("thread", "turn", item_id, delta)


def thought(delta: str, index: int = 0, item_id: str = "r") -> ReasoningSummaryDelta:
    return ReasoningSummaryDelta("thread", "turn", item_id, delta, index)


def failing(message: str, *, will_retry: bool = False) -> ErrorReported:
    return ErrorReported("thread", "turn", TurnError(message), will_retry)


def ended(status: TurnStatus = TurnStatus.completed, **facts: Any) -> TurnCompleted:
    return TurnCompleted("thread", Turn("turn", status, **facts))


def answer(text: str, *, chars: int = 20) -> list[Notification]:
    """A turn whose only message comes in deltas of `chars`."""
    deltas = [said(text[at : at + chars]) for at in range(0, len(text), chars)]
    return [begun(), start(AgentMessage("m", "")), *deltas, whole(AgentMessage("m", text)), ended()]


def seen(notifications: Iterable[Notification]) -> TurnView:
    view = TurnView(id="output")
    for notification in notifications:
        view.feed(notification)
    return view
