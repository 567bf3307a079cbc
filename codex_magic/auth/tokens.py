"""The access token for the next request: the stored one, renewed when its end is near or it was refused.

A refresh token is good for one use. So one process renews, under a lock, and the others take what it
stored; and once asked, the answer is waited for and kept even if the request that wanted it is not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

import msgspec

from ..net import send
from ..protocol.errors import AccountChangedError, AuthError, CodexError, ConfigurationError, NotSignedInError
from ..protocol.settings import Settings
from ..waiting import begin_anew_in_children, in_thread
from .credentials import CHATGPT, Credentials, Tokens, with_sign_in, with_tokens
from .oauth import Issuer, Refused, refreshed_tokens
from .storage import Storage

log = logging.getLogger(__name__)

EARLY = 300
"""Seconds before its end at which a token is renewed, as the CLI does."""
OLD = 8 * 24 * 3600
"""Seconds after which a token that does not say when it ends is renewed."""
PATIENCE = 30.0
"""Seconds without another try after one that failed while the token was still good."""

_LOOK_SECONDS = 0.1
"""A program without our lock stores its new tokens a moment after it got them."""


class TokenSource:
    """The ChatGPT sign-in in one storage, followed as it changes. It belongs to one account.

    May be used from any thread.
    """

    def __init__(self, storage: Storage, issuer: Issuer, *, ca_bundle: str | None = None) -> None:
        self.storage = storage
        self._issuer = issuer
        self._ca_bundle = ca_bundle
        self._seen: object = None
        self._held: _Held | None = None
        self._account: str | None = None
        self._dead: Refused | None = None
        self._dead_token: str | None = None
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

    @classmethod
    def of(cls, settings: Settings) -> TokenSource:
        return cls(Storage.of(settings), Issuer.of(settings), ca_bundle=settings.ca_bundle)

    def current(self) -> Credentials:
        """Return what is stored. Raises NotSignedInError, AccountChangedError, ConfigurationError."""
        stamp = self.storage.stamp()
        if self._held is None or stamp is None or stamp != self._seen:
            self._held = _Held(self._owned(self.storage.read()))
            self._seen = stamp
        return self._held.credentials

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
        if held.credentials.refresh_token is None or held.credentials.mode != CHATGPT:
            return False  # tokens of other modes are somebody else's to renew
        if held.credentials.access_token == self._fresh_token:
            return False  # just issued: if it seems to be over, this clock is wrong
        return held.ends_within(EARLY)

    def early(self, used: Credentials) -> Future[Credentials]:
        """Another token than `used`, which is due; the same if that fails while it is still good."""
        return self._shared(lambda: self._early(used))

    def renewed(self, used: Credentials) -> Future[Credentials]:
        """Another token than `used`, which was refused. Fails with AuthError when there is none to be had."""
        return self._shared(lambda: self._renew(used))

    def exchanged(self, refresh_token: str) -> Future[Credentials]:
        """New tokens for `refresh_token`, stored whatever was stored before."""
        return in_thread(lambda: self._exchanged(refresh_token))

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
            if _Held(used).ends_within(0):
                raise
            log.info("the sign-in could not be renewed yet: %s", failure.message)
            self._quiet_until = time.monotonic() + PATIENCE
            return used

    def _renew(self, used: Credentials) -> Credentials:
        self._check_dead(used)
        with self.storage.locked():
            stored = self._owned(self.storage.read())
            if stored.access_token == used.access_token or _Held(stored).ends_within(EARLY):
                self._check_dead(stored)
                stored = self._ask(stored)
        self._held = None
        return stored

    def _exchanged(self, refresh_token: str) -> Credentials:
        call = self._issuer.refresh(refresh_token)
        with self.storage.locked():
            self._check_writable()
            tokens = refreshed_tokens(call, send(call, ca_bundle=self._ca_bundle))
            tokens = msgspec.structs.replace(tokens, refresh_token=tokens.refresh_token or refresh_token)
            stored = self.storage.read()
            is_ours = stored is not None and stored.refresh_token == refresh_token
            change = with_tokens if is_ours else with_sign_in
            return self.storage.update(lambda document: change(document, tokens))

    def _check_dead(self, credentials: Credentials) -> None:
        if self._dead is not None and credentials.refresh_token == self._dead_token:
            raise AuthError(self._dead.message)

    def _ask(self, stored: Credentials) -> Credentials:
        if stored.refresh_token is None:
            raise AuthError("Your sign-in has ended.")
        self._check_writable()
        call = self._issuer.refresh(stored.refresh_token)
        try:
            tokens = refreshed_tokens(call, send(call, ca_bundle=self._ca_bundle))
        except Refused as refused:
            newer = self._renewed_elsewhere(stored, refused)
            if newer is not None:
                return newer
            self._dead, self._dead_token = refused, stored.refresh_token
            raise AuthError(refused.message) from None
        return self._keep(stored, tokens)

    def _check_writable(self) -> None:
        """Raise before new tokens are asked for: the old ones are good for nothing from then on."""
        if not self.storage.is_writable():
            raise ConfigurationError(
                f"The sign-in must be renewed, but {self.storage.name} can't be written.",
                hint="Make it writable, or renew it where it is: run `codex` there.",
            )

    def _renewed_elsewhere(self, stored: Credentials, refused: Refused) -> Credentials | None:
        """Return the tokens that another program got with the same refresh token, once it has stored them."""
        for look in range(10 if refused.code == "refresh_token_reused" else 1):
            if look:
                time.sleep(_LOOK_SECONDS)
            latest = self._owned(self.storage.read())
            if latest.refresh_token != stored.refresh_token:
                return latest
        return None

    def _keep(self, stored: Credentials, tokens: Tokens) -> Credentials:
        """Store the new tokens, unless somebody signed in or out while they were on their way."""
        now = self.storage.read()
        if now is None or now.refresh_token != stored.refresh_token:
            return self._owned(now)
        renewed = self.storage.update(lambda document: with_tokens(document, tokens))
        self._fresh_token = renewed.access_token
        return renewed

    def _owned(self, stored: Credentials | None) -> Credentials:
        """Return `stored`, if it is a sign-in with ChatGPT to the account that this belongs to."""
        if stored is None:
            raise NotSignedInError
        if stored.access_token is None or stored.mode == "apikey":
            raise NotSignedInError(
                f"The sign-in in {self.storage.name} is not one with ChatGPT.",
                hint="Sign in with %codex login, or use the key: %codex provider openai",
            )
        if self._account is not None and stored.account_id != self._account:
            raise AccountChangedError(stored.email or stored.account_id)
        self._account = stored.account_id
        return stored


class _Held:
    """Credentials, and when they end: decoded once, asked before every request."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._ends_at = credentials.expires_at

    def ends_within(self, seconds: float) -> bool:
        if self._ends_at is not None:
            return self._ends_at - time.time() <= seconds
        refreshed = self.credentials.last_refresh
        return seconds > 0 and refreshed is not None and time.time() - refreshed > OLD
