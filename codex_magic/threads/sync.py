"""`Codex`, `Thread` and `TurnHandle`: the asynchronous ones, driven through one background event loop.

So they work in scripts, in cells and beside a running event loop alike.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import os
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from ..protocol.types import InitializeResponse, Notification, TurnCompleted
from ..waiting import BackgroundLoop, Blocking, blocking, same, taken
from .codex import AsyncCodex, AsyncThread
from .options import CodexConfig
from .turns import AsyncTurnHandle

if TYPE_CHECKING:
    from ..auth import handles

T = TypeVar("T")

EXIT_SECONDS = 2.0  # how long the end of a process may wait for the store


class TurnHandle(Blocking[AsyncTurnHandle]):
    """One turn in progress."""

    interrupt = blocking(AsyncTurnHandle.interrupt)
    steer = blocking(AsyncTurnHandle.steer)
    run = blocking(AsyncTurnHandle.run)
    id: str = same("id")
    thread_id: str = same("thread_id")

    def stream(self) -> Iterator[Notification]:
        """Every notification from the first on. Leaving early interrupts the turn."""
        self.asynchronous.check_process()
        batches: SimpleQueue[list[Notification]] = SimpleQueue()
        self._loop.submit(_put_batches(self.asynchronous, batches.put))
        try:
            while True:
                self.asynchronous.check_process()
                for notification in taken(batches):
                    yield notification
                    if isinstance(notification, TurnCompleted):
                        return
        finally:
            if self.asynchronous.result is None and not self.asynchronous.is_parents:
                self.interrupt()


async def _put_batches(handle: AsyncTurnHandle, put: Callable[[list[Notification]], None]) -> None:
    """Call `put` with all notifications of one step of the loop: waking a thread for each costs more."""
    loop = asyncio.get_running_loop()
    batch: list[Notification] = []

    def collect(notification: Notification) -> None:
        if not batch:
            loop.call_soon(flush)
        batch.append(notification)

    def flush() -> None:
        put(batch.copy())
        batch.clear()

    handle.subscribe(collect)


class Thread(Blocking[AsyncThread]):
    """One kept conversation."""

    turn = blocking(AsyncThread.turn, into=TurnHandle)
    run = blocking(AsyncThread.run)
    compact = blocking(AsyncThread.compact)
    history = blocking(AsyncThread.history)
    held = blocking(AsyncThread.held)
    read = blocking(AsyncThread.read)
    revert = blocking(AsyncThread.revert)
    set_name = blocking(AsyncThread.set_name)
    id: str = same("id")


def _browser_login(
    handle: handles.AsyncChatgptLoginHandle, loop: BackgroundLoop
) -> handles.ChatgptLoginHandle:
    from ..auth import handles  # imports httpx

    return handles.ChatgptLoginHandle(handle, loop)


def _device_login(
    handle: handles.AsyncDeviceCodeLoginHandle, loop: BackgroundLoop
) -> handles.DeviceCodeLoginHandle:
    from ..auth import handles

    return handles.DeviceCodeLoginHandle(handle, loop)


class Codex(Blocking[AsyncCodex]):
    """`AsyncCodex` for code that does not await."""

    def __init__(self, config: CodexConfig | None = None) -> None:
        super().__init__(AsyncCodex(config), BackgroundLoop())
        _open.add(self)

    def __enter__(self) -> Codex:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def metadata(self) -> InitializeResponse:
        """What answers here: the agent's program, which is started for it, or this package."""
        return self.call(self.asynchronous.start())

    def close(self) -> None:
        """Interrupt what runs, then close connections, the store and the loop."""
        self.call(self.asynchronous.close())
        self._loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine of `asynchronous` in its loop, for callers that wait in their own way."""
        return self._loop.submit(work)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of `asynchronous` in its loop and return its result."""
        return self._loop.run(work)

    thread_start = blocking(AsyncCodex.thread_start, into=Thread)
    thread_resume = blocking(AsyncCodex.thread_resume, into=Thread)
    thread_fork = blocking(AsyncCodex.thread_fork, into=Thread)
    thread_list = blocking(AsyncCodex.thread_list)
    thread_archive = blocking(AsyncCodex.thread_archive)
    thread_unarchive = blocking(AsyncCodex.thread_unarchive, into=Thread)
    login_chatgpt = blocking(AsyncCodex.login_chatgpt, into=_browser_login)
    login_chatgpt_pasted = blocking(AsyncCodex.login_chatgpt_pasted, into=_browser_login)
    login_chatgpt_device_code = blocking(AsyncCodex.login_chatgpt_device_code, into=_device_login)
    login_api_key = blocking(AsyncCodex.login_api_key)
    logout = blocking(AsyncCodex.logout)
    account = blocking(AsyncCodex.account)
    models = blocking(AsyncCodex.models)
    rate_limits = blocking(AsyncCodex.rate_limits)
    mcp_servers = blocking(AsyncCodex.mcp_servers)


_open: WeakSet[Codex] = WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # what runs is the parent's


@atexit.register
def keep_running() -> None:
    """Write what came of all turns that run; whoever starts this package next tells them as interrupted."""
    keeping = [codex.submit(codex.asynchronous.keep()) for codex in list(_open) if codex.asynchronous.busy]
    concurrent.futures.wait(keeping, timeout=EXIT_SECONDS)
