"""The endpoints of the sign-in service. Nobody clicks here: to open a sign-in link is to approve it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import urlencode

from .accounts import Account
from .endpoints import Endpoint
from .replies import HTML, Reply

PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


class Authorize(Endpoint):
    """A browser sign-in: back to the client's own address with a code."""

    def get(self) -> None:
        self.approve(self.recorded.query, Account())

    def approve(self, query: Mapping[str, str], account: Account) -> None:
        code = self.state.sign_in.grant(
            account, challenge=query["code_challenge"], redirect_uri=query["redirect_uri"]
        )
        scope = query.get("scope", "openid profile email offline_access")
        self.redirect_back(query, {"code": code, "scope": scope})

    def redirect_back(self, query: Mapping[str, str], answer: Mapping[str, str]) -> None:
        location = f"{query['redirect_uri']}?{urlencode({**answer, 'state': query['state']})}"
        self.reply(Reply(302, "", {"Location": location}))


class Token(Endpoint):
    """Codes and refresh tokens in, tokens out. Forms and JSON are both taken."""

    def post(self) -> None:
        fields = self.recorded.json
        if not isinstance(fields, dict):
            fields = {name: self.get_body_argument(name, strip=False) for name in self.request.body_arguments}
        try:
            reply = self.grant(fields)
        except KeyError as missing:
            reply = _oauth_error("invalid_request", f"{missing.args[0]} is missing.")
        self.reply(reply)

    def grant(self, fields: Mapping[str, str]) -> Reply:
        """Answer a request by its `grant_type`. KeyError: a field that this one needs is missing."""
        sign_in = self.state.sign_in
        match fields.get("grant_type"):
            case "authorization_code":
                verifier, redirect_uri = fields["code_verifier"], fields["redirect_uri"]
                return sign_in.exchange(code=fields["code"], redirect_uri=redirect_uri, verifier=verifier)
            case "refresh_token":
                return sign_in.refresh(fields["refresh_token"])
        return _oauth_error("unsupported_grant_type", "There is no such grant_type.")


class Revoke(Endpoint):
    def post(self) -> None:
        self.state.sign_in.revoke(str(self.need("token")))
        self.reply_json({})


class DeviceCode(Endpoint):
    def post(self) -> None:
        self.reply_json(self.state.sign_in.start_device())


class DeviceToken(Endpoint):
    def post(self) -> None:
        device, code = str(self.need("device_auth_id")), str(self.need("user_code"))
        self.reply(self.state.sign_in.poll_device(device, code))


class DevicePage(Endpoint):
    """Where a person types the code that a machine without a browser has shown."""

    def get(self) -> None:
        code = self.get_query_argument("user_code", "")
        if self.state.sign_in.approve_device(code, Account()):
            self.reply(page("Signed in", "<p>You can close this page and go back to your notebook.</p>"))
        else:
            field = f'<label>Code <input name="user_code" value="{escape(code)}" autofocus></label>'
            self.reply(page("Sign in a device", f"<form>{field}<button>Approve</button></form>"))


SIGN_IN_ROUTES: list[tuple[str, type[Endpoint]]] = [
    (r"/oauth/authorize", Authorize),
    (r"/oauth/token", Token),
    (r"/oauth/revoke", Revoke),
    (r"/api/accounts/deviceauth/usercode", DeviceCode),
    (r"/api/accounts/deviceauth/token", DeviceToken),
    (r"/codex/device", DevicePage),
]


def page(title: str, content: str, *, status: int = 200) -> Reply:
    return Reply(status, PAGE.substitute(title=escape(title), content=content), {"Content-Type": HTML})


def _oauth_error(code: str, description: str) -> Reply:
    return Reply(400, {"error": code, "error_description": description})
