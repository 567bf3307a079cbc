"""A token near its end, or refused, is renewed once; nothing that goes wrong signs anyone out by accident."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from codex_magic.auth import sign_in as sign_in_module
from codex_magic.auth.credentials import Tokens, with_sign_in, with_tokens
from codex_magic.auth.http import ChatGPTAuth
from codex_magic.auth.sign_in import TokenSource
from codex_magic.auth.storage import Storage, auth_path
from codex_magic.protocol.errors import (
    AccountChangedError,
    AuthError,
    CodexError,
    NotSignedInError,
    ServiceError,
    TimedOutError,
    UnreachableError,
)
from codex_magic.protocol.settings import Settings
from tests.service import LocalService

Ask = Callable[[TokenSource], int]


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, issuer_service: LocalService) -> Ask:
    """Asks who we are, with a body; gives the status."""
    url = issuer_service.chatgpt_url + "/wham/usage"

    def ask_sync(source: TokenSource) -> int:
        with httpx.Client(auth=ChatGPTAuth(source)) as client:
            return client.request("GET", url, content=iter([b"a ", b"body"])).status_code

    async def ask_async(source: TokenSource) -> int:
        async def body() -> Any:
            yield b"a body"

        async with httpx.AsyncClient(auth=ChatGPTAuth(source)) as client:
            return (await client.request("GET", url, content=body())).status_code

    return ask_sync if request.param == "sync" else lambda source: asyncio.run(ask_async(source))


def refreshes(service: LocalService) -> list[Any]:
    return [request for request in service.requests if request.path == "/oauth/token"]


def stored(settings: Settings) -> Any:
    return json.loads(auth_path(settings.codex_home).read_text())


@pytest.mark.parametrize(("expires_in", "count"), [(-60, 1), (290, 1), (330, 0)])
def test_a_token_near_its_end_is_renewed_first(
    ask: Ask,
    issuer_service: LocalService,
    settings: Settings,
    source: TokenSource,
    expires_in: int,
    count: int,
) -> None:
    old = issuer_service.sign_in(settings.codex_home, expires_in=expires_in)
    assert [ask(source), ask(source)] == [200, 200]
    assert len(refreshes(issuer_service)) == count
    assert (stored(settings)["tokens"]["refresh_token"] == old.refresh_token) is (count == 0)


def test_a_refresh_is_sent_as_the_cli_sends_it(
    issuer_service: LocalService, settings: Settings, source: TokenSource, ask: Ask
) -> None:
    old = issuer_service.sign_in(settings.codex_home, expires_in=-60)
    ask(source)
    (sent,) = refreshes(issuer_service)
    assert sent.json == {
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "grant_type": "refresh_token",
        "refresh_token": old.refresh_token,
    }
    assert sent.headers["originator"] == "codex_magic"
    assert sent.headers["user-agent"].startswith("codex_magic/")


def test_a_refused_token_is_renewed_once(
    ask: Ask, issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    """The body of the request comes again whole."""
    old = issuer_service.sign_in(settings.codex_home)
    issuer_service.revoke(old.access_token)
    assert ask(source) == 200
    asked = [request.body for request in issuer_service.requests if request.path.endswith("/usage")]
    assert (asked, len(refreshes(issuer_service))) == ([b"a body"] * 2, 1)


def test_a_refused_token_that_was_renewed_elsewhere_is_not_renewed_again(
    ask: Ask, issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    old = issuer_service.sign_in(settings.codex_home)
    source.current()
    issuer_service.revoke(old.access_token)
    issuer_service.sign_in(settings.codex_home)
    assert (ask(source), refreshes(issuer_service)) == (200, [])


def test_a_token_that_is_refused_all_the_same_is_not_asked_for_again(
    ask: Ask, issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    issuer_service.sign_in(settings.codex_home)
    issuer_service.faults.next("token_invalidated", times=9, path="/wham/usage")
    assert (ask(source), len(refreshes(issuer_service))) == (401, 1)


@pytest.mark.parametrize(
    "code", ["refresh_token_reused", "refresh_token_expired", "refresh_token_invalidated"]
)
def test_a_refresh_token_that_is_good_for_nothing_is_asked_for_once(
    ask: Ask,
    issuer_service: LocalService,
    settings: Settings,
    source: TokenSource,
    code: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_in_module, "_LOOK_SECONDS", 0.001)
    before = issuer_service.sign_in(settings.codex_home, expires_in=-60)
    issuer_service.faults.next(code)
    for _ in range(2):
        with pytest.raises(AuthError, match="codex login"):
            ask(source)
    assert len(refreshes(issuer_service)) == 1
    assert stored(settings)["tokens"]["refresh_token"] == before.refresh_token
    issuer_service.sign_in(settings.codex_home)
    assert ask(source) == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {}),
        (400, {"error": "invalid_grant"}),
        (400, {"error": {"code": "Refresh_Token_Reused"}}),
        (400, {"code": "refresh_token_expired"}),
    ],
)
def test_the_shapes_of_a_final_refusal(
    issuer_service: LocalService,
    settings: Settings,
    source: TokenSource,
    status: int,
    body: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sign_in_module, "_LOOK_SECONDS", 0.001)
    issuer_service.sign_in(settings.codex_home)
    issuer_service.faults.next("status", path="/oauth/token", status=status, body=body)
    for _ in range(2):
        with pytest.raises(AuthError, match="Your sign-in"):
            source.renewed(source.current()).result()
    assert len(refreshes(issuer_service)) == 1


def test_another_program_that_refreshed_at_the_same_moment_is_waited_for(
    ask: Ask,
    issuer_service: LocalService,
    settings: Settings,
    source: TokenSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CLI takes no lock: its new tokens are stored after ours were refused."""
    issuer_service.sign_in(settings.codex_home, expires_in=-60)
    issuer_service.faults.next("refresh_token_reused")
    looked = threading.Event()

    def look(_: float) -> None:
        if not looked.is_set():
            issuer_service.sign_in(settings.codex_home)
        looked.set()

    monkeypatch.setattr("codex_magic.auth.sign_in.time.sleep", look)
    assert (ask(source), looked.is_set()) == (200, True)


