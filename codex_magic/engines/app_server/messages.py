"""The app-server's messages: JSON-RPC in lines without a `jsonrpc` member, and notifications in our vocabulary. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from typing import Any, get_args

import msgspec

from ...protocol import types
from ...protocol.errors import InvalidRequestError
from ...protocol.plain import common_beginning, decode_json, encodable, read_json
from ...protocol.secrets import MaskedDeltas, masked, with_texts

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
        if ends:
            ends[0] = b"".join([*self._open, ends[0]])
            self._open.clear()
        self._open.append(rest)
        return [parse(line) for line in map(bytes.strip, ends) if line]


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
        raise InvalidRequestError(f"This can't be sent to the agent: {error}.") from error
    return encodable(text).encode() + b"\n"


def fields(raw: msgspec.Raw) -> dict[str, Any]:
    """Read parameters or a result; empty for what is no object."""
    try:
        value = decode_json(bytes(raw))
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def read(method: str, raw: msgspec.Raw) -> types.Notification:
    """Read one notification, with the server's own ids; what is unknown or lacks too much is passed on as it came."""
    if method not in _SHAPES:
        return types.UnknownNotification(method, fields(raw))
    shape, decode, notification = _SHAPES[method]
    try:
        return notification(decode(raw))
    except _UNREADABLE:
        params = fields(raw)
    with suppress(msgspec.ValidationError):
        told = notification(msgspec.convert(_mended(shape, params), shape))
        if method in _OF_ALL or address_of(told) != (None, None):
            return told
    return types.UnknownNotification(method, params)


def _mended(shape: Any, raw: Any) -> dict[str, Any]:
    """Return the fields of a struct that are as they should be; an id that is not is empty, a status a failure."""
    raw = raw if isinstance(raw, dict) else {}
    kept = {}
    for field in msgspec.structs.fields(shape):
        value = raw.get(field.encode_name)
        try:
            msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            if field.name in ("thread_id", "turn_id", "id"):
                value = ""
            elif field.type is types.TurnStatus:
                value = types.TurnStatus.failed.value
            elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                value = _mended(field.type, value)
            else:
                continue
        kept[field.encode_name] = value
    return kept


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


