"""Signing in from a notebook: what it looks like so far, in words, and the one attempt that all widgets and cells share.

A view is a value, without clock, output or IO. Links and codes are there only while somebody needs them; the end of
every sign-in has none. The attempt lives in the background loop, so it goes on while cells run.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

from ..auth.storage import Storage
from ..protocol.errors import CodexError, ConfigurationError, window_name
from ..protocol.types import Account, ChatgptAccount, LoginState, RateLimits, RateLimitWindow
from ..waiting import awaited, in_thread
from .environment import is_remote

if TYPE_CHECKING:
    from ..auth.handles import AsyncLogin
    from ..threads.sync import Codex

log = logging.getLogger(__name__)

OPEN_SECONDS = 15 * 60  # controls that nobody touches stay on screen as long as a device code is good
TICK_SECONDS = 1.0


class Way(str, Enum):
    """How to sign in; the values are the words of `%codex login`."""

    device = "device"
    browser = "browser"
    paste = "paste"
    key = "key"


class Stage(str, Enum):
    choosing = "choosing"
    account = "account"
    """Signed in already: what can be done about that."""
    starting = "starting"
    waiting = "waiting"
    """It is the person's turn."""
    finishing = "finishing"
    signed_in = "signed in"
    signed_out = "signed out"
    cancelled = "cancelled"


OVER = frozenset({Stage.signed_in, Stage.signed_out, Stage.cancelled})

_CHOICES = {
    Way.device: ("One-time code", "Works from any browser, also on a remote server"),
    Way.browser: ("Browser on this computer", "Only where the kernel runs on this computer"),
    Way.paste: ("Paste an address", "From another computer's browser"),
    Way.key: ("API key", "From platform.openai.com; billed per token"),
}
_ON_A_SERVER = {Way.browser: ("Browser on the server's own screen", "Only where you sit at the server")}

_ERROR_PAGE = "If the browser shows an error page, paste that page's address here."

_SENTENCES: dict[Stage | Way | None, str] = {
    Stage.choosing: "Sign in to Codex",
    Stage.starting: "Starting the sign-in …",
    Stage.finishing: "Finishing the sign-in …",
    Stage.signed_out: "Signed out.",
    Stage.cancelled: "The sign-in was cancelled. Start again: `%codex login`",
    Way.device: "Open the link, sign in, and enter this code. Never enter it on any other page.",
    Way.browser: f"Open the link, sign in, and come back. {_ERROR_PAGE}",
    Way.paste: f"Open the link and sign in. {_ERROR_PAGE}",
    Way.key: "Paste an API key from platform.openai.com. It is stored {place}, never in the notebook.",
}
"""By stage or, when it is the person's turn, by way."""


