"""The plain functions: the names and signatures of codex-open-client, on the official file."""

from __future__ import annotations

import inspect
import json
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import codex_open_client
import httpx
import pytest

from codex_magic import AsyncClient, Client, auth
from codex_magic.auth.storage import auth_path
from codex_magic.protocol.errors import AuthError, LoginError, NotSignedInError
from codex_magic.responses.provider import chatgpt
from tests.home import service_variables
from tests.service import LocalService


@pytest.fixture
def service(issuer_service: LocalService, monkeypatch: pytest.MonkeyPatch) -> LocalService:
    """The environment's issuer; nobody is signed in."""
    for name, value in service_variables(issuer_service).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CODEX_MAGIC_CALLBACK_PORTS", "0")
    return issuer_service


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A browser that approves; the links it was given."""
    links: list[str] = []
    visits: list[threading.Thread] = []

    def visit(url: str) -> bool:
        links.append(url)
        visits.append(threading.Thread(target=httpx.get, args=[url], kwargs={"follow_redirects": True}))
        visits[-1].start()
        return True

    monkeypatch.setattr(webbrowser, "open", visit)
    yield links
    for each in visits:
        each.join()


def redirected(url: str) -> str:
    """Where a browser ends that has nobody to listen to it."""
    return httpx.get(url).headers["location"]


@pytest.mark.peer("codex-open-client")
@pytest.mark.parametrize("name", [name for name in auth.__all__ if inspect.isfunction(getattr(auth, name))])
def test_the_signatures_are_the_same(name: str) -> None:
    theirs = inspect.signature(getattr(codex_open_client, name))
    ours = inspect.signature(getattr(auth, name))
    assert [(p.name, p.kind, p.default is p.empty) for p in ours.parameters.values()] == [
        (p.name, p.kind, p.default is p.empty) for p in theirs.parameters.values()
    ]


@pytest.mark.peer("codex-open-client")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (auth.TokenData, codex_open_client._config.TokenData),
        (auth.PendingLogin, codex_open_client.PendingLogin),
    ],
)
def test_the_values_have_the_same_fields(ours: Any, theirs: Any) -> None:
    names = [name for name in inspect.signature(theirs).parameters if name != "_extra"]
    assert [*inspect.signature(ours).parameters] == names


def test_login_opens_the_browser(service: LocalService, browser: list[str], home: Path) -> None:
    found = auth.login()
    assert (len(browser), found.is_expired(), found.is_expired(11 * 86400)) == (1, False, True)
    assert json.loads(auth_path(home / ".codex").read_text())["tokens"]["access_token"] == found.access_token


def test_login_without_a_browser_prints_the_link(
    service: LocalService, browser: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.print", lambda text: webbrowser.open(text.split()[-1]))
    assert auth.login(no_browser=True).refresh_token


def test_a_headless_login_asks_for_the_address(
    service: LocalService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "tokens.json"
    monkeypatch.setattr("builtins.input", lambda _: redirected(capsys.readouterr().out.split()[-1]))
    found = auth.login(headless=True, token_path=path)
    assert json.loads(path.read_text())["tokens"]["refresh_token"] == found.refresh_token
    assert auth.get_token(token_path=path) == found.access_token


def test_a_login_that_fails(service: LocalService, browser: list[str]) -> None:
    service.faults.next("server_error", path="/oauth/token")
    with pytest.raises(LoginError, match="HTTP 500"):
        auth.login()


def test_get_token_signs_in_only_when_it_must(service: LocalService, browser: list[str], home: Path) -> None:
    first = auth.get_token()
    assert auth.get_token() == first
    expired = service.sign_in(home / ".codex", expires_in=-60)
    assert auth.get_token() not in {first, expired.access_token}
    assert len(browser) == 1
    service.revoke(service.sign_in(home / ".codex", expires_in=-60).refresh_token)
    assert auth.get_token()
    assert len(browser) == 2


def test_refresh(service: LocalService, home: Path) -> None:
    old = service.sign_in(home / ".codex")
    new = auth.refresh(old.refresh_token)
    assert auth.get_token() == new.access_token != old.access_token
    with pytest.raises(AuthError, match="Your sign-in"):
        auth.refresh(old.refresh_token)
    assert auth.get_token() == new.access_token


def test_two_steps(service: LocalService) -> None:
    pending = auth.start_login()
    with pytest.raises(LoginError):
        auth.finish_login(pending, callback_url=redirected(auth.start_login().url))
    found = auth.finish_login(pending, callback_url=redirected(pending.url))
    assert auth.get_token() == found.access_token
    for shown in (repr(pending), repr(found)):
        assert pending._verifier not in shown
        assert found.access_token not in shown


def test_headers(service: LocalService) -> None:
    tokens = service.issue_tokens()
    headers = auth.build_headers(tokens.access_token)
    assert httpx.get(service.chatgpt_url + "/wham/usage", headers=headers).status_code == 200
    assert auth.get_account_id(tokens.access_token) == tokens.account_id == headers["ChatGPT-Account-ID"]
    assert auth.get_account_id("no-jwt") is None
    assert "ChatGPT-Account-ID" not in auth.build_headers("no-jwt")


def test_a_client_asks_for_a_sign_in(service: LocalService) -> None:
    from codex_magic import Settings

    settings = Settings.from_env()
    asked: list[str] = []

    def handler(url: str) -> str:
        asked.append(url)
        return redirected(url)

    with Client(chatgpt(settings), settings=settings, login_handler=handler) as client:
        assert client.responses.create("echo: hi").output_text == "hi"
        assert client.responses.create("echo: ho").output_text == "ho"
    assert len(asked) == 1


async def ask(**options: Any) -> str:
    from codex_magic import Settings

    settings = Settings.from_env()
    async with AsyncClient(chatgpt(settings), settings=settings, **options) as client:
        return (await client.responses.create("echo: hi")).output_text


def test_an_async_client_asks_for_a_sign_in(service: LocalService) -> None:
    import asyncio

    with pytest.raises(NotSignedInError):
        asyncio.run(ask())
    assert asyncio.run(ask(login_handler=redirected)) == "hi"
