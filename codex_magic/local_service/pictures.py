"""A picture for every prompt: a small gradient in colours of its own, as PNG (https://www.w3.org/TR/png)."""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib


def picture(prompt: str, *, side: int = 32) -> bytes:
    """Return a square of `side` pixels, from one colour to another; always the same for the same prompt."""
    digest = hashlib.sha256(prompt.encode()).digest()
    colours = list(zip(digest[:3], digest[3:6], strict=True))
    last = 2 * (side - 1)
    shades = [bytes((a * (last - at) + b * at) // last for a, b in colours) for at in range(last + 1)]
    # the 0 before each row says that it is not filtered
    rows = b"".join(b"\x00" + b"".join(shades[y : y + side]) for y in range(side))
    true_colour = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = {
        b"IHDR": true_colour,
        b"tEXt": b"Title\x00A scripted picture",
        b"IDAT": zlib.compress(rows, 9),
        b"IEND": b"",
    }
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks.items()
    )


def encoded_picture(prompt: str) -> str:
    return base64.b64encode(picture(prompt)).decode()