class MaskedLines:
    """The notifications of one turn without what its `mask` takes for a secret.

    What a command prints has secrets of the user's, which a line or a word gives away and no half of one.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._lines: dict[Hashable, tuple[_Line, Any]] = {}

    def feed(self, notification: types.Notification) -> list[types.Notification]:
        """Return what can be told now."""
        match notification:
            case types.Delta():
                line, _ = self._lines.setdefault(place_of(notification), (_Line(self._mask), notification))
                ready = line.feed(notification.delta)
                return [msgspec.structs.replace(notification, delta=ready)] if ready else []
            case types.ItemStarted(item=item):
                clean = with_texts(item, self._mask)
                return [msgspec.structs.replace(notification, item=clean)]
            case types.ItemCompleted(item=item):
                return [*self.end(item.id), notification]
        return [notification]

    def end(self, item_id: str | None = None) -> list[types.Notification]:
        """Return what is held of an item that is over, or of all."""
        over = [place for place, (_, delta) in self._lines.items() if item_id in (None, delta.item_id)]
        rest = [(delta, line.feed("", is_over=True)) for line, delta in map(self._lines.pop, over)]
        return [msgspec.structs.replace(delta, delta=text) for delta, text in rest if text]


class _Line:
    """The last line of a text that grows: told word by word, each as the whole line has it."""

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask
        self._text = self._told = ""

    def feed(self, piece: str, *, is_over: bool = False) -> str:
        self._text += piece
        whole = self._text
        if not is_over:
            end = len(whole)
            while end > max(0, len(whole) - LONGEST_WORD) and "!" <= whole[end - 1] <= "~":
                end -= 1
            whole = whole[:end]
            begin = whole.rfind("-----BEGIN")  # a key over many lines
            is_open = begin >= 0 and not re.search("-----END[^\n]*-----", whole[begin:])
            if is_open and len(whole) - begin < LONGEST_KEY:
                whole = whole[:begin]
        clean = self._mask(whole)
        ready = clean[common_beginning(clean, self._told) :]
        line = whole.rfind("\n") + 1 or (len(whole) - LINE_KEPT if len(whole) > LONGEST_LINE else 0)
        self._text = self._text[line:]
        self._told = self._mask(whole[line:]) if line else clean
        return ready


LONGEST_WORD = 1_000  # characters, as are these: what is held back for what may come
LONGEST_KEY = 20_000
LONGEST_LINE, LINE_KEPT = 8_000, 2_000
"""Of a longer line the end is looked at once more with what comes, and not the whole of it with every word."""


class ToldOnce:
    """The notifications of one turn without what is told twice: after a broken connection a request begins anew.

    What was broken off is dropped by whoever keeps or shows it; here it is what was whole.
    """

    def __init__(self) -> None:
        self._over: set[str] = set()
        self._said: list[types.ThreadItem] = []  # the whole texts of the answer to this request
        self._unrepeated: list[types.ThreadItem] = []
        self._again: dict[str, types.ThreadItem] = {}  # what an item that has begun may repeat, by its id

    def feed(self, notification: types.Notification) -> list[types.Notification]:
        """Return what is to be told now; an item that may be a repetition is told when it is whole and is none."""
        if isinstance(notification, types.Delta):
            is_known = notification.item_id in self._over or notification.item_id in self._again
            return [] if is_known else [notification]
        match notification:
            case types.ErrorReported(will_retry=True):
                self._unrepeated, self._again = [*self._said], {}
            case types.TokenUsageUpdated():
                self._said, self._unrepeated = [], []
            case types.ItemStarted(item=item):
                if not isinstance(item, types.AgentMessage | types.Reasoning):
                    self._said, self._unrepeated = [], []  # another request follows
                for said in self._unrepeated:
                    if type(said) is type(item):
                        self._unrepeated.remove(said)
                        self._again[item.id] = said
                        break
                return [] if item.id in self._over or item.id in self._again else [notification]
            case types.ItemCompleted(thread_id=thread_id, turn_id=turn_id, item=item):
                said_before = self._again.pop(item.id, None)
                is_again = said_before and msgspec.structs.replace(item, id=said_before.id) == said_before
                if item.id in self._over or is_again:
                    return []
                self._over.add(item.id)
                self._said.append(item)
                if said_before:
                    return [types.ItemStarted(thread_id, turn_id, item), notification]
        return [notification]


def place_of(delta: types.Delta) -> tuple[object, ...]:
    """Return what the deltas of one text have in common: its item, and the part of it."""
    part = getattr(delta, "summary_index", None), getattr(delta, "content_index", None)
    return type(delta), delta.thread_id, delta.item_id, *part


def address_of(notification: types.Notification) -> tuple[str | None, str | None]:
    """Return the server's thread and turn that it is about, each `None` when it is about all or none."""
    if isinstance(notification, types.OfTurn):
        return notification.thread_id or None, notification.turn_id or None
    if isinstance(notification, types.UnknownNotification):
        ids = notification.params.get("threadId"), notification.params.get("turnId")
        return ids if all(isinstance(id, str | None) for id in ids) else (None, None)
    turn_id = notification.turn.id if isinstance(notification, types.TurnCompleted) else None
    return getattr(notification, "thread_id", None) or None, turn_id or None


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

    def told_as(self, kind: Callable[..., types.Notification]) -> types.Notification:
        return kind(self.thread_id, self.turn_id, types.decode_item(self.item))


class _Warning(msgspec.Struct, rename="camel"):
    message: str
    thread_id: str | None = None


class _ConfigWarning(msgspec.Struct):
    summary: str
    details: str | None = None

    def told(self) -> types.Notification:
        return types.Warned(None, f"{self.summary} {self.details or ''}".strip())


_OF_ALL = (types.RateLimitsUpdated.method, types.Warned.method, "configWarning")
_TOLD_BY_US_ALONE = (types.TurnQueued, types.TurnStarted, types.Noted, types.UnknownNotification)

_TOLD = [kind for kind in get_args(types.Notification) if kind not in _TOLD_BY_US_ALONE]
_READ: dict[str, tuple[Any, Callable[[Any], types.Notification]]] = {
    **{kind.method: (kind, lambda told: told) for kind in _TOLD},
    types.ItemStarted.method: (_OfItem, lambda event: event.told_as(types.ItemStarted)),
    types.ItemCompleted.method: (_OfItem, lambda event: event.told_as(types.ItemCompleted)),
    types.Warned.method: (_Warning, lambda event: types.Warned(event.thread_id, event.message)),
    "configWarning": (_ConfigWarning, lambda event: event.told()),
}
_SHAPES = {name: (kind, msgspec.json.Decoder(kind).decode, made) for name, (kind, made) in _READ.items()}
"""How each notification is read: its struct on the wire, the decoder of that, and what becomes of it."""
