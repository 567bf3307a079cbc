"""Sign-in as plain functions, for scripts: the names and signatures of codex-open-client.

They read and write the official auth.json, check `state`, and renew under the lock like everything here.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from ..net import introduction
from ..protocol.errors import AccountChangedError, AuthError, LoginError
from ..protocol.settings import Settings
from ..waiting import BackgroundLoop, in_thread, wait
from .credentials import Credentials, account_of
from .handles import AsyncChatgptLoginHandle
from .oauth import Callback, Issuer, PendingLogin, redirect_uri
from .sign_in import TokenSource
from .storage import Storage

DEFAULT_TOKEN_PATH = Path("~/.codex/auth.json")
"""Stands for the CLI's own sign-in: below CODEX_HOME as it is when a function is called, or in the
keyring if config.toml says so."""


@dataclass
class TokenData:
    """The tokens of a sign-in. `expires_at`: Unix seconds, `None` when the token does not say."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    token_type: str = "Bearer"
    id_token: str | None = field(default=None, repr=False)
    scope: str | None = None

    def is_expired(self, margin_seconds: int = 60) -> bool:
        return self.expires_at is not None and time.time() >= self.expires_at - margin_seconds


def login(
    *, headless: bool = False, no_browser: bool = False, token_path: Path = DEFAULT_TOKEN_PATH
) -> TokenData:
    """Sign in with ChatGPT, and be signed in when this returns.

    It opens the browser and waits for it; with `no_browser` it prints the link instead; with
    `headless` it prints the link and asks for the address at which a browser elsewhere ended.
    Raises LoginError and what the network raises.
    """
    source = _source(token_path)
    if headless:
        source.storage.check()
        pending = start_login()
        _print_link(pending.url)
        address = input("Then copy the address from the browser and paste it here: ")
        return finish_login(pending, callback_url=address, token_path=token_path)
    with closing(BackgroundLoop()) as loop:  # a notebook's is busy with the cell that waits
        starting = AsyncChatgptLoginHandle.start(source, Settings.from_env(), open_browser=not no_browser)
        handle = loop.run(starting)
        if no_browser:
            _print_link(handle.auth_url)
        completed = loop.run(handle.wait())
    if not completed.success:
        raise LoginError(completed.error or "The sign-in failed.", hint="")
    if (stored := source.storage.read()) is None:
        raise LoginError("Somebody signed out at the same moment.")
    return _data(stored)


def get_token(
    *, headless: bool = False, no_browser: bool = False, token_path: Path = DEFAULT_TOKEN_PATH
) -> str:
    """A valid access token: the stored one, renewed if it has to be, else that of a new sign-in."""
    source = _source(token_path)
    try:
        credentials = source.current()
        if source.is_due():
            credentials = wait(source.early(credentials))
    except AccountChangedError:
        raise
    except AuthError:
        return login(headless=headless, no_browser=no_browser, token_path=token_path).access_token
    return credentials.access_token or ""


def refresh(refresh_token: str, token_path: Path = DEFAULT_TOKEN_PATH) -> TokenData:
    """New tokens for a refresh token, stored. Raises AuthError when it is good for nothing any more."""
    return _data(wait(in_thread(lambda: _source(token_path).exchange(refresh_token))))


def start_login() -> PendingLogin:
    """Begin a sign-in in two steps: return a link for the user to open."""
    settings = Settings.from_env()
    return Issuer.of(settings).begin(redirect_uri(settings))


def finish_login(
    pending: PendingLogin, *, callback_url: str, token_path: Path = DEFAULT_TOKEN_PATH
) -> TokenData:
    """Finish it: `callback_url` is the address at which the browser ended.

    Raises LoginError, for the address of another sign-in too.
    """
    callback, callback_url = Callback.parse(callback_url), ""  # a traceback with locals shows no code
    return _data(_source(token_path).finish(pending, callback))


def build_headers(token: str) -> dict[str, str]:
    """The headers with which the Codex backend accepts a request."""
    settings, account = Settings.from_env(), get_account_id(token)
    headers = {"Authorization": f"Bearer {token}", "originator": settings.originator}
    return headers | introduction(settings) | ({"ChatGPT-Account-ID": account} if account else {})


def get_account_id(token: str) -> str | None:
    """The ChatGPT account of an access token; it is only decoded, not verified."""
    return account_of(token)


def _print_link(url: str) -> None:
    print(f"Open this link to sign in:\n{url}")  # noqa: T201  # what was asked for


def _source(token_path: Path) -> TokenSource:
    """Return the sign-in that is kept there."""
    settings = Settings.from_env()
    if token_path == DEFAULT_TOKEN_PATH:
        return TokenSource.of(settings)
    return TokenSource(Storage.at(token_path.expanduser()), Issuer.of(settings), ca_bundle=settings.ca_bundle)


def _data(stored: Credentials) -> TokenData:
    token = stored.access_token or ""
    return TokenData(token, stored.refresh_token, stored.expires_at, id_token=stored.id_token)
