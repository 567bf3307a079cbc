"""The app-server's notifications in the vocabulary of threads. Pure.

Unknown ones, and known ones in a shape we can't read, are passed on as they came.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from ...protocol.plain import read_json
from ...protocol.secrets import MaskedDeltas, masked
from ...protocol.types import (
    AgentMessageDelta,
    CommandOutputDelta,
    ErrorReported,
    FileChangeUpdated,
    ItemCompleted,
    ItemStarted,
    ModelRerouted,
    Notification,
    PlanDelta,
    RateLimitsUpdated,
    ReasoningSummaryDelta,
    ReasoningTextDelta,
    TokenUsageUpdated,
    TurnCompleted,
    TurnDiffUpdated,
    TurnPlanUpdated,
    UnknownNotification,
    UserMessage,
    Warned,
    decode_item,
)

Read = Callable[[msgspec.Raw], Notification]


class _OfItem(msgspec.Struct, rename="camel"):
    thread_id: str
    turn_id: str
    item: dict[str, Any]


class _Warning(msgspec.Struct, rename="camel"):
    message: str
    thread_id: str | None = None


class _ConfigWarning(msgspec.Struct):
    summary: str
    details: str | None = None


def read(method: str, raw: msgspec.Raw) -> Notification:
    """Read one notification, with the server's own ids."""
    decode = _DECODERS.get(method)
    try:
        if decode is not None:
            return decode(raw)
        params = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        params = read_json(bytes(raw))
    if decode is not None:
        with suppress(msgspec.ValidationError):
            return decode(msgspec.Raw(msgspec.json.encode(params)))
    return UnknownNotification(method, params if isinstance(params, dict) else {})


_DELTAS = (AgentMessageDelta, CommandOutputDelta, PlanDelta, ReasoningSummaryDelta, ReasoningTextDelta)


class MaskedNotifications:
    """What one process tells, without the secrets in use."""

    def __init__(self) -> None:
        self._deltas: MaskedDeltas[Any] = MaskedDeltas()

    def feed(self, told: Notification) -> list[Notification]:
        if isinstance(told, _DELTAS):
            part = getattr(told, "summary_index", None), getattr(told, "content_index", None)
            piece = self._deltas.feed((type(told), told.thread_id, told.item_id, *part), told)
            return [] if piece is None else [piece]
        rest: list[Notification] = []
        says_more = isinstance(told, ItemStarted | ItemCompleted) and isinstance(told.item, UserMessage)
        if says_more or isinstance(told, TurnCompleted):  # what was being said is said no further
            thread_id = thread_of(told)
            rest = self._deltas.end(lambda delta: delta.thread_id == thread_id)
        elif isinstance(told, ItemCompleted):
            rest = self._deltas.end(lambda delta: delta.item_id == told.item.id)
        return [*rest, masked(told)]


def thread_of(notification: Notification) -> str | None:
    """The server's thread it is about, `None` when it is about all or none."""
    if isinstance(notification, UnknownNotification):
        return notification.params.get("threadId")
    return getattr(notification, "thread_id", None)


def turn_of(notification: Notification) -> str | None:
    """The server's turn it is about."""
    if isinstance(notification, TurnCompleted):
        return notification.turn.id
    if isinstance(notification, UnknownNotification):
        return notification.params.get("turnId")
    return getattr(notification, "turn_id", None)


def readdressed(notification: Notification, *, thread_id: str, turn_id: str) -> Notification:
    """The same under our ids."""
    if isinstance(notification, UnknownNotification):
        ours = {"threadId": thread_id, "turnId": turn_id}
        params = notification.params
        params = {**params, **{name: ours[name] for name in ours if name in params}}
        return UnknownNotification(notification.method, params)
    ids = {}
    if hasattr(notification, "thread_id"):
        ids["thread_id"] = thread_id
    if hasattr(notification, "turn_id"):
        ids["turn_id"] = turn_id
    return msgspec.structs.replace(notification, **ids)


def _typed(kind: Any) -> Read:
    return msgspec.json.Decoder(kind).decode


def _item(kind: type[ItemStarted] | type[ItemCompleted]) -> Read:
    decoder = msgspec.json.Decoder(_OfItem)

    def read_item(params: msgspec.Raw) -> Notification:
        event = decoder.decode(params)
        return kind(event.thread_id, event.turn_id, decode_item(event.item))

    return read_item


def _warning(params: msgspec.Raw) -> Notification:
    warning = msgspec.json.decode(params, type=_Warning)
    return Warned(warning.thread_id, warning.message)


def _config_warning(params: msgspec.Raw) -> Notification:
    warning = msgspec.json.decode(params, type=_ConfigWarning)
    return Warned(None, f"{warning.summary} {warning.details or ''}".strip())


_TYPED: tuple[Any, ...] = (
    AgentMessageDelta,
    CommandOutputDelta,
    ErrorReported,
    FileChangeUpdated,
    ModelRerouted,
    PlanDelta,
    RateLimitsUpdated,
    ReasoningSummaryDelta,
    ReasoningTextDelta,
    TokenUsageUpdated,
    TurnCompleted,
    TurnDiffUpdated,
    TurnPlanUpdated,
)

_DECODERS: dict[str, Read] = {
    **{kind.method: _typed(kind) for kind in _TYPED},
    ItemStarted.method: _item(ItemStarted),
    ItemCompleted.method: _item(ItemCompleted),
    Warned.method: _warning,
    "configWarning": _config_warning,
}
