"""Bytes to messages and back, whatever way they are cut."""

import math

import pytest

from codex_magic.engines.app_server.messages import Framer, encode, fields, parse
from codex_magic.protocol.errors import InvalidRequestError
from tests.known import some

WIRE = (
    b'{"id":1,"result":{"text":"na\xc3\xafve \\n \xe2\x80\xa8"}}\n'
    b'{"method":"turn/started","params":{"threadId":"t"},"emittedAtMs":5}\r\n'
    b"\n"
    b'{"id":0,"method":"item/tool/call","params":{}}\n'
    b'{"id":"a","error":{"code":-32001,"message":"Server overloaded; retry later."}}\n'
    b"no json\n"
)


def test_messages_are_told_apart_by_their_method():
    *messages, unreadable = Framer().feed(WIRE)
    reply, notification, request, refusal = map(some, messages)
    assert (reply.id, reply.method, reply.error) == (1, None, None)
    assert (notification.id, notification.method) == (None, "turn/started")
    assert (request.id, request.method) == (0, "item/tool/call")
    assert (refusal.id, refusal.method, some(refusal.error).code) == ("a", None, -32001)
    assert unreadable is None


def test_every_split_gives_the_same_messages():
    whole = Framer().feed(WIRE)
    for cut in range(len(WIRE)):
        framer = Framer()
        assert framer.feed(WIRE[:cut]) + framer.feed(WIRE[cut:]) == whole
    framer = Framer()
    assert [m for byte in WIRE for m in framer.feed(bytes([byte]))] == whole


def test_a_line_may_be_as_long_as_it_likes():
    framer = Framer()
    framer.feed(b'{"method":"m","params":"')
    for _ in range(256):
        assert framer.feed(b"x" * 65536) == []
    [message] = framer.feed(b'"}\n')
    assert len(bytes(some(some(message).params))) == 256 * 65536 + 2


@pytest.mark.parametrize("line", [b"[]", b"3", b"{}", b'{"result":1}', b'{"id":1.5,"result":1}', b"\xff"])
def test_what_is_no_message_is_read_as_none(line):
    assert parse(line) is None


@pytest.mark.parametrize("levels", [100, 1_000, 100_000])
def test_what_is_nested_too_deep_is_left_out_and_the_rest_is_read(levels):
    line = b'{"id":1,"result":{"name":"n","odd":' + b"[" * levels + b"]" * levels + b"}}"
    assert fields(some(parse(line)).result)["name"] == "n"


def test_what_is_nested_too_deep_to_be_sent_is_refused():
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvalidRequestError):
        encode({"params": nested})


def test_what_is_sent_can_be_read():
    line = encode({"id": 7, "method": "m", "params": {"text": "a\nb\u2028 \U0001f40d"}})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    message = some(parse(line.strip()))
    assert (message.id, message.method) == (7, "m")


def test_half_a_character_is_replaced_and_two_halves_are_joined():
    assert encode({"t": "a\ud83d b"}) == '{"t":"a\ufffd b"}\n'.encode()
    assert encode({"t": "\ud83d\udc0d"}) == '{"t":"\U0001f40d"}\n'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_what_json_can_not_say_is_refused(value):
    with pytest.raises(InvalidRequestError):
        encode({"value": value})
