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

from ..protocol.account import GetAccountResponse
from ..protocol.runtime import InitializeResponse
from ..protocol.types import Notification, RateLimits, RunInput, TurnCompleted, TurnResult, TurnSteerResponse
from ..responses.parameters import takes
from ..waiting import BackgroundLoop, taken
from .codex import AsyncCodex, AsyncThread, CodexConfig, ModelList
from .options import ListOptions, ThreadOptions, TurnOptions
from .store import ThreadPage, ThreadReadResponse, TurnRecord
from .turns import AsyncTurnHandle

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..auth.handles import ChatgptLoginHandle, DeviceCodeLoginHandle
    from ..responses.provider import Provider

T = TypeVar("T")


class Codex:
    """`AsyncCodex` for code that does not await."""

    def __init__(self, config: CodexConfig | None = None) -> None:
        self._loop = BackgroundLoop()
        self.asynchronous = AsyncCodex(config)
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
        self._loop.run(self.asynchronous.close())
        self._loop.close()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine of `asynchronous` in its loop, for callers that wait in their own way."""
        return self._loop.submit(work)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The same, waiting for it."""
        return self._loop.run(work)

    @takes(ThreadOptions)
    def thread_start(self, *, name: str | None = None, **options: Unpack[ThreadOptions]) -> Thread:
        """A new, empty thread. Raises TypeError, OptionError for options that can't be."""
        return Thread(self, self.call(self.asynchronous.thread_start(name=name, **options)))

    @takes(ThreadOptions)
    def thread_resume(self, thread_id: str, **options: Unpack[ThreadOptions]) -> Thread:
        """Go on with a kept thread. Raises ThreadNotFoundError.

        With the agent also with one that its program keeps: of the Codex CLI, of an editor. Its turns are
        then kept here too; those that were added to it elsewhere come with the next `thread_resume`.
        """
        return Thread(self, self.call(self.asynchronous.thread_resume(thread_id, **options)))

    @takes(ThreadOptions)
    def thread_fork(
        self,
        thread_id: str,
        *,
        last_turn_id: str | None = None,
        before_turn_id: str | None = None,
        **options: Unpack[ThreadOptions],
    ) -> Thread:
        """A new thread that shares the past of another one, all of it or as far as one turn.

        `last_turn_id` is the last one shared, `before_turn_id` the first one that is not. A fork of an
        ephemeral thread is one too. Raises ThreadNotFoundError, and OptionError for a turn that is not in
        the thread.
        """
        work = self.asynchronous.thread_fork(
            thread_id, last_turn_id=last_turn_id, before_turn_id=before_turn_id, **options
        )
        return Thread(self, self.call(work))

    @takes(ListOptions)
    def thread_list(self, **options: Unpack[ListOptions]) -> ThreadPage:
        """A page of threads, the latest used first unless `sort_key` and `sort_direction` say otherwise.

        They are those that are kept here. With the agent and `source_kinds` (`cli`, `vscode`, `exec`,
        `appServer` ...) or `section_id` they are those that its program keeps, whoever made them;
        `thread_resume` goes on with any of them. Over HTTP nothing has a source or a section, and both are
        not looked at. `use_state_db_only`: the program does not look for files that its database misses.
        """
        return self.call(self.asynchronous.thread_list(**options))

    def thread_archive(self, thread_id: str) -> None:
        """Leave it out of `thread_list`. Raises ThreadNotFoundError."""
        self.call(self.asynchronous.thread_archive(thread_id))

    def thread_unarchive(self, thread_id: str) -> Thread:
        return Thread(self, self.call(self.asynchronous.thread_unarchive(thread_id)))

    def login_chatgpt(self, *, open_browser: bool = False) -> ChatgptLoginHandle:
        """Sign in with the browser of this machine. Raises LoginError when no port is free for it."""
        from ..auth.handles import ChatgptLoginHandle

        return ChatgptLoginHandle(self.call(self.asynchronous.login_chatgpt(open_browser=open_browser)))

    def login_chatgpt_pasted(self) -> ChatgptLoginHandle:
        """Sign in with a browser elsewhere, whose last address is given to `paste`."""
        from ..auth.handles import ChatgptLoginHandle

        return ChatgptLoginHandle(self.call(self.asynchronous.login_chatgpt_pasted()))

    def login_chatgpt_device_code(self) -> DeviceCodeLoginHandle:
        """Sign in with a code typed into any browser. Raises LoginError when that is switched off."""
        from ..auth.handles import DeviceCodeLoginHandle

        return DeviceCodeLoginHandle(self.call(self.asynchronous.login_chatgpt_device_code()))

    def login_api_key(self, api_key: str) -> None:
        """Store a key, which is not tried. Raises LoginError for what can be none."""
        self.call(self.asynchronous.login_api_key(api_key))

    def logout(self) -> None:
        """Sign out here and, if it can be reached, at the service."""
        self.call(self.asynchronous.logout())

    def account(self, *, refresh_token: bool = False) -> GetAccountResponse:
        """Who is signed in; with `refresh_token` the service is asked whether that still holds."""
        return self.call(self.asynchronous.account(refresh_token=refresh_token))

    def models(self, *, provider: str | Provider | None = None, include_hidden: bool = False) -> ModelList:
        """The catalog of the agent's program, or of the provider that is asked directly; best first."""
        return self.call(self.asynchronous.models(provider=provider, include_hidden=include_hidden))

    def rate_limits(self) -> RateLimits:
        """How much of the ChatGPT plan is left. Raises NotSignedInError, ConfigurationError for an API key."""
        return self.call(self.asynchronous.rate_limits())


