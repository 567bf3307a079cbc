"""The app-server's messages: JSON-RPC in lines without a `jsonrpc` member, and notifications in our vocabulary. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, get_args

import msgspec

from ...protocol import types
from ...protocol.errors import InvalidRequestError
from ...protocol.plain import encodable, read_json
from ...protocol.secrets import MaskedDeltas, masked

_NOTHING = msgspec.Raw(b"null")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RpcError(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: Any = None


class Message(msgspec.Struct, frozen=True):
    """A notification (`method`), a request of the server (`method` and an `id` of its own), or an answer (our `id`)."""

    id: int | str | None = None
    method: str | None = None
    params: msgspec.Raw = _NOTHING
    result: msgspec.Raw = _NOTHING
    error: RpcError | None = None


_DECODER = msgspec.json.Decoder(Message)


class Framer:
    """Splits bytes into messages. Lines may have any length; each byte is looked at once."""

    def __init__(self) -> None:
        self._open: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Message | None]:
        """Return the messages that `chunk` completes, in order; `None` for a line that is none."""
        *ends, rest = chunk.split(b"\n")
        lines = []
        for end in ends:
            lines.append(b"".join([*self._open, end]).strip())
            self._open.clear()
        self._open.append(rest)
        return [parse(line) for line in lines if line]


def parse(line: bytes) -> Message | None:
    """Read one line, without what is nested too deep in it; `None` when it is no message."""
    try:
        message = _DECODER.decode(line)
    except _UNREADABLE:
        try:
            message = _DECODER.decode(msgspec.json.encode(read_json(line)))
        except (ValueError, msgspec.MsgspecError):
            return None
    return None if message.method is None and message.id is None else message


def encode(message: Mapping[str, Any]) -> bytes:
    """Write one line. NaN raises InvalidRequestError, half a character becomes U+FFFD: the server drops both."""
    try:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The agent can't be sent this: {error}.") from error
    return encodable(text).encode() + b"\n"


def fields(raw: msgspec.Raw) -> dict[str, Any]:
    """Read parameters or a result; empty for what is no object."""
    try:
        value = msgspec.json.decode(raw)
    except _UNREADABLE:
        value = read_json(bytes(raw))
    return value if isinstance(value, dict) else {}


def read(method: str, raw: msgspec.Raw) -> types.Notification:
    """Read one notification, with the server's own ids; what is unknown or odd is passed on as it came."""
    decode = _DECODERS.get(method)
    if decode is not None:
        with suppress(*_UNREADABLE):
            return decode(raw)
    params = fields(raw)
    if decode is not None:
        with suppress(msgspec.ValidationError):
            return decode(msgspec.Raw(msgspec.json.encode(params)))
    return types.UnknownNotification(method, params)


class MaskedNotifications:
    """The notifications of one process without the secrets in use."""

    def __init__(self) -> None:
        self._deltas: MaskedDeltas[Any] = MaskedDeltas()

    def feed(self, notification: types.Notification) -> list[types.Notification]:
        """Return what can be told now: a delta that may begin a secret is held back until more has come."""
        rest: list[types.Notification] = []
        match notification:
            case types.Delta():
                piece = self._deltas.feed(place_of(notification), notification)
                return [] if piece is None else [piece]
            case (
                types.TurnCompleted(thread_id=thread_id)
                | types.ItemStarted(thread_id=thread_id, item=types.UserMessage())
                | types.ItemCompleted(thread_id=thread_id, item=types.UserMessage())
            ):  # what was being said is said no further
                rest = self._deltas.end(lambda delta: delta.thread_id == thread_id)
            case types.ItemCompleted(item=item):
                rest = self._deltas.end(lambda delta: delta.item_id == item.id)
        return [*rest, masked(notification)]


class Saying:
    """A text of the model's: what was told of it, and what a new attempt has told of it again."""

    def __init__(self, item: types.ThreadItem) -> None:
        self.item = item
        self.text = self.again = ""
        self.is_over = False


