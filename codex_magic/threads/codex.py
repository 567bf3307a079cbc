"""`AsyncCodex` and `AsyncThread`: threads and turns on an engine, kept in the store.

They belong to one event loop at a time. In the next one, after the first has been closed, they begin anew:
the agent's program too, so `await codex.close()` at the end of each `asyncio.run`. A forked child, too, has
everything but turns that run and ephemeral threads.

Engines, providers and what they import (httpx above all) come with the first use of each.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from .. import __version__
from ..engines.approvals import Approvals
from ..engines.seam import Continuation, Earlier, Engine, TurnRequest
from ..forks import begin_anew_in_children
from ..protocol.account import GetAccountResponse
from ..protocol.errors import ConfigurationError, StoreError
from ..protocol.ids import new_id
from ..protocol.runtime import InitializeResponse, ServerInfo
from ..protocol.settings import Settings
from ..protocol.types import (
    ExternalMessage,
    InputItem,
    RateLimits,
    RunInput,
    Turn,
    TurnCompleted,
    TurnPlace,
    TurnResult,
    UserMessage,
    as_inputs,
    input_text,
)
from ..responses.parameters import takes
from .adoption import adopted, as_record, copied
from .history import context_held, history_items, past_of
from .instructions import DEFAULT_INSTRUCTIONS
from .options import (
    LASTING,
    NAMED,
    EngineName,
    ListOptions,
    Options,
    ThreadOptions,
    TurnOptions,
    checked,
    is_foreign,
)
from .owner import RENEW_SECONDS
from .places import continuation
from .store import (
    AsyncStore,
    ItemRecord,
    Store,
    ThreadDetails,
    ThreadPage,
    ThreadReadResponse,
    ThreadRecord,
    TurnRecord,
)
from .turns import AsyncTurnHandle, Work

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..auth.handles import (
        AsyncChatgptLoginHandle,
        AsyncDeviceCodeLoginHandle,
    )
    from ..auth.tokens import TokenSource
    from ..engines.app_server.engine import AppServerEngine
    from ..engines.app_server.server import Launch
    from ..engines.backend import BackendEngine
    from ..engines.tools import ToolSet
    from ..responses.catalog import Model
    from ..responses.provider import Provider
    from .accounts import AsyncAccounts

T = TypeVar("T")

log = logging.getLogger(__name__)

PAGE = 20
"""Threads in a list, unless asked for more or fewer."""


@dataclass(frozen=True, kw_only=True)
class CodexConfig:
    """What a `Codex` starts from; every field has a working default.

    `provider`: `chatgpt`, `openai`, the base URL of a server that speaks the Responses API, or a
    `Provider`; `None` takes `chatgpt` when signed in, else `openai` when a key is set. The app-server
    goes by its own configuration, unless it is given another server's address or an API key; of it also
    the name of a provider in its config.toml will do.
    `instructions`: what the model is told about where it is.
    """

    settings: Settings | None = None
    """Without them, those of the environment."""
    provider: str | Provider | None = None
    model: str | None = None
    instructions: str = DEFAULT_INSTRUCTIONS
    engine: EngineName = "backend"
    approvals: Approvals | None = None
    """Asked before an action that needs a yes; see `engines.approvals`."""
    cwd: str | None = None
    """Where threads work that are given no folder of their own; without it, where this process does."""
    env: Mapping[str, str] | None = None
    """Variables besides those of this process, for the settings and the agent's program."""
    codex_bin: str | None = None
    """The agent's program, in place of the one that would be found."""
    launch_args_override: tuple[str, ...] | None = None
    """The whole command that starts it, in place of ours."""
    config_overrides: tuple[str, ...] = ()
    """`key=value` with the value as in TOML: its config.toml for all threads."""
    client_name: str | None = None
    """How we introduce ourselves to the services, as their `originator`."""
    client_title: str | None = None
    """The same to the agent's program, for people to read."""
    client_version: str | None = None
    """The version that its program is told."""


class ModelList(list["Model"]):
    """Models, best first."""

    @property
    def data(self) -> list[Model]:
        """The same under the protocol's name."""
        return self


