"""WebSocket frames as the app-server speaks them over a Unix socket: RFC 6455, without extensions. Pure.

Only the standard library: the keeper imports this too, in a Python of its own.
"""

from __future__ import annotations

import struct

CONTINUED, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA

HELLO = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
"""What a client says first. The key is there to tell caches apart, and here are none."""

WELCOME = b"HTTP/1.1 101 "
"""How the answer begins; it ends with an empty line."""

_FINAL = 0x80
_WHOLE_TEXT = _FINAL | TEXT
_MASKED = 0x80
_NO_MASK = bytes(4)
"""A mask keeps proxies from reading what was sent as requests to them; here are none."""


def frame(opcode: int, payload: bytes) -> bytes:
    """One message of a client."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", _FINAL | opcode, _MASKED | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", _FINAL | opcode, _MASKED | 126, size)
    else:
        head = struct.pack(">BBQ", _FINAL | opcode, _MASKED | 127, size)
    return head + _NO_MASK + payload


class Frames:
    """Takes the bytes of a server and returns its messages, however they are cut."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun: list[bytes] = []

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """Kind and payload of the messages that `chunk` completes, in order."""
        if not self._rest:
            messages, position = self._take(chunk)
            self._rest += chunk[position:]
        else:
            self._rest += chunk
            messages, position = self._take(self._rest)
            del self._rest[:position]
        return messages

    def _take(self, data: bytes | bytearray) -> tuple[list[tuple[int, bytes]], int]:
        """The messages in `data`, and where what is left of it begins. Once for each delta: it is one loop."""
        messages = []
        position, end = 0, len(data)
        while end - position >= 2:
            first, size, begin = data[position], data[position + 1] & 0x7F, position + 2
            if size >= 126:
                begin += 2 if size == 126 else 8
                if begin > end:
                    break
                size = int.from_bytes(data[position + 2 : begin], "big")
            if begin + size > end:
                break
            position = begin + size
            payload = bytes(data[begin:position])
            if first != _WHOLE_TEXT:
                messages += self._message(first, payload)
            else:
                messages.append((TEXT, payload))
        return messages, position

    def _message(self, first: int, payload: bytes) -> list[tuple[int, bytes]]:
        """A frame as the message it ends, if it does."""
        opcode = first & 0x0F
        if opcode >= CLOSE:
            return [(opcode, payload)]
        self._begun.append(payload)
        if not first & _FINAL:
            return []
        whole = b"".join(self._begun)
        self._begun.clear()
        return [(TEXT, whole)]
