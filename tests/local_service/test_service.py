"""The service around the stream: models, usage, recording, https, starting and stopping."""

from __future__ import annotations

import json
import signal
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.known import some
from tests.service import Pace, start


def slugs(client, version):
    url = client.service.base_url + "/models"
    answer = client.http.get(url, params={"client_version": version}, headers=client.headers)
    return [model["slug"] for model in answer.json()["models"]]


@pytest.mark.parametrize(
    ("version", "seen"), [("0.163.0", True), ("0.150.0", False), ("0.163.1-alpha.2", True)]
)
def test_new_models_are_kept_from_old_clients(client, version, seen):
    assert ("local-next" in slugs(client, version)) is seen


def test_a_very_old_client_sees_no_models(client):
    assert slugs(client, "0.0.0") == []


def test_hidden_models_are_in_the_catalog_and_marked(client):
    models = client.http.get(client.service.base_url + "/models", headers=client.headers).json()["models"]
    hidden = {model["slug"] for model in models if model["visibility"] == "hide"}
    assert hidden == {"gpt-5.5", "gpt-5.6-sol", "local-hidden"}
    assert min(models, key=lambda model: model["priority"])["slug"] == "local-large"


def test_the_public_list_of_models_has_its_own_shape(client):
    url = client.service.api_url + "/models"
    listed = client.http.get(url, headers=client.headers).json()
    assert listed["object"] == "list"
    assert (
        "models" in client.http.get(url, params={"client_version": "0.163.0"}, headers=client.headers).json()
    )


def test_usage_fills_with_each_request(client):
    url = client.service.chatgpt_url + "/wham/usage"

    def used():
        limits = client.http.get(url, headers=client.headers).json()["rate_limit"]
        return limits["primary_window"]["used_percent"]

    before = used()
    client.post()
    assert used() > before


def test_requests_are_recorded(client):
    client.post("hello", headers={"X-Probe": "1"})
    recorded = client.service.wait_for_request("/responses")
    assert (recorded.method, recorded.path) == ("POST", "/backend-api/codex/responses")
    assert recorded.headers["x-probe"] == "1"
    assert recorded.json["input"][0]["content"][0]["text"] == "hello"
    assert client.service.requests[-1] is recorded


def test_a_waiting_thread_hears_of_the_second_request(client):
    found = []
    waiting = threading.Thread(
        target=lambda: found.append(client.service.wait_for_request("/responses", count=2))
    )
    waiting.start()
    client.post("first")
    client.post("second")
    waiting.join()
    assert found[0].json["input"][0]["content"][0]["text"] == "second"


def test_bodies_compressed_with_zstd_are_read(client):
    zstandard = pytest.importorskip("zstandard")
    body = zstandard.compress(json.dumps(client.body("echo: small")).encode())
    headers = client.headers | {"Content-Encoding": "zstd"}
    answer = client.http.post(client.service.base_url + "/responses", content=body, headers=headers)
    assert b"small" in answer.content
    assert client.service.requests[-1].json["model"] == "local-large"


@pytest.mark.parametrize(("encoding", "word"), [("br", "br"), ("zstd", "zstd")])
def test_bodies_that_can_not_be_decompressed_are_refused(client, monkeypatch, encoding, word):
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    headers = client.headers | {"Content-Encoding": encoding}
    answer = client.http.post(client.service.base_url + "/responses", content=b"?", headers=headers)
    assert answer.status_code == 415
    assert word in answer.json()["detail"]


def test_https_with_an_authority_of_its_own(tmp_path):
    with start(tls=tmp_path) as service:
        trusted = ssl.create_default_context(cafile=service.ca_file)
        tokens = service.issue_tokens()
        headers = {"Authorization": f"Bearer {tokens.access_token}"}
        with httpx.Client(verify=trusted, trust_env=False, headers=headers) as client:
            checked = client.get(service.chatgpt_url + "/wham/accounts/check").json()
    assert checked["accounts"][0]["workspace_backend_origin"] == service.url


def test_a_taken_port_is_an_error(service):
    port = int(service.url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        start(port=port)


def test_closing_twice_is_fine(service):
    service.close()
    service.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(service.url, trust_env=False)


@pytest.mark.parametrize("kind", ["no_headers", "hold", "hold_headers"])
def test_closing_does_not_wait_for_anybody(client, kind):
    client.service.faults.next(kind)

    def ask():
        with pytest.raises(httpx.TransportError):
            client.post()

    asking = threading.Thread(target=ask)
    asking.start()
    client.service.wait_for_request()
    client.service.close()
    asking.join()


@pytest.mark.parametrize("text", ["fast", "-1", "40 speed=2", "40 chars=0"])
def test_a_pace_that_makes_no_sense_is_an_error(text):
    with pytest.raises(ValueError, match=r"\w"):
        Pace.parse(text)


def test_a_pace_that_makes_no_sense_in_a_prompt_is_refused(client):
    assert client.post("pace: fast\nhello").status_code == 400


@pytest.mark.skipif(sys.platform == "win32", reason="a signal kills there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_tells_its_address_and_ends_on_a_signal(tmp_path, number):
    command = [sys.executable, "-m", "tests.service", "--sign-in", str(tmp_path), "--pace", "max"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as program:
        told = [next(some(program.stdout)) for _ in range(5)]
        url = told[0].split("listens on ")[1].split(";")[0]
        assert httpx.get(url + "/v1/models", trust_env=False).status_code == 200
        program.send_signal(number)
        assert program.wait(timeout=20) == 0
    assert (tmp_path / "auth.json").exists()
