"""What the strict service's endpoints share besides, for tests to set and to wait on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile

from codex_magic.local_service.conversation import Body, input_items
from codex_magic.local_service.endpoints import Endpoint, State
from tests.service.accounts import SignIn
from tests.service.faults import Faults
from tests.service.recorder import RecordedRequest, Recorder


@dataclass
class StrictState(State):
    strict: bool = True
    auto_approve: bool = False
    faults: Faults = field(default_factory=Faults)
    recorder: Recorder = field(default_factory=Recorder)
    sign_in: SignIn = field(init=False)
    held: list[RecordedRequest] = field(default_factory=list)
    """Requests whose answer stopped at a hold, in the order they got there."""
    sockets: set[Callable[[], None]] = field(default_factory=set)
    """What breaks each open WebSocket: the HTTP server forgets a connection when it is upgraded."""
    _holds: list[asyncio.Event] = field(default_factory=list)
    _sent: dict[str, list[str]] = field(default_factory=dict)
    """The last request of each session."""

    def cached_tokens(self, session_id: str | None, body: Body) -> int:
        """Return the tokens that this session sent before in the same order; a session is its `session-id`."""
        if session_id is None:
            return 0
        parts = [json.dumps(body[key]) for key in ("model", "instructions", "tools") if key in body]
        parts += map(json.dumps, input_items(body))
        before = self._sent.get(session_id, [])
        self._sent[session_id] = parts
        same = takewhile(lambda pair: pair[0] == pair[1], zip(before, parts, strict=False))
        return sum(len(part) // 4 for part, _ in same)

    def record(self, endpoint: Endpoint) -> RecordedRequest:
        """Keep a request that has been read, and note when its client leaves early."""
        recorded = RecordedRequest(
            method=str(endpoint.request.method),
            path=endpoint.request.path,
            query=endpoint.query(),
            headers={name.lower(): value for name, value in endpoint.request.headers.get_all()},
            body=endpoint.body,
            json=endpoint.json,
            at=time.monotonic(),
        )
        self.recorder.add(self.recorder.requests, recorded)
        endpoint.gone.add_done_callback(
            lambda gone: None if gone.cancelled() else self.recorder.add(self.recorder.disconnects, recorded)
        )
        return recorded

    def __post_init__(self) -> None:
        self.sign_in = SignIn(self.url)

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
        self.held.clear()
