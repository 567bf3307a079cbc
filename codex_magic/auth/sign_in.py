"""Signing in and out of one storage, and the access token for the next request.

A refresh token is good for one use. So one process renews, under a lock, and the others take what it stored; and
once asked, the answer is waited for and kept even if the request that wanted it is not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

import msgspec

from ..net import Answer, Call, send
from ..protocol.errors import (
    AccountChangedError,
    AuthError,
    CodexError,
    ConfigurationError,
    LoginError,
    NotSignedInError,
    TimedOutError,
)
from ..protocol.secrets import Secret
from ..protocol.settings import Settings
from ..protocol.types import Account, ApiKeyAccount, ChatgptAccount
from ..waiting import begin_anew_in_children, in_thread
from .credentials import (
    API_KEY,
    CHATGPT,
    Credentials,
    Document,
    Tokens,
    with_api_key,
    with_sign_in,
    with_tokens,
)
from .oauth import Callback, Issuer, PendingLogin, Refused, granted_tokens, refreshed_tokens
from .storage import Storage

log = logging.getLogger(__name__)

S = TypeVar("S", bound="SignIn")

LoginHandler = Callable[[str], str]
"""Shows a link to the user and gives back the address at which their browser ended."""


class SignIn:
    """Steps of signing in to one storage. From any thread; each call does its own IO and returns when done."""

    def __init__(self, storage: Storage, issuer: Issuer, *, ca_bundle: str | None = None) -> None:
        self.storage, self.issuer, self._ca_bundle = storage, issuer, ca_bundle

    @classmethod
    def of(cls: type[S], settings: Settings) -> S:
        return cls(Storage.of(settings), Issuer.of(settings), ca_bundle=settings.ca_bundle)

    def send(self, call: Call) -> Answer:
        """Ask the service. Raises TimedOutError for an answer that drips, too, and what the network raises."""
        answering = in_thread(lambda: send(call, ca_bundle=self._ca_bundle), daemon=True)
        try:
            return answering.result(call.seconds)
        except FutureTimeout:
            raise TimedOutError("The sign-in service did not answer in time.") from None

    def redeem(self, code: Secret, *, redirect_uri: str, verifier: Secret) -> Tokens:
        """Tokens for a code, which is good once. Raises LoginError, ServiceError, UnreachableError."""
        call = self.issuer.redeem(code.reveal(), redirect_uri=redirect_uri, verifier=verifier.reveal())
        return granted_tokens(call, self.send(call))

    def finish(self, pending: PendingLogin, callback: Callback) -> Credentials:
        """Redeem what the browser ended with, and store its tokens. Raises LoginError and as above."""
        code, verifier = callback.pasted(pending._state), Secret(pending._verifier)
        return self.keep(self.redeem(code, redirect_uri=pending.redirect_uri, verifier=verifier))

    def keep(self, tokens: Tokens) -> Credentials:
        """Store the tokens of a sign-in. What was stored before is revoked meanwhile."""
        return self._replace(lambda document: with_sign_in(document, tokens))

    def keep_api_key(self, key: str) -> None:
        """Store an API key as the sign-in. Raises LoginError for what can be none."""
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise LoginError("That is not an API key.", hint="Copy it again from platform.openai.com.")
        self._replace(lambda document: with_api_key(document, key))

    def forget(self) -> None:
        """Sign out: revoke as far as the service can be reached, then forget."""
        with self.storage.locked():
            if (stored := self._stored()) is not None:
                self._revoke(stored)
            self.storage.forget()

    def account(self) -> Account | None:
        """Return who is signed in, by what is stored."""
        if (stored := self.storage.read()) is None:
            return None
        if stored.mode == API_KEY:
            return ApiKeyAccount() if stored.api_key else None
        return ChatgptAccount(stored.email, stored.plan) if stored.access_token else None

    def _replace(self, change: Callable[[Document], Document]) -> Credentials:
        with self.storage.locked():
            before = self._stored()
            kept = self.storage.update(change)
        if before is not None and (kept.refresh_token is None or kept.refresh_token != before.refresh_token):
            in_thread(lambda: self._revoke(before))
        return kept

    def _revoke(self, credentials: Credentials) -> None:
        try:
            if (call := self.issuer.revoke(credentials)) is not None:
                log.info("the old sign-in was revoked (HTTP %s)", self.send(call).status)
        except CodexError as failure:
            log.info("the old sign-in was not revoked: %s", failure.message)

    def _stored(self) -> Credentials | None:
        """Return what is stored; what can't be read counts as nothing, and can be replaced."""
        try:
            return self.storage.read()
        except CodexError:
            return None


# The token for the next request ------------------------------------------------------------------

EARLY = 300
"""Seconds before its end at which a token is renewed, as the CLI does."""
OLD = 8 * 24 * 3600
"""Seconds after which a token that does not say when it ends is renewed."""
PATIENCE = 30.0
"""Seconds without another try after one that failed while the token was still good."""

_LOOK_SECONDS = 0.1
"""A program without our lock stores its new tokens a moment after it got them."""


