"""What is written past Python's streams, to the file descriptors 1 and 2: by processes that code starts, and by C.

ipykernel shows it to the user, who sees it here as well. A process that was started earlier keeps its own.
"""

from __future__ import annotations

import codecs
import os
import selectors
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

DRAIN_SECONDS = 2.0
"""Until what has been written by the end of the code is taken in, on a busy machine."""

READ_BYTES = 65_536

STREAMS = (("stdout", 1), ("stderr", 2))

Take = Callable[[str, str], bool]
"""Takes a piece in by the stream's name; returns whether the user sees it too."""


@dataclass
class _Pipe:
    """In the place of one file descriptor. `stream`: ipykernel's, `terminal`: where that descriptor led before."""

    name: str
    number: int
    stream: Any
    terminal: int
    saved: int
    end: int
    decoder: codecs.IncrementalDecoder


@contextmanager
def taken(streams: tuple[Any, Any], take: Take) -> Iterator[bool]:
    """Hand what is written to the descriptors to `take`, and show it; yields whether that can be done here.

    It can where the kernel's own `streams` for stdout and stderr show it, and are no descriptors themselves.
    """
    if not all(map(_shows_descriptor, streams)):
        yield False
        return
    reader = _Reader(streams, take)
    try:
        yield True
    finally:
        reader.close()


def _shows_descriptor(stream: Any) -> bool:
    """Whether it is a stream of ipykernel that shows what is written to its descriptor."""
    module = sys.modules.get("ipykernel.iostream")
    if module is None or os.name != "posix" or not isinstance(stream, module.OutStream):
        return False
    with suppress(OSError):
        return int(stream.fileno()) > 2  # what it has saved of the descriptor that it has taken
    return False


class _Reader:
    """Reads pipes in a thread, which goes on until the last process that writes to them has ended."""

    def __init__(self, streams: tuple[Any, Any], take: Take) -> None:
        self._take = take
        self._selector = selectors.DefaultSelector()
        self._wake = os.pipe()
        self._is_drained = threading.Event()
        self._selector.register(self._wake[0], selectors.EVENT_READ)
        self._pipes = [
            _opened(name, number, stream) for (name, number), stream in zip(STREAMS, streams, strict=True)
        ]
        for pipe in self._pipes:
            self._selector.register(pipe.end, selectors.EVENT_READ, pipe)
        threading.Thread(target=self._read, name="codex_magic output", daemon=True).start()

    def close(self) -> None:
        """Give the descriptors back, and wait until what was written before is taken in."""
        for pipe in self._pipes:
            if _is_pipe_of(pipe):  # else the code has put something else there, which stays
                os.dup2(pipe.saved, pipe.number)
            os.close(pipe.saved)
        os.write(self._wake[1], b"\0")
        self._is_drained.wait(DRAIN_SECONDS)
        os.close(self._wake[1])

    def _read(self) -> None:
        while self._selector.get_map():
            ready = [key for key, _ in self._selector.select()]
            for key in ready:
                if key.data is not None:
                    self._pass_on(key.data)
            if len(ready) == 1 and ready[0].data is None and not self._selector_has_more():
                self._is_drained.set()
                self._selector.unregister(self._wake[0])
                os.close(self._wake[0])
        self._selector.close()

    def _selector_has_more(self) -> bool:
        return any(key.data is not None for key, _ in self._selector.select(0))

    def _pass_on(self, pipe: _Pipe) -> None:
        data = os.read(pipe.end, READ_BYTES)
        text = pipe.decoder.decode(data, final=not data)
        if not data:
            self._selector.unregister(pipe.end)
            os.close(pipe.end)
        if text and self._take(pipe.name, text):
            pipe.stream.write(text)
            with suppress(OSError):
                os.write(pipe.terminal, data)  # as ipykernel does: the server's log


def _opened(name: str, number: int, stream: Any) -> _Pipe:
    """Put a new pipe in the place of a descriptor."""
    end, entry = os.pipe()
    saved = os.dup(number)
    os.dup2(entry, number)
    os.close(entry)
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return _Pipe(name, number, stream, stream.fileno(), saved, end, decoder)


def _is_pipe_of(pipe: _Pipe) -> bool:
    """Whether the descriptor still is the other end of that pipe."""
    with suppress(OSError):
        here, there = os.fstat(pipe.number), os.fstat(pipe.end)
        return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    return False
