"""Sign-ins that wait for a person: in the browser on this machine, or with a code in any browser.

A handle belongs to the event loop it was started in and lives there until it ends; it may be asked,
waited for, listened to and cancelled from any thread and any loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import webbrowser
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from ..protocol.errors import BlockedError, CodexError, LoginError, ServiceError, UnreachableError
from ..protocol.ids import new_id
from ..protocol.secrets import Secret
from ..protocol.settings import Settings
from ..protocol.types import AccountLoginCompleted, CancelLoginAccountResponse, LoginState, LoginUpdated
from ..protocol.types import CancelLoginAccountStatus as CancelStatus
from ..waiting import Blocking, awaited, blocking, in_thread, same
from . import oauth
from .callback import SIGNED_IN, Loopback, Page
from .credentials import Tokens
from .oauth import Callback, Device, Granted
from .sign_in import SignIn

log = logging.getLogger(__name__)

LOGIN_SECONDS = 15 * 60.0
"""As long as a device code is good; nobody comes back to a browser page later either."""

MOST_FAILED_POLLS = 3
"""Polls in a row that may find no service; the network of a laptop comes and goes."""

Listener = Callable[[LoginUpdated], None]

T = TypeVar("T")
L = TypeVar("L", bound="AsyncLogin")


class AsyncLogin(ABC):
    """One attempt to sign in. `expires_at`: Unix seconds at which it gives up."""

    expiry = "Nobody signed in within 15 minutes."

    def __init__(self, sign_in: SignIn, *, seconds: float) -> None:
        self.login_id, self.expires_at = new_id(), time.time() + seconds
        self._sign_in, self._seconds = sign_in, seconds
        self._loop = asyncio.get_running_loop()
        self._end: Future[LoginUpdated] = Future()
        self._stoppable = True
        self._process = os.getpid()
        self._task = self._loop.create_task(self._live())

    def check_process(self) -> None:
        """Raises LoginError where nobody would ever hear how it ended."""
        if os.getpid() != self._process and not self._end.done():
            problem = "This sign-in continues in the process that this one was forked from."
            raise LoginError(problem, hint="Wait for it there, or start one here.")

    @property
    def state(self) -> LoginState:
        return self._end.result().state if self._end.done() else LoginState.pending

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with the state now and with each change, in the thread where it happens."""
        if not self._end.done():
            listener(LoginUpdated(self.login_id, LoginState.pending))
        self._end.add_done_callback(lambda end: listener(end.result()))

    async def wait(self) -> AccountLoginCompleted:
        """How it ended. Cancelling the wait does not cancel the sign-in."""
        self.check_process()
        end = await awaited(self._end)
        return AccountLoginCompleted(self.login_id, end.state is LoginState.success, end.error)

    async def cancel(self) -> CancelLoginAccountResponse:
        """Give up, unless it is over or its tokens are just being stored."""
        is_over = self._end.done()
        if not is_over:
            self.check_process()
            with suppress(RuntimeError):  # its loop is closed
                self._loop.call_soon_threadsafe(lambda: self._stoppable and self._task.cancel())
            await self.wait()
        is_mine = not is_over and self.state is LoginState.cancelled
        return CancelLoginAccountResponse(CancelStatus.canceled if is_mine else CancelStatus.not_found)

    async def _live(self) -> None:
        state, error = LoginState.failed, None
        try:
            tokens = await asyncio.wait_for(self._tokens(), self._seconds)
            self._stoppable = False  # a cancelled sign-in has stored nothing, and one that is stored counts
            await awaited(in_thread(lambda: self._sign_in.keep(tokens)))
            state = LoginState.success
        except asyncio.CancelledError:
            state, error = LoginState.cancelled, "The sign-in was cancelled."
        except asyncio.TimeoutError:
            error = self.expiry
        except CodexError as failure:
            error = str(failure)
        except Exception:  # the top of a task: whoever waits must not wait for ever
            log.exception("a sign-in broke")
            error = "The sign-in failed unexpectedly. The log has the details."
        self._stoppable = False
        update = LoginUpdated(self.login_id, state, error)
        await self._close(update)
        self._end.set_result(update)

    @abstractmethod
    async def _tokens(self) -> Tokens:
        """Wait for the person. Raises CodexError."""

    async def _close(self, update: LoginUpdated) -> None:  # noqa: B027  # only one kind holds something
        """Let go of what was held open."""

    async def _redeem(self, code: Secret, *, redirect_uri: str, verifier: Secret) -> Tokens:
        redeem = self._sign_in.redeem
        return await _in_thread(lambda: redeem(code, redirect_uri=redirect_uri, verifier=verifier))


def _in_thread(work: Callable[[], T]) -> Awaitable[T]:
    """Await a step that the end of the process may cut short."""
    return awaited(in_thread(work, daemon=True))


