"""Many answers at the same time, in one process: is each whole, and how late does a piece of text get there?

A server process sends the deltas of every stream on a schedule, each holding the moment at which it was
written, on the clock that the processes of a machine share. A client's delay ends when its code has the
event. A reader of bare sockets, which only cuts lines, is measured before each: what its 99th percentile
shows is the machine's own, and the rest is what a client adds.

How many deltas a second the machine can take is measured first: as many as cost a reader of bare sockets a
fifth of a core, 50 of each stream at most. What a client adds is counted in the time between two of them.
"""

from __future__ import annotations

import asyncio
import functools
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
"""At most."""
CORES = 0.2
"""What bare sockets may cost, of one core."""
SECONDS = 5
LATE_BAR = 2.5
CPU_BAR = 5
ROUNDS = 3
DELTA = "response.output_text.delta"

Delays = list[float]
"""Seconds from the server's write to the client's code, one for each delta."""
Run = Callable[[str], "list[tuple[str, Delays]]"]
"""All streams from a base URL: the text and the delays of each."""


# The server ----------------------------------------------------------------------------------------


async def serve(per_second: int) -> None:
    """Until killed; the first line of the output is the port."""
    answer = functools.partial(_answer, per_second)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2 * STREAMS)
    print(server.sockets[0].getsockname()[1], flush=True)
    gc.freeze()
    async with server:
        await server.serve_forever()


async def _answer(per_second: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    number = int(json.loads(await reader.readexactly(length))["input"][0]["content"][0]["text"])
    response = {"id": f"resp_{number}", "object": "response", "created_at": 1, "model": "m", "output": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    _send(writer, "response.created", response=response | {"status": "in_progress"})
    _send(writer, "response.output_item.added", output_index=0, item=item | {"content": []})
    start = time.monotonic() + 1 + number / STREAMS / per_second
    text = ""
    for at in range(SECONDS * per_second):
        await asyncio.sleep(start + at / per_second - time.monotonic())
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
                question = [{"role": "user", "content": [{"type": "input_text", "text": str(number)}]}]
                async for event in await client.responses.create(model="m", input=question, stream=True):
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
            question = [{"role": "user", "content": [{"type": "input_text", "text": str(number)}]}]
            for event in client.responses.create(model="m", input=question, stream=True):
                if event.type == DELTA:
                    pieces.append(event.delta)
                    delays.append(late(event.delta))
            return "".join(pieces), delays

        return list(pool.map(read, range(STREAMS)))


async def _together(read: Callable[[int], Any]) -> list[tuple[str, Delays]]:
    return list(await asyncio.gather(*map(read, range(STREAMS))))


COMPARED: tuple[Run, ...] = (ours_async, ours)
BESIDE: tuple[Run, ...] = (openai_python_async, openai_python)
CLIENTS = {client.__name__: client for client in (bare, *COMPARED, *BESIDE)}


def measure(name: str, url: str, per_second: int) -> None:
    """In a process of its own: prints how many streams came whole, and the delays at some percentiles."""
    cpu = time.process_time()
    read = CLIENTS[name](url)
    cpu = time.process_time() - cpu
    delays = sorted(chain.from_iterable(delays for _, delays in read))
    whole = sum(_is_whole(number, text, SECONDS * per_second) for number, (text, _) in enumerate(read))
    found = {percent: delays[len(delays) * percent // 100] for percent in (50, 99)}
    print(json.dumps([whole, found[50], found[99], delays[-1], cpu]))


def _is_whole(number: int, text: str, deltas: int) -> bool:
    pieces = [piece.partition("@")[0] for piece in text.split()]
    return pieces == [f"{number}.{at}" for at in range(deltas)]


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
        cores = self.cpu / SECONDS
        late = (self.median, self.late, self.worst)
        return "/".join(f"{each * MS:.0f}" for each in late) + f" ms median/p99/worst, {cores:.2f} cores"


def main() -> None:
    per_second = bearable()
    for client in COMPARED:
        pairs = [(run("bare", per_second), run(client.__name__, per_second)) for _ in range(ROUNDS)]
        for found in judged(client.__name__, per_second, pairs):
            print(json.dumps(found), flush=True)
    for client in BESIDE:
        print(json.dumps(beside(client.__name__, per_second)), flush=True)


def bearable() -> int:
    cores = run("bare", PER_SECOND).cpu / SECONDS
    return max(1, min(PER_SECOND, int(PER_SECOND * CORES / cores)))


def judged(name: str, per_second: int, pairs: list[tuple[Measured, Measured]]) -> Iterator[Row]:
    """Ours, each time after bare sockets."""
    what = f"{STREAMS} streams at {per_second} deltas/s: {name}"
    whole = min(mine.whole for _, mine in pairs)
    yield row(f"{what}, whole", f"all {STREAMS}", str(whole), whole == STREAMS)
    late = statistics.median(mine.late - least.late for least, mine in pairs) * per_second
    least, mine = pairs[0]
    yield row(
        f"{what}, added at p99",
        f"<= {LATE_BAR}x the time between two",
        f"{late:.2f}x ({mine}; {least})",
        late <= LATE_BAR,
    )
    cpu = statistics.median(mine.cpu / least.cpu for least, mine in pairs)
    yield row(f"{what}, CPU", f"<= {CPU_BAR}x bare sockets", f"{cpu:.2f}x", cpu <= CPU_BAR)


def beside(name: str, per_second: int) -> Row:
    what = f"{STREAMS} streams at {per_second} deltas/s: {name}"
    try:
        found = run(name, per_second)
    except NoAnswer as failure:
        return shown(what, str(failure))
    return shown(what, f"{found.whole} whole, {found}")


def run(name: str, per_second: int) -> Measured:
    command = [sys.executable, "-m", "tests.benchmarks.concurrent", "serve", str(per_second)]
    with group(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        return Measured(*alone("concurrent", name, url, str(per_second)))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", per_second]:
            asyncio.run(serve(int(per_second)))
        case [name, url, per_second]:
            measure(name, url, int(per_second))
        case _:
            main()
