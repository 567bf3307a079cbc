"""Failures that a prompt asks for by a line `fault: drop after=5`, as the real service words them.

A fault is either a whole HTTP reply, or it bends the event stream, which stays a plain sequence of steps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .replies import CLOUDFLARE_CHALLENGE, Reply
from .stream import DELTAS, Event, frame

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Fault:
    kind: str
    params: Params = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One thing to do on the way of an answer."""


@dataclass(frozen=True)
class Send(Step):
    data: bytes
    is_delta: bool = False


@dataclass(frozen=True)
class Cut(Step):
    """The connection breaks."""


class Faults:
    """The faults there are, by kind, and how often each prompt has asked for its own."""

    def __init__(self) -> None:
        self.replies = dict(REPLIES)
        self.streams = dict(STREAMS)
        self._marked: Counter[tuple[str, str]] = Counter()

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset({*self.replies, *self.streams})

    def make(self, kind: str, params: Params) -> Fault:
        if kind not in self.kinds:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(sorted(self.kinds))}")
        return Fault(kind, params)

    def parse(self, text: str) -> Fault:
        """Read `drop after=5`; ValueError when there is no such fault."""
        kind, *options = text.split()
        return self.make(kind.replace("-", "_"), dict(map(_option, options)))

    def marked(self, text: str, *, prompt: str) -> Fault | None:
        """The fault that a prompt asks for; with `times=N` only for its first N requests."""
        fault = self.parse(text)
        self._marked[text, prompt] += 1
        times = fault.params.get("times")
        return None if times is not None and self._marked[text, prompt] > times else fault

    def reply(self, fault: Fault) -> Reply | None:
        """What is sent in place of the answer, when the fault is a whole reply."""
        make = self.replies.get(fault.kind)
        return make(fault.params) if make else None

    def steps(self, stream: Iterator[Event], fault: Fault | None) -> Iterator[Step]:
        """What to do to send `stream`, which `fault` bends."""
        if fault is None or fault.kind not in self.streams:
            return map(send, stream)
        return self.streams[fault.kind](stream, fault.params)


def send(event: Event) -> Send:
    return Send(frame(event), event["type"] in DELTAS)


def split(stream: Iterator[Event], params: Params) -> tuple[list[Event], list[Event]]:
    """The events up to and with the `after`-th delta (the third, else), and the rest.

    `response.created` and `response.in_progress` come in any case; the last event is always rest.
    """
    planned = list(stream)
    deltas = [at for at, event in enumerate(planned) if event["type"] in DELTAS]
    after = int(params.get("after", 3))
    ends = [2, *(at + 1 for at in deltas), len(planned) - 1]
    cut = ends[min(after, len(ends) - 1)]
    return planned[:cut], planned[cut:]


def end(stream: Iterator[Event], params: Params, status: str, **changes: Any) -> Iterator[Step]:
    """The first deltas, then another end than the one that was planned."""
    sent, rest = split(stream, params)
    response = rest[-1]["response"] | {"status": status, "output": [], **changes}
    last = {"type": f"response.{status}", "sequence_number": len(sent), "response": response}
    return map(send, [*sent, last])


def fail(message: str, code: str, stream: Iterator[Event], params: Params) -> Iterator[Step]:
    return end(stream, params, "failed", error={"code": code, "message": message})


def limit_error(params: Params) -> dict[str, Any]:
    """The plan's limit is reached for `resets_in` seconds."""
    seconds = int(params.get("resets_in", 3600))
    return {
        "type": "usage_limit_reached",
        "message": "The usage limit has been reached",
        "plan_type": params.get("plan", "plus"),
        "resets_at": int(time.time()) + seconds,
        "resets_in_seconds": seconds,
        "eligible_promo": None,
    }


def _usage_limit(params: Params) -> Reply:
    error = limit_error(params)
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


def _drop(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    sent, rest = split(stream, params)
    yield from map(send, sent)
    data = frame(rest[0])
    yield Send(data[: len(data) // 2])
    yield Cut()


def _incomplete(stream: Iterator[Event], params: Params) -> Iterator[Step]:
    reason = params.get("reason", "max_output_tokens")
    return end(stream, params, "incomplete", incomplete_details={"reason": reason})


TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
OVERLOADED = "Our servers are currently overloaded. Please try again later."

REPLIES: dict[str, Callable[[Params], Reply]] = {
    "usage_limit": _usage_limit,
    "cloudflare": lambda _: CLOUDFLARE_CHALLENGE,
}

STREAMS: dict[str, Callable[[Iterator[Event], Params], Iterator[Step]]] = {
    "drop": _drop,
    "incomplete": _incomplete,
    "context_length_exceeded": partial(fail, TOO_LONG, "context_length_exceeded"),
    "server_is_overloaded": partial(fail, OVERLOADED, "server_is_overloaded"),
}


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"an option of a fault is name=value, not {text!r}")
    try:
        return name, float(value) if "." in value else int(value)
    except ValueError:
        return name, value