class AsyncChatgptLoginHandle(AsyncLogin):
    """A sign-in with the browser: open `auth_url` in it."""

    def __init__(self, sign_in: SignIn, settings: Settings, loopback: Loopback, *, seconds: float) -> None:
        super().__init__(sign_in, seconds=seconds)
        self._loopback = loopback
        back = oauth.redirect_uri(settings, loopback.port)
        self._pending = sign_in.issuer.begin(back, state=loopback.state)
        self.auth_url = self._pending.url

    @classmethod
    async def start(
        cls,
        sign_in: SignIn,
        settings: Settings,
        *,
        open_browser: bool = False,
        seconds: float = LOGIN_SECONDS,
    ) -> AsyncChatgptLoginHandle:
        """Wait for the browser on this machine. Raises LoginError when no port is free."""
        await _in_thread(sign_in.storage.check)
        loopback = Loopback()
        await loopback.open(settings.callback_ports)
        handle = cls(sign_in, settings, loopback, seconds=seconds)
        if open_browser:
            threading.Thread(target=webbrowser.open, args=[handle.auth_url], daemon=True).start()
        return handle

    @classmethod
    async def start_pasted(
        cls, sign_in: SignIn, settings: Settings, *, seconds: float = LOGIN_SECONDS
    ) -> AsyncChatgptLoginHandle:
        """Wait for `paste` alone: the browser is on another machine, and no port is needed here."""
        await _in_thread(sign_in.storage.check)
        return cls(sign_in, settings, Loopback(), seconds=seconds)

    def paste(self, address: str) -> None:
        """Go on with the address at which a browser ended, here or elsewhere.

        Raises LoginError for another sign-in's; this one then goes on waiting.
        """
        callback, address = Callback.parse(address), ""  # a traceback with locals shows no code
        callback.pasted(self._loopback.state)
        with suppress(RuntimeError):  # its loop is closed: it is over
            self._loop.call_soon_threadsafe(self._loopback.deliver, callback)

    async def _tokens(self) -> Tokens:
        """Redeem the code from the browser or from `paste`, whichever is first."""
        callback = await self._loopback.callback()
        back, verifier = self._pending.redirect_uri, Secret(self._pending._verifier)
        return await self._redeem(callback.granted(), redirect_uri=back, verifier=verifier)

    async def _close(self, update: LoginUpdated) -> None:
        if update.state is LoginState.success:
            self._loopback.show(SIGNED_IN)
        elif update.state is LoginState.failed:
            self._loopback.show(Page(400, "Not signed in", update.error or ""))
        await self._loopback.close()


class AsyncDeviceCodeLoginHandle(AsyncLogin):
    """A sign-in with a code: open `verification_url` in any browser and type `user_code`."""

    expiry = str(oauth.expired())

    def __init__(self, sign_in: SignIn, device: Device, *, seconds: float, interval: float) -> None:
        super().__init__(sign_in, seconds=seconds)
        self.verification_url = f"{sign_in.issuer.url}/codex/device"
        self.user_code = device.user_code
        self._device, self._interval = device, interval

    @classmethod
    async def start(
        cls, sign_in: SignIn, *, seconds: float = LOGIN_SECONDS, interval: float | None = None
    ) -> AsyncDeviceCodeLoginHandle:
        """Get a code. Raises LoginError when device sign-ins are switched off, UnreachableError ...

        `interval`: seconds between two polls, in place of the service's.
        """
        await _in_thread(sign_in.storage.check)
        call = sign_in.issuer.ask_for_user_code()
        device = oauth.device(call, await _in_thread(lambda: sign_in.send(call)))
        interval = device.interval if interval is None else interval
        return cls(sign_in, device, seconds=seconds, interval=interval)

    async def _tokens(self) -> Tokens:
        """Poll until somebody has approved the code, and redeem what was granted."""
        call = self._sign_in.issuer.poll(self._device)
        interval, failures = self._interval, 0
        while True:
            try:
                answer = await _in_thread(lambda: self._sign_in.send(call))
                outcome = oauth.polled(call, answer)
                failures = 0
            except (UnreachableError, ServiceError) as failure:
                failures += 1
                if failures > MOST_FAILED_POLLS or isinstance(failure, BlockedError):
                    raise
                outcome = 0.0
            if isinstance(outcome, Granted):
                code, verifier = Secret(outcome.code), Secret(outcome.verifier)
                redirect = f"{self._sign_in.issuer.url}/deviceauth/callback"
                return await self._redeem(code, redirect_uri=redirect, verifier=verifier)
            interval = min(interval + outcome, oauth.MOST_POLL_SECONDS)
            await asyncio.sleep(interval)


# For code that does not await --------------------------------------------------------------------


class _LoginHandle(Blocking[L]):
    wait = blocking(AsyncLogin.wait)
    cancel = blocking(AsyncLogin.cancel)
    login_id: str = same("login_id")
    expires_at: float = same("expires_at")
    """Unix seconds at which it gives up."""
    state: LoginState = same("state")
    subscribe: Callable[[Listener], None] = same("subscribe")
    """Call a listener with the state now and with each change, in the thread where it happens."""


class ChatgptLoginHandle(_LoginHandle[AsyncChatgptLoginHandle]):
    """A sign-in with the browser: open `auth_url` in it."""

    auth_url: str = same("auth_url")
    paste: Callable[[str], None] = same("paste")
    """Go on with the address at which a browser ended. Raises LoginError for another sign-in's."""


class DeviceCodeLoginHandle(_LoginHandle[AsyncDeviceCodeLoginHandle]):
    """A sign-in with a code: open `verification_url` in any browser and type `user_code`."""

    verification_url: str = same("verification_url")
    user_code: str = same("user_code")
