"""Signing requests: the file is followed, a 401 looks at the disk first, secrets stay inside."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from codex_magic.auth.http import ApiKeyAuth, ChatGPTAuth
from codex_magic.auth.oauth import Issuer
from codex_magic.auth.sign_in import TokenSource
from codex_magic.auth.storage import Storage, auth_path
from codex_magic.protocol.errors import AccountChangedError, AuthError, NotSignedInError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.provider import openai


def sign_in(folder: Path, token: str, account: str = "acc", *, stamp: int = 0) -> None:
    tokens = {"access_token": token, "account_id": account}
    auth_path(folder).write_text(json.dumps({"auth_mode": "chatgpt", "tokens": tokens}))
    os.utime(auth_path(folder), (stamp, stamp))


def chatgpt_auth(folder: Path) -> ChatGPTAuth:
    """Without a refresh token stored, no issuer is ever asked."""
    return ChatGPTAuth(TokenSource(Storage.at(auth_path(folder)), Issuer("http://nowhere", "us", "us/1")))


def service(
    *accepted: str, before: Callable[[], None] = lambda: None
) -> tuple[list[str], httpx.MockTransport]:
    """A service that accepts some tokens, and the tokens it saw. `before` runs before each answer."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"].removeprefix("Bearer "))
        before()
        return httpx.Response(200 if seen[-1] in accepted else 401)

    return seen, httpx.MockTransport(answer)


def get(auth: httpx.Auth, transport: httpx.MockTransport, times: int = 1) -> list[httpx.Response]:
    with httpx.Client(auth=auth, transport=transport) as client:
        return [client.get("http://service") for _ in range(times)]


def test_token_and_account_are_sent(tmp_path: Path) -> None:
    sign_in(tmp_path, "t")
    _, transport = service("t")
    (response,) = get(chatgpt_auth(tmp_path), transport)
    assert response.request.headers["authorization"] == "Bearer t"
    assert response.request.headers["chatgpt-account-id"] == "acc"


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    sign_in(tmp_path, "old", stamp=1)
    seen, transport = service("old", "new", before=lambda: sign_in(tmp_path, "new", stamp=2))
    get(chatgpt_auth(tmp_path), transport, times=2)
    assert seen == ["old", "new"]


def test_a_401_looks_at_the_disk_and_asks_again(tmp_path: Path) -> None:
    """Even when the file's time is the same: some file systems count in seconds."""
    sign_in(tmp_path, "old")
    seen, transport = service("new", before=lambda: sign_in(tmp_path, "new"))
    (response,) = get(chatgpt_auth(tmp_path), transport)
    assert (response.status_code, seen) == (200, ["old", "new"])


def test_a_401_with_the_same_token_on_disk_is_final(tmp_path: Path) -> None:
    sign_in(tmp_path, "old")
    seen, transport = service("new")
    (response,) = get(chatgpt_auth(tmp_path), transport)
    assert (response.status_code, seen) == (401, ["old"])


def test_another_account_does_not_answer_for_this_one(tmp_path: Path) -> None:
    sign_in(tmp_path, "old")
    seen, transport = service("new", before=lambda: sign_in(tmp_path, "new", "other"))
    with pytest.raises(AccountChangedError, match="other"):
        get(chatgpt_auth(tmp_path), transport)
    assert seen == ["old"]


@pytest.mark.parametrize("content", [None, "{}", '{"OPENAI_API_KEY": "sk-1"}'])
def test_no_sign_in(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        auth_path(tmp_path).write_text(content)
    with pytest.raises(NotSignedInError, match="codex login"):
        get(chatgpt_auth(tmp_path), service()[1])


def test_a_key_is_sent_without_the_space_around_it() -> None:
    seen, transport = service("sk-1")
    get(ApiKeyAuth(" sk-1\n"), transport)
    assert seen == ["sk-1"]


@pytest.mark.parametrize("key", ["sk-“1”", "sk-1\nx"])
def test_a_key_that_can_be_none(key: str) -> None:
    with pytest.raises(AuthError) as caught:
        get(ApiKeyAuth(key), service()[1])
    assert "sk-" not in str(caught.value)


def test_nothing_secret_is_shown(tmp_path: Path) -> None:
    sign_in(tmp_path, "token-1")
    auth = chatgpt_auth(tmp_path)
    get(auth, service("token-1")[1])
    assert "token-1" not in repr(auth) + repr(ApiKeyAuth("token-1"))


def test_the_openai_provider_takes_the_key_of_the_environment_first(tmp_path: Path) -> None:
    auth_path(tmp_path).write_text('{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-stored"}')
    seen, transport = service("sk-env", "sk-stored")
    for key in ("sk-env", None):
        auth = openai(Settings(tmp_path, tmp_path, openai_api_key=key)).auth
        assert auth is not None
        get(auth, transport)
    assert seen == ["sk-env", "sk-stored"]


def test_a_key_beside_a_chatgpt_sign_in_is_not_spent(tmp_path: Path) -> None:
    auth_path(tmp_path).write_text('{"auth_mode": "chatgpt", "OPENAI_API_KEY": "sk-1", "tokens": {}}')
    with pytest.raises(NotSignedInError, match="OPENAI_API_KEY"):
        openai(Settings(tmp_path, tmp_path))
