"""Signing in: by browser, by device code, by refresh token; and what the tokens are good for."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.service import start

CALLBACK = "http://127.0.0.1:1455/auth/callback"
VERIFIER = "v" * 60
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def http(service):
    with httpx.Client(base_url=service.issuer, trust_env=False) as client:
        yield client


def authorize(http, **changes):
    query = {
        "response_type": "code",
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann",
        "redirect_uri": CALLBACK,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "state": "a state",
        "auto": "1",
    }
    return http.get("/oauth/authorize", params=query | changes)


def redirected(response):
    return {
        name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()
    }


def exchange(http, code, **changes):
    form = {"grant_type": "authorization_code", "client_id": "app", "code": code}
    return http.post(
        "/oauth/token", data=form | {"redirect_uri": CALLBACK, "code_verifier": VERIFIER} | changes
    )


def refresh(http, token):
    return http.post(
        "/oauth/token", json={"grant_type": "refresh_token", "client_id": "app", "refresh_token": token}
    )


def ask(service, access_token, **headers):
    headers = {"Authorization": f"Bearer {access_token}", **headers}
    return httpx.get(service.chatgpt_url + "/wham/usage", headers=headers, trust_env=False)


def claims(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def test_a_browser_sign_in_gives_tokens_that_work(service, http):
    back = redirected(authorize(http))
    assert back["state"] == "a state"
    tokens = exchange(http, back["code"]).json()
    assert ask(service, tokens["access_token"]).json()["plan_type"] == "plus"
    assert claims(tokens["id_token"])["email"]


def test_a_person_approves_on_a_page(http):
    shown = authorize(http, auto="0")
    assert "Approve" in shown.text
    approved = http.post(
        str(shown.url), data={"decision": "approve", "email": "me@example.com", "plan": "pro"}
    )
    tokens = exchange(http, redirected(approved)["code"]).json()
    assert claims(tokens["id_token"])["email"] == "me@example.com"
    assert claims(tokens["access_token"])["https://api.openai.com/auth"]["chatgpt_plan_type"] == "pro"


def test_a_person_denies_on_a_page(http):
    shown = authorize(http, auto="0")
    denied = http.post(str(shown.url), data={"decision": "deny", "email": "", "plan": ""})
    assert redirected(denied)["error"] == "access_denied"


@pytest.mark.parametrize(
    "change",
    [
        {"redirect_uri": "https://elsewhere.example/"},
        {"code_challenge_method": "plain"},
        {"response_type": "token"},
    ],
)
def test_a_bad_authorize_link_gets_a_page_and_no_redirect(http, change):
    assert authorize(http, **change).status_code == 400


def test_the_authorize_page_escapes_what_it_shows(http):
    assert "<script>" not in authorize(http, auto="0", originator="<script>").text


@pytest.mark.parametrize(
    "change",
    [{"code_verifier": "another"}, {"redirect_uri": "http://localhost:1455/auth/callback"}, {"code": "x"}],
)
def test_a_code_needs_its_verifier_and_redirect(http, change):
    code = redirected(authorize(http))["code"]
    response = exchange(http, **{"code": code} | change)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "token_exchange_user_error")


def test_a_code_is_good_once(http):
    code = redirected(authorize(http))["code"]
    assert [exchange(http, code).status_code, exchange(http, code).status_code] == [200, 400]


def test_a_service_can_approve_by_itself():
    with start(auto_approve=True) as ready, httpx.Client(base_url=ready.issuer, trust_env=False) as http:
        assert authorize(http, auto="").status_code == 302


def test_refresh_tokens_rotate_and_are_good_once(service, http):
    old = service.issue_tokens()
    new = refresh(http, old.refresh_token).json()
    assert ask(service, new["access_token"]).status_code == 200
    again = refresh(http, old.refresh_token)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "refresh_token_reused")
    assert refresh(http, new["refresh_token"]).status_code == 200


def test_of_two_refreshes_at_once_one_fails(service, http):
    token = service.issue_tokens().refresh_token
    service.faults.next("hold_headers", times=2, path="/oauth/token")
    with ThreadPoolExecutor() as threads:
        racing = [threads.submit(refresh, http, token) for _ in range(2)]
        service.wait_for_hold(count=2)
        service.release()
    assert sorted(one.result().status_code for one in racing) == [200, 401]


def test_a_refresh_by_form_is_taken_too(service, http):
    form = {"grant_type": "refresh_token", "refresh_token": service.issue_tokens().refresh_token}
    assert http.post("/oauth/token", data=form).status_code == 200


@pytest.mark.parametrize(
    "code", ["refresh_token_expired", "refresh_token_invalidated", "refresh_token_reused"]
)
def test_a_refresh_fails_on_demand(service, http, code):
    service.faults.next(code)
    refused = refresh(http, service.issue_tokens().refresh_token)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, code)


def test_a_revoked_refresh_token_is_invalidated(service, http):
    tokens = service.issue_tokens()
    http.post("/oauth/revoke", json={"token": tokens.refresh_token, "token_type_hint": "refresh_token"})
    assert refresh(http, tokens.refresh_token).json()["error"]["code"] == "refresh_token_invalidated"


@pytest.mark.parametrize("form", [{}, {"grant_type": "password"}, {"grant_type": "refresh_token"}])
def test_a_token_request_that_makes_no_sense_is_refused(http, form):
    assert http.post("/oauth/token", data=form).status_code == 400


@pytest.mark.parametrize("path", ["/oauth/revoke", "/api/accounts/deviceauth/token"])
def test_a_missing_field_is_named(http, path):
    assert "Missing" in http.post(path, json={}).json()["error"]["message"]


def test_an_id_token_is_exchanged_for_an_api_key(service, http):
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "requested_token": "openai-api-key",
        "subject_token": service.issue_tokens().id_token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
    }
    assert http.post("/oauth/token", data=form).json()["access_token"].startswith("sk-")


def test_a_device_sign_in_waits_for_its_approval(service, http):
    device = http.post("/api/accounts/deviceauth/usercode", json={"client_id": "app"}).json()
    assert isinstance(device["interval"], str)
    poll = {"device_auth_id": device["device_auth_id"], "user_code": device["user_code"]}
    assert http.post("/api/accounts/deviceauth/token", json=poll).status_code == 403
    service.approve_device(device["user_code"])
    granted = http.post("/api/accounts/deviceauth/token", json=poll).json()
    tokens = exchange(
        http,
        granted["authorization_code"],
        code_verifier=granted["code_verifier"],
        redirect_uri=f"{service.issuer}/deviceauth/callback",
    ).json()
    assert ask(service, tokens["access_token"]).status_code == 200


def test_a_person_approves_a_device_on_its_page(service, http):
    device = http.post("/api/accounts/deviceauth/usercode", json={"client_id": "app"}).json()
    assert "Approve" in http.get("/codex/device").text
    who = {"email": "me@example.com", "plan": "plus"}
    assert http.post("/codex/device", data=who | {"user_code": "NONE-SUCH"}).status_code == 404
    assert (
        http.post("/codex/device", data=who | {"user_code": device["user_code"].lower()}).status_code == 200
    )
    poll = {"device_auth_id": device["device_auth_id"], "user_code": device["user_code"]}
    assert http.post("/api/accounts/deviceauth/token", json=poll).status_code == 200


def test_an_unknown_device_code_can_not_be_approved(service):
    with pytest.raises(ValueError, match="NONE-SUCH"):
        service.approve_device("NONE-SUCH")


def test_no_token_is_unauthorized(service):
    response = httpx.get(service.chatgpt_url + "/wham/usage", trust_env=False)
    assert (response.status_code, response.json()) == (401, {"detail": "Unauthorized"})


def test_an_expired_token_says_so(service):
    expired = service.issue_tokens(expires_in=-1)
    assert ask(service, expired.access_token).json()["error"]["code"] == "token_expired"


def test_a_revoked_token_says_so(service):
    tokens = service.issue_tokens()
    service.revoke(tokens.access_token)
    assert ask(service, tokens.access_token).json()["error"]["code"] == "token_invalidated"


@pytest.mark.parametrize("forged", ["nonsense", "a.b.c", "a.b.ü"])
def test_a_token_from_elsewhere_is_unauthorized(service, forged):
    headers = {b"Authorization": f"Bearer {forged}".encode()}
    response = httpx.get(service.chatgpt_url + "/wham/usage", headers=headers, trust_env=False)
    assert response.status_code == 401


def test_an_id_token_opens_nothing(service):
    assert ask(service, service.issue_tokens().id_token).status_code == 401


def test_the_account_header_must_name_the_account_of_the_token(service):
    tokens = service.issue_tokens()
    assert ask(service, tokens.access_token, **{"ChatGPT-Account-ID": tokens.account_id}).status_code == 200
    assert ask(service, tokens.access_token, **{"ChatGPT-Account-ID": "another"}).status_code == 401


def test_signing_in_writes_the_official_file(service, tmp_path):
    tokens = service.sign_in(tmp_path / "home", email="me@example.com", plan="pro")
    path = tmp_path / "home" / "auth.json"
    written = json.loads(path.read_text())
    assert list(written) == ["auth_mode", "OPENAI_API_KEY", "tokens", "last_refresh"]
    assert written["tokens"]["account_id"] == tokens.account_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ask(service, written["tokens"]["access_token"]).json()["email"] == "me@example.com"


def test_the_account_check_names_exactly_this_account(service):
    tokens = service.issue_tokens()
    headers = {"Authorization": f"Bearer {tokens.access_token}"}
    url = service.chatgpt_url + "/wham/accounts/check"
    [account] = httpx.get(url, headers=headers, trust_env=False).json()["accounts"]
    assert account["id"] == tokens.account_id
    assert account["account_routing_override"] == "NO_CONSTRAINT"
