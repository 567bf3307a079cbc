"""Responses over a WebSocket: many on one connection, one after the other, each able to go on from the last.

A message is answered as a POST would be; a reply other than a stream becomes an `error` event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn

import msgspec
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.routing import PathMatches
from tornado.web import Finish
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from codex_magic.local_service.accounts import Quota
from codex_magic.local_service.conversation import Body
from codex_magic.local_service.endpoints import ETAG, Endpoint, decoded
from codex_magic.local_service.faults import Reply, Step
from codex_magic.local_service.stream import SHAPES, Pace, Plan, count_usage
from codex_magic.protocol.ids import new_id
from tests.service import rules
from tests.service.recorder import RecordedRequest
from tests.service.replies import CONNECTION_LIMIT, api_error, previous_response_not_found
from tests.service.strict import StrictApiResponses, StrictCodexResponses, StrictResponses, suffer

MESSAGE = "WEBSOCKET"
"""The method under which messages are recorded."""

MOST_MESSAGE_BYTES = 256 * 1024 * 1024

_ENVELOPE = frozenset({"type", "generate", "previous_response_id"})
_LITE_KEY = "ws_request_header_x_openai_internal_codex_responses_lite"
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})


class Upgrade(PathMatches):
    """A request for a WebSocket; any other goes the usual way."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        wanted = request.headers.get("Upgrade", "").lower() == "websocket"
        return super().match(request) if wanted else None


