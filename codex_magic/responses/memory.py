"""The latest responses of one client, for `previous_response_id` on a service that stores nothing. Pure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence

from ..forks import begin_anew_in_children
from ..protocol.errors import InvalidRequestError
from .inputs import Item
from .response import Response

MOST_RESPONSES = 100
MOST_BYTES = 64 * 1024 * 1024
"""Of the requests they answered; images make those large."""


class Memory:
    """Which items a response followed and brought. Safe from any thread."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, tuple[list[Item], int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        begin_anew_in_children(self)

    def forked(self) -> object:
        """See `forks`."""
        self._lock = threading.Lock()
        return None

    def keep(self, response: Response, asked: Sequence[Item], size: int) -> None:
        """Remember a whole response to `asked`, a request of `size` bytes; the oldest are forgotten."""
        with self._lock:
            _, before = self._held.pop(response.id, ([], 0))
            self._held[response.id] = ([*asked, *response.output], size)
            self._bytes += size - before
            while len(self._held) > MOST_RESPONSES or (self._bytes > MOST_BYTES and len(self._held) > 1):
                _, (_, forgotten) = self._held.popitem(last=False)
                self._bytes -= forgotten

    def items(self, response_id: str) -> list[Item]:
        """All items up to the end of that response. Raises InvalidRequestError for one not known here."""
        with self._lock:
            found = self._held.get(response_id)
        if found is None:
            raise InvalidRequestError(
                f"This client does not remember a response {response_id!r}.",
                hint=(
                    f"The service stores none, and a client knows its own last {MOST_RESPONSES}: "
                    "send the earlier items themselves, input=[*response.output, ...]."
                ),
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return found[0]
