"""WebSocket frames: whatever the size, and however they are cut."""

import pytest

from codex_magic.engines.app_server.frames import PING, TEXT, Frames, frame

SIZES = (0, 1, 125, 126, 65535, 65536, 1 << 20)


def served(opcode, payload, *, final=True):
    """A frame of a server, which masks nothing."""
    size = len(payload)
    first = bytes([(0x80 if final else 0) | opcode])
    if size < 126:
        return first + bytes([size]) + payload
    if size < 1 << 16:
        return first + bytes([126]) + size.to_bytes(2, "big") + payload
    return first + bytes([127]) + size.to_bytes(8, "big") + payload


STREAM = (
    served(TEXT, b"one")
    + served(TEXT, b"in ", final=False)
    + served(PING, b"are you there")
    + served(0, b"two ", final=False)
    + served(0, b"pieces")
    + served(TEXT, b"x" * 200)
)
MESSAGES = [(TEXT, b"one"), (PING, b"are you there"), (TEXT, b"in two pieces"), (TEXT, b"x" * 200)]


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_arrives(size):
    assert Frames().feed(served(TEXT, b"x" * size)) == [(TEXT, b"x" * size)]


@pytest.mark.parametrize("size", SIZES)
def test_what_we_send_is_masked_and_says_its_size(size):
    sent = frame(TEXT, b"x" * size)
    assert sent[1] & 0x80
    whole = served(TEXT, b"x" * size)
    assert (
        sent == whole[:1] + bytes([whole[1] | 0x80]) + whole[2 : len(whole) - size] + bytes(4) + b"x" * size
    )


def test_frames_are_the_same_however_they_are_cut():
    for cut in range(len(STREAM) + 1):
        frames = Frames()
        assert frames.feed(STREAM[:cut]) + frames.feed(STREAM[cut:]) == MESSAGES
    frames = Frames()
    assert [each for byte in STREAM for each in frames.feed(bytes([byte]))] == MESSAGES
