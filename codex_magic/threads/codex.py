"""`AsyncCodex` and `AsyncThread`: threads and turns on an engine, kept in the store.

They belong to one event loop at a time. In the next one, after the first has been closed, they begin anew:
the agent's program too, so `await codex.close()` at the end of each `asyncio.run`. A forked child, too, has
everything but turns that run and ephemeral threads.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from .. import __version__
from ..engines.seam import Engine
from ..protocol import types
from ..protocol.errors import AuthError, CodexError, ConfigurationError, StoreError
from ..protocol.policy import policy_bounds
from ..protocol.settings import Settings
from ..protocol.types import GetAccountResponse, InitializeResponse, RunInput, TurnCompleted, as_inputs
from ..responses.parameters import takes
from ..waiting import awaited, begin_anew_in_children, in_thread
from .history import adopt, as_record, begin_turn, copied_to_memory
from .options import (
    CodexConfig,
    ListOptions,
    Options,
    ThreadOptions,
    TurnOptions,
    check,
    checked,
    is_foreign,
    within_policy,
    working_folder,
)
from .owner import RENEW_SECONDS
from .store import AsyncStore, Store, ThreadDetails, ThreadPage, ThreadReadResponse, ThreadRecord, TurnRecord
from .turns import AsyncTurnHandle, Work

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..auth.handles import AsyncChatgptLoginHandle, AsyncDeviceCodeLoginHandle, AsyncLogin
    from ..auth.sign_in import SignIn, TokenSource
    from ..engines.app_server.engine import AppServerEngine
    from ..engines.backend import BackendEngine
    from ..responses.catalog import Model
    from ..responses.provider import Provider

    L = TypeVar("L", bound=AsyncLogin)

log = logging.getLogger(__name__)


LASTING = ("approval_mode", "cwd", "effort", "model", "personality", "sandbox", "service_tier", "summary")
"""Options of a turn that the app-server keeps for later turns, and so do we, on either engine."""


class ModelList(list["Model"]):
    """Models, best first."""

    @property
    def data(self) -> list[Model]:
        """The same under the protocol's name."""
        return self


