"""A client's side of WebSocket frames, without the IO: bytes in, text messages out, and back.

wsproto does the framing. It is the one module here that needs it, and is imported when a
WebSocket is asked for.
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Mapping

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError, generate_accept_token

from ..protocol.errors import StreamError


class Handshake:
    """One attempt to open a WebSocket."""

    def __init__(self, key: str | None = None) -> None:
        self._key = key or base64.b64encode(os.urandom(16)).decode()
        self._deflate = PerMessageDeflate()

    @property
    def headers(self) -> dict[str, str]:
        return {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": self._key,
            "Sec-WebSocket-Extensions": f"permessage-deflate; {self._deflate.offer()}",
        }

    def accept(self, headers: Mapping[str, str]) -> Frames:
        """The frames of the connection that these headers of a 101 open. Raises StreamError."""
        if headers.get("sec-websocket-accept", "") != _accepted(self._key):
            raise StreamError("The service answered the WebSocket handshake with a wrong key.")
        agreed = headers.get("sec-websocket-extensions", "")
        if not agreed:
            return Frames(Connection(ConnectionType.CLIENT))
        name, _, _ = agreed.partition(";")
        try:
            if name.strip() != self._deflate.name:
                raise ValueError(name)
            self._deflate.finalize(agreed)
        except (ValueError, IndexError) as error:
            raise StreamError(
                "The service answered the WebSocket handshake with an unknown extension."
            ) from error
        return Frames(Connection(ConnectionType.CLIENT, [self._deflate]))


def _accepted(key: str) -> str:
    return generate_accept_token(key.encode()).decode()


class Frames:
    """An open connection. One thread may receive while another sends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._parts: list[str] = []
        self._replies = bytearray()
        self.open = True

    def send(self, text: str) -> bytes:
        """The bytes that carry a message. StreamError when the connection has ended."""
        if not self.open:
            raise StreamError("The connection has ended.")
        with self._lock:
            return self._connection.send(TextMessage(data=text))

    def receive(self, data: bytes) -> list[str]:
        """The messages that `data` completes; no data is the end. StreamError for a binary message."""
        with self._lock:
            try:
                self._connection.receive_data(data or None)
                return self._messages()
            except ProtocolError as error:
                raise StreamError("The service sent WebSocket frames that make no sense.") from error

    def close(self) -> bytes:
        """The bytes that say goodbye."""
        with self._lock:
            self.open = False
            return self._connection.send(CloseConnection(code=CloseReason.NORMAL_CLOSURE))

    def replies(self) -> bytes:
        """What is to be written in answer to pings and to a close."""
        with self._lock:
            replies = bytes(self._replies)
            self._replies.clear()
            return replies

    def _messages(self) -> list[str]:
        messages = []
        for event in self._connection.events():
            match event:
                case TextMessage():
                    self._parts.append(event.data)
                    if event.message_finished:
                        messages.append("".join(self._parts))
                        self._parts.clear()
                case BytesMessage():
                    raise StreamError("The service sent a binary message, which has no meaning here.")
                case Ping():
                    self._replies += self._connection.send(event.response())
                case CloseConnection():
                    self.open = False
                    if self._connection.state is ConnectionState.REMOTE_CLOSING:
                        self._replies += self._connection.send(event.response())
        return messages
