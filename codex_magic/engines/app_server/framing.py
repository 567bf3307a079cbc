"""JSON-RPC in the app-server's dialect: one object a line, no `jsonrpc` member. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from ...protocol.errors import InvalidRequestError
from ...protocol.plain import encodable

_NOTHING = msgspec.Raw(b"null")


class RpcError(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: Any = None


class Message(msgspec.Struct, frozen=True):
    """A notification (`method`), a request of the server (`method` and `id`), or an answer of it (`id`).

    Its requests have ids of their own that collide with ours: only the method tells which one it is.
    """

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
        messages = []
        for end in ends:
            line = b"".join([*self._open, end]).strip()
            self._open.clear()
            if line:
                messages.append(parse(line))
        if rest:
            self._open.append(rest)
        return messages


def parse(line: bytes) -> Message | None:
    """Read one line; `None` when it is no message."""
    try:
        message = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if message.method is None and message.id is None else message


def encode(message: Mapping[str, Any]) -> bytes:
    """Write one line.

    The server drops one with NaN or half a character in it, without any reply: the first raises
    InvalidRequestError, the second becomes U+FFFD.
    """
    try:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"The agent can't be sent this: {error}.") from error
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        return encodable(text).encode() + b"\n"
