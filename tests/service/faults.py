"""Every way in which the real service has been seen to fail, on demand.

Tests queue them (`service.faults.next("drop", after=5)`), besides writing a line `fault: drop after=5` into a prompt.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from codex_magic.local_service import faults as shipped
from codex_magic.local_service.faults import (
    CUT,
    OVERLOADED,
    REFUSALS,
    TOO_LONG,
    Fault,
    Params,
    Reply,
    Step,
    detail,
    end,
    fail,
    limit_error,
    model_unsupported,
    split,
)
from codex_magic.local_service.stream import Event, frame
from tests.service.replies import (
    CONNECTION_LIMIT,
    REFRESH_TOKEN_EXPIRED,
    TOKEN_REVOKED,
    api_error,
    model_not_found,
    previous_response_not_found,
    web_page,
)


class Faults(shipped.Faults):
    """The queue of faults for the coming requests; safe to fill from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.replies |= REPLIES
        self.streams |= STREAMS
        self.kinds |= {*REPLIES, *STREAMS, *CONNECTION_FAULTS, *HEADER_FAULTS, *SOCKET_FAULTS}
        self._lock = threading.Lock()
        self._queue: deque[tuple[str, Fault]] = deque()

    def next(self, kind: str, *, times: int = 1, path: str | None = None, **params: Any) -> None:
        """Let the next `times` requests whose path ends with `path` fail; first in, first out.

        `path` is `/responses` unless the fault belongs to another endpoint (`refresh_token_reused`).
        """
        at = path or PATHS.get(kind, "/responses")
        with self._lock:
            self._queue.extend([(at, self.make(kind, params))] * times)

    def clear(self) -> None:
        """Forget what is queued."""
        with self._lock:
            self._queue.clear()

    def reply(self, fault: Fault) -> Reply | None:
        """What is sent in place of the answer, when the fault is a whole reply."""
        make = self.replies.get(fault.kind)
        return make(fault.params) if make else None

    def take(self, path: str) -> Fault | None:
        """The fault for a request to `path`, taken off the queue."""
        with self._lock:
            for entry in self._queue:
                if path.endswith(entry[0]):
                    self._queue.remove(entry)
                    return entry[1]
        return None


# Whole replies -----------------------------------------------------------------------------------


def _usage_not_included(params: Params) -> Reply:
    message = "To use Codex with your ChatGPT plan, upgrade to Plus."
    return Reply(429, {"error": {"type": "usage_not_included", "message": message, "plan_type": "free"}})


def _too_many_requests(params: Params) -> Reply:
    body = api_error(429, "Too many requests", kind="requests", code="rate_limit_exceeded").body
    return Reply(429, body, {"Retry-After": str(params.get("retry_after", 1))})


def _status(params: Params) -> Reply:
    return Reply(
        int(params["status"]), params.get("body", {"detail": "Made to fail"}), params.get("headers", {})
    )


