"""The sign-in side: accounts, and the tokens they hold.

A token's signature is the same everywhere: it guards scripted answers, and a token that a service
gave out is still good after its restart.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any

from ..protocol.ids import new_id
from .faults import REFUSALS, Reply
from .stream import SHAPES

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


SECONDS = {"primary": 5 * 3600, "secondary": 7 * 24 * 3600}
"""How long each window of a plan is."""


@dataclass
class Quota:
    """The plan's two windows, which fill a little with every request. In whole percent: the CLI can't read others."""

    started: float = field(default_factory=time.time)
    requests: int = 0

    def windows(self) -> dict[str, dict[str, Any]]:
        used = {"primary": min(95, 12 + self.requests), "secondary": min(90, 31 + self.requests // 10)}
        windows = {}
        for name, seconds in SECONDS.items():
            end = int(self.started) + seconds
            resets = {"reset_after_seconds": max(0, end - int(time.time())), "reset_at": end}
            windows[name] = {"used_percent": used[name], "limit_window_seconds": seconds, **resets}
        return windows

    def headers(self, plan: str) -> dict[str, str]:
        headers = SHAPES["quota_headers"] | {"x-codex-plan-type": plan}
        for name, window in self.windows().items():
            minutes = window.pop("limit_window_seconds") // 60
            for key, value in {**window, "window_minutes": minutes}.items():
                headers[f"x-codex-{name}-{key.replace('_', '-')}"] = str(value)
        return headers

    def usage(self, account: Account) -> dict[str, Any]:
        """Return the body of `/wham/usage`."""
        windows = {f"{name}_window": window for name, window in self.windows().items()}
        who = {"user_id": account.user_id, "account_id": account.id, "email": account.email}
        limit = {"allowed": True, "limit_reached": False, **windows}
        return SHAPES["usage"] | who | {"plan_type": account.plan, "rate_limit": limit}


class SignIn:
    """The tokens of one running service, and the way to them: whoever comes is let in as the same made-up person.

    Used on the service's loop only. The strict service of the tests keeps account of every code and token.
    """

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def issue(self, account: Account, *, expires_in: int = ACCESS_SECONDS) -> Tokens:
        """Return a fresh set of tokens."""
        now = int(time.time())
        who = {"account_id": account.id, "plan_type": account.plan, "user_id": account.user_id}
        claims = {
            "iss": self._issuer,
            "sub": f"local|{account.user_id}",
            "iat": now,
            "exp": now + expires_in,
            "jti": new_id(),
            _CLAIMS: {
                "user_id": account.user_id,
                "organizations": [],
                **{f"chatgpt_{name}": value for name, value in who.items()},
            },
        }
        profile = {"email": account.email, "email_verified": True}
        id_token = encode_jwt(claims | profile | {"aud": ["app_EMoamEEZ73f0CkXaXp7hrann"]})
        access_token = encode_jwt(claims | {_PROFILE: profile})
        return Tokens(id_token, access_token, f"rt_local_{secrets.token_urlsafe(24)}", account.id, expires_in)

    def check(self, bearer: str) -> Account | Reply:
        """Return who holds this access token, or why nobody does."""
        claims = decode_jwt(bearer)
        if claims is None or _PROFILE not in claims:
            return REFUSALS["unauthorized"]
        return Account(claims[_PROFILE]["email"], claims[_CLAIMS]["chatgpt_plan_type"])

    def grant(self, account: Account, *, challenge: str, redirect_uri: str) -> str:
        """Return an authorization code."""
        return f"ac_{secrets.token_urlsafe(24)}"

    def start_device(self) -> dict[str, str]:
        letters = "".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(9))
        # the seconds between polls are text, as the real service sends them
        device = {"device_auth_id": f"deviceauth_{secrets.token_hex(12)}", "interval": "1"}
        return device | {"user_code": f"{letters[:4]}-{letters[4:]}"}


def encode_jwt(claims: dict[str, Any]) -> str:
    parts = (json.dumps({"alg": "HS256", "typ": "JWT"}).encode(), json.dumps(claims).encode(), _SIGNATURE)
    return ".".join(map(base64url, parts))


def decode_jwt(token: str) -> dict[str, Any] | None:
    """Return the claims of a token from here, expired or not; else `None`."""
    _, payload, signature = [*token.split("."), "", ""][:3]
    is_ours = signature == base64url(_SIGNATURE)
    return dict(json.loads(base64.urlsafe_b64decode(payload + "=="))) if is_ours else None


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
