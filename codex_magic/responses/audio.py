"""`client.audio.transcriptions`: speech as text.

ChatGPT transcribes at an address of its own, beside the Codex backend; since October 2026 most accounts
get a 403 there. OpenAI's API has it for every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

import httpx
import msgspec

from ..protocol.errors import InvalidRequestError, ServiceError
from .client import AsyncClient, Client, _Core, _Outgoing
from .files import FileSource, multipart, read_file

if TYPE_CHECKING:
    from typing_extensions import Unpack

DEFAULT_MODEL = "gpt-4o-transcribe"
"""For services that ask for one; ChatGPT has its own."""


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


class Transcriptions:
    """`client.audio.transcriptions`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, file: FileSource, **options: Unpack[TranscriptionOptions]) -> Transcription:
        """What is said in `file`, a recording in any of the usual formats.

        Content without a name is taken for WAV. Raises CodexError; AuthError where the account may not.
        """
        return _read(self._client._fetch(_ask(self._client._core, file, options)))


class AsyncTranscriptions:
    """`client.audio.transcriptions`."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def create(self, file: FileSource, **options: Unpack[TranscriptionOptions]) -> Transcription:
        """As `Transcriptions.create`."""
        return _read(await self._client._fetch(_ask(self._client._core, file, options)))


class Audio:
    """`client.audio`."""

    def __init__(self, client: Client) -> None:
        self.transcriptions = Transcriptions(client)


class AsyncAudio:
    """`client.audio`."""

    def __init__(self, client: AsyncClient) -> None:
        self.transcriptions = AsyncTranscriptions(client)


def _ask(core: _Core, source: FileSource, options: TranscriptionOptions) -> _Outgoing:
    file = read_file(source, unnamed="audio.wav")
    if not file.content:
        raise InvalidRequestError("The recording is empty.", param="file")
    given = {
        name: str(value) for name, value in options.items() if name != "extra_body" and value is not None
    }
    fields = given | dict(options.get("extra_body") or {})
    if core.provider.is_codex:
        url = f"{core.settings.chatgpt_url}/transcribe"
    else:
        url = f"{core.provider.base_url}/audio/transcriptions"
        fields = {"model": DEFAULT_MODEL, **fields}
    content, kind = multipart(fields, [("file", file)])
    headers = {"Accept": "application/json", "Content-Type": kind}
    return _Outgoing("POST", url, headers, content, timeouts=core.patient())


def _read(answer: httpx.Response) -> Transcription:
    try:
        return msgspec.json.decode(answer.content, type=Transcription)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServiceError("The service's transcription can't be read.") from error
