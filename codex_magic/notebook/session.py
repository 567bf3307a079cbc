"""The state of one notebook: its provider and model, its current thread, what failed last."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import re
import tempfile
from asyncio import FIRST_COMPLETED
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from ..display.page import Page, UpdatedPage
from ..engines.approvals import Approvals
from ..protocol.errors import ConfigurationError, ThreadNotFoundError
from ..protocol.settings import Settings
from ..protocol.types import RateLimits, TurnQueued, Warned
from ..responses.catalog import Catalog, default_model
from ..responses.client import AsyncClient
from ..responses.provider import Provider, chatgpt
from ..responses.usage import Usage, ask_usage
from ..threads.codex import AsyncThread, CodexConfig
from ..threads.instructions import DEFAULT_INSTRUCTIONS
from ..threads.options import TurnOptions, checked
from ..threads.sync import Codex
from ..threads.turns import AsyncTurnHandle, Listener
from .agent import turn_bounds, turn_engine
from .environment import page_for, shows_widgets
from .identity import cell_id, is_kernel, notebook_key
from .options import ParsedLine
from .outcome import NotSent

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..local_service import LocalService
    from .login_flow import LoginFlow
    from .magics import CodexMagics
    from .turn import CellTurn

_WHOLE_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

LOCAL = "local"

A_READERS_PACE = 100
"""Deltas a second of `%codex provider local`: about as fast as a real model writes."""

LOCAL_AGENT_MODEL = "gpt-5.5"
"""The one of its models that the agent's program knows how to give its tools to."""

CUT_OFF = "An earlier turn was cut off when its kernel ended; what had arrived is kept, marked interrupted."

_PAGE: ContextVar[Page | None] = ContextVar("page", default=None)
"""Of the running request: a button's callback may run beside a cell that waits."""


