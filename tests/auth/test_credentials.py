"""Reading the Codex CLI's auth.json in all its shapes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from codex_magic.auth.credentials import Credentials, decode_jwt
from codex_magic.auth.storage import Storage, auth_path
from codex_magic.protocol.errors import ConfigurationError


def jwt(**claims: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2ln"


IDENTITY = {
    "https://api.openai.com/auth": {"chatgpt_account_id": "acc-of-claim", "chatgpt_plan_type": "plus"},
    "https://api.openai.com/profile": {"email": "a@example.org"},
}


def read(folder: Path, content: Any) -> Credentials:
    path = auth_path(folder)
    path.write_text(json.dumps(content))
    found = Storage.at(path).read()
    assert found is not None
    return found


def test_a_sign_in_with_chatgpt(tmp_path: Path) -> None:
    tokens = {
        "id_token": jwt(**IDENTITY),
        "access_token": jwt(exp=5),
        "refresh_token": "rt",
        "account_id": "acc",
    }
    found = read(
        tmp_path,
        {
            "auth_mode": "chatgpt",
            "OPENAI_API_KEY": None,
            "tokens": tokens,
            "last_refresh": "2026-11-20T09:38:43.214884844Z",
            "agent_identity": {"new": 1},
        },
    )
    assert (found.mode, found.account_id, found.access_token) == ("chatgpt", "acc", tokens["access_token"])
    assert (found.email, found.plan, found.expires_at) == ("a@example.org", "plus", 5)
    assert (found.refresh_token, found.last_refresh) == ("rt", 1795167523)


@pytest.mark.parametrize("token", ["access_token", "id_token"])
def test_an_account_named_only_in_a_token(tmp_path: Path, token: str) -> None:
    assert read(tmp_path, {"tokens": {token: jwt(**IDENTITY)}}).account_id == "acc-of-claim"


def test_a_sign_in_with_a_key(tmp_path: Path) -> None:
    found = read(tmp_path, {"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"})
    assert (found.mode, found.api_key, found.access_token) == ("apikey", "sk-1", None)


@pytest.mark.parametrize(
    ("content", "mode"),
    [({"OPENAI_API_KEY": "sk-1"}, "apikey"), ({"tokens": {}}, "chatgpt"), ({}, "chatgpt")],
)
def test_a_missing_mode(tmp_path: Path, content: Any, mode: str) -> None:
    assert read(tmp_path, content).mode == mode


def test_no_file(tmp_path: Path) -> None:
    assert Storage.at(auth_path(tmp_path)).read() is None


def test_half_a_file_is_read_again(tmp_path: Path) -> None:
    path = auth_path(tmp_path)
    path.write_text('{"auth_mode": "chat')
    pauses: list[float] = []

    def finish_writing(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            path.write_text('{"auth_mode": "chatgpt", "tokens": {"access_token": "t"}}')

    found = Storage.at(path).read(sleep=finish_writing)
    assert found is not None
    assert (found.access_token, len(pauses)) == ("t", 2)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"tokens": 5}', b"\xff\xfe"])
def test_a_file_that_stays_unreadable(tmp_path: Path, content: bytes) -> None:
    auth_path(tmp_path).write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"auth\.json"):
        Storage.at(auth_path(tmp_path)).read(sleep=lambda _: None)


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    auth_path(tmp_path).mkdir()
    with pytest.raises(ConfigurationError, match="can't be read"):
        Storage.at(auth_path(tmp_path)).read()


def test_nothing_secret_is_shown() -> None:
    shown = repr(
        Credentials(
            "chatgpt",
            access_token="secret-a",
            id_token="secret-b",
            api_key="secret-c",
            refresh_token="secret-d",
        )
    )
    assert "secret" not in shown


DEEP = base64.urlsafe_b64encode(b"[" * 99_999).decode()


@pytest.mark.parametrize("end", [int("9" * 400), -1, "soon", None, [], 1e300])
def test_an_end_that_no_clock_shows_is_none(tmp_path: Path, end: Any) -> None:
    assert read(tmp_path, {"tokens": {"access_token": jwt(exp=end)}}).expires_at is None


@pytest.mark.parametrize(
    "stamp", ["0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "soon", "", "1e999"]
)
def test_any_stamp_of_a_refresh_is_read(tmp_path: Path, stamp: str) -> None:
    read(tmp_path, {"tokens": {"access_token": "a"}, "last_refresh": stamp})


@pytest.mark.parametrize("token", [None, "", "a", "a.b.c", "a.!!.c", "a." + "W10" + ".c", f"a.{DEEP}.c"])
def test_what_is_no_token_has_no_claims(token: str | None) -> None:
    assert decode_jwt(token) == {}
