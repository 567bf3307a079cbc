"""Identifiers: UUIDv7, because the prompt cache of the Codex backend keys on one per thread."""

import os
import time
import uuid


def new_id(*, now_ms: int | None = None) -> str:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits."""
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = int.from_bytes(stamp.to_bytes(6, "big") + os.urandom(10), "big")
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))
