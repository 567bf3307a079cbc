"""The sign-in protocol without IO: links, requests, and what comes back."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from codex_magic.auth import oauth
from codex_magic.auth.credentials import Credentials
from codex_magic.auth.oauth import Callback, Granted, Issuer, PendingLogin
from codex_magic.net import Answer, Call
from codex_magic.protocol.errors import CodexError, LoginError
from codex_magic.protocol.settings import Settings

ISSUER = Issuer("https://issuer.example", "codex_magic", "codex_magic/0")
CALL = Call("https://issuer.example/x", {}, b"", 1.0, secrets=("s3cret-one",))


def answer(status: int, body: Any = b"", **headers: str) -> Answer:
    return Answer(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_the_link_is_the_one_of_the_cli() -> None:
    pending = ISSUER.begin("http://127.0.0.1:1455/auth/callback", state="s")
    parts = urlsplit(pending.url)
    assert (parts.netloc, parts.path) == ("issuer.example", "/oauth/authorize")
    assert {name: value for name, (value,) in parse_qs(parts.query).items()} == {
        "response_type": "code",
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "redirect_uri": "http://127.0.0.1:1455/auth/callback",
        "scope": "openid profile email offline_access api.connectors.read api.connectors.invoke",
        "code_challenge": challenge_of(pending),
        "code_challenge_method": "S256",
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        "state": "s",
        "originator": "codex_magic",
    }
    assert "openid+profile" in pending.url
    assert pending.redirect_uri == "http://127.0.0.1:1455/auth/callback"


def challenge_of(pending: PendingLogin) -> str:
    return parse_qs(urlsplit(pending.url).query)["code_challenge"][0]


def test_the_proof_is_that_of_rfc_7636() -> None:
    pending, other = ISSUER.begin("http://here"), ISSUER.begin("http://here")
    assert (len(pending._verifier), len(pending._state)) == (86, 43)
    digest = hashlib.sha256(pending._verifier.encode()).digest()
    assert base64.urlsafe_b64decode(challenge_of(pending) + "=") == digest
    assert {pending._verifier, pending._state}.isdisjoint({other._verifier, other._state})


def test_the_ports_and_the_spelling_are_those_that_the_issuer_knows() -> None:
    assert (Settings.callback_ports, Settings.redirect_host) == ((1455, 1457), "127.0.0.1")
    env = {"CODEX_MAGIC_REDIRECT_HOST": "localhost", "CODEX_MAGIC_CALLBACK_PORTS": "1457, 1455"}
    settings = Settings.from_env(env)
    assert (settings.redirect_host, settings.callback_ports) == ("localhost", (1457, 1455))
    assert Settings.from_env({}).callback_ports == (1455, 1457)


def test_a_code_is_redeemed_by_a_form_without_introduction() -> None:
    call = ISSUER.redeem("c", redirect_uri="http://here", verifier="v")
    assert dict(call.headers) == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    assert call.body == (
        b"grant_type=authorization_code&client_id=app_EMoamEEZ73f0CkXaXp7hrann&code=c"
        b"&redirect_uri=http%3A%2F%2Fhere&code_verifier=v"
    )


@pytest.mark.parametrize(
    ("held", "sent"),
    [
        (
            Credentials("chatgpt", access_token="at", refresh_token="rt"),
            {"token": "rt", "token_type_hint": "refresh_token", "client_id": oauth.CLIENT_ID},
        ),
        (Credentials("chatgpt", access_token="at"), {"token": "at", "token_type_hint": "access_token"}),
        (Credentials("apikey", api_key="sk-1"), None),
    ],
)
def test_what_is_revoked(held: Credentials, sent: Any) -> None:
    call = ISSUER.revoke(held)
    assert (json.loads(call.body) if call else None) == sent


# Coming back -------------------------------------------------------------------------------------

ADDRESSES = [
    "http://[::1/auth/callback?code=c%2F1&state=s",
    "http://127.0.0.1:1455/auth/callback?code=c%2F1&scope=openid&state=s",
    "  'http://localhost:1455/auth/callback?state=s&code=c%2F1#'\n",
    "/auth/callback?code=c%2F1&state=s",
    "?code=c%2F1&state=s",
    "code=c%2F1&state=s",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_in_any_form(address: str) -> None:
    assert Callback.parse(address).pasted("s").reveal() == "c/1"


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("http://127.0.0.1:1455/auth/callback?code=c&state=forged", "another sign-in"),
        ("http://127.0.0.1:1455/auth/callback?code=c&state=", "address"),
        ("http://127.0.0.1:1455/auth/callback?code=c", "address"),
        ("ac_just-the-code", "address"),
        ("", "address"),
        ("http://[::1", "address"),
        ("http://[x]:y/?code=\ud800&state=\ud800", "another sign-in"),
        ("?state=s", "without a code"),
        ("?state=s&error=access_denied", "denied"),
        ("?state=s&error=access_denied&error_description=missing_codex_entitlement", "workspace"),
        ("?state=s&error=server_error&error_description=Out+of+order", "Out of order"),
        ("?state=forged&error=server_error", "another sign-in"),
    ],
)
def test_an_address_that_is_no_use(address: str, word: str) -> None:
    with pytest.raises(LoginError, match=word):
        Callback.parse(address).pasted("s")


@pytest.mark.parametrize("state", ["", "S", "s ", "ß", None])
def test_only_the_same_state_answers(state: str | None) -> None:
    assert not Callback(state=state).answers("s")
    assert Callback(state="s").answers("s")


# Device codes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        ("5", 5),
        (5, 5),
        ("1.5", 1.5),
        (None, 5),
        ("soon", 5),
        (-1, 1),
        ("0", 1),
        ("nan", 1),
        ("inf", 60),
        (1e300, 60),
    ],
)
def test_an_interval_is_a_text_or_a_number_within_bounds(interval: Any, seconds: float) -> None:
    body = {"device_auth_id": "d", "usercode": "ABCD-12345", "interval": interval}
    device = oauth.device(CALL, answer(200, body))
    assert (device.user_code, device.interval) == ("ABCD-12345", seconds)


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (answer(403, {"error": {"code": "deviceauth_authorization_pending"}}), 0.0),
        (answer(403), 0.0),
        (answer(404, b"<html>not found"), 0.0),
        (answer(400, {"error": "slow_down"}), 5.0),
        (
            answer(200, {"authorization_code": "c", "code_challenge": "x", "code_verifier": "v"}),
            Granted("c", "v"),
        ),
    ],
)
def test_a_poll(given: Answer, outcome: Any) -> None:
    assert oauth.polled(CALL, given) == outcome


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (answer(403, {"error": "access_denied"}), "denied"),
        (answer(400, {"error": {"code": "expired_token"}}), "15 minutes"),
        (
            answer(400, {"error": "odd", "error_description": "No idea what s3cret-one is"}),
            "No idea what <hidden> is",
        ),
    ],
)
def test_a_poll_that_ends_it(given: Answer, word: str) -> None:
    call = Call(CALL.url, {}, b"", 1.0, secrets=("s3cret-one",))  # its secrets are the latest that are in use
    with pytest.raises(LoginError, match=word):
        oauth.polled(call, given)


def test_a_code_to_type_drives_no_terminal() -> None:
    body = {"device_auth_id": "d", "user_code": "AB\x1b[2JCD"}
    assert oauth.device(CALL, answer(200, body)).user_code == "AB[2JCD"


@pytest.mark.parametrize("read", [oauth.device, oauth.polled, oauth.granted_tokens, oauth.refreshed_tokens])
@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error":' * 100_000, b"\xff", b"{}", b"5"])
def test_an_answer_of_any_kind_is_an_error_of_ours(read: Any, status: int, body: bytes) -> None:
    with pytest.raises(CodexError):
        read(CALL, answer(status, body))


@pytest.mark.parametrize(
    "kept",
    [
        PendingLogin("http://issuer", "s3cret-one", "s3cret-one"),
        CALL,
        Granted("s3cret-one", "s3cret-one"),
        Callback("s3cret-one", "s3cret-one"),
    ],
)
def test_nothing_secret_is_shown(kept: object) -> None:
    assert "s3cret-one" not in repr(kept)
