"""`AsyncCodex` and `Codex`: threads and turns on an engine, kept in the store.

`AsyncCodex` belongs to the event loop it is first used in. `Codex` is the same object driven through
one background loop, so it works in scripts, in cells and beside a running event loop alike.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from ..auth.http import ChatGPTAuth
from ..auth.storage import Storage
from ..auth.tokens import TokenSource
from ..auth.waiting import wait
from ..engines.approvals import Approvals
from ..engines.backend import BackendEngine
from ..engines.seam import Continuation, Engine, TurnRequest
from ..engines.tools import Tool, ToolSet
from ..protocol.account import GetAccountResponse
from ..protocol.errors import CodexError, ConfigurationError, InvalidRequestError
from ..protocol.ids import new_id
from ..protocol.settings import Settings
from ..protocol.types import (
    ApprovalMode,
    Notification,
    RunInput,
    Sandbox,
    TurnCompleted,
    TurnResult,
    as_inputs,
    input_text,
)
from ..responses.catalog import Model
from ..responses.provider import Provider, chatgpt, custom, openai
from .async_store import AsyncStore
from .history import history_items
from .instructions import DEFAULT_INSTRUCTIONS
from .loop import BackgroundLoop
from .places import continuation, past_of
from .relay import Relay
from .store import Store, ThreadPage, ThreadRecord, TurnRecord
from .turns import AsyncTurnHandle, Listener

if TYPE_CHECKING:
    from ..auth.handles import (
        AsyncChatgptLoginHandle,
        AsyncDeviceCodeLoginHandle,
        ChatgptLoginHandle,
        DeviceCodeLoginHandle,
    )
    from ..engines.app_server.engine import AppServerEngine
    from .accounts import AsyncAccounts

T = TypeVar("T")

EngineName = Literal["backend", "app-server"]
"""`backend`: HTTP, in process. `app-server`: the codex program, which edits files and runs commands."""


class CodexConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a `Codex` starts from; every field has a working default.

    `provider`: `chatgpt`, `openai`, the base URL of a server that speaks the Responses API, or a
    `Provider`; `None` takes `chatgpt` when signed in, else `openai` when a key is set. The app-server
    goes by its own configuration, unless it is given another server's address.
    `instructions`: what the model is told about where it is.
    """

    settings: Settings | None = None
    provider: str | Provider | None = None
    model: str | None = None
    instructions: str = DEFAULT_INSTRUCTIONS
    engine: EngineName = "backend"
    approvals: Approvals | None = None
    """Asked before an action that needs a yes; see `engines.approvals`."""


class ThreadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a thread may set for its turns. Not kept: give them again to `thread_resume`.

    All but `model_provider` and `developer_instructions` are the app-server engine's.
    `tools`: Python functions, or `Tool`s, that the model may call.
    """

    approval_mode: ApprovalMode | None = None
    approvals: Approvals | None = None
    base_instructions: str | None = None
    config: dict[str, Any] | None = None
    developer_instructions: str | None = None
    ephemeral: bool | None = None
    model_provider: str | Provider | None = None
    personality: str | None = None
    sandbox: Sandbox | None = None
    tools: tuple[Tool | Callable[..., Any], ...] = ()


class TurnOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn may set; `None` leaves it to the thread, the configuration or the service."""

    model: str | None = None
    model_provider: str | Provider | None = None
    instructions: str | None = None
    effort: str | None = None
    summary: str | None = "auto"
    verbosity: str | None = None
    service_tier: str | None = None
    output_schema: dict[str, Any] | None = None
    cell_id: str | None = None
    engine: EngineName | None = None
    approval_mode: ApprovalMode | None = None
    approvals: Approvals | None = None
    cwd: str | None = None
    personality: str | None = None
    sandbox: Sandbox | None = None
    """It holds for the turns after this one too."""


