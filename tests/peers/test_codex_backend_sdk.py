"""codex-backend-sdk against the local service. Its addresses are constants, so they are moved first."""

from __future__ import annotations

import pytest

pytest.importorskip("codex_backend_sdk")

pytestmark = pytest.mark.peer("codex-backend-sdk")


@pytest.fixture
def client(service, tmp_path, monkeypatch):
    from codex_backend_sdk import CodexClient, _client, _codex_version, oauth

    monkeypatch.setattr(_client, "BASE_URL", service.base_url)
    monkeypatch.setattr(_client, "WHAM_BASE_URL", service.chatgpt_url)
    monkeypatch.setattr(_client, "CHATGPT_BASE_URL", service.chatgpt_url)
    monkeypatch.setattr(_client, "OPENAI_BASE_URL", service.api_url)
    monkeypatch.setattr(oauth, "ISSUER", service.issuer)
    monkeypatch.setattr(_codex_version, "_VERSION_URL", service.url + "/latest")
    with CodexClient(max_retries=0) as client:
        yield client


@pytest.fixture
def signed_in(service, client, tmp_path, monkeypatch):
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    service.sign_in(tmp_path)
    return client.authenticate(interactive=False)


def test_a_streamed_turn(signed_in):
    stream = signed_in.responses.create(
        model="local-large", instructions="Answer.", input="echo: naïve 漢字", stream=True
    )
    text = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(text) == "naïve 漢字"


def test_it_refreshes_the_tokens_of_the_official_file(service, signed_in):
    assert service.wait_for_request("/oauth/token").json["grant_type"] == "refresh_token"
    assert signed_in.account_info()["email"] == "someone@example.com"


def test_the_models_are_listed(signed_in):
    assert "local-large" in str(signed_in.models.list())


def test_a_compaction(signed_in):
    asked = [{"role": "user", "content": "hi"}]
    assert "compaction" in str(signed_in.responses.compact(model="local-large", input=asked))


def test_a_device_sign_in(service, client, tmp_path, monkeypatch):
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    from codex_backend_sdk import oauth

    code = oauth.request_device_code(issuer=service.issuer)
    service.approve_device(code.user_code)
    store = oauth.complete_device_code_login(code, timeout=10)
    assert store.email == "someone@example.com"