@dataclass(frozen=True)
class LoginView:
    """`ways`: the fitting one first. Times are Unix seconds."""

    ways: tuple[Way, ...]
    now: float
    remote: bool = False
    """The kernel runs on another machine than the user's browser."""
    stage: Stage = Stage.choosing
    way: Way | None = None
    link: str | None = field(default=None, repr=False)
    code: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    problem: str = ""
    """A sentence about what went wrong last, and what to do next."""
    misread: int = 0
    """How often what the person entered could not be read."""
    account: Account | None = None
    limits: RateLimits | None = None
    touched_at: float = 0.0

    @property
    def over(self) -> bool:
        return self.stage in OVER

    @property
    def failed(self) -> bool:
        """Whether an attempt has just failed, so that it may be tried again."""
        return self.stage is Stage.choosing and self.way is not None and bool(self.problem)

    def choices(self) -> dict[Way, tuple[str, str]]:
        """Return the ways with a label and what they are good for; the first is recommended."""
        choices = _CHOICES | _ON_A_SERVER if self.remote else _CHOICES
        (label, use), *_ = (choices[way] for way in self.ways)
        return {way: choices[way] for way in self.ways} | {self.ways[0]: (f"{label} (recommended)", use)}

    def headline(self) -> str:
        """What is going on, and what to do; one or two sentences."""
        if self.stage in (Stage.account, Stage.signed_in):
            return f"Signed in {who(self.account)}."
        if self.stage is Stage.cancelled and self.problem:
            return self.problem
        place = "in your home folder on this server" if self.remote else "on this computer"
        return _SENTENCES[self.way if self.stage is Stage.waiting else self.stage].format(place=place)

    def seconds_left(self) -> int | None:
        """Return until what is offered expires; `None` when nothing does."""
        return None if self.expires_at is None else max(0, round(self.expires_at - self.now))

    def closing_line(self) -> str:
        """What stays in a notebook when it is over: no address and no quota, since notebooks are passed on."""
        return "Signed in." if self.stage is Stage.signed_in else self.headline()

    def opened(self, account: Account | None, now: float, problem: str = "") -> LoginView:
        """Begin anew, or join what goes on. `account`: who is signed in; `problem`: why that does not do."""
        if self.stage in (Stage.starting, Stage.waiting, Stage.finishing):
            return replace(self, now=now, touched_at=now)
        stage = Stage.choosing if account is None or problem else Stage.account
        fresh = replace(self, now=now, stage=stage)
        return fresh.at(stage, way=None, account=account, limits=None, problem=problem)

    def at(self, stage: Stage, **changes: Any) -> LoginView:
        """The view in another stage, without what only this one needed. What is over stays over."""
        cleared = {"link": None, "code": None, "expires_at": None, "problem": "", "misread": 0}
        return self._changed(**{"stage": stage, **cleared, **changes})

    def misunderstood(self, problem: str) -> LoginView:
        """What the person entered could not be read; the sign-in still waits."""
        return self._changed(problem=problem, misread=self.misread + 1)

    def _changed(self, **changes: Any) -> LoginView:
        return self if self.over else replace(self, touched_at=self.now, **changes)

    def cancelled(self) -> LoginView:
        """Who is signed in already stays so."""
        return self.at(Stage.signed_in if self.stage is Stage.account else Stage.cancelled, way=None)

    def ticked(self, now: float) -> LoginView:
        """Let time pass; controls that nobody touches are taken away."""
        if self.over:
            return self
        view = replace(self, now=now)
        if self.stage in (Stage.starting, Stage.finishing) or now - self.touched_at < OPEN_SECONDS:
            return view
        if self.stage is Stage.account:
            return view.at(Stage.signed_in)
        problem = "Nobody signed in within 15 minutes. Start again: `%codex login`"
        return view.at(Stage.cancelled, problem=problem)


def ways(*, remote: bool) -> tuple[Way, ...]:
    """Return all ways, the fitting one first."""
    return tuple(Way) if remote else (Way.browser, Way.device, Way.paste, Way.key)


def who(account: Account | None) -> str:
    """`as me@example.com (Plus plan)`"""
    if not isinstance(account, ChatgptAccount):
        return "with an API key"
    return f"as {account.email or 'a ChatGPT account'}{plan_note(account.plan_type)}"


def plan_note(plan: str | None) -> str:
    """` (Plus plan)`; empty for none."""
    return f" ({plan.replace('_', ' ').capitalize()} plan)" if plan else ""


def windows(limits: RateLimits) -> list[RateLimitWindow]:
    """Return the windows there are, the one that will stop you first in front."""
    present = [window for window in (limits.primary, limits.secondary) if window is not None]
    return sorted(present, key=lambda window: -window.used_percent)


def name(window: RateLimitWindow) -> str:
    """`Week`, `5 hours`"""
    minutes = window.window_duration_mins or 0
    number, unit = window_name(minutes).partition("-")[::2]
    plural = "" if number == "1" else "s"
    return {0: "Limit", 10080: "Week"}.get(minutes, f"{number} {unit}{plural}")


def left(window: RateLimitWindow) -> int:
    """Percent."""
    return max(0, round(100 - window.used_percent))


