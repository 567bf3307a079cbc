"""`client.images`, `client.audio` and `client.realtime`: pictures, speech as text, and voice calls.

The Codex backend takes pictures as addresses in JSON and gives PNG alone; OpenAI's API takes edits as a form with
files. ChatGPT transcribes at an address of its own, beside the Codex backend; since October 2026 most accounts
get a 403 there. Of a WebRTC call this is the service's half: a browser (or any WebRTC library) makes an offer,
which is sent on, and its answer given back; sound and events then flow between browser and service.
"""

from __future__ import annotations

import base64
import mimetypes
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, NamedTuple, TypedDict, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from ..net import header_value
from ..protocol.errors import InvalidRequestError, ServiceError
from ..protocol.ids import new_id
from ..protocol.plain import decode_json
from ..waiting import Direct, blocking
from .inputs import image_url
from .request import encode
from .response import Response
from .transport import Outgoing, Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")
M = TypeVar("M")
"""A resource, asynchronous or not."""

IMAGE_MODEL = "gpt-image-2"
TRANSCRIPTION_MODEL = "gpt-4o-transcribe"
"""For services that ask for one; ChatGPT has its own."""

_CODEX_VOICE, _API_VOICE = "gpt-live-1-codex", "gpt-realtime"
_CODEX_QUERY = {"intent": "quicksilver", "architecture": "avas"}
_CODEX_SIDEBAND = "wss://api.openai.com/v1/live"
"""Calls of a ChatGPT plan are joined at the API's host, with the ChatGPT sign-in."""

_CALL_ID = re.compile(r"/(rtc_[^/?#]+)")


# Files -------------------------------------------------------------------------------------------

FileSource = str | os.PathLike[str] | bytes | BinaryIO | tuple[str, bytes]
"""A path, the content itself, an open file, or a name and its content."""


class File(NamedTuple):
    name: str
    content: bytes


def read_file(source: FileSource, *, unnamed: str) -> File:
    """Return the file, called `unnamed` where `source` has no name. Raises InvalidRequestError if it can't be read."""
    try:
        match source:
            case bytes():
                return File(unnamed, source)
            case (name, content):
                return File(name, content)
            case str() | os.PathLike():
                path = Path(source).expanduser()
                return File(path.name, path.read_bytes())
        return File(Path(str(getattr(source, "name", unnamed))).name, source.read())
    except OSError as error:
        raise InvalidRequestError(f"The file {str(source)!r} can't be read: {error.strerror}.") from error


def _form(
    url: str, fields: Mapping[str, str], files: Sequence[tuple[str, File]], accept: str = "application/json"
) -> Outgoing:
    """Return a request with form data. httpx writes it, once, so that it can be sent again."""
    kinds = [mimetypes.guess_type(file.name)[0] or "application/octet-stream" for _, file in files]
    parts: list[Any] = [(name, (*file, kind)) for (name, file), kind in zip(files, kinds, strict=True)]
    parts += [(name, (None, value, None)) for name, value in fields.items()]
    form = httpx.Request("POST", "http://form", files=parts)
    headers = {"Accept": accept, "Content-Type": form.headers["Content-Type"]}
    return Outgoing("POST", url, headers, form.read())


def _json(url: str, body: Mapping[str, Any], accept: str = "application/json", **headers: str) -> Outgoing:
    kind = {"Accept": accept, "Content-Type": "application/json"}
    return Outgoing("POST", url, kind | headers, encode(body))


class _Media:
    """A part of the service that answers when all is done."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._provider = transport.core.provider

    async def _fetch(self, request: Outgoing, kind: type[T], called: str) -> T:
        """Return the value of the answer, `called` so in errors. Raises CodexError."""
        patient = replace(request, timeouts=self._transport.core.slow_start())
        answer = await self._transport.fetch(patient)
        try:
            return decode_json(answer.content, kind)
        except ValueError as error:
            raise ServiceError(f"The service's {called} can't be read.") from error


# Pictures ----------------------------------------------------------------------------------------


class ImageOptions(TypedDict, total=False):
    """The options of both requests; `None` is the same as absent: the service chooses.

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
    """Shape of `/images/generations` and `/images/edits`."""

    created: int
    """Unix seconds."""
    data: tuple[Image, ...]
    background: str | None = None
    output_format: str | None = None
    quality: str | None = None
    size: str | None = None
    usage: dict[str, Any] | None = None


def generated_images(response: Response) -> list[Image]:
    """The pictures that the service made for an answer, by its tool `image_generation`."""
    pictures = (item for item in response.output if item.get("type") == "image_generation_call")
    whole = (item for item in pictures if item.get("result"))
    return [Image(item["result"], revised_prompt=item.get("revised_prompt")) for item in whole]


