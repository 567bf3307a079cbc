"""Server-sent events, the framing alone: bytes in, the payload of each event out.

The unit of work is everything up to a blank line, so a chunk is looked at once however the network
cut it, and no state survives between two events. Lines end at `\\n`, `\\r\\n` or `\\r` and nowhere
else: U+2028 and its kin are ordinary characters inside a JSON string. The `event:` name is ignored
because every payload repeats it. Specification: https://html.spec.whatwg.org/#parsing-an-event-stream
"""

from __future__ import annotations

import re

_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_USUAL_EVENT = re.compile(rb"^event: .*\ndata: (\{.*)\n\n", re.MULTILINE)
"""What nearly every event of a Responses stream looks like: three lines, the payload in the second."""


class SSEDecoder:
    """`feed` gives the payloads that a chunk completes, `flush` the one a closing stream left open."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._ends_with_newline = False
        self._ends_with_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        chunk = self._unify_newlines(chunk)
        if not chunk:
            return []
        end = chunk.rfind(b"\n\n") + 2  # after the last blank line
        if end == 1:
            end = 1 if self._ends_with_newline and chunk.startswith(b"\n") else 0
        if end == 0:
            self._keep(chunk)
            return []
        events = b"".join((*self._open, chunk[:end]))
        self._open.clear()
        self._keep(chunk[end:])
        return self._payloads(events)

    def flush(self) -> list[bytes]:
        """The last event, when the stream ended without the blank line after it."""
        events = b"".join((*self._open, b"\n\n"))
        self._open.clear()
        return self._payloads(events)

    def _unify_newlines(self, chunk: bytes) -> bytes:
        if self._ends_with_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._ends_with_cr = False
        if b"\r" in chunk:
            self._ends_with_cr = chunk.endswith(b"\r")
            return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._ends_with_cr = self._ends_with_cr and not chunk
        return chunk

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._open.append(rest)
        self._ends_with_newline = rest.endswith(b"\n")

    def _payloads(self, events: bytes) -> list[bytes]:
        if self._at_start:
            self._at_start = False
            events = events.removeprefix(_BOM)
        usual: list[bytes] = _USUAL_EVENT.findall(events)
        # Each match holds three newlines: an equal count means that nothing lies between the matches.
        if len(usual) * 3 == events.count(b"\n"):
            return usual
        return _read_lines(events)


def _read_lines(events: bytes) -> list[bytes]:
    """The specification, line by line: comments, several `data` lines, fields without a space."""
    payloads: list[bytes] = []
    data: list[bytes] = []
    for line in events.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            payload = b"\n".join(data)
            if payload and payload != _DONE:
                payloads.append(payload)
            data = []
    return payloads