EXIT_SECONDS = 2.0
"""How long the end of a process may wait for the store."""

_open: WeakSet[Codex] = WeakSet()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # what runs is the parent's


@atexit.register
def keep_running() -> None:
    """Write what came of all turns that run; whoever starts this package next tells them as interrupted."""
    keeping = [codex.submit(codex.asynchronous.keep()) for codex in list(_open) if codex.asynchronous.busy]
    concurrent.futures.wait(keeping, timeout=EXIT_SECONDS)


class Thread:
    """One kept conversation."""

    def __init__(self, codex: Codex, asynchronous: AsyncThread) -> None:
        self._codex = codex
        self.asynchronous = asynchronous

    @property
    def id(self) -> str:
        return self.asynchronous.id

    @takes(TurnOptions)
    def turn(self, input: RunInput, **options: Unpack[TurnOptions]) -> TurnHandle:
        """Start a turn. Raises NotSignedInError, ConfigurationError; TypeError, OptionError for the options."""
        return TurnHandle(self._codex, self._codex.call(self.asynchronous.turn(input, **options)))

    @takes(TurnOptions)
    def run(self, input: RunInput, **options: Unpack[TurnOptions]) -> TurnResult:
        """Start a turn and wait for its end. Raises what the turn failed with."""
        return self.turn(input, **options).run()

    def compact(self) -> TurnResult:
        """Shorten what the model is sent of the turns so far, and wait until that is done."""
        return self._codex.call(self.asynchronous.compact())

    def history(self, *, include_items: bool = True) -> list[TurnRecord]:
        """Its turns, oldest first, each in its latest version, with their items unless these are not needed."""
        return self._codex.call(self.asynchronous.history(include_items=include_items))

    def read(self, *, include_turns: bool = False) -> ThreadReadResponse:
        """What is known of it now, with its turns if asked for. Raises ThreadNotFoundError."""
        return self._codex.call(self.asynchronous.read(include_turns=include_turns))

    def revert(self, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread. Raises OptionError when it is not in it."""
        self._codex.call(self.asynchronous.revert(before_turn_id))

    def set_name(self, name: str) -> None:
        self._codex.call(self.asynchronous.set_name(name))


class TurnHandle:
    """One turn in progress."""

    def __init__(self, codex: Codex, asynchronous: AsyncTurnHandle) -> None:
        self._codex = codex
        self.asynchronous = asynchronous

    @property
    def id(self) -> str:
        return self.asynchronous.id

    @property
    def thread_id(self) -> str:
        return self.asynchronous.thread_id

    def stream(self) -> Iterator[Notification]:
        """Every notification from the first on. Leaving early interrupts the turn."""
        self.asynchronous.check_process()
        batches: SimpleQueue[list[Notification]] = SimpleQueue()
        self._codex.submit(_batched(self.asynchronous, batches.put))
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

    def interrupt(self) -> None:
        """Stop the turn and wait until it has ended. What arrived is kept. Harmless when over."""
        self._codex.call(self.asynchronous.interrupt())

    def steer(self, input: RunInput) -> TurnSteerResponse:
        """Say more while it answers. Raises InvalidRequestError when it takes no more."""
        return self._codex.call(self.asynchronous.steer(input))

    def run(self) -> TurnResult:
        """Wait for the end. Raises the turn's error, with the partial `TurnResult` as `.result`."""
        return self._codex.call(self.asynchronous.run())


async def _batched(handle: AsyncTurnHandle, put: Callable[[list[Notification]], None]) -> None:
    """Call `put` with all that is told in one step of the loop: to wake a thread costs more than to tell it."""
    loop = asyncio.get_running_loop()
    batch: list[Notification] = []

    def tell(notification: Notification) -> None:
        if not batch:
            loop.call_soon(flush)
        batch.append(notification)

    def flush() -> None:
        put(batch.copy())
        batch.clear()

    handle.subscribe(tell)