class AsyncCodex:
    """Threads on an engine. Nothing is opened before the first use.

    Use it as `async with AsyncCodex() as codex:` or call `close()`.
    """

    def __init__(self, config: CodexConfig | None = None) -> None:
        self.config = config or CodexConfig()
        self.settings = _settings(self.config)
        self._providers: dict[str, Provider] = {}
        self._begin_in_process()
        begin_anew_in_children(self)

    def _begin_in_process(self) -> None:
        self.store = AsyncStore(self.settings.home / "threads.db")
        self._passing: dict[str, AsyncStore] = {}
        """Of each ephemeral thread: a store in memory, with a copy of the past that it was forked from."""
        self._engines: dict[tuple[str, str], BackendEngine] = {}
        self._followers: list[TokenSource] = []
        self._begin_in_loop(None)

    def _begin_in_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._agents: dict[tuple[str, str | None], AppServerEngine] = {}
        self._running: set[AsyncTurnHandle] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._beginning: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        vars(self).pop("_accounts", None)

    def forked(self) -> object:
        """See `forks`."""
        left = dict(vars(self))
        self._begin_in_process()
        return left

    def _enter_loop(self) -> None:
        """Begin anew where the loop that was used before has ended. Raises ConfigurationError where not."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise ConfigurationError(
                "This AsyncCodex is in use in another event loop.",
                hint="Make one for each loop, or use Codex, which works everywhere.",
            )
        for agent in self._agents.values():
            agent.abandon()
        self._begin_in_loop(loop)

    async def __aenter__(self) -> AsyncCodex:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def start(self) -> InitializeResponse:
        """Start the agent's program, where that is the engine. Raises ConfigurationError when there is none."""
        if self.config.engine == "backend":
            return _ourselves(self.settings)
        return await self._agent(self._given_provider()).metadata()

    @property
    def metadata(self) -> InitializeResponse:
        """What answers here: the agent's program, or this package. Raises ConfigurationError before it runs."""
        if self.config.engine == "backend":
            return _ourselves(self.settings)
        found = self._agent(self._given_provider()).known_metadata
        if found is None:
            raise ConfigurationError(
                "The agent's program does not run yet.", hint="Use `async with`, or await `start()`."
            )
        return found

    @cached_property
    def _accounts(self) -> AsyncAccounts:
        self._enter_loop()
        from .accounts import AsyncAccounts  # signing in is rare, and its imports are not small

        return AsyncAccounts(self.settings, self._followers, needed=self._needs_sign_in())

    async def close(self) -> None:
        """Interrupt what runs, then close connections and the store. What is used later opens them anew."""
        self._enter_loop()
        for handle in list(self._running):
            await handle.interrupt()
        if "_accounts" in vars(self):
            await self._accounts.close()
        engines: list[Engine] = [*self._engines.values(), *self._agents.values()]
        for engine in engines:
            await engine.close()
        for store in self._passing.values():
            await store.close()
        await self.store.close()
        self._begin_in_process()

    def store_of(self, thread_id: str) -> AsyncStore:
        """Where a thread is kept: an ephemeral one in memory."""
        return self._passing.get(thread_id, self.store)

    @takes(ThreadOptions)
    async def thread_start(self, *, name: str | None = None, **options: Unpack[ThreadOptions]) -> AsyncThread:
        """A new, empty thread. Raises TypeError, OptionError for options that can't be."""
        given = checked("thread_start", ThreadOptions, options)
        cwd, model = given.get("cwd") or self.config.cwd or os.getcwd(), given.get("model")
        engine = given.get("engine") or self.config.engine
        kept_in = self.store.beside() if given.get("ephemeral") else self.store
        record = await kept_in.run(
            lambda store: store.create_thread(cwd=cwd, model=model, name=name, engine=engine)
        )
        if kept_in is not self.store:
            self._passing[record.id] = kept_in
        return AsyncThread(self, record, given)

    @takes(ThreadOptions)
    async def thread_resume(self, thread_id: str, **options: Unpack[ThreadOptions]) -> AsyncThread:
        """Go on with a kept thread. Raises ThreadNotFoundError.

        With the agent also with one that its program keeps: of the Codex CLI, of an editor. Its turns are
        then kept here too; those that were added to it elsewhere come with the next `thread_resume`.
        """
        given = checked("thread_resume", ThreadOptions, options)
        return AsyncThread(self, await self._record(thread_id, given), given)

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

        `last_turn_id` is the last one shared, `before_turn_id` the first one that is not. A fork of an
        ephemeral thread is one too. Raises ThreadNotFoundError, and OptionError for a turn that is not in
        the thread.
        """
        given = checked("thread_fork", ThreadOptions, options)
        thread = await self._record(thread_id, given)
        kept_in = self.store_of(thread.id)
        if given.get("ephemeral") or kept_in is not self.store:
            kept_in = await self._copied(thread, kept_in)
        record = await kept_in.run(
            lambda store: store.fork(thread.id, through=last_turn_id, before=before_turn_id)
        )
        if kept_in is not self.store:
            self._passing[record.id] = kept_in
        return AsyncThread(self, record, given)

    @takes(ListOptions)
    async def thread_list(self, **options: Unpack[ListOptions]) -> ThreadPage:
        """A page of threads, the latest used first unless `sort_key` and `sort_direction` say otherwise.

        They are those that are kept here. With the agent and `source_kinds` (`cli`, `vscode`, `exec`,
        `appServer` ...) or `section_id` they are those that its program keeps, whoever made them;
        `thread_resume` goes on with any of them. Over HTTP nothing has a source or a section, and both are
        not looked at. `use_state_db_only`: the program does not look for files that its database misses.
        """
        given = checked("thread_list", ListOptions, options)
        given["limit"] = given.get("limit") or PAGE
        if self.config.engine == "app-server" and given.keys() & {"source_kinds", "section_id"}:
            return await self._kept_by_program(given)
        kept = {name: each for name, each in given.items() if name not in _OF_PROGRAM}
        return await self.store.run(lambda store: _recovered(store).threads(**kept))

    async def thread_archive(self, thread_id: str) -> None:
        """Leave it out of `thread_list`. Raises ThreadNotFoundError."""
        thread = await self._record(thread_id, {})
        await self.store_of(thread.id).run(lambda store: store.archive(thread.id))
        await self.mirror(thread.id, lambda agent, kept: agent.archive(kept))

    async def thread_unarchive(self, thread_id: str) -> AsyncThread:
        thread = await self._record(thread_id, {})
        await self.store_of(thread.id).run(lambda store: store.unarchive(thread.id))
        await self.mirror(thread.id, lambda agent, kept: agent.unarchive(kept))
        return await self.thread_resume(thread.id)

    async def mirror(self, thread_id: str, tell: Callable[[AppServerEngine, str], Awaitable[bool]]) -> None:
        """Let the agent's program know too what was done to a thread, as far as it runs and has the thread."""
        running = self._running_agents()
        if not running:
            return
        for kept in await self.store_of(thread_id).run(lambda store: store.engine_threads(thread_id)):
            for agent in sorted(running, key=lambda agent: not agent.has_loaded(kept)):
                if await tell(agent, kept):
                    break

    async def revert(self, thread_id: str, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread; in the agent's program, if it has it open, too."""
        kept_in = self.store_of(thread_id)
        place = await kept_in.run(lambda store: store.place_of_own(thread_id, before_turn_id))
        removed = await kept_in.run(lambda store: store.revert(thread_id, before_turn_id))
        if place is None:
            return
        for agent in self._running_agents():
            if await agent.revert(place):
                await kept_in.run(lambda store: store.forget_places(removed))
                return

    def _running_agents(self) -> list[AppServerEngine]:
        self._enter_loop()
        return [agent for agent in self._agents.values() if agent.server.running]

    async def models(
        self, *, provider: str | Provider | None = None, include_hidden: bool = False
    ) -> ModelList:
        """The catalog of the agent's program, or of the provider that is asked directly; best first."""
        if self.config.engine == "app-server" and self._given_provider(provider) is None:
            return ModelList(await self._agent(None).models(include_hidden=include_hidden))
        found = await self._engine(self.provider(provider)).models()
        return ModelList(model for model in found if include_hidden or not model.hidden)

    async def rate_limits(self) -> RateLimits:
        """How much of the ChatGPT plan is left. Raises NotSignedInError, ConfigurationError for an API key."""
        if self.config.engine == "app-server" and self._given_provider() is None:
            return await self._agent(None).rate_limits()
        from ..responses.client import AsyncClient

        async with AsyncClient(self.provider(), settings=self.settings) as client:
            return (await client.usage()).limits

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
        from .providers import named_provider, signed_in_provider

        choice = choice or self.config.provider or signed_in_provider(self.settings)
        if not isinstance(choice, str):
            return choice
        if choice not in self._providers:
            self._providers[choice] = named_provider(choice, self.settings)
        return self._providers[choice]

    async def start_turn(self, thread: ThreadRecord, prompt: RunInput, options: Options) -> AsyncTurnHandle:
        """Begin a turn when the one before in its thread has ended.

        `options`: all that holds for it, `ThreadOptions` and `TurnOptions` in one.
        """
        self._enter_loop()
        engine, answerer = self._choose(options)
        return await self._begin_turn(thread, prompt, options, engine, answerer, engine.run)

    def is_answering(self, thread_id: str) -> bool:
        """Whether a new turn of that thread would have to wait."""
        return self._beginning[thread_id].locked() or any(t.thread_id == thread_id for t in self._running)

    async def idle(self, thread_id: str) -> None:
        """Wait until the turns of that thread that run now have ended."""
        async with self._beginning[thread_id]:
            for handle in [each for each in self._running if each.thread_id == thread_id]:
                await handle.ended()

    async def compact(self, thread: ThreadRecord, options: Options) -> AsyncTurnHandle:
        """Begin a turn that shortens what the model is sent of the ones before."""
        self._enter_loop()
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
            handle = AsyncTurnHandle(engine, request, self.store_of(thread.id), work=work)
            self._running.add(handle)
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._renew())
        handle.subscribe(lambda told: self._forget(handle) if isinstance(told, TurnCompleted) else None)
        return handle

    async def _kept_request(
        self, thread: ThreadRecord, prompt: RunInput, options: Options, answerer: str
    ) -> TurnRequest:
        """The request of a new turn, which is in the store from then on."""
        inputs = as_inputs(prompt)
        tools = _tool_set(options["tools"]) if options.get("tools") else None
        turn_id = new_id()

        question = _question(turn_id, inputs, options.get("cell_id")) if inputs else None

        def begin(store: Store) -> tuple[int, str, Continuation | None, str | None]:
            store.recover()
            turn = store.begin_turn(
                thread.id,
                turn_id=turn_id,
                cell_id=options.get("cell_id"),
                notebook=options.get("notebook"),
                preview=input_text(inputs),
                provider=answerer,
                question=question,
            )
            turns = store.history(thread.id, before_position=turn.position, include_items=False)
            # Where another account or provider has sealed its thoughts, ours could not go on.
            known = store.places([turn.id for turn in turns if turn.provider == answerer])
            goes_on = continuation(thread.id, turns, *known, read=store.turn)
            return turn.position, past_of(turns), goes_on, store.thread(thread.id).name

        def read_earlier(store: Store) -> Earlier:
            turns = store.history(thread.id, before_position=position)
            return Earlier(history_items(turns, provider=answerer), context_held(turns))

        kept_in = self.store_of(thread.id)
        position, past, goes_on, name = await kept_in.run(begin)
        config = self.config
        return TurnRequest(
            thread_id=thread.id,
            turn_id=turn_id,
            inputs=inputs,
            earlier=lambda: kept_in.run(read_earlier),
            instructions=options.get("instructions")
            or options.get("developer_instructions")
            or config.instructions,
            model=options.get("model") or thread.model or config.model,
            cwd=options.get("cwd") or thread.cwd,
            service_tier=options.get("turn_service_tier") or options.get("service_tier"),
            summary=options.get("summary", "auto"),
            approvals=options.get("approvals") or config.approvals,
            tools=tools,
            past=past,
            continuation=goes_on,
            name=name,
            config={**options.get("config", {}), **self._config_of(options.get("model_provider"))} or None,
            ephemeral=thread.id in self._passing or None,
            **{name: options[name] for name in _AS_GIVEN if name in options},
        )

    def _choose(self, options: Options) -> tuple[Engine, str]:
        """The engine of a turn, and whose encrypted reasoning it can be sent."""
        choice = options.get("model_provider")
        if (options.get("engine") or self.config.engine) == "backend":
            from .providers import answerer_of

            provider = self.provider(choice)
            return self._engine(provider), answerer_of(provider)
        agent = self._agent(self._given_provider(choice))
        foreign = self._config_of(choice).get("model_provider")
        return agent, f"app-server {foreign}" if foreign else agent.answerer

    def _given_provider(self, choice: str | Provider | None = None) -> Provider | None:
        """Where the agent's program is told to send its requests; `None`: where it would by itself."""
        choice = choice or self.config.provider
        if choice is None or choice == "chatgpt" or is_foreign(choice):
            return None
        provider = self.provider(choice)
        own = provider.is_codex and provider.base_url == self.settings.base_url
        return None if own else provider

    def _config_of(self, choice: str | Provider | None) -> dict[str, Any]:
        """What tells the agent's program to use a provider of its own config.toml."""
        choice = choice or self.config.provider
        return {"model_provider": choice} if choice is not None and is_foreign(choice) else {}

    def _needs_sign_in(self) -> bool:
        choice = self.config.provider
        return choice is None or (choice if isinstance(choice, str) else choice.name) in NAMED

    def _forget(self, handle: AsyncTurnHandle) -> None:
        self._running.discard(handle)
        if not self._running and self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

    async def _renew(self) -> None:
        """Give signs of life, so that nobody takes what runs here for dead."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            await self._give_sign([each.id for each in self._running if each.thread_id not in self._passing])

    async def _give_sign(self, turn_ids: Sequence[str]) -> None:
        try:
            if turn_ids:
                await self.store.run(lambda store: store.renew(turn_ids))
        except StoreError as error:
            log.info("no sign of life: %s", error)

    @property
    def busy(self) -> bool:
        """Whether turns are running."""
        return bool(self._running)

    async def keep(self) -> None:
        """Write now what came of the turns that run, for a process that is about to end."""
        await asyncio.gather(*(handle.keep() for handle in list(self._running)))

    def _engine(self, provider: Provider) -> BackendEngine:
        key = provider.name, provider.base_url
        if key not in self._engines:
            from ..engines.backend import BackendEngine
            from .providers import follower

            self._engines[key] = BackendEngine(provider, self.settings)
            if source := follower(provider):
                self._followers.append(source)
        return self._engines[key]

    def _agent(self, provider: Provider | None) -> AppServerEngine:
        """One process for each server and key that it is given."""
        self._enter_loop()
        from ..engines.app_server.engine import AppServerEngine
        from ..responses.provider import key_of

        key = (provider.base_url, key_of(provider)) if provider else ("", None)
        if key not in self._agents:
            stand_in = self.provider("openai") if self.settings.openai_api_key else None
            self._agents[key] = AppServerEngine(
                self.settings, provider, stand_in=stand_in, launch=self._launch()
            )
        return self._agents[key]

    def _launch(self) -> Launch:
        from ..engines.app_server.server import Launch

        config = self.config
        return Launch(
            command=config.launch_args_override,
            config=config.config_overrides,
            env=config.env or {},
            client_title=config.client_title or Launch.client_title,
            client_version=config.client_version or Launch.client_version,
        )

    # Threads of the agent's program ----------------------------------------------------------------

    async def _record(self, thread_id: str, options: Options) -> ThreadRecord:
        """A thread that is kept here; with the agent one that its program keeps becomes such a one."""
        if thread_id not in self._passing and (options.get("engine") or self.config.engine) == "app-server":
            thread_id = await self._adopted(thread_id, options.get("model_provider"))
        wanted = thread_id
        return await self.store_of(wanted).run(lambda store: store.thread(wanted))

    async def _adopted(self, thread_id: str, choice: str | Provider | None) -> str:
        """The id here of a thread of the program, with all that is in it; one of our own is left as it is."""

        def look(store: Store) -> tuple[str | None, dict[str, str], list[TurnRecord]]:
            ours, known = store.known_engine_turns(thread_id)
            if ours is None and store.has(thread_id):
                ours = thread_id
            return ours, known, store.history(ours, include_items=False) if ours else []

        ours, known, history = await self.store.run(look)
        if ours is not None and not known:
            return ours
        agent = self._agent(self._given_provider(choice))
        found = await agent.kept_thread(thread_id, known=known)
        if found is None:
            return ours or thread_id
        kept, turns = found
        if ours is not None and (not turns or not history or history[-1].id != list(known.values())[-1]):
            return ours  # nothing is new, or both have gone on since, each in its own way
        record = msgspec.structs.replace(as_record(kept), id=ours or thread_id)
        added, places = adopted(kept, turns, thread_id=record.id, answerer=agent.answerer, after=history)
        await self.store.run(lambda store: store.adopt(record, added, places))
        return record.id

    async def _copied(self, thread: ThreadRecord, source: AsyncStore) -> AsyncStore:
        """A store in memory with this thread and all of its past."""

        def read(store: Store) -> tuple[list[TurnRecord], dict[str, TurnPlace]]:
            turns = store.history(thread.id)
            return turns, store.places([turn.id for turn in turns])[0]

        history, places = await source.run(read)
        alone, turns = copied(thread, history)
        copy = self.store.beside()
        await copy.run(lambda store: store.adopt(alone, turns, places))
        return copy

    async def _kept_by_program(self, given: Options) -> ThreadPage:
        # No providers are all; without the word they are the default's.
        asked = {"archived": False, "model_providers": [], "use_state_db_only": False, **given}
        agent = self._agent(self._given_provider())
        found, cursor = await agent.threads({_on_wire(name): each for name, each in asked.items()})
        return ThreadPage(tuple(as_record(kept, archived=asked["archived"]) for kept in found), cursor)


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

    async def history(self, *, include_items: bool = True) -> list[TurnRecord]:
        """Its turns, oldest first, each in its latest version, with their items unless these are not needed."""
        return await self._store.run(
            lambda store: _recovered(store).history(self.id, include_items=include_items)
        )

    async def read(self, *, include_turns: bool = False) -> ThreadReadResponse:
        """What is known of it now, with its turns if asked for. Raises ThreadNotFoundError."""
        record = await self._store.run(lambda store: _recovered(store).thread(self.id))
        turns = tuple(map(_shown_turn, await self.history())) if include_turns else ()
        return ThreadReadResponse(ThreadDetails(**msgspec.structs.asdict(record), turns=turns))

    async def revert(self, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread. Raises OptionError when it is not in it."""
        await self._codex.revert(self.id, before_turn_id)

    async def set_name(self, name: str) -> None:
        await self._store.run(lambda store: store.set_name(self.id, name))
        await self._codex.mirror(self.id, lambda agent, kept: agent.rename(kept, name))

    @property
    def _store(self) -> AsyncStore:
        return self._codex.store_of(self.id)


