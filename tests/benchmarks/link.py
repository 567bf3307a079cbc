"""A turn of many tool rounds over a slow link: with a WebSocket, and with HTTP alone.

The link is a TCP proxy between the client and the local service. Each direction carries `RATE` bytes a
second and delivers them half a round trip later; it reads without waiting for the other side, so it delays
bytes and never acknowledgements. The service has a WebSocket or refuses one; all else is the same.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codex_magic import AsyncCodex, CodexConfig, TextInput
from codex_magic.protocol.settings import Settings
from tests.benchmarks.measuring import MS, ROOT, Row, ratio, shown
from tests.service import LocalService, start

ROUND_TRIP = 0.060
RATE = 10_000_000 / 8
TOOL_ROUNDS = 20
CONTEXT = 100_000
RESULT = 1_000
"""Characters that each tool call gives."""
TURNS = 5
BAR = 0.8
THINKING = 1.0
"""Seconds to the first token of a model that is not instant."""


class Link:
    """A proxy in a thread of its own; `sent` counts the bytes of both directions, up first."""

    def __init__(self, port: int) -> None:
        self.sent = [0, 0]
        self._free = [0.0, 0.0]
        """When the last byte of each direction will have left; all connections share the link."""
        self._target = port
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        async with server:
            await server.serve_forever()

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        await asyncio.sleep(ROUND_TRIP)  # TCP's handshake
        far, forth = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._carry(near, forth, 0), self._carry(far, back, 1))

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, direction: int
    ) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        delivery = asyncio.create_task(_deliver(under_way, target))
        data = b"-"
        while data:
            try:
                data = await source.read(16_384)
            except ConnectionError:
                data = b""
            self.sent[direction] += len(data)
            begins = max(self._free[direction], time.monotonic())
            self._free[direction] = begins + len(data) / RATE
            under_way.put_nowait((self._free[direction] + ROUND_TRIP / 2, data))
        await delivery


async def _deliver(under_way: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
    while True:
        due, data = await under_way.get()
        await asyncio.sleep(due - time.monotonic())
        if not data:
            target.close()
            return
        target.write(data)


@contextmanager
def linked(*, websocket: bool) -> Iterator[tuple[LocalService, Link, Settings]]:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        start(websocket=websocket) as service,
    ):
        link = Link(int(service.url.rpartition(":")[2]))
        url = f"http://127.0.0.1:{link.port}"
        service.sign_in(Path(home) / ".codex")
        settings = Settings.from_env(
            {
                "CODEX_HOME": str(Path(home) / ".codex"),
                "CODEX_MAGIC_HOME": home,
                "CODEX_MAGIC_BASE_URL": f"{url}/backend-api/codex",
                "CODEX_MAGIC_CHATGPT_URL": f"{url}/backend-api",
                "CODEX_MAGIC_ISSUER": url,
            }
        )
        yield service, link, settings


def text() -> str:
    """Text as people and programs write it."""
    return "\n".join(path.read_text() for path in sorted((ROOT / "codex_magic").rglob("*.py")))


async def turn(codex: AsyncCodex, text: str) -> float:
    """Seconds from the question to the answer, on a connection that stands."""
    results = iter(text[at : at + RESULT] for at in range(CONTEXT, len(text), RESULT))

    def read_file(path: str) -> str:
        """Read a file."""
        return next(results)

    thread = await codex.thread_start(tools=(read_file,), model="local-large")
    await thread.run("echo: hi")
    context = TextInput(f"<source>\n{text[:CONTEXT]}\n</source>")
    question = TextInput(f'use the tool read_file {TOOL_ROUNDS} times with {{"path": "a.py"}}')
    begun = time.perf_counter()
    schema = {"type": "object", "properties": {"lines": {"type": "integer"}}}  # the answer is short
    await thread.run([context, question], output_schema=schema)
    return time.perf_counter() - begun


async def seconds(*, websocket: bool, thinking: float = 0.0, turns: int = TURNS) -> tuple[list[float], int]:
    """The times of some turns, and the bytes that one sends."""
    with linked(websocket=websocket) as (service, link, settings):
        async with AsyncCodex(CodexConfig(settings=settings)) as codex:
            before = link.sent[0]
            took = []
            for _ in range(turns):
                if thinking:
                    service.faults.next("slow_headers", times=TOOL_ROUNDS + 2, seconds=thinking)
                took.append(await turn(codex, text()))
                service.faults.clear()
            return took, (link.sent[0] - before) // turns


async def main() -> None:
    what = f"a turn of {TOOL_ROUNDS} tool rounds, {CONTEXT // 1000} KB, link of {ROUND_TRIP * MS:.0f} ms and 10 Mbit/s"
    http, plain_bytes = await seconds(websocket=False)
    socket, socket_bytes = await seconds(websocket=True)
    show(ratio(f"{what}: WebSocket", "HTTP", BAR, socket, http))
    show(shown(f"{what}: sent", f"{socket_bytes // 1000} KB by WebSocket, {plain_bytes // 1000} KB by HTTP"))
    [slow_http], _ = await seconds(websocket=False, thinking=THINKING, turns=1)
    [slow_socket], _ = await seconds(websocket=True, thinking=THINKING, turns=1)
    faster = f"HTTP takes {slow_http / slow_socket:.2f}x as long ({slow_http:.1f} s, {slow_socket:.1f} s)"
    show(shown(f"{what}, {THINKING:.0f} s to each first token", faster))


def show(found: Row) -> None:
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
