"""`AsyncCodex` and `Codex`: threads and turns on an engine, kept in the store.

`AsyncCodex` belongs to the event loop it is first used in. `Codex` is the same object driven through
one background loop, so it works in scripts, in cells and beside a running event loop alike.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future
from functools import cached_property
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from ..auth.http import ChatGPTAuth
from ..auth.storage import Storage
from ..auth.waiting import taken
from ..engines.approvals import Approvals
from ..engines.backend import BackendEngine
from ..engines.seam import Continuation, Engine, TurnRequest
from ..engines.tools import ToolSet
from ..protocol.account import GetAccountResponse
from ..protocol.errors import CodexError, ConfigurationError, InvalidRequestError
from ..protocol.ids import new_id
from ..protocol.settings import Settings
from ..protocol.types import (
    Notification,
    RunInput,
    Turn,
    TurnCompleted,
    TurnResult,
    TurnSteerResponse,
    as_inputs,
    input_text,
)
from ..responses.catalog import Model
from ..responses.parameters import takes
from ..responses.provider import Provider, chatgpt, custom, openai
from .async_store import AsyncStore
from .history import history_items
from .instructions import DEFAULT_INSTRUCTIONS
from .loop import BackgroundLoop
from .options import LASTING, EngineName, Options, ThreadOptions, TurnOptions, checked
from .places import continuation, past_of
from .store import Store, ThreadDetails, ThreadPage, ThreadReadResponse, ThreadRecord, TurnRecord
from .turns import AsyncTurnHandle, Work

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..auth.handles import (
        AsyncChatgptLoginHandle,
        AsyncDeviceCodeLoginHandle,
        ChatgptLoginHandle,
        DeviceCodeLoginHandle,
    )
    from ..engines.app_server.engine import AppServerEngine
    from .accounts import AsyncAccounts, Follower

T = TypeVar("T")

PAGE = 20
"""Threads in a list, unless asked for more or fewer."""


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
        self._followers: list[Follower] = []

    async def __aenter__(self) -> AsyncCodex:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    @cached_property
    def _accounts(self) -> AsyncAccounts:
        from .accounts import AsyncAccounts  # signing in is rare, and its imports are not small

        return AsyncAccounts(self.settings, self._followers, needed=self._needs_sign_in())

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

    @takes(ThreadOptions)
    async def thread_start(self, *, name: str | None = None, **options: Unpack[ThreadOptions]) -> AsyncThread:
        """A new, empty thread. Raises TypeError, OptionError for options that can't be."""
        given = checked("thread_start", ThreadOptions, options)
        cwd, model = given.get("cwd") or os.getcwd(), given.get("model")
        engine = given.get("engine") or self.config.engine
        record = await self.store.run(
            lambda store: store.create_thread(cwd=cwd, model=model, name=name, engine=engine)
        )
        return AsyncThread(self, record, given)

    @takes(ThreadOptions)
    async def thread_resume(self, thread_id: str, **options: Unpack[ThreadOptions]) -> AsyncThread:
        """Go on with a kept thread. Raises ThreadNotFoundError."""
        given = checked("thread_resume", ThreadOptions, options)
        return AsyncThread(self, await self.store.run(lambda store: store.thread(thread_id)), given)

    @takes(ThreadOptions)
    async def thread_fork(
        self,
        thread_id: str,
        *,
        last_turn_id: str | None = None,
        before_turn_id: str | None = None,
        **options: Unpack[ThreadOptions],
    ) -> AsyncThread:
        """A new thread that shares the past of another one, all of it or as far as one turn.

        `last_turn_id` is the last one shared, `before_turn_id` the first one that is not. Raises
        ThreadNotFoundError, and OptionError for a turn that is not in the thread.
        """
        given = checked("thread_fork", ThreadOptions, options)
        record = await self.store.run(
            lambda store: store.fork(thread_id, through=last_turn_id, before=before_turn_id)
        )
        return AsyncThread(self, record, given)

    async def thread_list(
        self,
        *,
        archived: bool | None = None,
        cursor: str | None = None,
        cwd: str | Sequence[str] | None = None,
        limit: int | None = None,
        model_providers: Sequence[str] | None = None,
        search_term: str | None = None,
        sort_direction: Literal["asc", "desc"] | None = None,
        sort_key: Literal["created_at", "updated_at", "recency_at"] | None = None,
    ) -> ThreadPage:
        """A page of threads, the latest used first unless `sort_key` and `sort_direction` say otherwise."""
        return await self.store.run(
            lambda store: store.threads(
                archived=bool(archived),
                cursor=cursor,
                cwd=cwd,
                limit=limit or PAGE,
                model_providers=model_providers,
                search_term=search_term,
                sort_direction=sort_direction or "desc",
                sort_key=sort_key or "updated_at",
            )
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

    async def start_turn(self, thread: ThreadRecord, prompt: RunInput, options: Options) -> AsyncTurnHandle:
        """Begin a turn when the one before in its thread has ended.

        `options`: all that holds for it, `ThreadOptions` and `TurnOptions` in one.
        """
        engine, answerer = self._choose(options)
        return await self._begin_turn(thread, prompt, options, engine, answerer, engine.run)

    async def compact(self, thread: ThreadRecord, options: Options) -> AsyncTurnHandle:
        """Begin a turn that shortens what the model is sent of the ones before."""
        engine, answerer = self._choose(options)
        return await self._begin_turn(thread, [], options, engine, answerer, engine.compact)

    async def _begin_turn(
        self,
        thread: ThreadRecord,
        prompt: RunInput,
        options: Options,
        engine: Engine,
        answerer: str,
        work: Work,
    ) -> AsyncTurnHandle:
        async with self._beginning[thread.id]:
            for handle in [each for each in self._running if each.thread_id == thread.id]:
                await handle.ended()
            request = await self._kept_request(thread, prompt, options, answerer)
            handle = AsyncTurnHandle(engine, request, self.store, work=work)
            self._running.add(handle)
        handle.subscribe(lambda told: self._forget(handle) if isinstance(told, TurnCompleted) else None)
        return handle

    async def _kept_request(
        self, thread: ThreadRecord, prompt: RunInput, options: Options, answerer: str
    ) -> TurnRequest:
        """The request of a new turn, which is in the store from then on."""
        inputs = as_inputs(prompt)
        turn_id = new_id()

        def begin(store: Store) -> tuple[tuple[dict[str, Any], ...], str, Continuation | None]:
            turn = store.begin_turn(
                thread.id,
                turn_id=turn_id,
                cell_id=options.get("cell_id"),
                preview=input_text(inputs),
                provider=answerer,
            )
            turns = store.history(thread.id, before_position=turn.position)
            known = store.places([turn.id for turn in turns])
            history = history_items(turns, provider=answerer)
            return history, past_of(turns), continuation(thread.id, turns, *known)

        history, past, goes_on = await self.store.run(begin)
        config = self.config
        tools = options.get("tools")
        return TurnRequest(
            thread_id=thread.id,
            turn_id=turn_id,
            inputs=inputs,
            history=history,
            instructions=options.get("instructions")
            or options.get("developer_instructions")
            or config.instructions,
            model=options.get("model") or thread.model or config.model,
            cwd=options.get("cwd") or thread.cwd,
            service_tier=options.get("turn_service_tier") or options.get("service_tier"),
            summary=options.get("summary", "auto"),
            approvals=options.get("approvals") or config.approvals,
            tools=ToolSet(tools) if tools else None,
            past=past,
            continuation=goes_on,
            **{name: options[name] for name in _AS_GIVEN if name in options},
        )

    def _choose(self, options: Options) -> tuple[Engine, str]:
        """The engine of a turn, and whose encrypted reasoning it can be sent."""
        choice = options.get("model_provider")
        if (options.get("engine") or self.config.engine) == "backend":
            if options.get("tools"):
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
                self._followers.append(provider.auth.source)
        return self._engines[key]

    def _agent(self, provider: Provider | None) -> AppServerEngine:
        """One process for each server that it is pointed to."""
        from ..engines.app_server.engine import AppServerEngine  # a question to the backend needs none of it

        key = provider.base_url if provider else ""
        if key not in self._agents:
            self._agents[key] = AppServerEngine(self.settings, provider)
            self._followers.append(self._agents[key])
        return self._agents[key]


class AsyncThread:
    """One kept conversation. `options`: what holds for its turns."""

    def __init__(self, codex: AsyncCodex, record: ThreadRecord, options: Options) -> None:
        self._codex = codex
        self._options = options
        self.record = record

    @property
    def id(self) -> str:
        return self.record.id

    @takes(TurnOptions)
    async def turn(self, input: RunInput, **options: Unpack[TurnOptions]) -> AsyncTurnHandle:
        """Start a turn. Raises NotSignedInError, ConfigurationError; TypeError, OptionError for the options."""
        given = checked("turn", TurnOptions, options)
        handle = await self._codex.start_turn(self.record, input, {**self._options, **given})
        self._options |= {name: given[name] for name in LASTING if name in given}
        return handle

    @takes(TurnOptions)
    async def run(self, input: RunInput, **options: Unpack[TurnOptions]) -> TurnResult:
        """Start a turn and wait for its end. Raises what the turn failed with."""
        handle = await self.turn(input, **options)
        return await handle.run()

    async def compact(self) -> TurnResult:
        """Shorten what the model is sent of the turns so far, and wait until that is done."""
        handle = await self._codex.compact(self.record, self._options)
        return await handle.run()

    async def history(self) -> list[TurnRecord]:
        """Its turns with their items, oldest first, each in its latest version."""
        return await self._codex.store.run(lambda store: store.history(self.id))

    async def read(self, *, include_turns: bool = False) -> ThreadReadResponse:
        """What is known of it now, with its turns if asked for. Raises ThreadNotFoundError."""
        record = await self._codex.store.run(lambda store: store.thread(self.id))
        turns = tuple(map(_shown_turn, await self.history())) if include_turns else ()
        return ThreadReadResponse(ThreadDetails(**msgspec.structs.asdict(record), turns=turns))

    async def revert(self, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread. Raises OptionError when it is not in it."""
        await self._codex.store.run(lambda store: store.revert(self.id, before_turn_id))

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

    @takes(ThreadOptions)
    def thread_start(self, *, name: str | None = None, **options: Unpack[ThreadOptions]) -> Thread:
        """A new, empty thread. Raises TypeError, OptionError for options that can't be."""
        return Thread(self, self.call(self.asynchronous.thread_start(name=name, **options)))

    @takes(ThreadOptions)
    def thread_resume(self, thread_id: str, **options: Unpack[ThreadOptions]) -> Thread:
        """Go on with a kept thread. Raises ThreadNotFoundError."""
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

        `last_turn_id` is the last one shared, `before_turn_id` the first one that is not. Raises
        ThreadNotFoundError, and OptionError for a turn that is not in the thread.
        """
        work = self.asynchronous.thread_fork(
            thread_id, last_turn_id=last_turn_id, before_turn_id=before_turn_id, **options
        )
        return Thread(self, self.call(work))

    def thread_list(
        self,
        *,
        archived: bool | None = None,
        cursor: str | None = None,
        cwd: str | Sequence[str] | None = None,
        limit: int | None = None,
        model_providers: Sequence[str] | None = None,
        search_term: str | None = None,
        sort_direction: Literal["asc", "desc"] | None = None,
        sort_key: Literal["created_at", "updated_at", "recency_at"] | None = None,
    ) -> ThreadPage:
        """A page of threads, the latest used first unless `sort_key` and `sort_direction` say otherwise."""
        work = self.asynchronous.thread_list(
            archived=archived,
            cursor=cursor,
            cwd=cwd,
            limit=limit,
            model_providers=model_providers,
            search_term=search_term,
            sort_direction=sort_direction,
            sort_key=sort_key,
        )
        return self.call(work)

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

    def history(self) -> list[TurnRecord]:
        """Its turns with their items, oldest first, each in its latest version."""
        return self._codex.call(self.asynchronous.history())

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

    def stream(self) -> Iterator[Notification]:
        """Every notification from the first on. Leaving early interrupts the turn."""
        batches: SimpleQueue[list[Notification]] = SimpleQueue()
        self._codex.call(_batched(self.asynchronous, batches.put))
        try:
            while True:
                for notification in taken(batches):
                    yield notification
                    if isinstance(notification, TurnCompleted):
                        return
        finally:
            if self.asynchronous.result is None:
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


_AS_GIVEN = set(TurnRequest.__struct_fields__) & {
    *ThreadOptions.__annotations__,
    *TurnOptions.__annotations__,
} - {"approvals", "cwd", "instructions", "model", "service_tier", "summary", "tools"}
"""Options that reach the engine as they are."""


def _shown_turn(turn: TurnRecord) -> Turn:
    """A stored turn in the protocol's words."""
    return Turn(
        id=turn.id,
        status=turn.status,
        items=tuple(entry.item for entry in turn.items),
        error=turn.error,
        started_at=turn.started_at,
        completed_at=turn.completed_at,
        duration_ms=turn.duration_ms,
    )


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
