"""Signing in by browser, by device code and by a pasted address, with everything that can go wrong."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from codex_magic.auth import callback as callback_module
from codex_magic.auth.handles import AsyncChatgptLoginHandle, AsyncDeviceCodeLoginHandle
from codex_magic.auth.sign_in import SignIn
from codex_magic.auth.storage import auth_path
from codex_magic.protocol.errors import CodexError, LoginError
from codex_magic.protocol.settings import Settings
from codex_magic.protocol.types import AccountLoginCompleted, CancelLoginAccountStatus, LoginState
from tests.service import LocalService

BrowserTest = Callable[[AsyncChatgptLoginHandle, httpx.AsyncClient], Awaitable[Any]]


@pytest.fixture
def browsing(hurried_sign_in: SignIn, settings: Settings) -> Callable[[BrowserTest], AccountLoginCompleted]:
    """Run a test with a sign-in that waits for the browser; how it ended."""

    async def live(test: BrowserTest) -> AccountLoginCompleted:
        handle = await AsyncChatgptLoginHandle.start(hurried_sign_in, settings, seconds=20)
        async with httpx.AsyncClient() as browser:
            await test(handle, browser)
            return await handle.wait()

    return lambda test: asyncio.run(live(test))


def address(handle: AsyncChatgptLoginHandle, path: str = "/auth/callback", **query: str) -> str:
    """Where the browser is sent back to, with `query` besides the right state."""
    asked = parse_qs(urlsplit(handle.auth_url).query)
    url = urlsplit(asked["redirect_uri"][0])
    right = {"state": asked["state"][0]}
    return str(httpx.URL(url._replace(path=path).geturl(), params=right | query))


async def approve(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> httpx.Response:
    return await browser.get(handle.auth_url, follow_redirects=True)


def stored(settings: Settings) -> Any:
    return json.loads(auth_path(settings.codex_home).read_text())


# By browser --------------------------------------------------------------------------------------


def test_a_sign_in_by_browser(browsing: Any, settings: Settings, issuer_service: LocalService) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        page = await approve(handle, browser)
        assert (page.status_code, page.headers["connection"]) == (200, "close")
        assert "Signed in" in page.text

    assert browsing(test).success
    assert stored(settings)["tokens"]["refresh_token"]
    assert stat.S_IMODE(auth_path(settings.codex_home).stat().st_mode) == 0o600
    asked = [request for request in issuer_service.requests if request.path == "/oauth/token"]
    assert len(asked) == 1


def test_a_wrong_state_is_refused_and_waited_past(browsing: Any, issuer_service: LocalService) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        for forged in ({"state": "forged"}, {"state": ""}, {"state": "forged", "error": "access_denied"}):
            assert (await browser.get(address(handle, code="c", **forged))).status_code == 400
        assert handle.state is LoginState.pending
        await approve(handle, browser)

    assert browsing(test).success


def test_stray_requests_and_silent_connections_do_not_block(browsing: Any) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        port = urlsplit(address(handle)).port
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        assert (await browser.get(address(handle, "/favicon.ico"))).status_code == 404
        assert (await browser.get(address(handle, "/"))).status_code == 404
        assert (await browser.post(address(handle, code="c"))).status_code == 405
        assert b"400 Bad Request" in await say(port, b"\x16\x03\x01 TLS?\r\n\r\n")
        assert b"200" not in await say(port, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 50_000)
        await approve(handle, browser)
        for _, writer in silent:
            writer.close()

    assert browsing(test).success


async def say(port: int | None, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_a_client_that_sends_no_whole_request_is_let_go(
    browsing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(callback_module, "CONNECTION_SECONDS", 0.05)
            assert await say(urlsplit(address(handle)).port, b"GET /auth/call") == b""
        await approve(handle, browser)

    assert browsing(test).success


def test_no_token_comes_near_an_address(browsing: Any) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        page = await approve(handle, browser)
        assert "token" not in str(page.url) + page.text

    browsing(test)


def test_a_second_callback_sees_the_same_end(browsing: Any, issuer_service: LocalService) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        back = (await browser.get(handle.auth_url)).headers["location"]
        issuer_service.faults.next("slow_headers", path="/oauth/token", seconds=0.1)
        pages = await asyncio.gather(browser.get(back), browser.get(back))
        assert [page.status_code for page in pages] == [200, 200]

    assert browsing(test).success


CLI_CANCEL = "GET /cancel HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
"""As the CLI sends it."""


def test_the_cli_may_ask_it_to_make_way(browsing: Any) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        port = urlsplit(address(handle)).port
        assert b"200 OK" in await say(port, CLI_CANCEL.format(host=f"127.0.0.1:{port}").encode())

    ended = browsing(test)
    assert (ended.success, "taken over" in ended.error) == (False, True)


BROWSER = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        CLI_CANCEL.replace("{host}", "evil.test:{port}"),
        CLI_CANCEL.replace("{host}", "127.0.0.1"),
        CLI_CANCEL.replace("{host}", "127.0.0.1:1"),
        CLI_CANCEL.replace("{host}", "127.0.0.1:{port}.evil.test"),
        CLI_CANCEL.replace("{host}", "evil.test:{port}\r\nHost: 127.0.0.1:{port}"),
        CLI_CANCEL.replace("Host: {host}\r\n", ""),
        CLI_CANCEL.replace("{host}", "127.0.0.1:{port}").replace("GET", "POST"),
        CLI_CANCEL.replace("{host}", "127.0.0.1:{port}").replace("GET", "HEAD"),
        CLI_CANCEL.replace("{host}", "127.0.0.1:{port}").replace("Connection", f"{BROWSER}Connection"),
        CLI_CANCEL.replace("{host}", "localhost:{port}").replace("Connection: close", "Sec-Fetch-Site: none"),
        CLI_CANCEL.replace("{host}", "[::1]:{port}").replace("Connection: close", "Origin: null"),
        CLI_CANCEL.replace("{host}", "127.0.0.1:{port}").replace("/cancel", "/cancel?x"),
        CLI_CANCEL.replace("{host}", "127.0.0.1:{port}").replace("/cancel", "http://127.0.0.1/cancel"),
    ],
)
def test_no_page_and_no_other_name_of_this_machine_ends_it(browsing: Any, request_: str) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        port = urlsplit(address(handle)).port
        assert b" 40" in (await say(port, request_.format(port=port).encode())).split(b"\r\n")[0]
        assert handle.state is LoginState.pending
        await approve(handle, browser)

    assert browsing(test).success


def test_a_page_that_a_browser_shows_does_not_end_it(browsing: Any, chromium: str, tmp_path: Path) -> None:
    """It asks under a name of its own, without saying where it comes from."""

    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        port = urlsplit(address(handle)).port
        (tmp_path / "page.html").write_text(
            f"<img src=http://evil.test:{port}/cancel referrerpolicy=no-referrer onerror='document.title=1'>"
        )
        arguments = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
        shown = await asyncio.create_subprocess_exec(
            chromium,
            *arguments.split(),
            "--disable-background-networking",
            "--disable-component-update",
            "--host-resolver-rules=MAP * 127.0.0.1",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            (tmp_path / "page.html").as_uri(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        page, _ = await shown.communicate()
        assert b"<title>1</title>" in page  # it has asked
        assert handle.state is LoginState.pending
        await approve(handle, browser)

    assert browsing(test).success


def test_not_even_the_right_state_counts_under_another_name(browsing: Any) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        back = (await browser.get(handle.auth_url)).headers["location"]
        port = urlsplit(back).port
        assert (await browser.get(back, headers={"Host": f"evil.test:{port}"})).status_code == 404
        assert handle.state is LoginState.pending
        assert (await browser.get(back)).status_code == 200

    assert browsing(test).success


def test_the_second_port_is_used_when_the_first_is_busy(
    sign_in: SignIn, settings: Settings, busy: int
) -> None:
    async def live() -> str:
        handle = await AsyncChatgptLoginHandle.start(sign_in, replace(settings, callback_ports=(busy, 0)))
        await handle.cancel()
        return handle.auth_url

    assert f"127.0.0.1%3A{busy}" not in asyncio.run(live())


def test_both_ports_busy(sign_in: SignIn, settings: Settings, busy: int) -> None:
    starting = AsyncChatgptLoginHandle.start(sign_in, replace(settings, callback_ports=(busy, busy)))
    with pytest.raises(LoginError, match=f"port {busy} and port {busy}.*device code"):
        asyncio.run(starting)


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_spelling_of_the_address_is_a_setting(sign_in: SignIn, settings: Settings) -> None:
    async def live() -> AccountLoginCompleted:
        handle = await AsyncChatgptLoginHandle.start(sign_in, replace(settings, redirect_host="localhost"))
        async with httpx.AsyncClient() as browser:
            assert "http%3A%2F%2Flocalhost%3A" in handle.auth_url
            back = (await browser.get(handle.auth_url)).headers["location"]
            await browser.get(back.replace("localhost", "127.0.0.1"))
            return await handle.wait()

    assert asyncio.run(live()).success


# Cancel, time, listeners -------------------------------------------------------------------------


def test_cancel(browsing: Any, settings: Settings) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        port = urlsplit(address(handle)).port
        assert (await handle.cancel()).status is CancelLoginAccountStatus.canceled
        assert (await handle.cancel()).status is CancelLoginAccountStatus.not_found
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)

    ended = browsing(test)
    assert (ended.success, "cancelled" in ended.error) == (False, True)
    assert not auth_path(settings.codex_home).exists()


def test_cancel_while_the_code_is_redeemed_stores_nothing(
    browsing: Any, settings: Settings, issuer_service: LocalService
) -> None:
    issuer_service.faults.next("hold_headers", path="/oauth/token")

    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        page = asyncio.ensure_future(approve(handle, browser))
        await asyncio.to_thread(issuer_service.wait_for_hold, path="/oauth/token")
        await handle.cancel()
        issuer_service.release()
        assert "cancelled" in (await page).text

    assert not browsing(test).success
    assert not auth_path(settings.codex_home).exists()


def test_nobody_comes(sign_in: SignIn, settings: Settings) -> None:
    async def live() -> AccountLoginCompleted:
        handle = await AsyncChatgptLoginHandle.start(sign_in, settings, seconds=0.02)
        return await handle.wait()

    assert "15 minutes" in (asyncio.run(live()).error or "")


def test_listeners_are_told_from_the_beginning(browsing: Any) -> None:
    told: list[LoginState] = []
    late: list[LoginState] = []

    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        handle.subscribe(lambda update: told.append(update.state))
        await approve(handle, browser)
        await handle.wait()
        handle.subscribe(lambda update: late.append(update.state))

    browsing(test)
    assert (told, late) == ([LoginState.pending, LoginState.success], [LoginState.success])


def test_a_handle_is_used_from_another_thread_and_loop(browsing: Any) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        seen: list[AccountLoginCompleted] = []
        other = threading.Thread(target=lambda: seen.append(asyncio.run(handle.wait())))
        other.start()
        await asyncio.to_thread(lambda: asyncio.run(handle.cancel()))
        await asyncio.to_thread(other.join)
        assert [one.success for one in seen] == [False]

    browsing(test)


# By a pasted address -----------------------------------------------------------------------------


def test_a_pasted_address_ends_the_same_sign_in(browsing: Any) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        back = (await browser.get(handle.auth_url)).headers["location"]
        with pytest.raises(LoginError, match="another sign-in"):
            handle.paste(back.replace("state=", "state=x"))
        handle.paste(urlsplit(back).query)

    assert browsing(test).success


def test_pasting_needs_no_port(sign_in: SignIn, settings: Settings, busy: int) -> None:
    async def live() -> AccountLoginCompleted:
        nowhere = replace(settings, callback_ports=(busy,))
        handle = await AsyncChatgptLoginHandle.start_pasted(sign_in, nowhere)
        async with httpx.AsyncClient() as browser:
            handle.paste((await browser.get(handle.auth_url)).headers["location"])
        return await handle.wait()

    assert asyncio.run(live()).success


# By device code ----------------------------------------------------------------------------------

DeviceTest = Callable[[AsyncDeviceCodeLoginHandle], Awaitable[Any]]


@pytest.fixture
def with_device(hurried_sign_in: SignIn) -> Callable[[DeviceTest], AccountLoginCompleted]:
    async def live(test: DeviceTest) -> AccountLoginCompleted:
        handle = await AsyncDeviceCodeLoginHandle.start(hurried_sign_in, seconds=20, interval=0.01)
        await test(handle)
        return await handle.wait()

    return lambda test: asyncio.run(live(test))


def test_a_sign_in_by_device_code(with_device: Any, issuer_service: LocalService, settings: Settings) -> None:
    async def test(handle: AsyncDeviceCodeLoginHandle) -> None:
        assert handle.verification_url == f"{issuer_service.issuer}/codex/device"
        await asyncio.to_thread(issuer_service.wait_for_request, "/deviceauth/token")
        issuer_service.approve_device(handle.user_code, email="me@example.com")

    assert with_device(test).success
    assert stored(settings)["tokens"]["account_id"]


def test_a_device_sign_in_outlives_a_short_failure(with_device: Any, issuer_service: LocalService) -> None:
    for kind in ("server_error", "refuse", "no_headers"):
        issuer_service.faults.next(kind, path="/deviceauth/token")

    async def test(handle: AsyncDeviceCodeLoginHandle) -> None:
        issuer_service.approve_device(handle.user_code)

    assert with_device(test).success


def test_a_cancelled_device_sign_in_polls_no_more(with_device: Any, issuer_service: LocalService) -> None:
    async def test(handle: AsyncDeviceCodeLoginHandle) -> None:
        await asyncio.to_thread(issuer_service.wait_for_request, "/deviceauth/token")
        assert (await handle.cancel()).status is CancelLoginAccountStatus.canceled

    assert not with_device(test).success


def test_a_device_code_that_nobody_approves(sign_in: SignIn) -> None:
    async def live() -> AccountLoginCompleted:
        handle = await AsyncDeviceCodeLoginHandle.start(sign_in, seconds=0.05)
        return await handle.wait()

    assert "15 minutes" in (asyncio.run(live()).error or "")


# Whatever goes wrong, in a sentence --------------------------------------------------------------

TOKEN_FAULTS: list[tuple[str, dict[str, Any], str]] = [
    (
        "status",
        {"status": 400, "body": {"error": "invalid_grant", "error_description": "Bad code"}},
        "Bad code",
    ),
    ("status", {"status": 401, "body": {"error": {"message": "No", "code": "token_expired"}}}, "refused: No"),
    ("status", {"status": 429, "body": {}}, "Too many"),
    ("status", {"status": 200, "body": {"access_token": "a"}}, "incomplete set"),
    ("status", {"status": 200, "body": "<html>hotel</html>"}, "did not come from"),
    ("server_error", {}, "HTTP 500"),
    ("bad_gateway", {}, "HTTP 502"),
    ("cloudflare", {}, "web page"),
    ("refuse", {}, "can't be reached"),
    ("no_headers", {}, "in time"),
]


@pytest.mark.parametrize(("kind", "options", "word"), TOKEN_FAULTS)
def test_a_token_endpoint_that_fails(
    browsing: Any, issuer_service: LocalService, settings: Settings, kind: str, options: Any, word: str
) -> None:
    issuer_service.faults.next(kind, path="/oauth/token", **options)

    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        page = await approve(handle, browser)
        assert (page.status_code, "Not signed in" in page.text) == (400, True)

    ended = browsing(test)
    assert (ended.success, word in ended.error) == (False, True), ended.error
    assert not auth_path(settings.codex_home).exists()


CALLBACKS = [
    ({"error": "access_denied"}, "denied"),
    ({"error": "access_denied", "error_description": "missing_codex_entitlement"}, "workspace"),
    ({"error": "server_error", "error_description": "<b>Out</b>"}, "reported"),
    ({}, "without a code"),
    ({"code": "replayed"}, "refused"),
]


@pytest.mark.parametrize(("query", "word"), CALLBACKS)
def test_a_callback_that_brings_no_good_code(browsing: Any, query: dict[str, str], word: str) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        page = await browser.get(address(handle, **query))
        assert (page.status_code, "<b>" in page.text) == (400, False)

    ended = browsing(test)
    assert (ended.success, word in ended.error) == (False, True), ended.error


def test_a_code_that_was_used_before(browsing: Any, settings: Settings) -> None:
    async def test(handle: AsyncChatgptLoginHandle, browser: httpx.AsyncClient) -> None:
        back = (await browser.get(handle.auth_url)).headers["location"]
        proof = {"code_verifier": handle._pending._verifier, "redirect_uri": back.partition("?")[0]}
        code = parse_qs(urlsplit(back).query)["code"][0]
        form = {"grant_type": "authorization_code", "client_id": "x", "code": code, **proof}
        assert (await browser.post(f"{settings.issuer}/oauth/token", data=form)).status_code == 200
        await browser.get(back)

    ended = browsing(test)
    assert (ended.success, "refused" in ended.error) == (False, True)


DEVICE_FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("/deviceauth/usercode", "device_login_off", {}, "switched off"),
    ("/deviceauth/usercode", "server_error", {}, "HTTP 500"),
    ("/deviceauth/usercode", "cloudflare", {}, "web page"),
    ("/deviceauth/usercode", "refuse", {}, "can't be reached"),
    ("/deviceauth/usercode", "no_headers", {}, "in time"),
    ("/deviceauth/usercode", "status", {"status": 200, "body": {"device_auth_id": "d"}}, "no code"),
    ("/deviceauth/token", "status", {"status": 403, "body": {"error": "access_denied"}}, "denied"),
    ("/deviceauth/token", "status", {"status": 400, "body": {"error": "expired_token"}}, "15 minutes"),
    ("/deviceauth/token", "cloudflare", {}, "web page"),
    ("/deviceauth/token", "server_error", {"times": 4}, "HTTP 500"),
    ("/oauth/token", "server_error", {}, "HTTP 500"),
    ("/oauth/token", "refuse", {}, "can't be reached"),
]


@pytest.mark.parametrize(("path", "kind", "options", "word"), DEVICE_FAULTS)
def test_a_device_sign_in_that_fails(
    with_device: Any, issuer_service: LocalService, path: str, kind: str, options: Any, word: str
) -> None:
    issuer_service.faults.next(kind, path=path, **options)

    async def test(handle: AsyncDeviceCodeLoginHandle) -> None:
        issuer_service.approve_device(handle.user_code)

    try:
        said = with_device(test).error
    except CodexError as error:
        said = str(error)
    assert word in said
