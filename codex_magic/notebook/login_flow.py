"""The one sign-in of a notebook, however many widgets and cells look on.

It lives in the background loop, so it goes on while cells run. Whoever looks on is told each new view
there, one after the other.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from ..auth.handles import AsyncChatgptLoginHandle, AsyncLogin
from ..auth.storage import Storage
from ..protocol.account import Account, ChatgptAccount, LoginState
from ..protocol.errors import CodexError
from ..protocol.types import RateLimits
from ..threads.codex import AsyncCodex
from ..threads.sync import Codex
from .environment import is_remote
from .login_view import (
    Answered,
    Began,
    Cancelled,
    Choosing,
    Event,
    Failed,
    LimitsRead,
    LoginView,
    Misread,
    Offered,
    Opened,
    SignedIn,
    SignedOut,
    Stage,
    Ticked,
    Way,
    fold,
)

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0

LIMITS_SECONDS = 5.0
"""Longer nobody waits for the numbers; they are not what the sign-in is for."""

Listener = Callable[[LoginView], None]
AskLimits = Callable[[], Awaitable[RateLimits]]


class LoginFlow:
    """The methods return at once, from any thread; what comes of them is told to the listeners."""

    def __init__(self, codex: Codex, ask_limits: AskLimits) -> None:
        self._codex = codex
        self._ask_limits = ask_limits
        remote = is_remote()
        self.ways = ways(remote=remote)
        self.view = LoginView(self.ways, time.time(), remote, stage=Stage.cancelled)
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()
        self._order: asyncio.Lock | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._handle: AsyncLogin | None = None
        self._given: asyncio.Future[str] | None = None
        self._open_browser = False
        self._ticking: asyncio.Task[None] | None = None
        self._telling_limits: asyncio.Task[None] | None = None
        self._before: Account | None = None

    # Looking on ------------------------------------------------------------------------------

    def open(self, problem: str = "") -> Future[None]:
        """Begin anew, or join what goes on. Done when `view` says which.

        `problem`: why the account that is signed in does not do.
        """
        return self._codex.submit(self._in_order(self._open(problem)))

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with the view now and with each later one, until the sign-in is over."""
        with self._lock:
            view = self.view
            if not view.over:
                self._listeners.append(listener)
            listener(view)

    def leave(self, listener: Listener) -> bool:
        """Look on no more. Whether somebody else does; the last one to leave ends the sign-in."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
            watched = bool(self._listeners)
        if not watched:
            self.cancel()
        return watched

    # What a person does ----------------------------------------------------------------------

    def begin(self, way: Way, *, open_browser: bool = False) -> Future[None]:
        """`open_browser`: where the browser is this kernel's own, and not the page it is used from."""
        return self._codex.submit(self._in_order(self._begin(way, open_browser)))

    def give(self, text: str) -> Future[None]:
        """The key, or the address at which the browser ended."""
        return self._codex.submit(self._give(text))

    def choose(self) -> Future[None]:
        """Another way, or another account."""
        return self._codex.submit(self._in_order(self._choose()))

    def sign_out(self) -> Future[None]:
        return self._codex.submit(self._in_order(self._sign_out()))

    def cancel(self) -> Future[None]:
        return self._codex.submit(self._in_order(self._cancel()))

    async def close(self) -> None:
        """End it for good; whoever looks on is told."""
        await self._in_order(self._cancel())
        if self._ticking is not None:
            self._ticking.cancel()

    # In the loop -----------------------------------------------------------------------------

    @property
    def _asynchronous(self) -> AsyncCodex:
        return self._codex.asynchronous

    async def _in_order(self, work: Coroutine[Any, Any, None]) -> None:
        """One thing after the other, however fast somebody clicks."""
        if self._order is None:
            self._order = asyncio.Lock()
        async with self._order:
            await work

    async def _open(self, problem: str) -> None:
        storage = Storage.of(self._asynchronous.settings)
        account = (await self._asynchronous.account()).account
        self._before = None if problem else account
        self._tell(Opened(account, time.time(), problem))
        if self._ticking is not None:
            self._ticking.cancel()
        self._ticking = asyncio.create_task(self._tick(storage))
        if self.view.stage is Stage.account:
            self._telling_limits = asyncio.create_task(self._tell_limits())

    async def _tell_limits(self) -> None:
        limits = await self._limits(self._before)
        if limits is not None:
            self._tell(LimitsRead(limits))

    async def _begin(self, way: Way, open_browser: bool) -> None:
        await self._stop()
        self._open_browser = open_browser
        self._tell(Began(way))
        if not self.view.over:
            self._attempt = asyncio.create_task(self._try(way))

    async def _choose(self) -> None:
        await self._stop()
        self._tell(Choosing())

    async def _cancel(self) -> None:
        await self._stop()
        self._tell(Cancelled())

    async def _sign_out(self) -> None:
        await self._stop()
        try:
            await self._asynchronous.logout()
        except CodexError as error:
            self._tell(Failed(str(error)))
            raise
        self._tell(SignedOut())

    async def _give(self, text: str) -> None:
        if isinstance(self._handle, AsyncChatgptLoginHandle):
            try:
                self._handle.paste(text)
            except CodexError as error:
                self._tell(Misread(str(error)))
            else:
                self._tell(Answered())
        elif self._given is not None and not self._given.done():
            self._given.set_result(text)

    async def _try(self, way: Way) -> None:
        """One attempt, from its first request to its end. Cancelled, it says nothing."""
        try:
            done = await _ATTEMPTS[way](self)
        except CodexError as error:
            self._tell(Failed(str(error)))
        except Exception:  # the top of a task: somebody looks on, and must not be left waiting
            log.exception("a sign-in broke")
            self._tell(Failed("The sign-in broke; the log says how."))
        else:
            if done:
                await self._succeed()

    async def _by_device(self) -> bool:
        handle = self._handle = await self._asynchronous.login_chatgpt_device_code()
        self._tell(Offered(handle.verification_url, handle.user_code, handle.expires_at))
        return await self._completed(handle)

    async def _by_browser(self) -> bool:
        handle = self._handle = await self._asynchronous.login_chatgpt(open_browser=self._open_browser)
        self._tell(Offered(handle.auth_url, expires_at=handle.expires_at))
        return await self._completed(handle)

    async def _by_paste(self) -> bool:
        handle = self._handle = await self._asynchronous.login_chatgpt_pasted()
        self._tell(Offered(handle.auth_url, expires_at=handle.expires_at))
        return await self._completed(handle)

    async def _by_key(self) -> bool:
        self._given = asyncio.get_running_loop().create_future()
        self._tell(Offered())
        key = await self._given
        self._tell(Answered())
        await self._asynchronous.login_api_key(key)
        return True

    async def _completed(self, handle: AsyncLogin) -> bool:
        completed = await handle.wait()
        self._handle = None
        if not completed.success and handle.state is not LoginState.cancelled:
            self._tell(Failed(completed.error or "The sign-in failed."))
        return completed.success

    async def _succeed(self) -> None:
        self._tell(Answered())
        account = (await self._asynchronous.account()).account
        if account is None:
            self._tell(Failed("The sign-in was ended by another program. Start it again."))
        else:
            self._tell(SignedIn(account, await self._limits(account)))

    async def _limits(self, account: Account | None) -> RateLimits | None:
        if not isinstance(account, ChatgptAccount):
            return None
        try:
            return await asyncio.wait_for(self._ask_limits(), LIMITS_SECONDS)
        except (CodexError, asyncio.TimeoutError) as error:
            log.info("the limits could not be read: %s", error)
            return None

    async def _stop(self) -> None:
        """End the attempt. One whose tokens are just being stored succeeds all the same."""
        attempt = self._attempt
        if attempt is None or attempt.done():
            return
        if self._handle is not None:
            await self._handle.cancel()
        elif self.view.stage is not Stage.finishing:
            attempt.cancel()
        await asyncio.wait({attempt})
        self._handle = self._given = None

    async def _tick(self, storage: Storage) -> None:
        """Let time pass, and notice a sign-in that another notebook or the CLI has finished."""
        seen = storage.stamp()
        while not self.view.over:
            await asyncio.sleep(TICK_SECONDS)
            self._tell(Ticked(time.time()))
            stamp = storage.stamp()
            if stamp != seen and self.view.stage in (Stage.choosing, Stage.waiting):
                seen = stamp
                await self._take_over()
        await self._stop()

    async def _take_over(self) -> None:
        try:
            now = (await self._asynchronous.account()).account
        except CodexError:
            return  # the attempt itself will say so
        if now is not None and now != self._before:
            self._tell(SignedIn(now, await self._limits(now)))

    def _tell(self, event: Event) -> None:
        with self._lock:
            self.view = view = fold(self.view, event)
            listeners = list(self._listeners)
            if view.over:
                self._listeners.clear()
            for listener in listeners:
                try:
                    listener(view)
                except Exception:  # a front end that is gone must not end the sign-in for the others
                    log.exception("a sign-in could not be shown")


_ATTEMPTS: dict[Way, Callable[[LoginFlow], Awaitable[bool]]] = {
    Way.device: LoginFlow._by_device,
    Way.browser: LoginFlow._by_browser,
    Way.paste: LoginFlow._by_paste,
    Way.key: LoginFlow._by_key,
}


def ways(*, remote: bool) -> tuple[Way, ...]:
    """The fitting one first."""
    if remote:
        return Way.device, Way.paste, Way.browser, Way.key
    return Way.browser, Way.device, Way.paste, Way.key
