"""The secrets of a request, and the answer without them: nothing that a server repeats of a key goes further."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import suppress
from operator import attrgetter
from typing import Any

import httpx
import msgspec

from ..protocol.plain import decode_json
from ..protocol.secrets import MaskedDeltas, hide, mask, masked, names_secret
from . import events
from .events import Event, StreamEvent, UnknownEvent

TEXTS: dict[type[Event], Callable[[Any], tuple[Any, ...]]] = {
    kind: attrgetter(*({*kind.__struct_fields__} - {"delta", "sequence_number"}))
    for kind in events.EVENT_TYPES.values()
    if "delta" in kind.__struct_fields__ and kind is not events.ShellCallOutputContentDelta
}
"""Events that bring a piece of a text -> which text that is."""

ENDS = frozenset(
    {events.ResponseCompleted, events.ResponseFailed, events.ResponseIncomplete, events.ErrorEvent}
)
"""Nothing after one of these counts."""


def hide_sent(request: httpx.Request) -> None:
    """Mask from now on what this request proves itself with, whoever put it there."""
    for name, value in request.headers.items():
        if names_secret(name) and not name.lower().startswith("sec-websocket-"):
            hide(*_proofs(value))
    hide(request.url.password or None)
    hide(*(value for name, value in request.url.params.multi_items() if names_secret(name)))


async def hide_sent_async(request: httpx.Request) -> None:
    hide_sent(request)


def _proofs(header: str) -> Iterator[str]:
    """Yield the secrets of `Bearer ...`, `Basic ...`, of cookies, or the value itself."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "basic":
        yield rest
        with suppress(ValueError):
            yield base64.b64decode(rest).decode().partition(":")[2]
    elif rest and ";" not in header:
        yield rest
    else:
        for pair in header.split(";"):
            yield pair.partition("=")[2].strip() or pair.strip()


def masked_answer(answer: httpx.Response) -> httpx.Response:
    """Return a whole answer, its body read, without secrets."""
    headers = masked(dict(answer.headers))
    body = _masked_body(answer.content)
    if body is answer.content and headers == dict(answer.headers):
        return answer
    for name in ("content-encoding", "content-length"):
        headers.pop(name, None)
    return httpx.Response(answer.status_code, headers=headers, content=body)


def _masked_body(body: bytes) -> bytes:
    with suppress(ValueError):
        value = decode_json(body)
        clean = masked(value)
        return body if clean is value else msgspec.json.encode(clean)
    text = body.decode("latin-1")
    return body if (clean := mask(text)) is text else clean.encode("latin-1")


class MaskedEvents:
    """Takes the events of one answer and returns them without secrets; a text's end may be held back a while."""

    def __init__(self) -> None:
        self._deltas: MaskedDeltas[StreamEvent] = MaskedDeltas()

    def feed(self, new: list[Event]) -> list[Event]:
        clean: list[Event] = []
        for event in new:
            place = TEXTS.get(type(event))
            if place is not None:
                piece = self._deltas.feed((type(event), place(event)), event)  # type: ignore[arg-type]  # no UnknownEvent
                if piece is not None:
                    clean.append(piece)
                continue
            if type(event) in ENDS:
                clean += self.end()
            elif event.type.endswith(".done"):
                index = getattr(event, "output_index", None)
                clean += self._deltas.end(
                    lambda delta, index=index: index in (None, delta.output_index)  # type: ignore[misc]  # a delta
                )
            if isinstance(event, UnknownEvent) and isinstance(event.raw, bytes):
                event = UnknownEvent(event.type, _masked_body(event.raw))
            clean.append(masked(event))
        return clean

    def end(self) -> list[StreamEvent]:
        """Return what was held back, when no more comes."""
        return self._deltas.end()
