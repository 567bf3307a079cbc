"""The app-server's notifications in the vocabulary of threads. Pure.

Unknown ones, and known ones in a shape we can't read, are passed on as they came.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import msgspec

from ...protocol.plain import read_json
from ...protocol.secrets import MaskedDeltas, masked
from ...protocol.types import (
    Delta,
    ItemCompleted,
    ItemStarted,
    Noted,
    Notification,
    TurnCompleted,
    TurnQueued,
    TurnStarted,
    UnknownNotification,
    UserMessage,
    Warned,
    decode_item,
)


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


class MaskedNotifications:
    """The notifications of one process without the secrets in use."""

    def __init__(self) -> None:
        self._deltas: MaskedDeltas[Any] = MaskedDeltas()

    def feed(self, notification: Notification) -> list[Notification]:
        """Return what can be told now: a delta that may begin a secret is held back until more has come."""
        if isinstance(notification, Delta):
            part = getattr(notification, "summary_index", None), getattr(notification, "content_index", None)
            place = type(notification), notification.thread_id, notification.item_id, *part
            piece = self._deltas.feed(place, notification)
            return [] if piece is None else [piece]
        rest: list[Notification] = []
        if isinstance(notification, TurnCompleted) or (
            isinstance(notification, ItemStarted | ItemCompleted)
            and isinstance(notification.item, UserMessage)
        ):  # what was being said is said no further
            rest = self._deltas.end(lambda delta: delta.thread_id == notification.thread_id)
        elif isinstance(notification, ItemCompleted):
            rest = self._deltas.end(lambda delta: delta.item_id == notification.item.id)
        return [*rest, masked(notification)]


def thread_of(notification: Notification) -> str | None:
    """Return the server's thread it is about, `None` when it is about all or none."""
    if isinstance(notification, UnknownNotification):
        return notification.params.get("threadId")
    return getattr(notification, "thread_id", None)


def turn_of(notification: Notification) -> str | None:
    """Return the server's turn it is about."""
    if isinstance(notification, TurnCompleted):
        return notification.turn.id
    if isinstance(notification, UnknownNotification):
        return notification.params.get("turnId")
    return getattr(notification, "turn_id", None)


def readdressed(notification: Notification, *, thread_id: str, turn_id: str) -> Notification:
    """Return it under our ids."""
    if isinstance(notification, UnknownNotification):
        params = notification.params
        ours = {"threadId": thread_id, "turnId": turn_id}
        ours = {name: id for name, id in ours.items() if name in params}
        return UnknownNotification(notification.method, {**params, **ours})
    ids = {"thread_id": thread_id, "turn_id": turn_id}
    ids = {name: id for name, id in ids.items() if hasattr(notification, name)}
    return msgspec.structs.replace(notification, **ids)


# Decoders ----------------------------------------------------------------------------------------


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


def _decoder(kind: Any, convert: Callable[[Any], Notification]) -> Callable[[msgspec.Raw], Notification]:
    decode = msgspec.json.Decoder(kind).decode
    return lambda params: convert(decode(params))


_TOLD_BY_US_ALONE = (TurnQueued, TurnStarted, Noted)
_CONVERTED = (ItemStarted, ItemCompleted, Warned)

_DECODERS: dict[str, Callable[[msgspec.Raw], Notification]] = {
    **{
        kind.method: msgspec.json.Decoder(kind).decode
        for kind in get_args(Notification)
        if kind not in (*_TOLD_BY_US_ALONE, *_CONVERTED, UnknownNotification)
    },
    ItemStarted.method: _decoder(
        _OfItem, lambda event: ItemStarted(event.thread_id, event.turn_id, decode_item(event.item))
    ),
    ItemCompleted.method: _decoder(
        _OfItem, lambda event: ItemCompleted(event.thread_id, event.turn_id, decode_item(event.item))
    ),
    Warned.method: _decoder(_Warning, lambda warning: Warned(warning.thread_id, warning.message)),
    "configWarning": _decoder(
        _ConfigWarning, lambda warning: Warned(None, f"{warning.summary} {warning.details or ''}".strip())
    ),
}