class AsyncCodex:
    """Threads on an engine. Nothing is opened before the first use.

    Use it as `async with AsyncCodex() as codex:` or call `close()`.
    """

    def __init__(self, config: CodexConfig | None = None) -> None:
        self.config = config or CodexConfig()
        self.settings = self.config.settings or Settings.from_env()
        self.store = AsyncStore(self.settings.home / "threads.db")
        self._providers: dict[str, Provider] = {}
        self._engines: dict[tuple[str, str], BackendEngine] = {}
        self._agents: dict[str, AppServerEngine] = {}
        self._running: set[AsyncTurnHandle] = set()
        self._beginning: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._sources: list[TokenSource] = []

    async def __aenter__(self) -> AsyncCodex:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @cached_property
    def _accounts(self) -> AsyncAccounts:
        from .accounts import AsyncAccounts  # signing in is rare, and its imports are not small

        return AsyncAccounts(self.settings, self._sources, needed=self._needs_sign_in())

    async def close(self) -> None:
        """Interrupt what runs, then close connections and the store."""
        for handle in list(self._running):
            await handle.interrupt()
        if "_accounts" in vars(self):
            await self._accounts.close()
        engines: list[Engine] = [*self._engines.values(), *self._agents.values()]
        for engine in engines:
            await engine.close()
        self._engines.clear()
        self._agents.clear()
        await self.store.close()

    async def thread_start(
        self, *, model: str | None = None, cwd: str | None = None, name: str | None = None, **options: Any
    ) -> AsyncThread:
        """A new, empty thread; `options` as in `ThreadOptions`."""
        settings = ThreadOptions(**options)
        engine = self.config.engine
        record = await self.store.run(
            lambda store: store.create_thread(cwd=cwd or os.getcwd(), model=model, name=name, engine=engine)
        )
        return AsyncThread(self, record, settings)

    async def thread_resume(
        self, thread_id: str, *, model: str | None = None, cwd: str | None = None, **options: Any
    ) -> AsyncThread:
        """Go on with a kept thread; `options` as in `ThreadOptions`. Raises ThreadNotFoundError."""
        settings = ThreadOptions(**options)
        record = await self.store.run(lambda store: store.thread(thread_id))
        return AsyncThread(self, _changed(record, model=model, cwd=cwd), settings)

    async def thread_fork(
        self, thread_id: str, *, model: str | None = None, cwd: str | None = None, **options: Any
    ) -> AsyncThread:
        """A new thread that shares the past of another one. Raises ThreadNotFoundError."""
        settings = ThreadOptions(**options)
        record = await self.store.run(lambda store: store.fork(thread_id))
        return AsyncThread(self, _changed(record, model=model, cwd=cwd), settings)

    async def thread_list(
        self,
        *,
        archived: bool = False,
        cursor: str | None = None,
        cwd: str | None = None,
        limit: int = 20,
        search: str | None = None,
    ) -> ThreadPage:
        """A page of threads, the newest first."""
        return await self.store.run(
            lambda store: store.threads(archived=archived, cursor=cursor, cwd=cwd, limit=limit, search=search)
        )

    async def thread_archive(self, thread_id: str) -> None:
        await self.store.run(lambda store: store.archive(thread_id))

    async def thread_unarchive(self, thread_id: str) -> AsyncThread:
        await self.store.run(lambda store: store.unarchive(thread_id))
        return await self.thread_resume(thread_id)

    async def models(
        self, *, provider: str | Provider | None = None, include_hidden: bool = False
    ) -> list[Model]:
        """The provider's catalog, best first."""
        engine = self._engine(self.provider(provider))
        found = await engine.models()
        return [model for model in found if include_hidden or not model.hidden]

    async def login_chatgpt(self, *, open_browser: bool = False) -> AsyncChatgptLoginHandle:
        """Sign in with the browser of this machine. Raises LoginError when no port is free for it."""
        return await self._accounts.by_browser(open_browser=open_browser)

    async def login_chatgpt_pasted(self) -> AsyncChatgptLoginHandle:
        """Sign in with a browser elsewhere, whose last address is given to `paste`."""
        return await self._accounts.by_pasting()

    async def login_chatgpt_device_code(self) -> AsyncDeviceCodeLoginHandle:
        """Sign in with a code typed into any browser. Raises LoginError when that is switched off."""
        return await self._accounts.by_device_code()

    async def login_api_key(self, api_key: str) -> None:
        """Store a key, which is not tried. Raises LoginError for what can be none."""
        await self._accounts.by_api_key(api_key)

    async def logout(self) -> None:
        """Sign out here and, if it can be reached, at the service."""
        await self._accounts.logout()

    async def account(self, *, refresh_token: bool = False) -> GetAccountResponse:
        """Who is signed in; with `refresh_token` the service is asked whether that still holds."""
        return await self._accounts.account(refresh=refresh_token)

    def provider(self, choice: str | Provider | None = None) -> Provider:
        """The provider that `choice`, else the configuration, else what is signed in, stands for."""
        choice = choice or self.config.provider or signed_in_provider(self.settings)
        if isinstance(choice, Provider):
            return choice
        if choice not in self._providers:
            self._providers[choice] = named_provider(choice, self.settings)
        return self._providers[choice]

    async def start_turn(
        self,
        thread: ThreadRecord,
        prompt: RunInput,
        options: TurnOptions,
        settings: ThreadOptions,
    ) -> AsyncTurnHandle:
        """Begin a turn. In the app-server one turn of a thread begins when the one before has ended."""
        engine, answerer = self._choose(options, settings)
        if isinstance(engine, BackendEngine):
            return await self._begin_turn(thread, prompt, options, settings, engine, answerer)
        async with self._beginning[thread.id]:
            for handle in [each for each in self._running if each.thread_id == thread.id]:
                await handle.ended()
            return await self._begin_turn(thread, prompt, options, settings, engine, answerer)

    async def _begin_turn(
        self,
        thread: ThreadRecord,
        prompt: RunInput,
        options: TurnOptions,
        settings: ThreadOptions,
        engine: Engine,
        answerer: str,
    ) -> AsyncTurnHandle:
        inputs = as_inputs(prompt)
        turn_id = new_id()

        def begin(store: Store) -> tuple[tuple[dict[str, Any], ...], str, Continuation | None]:
            turn = store.begin_turn(
                thread.id,
                turn_id=turn_id,
                cell_id=options.cell_id,
                preview=input_text(inputs),
                provider=answerer,
            )
            turns = store.history(thread.id, before_position=turn.position)
            known = store.places([turn.id for turn in turns])
            history = history_items(turns, provider=answerer)
            return history, past_of(turns), continuation(thread.id, turns, *known)

        history, past, goes_on = await self.store.run(begin)
        request = TurnRequest(
            thread_id=thread.id,
            turn_id=turn_id,
            inputs=inputs,
            history=history,
            instructions=options.instructions or settings.developer_instructions or self.config.instructions,
            model=options.model or thread.model or self.config.model,
            effort=options.effort,
            summary=options.summary,
            verbosity=options.verbosity,
            service_tier=options.service_tier,
            output_schema=options.output_schema,
            cell_id=options.cell_id,
            cwd=options.cwd or thread.cwd,
            sandbox=options.sandbox or settings.sandbox,
            approval_mode=options.approval_mode or settings.approval_mode,
            approvals=options.approvals or settings.approvals or self.config.approvals,
            tools=ToolSet(settings.tools) if settings.tools else None,
            personality=options.personality or settings.personality,
            base_instructions=settings.base_instructions,
            config=settings.config,
            ephemeral=settings.ephemeral,
            past=past,
            continuation=goes_on,
        )
        handle = AsyncTurnHandle(engine, request, self.store)
        self._running.add(handle)
        handle.subscribe(lambda told: self._forget(handle) if isinstance(told, TurnCompleted) else None)
        return handle

    def _choose(self, options: TurnOptions, settings: ThreadOptions) -> tuple[Engine, str]:
        """The engine of a turn, and whose encrypted reasoning it can be sent."""
        choice = options.model_provider or settings.model_provider
        if (options.engine or self.config.engine) == "backend":
            if settings.tools:
                raise InvalidRequestError(
                    "A thread with tools needs the agent.", hint='Use CodexConfig(engine="app-server").'
                )
            provider = self.provider(choice)
            return self._engine(provider), _answerer(provider)
        choice = choice or self.config.provider
        if choice is None or choice in _NAMED:
            return self._agent(None), "app-server"
        provider = self.provider(choice)
        return self._agent(provider), f"app-server {provider.name}"

    def _needs_sign_in(self) -> bool:
        choice = self.config.provider
        name = choice.name if isinstance(choice, Provider) else choice
        return name is None or name in _NAMED

    def _forget(self, handle: AsyncTurnHandle) -> None:
        self._running.discard(handle)

    def _engine(self, provider: Provider) -> BackendEngine:
        key = provider.name, provider.base_url
        if key not in self._engines:
            self._engines[key] = BackendEngine(provider, self.settings)
            if isinstance(provider.auth, ChatGPTAuth):
                self._sources.append(provider.auth.source)
        return self._engines[key]

    def _agent(self, provider: Provider | None) -> AppServerEngine:
        """One process for each server that it is pointed to."""
        from ..engines.app_server.engine import AppServerEngine  # a question to the backend needs none of it

        key = provider.base_url if provider else ""
        if key not in self._agents:
            self._agents[key] = AppServerEngine(self.settings, provider)
        return self._agents[key]


