"""Finished HTTP replies, above all the refusals in the words of the real services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HTML = "text/html; charset=utf-8"


@dataclass(frozen=True)
class Reply:
    """A status and a body: a `dict` is sent as JSON, a `str` as a web page."""

    status: int
    body: Mapping[str, Any] | str
    headers: Mapping[str, str] = field(default_factory=dict)


def detail(status: int, text: str) -> Reply:
    """The form in which the Codex backend itself refuses."""
    return Reply(status, {"detail": text})


def api_error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> Reply:
    """The form in which the model API behind it refuses."""
    return Reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}})


def unauthorized(code: str, message: str) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return Reply(401, {"error": error, "status": 401})


UNAUTHORIZED = detail(401, "Unauthorized")
NOT_FOUND = detail(404, "Not Found")
UPGRADE_REQUIRED = Reply(
    426,
    {"detail": "WebSocket transport is not offered here; send a POST."},
    {"Upgrade": "HTTP/1.1", "Connection": "close"},
)
TOKEN_EXPIRED = unauthorized(
    "token_expired", "Provided authentication token is expired. Please try signing in again."
)
TOKEN_INVALIDATED = unauthorized(
    "token_invalidated", "Your authentication token has been invalidated. Please try signing in again."
)
API_KEY_MISSING = api_error(
    401,
    "You didn't provide an API key. You need to provide your API key in an Authorization header "
    "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
)
REFRESH_TOKEN_REUSED = unauthorized(
    "refresh_token_reused",
    "Your refresh token has already been used to generate a new access token. Please try signing in again.",
)
REFRESH_TOKEN_INVALIDATED = unauthorized(
    "refresh_token_invalidated", "Your refresh token has been invalidated. Please try signing in again."
)
TOKEN_EXCHANGE_FAILED = api_error(
    400, "Could not validate your token. Please try signing in again.", code="token_exchange_user_error"
)


def model_unsupported(model: str) -> Reply:
    return detail(400, f"The '{model}' model is not supported when using Codex with a ChatGPT account.")


CLOUDFLARE_CHALLENGE = Reply(
    403,
    '<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>'
    '<meta name="robots" content="noindex,nofollow"></head><body><noscript>'
    "Enable JavaScript and cookies to continue</noscript></body></html>",
    {
        "Content-Type": HTML,
        "cf-mitigated": "challenge",
        "Server": "cloudflare",
        "cf-ray": "8f0c4a1b2c3d4e5f-LOC",
    },
)
