"""Server-sent events, the framing alone: bytes in, the payload of each event out.

The unit of work is everything up to a blank line, so a chunk is looked at once however the network
cut it, and no state survives between two events. Lines end at `\\n`, `\\r\\n` or `\\r` and nowhere
else: U+2028 and its kin are ordinary characters inside a JSON string. Names of events are looked up only
where a payload does not repeat its own. What has no events at all is read as JSON, a document or lines of it.
Specification: https://html.spec.whatwg.org/#parsing-an-event-stream
"""

from __future__ import annotations

import re
from itertools import takewhile

from ..protocol.plain import decode_json

_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_USUAL_EVENT = re.compile(rb"^event: .*\ndata: (\{.*)\n\n", re.MULTILINE)
"""What nearly every event of a Responses stream looks like: three lines, the payload in the second."""

_ELSE = re.compile(rb"[\xef\xbb\xbf\s]*([\[{<]|\Z)")
"""What JSON or a web page begins with, in place of a stream."""
_FIELD = re.compile(rb"(:|data:|event:|id:|retry:)")
_MOST_WORDS = 1000  # bytes that are kept of what is neither


class SSEDecoder:
    """`feed` gives the payloads that a chunk completes, `flush` the one a closing stream left open."""

    def __init__(self) -> None:
        self._open: list[bytes] = []
        self._unread: bytearray | None = bytearray()  # until there is a payload: it may be no stream at all
        self.pending = 0  # bytes of an event that is not whole yet
        self._last = b""
        self._ends_with_newline = self._ends_with_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        if self._ends_with_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._ends_with_cr = False
        if b"\r" in chunk:
            self._ends_with_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        elif chunk:
            self._ends_with_cr = False
        if not chunk:
            return []
        if self._unread is not None and (len(self._unread) < _MOST_WORDS or _ELSE.match(self._unread)):
            self._unread += chunk
        end = chunk.rfind(b"\n\n") + 2  # after the last blank line
        if end == 1:
            end = 1 if self._ends_with_newline and chunk.startswith(b"\n") else 0
        if end == 0:
            self._keep(chunk)
            return []
        events = self._opened() + chunk[:end] if self._open else chunk[:end]
        self._keep(chunk[end:])
        return self._payloads(events)

    def flush(self) -> list[bytes]:
        """The last event, when the stream ended without the blank line after it."""
        payloads = self._payloads(self._opened() + b"\n\n")
        if self._unread is None or not _ELSE.match(self._unread):
            return payloads
        return _documents(bytes(self._unread).removeprefix(_BOM))

    def words(self) -> str:
        """Return the first words of what came instead of events and JSON, if such came."""
        lines = bytes(self._unread or b"")[:_MOST_WORDS].split(b"\n")
        return b" ".join(line for line in lines if not _FIELD.match(line)).decode(errors="replace")

    def names(self) -> list[bytes]:
        """The names of the events whose payloads came last, empty where they have none."""
        return [name for name, _ in _read_lines(self._last)]

    def _keep(self, rest: bytes) -> None:
        if rest:
            self._open.append(rest)
            self.pending += len(rest)
        self._ends_with_newline = rest.endswith(b"\n")

    def _opened(self) -> bytes:
        kept = b"".join(self._open)
        self._open.clear()
        self.pending = 0
        return kept

    def _payloads(self, events: bytes) -> list[bytes]:
        if self._at_start:
            self._at_start = False
            events = events.removeprefix(_BOM)
        self._last = events
        payloads: list[bytes] = _USUAL_EVENT.findall(events)
        # Each match holds three newlines: an equal count means that nothing lies between the matches.
        if len(payloads) * 3 != events.count(b"\n"):
            payloads = [payload for _, payload in _read_lines(events)]
        if payloads:
            self._unread = None
        return payloads


def _read_lines(events: bytes) -> list[tuple[bytes, bytes]]:
    """Names and payloads by the specification: comments, several `data` lines, fields without a space."""
    payloads: list[tuple[bytes, bytes]] = []
    name, data = b"", list[bytes]()
    for line in events.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif line.startswith(b"event:"):
            name = line[6:].strip()
        elif not line:
            payload = b"\n".join(data)
            if payload and payload != _DONE:
                payloads.append((name, payload))
            name, data = b"", []
    return payloads


def _documents(text: bytes) -> list[bytes]:
    """What came instead of a stream: a web page, a JSON document, or the lines that are one each."""
    if text.lstrip().startswith(b"<") or _is_json(text):
        return [text]
    return list(takewhile(_is_json, filter(bytes.strip, text.split(b"\n"))))


def _is_json(line: bytes) -> bool:
    try:
        decode_json(line)
    except ValueError:
        return False
    return True
