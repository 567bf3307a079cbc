"""The stop button, whatever the cell waits for: it ends without a traceback, and keeps what was said."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator

import pytest

from tests.end_to_end.kernel import Kernel, markdown, outputs, state
from tests.responses.wire import CREATED, HANG, Part, Wire, completed, delta, message, plain, stream

HEAD = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + CREATED
WORD = delta("word ")

# The last piece of an answer that does not end by itself comes again and again.
WAITS: dict[str, tuple[list[Part], str]] = {
    "for a first byte": ([HANG], ""),
    "for a first event": ([HEAD, HANG], ""),
    "for the next word": ([HEAD, WORD, HANG], "word"),
    "for the end of a word": ([HEAD, WORD, delta("never")[:20], HANG], "word"),
    "for an end of the words": ([HEAD, WORD], "word word"),
    "for an end of comments": ([HEAD, WORD, b": keep-alive\n\n"], "word"),
    "for another try": (plain(429, {"error": {"message": "too fast"}}, retry_after="50"), ""),
}


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()


@pytest.mark.parametrize("before", ["", "%autoawait off"], ids=["async", "blocking"])
@pytest.mark.parametrize(("waits", "said"), WAITS.values(), ids=WAITS)
def test_a_stop_ends_the_cell(kernel: Kernel, wire: Wire, waits: list[Part], said: str, before: str) -> None:
    kernel.execute(f"%load_ext codex_magic\n%config CodexMagics.provider = {wire.url!r}")
    kernel.execute(before)
    kernel.execute("%config CodexMagics.model = 'm'")
    asked = threading.Event()

    def answer(seen: object) -> Iterable[Part]:
        asked.set()
        endless = isinstance(waits[-1], bytes) and waits[0] is HEAD
        return itertools.chain(waits, itertools.repeat(waits[-1])) if endless else waits

    wire.answer_by(answer)
    request = kernel.send("%%codex\nhello")
    seen = []
    for each in kernel.messages(request):
        seen.append(each)
        if each["msg_type"] == "execute_input" and not said:
            assert asked.wait(30)
            kernel.interrupt()
        elif said and said in str(each["content"].get("data")):
            kernel.interrupt()
            said = ""
    found = outputs(seen)
    assert [output["output_type"] for output in found] == ["display_data"]
    assert state(found) == "interrupted"
    wire.answer_by(lambda seen: stream(CREATED, message("Here."), completed()))
    assert "Here." in markdown(kernel.execute("%%codex\nagain"))
