"""The app-server's notifications in the vocabulary of threads. Pure.

Unknown ones, and known ones in a shape we can't read, are passed on as they came.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import msgspec

from ...protocol import types
from ...protocol.plain import read_json
from ...protocol.secrets import MaskedDeltas, masked


def read(method: str, raw: msgspec.Raw) -> types.Notification:
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
    return types.UnknownNotification(method, params if isinstance(params, dict) else {})


class MaskedNotifications:
    """The notifications of one process without the secrets in use."""

    def __init__(self) -> None:
        self._deltas: MaskedDeltas[Any] = MaskedDeltas()

    def feed(self, notification: types.Notification) -> list[types.Notification]:
        """Return what can be told now: a delta that may begin a secret is held back until more has come."""
        if isinstance(notification, types.Delta):
            piece = self._deltas.feed(place_of(notification), notification)
            return [] if piece is None else [piece]
        rest: list[types.Notification] = []
        if isinstance(notification, types.TurnCompleted) or (
            isinstance(notification, types.ItemStarted | types.ItemCompleted)
            and isinstance(notification.item, types.UserMessage)
        ):  # what was being said is said no further
            rest = self._deltas.end(lambda delta: delta.thread_id == notification.thread_id)
        elif isinstance(notification, types.ItemCompleted):
            rest = self._deltas.end(lambda delta: delta.item_id == notification.item.id)
        return [*rest, masked(notification)]


def place_of(delta: types.Delta) -> tuple[object, ...]:
    """Return what the deltas of one text have in common: its item, and the part of it."""
    part = getattr(delta, "summary_index", None), getattr(delta, "content_index", None)
    return type(delta), delta.thread_id, delta.item_id, *part


def thread_of(notification: types.Notification) -> str | None:
    """Return the server's thread it is about, `None` when it is about all or none."""
    if isinstance(notification, types.UnknownNotification):
        return notification.params.get("threadId")
    return getattr(notification, "thread_id", None)


def turn_of(notification: types.Notification) -> str | None:
    """Return the server's turn it is about."""
    if isinstance(notification, types.TurnCompleted):
        return notification.turn.id
    if isinstance(notification, types.UnknownNotification):
        return notification.params.get("turnId")
    return getattr(notification, "turn_id", None)


def readdressed(notification: types.Notification, *, thread_id: str, turn_id: str) -> types.Notification:
    """Return it under our ids."""
    if isinstance(notification, types.UnknownNotification):
        params = notification.params
        ours = {"threadId": thread_id, "turnId": turn_id}
        ours = {name: id for name, id in ours.items() if name in params}
        return types.UnknownNotification(notification.method, {**params, **ours})
    ids = {"thread_id": thread_id, "turn_id": turn_id}
    ids = {name: id for name, id in ids.items() if hasattr(notification, name)}
    return msgspec.structs.replace(notification, **ids)


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


def _decoder(
    kind: Any, convert: Callable[[Any], types.Notification]
) -> Callable[[msgspec.Raw], types.Notification]:
    decode = msgspec.json.Decoder(kind).decode
    return lambda params: convert(decode(params))


_TOLD_BY_US_ALONE = (types.TurnQueued, types.TurnStarted, types.Noted)
_CONVERTED = (types.ItemStarted, types.ItemCompleted, types.Warned)

_DECODERS: dict[str, Callable[[msgspec.Raw], types.Notification]] = {
    **{
        kind.method: msgspec.json.Decoder(kind).decode
        for kind in get_args(types.Notification)
        if kind not in (*_TOLD_BY_US_ALONE, *_CONVERTED, types.UnknownNotification)
    },
    types.ItemStarted.method: _decoder(
        _OfItem,
        lambda event: types.ItemStarted(event.thread_id, event.turn_id, types.decode_item(event.item)),
    ),
    types.ItemCompleted.method: _decoder(
        _OfItem,
        lambda event: types.ItemCompleted(event.thread_id, event.turn_id, types.decode_item(event.item)),
    ),
    types.Warned.method: _decoder(_Warning, lambda warning: types.Warned(warning.thread_id, warning.message)),
    "configWarning": _decoder(
        _ConfigWarning,
        lambda warning: types.Warned(None, f"{warning.summary} {warning.details or ''}".strip()),
    ),
}
