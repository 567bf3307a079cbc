"""Who we are: the CLI's auth.json, read as it is. Nothing here is verified, only decoded.

The CLI writes the file in place, so a reader may meet half of it; then it is read again.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ..protocol.errors import ConfigurationError

_READS = 5
_PAUSE = 0.02
"""Seconds between two reads; the CLI writes its few kilobytes in far less."""

_CLAIMS = "https://api.openai.com/auth"
_PROFILE = "https://api.openai.com/profile"


@dataclass(frozen=True)
class Credentials:
    """What auth.json holds. `mode`: `chatgpt`, `apikey`, or one this version does not use."""

    mode: str
    access_token: str | None = field(default=None, repr=False)
    account_id: str | None = None
    id_token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)

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

    @property
    def expires_at(self) -> int | None:
        """Unix seconds at which the access token ends, if the service does not end it earlier."""
        exp = decode_jwt(self.access_token).get("exp")
        return int(exp) if isinstance(exp, (int, float)) else None


def auth_path(codex_home: Path) -> Path:
    return codex_home / "auth.json"


def read_credentials(path: Path, *, sleep: Callable[[float], None] = time.sleep) -> Credentials | None:
    """The stored credentials, `None` without a file. Raises ConfigurationError for an unreadable one."""
    for _ in range(_READS - 1):
        try:
            return _read(path)
        except (msgspec.DecodeError, UnicodeDecodeError):
            sleep(_PAUSE)
    try:
        return _read(path)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} holds no credentials that can be read.", hint=_SIGN_IN) from error


_SIGN_IN = "Sign in again: run `codex login` in a terminal."


class _Tokens(msgspec.Struct):
    access_token: str | None = None
    id_token: str | None = None
    account_id: str | None = None


class _AuthFile(msgspec.Struct):
    auth_mode: str | None = None
    api_key: str | None = msgspec.field(default=None, name="OPENAI_API_KEY")
    tokens: _Tokens | None = None


def _read(path: Path) -> Credentials | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} can't be read: {error.strerror}.") from error
    stored = msgspec.json.decode(data, type=_AuthFile)
    tokens = stored.tokens or _Tokens()
    claims = _inner(decode_jwt(tokens.access_token), _CLAIMS) or _inner(decode_jwt(tokens.id_token), _CLAIMS)
    return Credentials(
        mode=stored.auth_mode or ("apikey" if stored.api_key else "chatgpt"),
        access_token=tokens.access_token,
        account_id=tokens.account_id or claims.get("chatgpt_account_id"),
        id_token=tokens.id_token,
        api_key=stored.api_key,
    )


def decode_jwt(token: str | None) -> dict[str, Any]:
    """The claims of a JWT, unverified; empty when it is none."""
    try:
        payload = (token or "").split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def _inner(claims: dict[str, Any], name: str) -> dict[str, Any]:
    inner = claims.get(name)
    return inner if isinstance(inner, dict) else {}