class Session:
    """Made at the first use of a magic; `settings` is read from the environment then."""

    def __init__(self, shell: InteractiveShell, magics: CodexMagics) -> None:
        self.shell = shell
        self.magics = magics
        self.settings = Settings.from_env()
        self.codex = Codex(CodexConfig(settings=self.settings))
        self.last_error: BaseException | None = None
        self.rate_limits: RateLimits | None = None
        self.running: list[CellTurn] = []
        """The turns of this notebook that have not ended, oldest first."""
        self._key = notebook_key(shell)
        self._thread: AsyncThread | None = None
        self._recovered = False
        self.blocking = False
        """Whether the running cell keeps the kernel busy while it waits, so that buttons may be dead."""
        self._login: LoginFlow | None = None
        self._local: tuple[LocalService, Provider, tempfile.TemporaryDirectory[str]] | None = None

    @property
    def rich(self) -> bool:
        """Whether a front end shows Markdown, as opposed to a terminal."""
        return is_kernel(self.shell)

    @contextmanager
    def request(self, *, alone: bool) -> Iterator[None]:
        """All that a request shows goes to its own page. `alone`: it has its cell to itself."""
        outer, page = _PAGE.get(), page_for(self.shell, alone=alone)
        _PAGE.set(page)
        try:
            yield
        finally:
            _PAGE.set(outer)
            page.close()

    @property
    def page(self) -> Page:
        """Where the running request's outputs go."""
        return _PAGE.get() or UpdatedPage()

    @property
    def has_widgets(self) -> bool:
        """Whether a person sees the widgets that the running request shows."""
        return self.page.has_controls and shows_widgets(self.shell)

    def close(self) -> None:
        if self._login is not None:
            self.codex.call(self._login.close())
        self.codex.close()
        if self._local is not None:
            service, _, home = self._local
            service.close()
            home.cleanup()
            self._local = None

    def provider(self, choice: str | None = None) -> Provider:
        """The provider `choice`, else this notebook's, stands for. Raises ConfigurationError."""
        choice = choice or self.magics.provider or None
        if choice == LOCAL:
            return self._local_provider()
        return self.codex.asynchronous.provider(choice)

    @property
    def login(self) -> LoginFlow:
        """The sign-in of this notebook; made at first use."""
        if self._login is None:
            from .login_flow import LoginFlow

            async def ask_limits() -> RateLimits:
                return (await self.usage(self.provider("chatgpt"))).limits

            self._login = LoginFlow(self.codex, ask_limits)
        return self._login

    async def usage(self, provider: Provider) -> Usage:
        """What is left of the plan, asked of the service. Raises ConfigurationError where there is none."""
        if provider.name == LOCAL and self._local is not None:
            address = self._local[0].chatgpt_url
        elif provider.name == "chatgpt":
            address = self.settings.chatgpt_url
        else:
            raise ConfigurationError(
                f"The provider {provider.name} has no plan whose limits could be asked for.",
                hint="%codex provider chatgpt",
            )
        async with AsyncClient(provider, settings=self.settings) as client:
            usage = await ask_usage(client, address)
        self.rate_limits = usage.limits
        return usage

    def start_turn(
        self,
        prompt: str,
        options: ParsedLine,
        listener: Listener,
        approvals: Approvals,
        withdrawn: Future[None],
    ) -> Future[AsyncTurnHandle]:
        """Begin a turn of the running cell, unless it is withdrawn while it waits for another one.

        Raises OptionError, ConfigurationError; the future NotSent or a CodexError.
        """
        asked = self._turn_options(options, approvals)
        return self.codex.submit(self._start_turn(prompt, options, asked, listener, withdrawn))

    def _turn_options(self, options: ParsedLine, approvals: Approvals) -> TurnOptions:
        magics = self.magics
        asked: TurnOptions = {
            "engine": turn_engine(options, magics),
            "model": options.text("model") or magics.model or None,
            "instructions": options.text("instructions") or magics.instructions or DEFAULT_INSTRUCTIONS,
            "effort": options.text("effort") or magics.effort or None,
            "verbosity": options.text("verbosity") or magics.verbosity or None,
            "service_tier": options.text("tier") or magics.tier or None,
            "cell_id": cell_id(self.shell),
        }
        choice = options.text("provider") or magics.provider or None
        if asked["engine"] == "backend":
            return {**asked, "model_provider": self.provider(choice)}
        asked = {**asked, **turn_bounds(options, magics), "approvals": approvals}
        asked["model_provider"] = self._agents_provider(choice)
        if choice == LOCAL:
            asked["model"] = asked["model"] or LOCAL_AGENT_MODEL
        return asked

    def _agents_provider(self, choice: str | None) -> str | None:
        """The same in the agent's words: the local service is a server like any other."""
        return self._local_service().api_url if choice == LOCAL else choice or None

    async def _start_turn(
        self,
        prompt: str,
        options: ParsedLine,
        asked: TurnOptions,
        listener: Listener,
        withdrawn: Future[None],
    ) -> AsyncTurnHandle:
        for warning in await self._recover():
            listener(warning)
        thread = await self._thread_for(options)
        name = options.text("name")
        if name:
            await thread.set_name(name)
        # Not `thread.turn`: what one cell overrides must not hold for the next one.
        given = checked("turn", TurnOptions, asked)
        codex = self.codex.asynchronous
        while codex.is_answering(thread.id):
            listener(TurnQueued(thread.id, self._answering_cell(thread.id)))
            idle = asyncio.ensure_future(codex.idle(thread.id))
            await asyncio.wait({idle, asyncio.wrap_future(withdrawn)}, return_when=FIRST_COMPLETED)
            if withdrawn.done():
                idle.cancel()
                raise NotSent
        handle = await codex.start_turn(thread.record, prompt, given)
        handle.subscribe(listener)
        return handle

    def _answering_cell(self, thread_id: str) -> int | None:
        return next((turn.cell for turn in self.running if turn.thread_id == thread_id), None)

    async def _recover(self) -> list[Warned]:
        """What a kernel that died left unfinished, told once."""
        if self._recovered:
            return []
        self._recovered = True
        cut = await self.codex.asynchronous.store.run(lambda store: store.recover())
        return [Warned(turn.thread_id, CUT_OFF) for turn in cut[:1]]

    async def _thread_for(self, options: ParsedLine) -> AsyncThread:
        chosen = options.text("thread")
        if chosen:
            return await self.resume(chosen)
        if options.values.get("new"):
            return await self.new_thread()
        return await self.thread()

    async def thread(self) -> AsyncThread:
        """This notebook's thread: the one it had before a restart, else a new one."""
        if self._thread is None:
            codex = self.codex.asynchronous
            kept = None
            if self._key is not None:
                key = self._key
                kept = await codex.store.run(lambda store: store.notebook_thread(key))
            self._thread = await codex.thread_resume(kept) if kept else await self.new_thread()
        return self._thread

    async def new_thread(self) -> AsyncThread:
        return await self.use(await self.codex.asynchronous.thread_start())

    async def resume(self, wanted: str) -> AsyncThread:
        """Go on with the thread of that id, id beginning or name. Raises ThreadNotFoundError.

        The whole id of one that the agent's program keeps, of the Codex CLI for example, will do too.
        """
        codex = self.codex.asynchronous
        try:
            thread = await codex.thread_resume(await self.resolve(wanted))
        except ThreadNotFoundError as unknown:
            if _WHOLE_ID.fullmatch(wanted) is None:
                raise
            try:
                provider = self._agents_provider(self.magics.provider)
                thread = await codex.thread_resume(wanted, engine="app-server", model_provider=provider)
            except ConfigurationError:  # no program keeps anything here
                raise unknown from None
        return await self.use(thread)

    async def fork(self, wanted: str | None) -> AsyncThread:
        """Go on in a fork of that thread, or of this notebook's."""
        source = await self.resolve(wanted) if wanted else (await self.thread()).id
        return await self.use(await self.codex.asynchronous.thread_fork(source))

    async def resolve(self, wanted: str) -> str:
        """The full id of the thread of that id, id beginning or name. Raises ThreadNotFoundError."""
        return await self.codex.asynchronous.store.run(lambda store: store.resolve(wanted))

    async def current_id(self) -> str | None:
        """The id of this notebook's thread, if it has one; none is made."""
        if self._thread is not None:
            return self._thread.id
        key = self._key
        if key is None:
            return None
        return await self.codex.asynchronous.store.run(lambda store: store.notebook_thread(key))

    def remembered_model(self) -> str | None:
        """The provider's default model, as far as it is known without asking."""
        known = self._catalog().remembered(max_age=math.inf)
        try:
            return default_model(known).slug if known else None
        except ConfigurationError:
            return None

    def remembered_models(self) -> list[str]:
        """The names of the provider's models, as far as they are known without asking."""
        return self._catalog().names()

    def _catalog(self) -> Catalog:
        return Catalog(self.provider(), self.settings)

    async def use(self, thread: AsyncThread) -> AsyncThread:
        """Make `thread` this notebook's own, also after a restart."""
        self._thread = thread
        if self._key is not None:
            key = self._key
            await self.codex.asynchronous.store.run(lambda store: store.set_notebook_thread(key, thread.id))
        return thread

    def _local_provider(self) -> Provider:
        if self._local is None:
            from ..local_service import Pace, start

            service = start(pace=Pace(per_second=A_READERS_PACE), open_access=True)
            home = tempfile.TemporaryDirectory(prefix="codex_magic-local-", ignore_cleanup_errors=True)
            service.sign_in(Path(home.name))
            settings = dataclasses.replace(
                self.settings,
                codex_home=Path(home.name),
                base_url=service.base_url,
                chatgpt_url=service.chatgpt_url,
                issuer=service.issuer,
            )
            self._local = service, dataclasses.replace(chatgpt(settings), name=LOCAL), home
        return self._local[1]

    def _local_service(self) -> LocalService:
        self._local_provider()
        assert self._local is not None
        return self._local[0]
