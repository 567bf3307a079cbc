"""A picture for every prompt: a small gradient in colours of its own, as PNG (https://www.w3.org/TR/png)."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib

SIDE = 32
"""Pixels: enough to see that it is one, small enough to read in a log."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUE_COLOUR = 2
_NO_FILTER = b"\x00"


def picture(prompt: str, *, side: int = SIDE) -> bytes:
    """Always the same for the same prompt."""
    start, end = _colours(prompt)
    rows = b"".join(_NO_FILTER + _row(start, end, y, side) for y in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, _TRUE_COLOUR, 0, 0, 0)
    title = b"Title\x00A scripted picture"
    chunks = ((b"IHDR", header), (b"tEXt", title), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks)


def encoded_picture(prompt: str) -> str:
    return base64.b64encode(picture(prompt)).decode()


def _colours(prompt: str) -> tuple[bytes, bytes]:
    digest = hashlib.sha256(prompt.encode()).digest()
    return digest[:3], digest[3:6]


def _row(start: bytes, end: bytes, y: int, side: int) -> bytes:
    """From one colour to the other, from the upper left to the lower right."""
    last = 2 * (side - 1)
    return bytes(
        (a * (last - x - y) + b * (x + y)) // last
        for x in range(side)
        for a, b in zip(start, end, strict=True)
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
