"""Every way in which the real service has been seen to fail, on demand.

Tests queue them (`service.faults.next("drop", after=5)`); people write a line `fault: drop after=5`
into a prompt. A fault is either a whole HTTP reply, or it bends the event stream. The stream
stays a plain sequence of steps, so everything but the sending is decided here.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import replies
from .replies import Reply
from .stream import DELTAS, Event, frame

AFTER = 3
"""Deltas sent before a stream goes wrong, unless the fault says otherwise."""

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    kind: str
    params: Params = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read `drop after=5`; ValueError when there is no such fault."""
        kind, *options = text.split()
        return cls(_known(kind.replace("-", "_")), dict(map(_option, options)))

    @property
    def reply(self) -> Reply | None:
        """What is sent in place of the answer, when the fault is a whole reply."""
        make = REPLIES.get(self.kind)
        return make(self.params) if make else None


class Faults:
    """The queue of faults for the coming requests; safe to fill from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[tuple[str, Fault]] = deque()
        self._marked: Counter[tuple[str, str]] = Counter()

    def next(self, kind: str, *, times: int = 1, path: str | None = None, **params: Any) -> None:
        """Let the next `times` requests whose path ends with `path` fail; first in, first out.

        `path` is `/responses` unless the fault belongs to another endpoint (`refresh_token_reused`).
        """
        at = path or PATHS.get(kind, "/responses")
        with self._lock:
            self._queue.extend([(at, Fault(_known(kind), params))] * times)

    def clear(self) -> None:
        """Forget what is queued."""
        with self._lock:
            self._queue.clear()

    def take(self, path: str) -> Fault | None:
        """The fault for a request to `path`, taken off the queue."""
        with self._lock:
            for entry in self._queue:
                if path.endswith(entry[0]):
                    self._queue.remove(entry)
                    return entry[1]
        return None

    def marked(self, text: str, *, prompt: str) -> Fault | None:
        """The fault that a prompt asks for; with `times=N` only for its first N requests."""
        fault = Fault.parse(text)
        times = fault.params.get("times")
        with self._lock:
            self._marked[text, prompt] += 1
            spent = times is not None and self._marked[text, prompt] > times
        return None if spent else fault


# Whole replies -----------------------------------------------------------------------------------


def _usage_limit(params: Params) -> Reply:
    error = _limit_error(params)
    reached = {
        "x-codex-plan-type": error["plan_type"],
        "x-codex-rate-limit-reached-type": "primary",
        "x-codex-primary-used-percent": "100.0",
        "x-codex-primary-window-minutes": "300",
        "x-codex-primary-reset-at": str(error["resets_at"]),
        "x-codex-secondary-used-percent": "64.0",
        "x-codex-secondary-window-minutes": "10080",
    }
    return Reply(429, {"error": error}, reached)


def _limit_error(params: Params) -> dict[str, Any]:
    seconds = int(params.get("resets_in", 3600))
    return {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": params.get("plan", "plus"),
        "resets_at": int(time.time()) + seconds,
        "resets_in_seconds": seconds,
        "eligible_promo": None,
    }


def _usage_not_included(params: Params) -> Reply:
    message = "To use Codex with your ChatGPT plan, upgrade to Plus."
    return Reply(429, {"error": {"type": "usage_not_included", "message": message, "plan_type": "free"}})


def _too_many_requests(params: Params) -> Reply:
    body = replies.api_error(429, "Too many requests", kind="requests", code="rate_limit_exceeded").body
    return Reply(429, body, {"Retry-After": str(params.get("retry_after", 1))})


def _status(params: Params) -> Reply:
    return Reply(
        int(params["status"]), params.get("body", {"detail": "Made to fail"}), params.get("headers", {})
    )


_OVERLOADED = "Our servers are currently overloaded. Please try again later."

REPLIES: dict[str, Callable[[Params], Reply]] = {
    "usage_limit": _usage_limit,
    "usage_not_included": _usage_not_included,
    "too_many_requests": _too_many_requests,
    "overloaded": lambda _: replies.api_error(
        503, _OVERLOADED, kind="service_unavailable_error", code="server_is_overloaded"
    ),
    "server_error": lambda _: replies.web_page(500, "Internal Server Error"),
    "bad_gateway": lambda _: replies.web_page(502, "Bad Gateway"),
    "cloudflare": lambda _: replies.CLOUDFLARE_CHALLENGE,
    "unauthorized": lambda _: replies.UNAUTHORIZED,
    "token_expired": lambda _: replies.TOKEN_EXPIRED,
    "token_invalidated": lambda _: replies.TOKEN_INVALIDATED,
    "token_revoked": lambda _: replies.TOKEN_REVOKED,
    "model_not_found": lambda params: replies.model_not_found(str(params.get("model", "local-large"))),
    "model_unsupported": lambda params: replies.model_unsupported(str(params.get("model", "local-large"))),
    "context_too_long": lambda _: replies.api_error(
        400, _TOO_LONG, param="input", code="context_length_exceeded"
    ),
    "refresh_token_reused": lambda _: replies.REFRESH_ERRORS["refresh_token_reused"],
    "refresh_token_expired": lambda _: replies.REFRESH_ERRORS["refresh_token_expired"],
    "refresh_token_invalidated": lambda _: replies.REFRESH_ERRORS["refresh_token_invalidated"],
    "device_login_off": lambda _: replies.NOT_FOUND,
    "voice_denied": lambda _: replies.detail(403, "Voice session access denied"),
    "transcription_denied": lambda _: replies.detail(403, "Transcription is not available for this account"),
    "previous_response_not_found": lambda _: replies.previous_response_not_found("resp_forgotten"),
    "websocket_connection_limit_reached": lambda _: replies.CONNECTION_LIMIT,
    "status": _status,
}

PATHS = {
    "refresh_token_reused": "/oauth/token",
    "refresh_token_expired": "/oauth/token",
    "refresh_token_invalidated": "/oauth/token",
    "device_login_off": "/deviceauth/usercode",
    "voice_denied": "/realtime/calls",
    "transcription_denied": "/transcribe",
}

HANDSHAKE = "#handshake"
"""Ends the path of faults for an upgrade itself: `faults.next("status", status=403, path=HANDSHAKE)`."""

_TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."

CONNECTION_FAULTS = frozenset({"no_headers", "slow_headers", "hold_headers", "refuse"})
"""Before the first byte: never answered, answered after `seconds`, when released, or cut off."""

HEADER_FAULTS = frozenset({"reroute"})
"""Answered by another model, `to`, than the one asked for."""


SOCKET_FAULTS = frozenset({"binary_frame"})
"""On a WebSocket only: a message that is no text."""

# Bent streams ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Send:
    data: bytes
    is_delta: bool = False


@dataclass(frozen=True)
class Silence:
    """Nothing more, until the client or the service goes away."""


@dataclass(frozen=True)
class Hold:
    """Nothing more until `service.release()`."""


@dataclass(frozen=True)
class Cut:
    """The connection breaks."""


Step = Send | Silence | Hold | Cut


def steps(stream: Iterator[Event], fault: Fault | None) -> Iterator[Step]:
    """What to do to send `stream`, which `fault` bends."""
    if fault is None or fault.kind not in STREAM_FAULTS:
        return map(_send, stream)
    return STREAM_FAULTS[fault.kind](stream, fault.params)


def _send(event: Event) -> Send:
    return Send(frame(event), event["type"] in DELTAS)


def _split(stream: Iterator[Event], params: Params) -> tuple[list[Event], list[Event]]:
    """The events up to and with the `after`-th delta, and the rest; the last event is always rest."""
    planned = list(stream)
    deltas = [at for at, event in enumerate(planned) if event["type"] in DELTAS]
    after = int(params.get("after", AFTER))
    ends = [_OPENING, *(at + 1 for at in deltas), len(planned) - 1]
    cut = ends[min(after, len(ends) - 1)]
    return planned[:cut], planned[cut:]


_OPENING = 2
"""`response.created` and `response.in_progress` come in any case."""


def _drop(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    sent, rest = _split(stream, params)
    yield from map(_send, sent)
    data = frame(rest[0])
    yield Send(data[: len(data) // 2])
    yield Cut()


def _drop_in_character(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    sent, _ = _split(stream, params)
    yield from map(_send, sent)
    data = frame({"type": "response.output_text.delta", "delta": "naïve 漢字"})
    yield Send(data[: data.index("字".encode()) + 1])
    yield Cut()


def _idle(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    sent, _ = _split(stream, params)
    yield from map(_send, sent)
    yield Silence()


def _hold(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    sent, rest = _split(stream, params)
    yield from map(_send, sent)
    yield Hold()
    yield from map(_send, rest)


def _no_first_byte(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    yield Silence()


def _eof(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    sent, _ = _split(stream, params)
    return map(_send, sent)


def _eof_before_end(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    """All items arrive whole, only the terminal event is missing."""
    return (_send(event) for event in stream if event["type"] != "response.completed")


def _failed(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    code = str(params.get("code", "server_error"))
    message = params.get("message") or FAILURES.get(code, FAILURES["server_error"])
    return _ended(stream, params, "failed", error={"code": code, "message": message})


def _failed_with(code: str, stream: Iterator[Event], params: Params) -> Iterator[Step]:
    return _failed(stream, {**params, "code": code})


def _incomplete(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    reason = params.get("reason", "max_output_tokens")
    return _ended(stream, params, "incomplete", incomplete_details={"reason": reason})


def _ended(stream: Iterator[Event], params: Params, status: str, **changes: Any) -> Iterator[Step]:
    """The first deltas, then another end than the one that was planned."""
    sent, rest = _split(stream, params)
    response = rest[-1]["response"] | {"status": status, "output": [], **changes}
    last = {"type": f"response.{status}", "sequence_number": len(sent), "response": response}
    return map(_send, [*sent, last])


def _error(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    sent, _ = _split(stream, params)
    headers = {"X-Codex-Primary-Used-Percent": "100"}
    error = {"type": "error", "error": _limit_error(params), "status_code": 429, "headers": headers}
    return map(_send, [*sent, error | {"sequence_number": len(sent)}])


def _error_then_open(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    yield from _error(stream, params)
    yield Silence()


def _huge_event(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    """A partial image, as large as real ones get."""
    sent, rest = _split(stream, params)
    image = base64.b64encode(bytes(int(params.get("bytes", 3_000_000)) * 3 // 4)).decode()
    partial = {
        "item_id": "ig_local",
        "output_index": 99,
        "partial_image_index": 0,
        "partial_image_b64": image,
    }
    huge = {"type": "response.image_generation_call.partial_image", **partial}
    numbered = enumerate([*sent, huge, *rest])
    return (_send(event | {"sequence_number": number}) for number, event in numbered)


FAILURES = {
    "rate_limit_exceeded": (
        "Rate limit reached for this model on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. "
        "Please try again in 1.5s."
    ),
    "context_length_exceeded": _TOO_LONG,
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
    "usage_not_included": "Your plan does not include Codex.",
    "cyber_policy": "This request was flagged as a possible cybersecurity risk.",
    "invalid_prompt": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
    "server_is_overloaded": _OVERLOADED,
    "slow_down": "Please slow down.",
    "server_error": "An error occurred while processing your request. You can retry your request.",
}

STREAM_FAULTS: dict[str, Callable[[Iterator[Event], Params], Iterator[Step]]] = {
    "drop": _drop,
    "drop_in_character": _drop_in_character,
    "idle": _idle,
    "hold": _hold,
    "no_first_byte": _no_first_byte,
    "eof": _eof,
    "eof_before_end": _eof_before_end,
    "failed": _failed,
    "incomplete": _incomplete,
    "error": _error,
    "error_then_open": _error_then_open,
    "huge_event": _huge_event,
}

STREAM_FAULTS |= {code: partial(_failed_with, code) for code in FAILURES if code not in REPLIES}

KINDS = frozenset({*REPLIES, *CONNECTION_FAULTS, *HEADER_FAULTS, *SOCKET_FAULTS, *STREAM_FAULTS})


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"no fault {kind!r}; there are {', '.join(sorted(KINDS))}")
    return kind


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"an option of a fault is name=value, not {text!r}")
    try:
        return name, float(value) if "." in value else int(value)
    except ValueError:
        return name, value
