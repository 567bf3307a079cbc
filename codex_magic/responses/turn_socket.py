"""How the requests of one turn are sent: over HTTP, and once there are several over a WebSocket.

A turn of many tool rounds sends its whole conversation in every round. Over a WebSocket the service remembers
the response before, so a request names that one and brings the tool results alone. Nothing depends on it: the
socket opens beside the third request and is never waited for, and what fails before its answer goes over HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import httpx

from ..protocol.errors import CodexError, ConfigurationError, ServiceError
from .exchange import Exchange
from .request import LITE_HEADER
from .streaming import Send
from .transport import Line, Outgoing, Transport

if TYPE_CHECKING:
    from .websocket import Socket

log = logging.getLogger(__name__)

BETA = "responses_websockets=2026-02-06"
HTTP_REQUESTS = 2  # most turns run tools once or not at all, and are over before a socket would be of use
OPEN_SECONDS = 10.0  # for a handshake; longer, and something between swallows it
_TURN_STATE = "x-codex-turn-state"
_OF_A_POST = frozenset({"accept", "accept-encoding", "content-type", _TURN_STATE})


class TurnSocket:
    """Routes the requests of one turn: over HTTP until a WebSocket is open, and again when it fails."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._requests = 0
        self._opening: asyncio.Task[None] | None = None
        self._socket: Socket | None = None
        self._headers: dict[str, str] = {}  # said once for all requests of the socket

    def route(self, outgoing: Outgoing) -> Send:
        """Return what sends the turn's next request; beside the third one, begin to open the socket."""
        if self._socket is not None:
            return partial(self._send, self._socket)
        core = self._transport.core
        if self._requests >= HTTP_REQUESTS and core.websockets and self._opening is None:
            self._headers = named_headers(outgoing)
            if LITE_HEADER not in self._headers:  # a dialect of single requests
                self._opening = asyncio.create_task(self._open(outgoing))
        self._requests += 1
        return self._transport.send

    async def _send(
        self, socket: Socket, outgoing: Outgoing, exchange: Exchange, line: Line
    ) -> httpx.Response:
        """Send a request over the socket; close that and use HTTP if it fails or is of another session."""
        core = self._transport.core
        if named_headers(outgoing) == self._headers:
            answer = await socket.ask(outgoing, exchange, idle=core.limits(outgoing).idle)
            if answer is not None:
                return answer
        await socket.close()
        core.websockets = core.websockets and socket.was_of_use
        self._socket = None
        return await self._transport.send(outgoing, exchange, line)

    async def _open(self, outgoing: Outgoing) -> None:
        """Open the socket. Where that fails, this client does not try again: HTTP tells what is wrong."""
        core = self._transport.core
        headers = dict(self._headers)
        if turn_state := outgoing.headers.get(_TURN_STATE):
            headers[_TURN_STATE] = turn_state
        try:
            self._socket = await asyncio.wait_for(handshake(self._transport, outgoing, headers), OPEN_SECONDS)
        except (httpx.HTTPError, CodexError, asyncio.TimeoutError) as error:
            core.websockets = False
            reason = str(error) or "the handshake failed"
            log.info("responses go over HTTP, without a WebSocket: %s", reason)
        finally:
            self._opening = None

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._socket is not None:
            await self._socket.close()


async def handshake(transport: Transport, outgoing: Outgoing, headers: Mapping[str, str]) -> Socket:
    """Open a WebSocket for requests like `outgoing`.

    Raises ConfigurationError without the extra that it needs, ServiceError where the service refuses, httpx.HTTPError.
    """
    try:
        from .websocket import Socket, is_accepted  # wsproto is an extra, and its import takes a while
    except ImportError as error:
        hint = "For faster turns of many steps: `pip install 'codex-magic[websocket]'`"
        raise ConfigurationError("wsproto is not installed; turns go over HTTP.", hint=hint) from error
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    wanted = {**headers, **upgrade, "Sec-WebSocket-Key": key, "OpenAI-Beta": BETA}
    http = transport.http()
    request = transport.core.build(http, replace(outgoing, method="GET", headers=wanted, body=b""))
    answer = await http.send(request, stream=True)
    transport.core.note(answer.headers)
    if is_accepted(answer, key):
        return Socket(answer)
    await answer.aclose()
    status = answer.status_code
    raise ServiceError(f"the handshake was answered with {status}", status=status, hint="")


def named_headers(outgoing: Outgoing) -> dict[str, str]:
    """Return the headers that choose a connection, the session's above all."""
    headers = {name.lower(): value for name, value in outgoing.headers.items()}
    return {name: value for name, value in headers.items() if name not in _OF_A_POST}