class AsyncThread:
    """One kept conversation."""

    def __init__(self, codex: AsyncCodex, record: ThreadRecord, settings: ThreadOptions) -> None:
        self._codex = codex
        self._record = record
        self._settings = settings

    @property
    def id(self) -> str:
        return self._record.id

    async def turn(self, input: RunInput, **options: Any) -> AsyncTurnHandle:
        """Start a turn; `options` as in `TurnOptions`. Raises NotSignedInError, ConfigurationError."""
        return await self._codex.start_turn(self._record, input, TurnOptions(**options), self._settings)

    async def run(self, input: RunInput, **options: Any) -> TurnResult:
        """Start a turn and wait for its end. Raises what the turn failed with."""
        handle = await self.turn(input, **options)
        return await handle.run()

    async def read(self) -> list[TurnRecord]:
        """Its turns with their items, oldest first, each in its latest version."""
        return await self._codex.store.run(lambda store: store.history(self.id))

    async def set_name(self, name: str) -> None:
        await self._codex.store.run(lambda store: store.set_name(self.id, name))


class Codex:
    """`AsyncCodex` for code that does not await."""

    def __init__(self, config: CodexConfig | None = None) -> None:
        self._loop = BackgroundLoop()
        self.asynchronous = AsyncCodex(config)

    def __enter__(self) -> Codex:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

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

    def thread_start(
        self, *, model: str | None = None, cwd: str | None = None, name: str | None = None, **options: Any
    ) -> Thread:
        """A new, empty thread; `options` as in `ThreadOptions`."""
        work = self.asynchronous.thread_start(model=model, cwd=cwd, name=name, **options)
        return Thread(self, self.call(work))

    def thread_resume(
        self, thread_id: str, *, model: str | None = None, cwd: str | None = None, **options: Any
    ) -> Thread:
        """Go on with a kept thread; `options` as in `ThreadOptions`. Raises ThreadNotFoundError."""
        work = self.asynchronous.thread_resume(thread_id, model=model, cwd=cwd, **options)
        return Thread(self, self.call(work))

    def thread_fork(
        self, thread_id: str, *, model: str | None = None, cwd: str | None = None, **options: Any
    ) -> Thread:
        """A new thread that shares the past of another one. Raises ThreadNotFoundError."""
        work = self.asynchronous.thread_fork(thread_id, model=model, cwd=cwd, **options)
        return Thread(self, self.call(work))

    def thread_list(
        self,
        *,
        archived: bool = False,
        cursor: str | None = None,
        cwd: str | None = None,
        limit: int = 20,
        search: str | None = None,
    ) -> ThreadPage:
        """A page of threads, the newest first."""
        return self.call(
            self.asynchronous.thread_list(
                archived=archived, cursor=cursor, cwd=cwd, limit=limit, search=search
            )
        )

    def thread_archive(self, thread_id: str) -> None:
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

    def models(self, *, provider: str | Provider | None = None, include_hidden: bool = False) -> list[Model]:
        """The provider's catalog, best first."""
        return self.call(self.asynchronous.models(provider=provider, include_hidden=include_hidden))


