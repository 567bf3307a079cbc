"""A server that says exactly the bytes it is told to, over real sockets that really close."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Act(Enum):
    DROP = "close the connection here"
    HANG = "say nothing more until the client leaves"


DROP, HANG = Act.DROP, Act.HANG
Part = bytes | Act
Answer = list[Part]


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """Gives its `answers` in order; the last one again and again."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Seen] = []
        self.connections = 0
        self.left = threading.Event()
        """A client went away from an answer that hangs."""
        self._answers: list[Answer] = []
        self._choose: Callable[[Seen], Iterable[Part]] | None = None
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        port = self._listener.getsockname()[1]
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    def answer(self, *answers: Answer) -> None:
        self._answers = list(answers)

    def answer_by(self, choose: Callable[[Seen], Iterable[Part]]) -> None:
        """Let `choose` say what each request is answered."""
        self._choose = choose

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):  # the client was faster
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
            connection.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # each piece at once
            self.connections += 1
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            self._open.append(connection)
            with connection, connection.makefile("rb") as lines:
                while (seen := _read_request(lines)) is not None:
                    self.requests.append(seen)
                    if not self._say(connection, seen):
                        return
        except OSError:
            return  # the client left, or does not trust us

    def _say(self, connection: socket.socket, seen: Seen) -> bool:
        """Whether the connection goes on."""
        for part in self._choose(seen) if self._choose else self._next():
            if part is DROP:
                return False
            if part is HANG:
                with suppress(ConnectionError):  # it may leave with a reset
                    while connection.recv(1):
                        pass
                self.left.set()
                return False
            assert isinstance(part, bytes)
            connection.sendall(part)
        return True

    def _next(self) -> Answer:
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def _read_request(lines: Any) -> Seen | None:
    start = lines.readline().decode().split()
    if not start:
        return None
    headers = {}
    while line := lines.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = lines.read(int(headers.get("content-length", 0)))
    return Seen(start[0], start[1], headers, body)


def plain(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> Answer:
    """A whole answer; header names with `_` for `-`."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return [_head(status, {**headers, "content-length": str(len(text))}), text]


def stream(*pieces: Part, **headers: str) -> Answer:
    """A 200 without Content-Type, each piece in a chunk of its own; ended unless an act ends it."""
    parts: Answer = [_head(200, {**headers, "transfer-encoding": "chunked"})]
    parts += [b"%x\r\n%s\r\n" % (len(p), p) if isinstance(p, bytes) else p for p in pieces if p != b""]
    return [*parts, b"0\r\n\r\n"]


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def event(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


CREATED = event("response.created", response={"id": "resp_1", "model": "m", "status": "in_progress"})


def delta(text: str) -> bytes:
    return event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=text)


def message(text: str) -> bytes:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return event("response.output_item.done", output_index=0, item=item)


def completed(**fields: Any) -> bytes:
    return event(
        "response.completed", response={"id": "resp_1", "status": "completed", "output": []} | fields
    )


def failed(code: str, text: str) -> bytes:
    error = {"code": code, "message": text}
    return event("response.failed", response={"id": "resp_1", "status": "failed", "error": error})


def good(text: str = "Hello") -> Iterable[bytes]:
    return CREATED, delta(text), message(text), completed()