class TokenSource(SignIn):
    """The ChatGPT sign-in in one storage, followed as it changes. It belongs to one account.

    May be used from any thread.
    """

    _seen: object = None
    _held: Credentials | None = None
    _account: str | None = None

    def __init__(self, storage: Storage, issuer: Issuer, *, ca_bundle: str | None = None) -> None:
        super().__init__(storage, issuer, ca_bundle=ca_bundle)
        self._dead: tuple[str | None, str] | None = None
        """A refresh token that was refused, and why."""
        self._fresh_token: str | None = None
        self._quiet_until = 0.0
        self._turn = threading.Lock()
        self.renewing: Future[Credentials] | None = None
        """The renewal that runs, or the last one."""
        begin_anew_in_children(self)

    def forked(self) -> object:
        """Begin anew in a forked child: a renewal that its parent waits for ends there."""
        left, self.renewing = self.renewing, None
        self._turn = threading.Lock()
        return left

    def current(self) -> Credentials:
        """Return what is stored. Raises NotSignedInError, AccountChangedError, ConfigurationError."""
        stamp = self.storage.stamp()
        if self._held is None or stamp is None or stamp != self._seen:
            self._held = self._owned(self.storage.read())
            self._seen = stamp
        return self._held

    def reload(self) -> Credentials:
        """Return what is stored, whatever its stamp says: some file systems count in seconds."""
        self._seen = None
        return self.current()

    def follow(self) -> None:
        """Go on with whichever account is signed in now."""
        self._account = self._held = self._seen = None

    def is_due(self) -> bool:
        """Whether the current token should be renewed before it is used."""
        held = self._held
        if held is None or time.monotonic() < self._quiet_until:
            return False
        if held.refresh_token is None or held.mode != CHATGPT:  # other modes are somebody else's to renew
            return False
        if held.access_token == self._fresh_token:
            return False  # just issued: if it seems to be over, this clock is wrong
        return _ends_within(held, EARLY)

    def early(self, used: Credentials) -> Future[Credentials]:
        """Another token than `used`, which is due; the same if that fails while it is still good."""
        return self._shared(lambda: self._early(used))

    def renewed(self, used: Credentials) -> Future[Credentials]:
        """Another token than `used`, which was refused. Fails with AuthError when there is none to be had."""
        return self._shared(lambda: self._renew(used))

    def _shared(self, work: Callable[[], Credentials]) -> Future[Credentials]:
        """One renewal at a time serves all who wait."""
        with self._turn:
            if self.renewing is None or self.renewing.done():
                self.renewing = in_thread(work)
            return self.renewing

    def _early(self, used: Credentials) -> Credentials:
        try:
            return self._renew(used)
        except (AccountChangedError, NotSignedInError):
            raise
        except CodexError as failure:
            if _ends_within(used, 0):
                raise
            log.info("the sign-in could not be renewed yet: %s", failure.message)
            self._quiet_until = time.monotonic() + PATIENCE
            return used

    def _renew(self, used: Credentials) -> Credentials:
        self._check_dead(used)
        with self.storage.locked():
            stored = self._owned(self.storage.read())
            if stored.access_token == used.access_token or _ends_within(stored, EARLY):
                self._check_dead(stored)
                stored = self._ask(stored)
        self._held = None
        return stored

    def exchange(self, refresh_token: str) -> Credentials:
        """Get new tokens for `refresh_token`, and store them whatever was stored before."""
        with self.storage.locked():
            tokens = self._refresh(self.issuer.refresh(refresh_token))
            tokens = msgspec.structs.replace(tokens, refresh_token=tokens.refresh_token or refresh_token)
            stored = self.storage.read()
            is_ours = stored is not None and stored.refresh_token == refresh_token
            change = with_tokens if is_ours else with_sign_in
            return self.storage.update(lambda document: change(document, tokens))

    def _check_dead(self, credentials: Credentials) -> None:
        if self._dead is not None and credentials.refresh_token == self._dead[0]:
            raise AuthError(self._dead[1])

    def _ask(self, stored: Credentials) -> Credentials:
        """Renew `stored` at the service, and keep that unless somebody signed in or out meanwhile."""
        if stored.refresh_token is None:
            raise AuthError("Your sign-in has ended.")
        try:
            tokens = self._refresh(self.issuer.refresh(stored.refresh_token))
        except Refused as refused:
            if (newer := self._renewed_elsewhere(stored, refused)) is not None:
                return newer
            self._dead = stored.refresh_token, refused.message
            raise AuthError(refused.message) from None
        now = self.storage.read()
        if now is None or now.refresh_token != stored.refresh_token:
            return self._owned(now)
        renewed = self.storage.update(lambda document: with_tokens(document, tokens))
        self._fresh_token = renewed.access_token
        return renewed

    def _refresh(self, call: Call) -> Tokens:
        """Get new tokens, if they can be kept: the old ones are good for nothing from then on."""
        if not self.storage.is_writable():
            problem = f"The sign-in must be renewed, but {self.storage.name} can't be written."
            hint = "Make it writable, or renew it where it is: run `codex` there."
            raise ConfigurationError(problem, hint=hint)
        return refreshed_tokens(call, self.send(call))

    def _renewed_elsewhere(self, stored: Credentials, refused: Refused) -> Credentials | None:
        """Return the tokens that another program got with the same refresh token, once it has stored them."""
        for look in range(10 if refused.code == "refresh_token_reused" else 1):
            if look:
                time.sleep(_LOOK_SECONDS)
            latest = self._owned(self.storage.read())
            if latest.refresh_token != stored.refresh_token:
                return latest
        return None

    def _owned(self, stored: Credentials | None) -> Credentials:
        """Return `stored`, if it is a sign-in with ChatGPT to the account that this belongs to."""
        if stored is None:
            raise NotSignedInError
        if stored.access_token is None or stored.mode == API_KEY:
            problem = f"The sign-in in {self.storage.name} is not a ChatGPT sign-in."
            hint = "Sign in with `%codex login`, or use the key: `%codex provider openai`"
            raise NotSignedInError(problem, hint=hint)
        if self._account is not None and stored.account_id != self._account:
            raise AccountChangedError(stored.email or stored.account_id)
        self._account = stored.account_id
        return stored


def _ends_within(credentials: Credentials, seconds: float) -> bool:
    if credentials.expires_at is not None:
        return credentials.expires_at - time.time() <= seconds
    refreshed = credentials.last_refresh
    return seconds > 0 and refreshed is not None and time.time() - refreshed > OLD
