"""Our sign-ins and the official binary's are one: each goes on with what the other stored."""

from __future__ import annotations

import json
import re
import ssl
import subprocess

import httpx
import pytest

from codex_magic import Codex, CodexConfig, Settings
from tests.peers.agent import needs_zstd
from tests.service import start

pytest.importorskip("codex_cli_bin")

from tests.peers.test_official_binary import (  # skipped without the binary
    ask_backend,
    codex_cli_bin,
    configure,
    environment,
    run_codex,
)

pytestmark = pytest.mark.peer

IN_FILE = 'cli_auth_credentials_store = "file"\n'


@pytest.fixture
def backend(tmp_path):
    with start(tls=tmp_path / "tls", auto_approve=True) as service:
        yield service


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "codex"
    home.mkdir()
    configure(home, IN_FILE)
    return home


@pytest.fixture
def codex(backend, home, tmp_path):
    settings = Settings(
        codex_home=home,
        home=tmp_path / "ours",
        base_url=backend.base_url,
        chatgpt_url=backend.chatgpt_url,
        issuer=backend.issuer,
        callback_ports=(0,),
        ca_bundle=str(backend.ca_file),
    )
    with Codex(CodexConfig(settings=settings)) as codex:
        yield codex


def browser(backend):
    return httpx.Client(verify=ssl.create_default_context(cafile=backend.ca_file), follow_redirects=True)


def by_browser(codex, backend):
    login = codex.login_chatgpt()
    with browser(backend) as http:
        assert http.get(login.auth_url).status_code == 200
    assert login.wait().success


def by_device_code(codex, backend):
    login = codex.login_chatgpt_device_code()
    backend.approve_device(login.user_code)
    assert login.wait().success


def by_pasting(codex, backend):
    login = codex.login_chatgpt_pasted()
    with browser(backend) as http:
        login.paste(http.get(login.auth_url, follow_redirects=False).headers["location"])
    assert login.wait().success


def by_key(codex, backend):
    codex.login_api_key("sk-of-a-test-0123456789")


@pytest.mark.parametrize(
    ("sign_in", "said"),
    [
        (by_browser, "Logged in using ChatGPT"),
        (by_device_code, "Logged in using ChatGPT"),
        (by_pasting, "Logged in using ChatGPT"),
        (by_key, "Logged in using an API key"),
    ],
)
def test_the_binary_is_signed_in_after_our_sign_in(codex, backend, home, sign_in, said):
    sign_in(codex, backend)
    status = run_codex(home, "login", "status")
    assert said in status.stdout + status.stderr
    codex.logout()
    status = run_codex(home, "login", "status")
    assert "Not logged in" in status.stdout + status.stderr


@needs_zstd
def test_the_binary_works_with_the_tokens_of_our_sign_in(codex, backend, home):
    by_browser(codex, backend)
    [answer] = ask_backend(backend, home, "echo: from ours", model="gpt-5.5")
    assert answer["text"] == "from ours"


def spawn(backend, home, *arguments):
    issuer = {"CODEX_CA_CERTIFICATE": str(backend.ca_file), "CODEX_APP_SERVER_LOGIN_ISSUER": backend.issuer}
    return subprocess.Popen(
        [codex_cli_bin.bundled_codex_path(), *arguments],
        cwd=home,
        env=environment(home, **issuer),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def ask(server, method, **params):
    """The binary's answer to one JSON-RPC request."""
    server.stdin.write(json.dumps({"id": method, "method": method, "params": params}) + "\n")
    return next(told["result"] for told in map(json.loads, server.stdout) if told.get("id") == method)


def test_we_go_on_with_the_binarys_browser_sign_in(codex, backend, home):
    configure(home, IN_FILE + f'chatgpt_base_url = "{backend.chatgpt_url}/"\n')
    with spawn(backend, home, "app-server") as server, browser(backend) as http:
        ask(server, "initialize", clientInfo={"name": "test", "version": "0"})
        started = ask(server, "account/login/start", type="chatgpt")
        assert http.get(started["authUrl"]).status_code == 200
        told = map(json.loads, server.stdout)
        ended = next(one["params"] for one in told if one.get("method") == "account/login/completed")
        server.stdin.close()
        server.stdout.read()
    assert ended["success"]
    assert codex.account().account.email == "someone@example.com"
    assert codex.thread_start().run("echo: hi", model="gpt-5.5").final_response == "hi"


def test_we_go_on_with_the_binarys_device_sign_in(codex, backend, home):
    options = ["--device-auth", "--experimental_issuer", backend.issuer]
    with spawn(backend, home, "login", *options) as login:
        shown = next(found for line in login.stdout if (found := re.search(r"[A-Z]{4}-[A-Z]{5}", line)))
        backend.approve_device(shown[0], email="me@example.com")
        login.stdout.read()
        assert login.wait(timeout=30) == 0
    assert codex.account(refresh_token=True).account.email == "me@example.com"
    assert codex.thread_start().run("echo: hi", model="gpt-5.5").final_response == "hi"


@needs_zstd
def test_a_binary_that_refreshed_underneath_does_not_sign_us_out(codex, backend, home):
    backend.sign_in(home)
    thread = codex.thread_start()
    thread.run("echo: before", model="gpt-5.5")
    backend.sign_in(home, expires_in=-60)
    [answer] = ask_backend(backend, home, "echo: refreshed", model="gpt-5.5")
    assert answer["text"] == "refreshed"
    assert thread.run("echo: after", model="gpt-5.5").final_response == "after"
    assert [request.path for request in backend.requests].count("/oauth/token") == 1


@needs_zstd
def test_our_refresh_does_not_sign_the_binary_out(codex, backend, home):
    backend.sign_in(home, expires_in=-60)
    assert codex.thread_start().run("echo: ours", model="gpt-5.5").final_response == "ours"
    [answer] = ask_backend(backend, home, "echo: theirs", model="gpt-5.5")
    assert answer["text"] == "theirs"
    assert [request.path for request in backend.requests].count("/oauth/token") == 1
