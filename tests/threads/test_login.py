"""Signing in and out of a `Codex`, as in the official SDK; its requests follow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from codex_magic import (
    AccountChangedError,
    ApiKeyAccount,
    AsyncCodex,
    ChatgptAccount,
    Codex,
    CodexConfig,
    GetAccountResponse,
    LoginError,
    LoginState,
    NotSignedInError,
    Settings,
)
from tests.service import LocalService, start

ME = ChatgptAccount("someone@example.com", "plus")


@pytest.fixture
def service() -> Iterator[LocalService]:
    with start(auto_approve=True) as service:
        yield service


@pytest.fixture
def config(service: LocalService, tmp_path: Path) -> CodexConfig:
    settings = Settings(
        codex_home=tmp_path / "codex",
        home=tmp_path / "ours",
        base_url=service.base_url,
        chatgpt_url=service.chatgpt_url,
        issuer=service.issuer,
        openai_base_url=service.api_url,
        callback_ports=(0,),
    )
    return CodexConfig(settings=settings)


@pytest.fixture
def codex(config: CodexConfig) -> Iterator[Codex]:
    with Codex(config) as codex:
        yield codex


def visit(url: str) -> None:
    httpx.get(url, follow_redirects=True)


def requests(service: LocalService, path: str) -> list[object]:
    return [request.json for request in service.requests if request.path == path]


def test_by_browser(codex: Codex) -> None:
    assert codex.account() == GetAccountResponse(None)
    login = codex.login_chatgpt()
    visit(login.auth_url)
    ended = login.wait()
    assert (ended.login_id, ended.success, ended.error) == (login.login_id, True, None)
    assert codex.account() == GetAccountResponse(ME)


def test_by_device_code(codex: Codex, service: LocalService) -> None:
    login = codex.login_chatgpt_device_code()
    assert login.verification_url.endswith("/codex/device")
    service.approve_device(login.user_code, email="me@example.com", plan="pro")
    assert login.wait().success
    assert codex.account().account == ChatgptAccount("me@example.com", "pro")


def test_by_a_pasted_address(codex: Codex) -> None:
    login = codex.login_chatgpt_pasted()
    states: list[LoginState] = []
    login.subscribe(lambda update: states.append(update.state))
    login.paste(httpx.get(login.auth_url).headers["location"])
    assert login.wait().success
    assert states == [LoginState.pending, LoginState.success]


def test_by_key(codex: Codex, service: LocalService) -> None:
    codex.login_api_key(" sk-first ")
    assert codex.account().account == ApiKeyAccount()
    codex.thread_start().run("echo: hi", model="local-large")
    codex.login_api_key("sk-second")
    codex.thread_start().run("echo: hi", model="local-large")
    sent = [one.headers["authorization"] for one in service.requests if one.path == "/v1/responses"]
    assert sent == ["Bearer sk-first", "Bearer sk-second"]


@pytest.mark.parametrize("key", ["", " ", "sk-“1”", "sk 1"])
def test_what_is_no_key(codex: Codex, key: str) -> None:
    with pytest.raises(LoginError, match="not an API key"):
        codex.login_api_key(key)


def test_an_async_codex_signs_in(config: CodexConfig, service: LocalService) -> None:
    async def live() -> GetAccountResponse:
        async with AsyncCodex(config) as codex:
            login = await codex.login_chatgpt_device_code()
            service.approve_device(login.user_code)
            assert (await login.wait()).success
            return await codex.account(refresh_token=True)

    assert asyncio.run(live()).account == ME


def test_a_new_attempt_ends_the_one_before(codex: Codex) -> None:
    first = codex.login_chatgpt()
    second = codex.login_chatgpt()
    assert (first.wait().success, second.state) == (False, LoginState.pending)
    second.cancel()


def test_closing_gives_up_an_attempt(config: CodexConfig) -> None:
    with Codex(config) as codex:
        login = codex.login_chatgpt()
    assert not login.wait().success


def test_another_account_that_is_signed_in_to_here_is_followed(codex: Codex, service: LocalService) -> None:
    """One that another program signed in to is not."""
    home = codex.asynchronous.settings.codex_home
    service.sign_in(home)
    thread = codex.thread_start()
    assert thread.run("echo: hi").final_response == "hi"
    service.sign_in(home, email="stranger@example.com")
    with pytest.raises(AccountChangedError, match="stranger"):
        thread.run("echo: hi")
    login = codex.login_chatgpt_device_code()
    service.approve_device(login.user_code, email="me@example.com")
    assert login.wait().success
    assert codex.thread_start().run("echo: again").final_response == "again"


def test_a_new_sign_in_revokes_the_old_one(codex: Codex, service: LocalService) -> None:
    old = service.sign_in(codex.asynchronous.settings.codex_home)
    visit(codex.login_chatgpt().auth_url)
    assert service.wait_for_request("/oauth/revoke").json["token"] == old.refresh_token


def test_logout_revokes_and_forgets(codex: Codex, service: LocalService) -> None:
    old = service.sign_in(codex.asynchronous.settings.codex_home)
    thread = codex.thread_start()
    thread.run("echo: hi")
    codex.logout()
    codex.logout()
    assert codex.account().account is None
    (revoked,) = requests(service, "/oauth/revoke")
    assert revoked == {
        "token": old.refresh_token,
        "token_type_hint": "refresh_token",
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
    }
    with pytest.raises(NotSignedInError):
        thread.run("echo: hi")


def test_logout_works_without_the_service(codex: Codex, service: LocalService) -> None:
    service.sign_in(codex.asynchronous.settings.codex_home)
    service.close()
    codex.logout()
    assert codex.account().account is None


def test_an_account_whose_sign_in_has_ended(codex: Codex, service: LocalService) -> None:
    """A service that can't be asked says nothing about it."""
    old = service.sign_in(codex.asynchronous.settings.codex_home)
    service.faults.next("server_error", path="/oauth/token")
    assert codex.account(refresh_token=True).account == ME
    service.revoke(old.refresh_token)
    assert codex.account().account == ME
    assert codex.account(refresh_token=True).account is None


def test_a_server_of_ones_own_needs_no_account(config: CodexConfig, service: LocalService) -> None:
    with Codex(CodexConfig(settings=config.settings, provider=service.api_url)) as codex:
        assert codex.account() == GetAccountResponse(None, requires_openai_auth=False)


def test_the_setting_of_the_cli_says_where_it_is_kept(config: CodexConfig) -> None:
    assert config.settings is not None
    settings = replace(config.settings)
    settings.codex_home.mkdir()
    (settings.codex_home / "config.toml").write_text('cli_auth_credentials_store = "ephemeral"')
    with Codex(CodexConfig(settings=settings)) as codex:
        visit(codex.login_chatgpt().auth_url)
        assert codex.account().account == ME
        assert not (settings.codex_home / "auth.json").exists()
        codex.logout()


def test_what_is_stored_is_the_official_file(codex: Codex) -> None:
    visit(codex.login_chatgpt().auth_url)
    written = json.loads((codex.asynchronous.settings.codex_home / "auth.json").read_text())
    assert (written["auth_mode"], written["OPENAI_API_KEY"]) == ("chatgpt", None)
