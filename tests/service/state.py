"""What the strict service's endpoints share besides, for tests to set and to wait on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from codex_magic.local_service.state import RecordedRequest, State
from tests.service.faults import Faults


@dataclass
class StrictState(State):
    strict: bool = True
    auto_approve: bool = False
    faults: Faults = field(default_factory=Faults)
    held: list[RecordedRequest] = field(default_factory=list)
    """Requests whose answer stopped at a hold, in the order they got there."""
    sockets: set[Callable[[], None]] = field(default_factory=set)
    """What breaks each open WebSocket: the HTTP server forgets a connection when it is upgraded."""
    _holds: list[asyncio.Event] = field(default_factory=list)

    async def hold(self, request: RecordedRequest) -> None:
        """Wait until `release`."""
        released = asyncio.Event()
        self._holds.append(released)
        self.recorder.add(self.held, request)
        await released.wait()

    def release(self) -> None:
        for released in self._holds:
            released.set()
        self._holds.clear()
