"""The HTTP endpoints and pages of the sign-in service."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import urlencode, urlsplit

from .accounts import Account, Tokens
from .endpoints import Endpoint
from .replies import HTML, Reply

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 32em; margin: 4em auto; padding: 0 1em }}
label, button {{ display: block; margin: 1em 0 }} input {{ font: inherit; width: 100% }}
button {{ font: inherit; padding: .4em 1.2em }}</style></head>
<body><h1>{title}</h1>{content}<p><small>This is the local service: nothing here reaches the internet.</small></p></body>
</html>
"""


class Authorize(Endpoint):
    """The page on which a person approves a browser sign-in."""

    def get(self) -> None:
        asked = self._asked()
        if self.state.auto_approve or self.get_query_argument("auto", "") == "1":
            self._approved(asked, Account())
        else:
            self.reply(page("Sign in to the local service", _approval_form(asked)))

    def post(self) -> None:
        asked = self._asked()
        if self.get_body_argument("decision") == "approve":
            account = Account(self.get_body_argument("email"), self.get_body_argument("plan"))
            self._approved(asked, account)
        else:
            denied = {"error": "access_denied", "error_description": "The sign-in was denied."}
            self._back(asked, denied)

    def _asked(self) -> dict[str, str]:
        asked = self.recorded.query
        missing = [name for name in _NEEDED if name not in asked]
        if missing:
            self.refuse(bad_request(f"{missing[0]} is missing."))
        if not _is_own_address(asked["redirect_uri"]):
            self.refuse(bad_request("authorize_hydra_invalid_request: this redirect_uri is not registered."))
        if asked["response_type"] != "code" or asked["code_challenge_method"] != "S256":
            self.refuse(bad_request("Only the code flow with S256 is offered."))
        return asked

    def _approved(self, asked: dict[str, str], account: Account) -> None:
        code = self.state.sign_in.grant(
            account, challenge=asked["code_challenge"], redirect_uri=asked["redirect_uri"]
        )
        self._back(asked, {"code": code, "scope": asked.get("scope", "openid profile email offline_access")})

    def _back(self, asked: dict[str, str], answer: dict[str, str]) -> None:
        location = f"{asked['redirect_uri']}?{urlencode({**answer, 'state': asked['state']})}"
        self.reply(Reply(302, "", {"Location": location}))


_NEEDED = ("client_id", "redirect_uri", "response_type", "code_challenge", "code_challenge_method", "state")


def _is_own_address(redirect_uri: str) -> bool:
    """The client's callback is on this machine; its port may be any."""
    address = urlsplit(redirect_uri)
    return address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost")


class Token(Endpoint):
    """Codes, refresh tokens and id tokens in; tokens out. Forms and JSON are both taken."""

    def post(self) -> None:
        fields = self._fields()
        grant = _GRANTS.get(fields.get("grant_type", ""))
        if grant is None:
            self.refuse(oauth_error("unsupported_grant_type", "There is no such grant_type."))
        try:
            answer = grant(self, fields)
        except KeyError as missing:
            self.refuse(oauth_error("invalid_request", f"{missing.args[0]} is missing."))
        self.reply(answer if isinstance(answer, Reply) else Reply(200, answer))

    def _fields(self) -> dict[str, str]:
        if isinstance(self.recorded.json, dict):
            return self.recorded.json
        return {name: self.get_body_argument(name, strip=False) for name in self.request.body_arguments}

    def _by_code(self, fields: dict[str, str]) -> dict[str, Any] | Reply:
        return _response(
            self.state.sign_in.exchange(
                code=fields["code"], redirect_uri=fields["redirect_uri"], verifier=fields["code_verifier"]
            )
        )

    def _by_refresh(self, fields: dict[str, str]) -> dict[str, Any] | Reply:
        return _response(self.state.sign_in.refresh(fields["refresh_token"]))

    def _for_key(self, fields: dict[str, str]) -> dict[str, Any] | Reply:
        key = self.state.sign_in.api_key(fields["subject_token"])
        return key if isinstance(key, Reply) else {"access_token": key, "token_type": "Bearer"}


_GRANTS = {
    "authorization_code": Token._by_code,
    "refresh_token": Token._by_refresh,
    TOKEN_EXCHANGE: Token._for_key,
}


def _response(tokens: Tokens | Reply) -> dict[str, Any] | Reply:
    return tokens if isinstance(tokens, Reply) else tokens.response()


class Revoke(Endpoint):
    def post(self) -> None:
        self.state.sign_in.revoke(self.given("token"))
        self.reply_json({})


class DeviceCode(Endpoint):
    def post(self) -> None:
        self.reply_json(self.state.sign_in.start_device())


class DeviceToken(Endpoint):
    def post(self) -> None:
        polled = self.state.sign_in.poll_device(self.given("device_auth_id"), self.given("user_code"))
        self.reply(polled if isinstance(polled, Reply) else Reply(200, polled))


class DevicePage(Endpoint):
    """Where a person types the code that a machine without a browser has shown."""

    def get(self) -> None:
        code = escape(self.get_query_argument("user_code", ""))
        form = f'<form method="post"><label>Code <input name="user_code" value="{code}" autofocus></label>'
        self.reply(page("Sign in a device", f"{form}{_who()}<button>Approve</button></form>"))

    def post(self) -> None:
        account = Account(self.get_body_argument("email"), self.get_body_argument("plan"))
        if self.state.sign_in.approve_device(self.get_body_argument("user_code"), account):
            self.reply(page("Signed in", "<p>You can close this page and go back to your notebook.</p>"))
        else:
            self.reply(page("No such code", "<p>No device waits with this code.</p>", status=404))


class DeviceCallback(Endpoint):
    """The redirect address of device sign-ins; nobody is sent there, but it exists."""

    def get(self) -> None:
        self.reply(page("Signed in", "<p>You can close this page.</p>"))


SIGN_IN_ROUTES: list[tuple[str, type[Endpoint]]] = [
    (r"/oauth/authorize", Authorize),
    (r"/oauth/token", Token),
    (r"/oauth/revoke", Revoke),
    (r"/api/accounts/deviceauth/usercode", DeviceCode),
    (r"/api/accounts/deviceauth/token", DeviceToken),
    (r"/codex/device", DevicePage),
    (r"/deviceauth/callback", DeviceCallback),
]


def page(title: str, content: str, *, status: int = 200) -> Reply:
    return Reply(status, _PAGE.format(title=escape(title), content=content), {"Content-Type": HTML})


def bad_request(text: str) -> Reply:
    return page("This sign-in link does not work", f"<p>{escape(text)}</p>", status=400)


def oauth_error(code: str, description: str) -> Reply:
    return Reply(400, {"error": code, "error_description": description})


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
