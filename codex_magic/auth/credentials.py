"""Who we are: the CLI's auth.json, read as it is. Nothing here is verified, only decoded."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

import msgspec

from ..protocol.plain import decode_json
from ..protocol.secrets import hide

CHATGPT = "chatgpt"
API_KEY = "apikey"

_CLAIMS = "https://api.openai.com/auth"
_PROFILE = "https://api.openai.com/profile"

_END_OF_TIME = 2**36
"""Unix seconds, in the year 4147: what ends later says nothing that a clock knows."""

Document = dict[str, Any]
"""auth.json as it stands, with whatever keys other programs put there."""


@dataclass(frozen=True)
class Credentials:
    """What auth.json holds. `mode`: `chatgpt`, `apikey`, or one this version does not use."""

    mode: str
    access_token: str | None = field(default=None, repr=False)
    account_id: str | None = None
    id_token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    last_refresh: float | None = None
    """Unix seconds."""

    def __post_init__(self) -> None:
        hide(self.access_token, self.id_token, self.api_key, self.refresh_token)

    @property
    def email(self) -> str | None:
        claims = decode_jwt(self.id_token)
        email = claims.get("email") or _inner(claims, _PROFILE).get("email")
        return email if isinstance(email, str) else None

    @property
    def plan(self) -> str | None:
        """`plus`, `pro`, `business` ...: an open list."""
        plan = _inner(decode_jwt(self.id_token), _CLAIMS).get("chatgpt_plan_type")
        return plan if isinstance(plan, str) else None

    @cached_property
    def expires_at(self) -> int | None:
        """Unix seconds at which the access token ends, if the service does not end it earlier."""
        exp = decode_jwt(self.access_token).get("exp")
        return int(exp) if isinstance(exp, (int, float)) and 0 <= exp < _END_OF_TIME else None


class Tokens(msgspec.Struct, frozen=True):
    """A token endpoint's answer; each field may be missing."""

    access_token: str | None = None
    id_token: str | None = None
    refresh_token: str | None = None

    def __post_init__(self) -> None:
        hide(self.access_token, self.id_token, self.refresh_token)

    def __repr__(self) -> str:
        return "Tokens(<hidden>)"


class _StoredTokens(Tokens, frozen=True):
    account_id: str | None = None


class _AuthFile(msgspec.Struct):
    auth_mode: str | None = None
    api_key: str | None = msgspec.field(default=None, name="OPENAI_API_KEY")
    tokens: _StoredTokens | None = None
    last_refresh: str | None = None


def credentials_of(data: bytes) -> Credentials:
    """What the text of an auth.json says. Raises ValueError."""
    stored = decode_json(data, _AuthFile)
    tokens = stored.tokens or _StoredTokens()
    return Credentials(
        mode=stored.auth_mode or (API_KEY if stored.api_key else CHATGPT),
        access_token=tokens.access_token,
        account_id=tokens.account_id or account_of(tokens.access_token) or account_of(tokens.id_token),
        id_token=tokens.id_token,
        api_key=stored.api_key,
        refresh_token=tokens.refresh_token,
        last_refresh=_unix_seconds(stored.last_refresh),
    )


def account_of(token: str | None) -> str | None:
    """The ChatGPT account a token belongs to."""
    account = _inner(decode_jwt(token), _CLAIMS).get("chatgpt_account_id")
    return account if isinstance(account, str) else None


def decode_jwt(token: str | None) -> dict[str, Any]:
    """The claims of a JWT, unverified; empty when it is none."""
    claims: Any = None
    with suppress(IndexError, ValueError):
        payload = (token or "").split(".")[1]
        claims = decode_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), Any)
    return claims if isinstance(claims, dict) else {}


def _inner(claims: Mapping[str, Any], name: str) -> dict[str, Any]:
    inner = claims.get(name)
    return inner if isinstance(inner, dict) else {}


def _unix_seconds(stamp: str | None) -> float | None:
    """Read RFC 3339. The CLI writes nine digits of a second, which Python 3.10 does not read."""
    with suppress(ValueError, OverflowError):
        when = datetime.fromisoformat(re.sub(r"\.\d+", "", stamp or "").replace("Z", "+00:00"))
        return when.replace(tzinfo=when.tzinfo or timezone.utc).timestamp()
    return None


def with_tokens(document: Mapping[str, Any], tokens: Tokens) -> Document:
    """`document` signed in with ChatGPT by `tokens`; what they lack and what is unknown stays."""
    new = {name: token for name, token in msgspec.structs.asdict(tokens).items() if token is not None}
    held = {**dict.fromkeys(Tokens.__struct_fields__), **_inner(document, "tokens"), **new}
    account = account_of(tokens.id_token) or account_of(tokens.access_token) or held.get("account_id")
    return {
        "auth_mode": CHATGPT,
        "OPENAI_API_KEY": None,
        **document,
        "tokens": {**held, "account_id": account},
        "last_refresh": f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z",
    }


def with_sign_in(document: Mapping[str, Any], tokens: Tokens) -> Document:
    """`document` after a sign-in with ChatGPT, whatever it was signed in with before."""
    ours = _StoredTokens.__struct_fields__
    held = {name: value for name, value in _inner(document, "tokens").items() if name not in ours}
    return with_tokens({**document, "auth_mode": CHATGPT, "OPENAI_API_KEY": None, "tokens": held}, tokens)


def with_api_key(document: Mapping[str, Any], key: str) -> Document:
    """`document` after a sign-in with an API key."""
    rest = {name: value for name, value in document.items() if name not in ("tokens", "last_refresh")}
    return {**rest, "auth_mode": API_KEY, "OPENAI_API_KEY": key}
