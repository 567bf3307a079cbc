"""The pages on which a person approves a sign-in or denies it, and the checks of the links that lead there."""

from __future__ import annotations

import secrets
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import urlsplit

from codex_magic.local_service.accounts import Account, decode_jwt
from codex_magic.local_service.endpoints import Endpoint, approve, endpoint, redirect_back
from codex_magic.local_service.faults import REFUSALS, Reply
from codex_magic.local_service.service import Routes
from codex_magic.local_service.stream import SHAPES
from tests.service.replies import HTML
from tests.service.state import StrictState


class Authorize(Endpoint):
    """The page on which a person approves a browser sign-in."""

    def get(self) -> None:
        asked = self._asked()
        assert isinstance(self.state, StrictState)
        if self.state.auto_approve or self.get_query_argument("auto", "") == "1":
            self.reply(approve(self, asked, Account()))
        else:
            self.reply(page("Sign in to the local service", _approval_form(asked)))

    def post(self) -> None:
        asked = self._asked()
        if self.get_body_argument("decision") == "approve":
            account = Account(self.get_body_argument("email"), self.get_body_argument("plan"))
            self.reply(approve(self, asked, account))
        else:
            denied = {"error": "access_denied", "error_description": "The sign-in was denied."}
            self.reply(redirect_back(asked, denied))

    def _asked(self) -> dict[str, str]:
        asked = self.query()
        missing = [name for name in _NEEDED if name not in asked]
        if missing:
            self.refuse(bad_request(f"{missing[0]} is missing."))
        if not _is_own_address(asked["redirect_uri"]):
            self.refuse(bad_request("authorize_hydra_invalid_request: this redirect_uri is not registered."))
        if asked["response_type"] != "code" or asked["code_challenge_method"] != "S256":
            self.refuse(bad_request("Only the code flow with S256 is offered."))
        return asked


_NEEDED = ("client_id", "redirect_uri", "response_type", "code_challenge", "code_challenge_method", "state")


def _is_own_address(redirect_uri: str) -> bool:
    """The client's callback is on this machine; its port may be any."""
    address = urlsplit(redirect_uri)
    return address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost")


def fields(at: Endpoint) -> dict[str, Any]:
    """Return the fields of a form or of a JSON body."""
    if isinstance(at.json, dict):
        return at.json
    return {name: at.get_body_argument(name, strip=False) for name in at.request.body_arguments}


def token(at: Endpoint) -> Reply:
    """Take codes and refresh tokens, give tokens; by the `grant_type` of a form or of JSON."""
    given, state = fields(at), at.state
    assert isinstance(state, StrictState)
    error = ("unsupported_grant_type", "There is no such grant_type.")
    try:
        match given.get("grant_type"):
            case "authorization_code":
                verifier, redirect_uri = given["code_verifier"], given["redirect_uri"]
                return state.sign_in.exchange(
                    code=given["code"], redirect_uri=redirect_uri, verifier=verifier
                )
            case "refresh_token":
                return state.sign_in.refresh(given["refresh_token"])
            case "urn:ietf:params:oauth:grant-type:token-exchange":
                return exchanged(given["subject_token"])
    except KeyError as missing:
        error = ("invalid_request", f"{missing.args[0]} is missing.")
    return Reply(400, {"error": error[0], "error_description": error[1]})


def exchanged(subject_token: str) -> Reply:
    """Give the key for the public API too, which a browser sign-in may ask for besides."""
    if decode_jwt(subject_token) is None:
        return REFUSALS["token_exchange_failed"]
    key = f"sk-local-{secrets.token_urlsafe(16)}"
    return Reply(200, {"access_token": key, "token_type": "Bearer"})


def revoke(at: Endpoint) -> Reply:
    assert isinstance(at.state, StrictState)
    at.state.sign_in.revoke(str(at.need("token")))
    return Reply(200, {})


def poll(at: Endpoint) -> Reply:
    assert isinstance(at.state, StrictState)
    return at.state.sign_in.poll_device(str(at.need("device_auth_id")), str(at.need("user_code")))


class DevicePage(Endpoint):
    """Where a person types the code that a machine without a browser has shown."""

    def get(self) -> None:
        code = escape(self.get_query_argument("user_code", ""))
        form = f'<form method="post"><label>Code <input name="user_code" value="{code}" autofocus></label>'
        self.reply(page("Sign in a device", f"{form}{_who()}<button>Approve</button></form>"))

    def post(self) -> None:
        account = Account(self.get_body_argument("email"), self.get_body_argument("plan"))
        assert isinstance(self.state, StrictState)
        if self.state.sign_in.approve_device(self.get_body_argument("user_code"), account):
            self.reply(page("Signed in", "<p>You can close this page and go back to your notebook.</p>"))
        else:
            self.reply(page("No such code", "<p>No device waits with this code.</p>", status=404))


class DeviceCallback(Endpoint):
    """The redirect address of device sign-ins; nobody is sent there, but it exists."""

    def get(self) -> None:
        self.reply(page("Signed in", "<p>You can close this page.</p>"))


def accounts_check(at: Endpoint) -> Reply:
    """Say where a client may send this account's requests; the official one insists on https or no word."""
    account, url = at.account(), at.state.url
    origin = {"workspace_backend_origin": url if url.startswith("https:") else "NO_CONSTRAINT"}
    described = SHAPES["account"] | origin | {"id": account.id, "plan_type": account.plan}
    order = {"account_ordering": [account.id], "default_account_id": account.id}
    return Reply(200, {"accounts": [described], **order})


_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def page(title: str, content: str, *, status: int = 200) -> Reply:
    return Reply(status, _PAGE.substitute(title=escape(title), content=content), {"Content-Type": HTML})


SIGN_IN_ROUTES: Routes = [
    (r"/oauth/authorize", Authorize),
    (r"/oauth/token", endpoint("post", token)),
    (r"/oauth/revoke", endpoint("post", revoke)),
    (r"/codex/device", DevicePage),
    (r"/deviceauth/callback", DeviceCallback),
    (r"/api/accounts/deviceauth/token", endpoint("post", poll)),
    (r"/backend-api/wham/accounts/check", endpoint("get", accounts_check)),
]


def bad_request(text: str) -> Reply:
    return page("This sign-in link does not work", f"<p>{escape(text)}</p>", status=400)


def _approval_form(asked: dict[str, str]) -> str:
    """The form posts to its own address, so that the query of the request is kept."""
    who = escape(asked.get("originator", asked["client_id"]))
    buttons = (
        '<button name="decision" value="approve">Approve</button>'
        '<button name="decision" value="deny">Deny</button>'
    )
    return f"<p><b>{who}</b> asks to sign in.</p><form method='post'>{_who()}{buttons}</form>"


def _who() -> str:
    return (
        f'<label>Account <input name="email" value="{Account.email}"></label>'
        f'<label>Plan <input name="plan" value="{Account.plan}"></label>'
    )
