"""One streamed answer from first request to last event, without the IO.

Both clients drive it: `begin` when an answer arrives, `feed` for each chunk, `end` at the end of the
bytes, `wait_after` when something failed. It alone knows what was delivered, so it alone decides
that asking again would show text twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from ..protocol.errors import CodexError
from ..protocol.secrets import masked
from .events import (
    CodeInterpreterCallCodeDelta,
    CustomToolCallInputDelta,
    ErrorEvent,
    Event,
    FunctionCallArgumentsDelta,
    ImageGenerationCallPartialImage,
    McpCallArgumentsDelta,
    OutputItemDone,
    OutputTextDelta,
    ReasoningSummaryTextDelta,
    ReasoningTextDelta,
    RefusalDelta,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    ShellCallCommandDelta,
    decode_events,
)
from .masking import MaskedEvents
from .response import Response, ResponseAccumulator
from .retry import RetryPolicy
from .sse import SSEDecoder

log = logging.getLogger(__name__)

_VISIBLE: frozenset[type[Event]] = frozenset(
    {
        OutputTextDelta,
        RefusalDelta,
        ReasoningSummaryTextDelta,
        ReasoningTextDelta,
        FunctionCallArgumentsDelta,
        CustomToolCallInputDelta,
        CodeInterpreterCallCodeDelta,
        McpCallArgumentsDelta,
        ShellCallCommandDelta,
        ImageGenerationCallPartialImage,
        OutputItemDone,
    }
)
"""After one of these a consumer has something that a second answer would repeat."""

_FAILURES: frozenset[type[Event]] = frozenset({ResponseFailed, ErrorEvent})
"""Raised, not delivered."""

_ENDS: frozenset[type[Event]] = _FAILURES | {ResponseCompleted, ResponseIncomplete}
"""Nothing after one of these counts."""

OnRetry = Callable[[CodexError, float], None]
"""Called with the failure and the seconds until the next try."""


class Exchange:
    def __init__(self, policy: RetryPolicy, on_retry: OnRetry | None = None) -> None:
        self._policy = policy
        self._on_retry = on_retry
        self.ended = threading.Event()
        """Set when nobody wants the answer any more; then nothing is asked again."""
        self._retries = 0
        self._visible = False
        self._begun = False
        self._start({})

    def begin(self, headers: Mapping[str, str]) -> None:
        """A new answer: whatever an earlier one brought is forgotten."""
        self._begun = True
        self._start(headers)

    def _start(self, headers: Mapping[str, str]) -> None:
        self._decoder = SSEDecoder()
        self._bytes_ended = False
        self._accumulator = ResponseAccumulator(masked(dict(headers)))
        self._masked = MaskedEvents()
        self._left: list[Event] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """The events to deliver."""
        return self._take(self._decoder.feed(chunk))

    def end(self) -> list[Event]:
        """The bytes have ended: the events still to deliver."""
        self._bytes_ended = True
        return [*self._take(self._decoder.flush()), *self._rest()]

    def let_go(self) -> list[Event]:
        """What was held back of an answer that is read no further, because it might have gone on as a secret."""
        self._left += self._rest()
        return self._left

    @property
    def over(self) -> bool:
        """Nothing more is to be read; `finish()` tells how it ended."""
        return self._bytes_ended or self._accumulator.done

    @property
    def response(self) -> Response:
        """What arrived so far."""
        return self._accumulator.response

    def finish(self) -> Response:
        """The whole response, or the failure it ended with."""
        return self._accumulator.finish()

    def wait_after(self, failure: CodexError) -> float:
        """Seconds to wait before asking again. Raises `failure` when that is not to be done."""
        if failure.response is None and self._begun:
            failure.response = self.response
        wait = None if self._visible or self.ended.is_set() else self._policy.decide(self._retries, failure)
        if wait is None:
            raise failure
        self._retries += 1
        log.info("asking again in %.1f s: %s", wait, failure.message)
        if self._on_retry is not None:
            self._on_retry(failure, wait)
        return wait

    def _rest(self) -> list[Event]:
        events: list[Event] = [*self._masked.end()]
        self._accumulator.feed(*events)
        return events

    def _take(self, payloads: list[bytes]) -> list[Event]:
        events = decode_events(payloads)
        if not _ENDS.isdisjoint(map(type, events)):
            first = next(at for at, event in enumerate(events) if type(event) in _ENDS)
            events = events[: first + 1]
        events = self._masked.feed(events)
        kinds = set(map(type, events))
        self._visible = self._visible or not _VISIBLE.isdisjoint(kinds)
        self._accumulator.feed(*events)
        if _FAILURES.isdisjoint(kinds):
            return events
        return [event for event in events if type(event) not in _FAILURES]
