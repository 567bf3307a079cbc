"""`client.images`: pictures made or changed by a model.

The Codex backend takes JSON with the pictures as addresses and gives PNG alone; OpenAI's API takes edits
as a form with files. Both give the pictures as base64.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import httpx
import msgspec

from ..protocol.errors import InvalidRequestError, ServiceError
from .client import AsyncClient, Client, _Core, _Outgoing
from .files import File, multipart
from .inputs import image_url
from .request import encode
from .response import Response

if TYPE_CHECKING:
    from typing_extensions import Unpack

DEFAULT_MODEL = "gpt-image-2"


class ImageOptions(TypedDict, total=False):
    """What both kinds of request take; `None` is the same as absent: the service chooses."""

    model: str | None
    background: str | None
    """`transparent`, `opaque` or `auto`."""
    n: int | None
    """How many pictures."""
    quality: str | None
    """`low`, `medium`, `high` or `auto`."""
    size: str | None
    """Pixels, `1024x1024`, or `auto`."""
    extra_body: Mapping[str, Any] | None


class Image(msgspec.Struct, frozen=True):
    """One picture; a notebook shows it."""

    b64_json: str = ""
    url: str | None = None
    """Where some servers leave it instead."""
    revised_prompt: str | None = None

    @property
    def content(self) -> bytes:
        """The file."""
        return base64.b64decode(self.b64_json)

    @property
    def media_type(self) -> str:
        return _decoded(image_url(self.content)).media_type

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, over one that is there."""
        written = Path(path).expanduser()
        written.write_bytes(self.content)
        return written

    def _repr_png_(self) -> bytes | None:
        return self._as("image/png")

    def _repr_jpeg_(self) -> bytes | None:
        return self._as("image/jpeg")

    def _as(self, kind: str) -> bytes | None:
        return self.content if self.b64_json and self.media_type == kind else None

    def __repr__(self) -> str:
        return (
            f"Image({self.url!r})" if self.url else f"Image(<{len(self.content)} bytes of {self.media_type}>)"
        )


class ImagesResponse(msgspec.Struct, frozen=True):
    """Shape of `/images/generations` and `/images/edits`."""

    created: int
    """Unix seconds."""
    data: tuple[Image, ...]
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    usage: dict[str, Any] | None = None


class Images:
    """`client.images`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def generate(self, prompt: str, **options: Unpack[ImageOptions]) -> ImagesResponse:
        """Pictures of `prompt`. Raises CodexError.

        `extra_body` is merged into the request as it is. The prompt is the one thing without a default.
        """
        return _read(self._client._fetch(_ask_to_generate(self._client._core, prompt, options)))

    def edit(
        self,
        image: Any,
        prompt: str,
        *,
        mask: Any = None,
        **options: Unpack[ImageOptions],
    ) -> ImagesResponse:
        """`image`, or a list of them, changed as `prompt` says; with `mask` only where that is transparent.

        An image is an address, a path, bytes, a PIL image, a matplotlib figure or an `Image`. Raises
        CodexError. OpenAI's API takes no addresses of the web here.
        """
        asked = _ask_to_edit(self._client._core, image, prompt, mask, options)
        return _read(self._client._fetch(asked))


class AsyncImages:
    """`client.images`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def generate(self, prompt: str, **options: Unpack[ImageOptions]) -> ImagesResponse:
        """As `Images.generate`."""
        return _read(await self._client._fetch(_ask_to_generate(self._client._core, prompt, options)))

    async def edit(
        self,
        image: Any,
        prompt: str,
        *,
        mask: Any = None,
        **options: Unpack[ImageOptions],
    ) -> ImagesResponse:
        """As `Images.edit`."""
        asked = _ask_to_edit(self._client._core, image, prompt, mask, options)
        return _read(await self._client._fetch(asked))


def _ask_to_generate(core: _Core, prompt: str, options: ImageOptions) -> _Outgoing:
    return _json(core, "generations", _body(prompt, options))


def _ask_to_edit(
    core: _Core,
    image: Any,
    prompt: str,
    mask: Any,
    options: ImageOptions,
) -> _Outgoing:
    body = _body(prompt, options)
    images = [_address(each) for each in (image if isinstance(image, (list, tuple)) else [image])]
    masks = [_address(mask)] if mask is not None else []
    if core.provider.is_codex:
        body["images"] = [{"image_url": each} for each in images]
        if masks:
            body["mask"] = {"image_url": masks[0]}
        return _json(core, "edits", body)
    files = [("image[]", _decoded(each)) for each in images] + [("mask", _decoded(each)) for each in masks]
    content, kind = multipart({name: str(value) for name, value in body.items()}, files)
    return _outgoing(core, "edits", content, kind)


def _body(prompt: str, options: ImageOptions) -> dict[str, Any]:
    if not prompt:
        raise InvalidRequestError("A picture needs a prompt.", param="prompt")
    given = {name: value for name, value in options.items() if name != "extra_body" and value is not None}
    return {"prompt": prompt, "model": DEFAULT_MODEL, **given, **(options.get("extra_body") or {})}


def _json(core: _Core, what: str, body: Mapping[str, Any]) -> _Outgoing:
    return _outgoing(core, what, encode(body), "application/json")


def _outgoing(core: _Core, what: str, content: bytes, kind: str) -> _Outgoing:
    headers = {"Accept": "application/json", "Content-Type": kind}
    return _Outgoing(
        "POST", f"{core.provider.base_url}/images/{what}", headers, content, timeouts=core.patient()
    )


def _address(image: Any) -> str:
    return image_url(image.url or image.content if isinstance(image, Image) else image)


def _decoded(address: str) -> File:
    """The file that a `data:` URL holds."""
    head, _, content = address.partition(",")
    kind = head.removeprefix("data:").partition(";")[0]
    if not head.startswith("data:image/"):
        raise InvalidRequestError(
            "This service takes images to edit as files.", hint="Give a path or bytes.", param="image"
        )
    return File(f"image.{kind.removeprefix('image/')}", base64.b64decode(content))


def _read(answer: httpx.Response) -> ImagesResponse:
    try:
        return msgspec.json.decode(answer.content, type=ImagesResponse)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceError("The service's picture can't be read.") from error


def generated_images(response: Response) -> list[Image]:
    """The pictures in the answer."""
    found = (item for item in response.output if item.get("type") == "image_generation_call")
    return [
        Image(item["result"], revised_prompt=item.get("revised_prompt"))
        for item in found
        if item.get("result")
    ]
