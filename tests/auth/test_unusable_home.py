"""A sign-in that could not be kept is refused in one sentence, before anybody is asked for anything."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codex_magic import Client, auth
from codex_magic.auth.handles import AsyncChatgptLoginHandle, AsyncDeviceCodeLoginHandle
from codex_magic.auth.oauth import Issuer
from codex_magic.auth.sign_in import SignIn
from codex_magic.auth.storage import Storage, auth_path
from codex_magic.protocol.errors import ConfigurationError, TimedOutError
from codex_magic.protocol.settings import Settings
from tests.service import LocalService


def a_folder(settings: Settings) -> None:
    auth_path(settings.codex_home).mkdir(parents=True)


def a_pipe(settings: Settings) -> None:
    settings.codex_home.mkdir()
    os.mkfifo(auth_path(settings.codex_home))


def a_socket(settings: Settings) -> None:
    settings.codex_home.mkdir()
    with pytest.MonkeyPatch.context() as patch, socket.socket(socket.AF_UNIX) as listener:
        patch.chdir(settings.codex_home)  # the names of sockets are short
        listener.bind("auth.json")


def a_file_for_a_home(settings: Settings) -> None:
    settings.codex_home.write_text("")


def a_folder_for_the_settings(settings: Settings) -> None:
    (settings.codex_home / "config.toml").mkdir(parents=True)


def a_pipe_for_the_settings(settings: Settings) -> None:
    settings.codex_home.mkdir()
    os.mkfifo(settings.codex_home / "config.toml")


SPOILED: list[Any] = [
    a_folder,
    pytest.param(a_pipe, marks=pytest.mark.skipif(os.name == "nt", reason="no pipes with a name")),
    pytest.param(a_socket, marks=pytest.mark.skipif(os.name == "nt", reason="no sockets with a name")),
    a_file_for_a_home,
    a_folder_for_the_settings,
    pytest.param(a_pipe_for_the_settings, marks=pytest.mark.skipif(os.name == "nt", reason="no pipes")),
]


def with_a_code(settings: Settings) -> None:
    asyncio.run(AsyncDeviceCodeLoginHandle.start(SignIn.of(settings)))


def in_the_browser(settings: Settings) -> None:
    asyncio.run(AsyncChatgptLoginHandle.start(SignIn.of(settings), settings))


def by_pasting(settings: Settings) -> None:
    asyncio.run(AsyncChatgptLoginHandle.start_pasted(SignIn.of(settings), settings))


def with_a_key(settings: Settings) -> None:
    SignIn.of(settings).keep_api_key("sk-1")


def in_a_script(settings: Settings) -> None:
    auth.login(headless=True)


def by_a_handler(settings: Settings) -> None:
    def never(url: str) -> str:
        raise AssertionError(url)

    with Client(settings=settings, login_handler=never) as client:
        client.responses.create("hello", model="m")


WAYS = [with_a_code, in_the_browser, by_pasting, with_a_key, in_a_script, by_a_handler]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("spoil", SPOILED)
@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_file_is_named_before_anybody_is_asked(
    issuer_service: LocalService,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Settings], None],
    way: Callable[[Settings], None],
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(settings.codex_home))
    spoil(settings)
    with pytest.raises(ConfigurationError) as caught:
        way(settings)
    assert str(settings.codex_home) in str(caught.value)
    assert issuer_service.requests == []


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"tokens": 5}', b"[" * 100_000, b'{"tokens": {"access_token": 5}}']
)
def test_what_is_broken_is_replaced_by_a_sign_in(settings: Settings, content: bytes) -> None:
    settings.codex_home.mkdir()
    auth_path(settings.codex_home).write_bytes(content)
    sign_in = SignIn.of(settings)
    sign_in.storage.check()
    with pytest.raises(ConfigurationError, match="%codex login"):
        sign_in.account()
    sign_in.keep_api_key("sk-1")
    stored = sign_in.storage.read()
    assert stored is not None
    assert stored.api_key == "sk-1"


@pytest.mark.skipif(os.name == "nt", reason="no pipes with a name")
def test_a_pipe_for_the_new_file_is_not_waited_for(settings: Settings) -> None:
    settings.codex_home.mkdir()
    os.mkfifo(settings.codex_home / "auth.json.new")
    with pytest.raises(ConfigurationError):
        SignIn.of(settings).keep_api_key("sk-1")


def test_a_folder_can_not_be_signed_out_of(settings: Settings) -> None:
    a_folder(settings)
    with pytest.raises(ConfigurationError, match="can't be removed"):
        SignIn.of(settings).forget()


@pytest.fixture
def dripping() -> Iterator[Issuer]:
    """An issuer whose answer never ends: a byte of its body now and then."""
    ended = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not ended.wait(0.02):
                connection.sendall(b" ")

    thread = threading.Thread(target=serve)
    thread.start()
    port = listener.getsockname()[1]
    yield Issuer(f"http://127.0.0.1:{port}", "codex_magic", "codex_magic/0", seconds=0.5)
    ended.set()
    thread.join()
    listener.close()


@pytest.mark.timeout(20)
def test_an_answer_that_drips_is_given_up_in_time(dripping: Issuer, tmp_path: Path) -> None:
    sign_in = SignIn(Storage.at(tmp_path / "auth.json"), dripping)
    with pytest.raises(TimedOutError):
        sign_in.send(dripping.ask_for_user_code())
