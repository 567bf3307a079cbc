"""One streamed answer from first request to last event, without the IO.

A stream drives it: `begin` when an answer arrives, `feed` for each chunk, `end` at the end of the bytes,
`wait_after` when something failed. It alone knows what was delivered, so it alone decides that asking again
would show text twice.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any, NoReturn

import msgspec

from ..net import one_line
from ..protocol import errors
from ..protocol.errors import CodexError
from ..protocol.plain import read_json
from ..protocol.secrets import masked
from . import events as kinds
from .events import Event, OutputItemDone, UnknownEvent, decode_event, decode_events
from .failures import CHECK_ADDRESS, TRANSIENT, fitted, is_web_page
from .masking import ENDS, TEXTS, MaskedEvents
from .response import Response, ResponseAccumulator
from .sse import SSEDecoder

log = logging.getLogger(__name__)

_VISIBLE: frozenset[type[Event]] = frozenset(TEXTS) | {kinds.ImageGenerationCallPartialImage, OutputItemDone}
"""After one of these a consumer has something that a second answer would repeat."""
_FAILURES = frozenset[type[Event]]((kinds.ResponseFailed, kinds.ErrorEvent))  # raised, not delivered
_BEGINNINGS = (kinds.ResponseCreated, kinds.ResponseQueued, kinds.ResponseInProgress)
_SIGNS_OF_LIFE = frozenset[type[Event]]((kinds.Keepalive, UnknownEvent, *_BEGINNINGS))
"""They say that the service is still there, and bring nothing of the answer."""

WORKING_SECONDS = 3600.0  # of nothing but signs of life; the longest thoughts without a summary take half
LONGEST_EVENT = 64 << 20  # bytes; a large picture makes some 20 million
LONGEST_ANSWER = 256 << 20  # bytes; a novel has one million, pictures with their previews some 30 million

OnRetry = Callable[[CodexError, float], None]
"""Called with the failure and the seconds until the next try."""

_FINAL_CODES = frozenset({"server_is_overloaded", "slow_down"})
"""Inside a stream these mean "no capacity now": the service asks not to be asked again."""


@dataclass(frozen=True)
class RetryPolicy:
    """The waits double from `first_wait`, give or take a tenth; a wait that the service names wins."""

    request_retries: int = 4
    """After a failed connection or a 5xx answer."""
    stream_retries: int = 5
    """After a broken stream, a failure reported inside one, or "too many requests"."""
    first_wait: float = 0.2
    """Seconds."""
    longest_wait: float = 60.0
    """Seconds; a service that wants a longer pause is left to the user."""
    random: Callable[[], float] = random.random

    def decide(self, attempt: int, failure: CodexError) -> float | None:
        """Seconds to wait before asking again, `None` to give up. `attempt`: how often was asked again."""
        allowed, wanted = 0, None
        match failure:
            case errors.UsageLimitError() | errors.BlockedError():
                pass
            case errors.RateLimitError():
                allowed, wanted = self.stream_retries, failure.retry_after
            case errors.StreamError():
                allowed = self.stream_retries
            case errors.ServiceError(status=None) if failure.code not in _FINAL_CODES:
                allowed = self.stream_retries
            case errors.UnreachableError():
                allowed = self.request_retries
            case errors.ServiceError() if failure.status in TRANSIENT:
                allowed = self.request_retries
        if attempt >= allowed:
            return None
        if wanted is None:
            return self.first_wait * 2.0**attempt * (0.9 + 0.2 * self.random())
        return wanted if wanted <= self.longest_wait else None


PATIENT = RetryPolicy()
"""What the clients do unless told otherwise."""


class Exchange:
    def __init__(
        self,
        policy: RetryPolicy,
        on_retry: OnRetry | None = None,
        *,
        elsewhere: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`elsewhere`: the provider's name, unless it is ChatGPT; failures have other advice there."""
        self._policy, self._on_retry, self._elsewhere, self._clock = policy, on_retry, elsewhere, clock
        self.ended = threading.Event()  # when nobody wants the answer any more, and nothing is asked again
        self._retries = 0
        self.visible = False  # whether something was delivered that another answer would repeat
        self.begin({})
        self._begun = False

    def begin(self, headers: Mapping[str, str]) -> None:
        """Start with a new answer: whatever an earlier one brought is forgotten."""
        self._begun = True
        self._decoder = SSEDecoder()
        self._room = LONGEST_ANSWER
        self._event_at = self._progress_at = self._clock()
        self._bytes_ended = False
        self._accumulator = ResponseAccumulator(masked(dict(headers)))
        self._masked = MaskedEvents()
        self._bare: Event | None = None
        self._left: list[Event] = []

    def feed(self, chunk: bytes, *, idle: float | None = None) -> list[Event]:
        """Return the events to deliver; `idle` seconds may pass without one. Raises StreamError for an endless answer."""
        self._room -= len(chunk)
        if self._room < 0:
            self._give_up(f"The answer was longer than {LONGEST_ANSWER >> 20} MiB and had no end.")
        events = self._take(self._decoder.feed(chunk))
        if self._decoder.pending > LONGEST_EVENT:
            self._give_up(f"An event of the answer was longer than {LONGEST_EVENT >> 20} MiB.")
        now = self._clock()
        if events:
            self._event_at = now
            if not _SIGNS_OF_LIFE.issuperset(map(type, events)):
                self._progress_at = now
        elif idle is not None and now - self._event_at > idle:
            raise errors.StreamError("The service kept the connection open but sent nothing of its answer.")
        if now - self._progress_at > WORKING_SECONDS and not self.over:
            self._give_up("The service reported for an hour that it was working, and sent nothing.")
        return events

    def end(self) -> list[Event]:
        """Take the end of the bytes, and return the events still to deliver."""
        self._bytes_ended = True
        events = self._take(self._decoder.flush())
        if self._bare is not None and not self._accumulator.done:
            self._accumulator.feed(self._bare)
        return [*events, *self._accumulator.feed(*self._masked.end())]

    def let_go(self) -> list[Event]:
        """Return what was held back of an answer that is read no further: it might have gone on as a secret."""
        self._left += self._accumulator.feed(*self._masked.end())
        return self._left

    @property
    def over(self) -> bool:
        """Whether nothing more is to be read; `finish()` tells how it ended."""
        return self._bytes_ended or self._accumulator.done

    @property
    def lacks_reason(self) -> bool:
        """Whether the response has failed without a reason, which some servers send in an event of its own."""
        return self._bare is not None and not self.over

    @property
    def response(self) -> Response:
        """The response as far as it has arrived."""
        return self._accumulator.response

    def finish(self) -> Response:
        """Return the whole response, or raise the failure it ended with."""
        try:
            return self._accumulator.finish()
        except errors.StreamError as failure:
            if not (words := one_line(self._decoder.words())):
                raise
            what, response = f"The service answered with a text instead of events: {words}", failure.response
            raise errors.StreamError(what, hint=CHECK_ADDRESS, response=response) from None
        except CodexError as failure:
            fitted(failure, self._elsewhere)
            raise

    def wait_after(self, failure: CodexError) -> float:
        """Return the seconds to wait before asking again. Raises `failure` when that is not to be done."""
        wait = None if self.visible or self.ended.is_set() else self._policy.decide(self._retries, failure)
        if failure.response is None and self._begun:
            if wait is None:
                self.let_go()
            failure.response = self.response
        if wait is None:
            raise failure
        self._retries += 1
        log.info("asking again in %.1f s: %s", wait, failure.message)
        if self._on_retry is not None:
            self._on_retry(failure, wait)
        return wait

    def _give_up(self, reason: str) -> NoReturn:
        """Raise a failure after which nothing is asked again: it would be the same."""
        self.visible = True
        raise errors.StreamError(reason)

    def _take(self, payloads: list[bytes]) -> list[Event]:
        events = decode_events(payloads)
        types = set(map(type, events))  # few, looked up instead of the events
        if UnknownEvent in types:
            names = chain(self._decoder.names(), repeat(b""))
            named = zip(events, names, strict=False)
            events = [real for event, name in named for real in _real(event, name.decode(errors="replace"))]
            types = set(map(type, events))
        is_end = not ENDS.isdisjoint(types)
        events = self._masked.feed(self._up_to_the_end(events) if is_end else events)
        self.visible = self.visible or not _VISIBLE.isdisjoint(map(type, events))
        events = self._accumulator.feed(*events)
        return [event for event in events if type(event) not in _FAILURES] if is_end else events

    def _up_to_the_end(self, events: list[Event]) -> list[Event]:
        kept: list[Event] = []
        for event in events:
            if _is_bare(event):
                self._bare = event
            else:
                kept.append(event)
                if type(event) in ENDS:
                    break
        return kept


