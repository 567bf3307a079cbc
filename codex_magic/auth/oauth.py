"""The sign-in service's protocol, without IO: what is asked, and what its answers mean.

A `Call` and an `Answer` hold secrets and show none. Errors quote the service, but never a text
that repeats what was sent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from ..net import Answer, Call, header_value, introduction, one_line
from ..protocol.errors import AuthError, BlockedError, CodexError, LoginError, RateLimitError, ServiceError
from ..protocol.plain import decode_json, encodable, without_controls
from ..protocol.secrets import Secret, hide, mask
from ..protocol.settings import Settings
from .credentials import Credentials, Tokens

CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
"""The Codex CLI's; a public client without a secret."""

SCOPE = "openid profile email offline_access api.connectors.read api.connectors.invoke"
"""Without `offline_access` there is no refresh token, and the sign-in ends with its first access token."""

CALLBACK_PATH = "/auth/callback"

POLL_SECONDS = 5.0
"""When the service names no interval."""
LEAST_POLL_SECONDS, MOST_POLL_SECONDS = 1.0, 60.0
"""Whatever interval it names."""


@dataclass
class PendingLogin:
    """A sign-in begun: let the user open `url`."""

    url: str
    _verifier: str = field(repr=False)
    _state: str = field(repr=False)

    @property
    def redirect_uri(self) -> str:
        """Where the browser comes back to."""
        return dict(parse_qsl(urlsplit(self.url).query))["redirect_uri"]


def redirect_uri(settings: Settings, port: int = 0) -> str:
    """Where the browser comes back to, on the port it is waited for at; 0: on one that nobody listens on."""
    return f"http://{settings.redirect_host}:{port or settings.callback_ports[0]}{CALLBACK_PATH}"


@dataclass(frozen=True)
class Issuer:
    """The sign-in service, and how we introduce ourselves to it."""

    url: str
    originator: str
    user_agent: str
    seconds: float = 30.0
    """How long an answer may take."""

    @classmethod
    def of(cls, settings: Settings) -> Issuer:
        return cls(settings.issuer, header_value(settings.originator), introduction(settings)["User-Agent"])

    def begin(self, redirect_uri: str, *, state: str | None = None) -> PendingLogin:
        """Return the page on which a person approves the sign-in, and the proof of who asked for it (RFC 7636)."""
        verifier, state = secrets.token_urlsafe(64), state or secrets.token_urlsafe(32)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        query = {"response_type": "code", "client_id": CLIENT_ID}
        query |= {"redirect_uri": redirect_uri, "scope": SCOPE}
        query |= {"code_challenge": challenge.decode(), "code_challenge_method": "S256"}
        query |= {"id_token_add_organizations": "true", "codex_cli_simplified_flow": "true"}
        query |= {"state": state, "originator": self.originator}
        return PendingLogin(f"{self.url}/oauth/authorize?{urlencode(query)}", verifier, state)

    def redeem(self, code: str, *, redirect_uri: str, verifier: str) -> Call:
        """Exchange a code for tokens; `redirect_uri` is spelled as it was in the authorize link."""
        form = {"grant_type": "authorization_code", "client_id": CLIENT_ID, "code": code}
        form |= {"redirect_uri": redirect_uri, "code_verifier": verifier}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        body = urlencode(form).encode()
        return Call(f"{self.url}/oauth/token", headers, body, self.seconds, secrets=(code, verifier))

    def refresh(self, refresh_token: str) -> Call:
        """Renew a sign-in. Without a scope: a reduced one would narrow the grant."""
        form = {"client_id": CLIENT_ID, "grant_type": "refresh_token", "refresh_token": refresh_token}
        return self._json("/oauth/token", form, refresh_token)

    def revoke(self, credentials: Credentials) -> Call | None:
        """End a sign-in at the service; `None` when there is nothing to revoke."""
        if token := credentials.refresh_token:
            form = {"token": token, "token_type_hint": "refresh_token", "client_id": CLIENT_ID}
        elif token := credentials.access_token:
            form = {"token": token, "token_type_hint": "access_token"}
        else:
            return None
        return replace(self._json("/oauth/revoke", form, token), seconds=min(self.seconds, 10.0))

    def ask_for_user_code(self) -> Call:
        return self._json("/api/accounts/deviceauth/usercode", {"client_id": CLIENT_ID})

    def poll(self, device: Device) -> Call:
        form = {"device_auth_id": device.device_auth_id, "user_code": device.user_code}
        return self._json("/api/accounts/deviceauth/token", form, device.device_auth_id)

    def _json(self, path: str, form: Mapping[str, str], *hidden: str) -> Call:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers |= {"originator": self.originator, "User-Agent": self.user_agent}
        return Call(self.url + path, headers, msgspec.json.encode(form), self.seconds, hidden)


