"""`client.audio.transcriptions`, of a ChatGPT plan and of the public API."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from codex_magic.protocol.errors import AuthError, InvalidRequestError, ServiceError
from codex_magic.responses.client import Client
from tests.responses.conftest import only_codex
from tests.responses.conversing import Caller
from tests.responses.wire import Wire, plain

SOUND = b"RIFF\x04\x00\x00\x00WAVE"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "said.mp3"
    path.write_bytes(SOUND)
    return path


def test_speech_becomes_text(call: Caller, recording: Path) -> None:
    heard = call(lambda client: client.audio.transcriptions.create(recording, language="de", prompt=None))
    assert str(heard) == heard.text == "A scripted transcription of said.mp3, 12 bytes."
    sent = call.service.requests[-1]
    assert sent.path == ("/backend-api/transcribe" if call.manner == "codex" else "/v1/audio/transcriptions")
    assert b'name="file"; filename="said.mp3"' in sent.body
    assert b'name="language"\r\n\r\nde\r\n' in sent.body
    assert (b'name="model"' in sent.body) is (call.manner == "api")
    assert b"prompt" not in sent.body


@pytest.mark.parametrize(
    ("source", "name"),
    [(SOUND, "audio.wav"), (("a.flac", SOUND), "a.flac"), (io.BytesIO(SOUND), "audio.wav")],
)
def test_a_recording_from_anywhere(call: Caller, source: Any, name: str) -> None:
    if isinstance(source, io.BytesIO):
        source.seek(0)
    heard = call(lambda client: client.audio.transcriptions.create(source))
    assert heard.text == f"A scripted transcription of {name}, 12 bytes."


def test_an_open_file_keeps_its_name(call: Caller, recording: Path) -> None:
    with recording.open("rb") as file:
        heard = call(lambda client: client.audio.transcriptions.create(file))
    assert "said.mp3" in heard.text


@pytest.mark.parametrize("source", ["no-such-file.wav", b""])
def test_what_is_no_recording_is_not_sent(call: Caller, source: str | bytes) -> None:
    with pytest.raises(InvalidRequestError):
        call(lambda client: client.audio.transcriptions.create(source))
    assert call.service.requests == []


@only_codex
def test_an_account_that_may_not(call: Caller) -> None:
    call.service.faults.next("transcription_denied")
    with pytest.raises(AuthError, match="not available"):
        call(lambda client: client.audio.transcriptions.create(SOUND))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"words": 1}', b"\xff"])
def test_an_answer_that_can_not_be_read(wire: Wire, client: Client, body: bytes) -> None:
    wire.answer(plain(200, body))
    with pytest.raises(ServiceError, match="transcription"):
        client.audio.transcriptions.create(SOUND)