_AS_GIVEN = set(TurnRequest.__struct_fields__) & {
    *ThreadOptions.__annotations__,
    *TurnOptions.__annotations__,
} - {"approvals", "config", "cwd", "ephemeral", "instructions", "model", "service_tier", "summary", "tools"}
"""Options that reach the engine as they are."""


_OF_PROGRAM = ("section_id", "source_kinds", "use_state_db_only")
"""What only the agent's program can look for in a list of threads."""


def _recovered(store: Store) -> Store:
    """The store, with the turns of processes that died told apart from those that run."""
    try:
        store.recover()
    except StoreError as error:  # it can still be read
        log.info("turns that were cut off stay as they are: %s", error)
    return store


def _question(turn_id: str, inputs: tuple[InputItem, ...], cell_id: str | None) -> ItemRecord:
    """What is asked, for as long as the engine has not told it: a kill may come before."""
    from ..engines.app_server.replay import replayed

    message = UserMessage(turn_id, inputs, cell_id)
    is_refused = len(inputs) > 1 and any(isinstance(part, ExternalMessage) for part in inputs)
    return ItemRecord(message, () if is_refused else replayed(message))


def _on_wire(name: str) -> str:
    """In the protocol's spelling, camelCase."""
    first, *more = name.split("_")
    return first + "".join(map(str.capitalize, more))


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


def _settings(config: CodexConfig) -> Settings:
    settings = config.settings or Settings.from_env({**os.environ, **(config.env or {})})
    return replace(
        settings,
        codex_bin=config.codex_bin or settings.codex_bin,
        originator=config.client_name or settings.originator,
    )


def _tool_set(tools: Sequence[Any]) -> ToolSet:
    from ..engines.tools import ToolSet

    return ToolSet(tools)


def _ourselves(settings: Settings) -> InitializeResponse:
    from ..net import introduction

    family = "windows" if os.name == "nt" else "unix"
    return InitializeResponse(
        user_agent=introduction(settings)["User-Agent"],
        server_info=ServerInfo(settings.originator, __version__),
        codex_home=str(settings.codex_home),
        platform_family=family,
        platform_os={"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform),
    )
