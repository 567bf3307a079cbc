"""`client.images` and `client.realtime`: pictures, and voice calls of a ChatGPT plan.

Of a WebRTC call this is the service's half: a browser (or any WebRTC library) makes an offer, which is sent on,
and its answer given back; sound and events then flow between browser and service.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar
from urllib.parse import urlencode

import msgspec

from ..net import header_value
from ..protocol.errors import ConfigurationError, InvalidRequestError, ServiceError
from ..protocol.ids import new_id
from ..protocol.plain import decode_json
from ..protocol.policy import policy_bounds
from ..waiting import Direct, blocking
from .inputs import image_url
from .request import encode
from .transport import Outgoing, Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

M = TypeVar("M")
"""A resource, asynchronous or not."""

IMAGE_MODEL = "gpt-image-2"

_VOICE_MODEL = "gpt-live-1-codex"
_VOICE_QUERY = {"intent": "quicksilver", "architecture": "avas"}
_SIDEBAND = "wss://api.openai.com/v1/live"
"""Calls of a ChatGPT plan are joined at the API's host, with the ChatGPT sign-in."""

_CALL_ID = re.compile(r"/(rtc_[^/?#]+)")


def _json(url: str, body: Mapping[str, Any], accept: str = "application/json", **headers: str) -> Outgoing:
    kind = {"Accept": accept, "Content-Type": "application/json"}
    if "model" in body:
        policy_bounds().check("model", body["model"])
    return Outgoing("POST", url, kind | headers, encode(body))


# Pictures ----------------------------------------------------------------------------------------


class ImageOptions(TypedDict, total=False):
    """`None` is the same as absent: the service chooses.

    background: `transparent`, `opaque` or `auto`. n: how many pictures. quality: `low`, `medium`, `high` or
    `auto`. size: pixels, `1024x1024`, or `auto`.
    """

    model: str | None
    background: str | None
    n: int | None
    quality: str | None
    size: str | None
    extra_body: Mapping[str, Any] | None


class Image(msgspec.Struct, frozen=True):
    """One picture; a notebook shows it."""

    b64_json: str = ""
    url: str | None = None
    """Set by servers that keep the picture themselves."""
    revised_prompt: str | None = None

    @property
    def content(self) -> bytes:
        """The file."""
        return base64.b64decode(self.b64_json)

    @property
    def media_type(self) -> str:
        return image_url(self.content)[len("data:") :].partition(";")[0]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the file, over one that is there."""
        written = Path(path).expanduser()
        written.write_bytes(self.content)
        return written

    def _repr_png_(self, kind: str = "image/png") -> bytes | None:
        return self.content if self.b64_json and self.media_type == kind else None

    def _repr_jpeg_(self) -> bytes | None:
        return self._repr_png_("image/jpeg")

    def __repr__(self) -> str:
        shown = repr(self.url) if self.url else f"<{len(self.content)} bytes of {self.media_type}>"
        return f"Image({shown})"


class ImagesResponse(msgspec.Struct, frozen=True):
    """Shape of `/images/generations`."""

    created: int
    """Unix seconds."""
    data: tuple[Image, ...]
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    usage: dict[str, Any] | None = None


class AsyncImages:
    """`client.images`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def generate(self, prompt: str, **options: Unpack[ImageOptions]) -> ImagesResponse:
        """Make pictures of `prompt`. Raises CodexError.

        `extra_body` is merged into the request as it is. The prompt is the one thing without a default.
        """
        if not prompt:
            raise InvalidRequestError("A picture needs a prompt.", param="prompt")
        core, extra = self._transport.core, options.pop("extra_body", None) or {}
        chosen = {name: value for name, value in options.items() if value is not None}
        body = {"prompt": prompt, "model": IMAGE_MODEL, **chosen, **extra}
        request = _json(f"{core.provider.base_url}/images/generations", body)
        answer = await self._transport.fetch(replace(request, timeouts=core.slow_start()))
        try:
            return decode_json(answer.content, ImagesResponse)
        except ValueError as error:
            raise ServiceError("The service's picture can't be read.") from error


class Images(Direct[AsyncImages]):
    """`client.images`."""

    generate = blocking(AsyncImages.generate)


# Voice calls -------------------------------------------------------------------------------------


class RealtimeCall(msgspec.Struct, frozen=True):
    answer_sdp: str
    """The `sdp` of `RTCPeerConnection.setRemoteDescription({type: "answer", sdp})`."""
    call_id: str
    """`rtc_...`"""
    sideband_url: str
    """A WebSocket at which a second program may join the call; it takes the same sign-in as the call."""


class AsyncCalls:
    """`client.realtime.calls`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def create(
        self,
        sdp: str,
        *,
        session: Mapping[str, Any] | None = None,
        instructions: str | None = None,
        session_id: str | None = None,
    ) -> RealtimeCall:
        """Answer the offer `sdp` (RFC 8866) of a WebRTC client.

        `session` is the service's own description of the call (model, voice, tools ...); without it the
        service's default model speaks. `session_id` ties the call to a thread. Raises CodexError: voice
        is not offered to every account, then AuthError.
        """
        if not sdp.startswith("v=0"):
            raise InvalidRequestError("That is not an SDP offer, which begins with v=0.", param="sdp")
        provider = self._transport.core.provider
        if not provider.is_codex:
            hint = "Use the ChatGPT sign-in: `%codex provider chatgpt`"
            raise ConfigurationError(f"{provider.name} makes no calls of a ChatGPT plan.", hint=hint)
        described = {name: value for name, value in (session or {}).items() if name != "id"}
        if instructions is not None:
            described["instructions"] = instructions
        name = header_value(session_id or new_id())
        headers = {"openai-alpha": "quicksilver=v2", "session-id": name, "thread-id": name}
        url = f"{provider.base_url}/realtime/calls?{urlencode(_VOICE_QUERY)}"
        body = {"sdp": sdp, "session": {"model": _VOICE_MODEL} | described}
        answer = await self._transport.fetch(_json(url, body, "application/sdp", **headers))
        call = _CALL_ID.search(answer.headers.get("location", ""))
        if call is None:
            raise ServiceError("The service answered the call without naming it.")
        return RealtimeCall(answer.text, call[1], f"{_SIDEBAND}/{call[1]}")


class Calls(Direct[AsyncCalls]):
    """`client.realtime.calls`."""

    create = blocking(AsyncCalls.create)


@dataclass(frozen=True)
class Realtime(Generic[M]):
    """`client.realtime`."""

    calls: M
