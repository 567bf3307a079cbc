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
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from .. import __version__
from ..protocol.errors import ConfigurationError, StoreError
from ..protocol.settings import Settings
from ..protocol.types import (
    InitializeResponse,
    RateLimits,
    RunInput,
    ServerInfo,
    Turn,
    TurnCompleted,
    TurnResult,
    as_inputs,
)
from ..responses.parameters import takes
from ..waiting import begin_anew_in_children
from .accounts import AsyncAccounts
from .adoption import adopt, as_record, copied_to_memory
from .engines import Engines
from .options import LASTING, CodexConfig, ListOptions, Options, ThreadOptions, TurnOptions, checked
from .owner import RENEW_SECONDS
from .requests import begin_turn
from .store import AsyncStore, Store, ThreadDetails, ThreadPage, ThreadReadResponse, ThreadRecord, TurnRecord
from .turns import AsyncTurnHandle

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..auth.handles import AsyncLogin
    from ..engines.app_server.engine import AppServerEngine
    from ..responses.catalog import Model
    from ..responses.provider import Provider

log = logging.getLogger(__name__)

PAGE = 20
"""Threads in a list, unless asked for more or fewer."""


class ModelList(list["Model"]):
    """Models, best first."""

    @property
    def data(self) -> list[Model]:
        """The same under the protocol's name."""
        return self