def resets(window: RateLimitWindow) -> str:
    """`resets Sat 5 Dec, 17:54`, in local time; empty when the service did not say, or says what no clock shows."""
    at = moment(window.resets_at)
    return f"resets {at}" if at else ""


def moment(seconds: float | None) -> str:
    """`Sat 5 Dec, 17:54`, `today, 17:54`: Unix seconds in local time."""
    try:
        at = datetime.fromtimestamp(seconds or 0).astimezone()
    except (ValueError, OverflowError, OSError):
        return ""
    day = "today" if at.date() == datetime.now().astimezone().date() else f"{at:%a} {at.day} {at:%b}"
    return f"{day}, {at:%H:%M}" if seconds else ""


def sentence(window: RateLimitWindow) -> str:
    """`69 % of the week left, resets Sat 5 Dec, 17:54`"""
    span = {"Week": "of the week ", "Limit": ""}.get(name(window), f"of {name(window)} ")
    return ", ".join(filter(None, [f"{left(window)} % {span}left", resets(window)]))


Listener = Callable[[LoginView], None]

P = ParamSpec("P")


def in_order(
    method: Callable[Concatenate[LoginFlow, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[LoginFlow, P], Future[None]]:
    """Let a method return at once, from any thread; its work waits for that of earlier calls."""

    @wraps(method)
    def submit(self: LoginFlow, /, *args: P.args, **kwargs: P.kwargs) -> Future[None]:
        async def work() -> None:
            self._order = self._order or asyncio.Lock()
            async with self._order:
                await method(self, *args, **kwargs)

        return self._codex.submit(work())

    return submit


class LoginFlow:
    """The one sign-in of a notebook. What comes of the methods is seen by the listeners, and in `view`."""

    def __init__(self, codex: Codex, ask_limits: Callable[[], Awaitable[RateLimits]]) -> None:
        self._codex, self._asynchronous, self._ask_limits = codex, codex.asynchronous, ask_limits
        remote = is_remote()
        self.ways = ways(remote=remote)
        self.view = LoginView(self.ways, time.time(), remote, stage=Stage.cancelled)
        self._listeners: list[Listener] = []
        self._lock = threading.RLock()
        self._order: asyncio.Lock | None = None
        self._attempt: asyncio.Task[None] | None = None
        self._handle: AsyncLogin | None = None
        self._take: Callable[[str], None] | None = None
        """Goes on with the key or the address that the attempt waits for."""
        self._ticking: asyncio.Task[None] | None = None
        self._before: Account | None = None

    @in_order
    async def open(self, problem: str = "") -> None:
        """Begin anew, or join what goes on. `problem`: why the account that is signed in does not do."""
        account = await self._account()
        self._before = None if problem else account
        self._change(lambda view: view.opened(account, time.time(), problem))
        if self._ticking is not None:
            self._ticking.cancel()
        self._ticking = asyncio.create_task(self._tick())
        if self.view.stage is Stage.account and isinstance(account, ChatgptAccount):
            self._reading_limits = asyncio.create_task(self._read_limits())

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with the view now and with each later one, until the sign-in is over."""
        with self._lock:
            if not self.view.over:
                self._listeners.append(listener)
            listener(self.view)

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

    @in_order
    async def enter(self, text: str) -> None:
        """Take the key, or the address at which the browser ended."""
        if self._take is None:
            return
        try:
            self._take(text)
        except CodexError as error:
            problem = str(error)
            self._change(lambda view: view.misunderstood(problem))
        else:
            self._take = None
            self._change(lambda view: view.at(Stage.finishing))

    @in_order
    async def choose(self) -> None:
        """Offer another way, or another account."""
        await self._stop()
        self._change(lambda view: view.at(Stage.choosing, way=None))

    @in_order
    async def cancel(self) -> None:
        """End it; whoever looks on sees that."""
        await self._stop()
        self._change(LoginView.cancelled)
        if self._ticking is not None:
            self._ticking.cancel()

    close = cancel

    @in_order
    async def sign_out(self) -> None:
        await self._stop()
        try:
            await self._asynchronous.logout()
        except CodexError as error:
            self._fail(str(error))
            raise
        self._change(lambda view: view.at(Stage.signed_out, way=None, account=None, limits=None))

    async def _read_limits(self) -> None:
        """Show what is left of the plan, if the service says so."""
        try:
            limits = await self._ask_limits()
            self._change(lambda view: replace(view, limits=limits))
        except CodexError as error:
            log.info("the limits could not be read: %s", error)

    async def _account(self) -> Account | None:
        """Return who is signed in. Raises ConfigurationError where another sign-in could not be kept."""
        try:
            return (await self._asynchronous.account()).account
        except ConfigurationError:
            storage = Storage.of(self._asynchronous.settings)
            await awaited(in_thread(storage.check))
            return None  # what is broken is replaced

    async def _try(self, way: Way, open_browser: bool) -> None:
        """Make one attempt, from its first request to its end. Cancelled, it changes nothing."""
        try:
            if way is Way.key:
                await awaited(in_thread(Storage.of(self._asynchronous.settings).check))
                key = asyncio.get_running_loop().create_future()
                self._take = key.set_result
                self._change(lambda view: view.at(Stage.waiting))
                await self._asynchronous.login_api_key(await key)
            elif not await self._by_service(way, open_browser):
                return
            self._change(lambda view: view.at(Stage.finishing))
            if (account := (await self._asynchronous.account()).account) is not None:
                self._change(lambda view: view.at(Stage.signed_in, way=None, account=account))
            else:
                self._fail("The sign-in was ended by another program. Start it again.")
        except CodexError as error:
            self._fail(str(error))
        except Exception:  # the top of a task: somebody looks on, and must not be left waiting
            log.exception("a sign-in broke")
            self._fail("The sign-in failed unexpectedly. The log has the details.")

    async def _by_service(self, way: Way, open_browser: bool) -> bool:
        """Show the person what there is to do, and wait for the service. Returns whether it was done."""
        codex, code = self._asynchronous, None
        if way is Way.device:
            self._handle = device = await codex.login_chatgpt_device_code()
            link, code = device.verification_url, device.user_code
        else:
            pasted = way is Way.paste
            page = codex.login_chatgpt_pasted() if pasted else codex.login_chatgpt(open_browser=open_browser)
            self._handle = opened = await page
            self._take, link = opened.paste, opened.auth_url
        handle = self._handle
        self._change(lambda view: view.at(Stage.waiting, link=link, code=code, expires_at=handle.expires_at))
        completed = await handle.wait()
        self._handle = self._take = None
        if not completed.success and handle.state is not LoginState.cancelled:
            self._fail(completed.error or "The sign-in failed.")
        return completed.success

    async def _stop(self) -> None:
        """End the attempt. One whose tokens are just being stored succeeds all the same."""
        if (attempt := self._attempt) is None or attempt.done():
            return
        if self._handle is not None:
            await self._handle.cancel()
        elif self.view.stage is not Stage.finishing:
            attempt.cancel()
        await asyncio.wait({attempt})
        self._handle = self._take = None

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
                with suppress(CodexError):  # the attempt itself will say so
                    account = (await self._asynchronous.account()).account
                    if account not in (None, self._before):
                        self._change(partial(LoginView.at, stage=Stage.signed_in, way=None, account=account))
        await self._stop()

    def _fail(self, problem: str) -> None:
        self._change(lambda view: view.at(Stage.choosing, problem=problem))

    def _change(self, change: Callable[[LoginView], LoginView]) -> None:
        """Take the next view, and call the listeners with it."""
        with self._lock:
            self.view = view = change(self.view)
            for listener in list(self._listeners):
                try:
                    listener(view)
                except Exception:  # a front end that is gone must not end the sign-in for the others
                    log.exception("a sign-in could not be shown")
            if view.over:
                self._listeners.clear()
