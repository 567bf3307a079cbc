"""How requests are signed: one generator each, shared by the sync and the async client.

A 401 is the authority on a token, not its `exp`. The answer then is to look at the disk first,
because another program may have signed in or refreshed meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx

from ..protocol.errors import AuthError, NotSignedInError
from .credentials import Credentials, read_credentials


class ApiKeyAuth(httpx.Auth):
    """A fixed key as bearer token."""

    def __init__(self, key: str) -> None:
        self._key = key.strip()

    def __repr__(self) -> str:
        return "ApiKeyAuth(<key>)"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = _bearer(self._key)
        yield request


class ChatGPTAuth(httpx.Auth):
    """The ChatGPT sign-in in auth.json, read again whenever the file changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._credentials: Credentials | None = None

    def __repr__(self) -> str:
        return f"ChatGPTAuth({str(self._path)!r})"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        used = self._current()
        _sign(request, used)
        response = yield request
        if response.status_code != 401:
            return
        self._seen = None
        newer = self._current()
        if newer.access_token != used.access_token and newer.account_id == used.account_id:
            _sign(request, newer)
            yield request

    def _current(self) -> Credentials:
        stamp = _stamp(self._path)
        if stamp is None or stamp != self._seen:
            self._credentials = read_credentials(self._path)
            self._seen = stamp
        if self._credentials is None:
            raise NotSignedInError
        if self._credentials.access_token is None or self._credentials.mode == "apikey":
            raise NotSignedInError(
                "The sign-in in auth.json is not one with ChatGPT.",
                hint="Run `codex login` in a terminal, or use the key: %codex provider openai",
            )
        return self._credentials


def _sign(request: httpx.Request, credentials: Credentials) -> None:
    request.headers["Authorization"] = _bearer(credentials.access_token or "")
    if credentials.account_id:
        request.headers["ChatGPT-Account-ID"] = credentials.account_id


def _bearer(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise AuthError("The key or token holds characters that no key has.", hint="Copy it again.")
    return f"Bearer {token}"


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
