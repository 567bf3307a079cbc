"""WebSocket frames for a client, against the other side of the same library and bytes by hand."""

from __future__ import annotations

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from codex_magic.protocol.errors import StreamError
from codex_magic.responses.frames import Frames, Handshake

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPTED = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455, section 1.3."""


def pair(*, compressed: bool = False) -> tuple[Frames, Connection]:
    def side(kind: ConnectionType) -> Connection:
        deflate = PerMessageDeflate()
        deflate.finalize("permessage-deflate")
        return Connection(kind, [deflate] if compressed else [])

    return Frames(side(ConnectionType.CLIENT)), side(ConnectionType.SERVER)


@pytest.mark.parametrize("compressed", [False, True])
def test_messages_however_the_bytes_are_cut(compressed: bool) -> None:
    _, server = pair(compressed=compressed)
    texts = ["", "naïve 漢字 \u2028", "x" * 70_000]
    data = b"".join(server.send(TextMessage(data=text)) for text in texts)
    for size in (1, 2, 3, 125, 4096, len(data)):
        client, _ = pair(compressed=compressed)
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        assert [text for piece in pieces for text in client.receive(piece)] == texts


def test_a_message_in_several_frames() -> None:
    client, server = pair()
    data = server.send(TextMessage(data="on", message_finished=False)) + server.send(Ping(payload=b"?"))
    assert client.receive(data) == []
    assert client.receive(server.send(TextMessage(data="ce"))) == ["once"]


def test_what_is_sent_arrives() -> None:
    client, server = pair(compressed=True)
    server.receive_data(client.send("naïve"))
    assert [event.data for event in server.events() if isinstance(event, TextMessage)] == ["naïve"]


def test_a_ping_is_answered_once() -> None:
    client, server = pair()
    client.receive(server.send(Ping(payload=b"?")))
    server.receive_data(client.replies())
    assert list(server.events()) == [Pong(payload=b"?")]
    assert client.replies() == b""


def test_a_close_is_answered_and_ends_it() -> None:
    client, server = pair()
    last = server.send(TextMessage(data="bye")) + server.send(CloseConnection(code=1000))
    assert client.receive(last) == ["bye"]
    assert not client.open
    server.receive_data(client.replies())
    assert [type(event) for event in server.events()] == [CloseConnection]
    with pytest.raises(StreamError):
        client.send("more")


def test_the_end_of_the_bytes_is_the_end() -> None:
    client, _ = pair()
    assert client.receive(b"") == []
    assert not client.open


def test_a_binary_message_has_no_meaning() -> None:
    client, server = pair()
    with pytest.raises(StreamError, match="binary"):
        client.receive(server.send(BytesMessage(data=b"\x00")))


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff\xff", b"\x81\x81abcd\x00", b"\x81\x02\xc3\x28", b"\x83\x00", b"\xc1\x01a"],
    ids=["noise", "masked", "no UTF-8", "no such opcode", "compressed unasked"],
)
def test_frames_that_make_no_sense_end_it(data: bytes) -> None:
    client, _ = pair()
    client.receive(data)
    assert not client.open


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({}, "key"),
        ({"sec-websocket-accept": "wrong"}, "key"),
        ({"sec-websocket-accept": ACCEPTED, "sec-websocket-extensions": "x-unheard-of"}, "extension"),
        (
            {
                "sec-websocket-accept": ACCEPTED,
                "sec-websocket-extensions": "permessage-deflate; server_max_window_bits=99",
            },
            "extension",
        ),
    ],
)
def test_a_wrong_handshake_is_refused(headers: dict[str, str], fault: str) -> None:
    with pytest.raises(StreamError, match=fault):
        Handshake(KEY).accept(headers)


def test_a_right_handshake_is_accepted() -> None:
    assert Handshake(KEY).accept({"sec-websocket-accept": ACCEPTED}).open
    assert Handshake().headers["Sec-WebSocket-Key"] != Handshake().headers["Sec-WebSocket-Key"]