class AsyncImages(_Media):
    """`client.images`."""

    async def generate(self, prompt: str, **options: Unpack[ImageOptions]) -> ImagesResponse:
        """Make pictures of `prompt`. Raises CodexError.

        `extra_body` is merged into the request as it is. The prompt is the one thing without a default.
        """
        return await self._send("generations", prompt, options, [])

    async def edit(
        self, image: Any, prompt: str, *, mask: Any = None, **options: Unpack[ImageOptions]
    ) -> ImagesResponse:
        """Change `image`, or a list of them, as `prompt` says; with `mask` only where that is transparent.

        An image is an address, a path, bytes, a PIL image, a matplotlib figure or an `Image`. Raises
        CodexError. OpenAI's API takes no addresses of the web here.
        """
        images = [("image[]", each) for each in (image if isinstance(image, (list, tuple)) else [image])]
        return await self._send("edits", prompt, options, images + [("mask", mask)] * (mask is not None))

    async def _send(
        self, what: str, prompt: str, options: ImageOptions, images: list[tuple[str, Any]]
    ) -> ImagesResponse:
        if not prompt:
            raise InvalidRequestError("A picture needs a prompt.", param="prompt")
        url = f"{self._provider.base_url}/images/{what}"
        body = {"prompt": prompt, "model": IMAGE_MODEL, **_merged(options)}
        addresses = [
            (name, image_url(each.url or each.content if isinstance(each, Image) else each))
            for name, each in images
        ]
        if images and not self._provider.is_codex:
            fields = {name: str(value) for name, value in body.items()}
            files = [(name, _decoded(each)) for name, each in addresses]
            return await self._fetch(_form(url, fields, files), ImagesResponse, "picture")
        for name, each in addresses:
            shown = {"image_url": each}
            body |= {"mask": shown} if name == "mask" else {"images": [*body.get("images", []), shown]}
        return await self._fetch(_json(url, body), ImagesResponse, "picture")


class Images(Direct[AsyncImages]):
    """`client.images`."""

    generate = blocking(AsyncImages.generate)
    edit = blocking(AsyncImages.edit)


def _merged(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not `None`, and over them what `extra_body` holds."""
    fields = {name: value for name, value in options.items() if name != "extra_body" and value is not None}
    return fields | (options.get("extra_body") or {})


def _decoded(address: str) -> File:
    """Return the file that a `data:` URL holds."""
    head, _, content = address.partition(",")
    kind = head.removeprefix("data:").partition(";")[0]
    if not head.startswith("data:image/"):
        raise InvalidRequestError(
            "This service takes images to edit as files.", hint="Pass a path or bytes.", param="image"
        )
    return File(f"image.{kind.removeprefix('image/')}", base64.b64decode(content))


# Speech as text ----------------------------------------------------------------------------------


class TranscriptionOptions(TypedDict, total=False):
    """`None` is the same as absent."""

    model: str | None
    language: str | None
    """ISO 639-1, `de`."""
    prompt: str | None
    """Words to expect, or the text before."""
    extra_body: Mapping[str, str] | None


class Transcription(msgspec.Struct, frozen=True):
    text: str

    def __str__(self) -> str:
        return self.text


class AsyncTranscriptions(_Media):
    """`client.audio.transcriptions`."""

    async def create(self, file: FileSource, **options: Unpack[TranscriptionOptions]) -> Transcription:
        """Transcribe `file`, a recording in any of the usual formats.

        Content without a name is taken for WAV. Raises CodexError; AuthError where the account may not.
        """
        recording = read_file(file, unnamed="audio.wav")
        if not recording.content:
            raise InvalidRequestError("The recording is empty.", param="file")
        fields = {name: str(value) for name, value in _merged(options).items()}
        url = f"{self._transport.core.settings.chatgpt_url}/transcribe"
        if not self._provider.is_codex:
            url = f"{self._provider.base_url}/audio/transcriptions"
            fields = {"model": TRANSCRIPTION_MODEL, **fields}
        return await self._fetch(_form(url, fields, [("file", recording)]), Transcription, "transcription")


class Transcriptions(Direct[AsyncTranscriptions]):
    """`client.audio.transcriptions`."""

    create = blocking(AsyncTranscriptions.create)


@dataclass(frozen=True)
class Audio(Generic[M]):
    """`client.audio`."""

    transcriptions: M


# Voice calls -------------------------------------------------------------------------------------


class RealtimeCall(msgspec.Struct, frozen=True):
    answer_sdp: str
    """The `sdp` of `RTCPeerConnection.setRemoteDescription({type: "answer", sdp})`."""
    call_id: str
    """`rtc_...`"""
    sideband_url: str
    """A WebSocket at which a second program may join the call; it takes the same sign-in as the call."""


class AsyncCalls(_Media):
    """`client.realtime.calls`."""

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
        described = {name: value for name, value in (session or {}).items() if name != "id"}
        if instructions is not None:
            described["instructions"] = instructions
        provider = self._provider
        url, accept = f"{provider.base_url}/realtime/calls", "application/sdp"
        if provider.is_codex:
            name = header_value(session_id or new_id())
            headers = {"openai-alpha": "quicksilver=v2", "session-id": name, "thread-id": name}
            body = {"sdp": sdp, "session": {"model": _CODEX_VOICE} | described}
            request = _json(f"{url}?{urlencode(_CODEX_QUERY)}", body, accept, **headers)
        else:
            described = {"type": "realtime", "model": _API_VOICE} | described
            request = _form(url, {"sdp": sdp, "session": encode(described).decode()}, [], accept)
        answer = await self._transport.fetch(request)
        call = _CALL_ID.search(answer.headers.get("location", ""))
        if call is None:
            raise ServiceError("The service answered the call without naming it.")
        sideband = f"{_CODEX_SIDEBAND}/{call[1]}"
        if not provider.is_codex:
            host = re.sub("^http", "ws", provider.base_url)
            sideband = f"{host}/realtime?{urlencode({'call_id': call[1]})}"
        return RealtimeCall(answer.text, call[1], sideband)


class Calls(Direct[AsyncCalls]):
    """`client.realtime.calls`."""

    create = blocking(AsyncCalls.create)


@dataclass(frozen=True)
class Realtime(Generic[M]):
    """`client.realtime`."""

    calls: M
