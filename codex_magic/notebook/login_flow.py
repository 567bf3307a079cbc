"""The one sign-in of a notebook, however many widgets and cells look on.

It lives in the background loop, so it goes on while cells run. Whoever looks on is called with each new view
there, one after the other.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Concatenate, ParamSpec

from ..auth.handles import AsyncChatgptLoginHandle, AsyncLogin
from ..auth.storage import Storage
from ..protocol.errors import CodexError
from ..protocol.types import Account, ChatgptAccount, LoginState, RateLimits
from ..threads.sync import Codex
from .environment import is_remote
from .login_view import LoginView, Stage, Way

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
LIMITS_SECONDS = 5.0  # how long a sign-in waits for the numbers, which are not what it is for

Listener = Callable[[LoginView], None]

P = ParamSpec("P")


def in_order(
    method: Callable[Concatenate[LoginFlow, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[LoginFlow, P], Future[None]]:
    """Let a method return at once, from any thread; its work waits for that of earlier calls, however fast
    somebody clicks."""

    @functools.wraps(method)
    def submit(self: LoginFlow, /, *args: P.args, **kwargs: P.kwargs) -> Future[None]:
        async def work() -> None:
            self._order = self._order or asyncio.Lock()
            async with self._order:
                await method(self, *args, **kwargs)

        return self._codex.submit(work())

    return submit


class LoginFlow:
    """What comes of the methods is seen by the listeners, and in `view`."""

    def __init__(self, codex: Codex, ask_limits: Callable[[], Awaitable[RateLimits]]) -> None:
        self._codex = codex
        self._asynchronous = codex.asynchronous
        self._ask_limits = ask_limits
        remote = is_remote()
        self.ways = ways(remote=remote)
        self.view = LoginView(self.ways, time.time(), remote, stage=Stage.cancelled)
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()
        self._order: asyncio.Lock | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._handle: AsyncLogin | None = None
        self._key: asyncio.Future[str] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._reading_limits: asyncio.Task[None] | None = None
        self._before: Account | None = None

    @in_order
    async def open(self, problem: str = "") -> None:
        """Begin anew, or join what goes on. `problem`: why the account that is signed in does not do."""
        account = (await self._asynchronous.account()).account
        self._before = None if problem else account
        self._change(lambda view: view.opened(account, time.time(), problem))
        if self._ticking is not None:
            self._ticking.cancel()
        self._ticking = asyncio.create_task(self._tick())
        if self.view.stage is Stage.account:
            self._reading_limits = asyncio.create_task(self._read_limits())

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with the view now and with each later one, until the sign-in is over."""
        with self._lock:
            view = self.view
            if not view.over:
                self._listeners.append(listener)
            listener(view)

    def leave(self, listener: Listener) -> bool:
        """Look on no more. Returns whether somebody else does; the last one to leave ends the sign-in."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)
            watched = bool(self._listeners)
        if not watched:
            self.cancel()
        return watched

    @in_order
    async def begin(self, way: Way, *, open_browser: bool = False) -> None:
        """`open_browser`: where the browser is this kernel's own, and not the page it is used from."""
        await self._stop()
        self._change(lambda view: view.at(Stage.starting, way=way))
        if not self.view.over:
            self._attempt = asyncio.create_task(self._try(way, open_browser))

    def enter(self, text: str) -> Future[None]:
        """Take the key, or the address at which the browser ended."""
        return self._codex.submit(self._enter(text))

    @in_order
    async def choose(self) -> None:
        """Offer another way, or another account."""
        await self._stop()
        self._change(lambda view: view.at(Stage.choosing, way=None))

    @in_order
    async def cancel(self) -> None:
        await self._stop()
        self._change(LoginView.cancelled)

    @in_order
    async def sign_out(self) -> None:
        await self._stop()
        try:
            await self._asynchronous.logout()
        except CodexError as error:
            self._fail(str(error))
            raise
        self._change(lambda view: view.at(Stage.signed_out, way=None, account=None, limits=None))

    @in_order
    async def close(self) -> None:
        """End it for good; whoever looks on sees that."""
        await self._stop()
        self._change(LoginView.cancelled)
        if self._ticking is not None:
            self._ticking.cancel()

    async def _read_limits(self) -> None:
        if limits := await self._limits(self._before):
            self._change(lambda view: view.with_limits(limits))

    async def _enter(self, text: str) -> None:
        if isinstance(self._handle, AsyncChatgptLoginHandle):
            try:
                self._handle.paste(text)
            except CodexError as error:
                problem = str(error)
                self._change(lambda view: view.misunderstood(problem))
            else:
                self._change(lambda view: view.at(Stage.finishing))
        elif self._key is not None and not self._key.done():
            self._key.set_result(text)

    async def _try(self, way: Way, open_browser: bool) -> None:
        """Make one attempt, from its first request to its end. Cancelled, it changes nothing."""
        try:
            if way is Way.key:
                self._key = asyncio.get_running_loop().create_future()
                self._change(lambda view: view.at(Stage.waiting))
                key = await self._key
                self._change(lambda view: view.at(Stage.finishing))
                await self._asynchronous.login_api_key(key)
            elif not await self._by_service(way, open_browser):
                return
            self._change(lambda view: view.at(Stage.finishing))
            if (account := (await self._asynchronous.account()).account) is not None:
                await self._sign_in(account)
            else:
                self._fail("The sign-in was ended by another program. Start it again.")
        except CodexError as error:
            self._fail(str(error))
        except Exception:  # the top of a task: somebody looks on, and must not be left waiting
            log.exception("a sign-in broke")
            self._fail("The sign-in broke; the log says how.")

    async def _by_service(self, way: Way, open_browser: bool) -> bool:
        """Show the person what there is to do, and wait for the service. Returns whether it was done."""
        codex, code = self._asynchronous, None
        handle: AsyncLogin
        if way is Way.device:
            handle = device = await codex.login_chatgpt_device_code()
            link, code = device.verification_url, device.user_code
        else:
            pasted = way is Way.paste
            page = codex.login_chatgpt_pasted() if pasted else codex.login_chatgpt(open_browser=open_browser)
            handle = opened = await page
            link = opened.auth_url
        self._handle = handle
        self._change(lambda view: view.at(Stage.waiting, link=link, code=code, expires_at=handle.expires_at))
        completed = await handle.wait()
        self._handle = None
        if not completed.success and handle.state is not LoginState.cancelled:
            self._fail(completed.error or "The sign-in failed.")
        return completed.success

    async def _sign_in(self, account: Account) -> None:
        limits = await self._limits(account)
        self._change(lambda view: view.at(Stage.signed_in, way=None, account=account, limits=limits))

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
        if (attempt := self._attempt) is None or attempt.done():
            return
        if self._handle is not None:
            await self._handle.cancel()
        elif self.view.stage is not Stage.finishing:
            attempt.cancel()
        await asyncio.wait({attempt})
        self._handle = self._key = None

    async def _tick(self) -> None:
        """Let time pass, and notice a sign-in that another notebook or the CLI has finished."""
        storage = Storage.of(self._asynchronous.settings)
        seen = storage.stamp()
        while not self.view.over:
            await asyncio.sleep(TICK_SECONDS)
            self._change(lambda view: view.ticked(time.time()))
            stamp = storage.stamp()
            if stamp != seen and self.view.stage in (Stage.choosing, Stage.waiting):
                seen = stamp
                try:
                    account = (await self._asynchronous.account()).account
                except CodexError:
                    continue  # the attempt itself will say so
                if account is not None and account != self._before:
                    await self._sign_in(account)
        await self._stop()

    def _fail(self, problem: str) -> None:
        self._change(lambda view: view.at(Stage.choosing, problem=problem))

    def _change(self, change: Callable[[LoginView], LoginView]) -> None:
        """Take the next view, and call the listeners with it."""
        with self._lock:
            self.view = view = change(self.view)
            listeners = list(self._listeners)
            if view.over:
                self._listeners.clear()
            for listener in listeners:
                try:
                    listener(view)
                except Exception:  # a front end that is gone must not end the sign-in for the others
                    log.exception("a sign-in could not be shown")


def ways(*, remote: bool) -> tuple[Way, ...]:
    """Return all ways, the fitting one first."""
    if remote:
        return Way.device, Way.paste, Way.browser, Way.key
    return Way.browser, Way.device, Way.paste, Way.key
