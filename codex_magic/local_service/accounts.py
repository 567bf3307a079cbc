"""The sign-in side: accounts, the tokens they hold, and the codes on the way to a token.

A token's signature is the same everywhere: it guards scripted answers, and a token that a service
gave out is still good after its restart.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any

from ..protocol.ids import new_id
from .faults import REFUSALS, Reply

ACCESS_SECONDS = 10 * 24 * 3600
SCOPE = "openid profile email offline_access"
_SIGNATURE = b"codex_magic local service"
_CLAIMS = "https://api.openai.com/auth"
_PROFILE = "https://api.openai.com/profile"
"""Only access tokens have it; id tokens name the email at the top."""


@dataclass(frozen=True)
class Account:
    email: str = "someone@example.com"
    plan: str = "plus"

    @property
    def id(self) -> str:
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{self.email}"))

    @property
    def user_id(self) -> str:
        return f"user-local-{self.id[:8]}"


@dataclass(frozen=True)
class Tokens:
    id_token: str
    access_token: str
    refresh_token: str
    account_id: str
    expires_in: int
    """Seconds; negative when the access token was expired from the start."""

    def response(self) -> dict[str, Any]:
        tokens = {"token_type": "Bearer", "scope": SCOPE, **asdict(self)}
        del tokens["account_id"]
        return tokens


class SignIn:
    """Codes and tokens of one running service. Not thread safe: used on the service's loop only."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._grants: dict[str, tuple[str, str, Account]] = {}
        """By code: its PKCE challenge, the client's address and who approved."""
        self._devices: dict[str, tuple[str, Account | None]] = {}
        """By the code that a person types: the device that shows it, and who approved."""
        self._refresh: dict[str, Account | None] = {}
        """Whose each refresh token is; `None` when it has been used."""
        self._revoked: set[str] = set()

    def issue(self, account: Account, *, expires_in: int = ACCESS_SECONDS) -> Tokens:
        """Return a fresh set of tokens; the refresh token is good for one use."""
        refresh_token = f"rt_local_{secrets.token_urlsafe(24)}"
        self._refresh[refresh_token] = account
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "sub": f"local|{account.user_id}",
            "iat": now,
            "exp": now + expires_in,
            "jti": new_id(),
            _CLAIMS: {
                "chatgpt_account_id": account.id,
                "chatgpt_plan_type": account.plan,
                "chatgpt_user_id": account.user_id,
                "user_id": account.user_id,
                "chatgpt_account_is_fedramp": False,
                "organizations": [],
            },
        }
        profile = {"email": account.email, "email_verified": True}
        id_token = encode_jwt(claims | profile | {"aud": ["app_EMoamEEZ73f0CkXaXp7hrann"]})
        access_token = encode_jwt(claims | {_PROFILE: profile})
        return Tokens(id_token, access_token, refresh_token, account.id, expires_in)

    def check(self, bearer: str) -> Account | Reply:
        """Return who holds this access token, or why nobody does."""
        claims = decode_jwt(bearer)
        if claims is None or _PROFILE not in claims:
            return REFUSALS["unauthorized"]
        if bearer in self._revoked:
            return REFUSALS["token_invalidated"]
        if claims["exp"] <= time.time():
            return REFUSALS["token_expired"]
        return Account(claims[_PROFILE]["email"], claims[_CLAIMS]["chatgpt_plan_type"])

    def grant(self, account: Account, *, challenge: str, redirect_uri: str) -> str:
        """Return an authorization code; good once, with the matching verifier and the same redirect."""
        code = f"ac_{secrets.token_urlsafe(24)}"
        self._grants[code] = challenge, redirect_uri, account
        return code

    def exchange(self, *, code: str, redirect_uri: str, verifier: str) -> Reply:
        challenge, address, account = self._grants.pop(code, ("", "", Account()))
        if (address, challenge) != (redirect_uri, challenge_of(verifier)):
            return REFUSALS["token_exchange_failed"]
        return Reply(200, self.issue(account).response())

    def refresh(self, token: str) -> Reply:
        if token not in self._refresh:
            return REFUSALS["refresh_token_invalidated"]
        account, self._refresh[token] = self._refresh[token], None
        return Reply(200, self.issue(account).response()) if account else REFUSALS["refresh_token_reused"]

    def revoke(self, token: str) -> None:
        """Make a token invalid; an unknown one is fine, since the caller only wants it to be over."""
        self._refresh.pop(token, None)
        self._revoked.add(token)

    def start_device(self) -> dict[str, str]:
        device_auth_id = f"deviceauth_{secrets.token_hex(12)}"
        letters = "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(9))
        user_code = f"{letters[:4]}-{letters[4:]}"
        self._devices[user_code] = device_auth_id, None
        # the seconds between polls are text, as the real service sends them
        return {"device_auth_id": device_auth_id, "user_code": user_code, "interval": "1"}

    def approve_device(self, user_code: str, account: Account) -> bool:
        """Approve the device that shows this code; return whether there was one."""
        code = user_code.strip().upper()
        if code in self._devices:
            self._devices[code] = self._devices[code][0], account
        return code in self._devices

    def poll_device(self, device_auth_id: str, user_code: str) -> Reply:
        waiting, account = self._devices.get(user_code, ("", None))
        if waiting != device_auth_id or account is None:
            return REFUSALS["device_pending"]
        del self._devices[user_code]
        verifier = secrets.token_urlsafe(64)
        challenge, redirect_uri = challenge_of(verifier), f"{self._issuer}/deviceauth/callback"
        code = self.grant(account, challenge=challenge, redirect_uri=redirect_uri)
        body = {"authorization_code": code, "code_challenge": challenge, "code_verifier": verifier}
        return Reply(200, body)


def challenge_of(verifier: str) -> str:
    """Return the PKCE challenge, method S256."""
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def encode_jwt(claims: dict[str, Any]) -> str:
    parts = (json.dumps({"alg": "HS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), _SIGNATURE)
    return ".".join(map(_base64url, parts))


def decode_jwt(token: str) -> dict[str, Any] | None:
    """Return the claims of a token from here, expired or not; else `None`."""
    _, payload, signature = [*token.split("."), "", ""][:3]
    is_ours = signature == _base64url(_SIGNATURE)
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=="))) if is_ours else None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
