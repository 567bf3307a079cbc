"""codex-open-client against the local service. Its addresses are constants, so they are moved first."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import httpx
import pytest

codex_open_client = pytest.importorskip("codex_open_client")

pytestmark = pytest.mark.peer("codex-open-client")


@pytest.fixture
def moved(service, monkeypatch):
    from codex_open_client import _auth, _models, _responses

    monkeypatch.setattr(_responses, "CODEX_BASE_URL", service.base_url)
    monkeypatch.setattr(_models, "CODEX_BASE_URL", service.base_url)
    monkeypatch.setattr(_auth, "TOKEN_ENDPOINT", service.issuer + "/oauth/token")
    monkeypatch.setattr(_auth, "AUTH_ENDPOINT", service.issuer + "/oauth/authorize")
    return service


@pytest.fixture
def client(moved, tmp_path):
    tokens = moved.issue_tokens()
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({"access_token": tokens.access_token, "refresh_token": tokens.refresh_token}))
    return codex_open_client.CodexClient(token_path=path, max_retries=0)


def test_a_streamed_turn(client):
    stream = client.responses.create(
        model="local-large", instructions="Answer.", input="echo: naïve 漢字", stream=True
    )
    assert "".join(getattr(event, "delta", "") for event in stream) == "naïve 漢字"


def test_the_models_are_listed(client):
    """It calls itself 0.99.0, which the models here are too new for: that is how the real one answers."""
    assert client.models.list() == []


def test_a_usage_limit_is_understood(moved, client):
    moved.faults.next("usage_limit")
    with pytest.raises(codex_open_client.CodexError, match="usage limit"):
        client.responses.create(model="local-large", instructions="Answer.", input="hello")


def test_a_sign_in_with_the_pasted_address(moved, tmp_path):
    def approve(url):
        approved = httpx.get(f"{url}&{urlencode({'auto': '1'})}", trust_env=False)
        return approved.headers["location"]

    path = tmp_path / "tokens.json"
    client = codex_open_client.CodexClient(token_path=path, login_handler=approve)
    stream = client.responses.create(
        model="local-large", instructions="Answer.", input="echo: signed in", stream=True
    )
    assert "".join(getattr(event, "delta", "") for event in stream) == "signed in"


def test_an_expired_token_is_refreshed(moved, tmp_path):
    tokens = moved.issue_tokens(expires_in=-1)
    path = tmp_path / "tokens.json"
    held = {"access_token": tokens.access_token, "refresh_token": tokens.refresh_token, "expires_at": 1}
    path.write_text(json.dumps(held))
    codex_open_client.CodexClient(token_path=path)
    assert json.loads(path.read_text())["access_token"] != tokens.access_token
