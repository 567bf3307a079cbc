"""How fast and in what pieces an answer leaves: the same text costs a client very different CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

TOKEN_CHARS = 4
"""Characters of one delta: about one token of a real model."""

CHUNK_BYTES = 64 * 1024
"""What a fast server and a busy network hand over at once."""


@dataclass(frozen=True)
class Pace:
    """`Pace()` is one event a write as fast as the client reads; `Pace(40)` is 40 deltas a second."""

    per_second: float | None = None
    chunk_bytes: int = 0
    """Gather at least so many bytes before a write; 0: one event a write."""
    delta_chars: int = TOKEN_CHARS

    @classmethod
    def chunks(cls, *, delta_chars: int = TOKEN_CHARS) -> Pace:
        """As fast as possible in 64 KB pieces that end anywhere, even inside a character."""
        return cls(chunk_bytes=CHUNK_BYTES, delta_chars=delta_chars)

    @classmethod
    def parse(cls, text: str) -> Pace:
        """Read `100`, `max` or `chunks`, then optionally `chars=20`; ValueError for anything else."""
        first, *options = text.split()
        named = {"max": cls(), "chunks": cls.chunks()}
        pace = named[first] if first in named else cls(per_second=float(first))
        if pace.per_second is not None and pace.per_second <= 0:
            raise ValueError(f"a pace is a positive number of deltas a second, not {text!r}")
        for option in options:
            name, _, value = option.partition("=")
            if name != "chars" or int(value) < 1:
                raise ValueError(f"the one option of a pace is chars=N, not {option!r}")
            pace = replace(pace, delta_chars=int(value))
        return pace
