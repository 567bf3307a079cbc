"""Many answers at the same time, in one process: is each whole, and how late does a piece of text get there?

A server process sends the deltas of every stream on a schedule, each holding the moment at which it was
written, on the clock that the processes of a machine share. A client's delay ends when its code has the
event. Its CPU is judged beside that of a reader of bare sockets, which only cuts lines. How late it is depends
on what else the machine does as soon as that leaves it too little, so its lateness is judged beside
openai-python's.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tests.benchmarks.measuring import MS, NoAnswer, Row, alone, group, row, shown

STREAMS = 200
PER_SECOND = 50
DELTAS = 250
"""Of each stream: five seconds."""
LATE_BAR = 0.25
CPU_BAR = 6
ROUNDS = 3
DELTA = "response.output_text.delta"

Delays = list[float]
"""Seconds from the server's write to the client's code, one for each delta."""
Run = Callable[[str], "list[tuple[str, Delays]]"]
"""All streams from a base URL: the text and the delays of each."""


# The server ----------------------------------------------------------------------------------------


async def serve() -> None:
    """Until killed; the first line of the output is the port."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=2 * STREAMS)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    async with server:
        await server.serve_forever()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    number = int(json.loads(await reader.readexactly(length))["input"][0]["content"][0]["text"])
    response = {"id": f"resp_{number}", "object": "response", "created_at": 1, "model": "m", "output": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    _send(writer, "response.created", response=response | {"status": "in_progress"})
    _send(writer, "response.output_item.added", output_index=0, item=item | {"content": []})
    start = time.monotonic() + 1 + number / STREAMS / PER_SECOND
    text = ""
    for at in range(DELTAS):
        await asyncio.sleep(start + at / PER_SECOND - time.monotonic())
        piece = f"{number}.{at}@{time.monotonic():.6f} "
        text += piece
        _send(writer, DELTA, **where, delta=piece, obfuscation="x8KqZ0bT")
    content = [{"type": "output_text", "text": text, "annotations": []}]
    _send(writer, "response.output_item.done", output_index=0, item=item | {"content": content})
    _send(writer, "response.completed", response=response | {"status": "completed"})
    writer.write(b"0\r\n\r\n")
    with suppress(ConnectionError):
        await reader.read()


def _send(writer: asyncio.StreamWriter, kind: str, **fields: Any) -> None:
    data = json.dumps({"type": kind, "sequence_number": 0, **fields}, separators=(",", ":"))
    event = f"event: {kind}\ndata: {data}\n\n".encode()
    writer.write(b"%x\r\n%s\r\n" % (len(event), event))


# The clients ---------------------------------------------------------------------------------------


def late(delta: str) -> float:
    return time.monotonic() - float(delta.partition("@")[2])


def bare(url: str) -> list[tuple[str, Delays]]:
    """Bare sockets: a line that holds a delta is cut at its quotes."""
    mark = b'"delta":"'

    async def read(number: int) -> tuple[str, Delays]:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        body = json.dumps({"input": [{"content": [{"text": str(number)}]}]}).encode()
        writer.write(b"POST / HTTP/1.1\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        pieces, delays = [], []
        while b'"response.completed"' not in (line := await reader.readline()):
            if mark in line:
                pieces.append(line.partition(mark)[2].partition(b'"')[0].decode())
                delays.append(late(pieces[-1]))
        writer.close()
        return "".join(pieces), delays

    return asyncio.run(_together(read))


def ours_async(url: str) -> list[tuple[str, Delays]]:
    from codex_magic.responses.client import AsyncClient
    from codex_magic.responses.events import OutputTextDelta
    from codex_magic.responses.provider import custom

    async def main() -> list[tuple[str, Delays]]:
        async with AsyncClient(custom(url)) as client:

            async def read(number: int) -> tuple[str, Delays]:
                delays = []
                async with client.responses.stream(str(number), model="m") as stream:
                    async for event in stream:
                        if isinstance(event, OutputTextDelta):
                            delays.append(late(event.delta))
                    return (await stream.get_final_response()).output_text, delays

            return await _together(read)

    return asyncio.run(main())


def ours(url: str) -> list[tuple[str, Delays]]:
    """A thread for each stream."""
    from codex_magic.responses.client import Client
    from codex_magic.responses.events import OutputTextDelta
    from codex_magic.responses.provider import custom

    with Client(custom(url)) as client, ThreadPoolExecutor(STREAMS) as pool:

        def read(number: int) -> tuple[str, Delays]:
            delays = []
            with client.responses.stream(str(number), model="m") as stream:
                for event in stream:
                    if isinstance(event, OutputTextDelta):
                        delays.append(late(event.delta))
                return stream.get_final_response().output_text, delays

        return list(pool.map(read, range(STREAMS)))


def openai_python_async(url: str) -> list[tuple[str, Delays]]:
    import openai

    async def main() -> list[tuple[str, Delays]]:
        async with openai.AsyncOpenAI(base_url=url, api_key="k") as client:

            async def read(number: int) -> tuple[str, Delays]:
                pieces, delays = [], []
                question: Any = [{"role": "user", "content": [{"type": "input_text", "text": str(number)}]}]
                stream: Any = await client.responses.create(model="m", input=question, stream=True)
                async for event in stream:
                    if event.type == DELTA:
                        pieces.append(event.delta)
                        delays.append(late(event.delta))
                return "".join(pieces), delays

            return await _together(read)

    return asyncio.run(main())


def openai_python(url: str) -> list[tuple[str, Delays]]:
    """A thread for each stream."""
    import openai

    with openai.OpenAI(base_url=url, api_key="k") as client, ThreadPoolExecutor(STREAMS) as pool:

        def read(number: int) -> tuple[str, Delays]:
            pieces, delays = [], []
            question: Any = [{"role": "user", "content": [{"type": "input_text", "text": str(number)}]}]
            stream: Any = client.responses.create(model="m", input=question, stream=True)
            for event in stream:
                if event.type == DELTA:
                    pieces.append(event.delta)
                    delays.append(late(event.delta))
            return "".join(pieces), delays

        return list(pool.map(read, range(STREAMS)))


async def _together(read: Callable[[int], Any]) -> list[tuple[str, Delays]]:
    return list(await asyncio.gather(*map(read, range(STREAMS))))


PEERS: dict[Run, Run] = {ours_async: openai_python_async, ours: openai_python}
CLIENTS = {client.__name__: client for client in (bare, *PEERS, *PEERS.values())}


def measure(name: str, url: str) -> None:
    """In a process of its own: prints how many streams came whole, and the delays at some percentiles."""
    cpu = time.process_time()
    read = CLIENTS[name](url)
    cpu = time.process_time() - cpu
    delays = sorted(chain.from_iterable(delays for _, delays in read))
    whole = sum(_is_whole(number, text) for number, (text, _) in enumerate(read))
    found = {percent: delays[len(delays) * percent // 100] for percent in (50, 99)}
    print(json.dumps([whole, found[50], found[99], delays[-1], cpu]))


def _is_whole(number: int, text: str) -> bool:
    pieces = [piece.partition("@")[0] for piece in text.split()]
    return pieces == [f"{number}.{at}" for at in range(DELTAS)]


# The comparison ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    whole: int
    """Streams with every piece in its place."""
    median: float
    late: float
    """Seconds at the 99th percentile."""
    worst: float
    cpu: float

    def __str__(self) -> str:
        cores = self.cpu / (DELTAS / PER_SECOND)
        late = (self.median, self.late, self.worst)
        return "/".join(f"{each * MS:.0f}" for each in late) + f" ms median/p99/worst, {cores:.2f} cores"


def main() -> None:
    for client, peer in PEERS.items():
        for found in judged(client.__name__, peer.__name__):
            print(json.dumps(found), flush=True)


def judged(name: str, peer: str) -> Iterator[Row]:
    """Ours, each time after bare sockets, and the peer once."""
    what = f"{STREAMS} streams at {PER_SECOND} deltas/s"
    pairs = [(run("bare"), run(name)) for _ in range(ROUNDS)]
    whole = min(mine.whole for _, mine in pairs)
    yield row(f"{what}: {name}, whole", f"all {STREAMS}", str(whole), whole == STREAMS)
    cpu = statistics.median(mine.cpu / least.cpu for least, mine in pairs)
    yield row(f"{what}: {name}, CPU", f"<= {CPU_BAR}x bare sockets", f"{cpu:.2f}x", cpu <= CPU_BAR)
    least, mine = min(pairs, key=lambda pair: pair[1].late)
    late, bar = f"{what}: {name}, lateness at p99", f"<= {LATE_BAR}x {peer}"
    try:
        beside = run(peer)
    except NoAnswer as failure:
        yield shown(f"{what}: {peer}", str(failure))
        yield row(late, bar, str(mine), None)
    else:
        ratio = mine.late / beside.late
        yield shown(f"{what}: {peer}", f"{beside.whole} whole, {beside}")
        yield row(late, bar, f"{ratio:.3f}x ({mine}; bare sockets: {least})", ratio <= LATE_BAR)


def run(name: str) -> Measured:
    command = [sys.executable, "-m", "tests.benchmarks.concurrent", "serve"]
    with group(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        return Measured(*alone("concurrent", name, url))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve"]:
            asyncio.run(serve())
        case [name, url]:
            measure(name, url)
        case _:
            main()