def _is_bare(event: Event) -> bool:
    """Whether it is a failure without any reason."""
    if isinstance(event, kinds.ResponseFailed):
        return not (event.error or (event.response or {}).get("error"))
    if isinstance(event, kinds.ErrorEvent):
        return not (event.error or event.message or event.code or event.status)
    return False


def _real(event: Event, name: str) -> list[Event]:
    """Return what an event says whose payload has no known type: by its name, as an error, or as a whole answer."""
    if not isinstance(event, UnknownEvent):
        return [event]
    raw: Any = event.raw
    if isinstance(raw, bytes):
        try:
            raw = read_json(raw)
        except ValueError:
            raw = raw.decode(errors="replace")
    if isinstance(raw, list) and not name:
        return [real for each in raw for real in _real(decode_event(msgspec.json.encode(each)), "")]
    if not isinstance(raw, dict):
        if is_web_page({}, str(raw).encode()):
            raise errors.BlockedError("Got a web page instead of an answer.", status=200)
        return [kinds.ErrorEvent(message=str(raw))] if name == "error" else [event]
    kind = raw.get("type")
    if not isinstance(kind, str) or not kind:
        kind = name
        named = decode_event(msgspec.json.encode({**raw, "type": name}))
        if not isinstance(named, UnknownEvent):
            return [named]
    if isinstance(raw.get("output"), list) and not kind:
        return _events_of(raw)
    is_error = any(raw.get(word) for word in ("error", "errors", "message", "detail")) and not kind
    if not (is_error or kind.lower().endswith("error")):
        return [event]
    headers = raw.get("headers") if isinstance(raw.get("headers"), dict) else None
    status = raw.get("status") or raw.get("status_code")
    return [kinds.ErrorEvent(error=raw.get("error") or raw, status=status, headers=headers)]


def _events_of(response: dict[str, Any]) -> list[Event]:
    """Return the events of a response that came as one object."""
    events: list[Event] = []
    for at, item in enumerate(response["output"]):
        if isinstance(item, dict):
            parts = item.get("content")
            for index, part in enumerate(parts if isinstance(parts, list) else ()):
                if isinstance(part, dict) and isinstance(text := part.get("text"), str):
                    events.append(kinds.OutputTextDelta(output_index=at, content_index=index, delta=text))
            events.append(OutputItemDone(output_index=at, item=item))
    status = "failed" if response.get("error") else str(response.get("status"))
    ends = {"failed": kinds.ResponseFailed, "incomplete": kinds.ResponseIncomplete}
    return [*events, ends.get(status, kinds.ResponseCompleted)(response=response)]