class AsyncCodex:
    """Threads on an engine, as `async with AsyncCodex() as codex:`. Nothing is opened before the first use."""

    def __init__(self, config: CodexConfig | None = None) -> None:
        self.config = config or CodexConfig()
        self.settings = self.config.current_settings()
        self._providers: dict[str, Provider] = {}
        self._begin_in_process()
        begin_anew_in_children(self)

    def _begin_in_process(self) -> None:
        self.store = AsyncStore(self.settings.home / "threads.db")
        self._ephemeral: dict[str, AsyncStore] = {}
        """Of each ephemeral thread: a store in memory, with a copy of the past that it was forked from."""
        self._followers: list[TokenSource] = []
        """The token sources that change to another account when somebody signs in here."""
        self._backends: dict[tuple[str, str], BackendEngine] = {}
        self._agents: dict[tuple[str, str | None], AppServerEngine] = {}
        self._begin_in_loop(None)

    def _begin_in_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._running: set[AsyncTurnHandle] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._beginning: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._attempt: AsyncLogin | None = None

    def forked(self) -> object:
        """Begin anew in a forked child; see `waiting.begin_anew_in_children`."""
        left = vars(self).copy()
        self._begin_in_process()
        return left

    def enter_loop(self) -> None:
        """Begin anew where the loop that was used before has ended. Raises ConfigurationError where not."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            hint = "Make one for each loop, or use Codex, which works everywhere."
            raise ConfigurationError("This AsyncCodex is in use in another event loop.", hint=hint)
        while self._agents:
            self._agents.popitem()[1].abandon()
        self._begin_in_loop(loop)

    async def __aenter__(self) -> AsyncCodex:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def start(self) -> InitializeResponse:
        """Start the agent's program, where that is the engine. Raises ConfigurationError when there is none."""
        is_agents = self.config.engine == "app-server"
        return await self._agent().metadata() if is_agents else _this_package(self.settings)

    @property
    def metadata(self) -> InitializeResponse:
        """What answers here: the agent's program, or this package. Raises ConfigurationError before it runs."""
        if self.config.engine != "app-server":
            return _this_package(self.settings)
        from ..engines.app_server.engine import introduction

        if known := self._agent().server.metadata:
            return introduction(known)
        hint = "Use `async with`, or await `start()`."
        raise ConfigurationError("The agent's program is not running yet.", hint=hint)

    async def close(self) -> None:
        """Interrupt what runs, then close connections and the store. What is used later opens them anew."""
        self.enter_loop()
        for handle in list(self._running):
            await handle.interrupt()
        await self.give_up_sign_in()
        open_now: list[Engine | AsyncStore] = [*self._backends.values(), *self._agents.values()]
        open_now += [*self._ephemeral.values(), self.store]
        for each in open_now:
            await each.close()
        self._begin_in_process()

    # Threads -------------------------------------------------------------------------------------

    @takes(ThreadOptions)
    async def thread_start(self, *, name: str | None = None, **options: Unpack[ThreadOptions]) -> AsyncThread:
        """A new, empty thread. Raises TypeError, OptionError for options that can't be."""
        chosen = checked("thread_start", ThreadOptions, options)
        check("name", name, "str | None")
        cwd = chosen.get("cwd") or self.config.cwd or working_folder()
        engine = chosen.get("engine") or self.config.engine
        store = self.store.beside() if chosen.get("ephemeral") else self.store
        values = {"cwd": cwd, "model": chosen.get("model"), "name": name, "engine": engine}
        record = await store.run(lambda file: file.create_thread(**values))
        return self._thread(record, store, chosen)

    @takes(ThreadOptions)
    async def thread_resume(self, thread_id: str, **options: Unpack[ThreadOptions]) -> AsyncThread:
        """Go on with a kept thread. Raises ThreadNotFoundError.

        With the agent also with one that its program keeps: of the Codex CLI, of an editor. Its turns are
        then kept here too; those that were added to it elsewhere come with the next `thread_resume`.
        """
        chosen = checked("thread_resume", ThreadOptions, options)
        return AsyncThread(self, await self._record(thread_id, chosen), chosen)

    @takes(ThreadOptions)
    async def thread_fork(
        self,
        thread_id: str,
        *,
        last_turn_id: str | None = None,
        before_turn_id: str | None = None,
        **options: Unpack[ThreadOptions],
    ) -> AsyncThread:
        """A new thread that shares the past of another one: all of it, up to `last_turn_id`, or `before_turn_id`.

        A fork of an ephemeral thread is one too. Raises ThreadNotFoundError, OptionError for a turn not in it.
        """
        chosen = checked("thread_fork", ThreadOptions, options)
        check("last_turn_id", last_turn_id, "str | None")
        check("before_turn_id", before_turn_id, "str | None")
        thread = await self._record(thread_id, chosen)
        store = self.store_of(thread.id)
        if chosen.get("ephemeral") or store is not self.store:
            store = await copied_to_memory(thread, store)
        upto = {"through": last_turn_id, "before": before_turn_id}
        record = await store.run(lambda file: file.fork(thread.id, **upto))
        return self._thread(record, store, chosen)

    @takes(ListOptions)
    async def thread_list(self, **options: Unpack[ListOptions]) -> ThreadPage:
        """A page of the threads kept here, the latest used first unless `sort_key` and `sort_direction` differ.

        With the agent and `source_kinds` (`cli`, `vscode`, `exec`, `appServer` ...) or `section_id`: of those
        that its program keeps, whoever made them; `thread_resume` goes on with any of them. Over HTTP both are
        ignored. `use_state_db_only`: the program does not look for files that its database misses.
        """
        chosen = checked("thread_list", ListOptions, options)
        if self.config.engine != "app-server" or not chosen.keys() & {"source_kinds", "section_id"}:
            return await self.store.run(lambda store: _recovered(store).threads(**chosen))
        # No providers are all; without the word they are the default's.
        wire = {"archived": False, "model_providers": [], "use_state_db_only": False, **chosen}
        parameters = {name[0] + name.title().replace("_", "")[1:]: value for name, value in wire.items()}
        threads, cursor = await self._agent().threads(parameters)
        return ThreadPage(tuple(as_record(each, archived=wire["archived"]) for each in threads), cursor)

    async def thread_archive(self, thread_id: str) -> None:
        """Leave it out of `thread_list`. Raises ThreadNotFoundError."""
        await self._archive(thread_id, "thread/archive")

    async def thread_unarchive(self, thread_id: str) -> AsyncThread:
        """Put it back into `thread_list`. Raises ThreadNotFoundError."""
        return await self.thread_resume(await self._archive(thread_id, "thread/unarchive"))

    async def _archive(self, thread_id: str, method: str) -> str:
        own_id = (await self._record(thread_id, {})).id
        await self.store_of(own_id).run(lambda store: store.archive(own_id, method == "thread/archive"))
        await self.mirror(own_id, method)
        return own_id

    def store_of(self, thread_id: str) -> AsyncStore:
        """Return where a thread is kept: an ephemeral one in memory."""
        return self._ephemeral.get(thread_id, self.store)

    async def mirror(self, thread_id: str, method: str, **params: Any) -> None:
        """Let the agent's program know too what was done to a thread, as far as it runs and has the thread."""
        self.enter_loop()
        agents = [agent for agent in self._agents.values() if agent.server.running]
        if not agents:
            return
        for program_id in await self.store_of(thread_id).run(lambda store: store.engine_threads(thread_id)):
            for agent in sorted(agents, key=lambda agent: not agent.has_loaded(program_id)):
                if await agent.mirror(program_id, method, params):
                    break

    def _thread(self, record: ThreadRecord, store: AsyncStore, options: Options) -> AsyncThread:
        self._ephemeral |= {record.id: store} if store is not self.store else {}
        return AsyncThread(self, record, options)

    async def _record(self, thread_id: str, options: Options) -> ThreadRecord:
        check("thread_id", thread_id, "str")
        is_agents = (options.get("engine") or self.config.engine) == "app-server"
        if is_agents and thread_id not in self._ephemeral:
            thread_id = await adopt(thread_id, self._agent(options.get("model_provider")), self.store)
        return await self.store_of(thread_id).run(lambda store: store.thread(thread_id))

    # Engines -------------------------------------------------------------------------------------

    def provider(self, choice: str | Provider | None = None) -> Provider:
        """The provider that `choice`, the configuration or the sign-in stands for. Raises ConfigurationError."""
        check("provider", choice, "str | Provider | None")
        choice, settings = choice or self.config.provider, self.settings
        if not choice:
            from ..auth.storage import Storage

            credentials = Storage.of(settings).read()
            is_chatgpt = credentials.mode == "chatgpt" if credentials else not settings.openai_api_key
            choice = self._usual_provider("chatgpt" if is_chatgpt else "openai")
        if not isinstance(choice, str):
            policy_bounds().check("provider", choice.base_url)
            return choice
        if is_foreign(choice):
            hint = "Use chatgpt, openai, local or the base URL of a Responses server."
            raise ConfigurationError(f"There is no provider {choice!r}.", hint=hint)
        if choice not in self._providers:
            from ..responses.provider import chatgpt, custom, openai

            named = {"chatgpt": chatgpt, "openai": openai}.get(choice)
            made = named(settings) if named else custom(choice, name=choice.rstrip("/"), settings=settings)
            self._providers[choice] = made
        policy_bounds().check("provider", self._providers[choice].base_url)
        return self._providers[choice]

    def _usual_provider(self, name: str) -> str:
        """Return that name, or what the policy of this machine has in its place."""
        bounds = policy_bounds()
        addresses = {"chatgpt": self.settings.base_url, "openai": self.settings.openai_base_url}
        in_order = sorted(addresses, key=lambda each: each != name)
        allowed = (each for each in in_order if bounds.allows("provider", addresses[each]))
        return next(allowed, bounds.usual("provider", name))

    async def models(
        self, *, provider: str | Provider | None = None, include_hidden: bool = False
    ) -> ModelList:
        """The catalog of the agent's program, or of the provider that is asked directly; best first."""
        if self._asks_program(provider):
            return ModelList(await self._agent().models(include_hidden=include_hidden))
        models = await self._backend(self.provider(provider)).client.models.list()
        return ModelList(model for model in models if include_hidden or not model.hidden)

    async def rate_limits(self) -> types.RateLimits:
        """How much of the ChatGPT plan is left. Raises NotSignedInError, ConfigurationError for an API key."""
        if self._asks_program():
            return await self._agent().rate_limits()
        from ..responses.client import AsyncClient

        async with AsyncClient(self.provider(), settings=self.settings) as client:
            return (await client.usage()).limits

    async def mcp_servers(self, *, provider: str | Provider | None = None) -> list[types.McpServer]:
        """The MCP servers of the agent's configuration, which its program starts to look. Raises ConfigurationError."""
        return await self._agent(provider).mcp_servers()

    def _asks_program(self, provider: str | Provider | None = None) -> bool:
        """Whether the agent's program answers by its own sign-in, and not a server that it was told."""
        return self.config.engine == "app-server" and self._provider_for_agent(provider) is None

    def _choose(self, options: Options) -> tuple[Engine, str]:
        """Return the engine of a turn, and the identity under which its reasoning is sealed."""
        choice = options.get("model_provider") or self.config.provider
        if (options.get("engine") or self.config.engine) == "app-server":
            agent = self._agent(choice)
            return agent, f"app-server {choice}" if is_foreign(choice) else agent.sealed_for
        provider = self.provider(choice)
        identity, source = provider.name, _token_source(provider)
        with suppress(CodexError):  # else nothing will be answered; the request will say why
            identity += f" {source.current().account_id}" if source else ""
        return self._backend(provider), identity

    def _backend(self, provider: Provider) -> BackendEngine:
        key = provider.name, provider.base_url
        if key not in self._backends:
            from ..engines.backend import BackendEngine

            self._backends[key] = BackendEngine(provider, self.settings)
            if source := _token_source(provider):
                self._followers.append(source)
        return self._backends[key]

    def _agent(self, choice: str | Provider | None = None) -> AppServerEngine:
        """Return the agent whose program sends its requests there: one process for each server and key."""
        from ..engines.app_server.engine import AppServerEngine
        from ..engines.app_server.server import Launch
        from ..responses.provider import key_of

        self.enter_loop()
        bounds = policy_bounds()
        bounds.check("engine", "app-server")
        provider, config = self._provider_for_agent(choice), self.config
        key = (provider.base_url, key_of(provider)) if provider else ("", None)
        if key not in self._agents:
            title, version = config.client_title or "codex_magic", config.client_version or __version__
            overrides = config.config_overrides
            if bounds.bounded("provider"):  # in place of one that the program's own file names
                overrides = (*overrides, 'model_provider="openai"')
            started = config.launch_args_override, overrides, config.env or {}
            launch = Launch(*started, client_title=title, client_version=version)
            stand_in = self.provider("openai") if self.settings.openai_api_key else None
            self._agents[key] = AppServerEngine(self.settings, provider, stand_in=stand_in, launch=launch)
        return self._agents[key]

    def _provider_for_agent(self, choice: str | Provider | None = None) -> Provider | None:
        """Return where the agent's program is told to send its requests; `None`: where it would by itself."""
        choice = choice or self.config.provider
        if choice in (None, "chatgpt") or is_foreign(choice):
            return None
        provider = self.provider(choice)
        is_own = provider.is_codex and provider.base_url == self.settings.base_url
        return None if is_own else provider

    # Sign-in ---------------------------------------------------------------------------------------

    async def login_chatgpt(self, *, open_browser: bool = False) -> AsyncChatgptLoginHandle:
        """Sign in with the browser of this machine. Raises LoginError when no port is free for it."""
        from ..auth.handles import AsyncChatgptLoginHandle as Handle

        starting = Handle.start(self._sign_in(), self.settings, open_browser=open_browser)
        return await self._begin_sign_in(starting)

    async def login_chatgpt_pasted(self) -> AsyncChatgptLoginHandle:
        """Sign in with a browser elsewhere, whose last address is given to `paste`."""
        from ..auth.handles import AsyncChatgptLoginHandle

        return await self._begin_sign_in(AsyncChatgptLoginHandle.start_pasted(self._sign_in(), self.settings))

    async def login_chatgpt_device_code(self) -> AsyncDeviceCodeLoginHandle:
        """Sign in with a code typed into any browser. Raises LoginError when that is switched off."""
        from ..auth.handles import AsyncDeviceCodeLoginHandle

        return await self._begin_sign_in(AsyncDeviceCodeLoginHandle.start(self._sign_in()))

    async def login_api_key(self, api_key: str) -> None:
        """Store an API key without trying it. Raises LoginError for a text that can't be a key."""
        await self.give_up_sign_in()
        await awaited(in_thread(partial(self._sign_in().keep_api_key, api_key)))
        self._follow()

    async def logout(self) -> None:
        """Sign out here and, if it can be reached, at the service."""
        await self.give_up_sign_in()
        await awaited(in_thread(self._sign_in().forget))
        self._follow()

    async def account(self, *, refresh_token: bool = False) -> GetAccountResponse:
        """Who is signed in; with `refresh_token` the service is asked whether that still holds."""
        account = await awaited(in_thread(self._sign_in().account))
        if refresh_token and isinstance(account, types.ChatgptAccount):
            from ..auth.sign_in import TokenSource

            try:
                source = TokenSource.of(self.settings)
                renewed = await awaited(in_thread(lambda: source.renewed(source.current()).result()))
                account = types.ChatgptAccount(renewed.email, renewed.plan)
            except CodexError as error:
                log.info("the sign-in could not be renewed: %s", error.message)
                account = None if isinstance(error, AuthError) else account
        choice = self.config.provider
        name = choice if isinstance(choice, str | None) else choice.name
        return GetAccountResponse(account, name in (None, "chatgpt", "openai"))

    async def give_up_sign_in(self) -> None:
        """End an attempt that still waits for a person."""
        self.enter_loop()
        if self._attempt is not None:
            await self._attempt.cancel()

    async def _begin_sign_in(self, starting: Coroutine[Any, Any, L]) -> L:
        await self.give_up_sign_in()
        self._attempt = handle = await starting
        handle.subscribe(lambda update: self._follow() if update.state is types.LoginState.success else None)
        return handle

    def _sign_in(self) -> SignIn:
        from ..auth.sign_in import SignIn

        return SignIn.of(self.settings)

    def _follow(self) -> None:
        for source in self._followers:
            source.follow()

    # Turns ---------------------------------------------------------------------------------------

    async def start_turn(
        self,
        thread: ThreadRecord,
        prompt: RunInput,
        options: Options,
        *,
        compacts: bool = False,
        work: Work | None = None,
    ) -> AsyncTurnHandle:
        """Begin a turn when the one before in its thread has ended. `compacts`: it only shortens the past.

        `work`: what is done in place of asking the engine.

        `begin_turn` stores the question. The handle runs the engine as a task, keeps and passes on each
        notification, and ends with TurnCompleted, after a failure too.
        """
        self.enter_loop()
        options = within_policy(options, self.config)
        if policy_bounds().bounded("provider"):
            options["model_provider"] = self.provider(options.get("model_provider"))
        engine, identity = self._choose(options)
        store = self.store_of(thread.id)
        inputs, is_ephemeral = as_inputs(prompt), thread.id in self._ephemeral
        async with self._beginning[thread.id]:
            await self._until_ended(thread.id)
            request = await begin_turn(
                store, thread, inputs, options, self.config, sealed_for=identity, is_ephemeral=is_ephemeral
            )
            work = work or (engine.compact if compacts else engine.run)
            handle = AsyncTurnHandle(engine, request, store, work=work)
            self._running.add(handle)
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._renew())

        def forget(event: types.Notification) -> None:
            if isinstance(event, TurnCompleted):
                self._running.discard(handle)
                if not self._running and self._renewing is not None:
                    self._renewing.cancel()
                    self._renewing = None

        handle.subscribe(forget)
        return handle

    def is_answering(self, thread_id: str) -> bool:
        """Whether a new turn of that thread would have to wait."""
        return self._beginning[thread_id].locked() or any(t.thread_id == thread_id for t in self._running)

    async def idle(self, thread_id: str) -> None:
        """Wait until the turns of that thread that run now have ended."""
        async with self._beginning[thread_id]:
            await self._until_ended(thread_id)

    @property
    def busy(self) -> bool:
        """Whether turns are running."""
        return bool(self._running)

    async def keep(self) -> None:
        """Write now what came of the turns that run, for a process that is about to end."""
        await asyncio.gather(*(handle.keep() for handle in list(self._running)))

    async def _until_ended(self, thread_id: str) -> None:
        for handle in [each for each in self._running if each.thread_id == thread_id]:
            await handle.ended()

    async def _renew(self) -> None:
        """Give signs of life, so that nobody takes what runs here for dead."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            turns = [each.id for each in self._running if each.thread_id not in self._ephemeral]
            try:
                await self.store.run(partial(Store.renew, turn_ids=turns))
            except StoreError as error:
                log.info("no sign of life: %s", error)


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
        chosen = checked("turn", TurnOptions, options)
        handle = await self._codex.start_turn(self.record, input, {**self._options, **chosen})
        self._options |= {name: chosen[name] for name in LASTING if name in chosen}
        return handle

    @takes(TurnOptions)
    async def run(self, input: RunInput, **options: Unpack[TurnOptions]) -> types.TurnResult:
        """Start a turn and wait for its end. Raises what the turn failed with."""
        return await (await self.turn(input, **options)).run()

    async def compact(self) -> types.TurnResult:
        """Shorten what the model is sent of the turns so far, and wait until that is done."""
        handle = await self._codex.start_turn(self.record, [], self._options, compacts=True)
        return await handle.run()

    async def history(self, *, include_items: bool = True) -> list[TurnRecord]:
        """Its turns, oldest first, each in its latest version, with their items unless these are not needed."""
        store = self._codex.store_of(self.id)
        return await store.run(lambda file: _recovered(file).history(self.id, include_items=include_items))

    async def held(
        self,
        *,
        cell_id: str | None = None,
        notebook: str | None = None,
        prompt: str = "",
        left_out: Sequence[str] = (),
    ) -> dict[str, str]:
        """What the model knows of the notebook from this thread, by the `held` of each `ContextInput`.

        `cell_id`, `notebook`, `prompt`: of the cell that is about to run: what its turn replaces does not count, nor
        do the turns `left_out`.
        """
        return await self._codex.store_of(self.id).run(
            lambda file: _recovered(file).held(
                self.id, cell_id=cell_id, notebook=notebook, prompt=prompt, left_out=left_out
            )
        )

    async def read(self, *, include_turns: bool = False) -> ThreadReadResponse:
        """What is known of it now, with its turns if asked for. Raises ThreadNotFoundError."""
        record = await self._codex.store_of(self.id).run(lambda store: _recovered(store).thread(self.id))
        turns = tuple(turn.as_turn() for turn in (await self.history() if include_turns else ()))
        return ThreadReadResponse(ThreadDetails(**msgspec.structs.asdict(record), turns=turns))

    async def revert(self, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread. Raises OptionError when it is not in it."""
        check("before_turn_id", before_turn_id, "str")
        await self._codex.store_of(self.id).run(lambda store: store.revert(self.id, before_turn_id))

    async def set_name(self, name: str) -> None:
        check("name", name, "str | None")
        await self._codex.store_of(self.id).run(lambda store: store.set_name(self.id, name))
        await self._codex.mirror(self.id, "thread/name/set", name=name)


def _token_source(provider: Provider) -> TokenSource | None:
    from ..auth.http import ChatGPTAuth

    return provider.auth.source if isinstance(provider.auth, ChatGPTAuth) else None


def _recovered(store: Store) -> Store:
    """The store, with the turns of processes that died told apart from those that run."""
    try:
        store.recover()
    except StoreError as error:  # it can still be read
        log.info("turns that were cut off stay as they are: %s", error)
    return store


def _this_package(settings: Settings) -> InitializeResponse:
    from ..net import introduction

    system = {"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform)
    family, name = "windows" if os.name == "nt" else "unix", introduction(settings)["User-Agent"]
    info = types.ServerInfo(settings.originator, __version__)
    return InitializeResponse(name, info, str(settings.codex_home), family, system)