FAULTS: list[tuple[str, dict[str, Any], type[CodexError]]] = [
    ("server_error", {}, ServiceError),
    ("bad_gateway", {}, ServiceError),
    ("cloudflare", {}, ServiceError),
    ("status", {"status": 200, "body": "<html>log in to the hotel</html>"}, ServiceError),
    ("status", {"status": 200, "body": {}}, ServiceError),
    ("status", {"status": 400, "body": {"error": "odd"}}, AuthError),
    ("refuse", {}, UnreachableError),
    ("no_headers", {}, TimedOutError),
]


@pytest.mark.parametrize(("kind", "options", "error"), FAULTS)
def test_an_issuer_that_fails_does_not_end_a_token_that_is_good(
    ask: Ask,
    issuer_service: LocalService,
    settings: Settings,
    hurried: TokenSource,
    kind: str,
    options: Any,
    error: type[CodexError],
) -> None:
    """It is left alone for a while, too."""
    issuer_service.sign_in(settings.codex_home, expires_in=200)
    issuer_service.faults.next(kind, path="/oauth/token", **options)
    assert [ask(hurried), ask(hurried)] == [200, 200]
    assert len(refreshes(issuer_service)) == 1


@pytest.mark.parametrize(("kind", "options", "error"), FAULTS)
def test_an_issuer_that_fails_is_told_when_the_token_has_ended(
    ask: Ask,
    issuer_service: LocalService,
    settings: Settings,
    hurried: TokenSource,
    kind: str,
    options: Any,
    error: type[CodexError],
) -> None:
    before = issuer_service.sign_in(settings.codex_home, expires_in=-60)
    issuer_service.faults.next(kind, path="/oauth/token", **options)
    with pytest.raises(error) as caught:
        ask(hurried)
    assert str(caught.value).count(". ") <= 2
    assert stored(settings)["tokens"]["refresh_token"] == before.refresh_token
    assert ask(hurried) == 200