REPLIES: dict[str, Callable[[Params], Reply]] = {
    "usage_not_included": _usage_not_included,
    "too_many_requests": _too_many_requests,
    "overloaded": lambda _: api_error(
        503, OVERLOADED, kind="service_unavailable_error", code="server_is_overloaded"
    ),
    "server_error": lambda _: web_page(500, "Internal Server Error"),
    "bad_gateway": lambda _: web_page(502, "Bad Gateway"),
    "unauthorized": lambda _: REFUSALS["unauthorized"],
    "token_expired": lambda _: REFUSALS["token_expired"],
    "token_invalidated": lambda _: REFUSALS["token_invalidated"],
    "token_revoked": lambda _: TOKEN_REVOKED,
    "model_not_found": lambda params: model_not_found(str(params.get("model", "local-large"))),
    "model_unsupported": lambda params: model_unsupported(str(params.get("model", "local-large"))),
    "context_too_long": lambda _: api_error(400, TOO_LONG, param="input", code="context_length_exceeded"),
    "refresh_token_reused": lambda _: REFUSALS["refresh_token_reused"],
    "refresh_token_expired": lambda _: REFRESH_TOKEN_EXPIRED,
    "refresh_token_invalidated": lambda _: REFUSALS["refresh_token_invalidated"],
    "device_login_off": lambda _: REFUSALS["not_found"],
    "voice_denied": lambda _: detail(403, "Voice session access denied"),
    "transcription_denied": lambda _: detail(403, "Transcription is not available for this account"),
    "previous_response_not_found": lambda _: previous_response_not_found("resp_forgotten"),
    "websocket_connection_limit_reached": lambda _: CONNECTION_LIMIT,
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

CONNECTION_FAULTS = frozenset({"no_headers", "slow_headers", "hold_headers", "refuse"})
"""Before the first byte: never answered, answered after `seconds`, when released, or cut off."""

HEADER_FAULTS = frozenset({"reroute"})
"""Answered by another model, `to`, than the one asked for."""


SOCKET_FAULTS = frozenset({"binary_frame"})
"""On a WebSocket only: a message that is no text."""

# Bent streams ------------------------------------------------------------------------------------

SILENCE = "silence"
"""Nothing more, until the client or the service goes away."""

HOLD = "hold"
"""Nothing more until `service.release()`."""


def _drop_in_character(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    data = frame({"type": "response.output_text.delta", "delta": "naïve 漢字"})
    return [*split(stream, params)[0], data[: data.index("字".encode()) + 1], CUT]


def _idle(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    return [*split(stream, params)[0], SILENCE]


def _hold(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    sent, rest = split(stream, params)
    return [*sent, HOLD, *rest]


def _no_first_byte(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    return [SILENCE]


def _eof(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    return [*split(stream, params)[0]]


def _eof_before_end(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    """All items arrive whole, only the terminal event is missing."""
    return (event for event in stream if event["type"] != "response.completed")


def _incomplete(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    reason = params.get("reason", "max_output_tokens")
    return end(stream, params, "incomplete", incomplete_details={"reason": reason})


def _failed(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    code = str(params.get("code", "server_error"))
    message = params.get("message") or FAILURES.get(code, FAILURES["server_error"])
    return end(stream, params, "failed", error={"code": code, "message": message})


def _error(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    sent, _ = split(stream, params)
    headers = {"X-Codex-Primary-Used-Percent": "100"}
    error = {"type": "error", "error": limit_error(params), "status_code": 429, "headers": headers}
    return [*sent, error | {"sequence_number": len(sent)}]


def _error_then_open(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    return [*_error(stream, params), SILENCE]


def _huge_event(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    """A partial image, as large as real ones get."""
    sent, rest = split(stream, params)
    image = base64.b64encode(bytes(int(params.get("bytes", 3_000_000)) * 3 // 4)).decode()
    partial = {
        "item_id": "ig_local",
        "output_index": 99,
        "partial_image_index": 0,
        "partial_image_b64": image,
    }
    huge = {"type": "response.image_generation_call.partial_image", **partial}
    return [event | {"sequence_number": number} for number, event in enumerate([*sent, huge, *rest])]


FAILURES = {
    "rate_limit_exceeded": (
        "Rate limit reached for this model on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000. "
        "Please try again in 1.5s."
    ),
    "context_length_exceeded": TOO_LONG,
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
    "usage_not_included": "Your plan does not include Codex.",
    "cyber_policy": "This request was flagged as a possible cybersecurity risk.",
    "invalid_prompt": "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
    "server_is_overloaded": OVERLOADED,
    "slow_down": "Please slow down.",
    "server_error": "An error occurred while processing your request. You can retry your request.",
}

STREAMS: dict[str, Callable[[Iterable[Event], Params], Iterable[Step]]] = {
    "drop_in_character": _drop_in_character,
    "idle": _idle,
    "hold": _hold,
    "no_first_byte": _no_first_byte,
    "eof": _eof,
    "eof_before_end": _eof_before_end,
    "incomplete": _incomplete,
    "failed": _failed,
    "error": _error,
    "error_then_open": _error_then_open,
    "huge_event": _huge_event,
}

STREAMS |= {code: partial(fail, message, code) for code, message in FAILURES.items() if code not in REPLIES}
