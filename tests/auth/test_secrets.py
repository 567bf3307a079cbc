"""Marked secrets, every flow, every fault: none of them is in an error, a traceback, a log line or the store."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from codex_magic import Codex, CodexConfig
from codex_magic.auth.credentials import Tokens, with_sign_in
from codex_magic.auth.handles import AsyncLogin
from codex_magic.auth.oauth import Callback
from codex_magic.auth.sign_in import SignIn
from codex_magic.auth.storage import Storage
from codex_magic.protocol.errors import CodexError, LoginError
from codex_magic.protocol.settings import Settings
from codex_magic.responses.provider import chatgpt
from tests.auth.test_handles import address
from tests.service import LocalService

MARK = "MARKED"
ECHOES: list[tuple[str, dict[str, Any]]] = [
    (
        "status",
        {"status": 400, "body": {"error": "odd", "error_description": "What is rt_MARKED, ac_MARKED?"}},
    ),
    ("status", {"status": 401, "body": {"error": {"message": "rt_MARKED ac_MARKED", "code": "odd"}}}),
    ("status", {"status": 500, "body": "rt_MARKED ac_MARKED"}),
    ("status", {"status": 200, "body": {"access_token": 5, "refresh_token": "rt_MARKED"}}),
    ("status", {"status": 200, "body": {"id_token": "MARKED", "refresh_token": "rt_MARKED"}}),
    ("status", {"status": 200, "body": 'rt_MARKED {"refresh_token": "rt_MARKED"}'}),
    ("cloudflare", {}),
    ("refuse", {}),
]


@pytest.fixture
def codex(settings: Settings) -> Iterator[Codex]:
    with Codex(CodexConfig(settings=replace(settings), provider=replace(chatgpt(settings)))) as codex:
        yield codex


def shown(error: BaseException) -> str:
    """As the notebook, a log and `%xmode Verbose` show it, without the frame of the test itself."""
    ours = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    told = traceback.TracebackException.from_exception(ours, capture_locals=True)
    return "".join([str(error), repr(error), *told.format()])


def signed_in(settings: Settings) -> None:
    tokens = Tokens(access_token="at_MARKED.x.y", id_token="MARKED.x.y", refresh_token="rt_MARKED")
    Storage.of(settings).update(lambda document: with_sign_in(document, tokens))


def left(settings: Settings) -> str:
    files = [path.read_bytes() for path in settings.home.rglob("*") if path.is_file()]
    return b"".join(files).decode(errors="replace")


@pytest.mark.parametrize(("kind", "options"), ECHOES)
def test_a_turn_whose_refresh_fails(
    codex: Codex,
    issuer_service: LocalService,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    options: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    signed_in(settings)
    issuer_service.faults.next(kind, path="/oauth/token", times=9, **options)
    with pytest.raises(CodexError) as caught:
        codex.thread_start().run("echo: hi", model="gpt-5.5")
    everything = shown(caught.value) + caplog.text + left(settings) + repr(vars(codex.asynchronous))
    assert MARK not in everything


@pytest.mark.parametrize(("kind", "options"), ECHOES)
def test_a_browser_sign_in_that_fails(
    codex: Codex,
    issuer_service: LocalService,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    options: Any,
) -> None:
    caplog.set_level(logging.DEBUG, logger="codex_magic")
    caplog.set_level(logging.DEBUG, logger="asyncio")
    issuer_service.faults.next(kind, path="/oauth/token", **options)
    login = codex.login_chatgpt()
    page = httpx.get(address(login.asynchronous, code="ac_MARKED"))
    ended = login.wait()
    hidden = (MARK, login.asynchronous._pending._verifier)
    everything = repr(ended) + page.text + caplog.text + repr(vars(login.asynchronous)) + left(settings)
    assert not ended.success
    assert not any(secret in everything for secret in hidden)


@pytest.mark.parametrize(("kind", "options"), ECHOES)
def test_a_pasted_address_that_fails(
    sign_in: SignIn, issuer_service: LocalService, caplog: pytest.LogCaptureFixture, kind: str, options: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    issuer_service.faults.next(kind, path="/oauth/token", **options)
    pending = sign_in.issuer.begin("http://127.0.0.1:1455/auth/callback")
    pasted = f"?code=ac_MARKED&state={pending._state}"
    with pytest.raises(CodexError) as caught:
        sign_in.finish(pending, Callback.parse(pasted))
    told = (
        "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value) + repr(pending)
    )
    assert not any(secret in told for secret in (MARK, pending._verifier))


def test_what_a_handle_shows(codex: Codex) -> None:
    login = codex.login_chatgpt()
    handle: AsyncLogin = login.asynchronous
    assert login.asynchronous._pending._verifier not in repr(handle) + repr(vars(handle)) + repr(login)
    login.cancel()


@pytest.mark.parametrize("query", ["code=ac_MARKED&state=forged", "code=ac_MARKED", "ac_MARKED"])
def test_a_traceback_with_locals_shows_no_pasted_code(codex: Codex, query: str) -> None:
    login = codex.login_chatgpt()
    with pytest.raises(LoginError) as caught:
        login.paste(f"http://127.0.0.1:1455/auth/callback?{query}")
    assert MARK not in shown(caught.value)
    login.cancel()