class AsyncCodex(AsyncAccounts):
    """Threads on an engine. Nothing is opened before the first use.

    Use it as `async with AsyncCodex() as codex:` or call `close()`.
    """

    def __init__(self, config: CodexConfig | None = None) -> None:
        self.config = config or CodexConfig()
        self.settings = self.config.current_settings()
        self.engines = Engines(self.config, self.settings)
        self._begin_in_process()
        begin_anew_in_children(self)

    def _begin_in_process(self) -> None:
        self.store = AsyncStore(self.settings.home / "threads.db")
        self._ephemeral: dict[str, AsyncStore] = {}
        """Of each ephemeral thread: a store in memory, with a copy of the past that it was forked from."""
        self.engines.begin_in_process()
        self._begin_in_loop(None)

    def _begin_in_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._running: set[AsyncTurnHandle] = set()
        self._renewing: asyncio.Task[None] | None = None
        self._beginning: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._attempt: AsyncLogin | None = None

    def forked(self) -> object:
        """Begin anew in a forked child; see `waiting.begin_anew_in_children`."""
        left = {**vars(self), "engines": vars(self.engines).copy()}
        self._begin_in_process()
        return left

    def enter_loop(self) -> None:
        """Begin anew where the loop that was used before has ended. Raises ConfigurationError where not."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._loop is not None and not self._loop.is_closed():
            raise ConfigurationError(
                "This AsyncCodex is in use in another event loop.",
                hint="Make one for each loop, or use Codex, which works everywhere.",
            )
        self.engines.leave_loop()
        self._begin_in_loop(loop)

    async def __aenter__(self) -> AsyncCodex:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def start(self) -> InitializeResponse:
        """Start the agent's program, where that is the engine. Raises ConfigurationError when there is none."""
        if self.config.engine == "backend":
            return _this_package(self.settings)
        return await self._agent().metadata()

    @property
    def metadata(self) -> InitializeResponse:
        """What answers here: the agent's program, or this package. Raises ConfigurationError before it runs."""
        if self.config.engine == "backend":
            return _this_package(self.settings)
        metadata = self._agent().known_metadata
        if metadata is None:
            raise ConfigurationError(
                "The agent's program does not run yet.", hint="Use `async with`, or await `start()`."
            )
        return metadata

    async def close(self) -> None:
        """Interrupt what runs, then close connections and the store. What is used later opens them anew."""
        self.enter_loop()
        for handle in list(self._running):
            await handle.interrupt()
        await self.give_up_sign_in()
        await self.engines.close()
        for store in (*self._ephemeral.values(), self.store):
            await store.close()
        self._begin_in_process()

    # Threads -------------------------------------------------------------------------------------

    @takes(ThreadOptions)
    async def thread_start(self, *, name: str | None = None, **options: Unpack[ThreadOptions]) -> AsyncThread:
        """A new, empty thread. Raises TypeError, OptionError for options that can't be."""
        chosen = checked("thread_start", ThreadOptions, options)
        cwd = chosen.get("cwd") or self.config.cwd or os.getcwd()
        engine = chosen.get("engine") or self.config.engine
        store = self.store.beside() if chosen.get("ephemeral") else self.store
        record = await store.run(
            lambda file: file.create_thread(cwd=cwd, model=chosen.get("model"), name=name, engine=engine)
        )
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
        """A new thread that shares the past of another one, all of it or as far as one turn.

        `last_turn_id` is the last one shared, `before_turn_id` the first one that is not. A fork of an
        ephemeral thread is one too. Raises ThreadNotFoundError, and OptionError for a turn that is not in
        the thread.
        """
        chosen = checked("thread_fork", ThreadOptions, options)
        thread = await self._record(thread_id, chosen)
        store = self.store_of(thread.id)
        if chosen.get("ephemeral") or store is not self.store:
            store = await copied_to_memory(thread, store)
        record = await store.run(
            lambda file: file.fork(thread.id, through=last_turn_id, before=before_turn_id)
        )
        return self._thread(record, store, chosen)

    @takes(ListOptions)
    async def thread_list(self, **options: Unpack[ListOptions]) -> ThreadPage:
        """A page of threads, the latest used first unless `sort_key` and `sort_direction` say otherwise.

        They are those that are kept here. With the agent and `source_kinds` (`cli`, `vscode`, `exec`,
        `appServer` ...) or `section_id` they are those that its program keeps, whoever made them;
        `thread_resume` goes on with any of them. Over HTTP nothing has a source or a section, and both are
        not looked at. `use_state_db_only`: the program does not look for files that its database misses.
        """
        chosen = checked("thread_list", ListOptions, options)
        chosen["limit"] = chosen.get("limit") or PAGE
        if self.config.engine == "app-server" and chosen.keys() & {"source_kinds", "section_id"}:
            # No providers are all; without the word they are the default's.
            wire = {"archived": False, "model_providers": [], "use_state_db_only": False, **chosen}
            in_camel_case = (name[0] + name.title().replace("_", "")[1:] for name in wire)
            threads, cursor = await self._agent().threads(
                dict(zip(in_camel_case, wire.values(), strict=True))
            )
            return ThreadPage(tuple(as_record(each, archived=wire["archived"]) for each in threads), cursor)
        for name in (
            "section_id",
            "source_kinds",
            "use_state_db_only",
        ):  # only the program can look for these
            chosen.pop(name, None)
        return await self.store.run(lambda store: _recovered(store).threads(**chosen))

    async def thread_archive(self, thread_id: str) -> None:
        """Leave it out of `thread_list`. Raises ThreadNotFoundError."""
        thread = await self._record(thread_id, {})
        await self.store_of(thread.id).run(lambda store: store.archive(thread.id))
        await self.mirror(thread.id, lambda agent, program_id: agent.archive(program_id))

    async def thread_unarchive(self, thread_id: str) -> AsyncThread:
        """Put it back into `thread_list`. Raises ThreadNotFoundError."""
        thread = await self._record(thread_id, {})
        await self.store_of(thread.id).run(lambda store: store.unarchive(thread.id))
        await self.mirror(thread.id, lambda agent, program_id: agent.unarchive(program_id))
        return await self.thread_resume(thread.id)

    def store_of(self, thread_id: str) -> AsyncStore:
        """Return where a thread is kept: an ephemeral one in memory."""
        return self._ephemeral.get(thread_id, self.store)

    async def mirror(self, thread_id: str, change: Callable[[AppServerEngine, str], Awaitable[bool]]) -> None:
        """Let the agent's program know too what was done to a thread, as far as it runs and has the thread."""
        agents = self._running_agents()
        if not agents:
            return
        for program_id in await self.store_of(thread_id).run(lambda store: store.engine_threads(thread_id)):
            for agent in sorted(agents, key=lambda agent: not agent.has_loaded(program_id)):
                if await change(agent, program_id):
                    break

    async def revert(self, thread_id: str, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread; in the agent's program, if it has it open, too."""
        store = self.store_of(thread_id)
        place = await store.run(lambda file: file.place_of_own(thread_id, before_turn_id))
        removed = await store.run(lambda file: file.revert(thread_id, before_turn_id))
        if place is None:
            return
        for agent in self._running_agents():
            if await agent.revert(place):
                await store.run(lambda file: file.forget_places(removed))
                return

    def _thread(self, record: ThreadRecord, store: AsyncStore, options: Options) -> AsyncThread:
        if store is not self.store:
            self._ephemeral[record.id] = store
        return AsyncThread(self, record, options)

    async def _record(self, thread_id: str, options: Options) -> ThreadRecord:
        """Read a thread; with the agent, take one that its program keeps into the store first."""
        is_agents = (options.get("engine") or self.config.engine) == "app-server"
        if is_agents and thread_id not in self._ephemeral:
            thread_id = await adopt(thread_id, self._agent(options.get("model_provider")), self.store)
        return await self.store_of(thread_id).run(lambda store: store.thread(thread_id))

    # Engines -------------------------------------------------------------------------------------

    def provider(self, choice: str | Provider | None = None) -> Provider:
        """The provider that `choice`, else the configuration, else what is signed in, stands for."""
        return self.engines.provider(choice)

    async def models(
        self, *, provider: str | Provider | None = None, include_hidden: bool = False
    ) -> ModelList:
        """The catalog of the agent's program, or of the provider that is asked directly; best first."""
        if self._asks_program(provider):
            return ModelList(await self._agent().models(include_hidden=include_hidden))
        models = await self.engines.backend(self.provider(provider)).models()
        return ModelList(model for model in models if include_hidden or not model.hidden)

    async def rate_limits(self) -> RateLimits:
        """How much of the ChatGPT plan is left. Raises NotSignedInError, ConfigurationError for an API key."""
        if self._asks_program():
            return await self._agent().rate_limits()
        from ..responses.client import AsyncClient

        async with AsyncClient(self.provider(), settings=self.settings) as client:
            return (await client.usage()).limits

    def _asks_program(self, provider: str | Provider | None = None) -> bool:
        """Whether the agent's program answers by its own sign-in, and not a server that it was told."""
        return self.config.engine == "app-server" and self.engines.provider_for_agent(provider) is None

    def _agent(self, provider: str | Provider | None = None) -> AppServerEngine:
        self.enter_loop()
        return self.engines.agent(provider)

    def _running_agents(self) -> list[AppServerEngine]:
        self.enter_loop()
        return [agent for agent in self.engines.agents if agent.server.running]

    # Turns ---------------------------------------------------------------------------------------

    async def start_turn(
        self, thread: ThreadRecord, prompt: RunInput, options: Options, *, compacts: bool = False
    ) -> AsyncTurnHandle:
        """Begin a turn when the one before in its thread has ended.

        `options`: all that holds for it, `ThreadOptions` and `TurnOptions` in one. `compacts`: it shortens
        what the model is sent of the turns before, and asks nothing.
        """
        self.enter_loop()
        engine, identity = self.engines.choose(options)
        store = self.store_of(thread.id)
        async with self._beginning[thread.id]:
            await self._until_ended(thread.id)
            request = await begin_turn(
                store,
                thread,
                as_inputs(prompt),
                options,
                self.config,
                sealed_for=identity,
                is_ephemeral=thread.id in self._ephemeral,
            )
            handle = AsyncTurnHandle(engine, request, store, work=engine.compact if compacts else engine.run)
            self._running.add(handle)
            if self._renewing is None:
                self._renewing = asyncio.create_task(self._renew())
        handle.subscribe(lambda event: self._forget(handle) if isinstance(event, TurnCompleted) else None)
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

    def _forget(self, handle: AsyncTurnHandle) -> None:
        self._running.discard(handle)
        if not self._running and self._renewing is not None:
            self._renewing.cancel()
            self._renewing = None

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
    async def run(self, input: RunInput, **options: Unpack[TurnOptions]) -> TurnResult:
        """Start a turn and wait for its end. Raises what the turn failed with."""
        return await (await self.turn(input, **options)).run()

    async def compact(self) -> TurnResult:
        """Shorten what the model is sent of the turns so far, and wait until that is done."""
        handle = await self._codex.start_turn(self.record, [], self._options, compacts=True)
        return await handle.run()

    async def history(self, *, include_items: bool = True) -> list[TurnRecord]:
        """Its turns, oldest first, each in its latest version, with their items unless these are not needed."""
        return await self._store.run(
            lambda store: _recovered(store).history(self.id, include_items=include_items)
        )

    async def read(self, *, include_turns: bool = False) -> ThreadReadResponse:
        """What is known of it now, with its turns if asked for. Raises ThreadNotFoundError."""
        record = await self._store.run(lambda store: _recovered(store).thread(self.id))
        turns = []
        for turn in await self.history() if include_turns else ():
            values = {name: getattr(turn, name) for name in Turn.__struct_fields__}
            turns.append(Turn(**values | {"items": tuple(entry.item for entry in turn.items)}))
        return ThreadReadResponse(ThreadDetails(**msgspec.structs.asdict(record), turns=tuple(turns)))

    async def revert(self, before_turn_id: str) -> None:
        """Take that turn and the later ones out of the thread. Raises OptionError when it is not in it."""
        await self._codex.revert(self.id, before_turn_id)

    async def set_name(self, name: str) -> None:
        await self._store.run(lambda store: store.set_name(self.id, name))
        await self._codex.mirror(self.id, lambda agent, program_id: agent.rename(program_id, name))

    @property
    def _store(self) -> AsyncStore:
        return self._codex.store_of(self.id)


def _recovered(store: Store) -> Store:
    """The store, with the turns of processes that died told apart from those that run."""
    try:
        store.recover()
    except StoreError as error:  # it can still be read
        log.info("turns that were cut off stay as they are: %s", error)
    return store


def _this_package(settings: Settings) -> InitializeResponse:
    from ..net import introduction

    return InitializeResponse(
        user_agent=introduction(settings)["User-Agent"],
        server_info=ServerInfo(settings.originator, __version__),
        codex_home=str(settings.codex_home),
        platform_family="windows" if os.name == "nt" else "unix",
        platform_os={"win32": "windows", "darwin": "macos"}.get(sys.platform, sys.platform),
    )
