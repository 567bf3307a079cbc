"""How soon the service knows that nobody wants an answer any more.

A server reads what the client sends while its answer goes on without an end; the time runs from the call of
`abort()` to the end of the client's bytes, on one clock. For streams that are being read and for one
whose reader is busy elsewhere. Before each, a bare socket is shut down beside a thread that reads from it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import SimpleQueue

from codex_magic.protocol.errors import ResponseAborted
from codex_magic.responses.client import AsyncClient, Client
from codex_magic.responses.provider import custom
from codex_magic.responses.streaming import ResponseStream
from tests.benchmarks.measuring import ratio

TIMES = 50
BAR = 10
"""One that ends with the next piece of the answer needs a hundred times as long."""

Pair = tuple[float, float]
"""Seconds until the server saw the end: of our stream, and of a bare socket."""

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
DELTA = b'data: {"type":"response.output_text.delta","delta":"word "}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(DELTA), DELTA)


class Server:
    """Answers without an end, 50 deltas a second; `ends` are the moments at which clients left."""

    def __init__(self) -> None:
        self.ends: SimpleQueue[float] = SimpleQueue()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self.address[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.sendall(HEAD)
            threading.Thread(target=self._listen, args=[connection], daemon=True).start()
            threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _listen(self, connection: socket.socket) -> None:
        try:
            while connection.recv(65_536):
                pass
        except ConnectionError:
            pass  # a reset is an end too
        self.ends.put(time.perf_counter())

    def _talk(self, connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(CHUNK)
                time.sleep(0.02)
        except OSError:
            connection.close()


def bare(server: Server) -> float:
    with socket.create_connection(server.address) as connection:
        begun = threading.Event()

        def read() -> None:
            with suppress(ConnectionError):
                while connection.recv(65_536):
                    begun.set()

        reader = threading.Thread(target=read)
        reader.start()
        begun.wait()
        seconds = _seconds(server, lambda: connection.shutdown(socket.SHUT_RDWR))
        reader.join()
    return seconds


def reading(server: Server) -> Iterator[Pair]:
    with Client(custom(server.url)) as client:
        for _ in range(TIMES):
            stream = client.responses.stream("hi", model="m")
            begun = threading.Event()
            reader = threading.Thread(target=_read, args=[stream, begun])
            reader.start()
            begun.wait()
            seconds = _seconds(server, stream.abort)
            reader.join()
            yield seconds, bare(server)


def _read(stream: ResponseStream, begun: threading.Event) -> None:
    try:
        for _ in stream:
            begun.set()
    except ResponseAborted:
        pass


def idle(server: Server) -> Iterator[Pair]:
    with Client(custom(server.url)) as client:
        for _ in range(TIMES):
            stream = client.responses.create("hi", model="m", stream=True)
            yield _seconds(server, stream.abort), bare(server)


def asynchronous(server: Server) -> Iterator[Pair]:
    async def main() -> list[Pair]:
        found = []
        async with AsyncClient(custom(server.url)) as client:
            for _ in range(TIMES):
                stream = await client.responses.create("hi", model="m", stream=True)
                await anext(stream)
                task = asyncio.create_task(stream.get_final_response())
                await asyncio.sleep(0)
                seconds = await asyncio.to_thread(_seconds, server, stream.abort)
                await asyncio.gather(task, return_exceptions=True)
                found.append((seconds, bare(server)))
        return found

    yield from asyncio.run(main())


def _seconds(server: Server, abort: Callable[[], None]) -> float:
    begun = time.perf_counter()
    abort()
    return server.ends.get(timeout=10) - begun


if __name__ == "__main__":
    server = Server()
    for what, measure in (("being read", reading), ("not being read", idle), ("asyncio", asynchronous)):
        mine, bases = zip(*measure(server), strict=True)
        judged = ratio(f"abort() -> socket closed, {what}", "a bare socket", BAR, mine, bases)
        print(json.dumps(judged), flush=True)
