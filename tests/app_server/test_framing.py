"""Bytes to messages and back, whatever way they are cut."""

import math

import pytest

from codex_magic.engines.app_server.calls import Calls
from codex_magic.engines.app_server.framing import (
    Framer,
    Refusal,
    Reply,
    Request,
    Told,
    Unreadable,
    encode,
    parse,
)
from codex_magic.protocol.errors import InvalidRequestError
from tests.known import the

WIRE = (
    b'{"id":1,"result":{"text":"na\xc3\xafve \\n \xe2\x80\xa8"}}\n'
    b'{"method":"turn/started","params":{"threadId":"t"},"emittedAtMs":5}\r\n'
    b"\n"
    b'{"id":0,"method":"item/tool/call","params":{}}\n'
    b'{"id":"a","error":{"code":-32001,"message":"Server overloaded; retry later."}}\n'
    b"no json\n"
)


def test_messages_are_told_apart_by_their_method():
    kinds = [type(message) for message in Framer().feed(WIRE)]
    assert kinds == [Reply, Told, Request, Refusal, Unreadable]


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
    assert len(bytes(the(Told, message).params)) == 256 * 65536 + 2


@pytest.mark.parametrize("line", [b"[]", b"3", b"{}", b'{"result":1}', b'{"id":1.5,"result":1}', b"\xff"])
def test_what_is_no_message_is_kept_as_it_came(line):
    assert parse(line) == Unreadable(line)


def test_what_is_sent_can_be_read():
    line = encode({"id": 7, "method": "m", "params": {"text": "a\nb\u2028 \U0001f40d"}})
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert isinstance(parse(line.strip()), Request)


def test_half_a_character_is_replaced_and_two_halves_are_joined():
    assert encode({"t": "a\ud83d b"}) == '{"t":"a\ufffd b"}\n'.encode()
    assert encode({"t": "\ud83d\udc0d"}) == '{"t":"\U0001f40d"}\n'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, object()])
def test_what_json_can_not_say_is_refused(value):
    with pytest.raises(InvalidRequestError):
        encode({"value": value})


def test_a_reply_is_given_to_the_one_that_waits_for_it_once():
    calls: Calls[str] = Calls()
    first, second = calls.open("first"), calls.open("second")
    assert calls.settle(second) == "second"
    assert calls.settle(second) is None
    assert calls.settle("unknown") is None
    third = calls.open("third")
    assert len({first, second, third}) == 3
    assert calls.drain() == ["first", "third"]
    assert len(calls) == 0
