"""What arrived, for tests to read and to wait on; filled on the service's loop, read from any thread."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RecordedRequest:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    """As sent, but decompressed."""
    json: Any
    """The decoded body; `None` when it is empty or no JSON."""
    at: float
    """`time.monotonic()` when the request was read."""


class Recorder:
    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.disconnects: list[RecordedRequest] = []
        """Requests whose client went away before the answer was complete."""
        self.held: list[RecordedRequest] = []
        """Requests whose answer stopped at a hold, in the order they got there."""
        self._changed = threading.Condition()

    def add(self, kind: list[RecordedRequest], request: RecordedRequest) -> None:
        with self._changed:
            kind.append(request)
            self._changed.notify_all()

    def wait(self, kind: list[RecordedRequest], path: str, *, timeout: float, count: int) -> RecordedRequest:
        """The `count`-th entry whose path ends with `path`; TimeoutError when it does not come."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                matching = [request for request in kind if request.path.endswith(path)]
                if len(matching) >= count:
                    return matching[count - 1]
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(matching)} of {count} came for {path!r} within {timeout} s")
