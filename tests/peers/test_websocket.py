"""Clients that others wrote, over the local service's WebSocket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.peers.agent import needs_zstd
from tests.peers.test_official_binary import ask_backend
from tests.service import start
from tests.service.faults import HANDSHAKE
from tests.service.websocket import MESSAGE

pytestmark = pytest.mark.peer("openai", "codex-backend-sdk")


def messages(service):
    sent = [request.json for request in service.requests if request.method == MESSAGE]
    return [message for message in sent if message["type"] == "response.create"]


# The official binary -------------------------------------------------------------------------------


@pytest.fixture
def backend(tmp_path):
    pytest.importorskip("codex_cli_bin")
    with start(tls=tmp_path / "tls", websocket=True) as service:
        service.sign_in(tmp_path)
        yield service


@pytest.mark.parametrize("model", ["gpt-5.5", "local-lite"])
def test_the_official_binary_completes_a_turn(backend, tmp_path, model):
    [answer] = ask_backend(backend, tmp_path, "echo: naïve 漢字", model=model)
    assert answer["text"] == "naïve 漢字"
    assert {request.method for request in backend.requests if request.path.endswith("/responses")} == {
        "GET",
        MESSAGE,
    }


def test_the_official_binary_warms_up_and_sends_what_is_new(backend, tmp_path):
    prompt = 'use the tool exec_command with {"cmd": "echo from the shell"}'
    [answer] = ask_backend(backend, tmp_path, prompt, model="gpt-5.5")
    assert "from the shell" in answer["text"]
    warm_up, turn, after_the_tool = messages(backend)
    assert warm_up["generate"] is False
    assert turn["previous_response_id"] != after_the_tool["previous_response_id"]
    assert [item["type"] for item in after_the_tool["input"]] == ["function_call_output"]


@pytest.mark.parametrize("kind", ["websocket_connection_limit_reached", "previous_response_not_found"])
def test_the_official_binary_understands_an_error(backend, tmp_path, kind):
    backend.faults.next(kind)
    [answer] = ask_backend(backend, tmp_path, "echo: all the same", model="gpt-5.5")
    assert answer["text"] == "all the same"


@needs_zstd
def test_the_official_binary_goes_back_to_http(backend, tmp_path):
    backend.faults.next("status", status=426, times=9, path=HANDSHAKE)
    [answer] = ask_backend(backend, tmp_path, "echo: posted", model="gpt-5.5")
    assert answer["text"] == "posted"
    assert messages(backend) == []


# codex-backend-sdk ---------------------------------------------------------------------------------


@pytest.fixture
def service():
    with start(websocket=True) as service:
        yield service


@pytest.fixture
def sdk(service, tmp_path, monkeypatch):
    codex_backend_sdk = pytest.importorskip("codex_backend_sdk")
    from codex_backend_sdk import _client, _codex_version, oauth
    from codex_backend_sdk.resources import responses_websocket

    url = service.base_url.replace("http", "ws", 1) + "/responses"
    monkeypatch.setattr(responses_websocket, "RESPONSES_WEBSOCKET_URL", url)
    monkeypatch.setattr(_client, "BASE_URL", service.base_url)
    monkeypatch.setattr(oauth, "ISSUER", service.issuer)
    monkeypatch.setattr(_codex_version, "_VERSION_URL", service.url + "/latest")
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    service.sign_in(tmp_path)
    with codex_backend_sdk.CodexClient(max_retries=0) as client:
        client.authenticate(interactive=False)
        with responses_websocket.ResponsesWebSocket(client).connect() as connection:
            yield connection


def request(prompt, **fields):
    content = [{"type": "input_text", "text": prompt}]
    asked = {"type": "message", "role": "user", "content": content}
    body = {"model": "local-large", "instructions": "Answer.", "input": [asked], "store": False}
    return body | fields


def test_codex_backend_sdk_completes_two_responses(sdk):
    first = list(sdk.events(request("what is a list?")))
    last = first[-1]["response"]["id"]
    second = list(sdk.events(request("so far?", previous_response_id=last)))
    text = "".join(event.get("delta", "") for event in second if event["type"].endswith("text.delta"))
    assert "what is a list?" in text
    assert sdk.turn_state.startswith("ts_")


def test_codex_backend_sdk_interrupts_and_goes_on(sdk, service):
    service.faults.next("hold")
    running = sdk.events(request("explain"))
    while next(running)["type"] != "response.output_text.delta":
        pass
    service.wait_for_hold()
    sdk.interrupt()
    assert list(running)[-1]["type"] == "response.incomplete"
    again = sdk.events(request("echo: on"))
    assert "".join(event.get("delta", "") for event in again) == "on"


def test_codex_backend_sdk_names_the_connection_limit(sdk, service):
    service.faults.next("websocket_connection_limit_reached")
    with pytest.raises(RuntimeError) as refused:
        list(sdk.events(request("hi")))
    error: Any = refused.value
    assert error.code == "websocket_connection_limit_reached"


# openai-python -------------------------------------------------------------------------------------


def test_openai_python_completes_a_response(service):
    openai = pytest.importorskip("openai")
    pytest.importorskip("websockets")

    async def turn():
        client = openai.AsyncOpenAI(base_url=service.api_url, api_key="any")
        async with client, client.responses.connect() as connection:
            await connection.response.create(
                model="local-large", input=[{"role": "user", "content": "echo: hi"}]
            )
            async for event in connection:
                if event.type == "response.completed":
                    return event.response.output_text
        return None

    assert asyncio.run(turn()) == "hi"
