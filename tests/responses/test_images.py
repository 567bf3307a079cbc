"""`client.images`, of a ChatGPT plan and of the public API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from codex_magic.protocol.errors import AuthError, InvalidRequestError, ServiceError
from codex_magic.responses.client import Client
from codex_magic.responses.inputs import image_url
from tests.responses.conversing import Caller
from tests.responses.wire import Wire, plain


def test_a_picture_is_made(call: Caller, tmp_path: Path) -> None:
    made = call(lambda client: client.images.generate("a cat", n=2, size="1024x1024", quality=None))
    assert len(made.data) == 2
    assert made.data[0] != made.data[1]
    file = made.data[0].save(tmp_path / "cat.png")
    with Pillow.open(file) as opened:
        assert opened.size == (32, 32)
    sent = call.service.requests[-1]
    assert sent.path == f"{call.base}/images/generations"
    assert sent.json == {"prompt": "a cat", "model": "gpt-image-2", "n": 2, "size": "1024x1024"}


def test_a_notebook_shows_it(call: Caller) -> None:
    image = call(lambda client: client.images.generate("a cat")).data[0]
    assert (image._repr_png_(), image._repr_jpeg_()) == (image.content, None)
    assert image_url(image).startswith("data:image/png;base64,")
    assert repr(image) == f"Image(<{len(image.content)} bytes of image/png>)"


def test_fields_unknown_here_go_along(call: Caller) -> None:
    call(lambda client: client.images.generate("a cat", extra_body={"moderation": "low"}))
    assert call.service.requests[-1].json["moderation"] == "low"


def test_a_picture_of_nothing(call: Caller) -> None:
    with pytest.raises(InvalidRequestError, match="prompt"):
        call(lambda client: client.images.generate(""))


def test_what_the_service_refuses_is_a_sentence(call: Caller) -> None:
    with pytest.raises(InvalidRequestError, match="between 1 and 10"):
        call(lambda client: client.images.generate("cats", n=11))


def test_a_plan_without_pictures(call: Caller) -> None:
    denied: dict[str, Any] = {"status": 403, "body": {"detail": "Image generation is not available."}}
    call.service.faults.next("status", path="/images/generations", **denied)
    with pytest.raises(AuthError, match="not available"):
        call(lambda client: client.images.generate("a cat"))


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"created": 1}', b"\xff", b'{"created":1,"data":[{"b64_json":5}]}']
)
def test_an_answer_that_can_not_be_read(wire: Wire, client: Client, body: bytes) -> None:
    wire.answer(plain(200, body))
    with pytest.raises(ServiceError, match="picture"):
        client.images.generate("a cat")


def test_a_picture_that_lies_elsewhere(wire: Wire, client: Client) -> None:
    wire.answer(plain(200, {"created": 1, "data": [{"url": "https://example.com/1.png", "x": 1}]}))
    image = client.images.generate("a cat").data[0]
    assert (image.url, image._repr_png_()) == ("https://example.com/1.png", None)
    assert json.loads(wire.requests[0].body)["prompt"] == "a cat"
