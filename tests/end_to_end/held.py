"""An answer that stops in the middle until the service is told to let it go on."""

from __future__ import annotations

from codex_magic.local_service.answers import prepared
from codex_magic.local_service.stream import TOKEN_CHARS
from tests.service import LocalService


def hold(service: LocalService, *, after: int, delta_chars: int = TOKEN_CHARS) -> None:
    """Hold the next answer after its reasoning summary and `after` deltas of its text."""
    thoughts = sum(-(-len(thought) // delta_chars) for thought in prepared("thoughts").split("\n---\n"))
    service.faults.next("hold", after=thoughts + after)
