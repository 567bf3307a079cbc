"""The answer to a WebRTC offer (RFC 8866, RFC 9429 5.3): well-formed, with nobody behind it."""

from __future__ import annotations

import hashlib

_FLIPPED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}

_COPIED = ("mid:", "sctp-port:", "max-message-size:")
_OF_A_CODEC = ("rtpmap:", "fmtp:", "rtcp-fb:")


class NotAnOffer(ValueError):
    """Says what is wrong with it."""


def answered(offer: str) -> str:
    """Every section of `offer` accepted, each with the first codec it names."""
    lines = offer.splitlines()
    if not lines or lines[0] != "v=0":
        raise NotAnOffer("it does not begin with v=0")
    starts = [at for at, line in enumerate(lines) if line.startswith("m=")]
    if not starts:
        raise NotAnOffer("it has no media section")
    ends = [*starts[1:], len(lines)]
    sections = [lines[start:end] for start, end in zip(starts, ends, strict=True)]
    session = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        *(line for line in lines[: starts[0]] if line.startswith("a=group:")),
        "a=ice-lite",
        "a=msid-semantic: WMS *",
    ]
    told = session + [line for section in sections for line in _section(section, offer)]
    return "\r\n".join(told) + "\r\n"


def _section(section: list[str], offer: str) -> list[str]:
    media, _port, protocol, *formats = section[0].removeprefix("m=").split()
    if not formats:
        raise NotAnOffer(f"its {media} section names no format")
    chosen = formats[0]
    attributes = [line.removeprefix("a=") for line in section if line.startswith("a=")]
    kept = [each for each in attributes if each.startswith(_COPIED)]
    kept += [each for each in attributes if each.startswith(tuple(f"{kind}{chosen}" for kind in _OF_A_CODEC))]
    if media != "application":
        direction = next((each for each in attributes if each in _FLIPPED), "sendrecv")
        kept += [_FLIPPED[direction], "rtcp-mux"]
    return [
        f"m={media} 9 {protocol} {chosen}",
        "c=IN IP4 0.0.0.0",
        *(f"a={each}" for each in kept + _ice(offer)),
    ]


def _ice(offer: str) -> list[str]:
    digest = hashlib.sha256(offer.encode()).digest()
    return [
        f"ice-ufrag:{digest.hex()[:8]}",
        f"ice-pwd:{digest.hex()[:24]}",
        f"fingerprint:sha-256 {digest.hex(':').upper()}",
        "setup:active",
    ]
