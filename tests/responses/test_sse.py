"""The framing of server-sent events: every line end, every split."""

from __future__ import annotations

import pytest

from codex_magic.responses.sse import SSEDecoder

A, B = b'{"type":"a"}', b'{"type":"b"}'

CASES = {
    "usual": (b"event: a\ndata: %s\n\nevent: b\ndata: %s\n\n" % (A, B), [A, B]),
    "crlf": (b"event: a\r\ndata: %s\r\n\r\nevent: b\r\ndata: %s\r\n\r\n" % (A, B), [A, B]),
    "cr": (b"event: a\rdata: %s\r\revent: b\rdata: %s\r\r" % (A, B), [A, B]),
    "mixed ends": (b"data: %s\r\n\ndata: %s\n\r" % (A, B), [A, B]),
    "no event line": (b"data: %s\n\ndata: %s\n\n" % (A, B), [A, B]),
    "no space": (b"data:%s\n\n" % A, [A]),
    "one space only": (b"event: a\ndata:  %s\n\n" % A, [b" " + A]),
    "several data lines": (b'data: {"type":\ndata: "a"}\n\n', [b'{"type":\n"a"}']),
    "comments": (b": hello\n\nevent: a\n: inside\ndata: %s\n\n: bye\n\n" % A, [A]),
    "other fields": (b"id: 1\nretry: 5\nevent: a\ndata: %s\nfoo\n\n" % A, [A]),
    "data before event": (b"data: %s\nevent: a\n\n" % A, [A]),
    "looks usual inside": (b"data: 1event: a\ndata: %s\n\n" % A, [b"1event: a\n" + A]),
    "done": (b"data: %s\n\ndata: [DONE]\n\n" % A, [A]),
    "empty data": (b"data\n\ndata:\n\ndata: %s\n\n" % A, [A]),
    "byte order mark": (b"\xef\xbb\xbfevent: a\ndata: %s\n\n" % A, [A]),
    "blank lines first": (b"\n\n\ndata: %s\n\n\n\n" % A, [A]),
    "separators of Unicode": ("data: \u2028\u2029\x85\n\n".encode(), ["\u2028\u2029\x85".encode()]),
    "no blank line at the end": (b"event: a\ndata: %s\n\nevent: b\ndata: %s" % (A, B), [A, B]),
    "crlf, no end": (b"data: %s\r\n\r\ndata: %s\r\n" % (A, B), [A, B]),
    "nothing": (b"", []),
}


def decode(*chunks: bytes) -> list[bytes]:
    decoder = SSEDecoder()
    found = [payload for chunk in chunks for payload in decoder.feed(chunk)]
    return found + decoder.flush()


@pytest.mark.parametrize("case", CASES)
def test_payloads(case: str) -> None:
    text, payloads = CASES[case]
    assert decode(text) == payloads


@pytest.mark.parametrize("case", CASES)
def test_a_split_anywhere_changes_nothing(case: str) -> None:
    text, payloads = CASES[case]
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            assert decode(text[:first], text[first:second], text[second:]) == payloads


@pytest.mark.parametrize("case", CASES)
def test_byte_by_byte(case: str) -> None:
    text, payloads = CASES[case]
    assert decode(*(text[i : i + 1] for i in range(len(text)))) == payloads


def test_an_event_is_given_as_soon_as_it_is_complete() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: 1\r") == []
    assert decoder.feed(b"\n\r") == [b"1"]
    assert decoder.feed(b"\ndata: 2\n\n") == [b"2"]


@pytest.mark.parametrize("size", [1, 1000, 65536])
def test_a_large_event_costs_as_much_as_its_bytes(size: int) -> None:
    """3 MB in pieces of any size; looking again at what is held would outlast the test's time limit."""
    text = b"data: {%s}\n\n" % (b"x" * 3_000_000)
    assert len(decode(*(text[i : i + size] for i in range(0, len(text), size)))[0]) == 3_000_002


def test_many_short_lines_of_one_event() -> None:
    assert decode(*[b"data: x\n"] * 50_000) == [b"\n".join([b"x"] * 50_000)]
