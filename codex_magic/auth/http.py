"""How requests are signed: one generator each, shared by the sync and the async client.

A 401 is the authority on a token, not its `exp`. The answer then is to look at the disk first,
because another program may have signed in or refreshed meanwhile; then to refresh, once.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import httpx

from ..protocol.errors import AuthError, NotSignedInError
from ..protocol.secrets import Secret
from ..protocol.settings import Settings
from ..waiting import awaited, in_thread, wait
from .credentials import API_KEY, Credentials
from .oauth import Callback, redirect_uri
from .sign_in import LoginHandler, TokenSource
from .storage import Storage

Step = httpx.Request | Future[Credentials] | Callable[[], Credentials]


class ApiKeyAuth(httpx.Auth):
    """A key as bearer token: a fixed one, or what a function returns at each request."""

    def __init__(self, key: Secret | str | Callable[[], str]) -> None:
        self.key = key if callable(key) else Secret(Secret.of(key).reveal().strip()).reveal

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = _bearer(self.key())
        yield request


def stored_key(storage: Storage) -> str:
    """Return the API key of a CLI signed in with one; one beside a ChatGPT sign-in is not ours to spend.

    Raises NotSignedInError.
    """
    stored = storage.read()
    if stored is None or stored.api_key is None or stored.mode != API_KEY:
        hint = "Set OPENAI_API_KEY, or use your ChatGPT plan: `%codex provider chatgpt`"
        raise NotSignedInError("There is no OpenAI API key.", hint=hint)
    return stored.api_key


class ChatGPTAuth(httpx.Auth):
    """The ChatGPT sign-in, followed as it changes and renewed as it ends."""

    def __init__(self, source: TokenSource, *, sign_in: Callable[[], Credentials] | None = None) -> None:
        self.source = source
        self._sign_in = sign_in

    def asking(self, handler: LoginHandler, settings: Settings) -> ChatGPTAuth:
        """Return the same auth, which signs in by `handler` when a request finds no sign-in."""

        def sign_in() -> Credentials:
            self.source.storage.check()
            pending = self.source.issuer.begin(redirect_uri(settings))
            return self.source.finish(pending, Callback.parse(handler(pending.url)))

        return ChatGPTAuth(self.source, sign_in=sign_in)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.read()  # so that it can be sent again
        steps = self._steps(request)
        outcome: Any = None
        with suppress(StopIteration):
            while True:
                step = steps.send(outcome)
                if isinstance(step, httpx.Request):
                    outcome = yield step
                else:
                    outcome = wait(step) if isinstance(step, Future) else step()

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        await request.aread()
        steps = self._steps(request)
        outcome: Any = None
        with suppress(StopIteration):
            while True:
                step = steps.send(outcome)
                if isinstance(step, httpx.Request):
                    outcome = yield step
                else:
                    outcome = await awaited(step if isinstance(step, Future) else in_thread(step))

    def _steps(self, request: httpx.Request) -> Generator[Step, Any, None]:
        """What to send, and what to wait for on the way: renewals, a person who signs in."""
        used: Credentials
        try:
            used = self.source.current()
        except NotSignedInError:
            if self._sign_in is None:
                raise
            used = yield self._sign_in
        if self.source.is_due():
            used = yield self.source.early(used)
        is_refused = yield from _refuses(request, used)
        if is_refused and (stored := self.source.reload()).access_token != used.access_token:
            used = stored
            is_refused = yield from _refuses(request, used)
        if is_refused and used.refresh_token is not None:
            yield from _refuses(request, (yield self.source.renewed(used)))


def _refuses(request: httpx.Request, credentials: Credentials) -> Generator[Step, Any, bool]:
    request.headers["Authorization"] = _bearer(credentials.access_token or "")
    if credentials.account_id:
        request.headers["ChatGPT-Account-ID"] = credentials.account_id
    response: httpx.Response = yield request
    return response.status_code == 401


def _bearer(token: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise AuthError("The API key or token contains invalid characters.", hint="Copy it again.")
    return f"Bearer {token}"