@dataclass(frozen=True)
class Callback:
    """What the browser brought back. Whether it is ours to heed, `state` tells."""

    code: str | None = field(default=None, repr=False)
    state: str | None = field(default=None, repr=False)
    error: str | None = None
    error_description: str | None = None

    @classmethod
    def parse(cls, text: str) -> Callback:
        """Read a whole address, its path or query alone, or `code=...&state=...`."""
        text = encodable(text).strip().strip("'\"<>")
        values = dict(parse_qsl((text.partition("?")[2] or text).partition("#")[0]))
        return cls(*(values.get(name) for name in ("code", "state", "error", "error_description")))

    def answers(self, state: str) -> bool:
        """Whether it carries this `state`; compared in constant time, since another page may guess."""
        return hmac.compare_digest((self.state or "").encode(), state.encode())

    def granted(self) -> Secret:
        """Return the code. Raises LoginError when there is none."""
        description = self.error_description or ""
        if "missing_codex_entitlement" in description:
            hint = "Ask its administrator, or use another account."
            raise LoginError("This workspace has no access to Codex.", hint=hint)
        if self.error == "access_denied":
            raise LoginError("The sign-in was denied in the browser.")
        if self.error is not None:
            raise LoginError(f"The sign-in page reported: {one_line(description or self.error).rstrip('.')}.")
        if not self.code:
            raise LoginError("The browser came back without a code.")
        return Secret(self.code)

    def pasted(self, state: str) -> Secret:
        """Return the code, where a person copied the address. Raises LoginError."""
        if self.state is None and self.error is None:
            hint = "Copy the whole address: it contains code= and state=."
            raise LoginError("That is not the address the browser ended at.", hint=hint)
        if not self.answers(state):
            raise LoginError("That address belongs to another sign-in.", hint="Use the most recent link.")
        return self.granted()


# What the answers mean ---------------------------------------------------------------------------


class Refused(AuthError):
    """A refresh token that is good for nothing any more. `code`: what the service called it."""

    def __init__(self, code: str) -> None:
        super().__init__(_PERMANENT.get(code) or "Your sign-in has ended.")
        self.code = code


_PERMANENT = {
    "refresh_token_expired": "Your sign-in has expired.",
    "refresh_token_reused": "Your sign-in was renewed by another program and not saved here.",
    "refresh_token_invalidated": "Your sign-in was ended by the service (signed out, or a changed password).",
    "invalid_grant": "Your sign-in has ended.",
}


def granted_tokens(call: Call, answer: Answer) -> Tokens:
    """Return all three tokens of a new sign-in. Raises LoginError, ServiceError, BlockedError."""
    tokens = _decoded(call, answer, Tokens)
    if None in msgspec.structs.astuple(tokens):
        raise LoginError("The sign-in service sent an incomplete set of tokens.")
    return tokens


def refreshed_tokens(call: Call, answer: Answer) -> Tokens:
    """Return what a refresh gave. Raises Refused when there is no use in asking again, else as above."""
    fault = _Fault(call, answer)
    if answer.status != 200 and (answer.status == 401 or fault.code in _PERMANENT):
        raise Refused(fault.code)
    tokens = _decoded(call, answer, Tokens)
    if tokens.access_token is None:
        raise ServiceError("The sign-in service sent no token.", status=answer.status)
    return tokens


@dataclass(frozen=True)
class Device:
    """A device sign-in that waits for its approval."""

    device_auth_id: str = field(repr=False)
    user_code: str
    interval: float
    """Seconds between two polls."""