class Thread:
    """One kept conversation."""

    def __init__(self, codex: Codex, asynchronous: AsyncThread) -> None:
        self._codex = codex
        self.asynchronous = asynchronous

    @property
    def id(self) -> str:
        return self.asynchronous.id

    def turn(self, input: RunInput, **options: Any) -> TurnHandle:
        """Start a turn; `options` as in `TurnOptions`. Raises NotSignedInError, ConfigurationError."""
        return TurnHandle(self._codex, self._codex.call(self.asynchronous.turn(input, **options)))

    def run(self, input: RunInput, **options: Any) -> TurnResult:
        """Start a turn and wait for its end. Raises what the turn failed with."""
        return self.turn(input, **options).run()

    def read(self) -> list[TurnRecord]:
        """Its turns with their items, oldest first, each in its latest version."""
        return self._codex.call(self.asynchronous.read())

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

    def stream(self) -> Iterator[Notification]:
        """Every notification from the first on. Leaving early interrupts the turn."""
        relay: Relay[Notification] = Relay()
        self._codex.call(_subscribed(self.asynchronous, relay.put))
        try:
            while True:
                wait(relay.ready())
                for notification in relay.take():
                    yield notification
                    if isinstance(notification, TurnCompleted):
                        return
        finally:
            if self.asynchronous.result is None:
                self.interrupt()

    def interrupt(self) -> None:
        """Stop the turn and wait until it has ended. What arrived is kept. Harmless when over."""
        self._codex.call(self.asynchronous.interrupt())

    def steer(self, input: RunInput) -> None:
        """Say more while it answers. Raises InvalidRequestError when it takes no more."""
        self._codex.call(self.asynchronous.steer(input))

    def run(self) -> TurnResult:
        """Wait for the end. Raises the turn's error, with the partial `TurnResult` as `.result`."""
        return self._codex.call(self.asynchronous.run())