class ResponsesSocket(WebSocketHandler, StrictResponses):
    async def prepare(self) -> None:
        self._upgraded = False
        self._running: asyncio.Task[None] | None = None
        self._active: str | None = None
        """The response that is being sent."""
        self._warming = False
        self._last: str | None = None
        """The one response that the next may name as the previous one, and all items up to its end."""
        self._items: list[dict[str, Any]] = []
        self._input: list[dict[str, Any]] = []
        await Endpoint.prepare(self)
        self._owner = self.owner()
        self._hello()

    def _hello(self) -> None:
        """The headers of the upgrade."""

    def get_compression_options(self) -> dict[str, Any]:
        return {}

    @property
    def max_message_size(self) -> int:
        return MOST_MESSAGE_BYTES

    def open(self, *args: str, **kwargs: str) -> None:
        self._upgraded = True
        self.state.sockets.add(self._break)
        self.set_nodelay(True)

    def on_close(self) -> None:
        self.gone.cancel()
        self.state.sockets.discard(self._break)
        if self._active is not None:
            self.state.recorder.add(self.state.recorder.disconnects, self.recorded)
        if self._running is not None:
            self._running.cancel()

    async def on_message(self, message: str | bytes) -> None:
        frame = decoded(message.encode() if isinstance(message, str) else message)
        kind = frame.get("type") if isinstance(frame, dict) else None
        if kind == "response.create":
            await self._create(self._record(message, frame))
        elif kind == "response.interrupt":
            self._record(message, frame)
            await self._interrupt(frame.get("response_id"))

    def _record(self, message: str | bytes, frame: dict[str, Any]) -> RecordedRequest:
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        metadata = frame.get("client_metadata")
        if isinstance(metadata, dict) and metadata.get(_LITE_KEY) == "true":
            headers[rules.LITE_HEADER] = "true"
        recorded = RecordedRequest(
            method=MESSAGE,
            path=self.request.path,
            query={},
            headers=headers,
            body=message.encode() if isinstance(message, str) else message,
            json=frame,
            at=time.monotonic(),
        )
        self.state.recorder.add(self.state.recorder.requests, recorded)
        return recorded

    # A response ------------------------------------------------------------------------------------

    async def _create(self, recorded: RecordedRequest) -> None:
        if self._active is not None:
            self.reply(api_error(400, "A response is already in progress on this connection."))
            return
        if self._running is not None:
            await asyncio.wait({self._running})
        self.recorded = recorded
        self._active = ""
        self._running = asyncio.create_task(self._run(recorded.json))

    async def _run(self, frame: dict[str, Any]) -> None:
        previous, self._last = self._last, None
        try:
            self.fault = self.state.faults.take(self.request.path)
            await suffer(self, self.fault, self.recorded)
            await self.respond(self._whole(frame, previous), self._owner)
        except (Finish, WebSocketClosedError, StreamClosedError):
            pass  # a refusal was sent, or the client went away
        finally:
            self._active = None

    def _whole(self, frame: dict[str, Any], previous: str | None) -> Body:
        """The request as it would be sent with POST."""
        body = {name: value for name, value in frame.items() if name not in _ENVELOPE}
        wanted = frame.get("previous_response_id")
        if wanted is not None and wanted != previous:
            self.refuse(previous_response_not_found(wanted))
        self._warming = frame.get("generate") is False
        given = body.get("input")
        if isinstance(given, list):
            self._input = [*(self._items if wanted is not None else []), *given]
            body["input"] = self._input
        return body | {"stream": True}

    def plan(self, body: Body, owner: str, pace: Pace) -> Plan:
        plan = super().plan(body, owner, pace)
        if not self._warming:
            return plan
        usage = count_usage(
            [],
            sent=plan.usage["input_tokens"],
            cached=plan.usage["input_tokens_details"]["cached_tokens"],
        )
        return replace(plan, items=[], usage=usage)

    async def _play(self, script: Iterable[Step], pace: Pace) -> None:
        if self.fault is not None and self.fault.kind == "binary_frame":
            await self.write_message(b"\x00\x01", binary=True)
        await self.send(script, Pace(pace.per_second, pace.delta_chars))

    async def write_now(self, data: bytes) -> None:
        if not data.endswith(b"\n\n"):
            return  # nothing, or half an event before a cut
        payload = data.partition(b"\ndata: ")[2].rstrip(b"\n")
        self._follow(msgspec.json.decode(payload))
        await self.write_message(payload)
        await asyncio.sleep(0)  # a fast client must not keep the others waiting

    def _follow(self, event: dict[str, Any]) -> None:
        if event["type"] == "response.created":
            self._active = event["response"]["id"]
            self._items = list(self._input)
        elif event["type"] == "response.output_item.done":
            self._items.append(event["item"])
        elif event["type"] in _ENDS:
            self._active = None
            if event["type"] == "response.completed":
                self._last = event["response"]["id"]

    async def _interrupt(self, response_id: str | None) -> None:
        if not response_id or response_id != self._active or self._running is None:
            error = {"code": "response_not_found", "message": "There is no such response in progress."}
            self._tell({"type": "response.interrupt.failed", "response_id": response_id, "error": error})
            return
        self._running.cancel()
        await asyncio.wait({self._running})
        ended: dict[str, Any] = {
            "id": response_id,
            "object": "response",
            "status": "incomplete",
            "incomplete_details": {"reason": "interrupted"},
            "output": [],
            "usage": None,
        }
        self._tell({"type": "response.interrupt.accepted", "response_id": response_id})
        self._tell({"type": "response.incomplete", "response": ended})

    # Other answers ---------------------------------------------------------------------------------

    def reply(self, reply: Reply) -> None:
        if not self._upgraded:
            super().reply(reply)
            return
        body = reply.body if isinstance(reply.body, dict) else {}
        error = body.get("error") or {"message": body.get("detail", "Internal Server Error")}
        self._active = None
        self._tell({"type": "error", "status": reply.status, "error": error, "headers": dict(reply.headers)})
        if reply is CONNECTION_LIMIT:
            self.close()

    def cut(self) -> NoReturn:
        if self._upgraded:
            self._break()
            raise Finish
        super().cut()

    def _break(self) -> None:
        if self.ws_connection is not None and self.ws_connection.stream is not None:
            self.ws_connection.stream.close()

    def _tell(self, event: dict[str, Any]) -> None:
        with suppress(WebSocketClosedError):
            self.write_message(msgspec.json.encode(event))


class CodexSocket(ResponsesSocket, StrictCodexResponses):
    def _hello(self) -> None:
        self.set_header("x-models-etag", ETAG)
        self.set_header("x-reasoning-included", "true")
        self.set_header(
            "x-codex-turn-state", self.request.headers.get("x-codex-turn-state") or f"ts_{new_id()}"
        )

    def announce(self, headers: dict[str, str]) -> None:
        self._tell(limits_event(self.state.quota, self.plan_type))


class ApiSocket(ResponsesSocket, StrictApiResponses):
    def announce(self, headers: dict[str, str]) -> None:
        """The headers of a response have no place here."""


UPGRADES: list[tuple[Upgrade, type[Endpoint]]] = [
    (Upgrade(r"/backend-api/codex/responses"), CodexSocket),
    (Upgrade(r"/v1/responses"), ApiSocket),
]


def limits_event(quota: Quota, plan: str) -> dict[str, Any]:
    """The first message of each response on a WebSocket."""
    windows = quota.windows()
    for window in windows.values():
        window["window_minutes"] = window.pop("limit_window_seconds") // 60
    return {
        "type": "codex.rate_limits",
        "plan_type": plan,
        "rate_limits": {"allowed": True, "limit_reached": False, **windows},
        "credits": SHAPES["usage"]["credits"],
        "metered_limit_name": None,
    }
