"""The sign-in as the real service guards it: each code and refresh token is good once, with its proof."""

from __future__ import annotations

import hashlib
import secrets
import time

from codex_magic.local_service import accounts as shipped
from codex_magic.local_service.accounts import ACCESS_SECONDS, Account, Tokens, base64url, decode_jwt
from codex_magic.local_service.faults import REFUSALS, Reply


class SignIn(shipped.SignIn):
    """Keeps account of every code and token. Used on the service's loop only."""

    def __init__(self, issuer: str) -> None:
        super().__init__(issuer)
        self._grants: dict[str, tuple[str, str, Account]] = {}
        """By code: its PKCE challenge, the client's address and who approved."""
        self._devices: dict[str, tuple[str, Account | None]] = {}
        """By the code that a person types: the device that shows it, and who approved."""
        self._refresh: dict[str, Account | None] = {}
        """Whose each refresh token is; `None` when it has been used."""
        self._revoked: set[str] = set()

    def issue(self, account: Account, *, expires_in: int = ACCESS_SECONDS) -> Tokens:
        """Return a fresh set of tokens; the refresh token is good for one use."""
        tokens = super().issue(account, expires_in=expires_in)
        self._refresh[tokens.refresh_token] = account
        return tokens

    def check(self, bearer: str) -> Account | Reply:
        """Return who holds this access token, or why nobody does."""
        account = super().check(bearer)
        if isinstance(account, Account) and bearer in self._revoked:
            return REFUSALS["token_invalidated"]
        if isinstance(account, Account) and (decode_jwt(bearer) or {})["exp"] <= time.time():
            return REFUSALS["token_expired"]
        return account

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
    return base64url(hashlib.sha256(verifier.encode()).digest())