async def _subscribed(handle: AsyncTurnHandle, listener: Listener) -> None:
    handle.subscribe(listener)


def _changed(record: ThreadRecord, *, model: str | None, cwd: str | None) -> ThreadRecord:
    return msgspec.structs.replace(record, model=model or record.model, cwd=cwd or record.cwd)


def _answerer(provider: Provider) -> str:
    """Whose encrypted reasoning this is: that of a provider and, where there are several, an account."""
    if not isinstance(provider.auth, ChatGPTAuth):
        return provider.name
    try:
        return f"{provider.name} {provider.auth.source.current().account_id}"
    except CodexError:
        return provider.name  # nothing will be answered; the request will say why


def named_provider(name: str, settings: Settings) -> Provider:
    """The provider a word or a base URL stands for. Raises ConfigurationError for another word."""
    if name in _NAMED:
        return _NAMED[name](settings)
    if name.startswith(("http://", "https://")):
        return custom(name, name=name.rstrip("/"), settings=settings)
    raise ConfigurationError(
        f"There is no provider {name!r}.",
        hint="Use chatgpt, openai, local or the base URL of a Responses server.",
    )


_NAMED: dict[str, Callable[[Settings], Provider]] = {"chatgpt": chatgpt, "openai": openai}


def signed_in_provider(settings: Settings) -> str:
    """`chatgpt` when signed in with it, else `openai` when there is a key, else `chatgpt`."""
    credentials = Storage.of(settings).read()
    if credentials is not None:
        return "chatgpt" if credentials.mode == "chatgpt" else "openai"
    return "openai" if settings.openai_api_key else "chatgpt"
