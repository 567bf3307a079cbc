"""A server that repeats the key it was sent, wherever a server has words."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_type_hints
from urllib.parse import quote

from codex_magic.responses.events import EVENT_TYPES

KEY = "gw.4kf93-Qx82Lm_vT6zRb1.W0y7"
"""Of no known shape."""

PIECE = 9
"""Characters of the key that in a row are too many to be seen."""


def shows(text: str) -> bool:
    """Whether some of the key can be read in the text, as it is or encoded."""
    lowered = text.lower()
    spelled = (KEY, quote(KEY, safe=""), json.dumps(KEY)[1:-1], KEY.replace(".", "%2E"))
    pieces = {each[at : at + PIECE].lower() for each in spelled for at in range(len(each) - PIECE + 1)}
    for skipped in range(3):
        encoded = base64.b64encode(bytes(skipped) + KEY.encode()).decode()[4:-4]
        pieces |= {encoded[at : at + 16].lower() for at in range(len(encoded) - 15)}
    return any(piece in lowered for piece in pieces)


SPELLINGS: tuple[str, ...] = (
    KEY,
    f"Incorrect API key: {KEY}. See the docs",
    f"Bearer {KEY}",
    KEY.replace(".", "%2E"),
    KEY.replace(".", " . "),
    KEY.replace(".", "\n.\n"),
    base64.b64encode(f"Bearer {KEY}".encode()).decode(),
    base64.b64encode(f":{KEY}".encode()).decode(),
    json.dumps({"authorization": KEY}),
    f"https://host/v1?api-key={KEY}",
    f"{KEY[:14]}...",
)


def sse(*events: Mapping[str, Any]) -> bytes:
    return b"".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode() for each in events)


def created(**more: Any) -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", **more}}


def completed(**more: Any) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", **more}}


def message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    item = {"type": "message", "id": "msg_1", "role": "assistant", "content": content}
    return {"type": "response.output_item.done", "output_index": 0, "item": item}


def deltas(text: str, size: int) -> list[dict[str, Any]]:
    about = {"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "content_index": 0}
    return [{**about, "delta": text[at : at + size]} for at in range(0, len(text), size)]


def events_with(value: str) -> Iterator[dict[str, Any]]:
    """Every known event with the value in every field of it, as far as the field can hold it."""
    nested = {"id": value, "type": value, value: value, "deep": [{"text": value}], "status": value}
    for name, kind in EVENT_TYPES.items():
        for field, hint in get_type_hints(kind).items():
            words = str(hint)
            if field == "type" or field.startswith("_"):
                continue
            if "dict" in words:
                yield {"type": name, field: nested}
            if "str" in words or "Any" in words:
                yield {"type": name, field: value}
            if "list" in words:
                yield {"type": name, field: [nested]}
    yield {"type": "response.unheard_of", "text": value}
    yield {"type": value, "text": value}
    for type_ in ("message", "reasoning", "function_call", "web_search_call", "unheard_of"):
        item = {**nested, "type": type_, "content": [{"type": "output_text", "text": value}], "name": value}
        yield {"type": "response.output_item.done", "output_index": 0, "item": item}


class Echo:
    """`answer`: status, headers and body of the next answers."""

    def __init__(self) -> None:
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")
        self.keys: list[str | None] = []
        self.url = ""


@contextmanager
def echoing() -> Iterator[Echo]:
    echo = Echo()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            echo.keys.append(self.headers.get("authorization"))
            status, headers, body = echo.answer
            self.send_response(status, headers.pop(":reason", None) if ":reason" in headers else None)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # http.server's names

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    echo.url = f"http://127.0.0.1:{server.server_port}/v1"
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield echo
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


HEADERS = {
    "x-request-id": KEY,
    "openai-model": KEY,
    "x-codex-turn-state": KEY,
    "x-codex-plan-type": KEY,
    "x-codex-primary-used-percent": "5",
    "x-models-etag": KEY,
    "retry-after": KEY,
    "location": f"https://elsewhere/{KEY}",
    "x-error-json": base64.b64encode(json.dumps({"error": {"message": KEY, "code": KEY}}).encode()).decode(),
    "x-openai-authorization-error": KEY,
}

Refusal = tuple[int, dict[str, str], bytes]


def refusals(value: str) -> Iterator[Refusal]:
    """Answers with an error status that repeat the value."""
    error = {"message": value, "type": value, "code": value, "param": value, "plan_type": value}
    bodies: tuple[Any, ...] = (
        {"error": error},
        {"error": {**error, "type": "usage_limit_reached"}},
        {"error": value},
        {"detail": value},
        {"detail": [{"loc": [value], "msg": value}]},
        value,
        [value],
    )
    for status in (400, 401, 403, 404, 418, 429, 500, 503):
        for body in bodies:
            yield status, {}, json.dumps(body).encode()
        yield status, {}, f"plain words about {value}".encode()
        yield status, {}, b""


Ask = Callable[[], Any]
