"""Signing in and out of one storage, one step at a time; none of them waits for a person."""

from __future__ import annotations

import logging
from concurrent.futures import Future

from ..protocol.account import Account, ApiKeyAccount, ChatgptAccount
from ..protocol.errors import CodexError, LoginError
from ..protocol.settings import Settings
from .credentials import API_KEY, Credentials, Document, Tokens, with_api_key, with_sign_in
from .network import Answer, Call, send
from .oauth import Issuer, granted_tokens
from .storage import Storage
from .waiting import in_thread

log = logging.getLogger(__name__)


class SignIn:
    """May be used from any thread; each call does its own IO and returns when it is done."""

    def __init__(self, storage: Storage, issuer: Issuer, *, ca_bundle: str | None = None) -> None:
        self.storage = storage
        self.issuer = issuer
        self._ca_bundle = ca_bundle

    @classmethod
    def of(cls, settings: Settings) -> SignIn:
        return cls(Storage.of(settings), Issuer.of(settings), ca_bundle=settings.ca_bundle)

    def send(self, call: Call) -> Answer:
        return send(call, ca_bundle=self._ca_bundle)

    def redeem(self, code: str, *, redirect_uri: str, verifier: str) -> Tokens:
        """Tokens for a code, which is good once. Raises LoginError, ServiceError, UnreachableError."""
        call = self.issuer.redeem(code, redirect_uri=redirect_uri, verifier=verifier)
        return granted_tokens(call, self.send(call))

    def keep(self, tokens: Tokens) -> Credentials:
        """Be signed in with them. What was stored before is revoked meanwhile."""

        def change(document: Document) -> Document:
            return with_sign_in(document, tokens)

        with self.storage.locked():
            before = self._stored()
            kept = self.storage.update(change)
        if before is not None and before.refresh_token != kept.refresh_token:
            self.revoke(before)
        return kept

    def keep_api_key(self, key: str) -> None:
        """Be signed in with a key. Raises LoginError for what can be none."""
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise LoginError("That is not an API key.", hint="Copy it again from platform.openai.com.")

        def change(document: Document) -> Document:
            return with_api_key(document, key)

        with self.storage.locked():
            before = self._stored()
            self.storage.update(change)
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
        """Who is signed in, by what is stored."""
        stored = self.storage.read()
        if stored is None:
            return None
        if stored.mode == API_KEY:
            return ApiKeyAccount() if stored.api_key else None
        return ChatgptAccount(stored.email, stored.plan) if stored.access_token else None

    def revoke(self, credentials: Credentials) -> Future[None]:
        """Nobody needs to wait for it."""
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
        """What cannot be read can be replaced all the same."""
        try:
            return self.storage.read()
        except CodexError:
            return None
