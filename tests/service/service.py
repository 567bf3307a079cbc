"""Start the strict service, and drive it from a test."""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path

from codex_magic.local_service import service as shipped
from codex_magic.local_service.accounts import ACCESS_SECONDS, Account, Tokens
from codex_magic.local_service.service import Routes
from codex_magic.local_service.stream import Pace
from tests.service.certificates import make_certificates
from tests.service.faults import Faults
from tests.service.media import MEDIA_ROUTES
from tests.service.recorder import RecordedRequest
from tests.service.sign_in import SIGN_IN_ROUTES
from tests.service.state import StrictState
from tests.service.strict import STRICT_ROUTES, middleware
from tests.service.websocket import UPGRADES

TIMEOUT = 10.0
"""Seconds that the `wait_for_...` methods wait unless told otherwise."""


def start(
    *,
    port: int = 0,
    pace: Pace | None = None,
    strict: bool = True,
    tls: Path | None = None,
    open_access: bool = False,
    auto_approve: bool = False,
    websocket: bool = False,
) -> LocalService:
    """Start a local service on 127.0.0.1; it listens when this returns. OSError if the port is taken.

    `strict` refuses what the real service refuses. `tls` is a folder for a certificate authority
    made on the spot. `open_access` answers requests without credentials too. `auto_approve` lets
    the sign-in page approve by itself, without a click. `websocket` offers responses over a
    WebSocket too, at the same paths; without it an upgrade is answered with 426.
    """
    certificates = make_certificates(tls) if tls is not None else None
    context = None
    if certificates is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.certificate, certificates.key)
    state = partial(
        StrictState,
        pace=pace or Pace(),
        open_access=open_access,
        middleware=middleware,
        strict=strict,
        auto_approve=auto_approve,
    )
    routes: Routes = [*(UPGRADES if websocket else []), *STRICT_ROUTES, *MEDIA_ROUTES, *SIGN_IN_ROUTES]
    service = LocalService(state, port=port, routes=routes, tls=context)
    service.ca_file = certificates.ca if certificates else None
    return service


class LocalService(shipped.LocalService):
    """A running strict service; made by `start`. Its methods may be called from any thread but its own."""

    ca_file: Path | None = None
    """With `tls`: the certificate authority to trust."""

    @property
    def state(self) -> StrictState:
        assert isinstance(self._state, StrictState)
        return self._state

    @property
    def faults(self) -> Faults:
        return self.state.faults

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request so far, oldest first."""
        return list(self.state.recorder.requests)

    def wait_for_disconnect(
        self, timeout: float = TIMEOUT, *, path: str = "", count: int = 1
    ) -> RecordedRequest:
        """Return the `count`-th request whose client went away before the end of the answer."""
        recorder = self.state.recorder
        return recorder.wait(recorder.disconnects, path, timeout=timeout, count=count)

    def wait_for_request(
        self, path: str = "/responses", timeout: float = TIMEOUT, *, count: int = 1
    ) -> RecordedRequest:
        """The `count`-th request whose path ends with `path`; TimeoutError when it does not come."""
        recorder = self.state.recorder
        return recorder.wait(recorder.requests, path, timeout=timeout, count=count)

    def wait_for_hold(self, timeout: float = TIMEOUT, *, path: str = "", count: int = 1) -> RecordedRequest:
        """The `count`-th request since `release` whose answer stopped at a `hold` or `hold_headers` fault."""
        return self.state.recorder.wait(self.state.held, path, timeout=timeout, count=count)

    def issue_tokens(
        self, *, email: str = Account.email, plan: str = Account.plan, expires_in: int = ACCESS_SECONDS
    ) -> Tokens:
        """Return tokens as after a sign-in; `expires_in` seconds, negative for one that has expired."""
        account = Account(email, plan)
        return self._call(lambda: self.state.sign_in.issue(account, expires_in=expires_in))

    def sign_in(
        self,
        codex_home: Path,
        tokens: Tokens | None = None,
        *,
        email: str = Account.email,
        plan: str = Account.plan,
        expires_in: int = ACCESS_SECONDS,
    ) -> Tokens:
        """Write an auth.json as the official client does after a sign-in, and return its tokens."""
        tokens = tokens or self.issue_tokens(email=email, plan=plan, expires_in=expires_in)
        return super().sign_in(codex_home, tokens)

    def release(self) -> None:
        """Let all held answers go on."""
        self._call(self.state.release)

    def revoke(self, token: str) -> None:
        """Make an access or refresh token invalid from now on."""
        self._call(lambda: self.state.sign_in.revoke(token))

    def approve_device(self, user_code: str, *, email: str = Account.email, plan: str = Account.plan) -> None:
        """Approve a device sign-in as a person would on its page; ValueError for an unknown code."""
        if not self._call(lambda: self.state.sign_in.approve_device(user_code, Account(email, plan))):
            raise ValueError(f"no device sign-in waits with the code {user_code!r}")

    def close(self) -> None:
        if self._thread.is_alive():
            self._call(lambda: [cut() for cut in [*self.state.sockets]])
        super().close()