def test_a_partial_answer_keeps_the_rest(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    old = issuer_service.sign_in(settings.codex_home, email="me@example.com")
    new = issuer_service.issue_tokens(email="me@example.com").access_token
    issuer_service.faults.next("status", path="/oauth/token", status=200, body={"access_token": new})
    found = source.renewed(source.current()).result()
    assert (found.access_token, found.refresh_token, found.email) == (
        new,
        old.refresh_token,
        "me@example.com",
    )


def test_requests_at_the_same_time_share_one_refresh(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    issuer_service.sign_in(settings.codex_home, expires_in=-60)
    issuer_service.faults.next("hold_headers", path="/oauth/token")
    url = issuer_service.chatgpt_url + "/wham/usage"
    with httpx.Client(auth=ChatGPTAuth(source)) as client, ThreadPoolExecutor(8) as threads:
        asking = [threads.submit(client.get, url) for _ in range(8)]
        issuer_service.wait_for_hold(path="/oauth/token")
        issuer_service.release()
        assert {one.result().status_code for one in asking} == {200}
    assert len(refreshes(issuer_service)) == 1


def test_waiting_for_the_lock_does_not_stop_an_event_loop(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    """If it did, nobody would give the lock back here."""
    issuer_service.sign_in(settings.codex_home, expires_in=-60)

    async def main() -> int:
        async with httpx.AsyncClient(auth=ChatGPTAuth(source)) as client:
            with source.storage.locked():
                asking = asyncio.ensure_future(client.get(issuer_service.chatgpt_url + "/wham/usage"))
                done, _ = await asyncio.wait([asking], timeout=0.05)
                assert not done
            return (await asking).status_code

    assert asyncio.run(main()) == 200


def test_a_cancelled_request_does_not_lose_the_new_tokens(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    old = issuer_service.sign_in(settings.codex_home, expires_in=-60)
    issuer_service.faults.next("hold_headers", path="/oauth/token")

    async def main() -> None:
        async with httpx.AsyncClient(auth=ChatGPTAuth(source)) as client:
            asking = asyncio.ensure_future(client.get(issuer_service.chatgpt_url + "/wham/usage"))
            await asyncio.to_thread(issuer_service.wait_for_hold, path="/oauth/token")
            asking.cancel()
            await asyncio.wait([asking])

    asyncio.run(main())
    renewing = source.renewing
    issuer_service.release()
    assert renewing is not None
    assert renewing.result().refresh_token != old.refresh_token
    assert stored(settings)["tokens"]["refresh_token"] == renewing.result().refresh_token


def test_another_account_is_never_used_unasked(
    ask: Ask, issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    issuer_service.sign_in(settings.codex_home)
    assert ask(source) == 200
    issuer_service.sign_in(settings.codex_home, email="another@example.com")
    with pytest.raises(AccountChangedError, match="another@example"):
        ask(source)
    source.follow()
    assert ask(source) == 200


def while_refreshing(
    issuer_service: LocalService, source: TokenSource, happens: Callable[[], object]
) -> BaseException | None:
    """What `renewed` fails with when something happens while the new tokens are on their way."""
    issuer_service.faults.next("hold_headers", path="/oauth/token")
    renewing = source.renewed(source.current())
    issuer_service.wait_for_hold(path="/oauth/token")
    happens()
    issuer_service.release()
    return renewing.exception()


def test_another_sign_in_during_a_refresh_is_not_overwritten(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    issuer_service.sign_in(settings.codex_home)
    failure = while_refreshing(
        issuer_service,
        source,
        lambda: issuer_service.sign_in(settings.codex_home, email="another@example.com"),
    )
    assert isinstance(failure, AccountChangedError)
    found = Storage.of(settings).read()
    assert found is not None
    assert found.email == "another@example.com"


def test_signing_out_during_a_refresh_holds(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    issuer_service.sign_in(settings.codex_home)
    failure = while_refreshing(issuer_service, source, auth_path(settings.codex_home).unlink)
    assert isinstance(failure, NotSignedInError)
    assert source.storage.read() is None


def test_a_storage_that_cant_be_written_is_told_before_the_token_is_spent(
    issuer_service: LocalService, settings: Settings, source: TokenSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer_service.sign_in(settings.codex_home)
    monkeypatch.setattr(Storage, "is_writable", lambda _: False)
    with pytest.raises(CodexError, match="can't be written"):
        source.renewed(source.current()).result()
    assert refreshes(issuer_service) == []


@pytest.mark.parametrize(("days", "count"), [(9, 1), (7, 0)])
def test_a_token_without_an_end_is_renewed_when_it_is_old(
    issuer_service: LocalService, settings: Settings, source: TokenSource, days: int, count: int
) -> None:
    refresh_token = issuer_service.issue_tokens().refresh_token
    tokens = Tokens(access_token="no-jwt", refresh_token=refresh_token)
    source.storage.update(lambda document: with_sign_in(document, tokens))
    source.storage.update(lambda document: {**document, "last_refresh": days_ago(days)})
    source.current()
    assert source.is_due() is (count == 1)


def days_ago(days: int) -> str:
    from datetime import datetime, timedelta, timezone

    return f"{datetime.now(timezone.utc) - timedelta(days=days):%Y-%m-%dT%H:%M:%S}.123456789Z"


def test_a_new_token_that_seems_to_end_soon_is_used_all_the_same(
    ask: Ask, issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    """This machine's clock may be wrong; the service knows better."""
    issuer_service.sign_in(settings.codex_home, expires_in=-60)
    short = issuer_service.issue_tokens(expires_in=100).response()
    issuer_service.faults.next("status", path="/oauth/token", status=200, body=short)
    assert [ask(source) for _ in range(3)] == [200] * 3
    assert len(refreshes(issuer_service)) == 1


def test_tokens_that_somebody_else_renews_are_left_alone(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    issuer_service.sign_in(settings.codex_home, expires_in=-60)
    source.storage.update(lambda document: {**document, "auth_mode": "chatgptAuthTokens"})
    source.current()
    assert not source.is_due()


def test_new_tokens_of_the_same_account_are_taken_without_a_request(
    issuer_service: LocalService, settings: Settings, source: TokenSource
) -> None:
    issuer_service.sign_in(settings.codex_home, expires_in=-60)
    used = source.current()
    newer = issuer_service.issue_tokens()
    fresh = Tokens(newer.access_token, newer.id_token, newer.refresh_token)
    source.storage.update(lambda document: with_tokens(document, fresh))
    assert source.early(used).result().access_token == newer.access_token
    assert refreshes(issuer_service) == []
