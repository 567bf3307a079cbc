"""The address on this machine to which the browser comes back after a sign-in.

Other pages can reach it too, also under a name of their own for this machine, so only what asks for it by
its own name and carries this sign-in's `state` counts; the rest is answered and forgotten. Every connection
is closed after one answer: a browser's spare connection must not keep the port.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template

from ..protocol.errors import LoginError
from .oauth import CALLBACK_PATH, Callback

HOST = "127.0.0.1"

CONNECTION_SECONDS = 5.0
"""A client that sends no whole request in this time is let go."""
CLOSING_SECONDS = 1.0
MOST_BYTES = 64 * 1024


@dataclass(frozen=True)
class Page:
    status: int
    title: str
    text: str = ""

    def encode(self) -> bytes:
        body = _HTML.substitute(title=escape(self.title), text=escape(self.text)).encode()
        head = _HEAD.format(status=self.status, reason=HTTPStatus(self.status).phrase, length=len(body))
        return head.encode() + body


SIGNED_IN = Page(200, "Signed in", "You can close this page and go back to your notebook.")
CANCELLED = Page(200, "Sign-in cancelled", "You can close this page.")
_ANOTHER = Page(400, "Not this sign-in", "This address belongs to another sign-in. Use the most recent link.")
_NOT_FOUND = Page(404, "Nothing here", "This address only receives the result of a sign-in.")
_UNREADABLE = Page(400, "Not understood", "A browser does not send this.")

_OWN_NAMES = (HOST, "localhost", "[::1]")

_OF_THE_CLI = {"host", "connection"}
"""All the headers of the CLI's own request to make way. A browser sends its name and what it accepts with whatever a
page makes it ask for, and no page can keep it from that."""

_HEAD = (
    "HTTP/1.1 {status} {reason}\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "Content-Length: {length}\r\n"
    "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\r\n"
    "Cache-Control: no-store\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "Connection: close\r\n\r\n"
)

_HTML = Template(Path(__file__).with_name("callback.html").read_text("utf-8"))
"""Its script takes the spent code out of the address bar and the history."""


class Loopback:
    """Waits for the one callback that carries its `state`. `close()` it in any case."""

    def __init__(self) -> None:
        self.port, self.state = 0, secrets.token_urlsafe(32)
        loop = asyncio.get_running_loop()
        self._arrived: asyncio.Future[Callback] = loop.create_future()
        self._outcome: asyncio.Future[Page] = loop.create_future()
        self._talking: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self, ports: Sequence[int]) -> None:
        """Listen on the first free one. Raises LoginError when none is.

        A busy port may be another program's sign-in, which is not ours to end.
        """
        for port in ports:
            with suppress(OSError):
                self._server = await asyncio.start_server(self._serve, HOST, port, limit=MOST_BYTES)
                self.port = self._server.sockets[0].getsockname()[1]
                return
        busy = f"port {' and port '.join(map(str, ports))} of this machine are in use"
        hint = "Sign in with a device code (`%codex login device`), or end the program that uses them."
        raise LoginError(f"The sign-in can't wait for the browser: {busy}.", hint=hint)

    async def callback(self) -> Callback:
        """Return what the browser brought; it then waits for `show`. Raises LoginError when asked to make way."""
        return await asyncio.shield(self._arrived)

    def deliver(self, callback: Callback) -> None:
        """End the wait for a callback, unless one has come before."""
        if not self._arrived.done():
            self._arrived.set_result(callback)

    def show(self, page: Page) -> None:
        """Answer the browser that waits."""
        if not self._outcome.done():
            self._outcome.set_result(page)

    async def close(self) -> None:
        self.show(CANCELLED)
        if self._server is not None:
            self._server.close()
        for writer in list(self._silent):
            writer.close()
        if self._talking:
            await asyncio.wait(self._talking, timeout=CLOSING_SECONDS)
        if self._arrived.done() and not self._arrived.cancelled():
            self._arrived.exception()  # nobody may have waited for it

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._talking.add(task)
        self._silent.add(writer)
        try:
            head = b""  # of what is none
            with suppress(asyncio.LimitOverrunError):
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CONNECTION_SECONDS)
            self._silent.discard(writer)
            writer.write((await self._page(head.decode("latin-1"))).encode())
            await asyncio.wait_for(writer.drain(), CONNECTION_SECONDS)
        except (OSError, EOFError, asyncio.TimeoutError):
            pass  # it left, or was too slow
        finally:
            writer.close()
            self._silent.discard(writer)
            self._talking.discard(task)

    async def _page(self, head: str) -> Page:
        start, *lines = head.split("\r\n")
        method, target, version, *_ = [*start.split(" "), "", ""]
        if start.count(" ") != 2 or not version.startswith("HTTP/1"):
            return _UNREADABLE
        fields = [line.partition(":") for line in lines]
        headers = [(name.lower(), value.strip(" \t").lower()) for name, _, value in fields if name]
        hosts = [value for name, value in headers if name == "host"]
        if hosts not in [[f"{name}:{self.port}"] for name in _OWN_NAMES]:  # none, or more than one, too
            return _NOT_FOUND
        if method != "GET":
            return replace(_NOT_FOUND, status=405)
        if target == "/cancel" and {name for name, _ in headers} <= _OF_THE_CLI:
            # The CLI asks so before it waits for a browser itself, and can't say who it is.
            if not self._arrived.done():
                taken_over = LoginError("Another program's sign-in has taken over the browser.")
                self._arrived.set_exception(taken_over)
            return CANCELLED
        if target.partition("?")[0] != CALLBACK_PATH:
            return _NOT_FOUND
        callback = Callback.parse(target)
        if not callback.answers(self.state):
            return _ANOTHER
        self.deliver(callback)
        return await asyncio.shield(self._outcome)
