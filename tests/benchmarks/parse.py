"""What reading a stream costs, beside the least that it can cost.

A server process sends 20,000 `response.output_text.delta` events of some 200 bytes in 64 KB chunks. Each
client runs in a fresh process: one request to warm up, then `REQUESTS` measured ones; rounds of all clients
are interleaved, and a ratio is of the cheapest rounds: what else the machine does only adds.

The bare loop is httpx and msgspec with nothing around: `iter_raw`, split at blank lines, cut behind
`data: `, decode into a struct of `type` and `delta`, count the characters of the deltas. It knows no
other line ends, no errors, no items, no retries. Ours delivers every event typed and keeps the
response. A peer that breaks or hangs is a row.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from tests.benchmarks.measuring import NoAnswer, Row, alone, row, shown

DELTAS = 20_000
CHUNK = 65_536
REQUESTS = 5
ROUNDS = 9
PEER_ROUNDS = 2
"""The peers are shown beside; they take a hundred times as long."""
BAR = 1.25
DELTA = "response.output_text.delta"


# The server ----------------------------------------------------------------------------------------


def stream_bytes() -> bytes:
    def event(number: int, kind: str, **fields: object) -> bytes:
        data = json.dumps({"type": kind, "sequence_number": number, **fields}, separators=(",", ":"))
        return f"event: {kind}\ndata: {data}\n\n".encode()

    def delta(number: int) -> bytes:
        where = {"item_id": "msg_0a1b2c3d4e5f60718293a4b5c6d7e8f9", "output_index": 0, "content_index": 0}
        text = f" word{number % 97}"
        noise = "x8KqZ0bTfR3uWmYp"[: 1 + number % 16]
        return event(number, DELTA, **where, delta=text, logprobs=[], obfuscation=noise)

    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": []}
    return b"".join(
        [
            event(0, "response.created", response=response | {"status": "in_progress"}),
            event(1, "response.output_item.added", output_index=0, item=item),
            *map(delta, range(2, DELTAS + 2)),
            event(DELTAS + 2, "response.output_item.done", output_index=0, item=item),
            event(DELTAS + 3, "response.completed", response=response | {"status": "completed"}),
        ]
    )


def serve(listener: socket.socket) -> None:
    """One answer after another: the stream, 64 KB in each chunk of the transfer coding."""
    body = stream_bytes()
    pieces = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = head + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    missing = b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            while request := lines.readline():
                length = 0
                while (line := lines.readline().strip().lower()) != b"":
                    if line.startswith(b"content-length:"):
                        length = int(line.partition(b":")[2])
                lines.read(length)
                connection.sendall(answer if request.startswith(b"POST") else missing)


# The clients: each gives a function that does one request ------------------------------------------


class Small(msgspec.Struct):
    type: str = ""
    delta: str = ""


def bare(url: str) -> Callable[[], int]:
    http = httpx.Client()
    decode = msgspec.json.Decoder(Small).decode

    def request() -> int:
        length, rest = 0, b""
        with http.stream("POST", f"{url}/responses", json={"input": "hi"}) as answer:
            for chunk in answer.iter_raw():
                *events, rest = (rest + chunk).split(b"\n\n")
                for event in events:
                    decoded = decode(event[event.index(b"data: ") + 6 :])
                    if decoded.type == DELTA:
                        length += len(decoded.delta)
        return length

    return request


def bare_async(url: str) -> Callable[[], int]:
    loop = asyncio.new_event_loop()
    http = httpx.AsyncClient()
    decode = msgspec.json.Decoder(Small).decode

    async def request() -> int:
        length, rest = 0, b""
        async with http.stream("POST", f"{url}/responses", json={"input": "hi"}) as answer:
            async for chunk in answer.aiter_raw():
                *events, rest = (rest + chunk).split(b"\n\n")
                for event in events:
                    decoded = decode(event[event.index(b"data: ") + 6 :])
                    if decoded.type == DELTA:
                        length += len(decoded.delta)
        return length

    return lambda: loop.run_until_complete(request())


def ours(url: str) -> Callable[[], int]:
    from codex_magic.responses.client import Client
    from codex_magic.responses.events import OutputTextDelta
    from codex_magic.responses.provider import custom

    client = Client(custom(url))

    def request() -> int:
        length = 0
        with client.responses.create("hi", model="m", stream=True) as stream:
            for event in stream:
                if isinstance(event, OutputTextDelta):
                    length += len(event.delta)
        return length

    return request


def ours_async(url: str) -> Callable[[], int]:
    from codex_magic.responses.client import AsyncClient
    from codex_magic.responses.events import OutputTextDelta
    from codex_magic.responses.provider import custom

    loop = asyncio.new_event_loop()
    client = AsyncClient(custom(url))

    async def request() -> int:
        length = 0
        async with await client.responses.create("hi", model="m", stream=True) as stream:
            async for event in stream:
                if isinstance(event, OutputTextDelta):
                    length += len(event.delta)
        return length

    return lambda: loop.run_until_complete(request())


def openai_python(url: str) -> Callable[[], int]:
    import openai

    client = openai.OpenAI(base_url=url, api_key="k")

    def request() -> int:
        stream: Any = client.responses.create(model="m", input="hi", stream=True)
        return sum(len(event.delta) for event in stream if event.type == DELTA)

    return request


def codex_backend_sdk(url: str) -> Callable[[], int]:
    from codex_backend_sdk import CodexClient, _client, _codex_version
    from codex_backend_sdk.storage import TokenStore

    _client.BASE_URL = _client.WHAM_BASE_URL = _client.CHATGPT_BASE_URL = url
    _codex_version._VERSION_URL = f"{url}/latest"
    client = CodexClient(store=TokenStore("t", "r", "i", account_id="a"))

    def request() -> int:
        stream = client.responses.create(model="m", input="hi", instructions="x", stream=True)
        return sum(len(event.delta) for event in stream if event.type == DELTA)

    return request


COMPARED = (bare, ours, bare_async, ours_async)
PEERS = (codex_backend_sdk, openai_python)
CLIENTS = {client.__name__: client for client in (*COMPARED, *PEERS)}
Cost = tuple[float, float]
"""CPU and wall microseconds for each delta."""


def measure(name: str, url: str) -> None:
    """In a process of its own: prints the cost."""
    request = CLIENTS[name](url)
    expected = request()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(REQUESTS):
        assert request() == expected > DELTAS
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps([seconds * 1e6 / REQUESTS / DELTAS for seconds in (cpu, wall)]))


# The comparison ------------------------------------------------------------------------------------


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=serve, args=[listener], daemon=True)
    server.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        rounds = [{client.__name__: cost(client.__name__, url) for client in COMPARED} for _ in range(ROUNDS)]
        for name in rounds[0]:
            show(figures(name, [each[name] for each in rounds]))
        for mine, least in (("ours", "bare"), ("ours_async", "bare_async")):
            show(compared(mine, least, rounds))
        for client in PEERS:
            show(beside(client.__name__, url))
    finally:
        server.terminate()


def show(found: Row) -> None:
    print(json.dumps(found), flush=True)


def cost(name: str, url: str) -> Cost:
    cpu, wall = alone("parse", name, url)
    return cpu, wall


def figures(name: str, costs: list[Cost]) -> Row:
    cpu, wall = (statistics.median(column) for column in zip(*costs, strict=True))
    return shown(f"reading a stream: {name}", f"{cpu:.2f} µs CPU, {wall:.2f} µs wall a delta")


def compared(mine: str, least: str, rounds: list[dict[str, Cost]]) -> Row:
    cpu, least_cpu = (min(each[name][0] for each in rounds) for name in (mine, least))
    ratio = cpu / least_cpu
    return row(
        f"reading a stream, CPU: {mine}",
        f"<= {BAR}x {least}",
        f"{ratio:.2f}x ({cpu:.2f} µs; {least_cpu:.2f} µs)",
        ratio <= BAR,
    )


def beside(name: str, url: str) -> Row:
    try:
        return figures(name, [cost(name, url) for _ in range(PEER_ROUNDS)])
    except NoAnswer as failure:
        return shown(f"reading a stream: {name}", str(failure))


if __name__ == "__main__":
    if sys.argv[1:]:
        measure(*sys.argv[1:])
    else:
        main()