class _UserCode(msgspec.Struct):
    device_auth_id: str
    user_code: str | None = None
    usercode: str | None = None
    interval: str | float | None = None


def device(call: Call, answer: Answer) -> Device:
    """Return the device sign-in. Raises LoginError when the service offers none, and as above."""
    if answer.status == 404:
        hint = "Allow it in ChatGPT under Settings > Security, or sign in with the browser."
        raise LoginError("Signing in with a device code is switched off.", hint=hint)
    fields = _decoded(call, answer, _UserCode)
    if (user_code := fields.user_code or fields.usercode) is None:
        raise LoginError("The sign-in service sent no code.")
    interval = POLL_SECONDS
    with suppress(ValueError):
        interval = min(MOST_POLL_SECONDS, max(LEAST_POLL_SECONDS, float(fields.interval or POLL_SECONDS)))
    return Device(fields.device_auth_id, without_controls(user_code), interval)


SLOW_DOWN = 5.0
"""Seconds more between two polls when the service asks for it (RFC 8628)."""

_DENIALS = frozenset({"access_denied", "authorization_denied", "deviceauth_denied"})
_EXPIRIES = frozenset({"expired_token", "device_code_expired", "deviceauth_expired"})


class Granted(msgspec.Struct, frozen=True):
    """An approved device sign-in, to be redeemed."""

    code: str = msgspec.field(name="authorization_code")
    verifier: str = msgspec.field(name="code_verifier")

    def __repr__(self) -> str:
        return "Granted(<hidden>)"


def polled(call: Call, answer: Answer) -> Granted | float:
    """Return the grant, or by how many seconds to slow down until it comes. Raises LoginError and as above."""
    if answer.status == 200:
        return _decoded(call, answer, Granted)
    code = _Fault(call, answer).code
    if code in _DENIALS:
        raise LoginError("The sign-in was denied.")
    if code in _EXPIRIES:
        raise expired()
    if code == "slow_down":
        return SLOW_DOWN
    if answer.status in (403, 404) and "cf-mitigated" not in answer.headers:
        return 0.0
    raise _refusal(call, answer)


def expired() -> LoginError:
    return LoginError("The code has expired: nobody entered it within 15 minutes.", hint="Get a new code.")


def _refusal(call: Call, answer: Answer) -> CodexError:
    """The error for a status other than 200."""
    status, fault = answer.status, _Fault(call, answer)
    if "cf-mitigated" in answer.headers or (fault.is_web_page and status < 500):
        return BlockedError(f"Got a web page instead of the sign-in service (HTTP {status}).", status=status)
    if status >= 500:
        return ServiceError(f"The sign-in service failed (HTTP {status}).", status=status)
    if status == 429:
        return RateLimitError("Too many attempts to sign in.", hint="Wait a moment and try again.")
    reason = one_line(fault.message or f"HTTP {status}").rstrip(".")
    return LoginError(f"The sign-in service refused: {reason}.")


class _Fault:
    """`{"error": "code", "error_description": ...}`, `{"error": {"code", "message"}}`, or any text."""

    def __init__(self, call: Call, answer: Answer) -> None:
        hide(*call.secrets)  # many others may have been in use since it was made
        is_html = answer.headers.get("content-type", "").startswith("text/html")
        self.is_web_page = is_html or answer.body.lstrip()[:1] == b"<"
        body: Any = None
        with suppress(ValueError):
            body = decode_json(answer.body)
        top = body if isinstance(body, dict) else {}
        error = top.get("error")
        inner = error if isinstance(error, dict) else {}
        code = inner.get("code") or (error if isinstance(error, str) else None) or top.get("code") or ""
        text = inner.get("message") or top.get("error_description") or top.get("detail") or code
        self.code = mask(str(code)).lower()
        self.message = str(text)


T = TypeVar("T")


def _decoded(call: Call, answer: Answer, kind: type[T]) -> T:
    """Return what a good answer holds. Raises CodexError for any other."""
    if answer.status != 200:
        raise _refusal(call, answer)
    with suppress(ValueError):
        result: T = decode_json(answer.body, kind)
        return result
    # outside the handler, because a decoder's frames would show the answer
    raise BlockedError("The answer did not come from the sign-in service.", status=answer.status)
