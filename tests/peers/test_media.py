"""Pictures, speech and calls of the local service, asked for by clients nobody here wrote."""

from __future__ import annotations

import base64
import io

import pytest

from tests.local_service.test_media import OFFER
from tests.service.media import picture

pytestmark = pytest.mark.peer("openai", "codex-backend-sdk")

SOUND = io.BytesIO(b"RIFF\x04\x00\x00\x00WAVE")


@pytest.fixture
def openai_python(service):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(api_key="key", base_url=service.api_url, max_retries=0) as client:
        yield client


@pytest.fixture
def sdk(service, tmp_path, monkeypatch):
    pytest.importorskip("codex_backend_sdk")
    from codex_backend_sdk import CodexClient, _client, _codex_version, oauth

    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    monkeypatch.setattr(_client, "BASE_URL", service.base_url)
    monkeypatch.setattr(_client, "CHATGPT_BASE_URL", service.chatgpt_url)
    monkeypatch.setattr(oauth, "ISSUER", service.issuer)
    monkeypatch.setattr(_codex_version, "_VERSION_URL", service.url + "/latest")
    service.sign_in(tmp_path)
    with CodexClient(max_retries=0) as client:
        yield client.authenticate(interactive=False)


def test_openai_python_makes_pictures(openai_python):
    made = openai_python.images.generate(prompt="a cat", model="gpt-image-2", n=2)
    assert base64.b64decode(made.data[0].b64_json) == picture("a cat 0")
    edited = openai_python.images.edit(image=[("a.png", picture("x"))], prompt="redder", model="gpt-image-2")
    assert len(edited.data) == 1


def test_openai_python_transcribes(openai_python):
    heard = openai_python.audio.transcriptions.create(file=("said.wav", SOUND), model="gpt-4o-transcribe")
    assert "said.wav" in heard.text


def test_openai_python_calls(openai_python):
    answer = openai_python.realtime.calls.create(sdp=OFFER, session={"type": "realtime", "model": "m"})
    assert answer.content.startswith(b"v=0\r\n")


def test_codex_backend_sdk_makes_pictures(sdk):
    made = sdk.images.generate(prompt="a cat")
    assert base64.b64decode(made.data[0].b64_json) == picture("a cat 0")
    assert len(sdk.images.edit(image=("a.png", picture("x")), prompt="redder").data) == 1


def test_codex_backend_sdk_calls(sdk):
    call = sdk.realtime.calls.create_v3(sdp=OFFER, session={"model": "gpt-live-1-codex"})
    assert call.answer_sdp.startswith("v=0\r\n")
    assert call.call_id.startswith("rtc_")
