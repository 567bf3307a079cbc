"""JSON-RPC in the app-server's dialect: one object a line, no `jsonrpc` member. Pure.

Its requests to us have ids of their own that collide with ours, so a message is told by its `method`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from ...protocol.errors import InvalidRequestError
from ...protocol.plain import encodable

RequestId = int | str


class RpcError(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: Any = None


class Request(msgspec.Struct, frozen=True):
    """The server asks us; every one must be answered."""

    id: RequestId
    method: str
    params: msgspec.Raw


class Reply(msgspec.Struct, frozen=True):
    id: RequestId
    result: msgspec.Raw


class Refusal(msgspec.Struct, frozen=True):
    id: RequestId
    error: RpcError


class Told(msgspec.Struct, frozen=True):
    """A notification."""

    method: str
    params: msgspec.Raw


class Unreadable(msgspec.Struct, frozen=True):
    """A line that is no message."""

    line: bytes


Message = Request | Reply | Refusal | Told | Unreadable

_NOTHING = msgspec.Raw(b"null")


class _Envelope(msgspec.Struct):
    id: RequestId | None = None
    method: str | None = None
    params: msgspec.Raw = _NOTHING
    result: msgspec.Raw = _NOTHING
    error: RpcError | None = None


_ENVELOPE = msgspec.json.Decoder(_Envelope)


class Framer:
    """Splits bytes into messages. Lines may have any length; each byte is looked at once."""

    def __init__(self) -> None:
        self._open: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Message]:
        """The messages that `chunk` completes, in order."""
        *ends, rest = chunk.split(b"\n")
        messages = []
        for end in ends:
            line = b"".join([*self._open, end]).strip()
            self._open.clear()
            if line:
                messages.append(parse(line))
        if rest:
            self._open.append(rest)
        return messages


def parse(line: bytes) -> Message:
    """One line as the message it is."""
    try:
        envelope = _ENVELOPE.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unreadable(line)
    if envelope.method is not None:
        if envelope.id is None:
            return Told(envelope.method, envelope.params)
        return Request(envelope.id, envelope.method, envelope.params)
    if envelope.id is None:
        return Unreadable(line)
    if envelope.error is not None:
        return Refusal(envelope.id, envelope.error)
    return Reply(envelope.id, envelope.result)


def encode(message: Mapping[str, Any]) -> bytes:
    """One line. The server drops one with NaN or half a character in it, without any reply: the first
    raises InvalidRequestError, the second becomes U+FFFD.
    """
    try:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"The agent can't be sent this: {error}.") from error
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return encodable(text).encode() + b"\n"
