"""Signing in and out of one storage, one step at a time; none of them waits for a person."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from ..net import Answer, Call, send
from ..protocol.errors import CodexError, LoginError
from ..protocol.secrets import Secret
from ..protocol.settings import Settings
from ..protocol.types import Account, ApiKeyAccount, ChatgptAccount
from ..waiting import in_thread
from .credentials import API_KEY, Credentials, Tokens, with_api_key, with_sign_in
from .oauth import CALLBACK_PATH, Callback, Issuer, Pkce, granted_tokens, new_state
from .storage import Storage

log = logging.getLogger(__name__)


LoginHandler = Callable[[str], str]
"""Shows a link to the user and gives back the address at which their browser ended."""


@dataclass
class PendingLogin:
    """A sign-in begun: let the user open `url`."""

    url: str
    _verifier: str = field(repr=False)
    _state: str = field(repr=False)


def begin(issuer: Issuer, redirect_uri: str) -> PendingLogin:
    pkce, state = Pkce.new(), new_state()
    url = issuer.authorize_url(redirect_uri=redirect_uri, pkce=pkce, state=state)
    return PendingLogin(url, pkce.verifier, state)


def redirect_uri(settings: Settings, port: int | None = None) -> str:
    """Where the browser comes back to, on the port it is waited for at, or one that nobody listens on."""
    return f"http://{settings.redirect_host}:{port or settings.callback_ports[0]}{CALLBACK_PATH}"


class SignIn:
    """Steps of signing in to one storage. From any thread; each call does its own IO and returns when done."""

    def __init__(self, storage: Storage, issuer: Issuer, *, ca_bundle: str | None = None) -> None:
        self.storage = storage
        self.issuer = issuer
        self._ca_bundle = ca_bundle

    @classmethod
    def of(cls, settings: Settings) -> SignIn:
        return cls(Storage.of(settings), Issuer.of(settings), ca_bundle=settings.ca_bundle)

    def send(self, call: Call) -> Answer:
        return send(call, ca_bundle=self._ca_bundle)

    def redeem(self, code: Secret, *, redirect_uri: str, verifier: Secret) -> Tokens:
        """Tokens for a code, which is good once. Raises LoginError, ServiceError, UnreachableError."""
        call = self.issuer.redeem(code.reveal(), redirect_uri=redirect_uri, verifier=verifier.reveal())
        return granted_tokens(call, self.send(call))

    def finish(self, pending: PendingLogin, callback: Callback, redirect_uri: str) -> Credentials:
        """Redeem what the browser ended with, and store its tokens. Raises LoginError and as above."""
        code = callback.pasted(pending._state)
        verifier = Secret(pending._verifier)
        return self.keep(self.redeem(code, redirect_uri=redirect_uri, verifier=verifier))

    def keep(self, tokens: Tokens) -> Credentials:
        """Store the tokens of a sign-in. What was stored before is revoked meanwhile."""
        with self.storage.locked():
            before = self._stored()
            kept = self.storage.update(lambda document: with_sign_in(document, tokens))
        if before is not None and before.refresh_token != kept.refresh_token:
            self.revoke(before)
        return kept

    def keep_api_key(self, key: str) -> None:
        """Store an API key as the sign-in. Raises LoginError for what can be none."""
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise LoginError("That is not an API key.", hint="Copy it again from platform.openai.com.")
        with self.storage.locked():
            before = self._stored()
            self.storage.update(lambda document: with_api_key(document, key))
        if before is not None:
            self.revoke(before)

    def forget(self) -> None:
        """Sign out: revoke as far as the service can be reached, then forget."""
        with self.storage.locked():
            stored = self._stored()
            if stored is not None:
                self._revoke(stored)
            self.storage.forget()

    def account(self) -> Account | None:
        """Return who is signed in, by what is stored."""
        stored = self.storage.read()
        if stored is None:
            return None
        if stored.mode == API_KEY:
            return ApiKeyAccount() if stored.api_key else None
        return ChatgptAccount(stored.email, stored.plan) if stored.access_token else None

    def revoke(self, credentials: Credentials) -> Future[None]:
        """End a sign-in at the service, in the background."""
        return in_thread(lambda: self._revoke(credentials))

    def _revoke(self, credentials: Credentials) -> None:
        call = self.issuer.revoke(credentials)
        if call is None:
            return
        try:
            answer = self.send(call)
        except CodexError as failure:
            log.info("the old sign-in was not revoked: %s", failure.message)
        else:
            log.info("the old sign-in was revoked (HTTP %s)", answer.status)

    def _stored(self) -> Credentials | None:
        """Return what is stored; what can't be read counts as nothing, and can be replaced."""
        try:
            return self.storage.read()
        except CodexError:
            return None
