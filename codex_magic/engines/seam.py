"""What `threads` asks of an engine: run one turn and tell what happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from ..protocol.types import InputItem, Notification


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One turn, complete: an engine needs nothing else and keeps nothing afterwards.

    `history` holds the Responses items of the turns before, oldest first.
    """

    thread_id: str
    turn_id: str
    inputs: tuple[InputItem, ...]
    history: tuple[dict[str, Any], ...] = ()
    instructions: str
    model: str | None = None
    effort: str | None = None
    summary: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    output_schema: dict[str, Any] | None = None
    cell_id: str | None = None


Tell = Callable[[Notification], None]


class Engine(Protocol):
    async def run(self, request: TurnRequest, tell: Tell) -> None:
        """Run one turn and `tell` what happens: a `TurnStarted` with the model, then items and usage.

        Never a `TurnCompleted`: whoever called decides how the turn ended. To return is to complete it, a
        `CodexError` fails it, and a cancelled one is interrupted.
        """

    async def close(self) -> None: ...
