"""What came, and whose client left before the answer was complete; recorded on the loop, read by any thread."""

from __future__ import annotations

import threading
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
        self._changed = threading.Condition()

    def add(self, kind: list[RecordedRequest], request: RecordedRequest) -> None:
        with self._changed:
            kind.append(request)
            self._changed.notify_all()

    def wait(self, kind: list[RecordedRequest], path: str, *, timeout: float, count: int) -> RecordedRequest:
        """Return the `count`-th entry whose path ends with `path`; TimeoutError when it does not come."""

        def matching() -> list[RecordedRequest]:
            return [request for request in kind if request.path.endswith(path)]

        with self._changed:
            if not self._changed.wait_for(lambda: len(matching()) >= count, timeout):
                raise TimeoutError(f"{len(matching())} of {count} came for {path!r} within {timeout} s")
            return matching()[count - 1]
