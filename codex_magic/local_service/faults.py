"""What goes wrong: refusals in the words of the real services, and failures that a prompt asks for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from .stream import DELTAS, SHAPES, Event, frame


@dataclass(frozen=True)
class Reply:
    """A status and a body: a `dict` is sent as JSON, a `str` as it is."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


REFUSALS = msgspec.json.decode(Path(__file__).with_name("refusals.json").read_bytes(), type=dict[str, Reply])


def detail(status: int, text: str) -> Reply:
    """Return a refusal in the form of the Codex backend itself."""
    return Reply(status, {"detail": text})


def api_error(message: str, param: str | None = None) -> Reply:
    """Return a refusal in the form of the model API behind it."""
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return Reply(400, {"error": error})


def model_unsupported(model: str) -> Reply:
    return detail(400, f"The '{model}' model is not supported when using Codex with a ChatGPT account.")


Params = Mapping[str, Any]

Step = Event | bytes | str
"""One thing to do on the way of an answer: an event or bytes to send, or the name of something else."""

CUT = "cut"
"""The connection breaks."""


class Fault(NamedTuple):
    kind: str
    params: Params


class Faults:
    """The faults there are, by kind, and how often each prompt has asked for its own."""

    def __init__(self) -> None:
        self.replies = dict(REPLIES)
        self.streams = dict(STREAMS)
        self.kinds = {*REPLIES, *STREAMS}
        self._marked: Counter[tuple[str, str]] = Counter()

    def make(self, kind: str, params: Params) -> Fault:
        if kind not in self.kinds:
            raise ValueError(f"no fault {kind!r}; there are {', '.join(sorted(self.kinds))}")
        return Fault(kind, params)

    def marked(self, text: str, *, prompt: str) -> Fault | None:
        """Read a prompt's `drop after=5`, with `times=N` for its first N requests; ValueError: there is no such fault."""
        kind, *options = text.split()
        fault = self.make(kind.replace("-", "_"), dict(map(_option, options)))
        self._marked[text, prompt] += 1
        times = fault.params.get("times")
        return None if times is not None and self._marked[text, prompt] > times else fault


def split(stream: Iterable[Event], params: Params) -> tuple[list[Event], list[Event]]:
    """Return the first two events and up to the `after`-th delta (the third, else), and a rest, be it the last event."""
    planned = list(stream)
    deltas = [at + 1 for at, event in enumerate(planned) if event["type"] in DELTAS]
    cut = [2, *deltas, len(planned) - 1][: int(params.get("after", 3)) + 1][-1]
    return planned[:cut], planned[cut:]


def end(stream: Iterable[Event], params: Params, status: str, **changes: Any) -> Iterable[Step]:
    """Return the first deltas, then another end than the one that was planned."""
    sent, rest = split(stream, params)
    response = rest[-1]["response"] | {"status": status, "output": [], **changes}
    return [*sent, {"type": f"response.{status}", "sequence_number": len(sent), "response": response}]


def fail(message: str, code: str, stream: Iterable[Event], params: Params) -> Iterable[Step]:
    return end(stream, params, "failed", error={"code": code, "message": message})


def limit_error(params: Params) -> dict[str, Any]:
    """Return the error of a plan whose limit is reached for `resets_in` seconds."""
    seconds = int(params.get("resets_in", 3600))
    resets = {"resets_at": int(time.time()) + seconds, "resets_in_seconds": seconds}
    return SHAPES["limit_error"] | {"plan_type": params.get("plan", "plus"), **resets}


def _usage_limit(params: Params) -> Reply:
    error = limit_error(params)
    plan = {"x-codex-plan-type": error["plan_type"], "x-codex-primary-reset-at": str(error["resets_at"])}
    return Reply(429, {"error": error}, SHAPES["limit_headers"] | plan)


def _drop(stream: Iterable[Event], params: Params) -> Iterable[Step]:
    sent, rest = split(stream, params)
    data = frame(rest[0])
    return [*sent, data[: len(data) // 2], CUT]


TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
OVERLOADED = "Our servers are currently overloaded. Please try again later."

REPLIES: dict[str, Callable[[Params], Reply]] = {
    "usage_limit": _usage_limit,
    "cloudflare": lambda _: REFUSALS["cloudflare"],
}

STREAMS: dict[str, Callable[[Iterable[Event], Params], Iterable[Step]]] = {
    "drop": _drop,
    "context_length_exceeded": partial(fail, TOO_LONG, "context_length_exceeded"),
    "server_is_overloaded": partial(fail, OVERLOADED, "server_is_overloaded"),
}


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"an option of a fault is name=value, not {text!r}")
    return name, msgspec.json.decode(value) if value.replace(".", "", 1).isdigit() else value
