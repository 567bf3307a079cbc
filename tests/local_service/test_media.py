"""Pictures, transcriptions and WebRTC answers of the local service."""

from __future__ import annotations

import io

import httpx
import pytest
from PIL import Image

from tests.service.media import picture
from tests.service.sdp import answered

OFFER = "\r\n".join(
    [
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0 1",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        "c=IN IP4 0.0.0.0",
        "a=mid:0",
        "a=sendrecv",
        "a=rtpmap:111 opus/48000/2",
        "a=fmtp:111 minptime=10;useinbandfec=1",
        "a=rtpmap:63 red/48000/2",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=mid:1",
        "a=sctp-port:5000",
        "",
    ]
)


def post(client, path, **given) -> httpx.Response:
    return client.http.post(client.service.url + path, headers=client.headers, **given)


def test_a_picture_is_a_real_one():
    image = Image.open(io.BytesIO(picture("a cat", side=8)))
    image.load()
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (8, 8))
    assert image.getpixel((0, 0)) != image.getpixel((7, 7))


def test_every_prompt_has_its_own_picture():
    assert picture("a cat") == picture("a cat") != picture("a dog")


def test_an_answer_mirrors_its_offer():
    lines = answered(OFFER).split("\r\n")
    assert lines[0] == "v=0"
    assert lines[-1] == ""
    assert [line for line in lines if line.startswith("m=")] == [
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    ]
    for line in ("a=group:BUNDLE 0 1", "a=mid:0", "a=mid:1", "a=rtpmap:111 opus/48000/2", "a=sctp-port:5000"):
        assert line in lines
    assert lines.count("a=setup:active") == 2


def test_what_one_side_sends_the_other_receives():
    assert "a=recvonly" in answered(OFFER.replace("sendrecv", "sendonly"))


@pytest.mark.parametrize(
    ("path", "given", "param"),
    [
        ("/backend-api/codex/images/generations", {"json": {}}, "prompt"),
        ("/backend-api/codex/images/edits", {"json": {"prompt": "x"}}, "images"),
        ("/backend-api/codex/images/edits", {"json": {"prompt": "x", "images": [{}]}}, "images[0].image_url"),
        ("/v1/images/edits", {"json": {"prompt": "x"}}, "image"),
        ("/backend-api/transcribe", {"json": {}}, "file"),
        ("/v1/audio/transcriptions", {"files": {"file": b"x"}}, "model"),
        ("/v1/realtime/calls", {"json": {"session": {}}}, "sdp"),
        ("/v1/realtime/calls", {"json": {"sdp": "m=audio"}}, "sdp"),
    ],
)
def test_what_is_missing_is_named(client, path, given, param):
    answer = post(client, path, **given)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("headers", "body", "said"),
    [
        ({}, {"session": {"id": "x"}}, "session.id"),
        ({}, {"session": {"model": "m"}}, "session-id"),
    ],
)
def test_a_codex_call_has_its_own_rules(client, headers, body, said):
    answer = post(client, "/backend-api/codex/realtime/calls", json={"sdp": OFFER, **body})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/backend-api/transcribe", "/v1/images/generations"])
def test_nobody_is_served_without_a_sign_in(client, path):
    assert client.http.post(client.service.url + path).status_code == 401