class ToldOnce:
    """The notifications of one turn, each text told once: after a broken connection the program begins a request anew."""

    def __init__(self) -> None:
        self._over: set[str] = set()
        self._said: list[Saying] = []
        """What the answer to this request has said, whichever attempt it was."""
        self._unrepeated: list[Saying] = []
        self._sayings: dict[str, Saying] = {}
        """By the id that the latest attempt gives it."""

    def feed(self, notification: types.Notification) -> list[types.Notification]:
        match notification:
            case types.ErrorReported(will_retry=True):
                # Readers drop a thought that was broken off.
                is_thought = types.Reasoning
                self._said = [
                    each for each in self._said if each.is_over or not isinstance(each.item, is_thought)
                ]
                self._unrepeated, self._sayings = [*self._said], {}
            case types.TokenUsageUpdated():
                self._said, self._unrepeated = [], []
            case types.ItemStarted(item=item):
                return self._begin(notification, item)
            case types.Delta(item_id=id):
                if id in self._over:
                    return []
                return self._add(notification, self._sayings[id]) if id in self._sayings else [notification]
            case types.ItemCompleted(item=item):
                if item.id in self._over:
                    return []
                self._over.add(item.id)
                return self._end(notification, self._sayings.pop(item.id, None))
        return [notification]

    def _begin(self, started: types.ItemStarted, item: types.ThreadItem) -> list[types.Notification]:
        if item.id in self._over or item.id in self._sayings:
            return []
        if not isinstance(item, types.AgentMessage | types.Reasoning):
            self._said, self._unrepeated = [], []  # another request follows
            return [started]
        for saying in self._unrepeated:
            if type(saying.item) is type(item):
                self._unrepeated.remove(saying)
                self._sayings[item.id], saying.again = saying, ""
                return []
        self._sayings[item.id] = saying = Saying(item)
        self._said.append(saying)
        return [started]

    def _add(self, delta: Any, saying: Saying) -> list[types.Notification]:
        """Tell what is new; where an attempt says something else, the whole item tells it."""
        if delta.item_id == saying.item.id:
            saying.text += delta.delta
            return [delta]
        saying.again += delta.delta
        if saying.is_over or not saying.again.startswith(saying.text):
            return []
        rest, saying.text = saying.again[len(saying.text) :], saying.again
        return [msgspec.structs.replace(delta, item_id=saying.item.id, delta=rest)] if rest else []

    def _end(self, completed: types.ItemCompleted, saying: Saying | None) -> list[types.Notification]:
        if saying is None:
            return [completed]
        item = msgspec.structs.replace(completed.item, id=saying.item.id)
        if saying.is_over and item == saying.item:
            return []
        if saying.is_over:
            return [types.ItemStarted(completed.thread_id, completed.turn_id, completed.item), completed]
        saying.item, saying.is_over = item, True
        return [msgspec.structs.replace(completed, item=item)]


def place_of(delta: types.Delta) -> tuple[object, ...]:
    """Return what the deltas of one text have in common: its item, and the part of it."""
    part = getattr(delta, "summary_index", None), getattr(delta, "content_index", None)
    return type(delta), delta.thread_id, delta.item_id, *part


def address_of(notification: types.Notification) -> tuple[str | None, str | None]:
    """Return the server's thread and turn that it is about, each `None` when it is about all or none."""
    if isinstance(notification, types.UnknownNotification):
        ids = notification.params.get("threadId"), notification.params.get("turnId")
        return ids if all(isinstance(id, str | None) for id in ids) else (None, None)
    thread_id, turn_id = getattr(notification, "thread_id", None), getattr(notification, "turn_id", None)
    return thread_id, notification.turn.id if isinstance(notification, types.TurnCompleted) else turn_id


def readdressed(notification: types.Notification, *, thread_id: str, turn_id: str) -> types.Notification:
    """Return it under our ids."""
    if isinstance(notification, types.UnknownNotification):
        ours = {"threadId": thread_id, "turnId": turn_id}
        params = {name: ours.get(name, value) for name, value in notification.params.items()}
        return types.UnknownNotification(notification.method, params)
    ids = {"thread_id": thread_id, "turn_id": turn_id}
    ids = {name: id for name, id in ids.items() if hasattr(notification, name)}
    return msgspec.structs.replace(notification, **ids)


class _OfItem(msgspec.Struct, rename="camel"):
    thread_id: str
    turn_id: str
    item: dict[str, Any]

    def parts(self) -> tuple[str, str, types.ThreadItem]:
        return self.thread_id, self.turn_id, types.decode_item(self.item)


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


_TOLD_BY_US_ALONE = (types.TurnQueued, types.TurnStarted, types.Noted, types.UnknownNotification)

_DECODERS: dict[str, Callable[[msgspec.Raw], types.Notification]] = {
    types.ItemStarted.method: _decoder(_OfItem, lambda event: types.ItemStarted(*event.parts())),
    types.ItemCompleted.method: _decoder(_OfItem, lambda event: types.ItemCompleted(*event.parts())),
    types.Warned.method: _decoder(_Warning, lambda warning: types.Warned(warning.thread_id, warning.message)),
    "configWarning": _decoder(
        _ConfigWarning,
        lambda warning: types.Warned(None, f"{warning.summary} {warning.details or ''}".strip()),
    ),
}
_DECODERS |= {
    kind.method: msgspec.json.Decoder(kind).decode
    for kind in get_args(types.Notification)
    if kind not in _TOLD_BY_US_ALONE and kind.method not in _DECODERS
}
