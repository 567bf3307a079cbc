"""The state of one notebook: its provider and model, its current thread, what failed last."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import os
import re
import shutil
import tempfile
import weakref
from asyncio import FIRST_COMPLETED
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from ..display.page import Page, UpdatedPage
from ..engines.approvals import Approvals
from ..forks import begin_anew_in_children
from ..protocol.errors import CodexError, ConfigurationError, StoreError, ThreadNotFoundError
from ..protocol.settings import Settings
from ..protocol.types import Noted, RateLimits, TurnQueued, UserMessage, Warned, input_text
from ..responses.catalog import Catalog, default_model
from ..responses.client import AsyncClient
from ..responses.provider import Provider, chatgpt
from ..responses.usage import Usage, fetch_usage
from ..threads.codex import AsyncThread, CodexConfig
from ..threads.instructions import DEFAULT_INSTRUCTIONS
from ..threads.options import TurnOptions, checked
from ..threads.store import NotebookRecord
from ..threads.sync import Codex
from ..threads.turns import AsyncTurnHandle, Listener
from .agent import turn_bounds, turn_engine
from .environment import page_for, shows_widgets
from .identity import cell_id, is_kernel
from .options import ParsedLine
from .outcome import NotSent
from .recognition import Recognition, gather, recognise
from .say import ID_SHOWN, ago, count
from .termination import keep_at_termination, leave_termination

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..local_service import LocalService
    from ..threads.store import TurnRecord
    from .login_flow import LoginFlow
    from .magics import CodexMagics
    from .turn import CellTurn

log = logging.getLogger(__name__)

_WHOLE_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

LOCAL = "local"

A_READERS_PACE = 100
"""Deltas a second of `%codex provider local`: about as fast as a real model writes."""

LOCAL_AGENT_MODEL = "gpt-5.5"
"""The one of its models that the agent's program knows how to give its tools to."""

CUT_OFF = "was cut off when its kernel ended."
SOME_KEPT = (
    "What had arrived of the answer, but for its last second, is kept; %codex continue goes on from it."
)
NONE_CAME = "Nothing of the answer had arrived; the question is kept."
UNKEPT = "So this conversation is kept nowhere: it is gone when the kernel ends."

_PAGE: ContextVar[Page | None] = ContextVar("page", default=None)
"""Of the running request: a button's callback may run beside a cell that waits."""


class Session:
    """Made at the first use of a magic; `settings` is read from the environment then."""

    def __init__(self, shell: InteractiveShell, magics: CodexMagics) -> None:
        self.shell = shell
        self.magics = magics
        self.settings = Settings.from_env()
        self.codex = Codex(CodexConfig(settings=self.settings))
        keep_at_termination()
        self.last_error: BaseException | None = None
        self.rate_limits: RateLimits | None = None
        self.running: list[CellTurn] = []
        """The turns of this notebook that have not ended, oldest first."""
        self._notebook: Recognition | None = None
        self._thread: AsyncThread | None = None
        self._note: str | None = None
        """What the next answer says of the thread it goes on with."""
        self.unkept: StoreError | None = None
        """Why this notebook's conversation is in memory only."""
        self.blocking = False
        """Whether the running cell keeps the kernel busy while it waits, so that buttons may be dead."""
        self._login: LoginFlow | None = None
        self._local: tuple[LocalService, Provider, Callable[[], object]] | None = None
        begin_anew_in_children(self)

    def forked(self) -> object:
        """See `forks`: the turns that run and the sign-in that waits are the parent's."""
        left = self.running, self._login
        self.running, self._login = [], None
        return left

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
        leave_termination()
        if self._local is not None:
            service, _, remove_home = self._local
            service.close()
            remove_home()
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
            usage = await fetch_usage(client.transport, address)
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
        try:
            handle, words = await self._begun(prompt, options, asked, listener, withdrawn)
        except StoreError as problem:
            if problem.is_busy or options.text("thread"):
                raise
            self.unkept = problem
            self._thread = await self._unkept_thread(options)
            values = {name: each for name, each in options.values.items() if name != "new"}
            handle, words = await self._begun(
                prompt, ParsedLine(values, options.rest), asked, listener, withdrawn
            )
        if self.unkept is not None:
            words = [Warned(None, f"{self.unkept} {UNKEPT}")]
        for word in words:
            listener(word)
        handle.subscribe(listener)
        return handle

    async def _begun(
        self,
        prompt: str,
        options: ParsedLine,
        asked: TurnOptions,
        listener: Listener,
        withdrawn: Future[None],
    ) -> tuple[AsyncTurnHandle, list[Noted | Warned]]:
        """The turn, and what is to be said of its thread and of turns that a kernel's end cut off."""
        codex = self.codex.asynchronous
        thread = await self._thread_for(options)
        words: list[Noted | Warned] = []
        if self._note is not None and self._thread is thread:
            words.append(Noted(thread.id, self._note))
        self._note = None
        if self.unkept is None and (notebook := await self._recognised()) is not None:
            asked["notebook"] = notebook.id
        name = options.text("name")
        if name:
            await thread.set_name(name)
        await self._wait_in_line(thread.id, listener, withdrawn)
        cut_off = await codex.store_of(thread.id).run(lambda store: store.take_cut_off(thread.id))
        again = asked.get("cell_id")
        words += [
            Warned(thread.id, _cut_off(turn)) for turn in cut_off if again is None or turn.cell_id != again
        ]
        # Not `thread.turn`: what one cell overrides must not hold for the next one.
        return await codex.start_turn(thread.record, prompt, checked("turn", TurnOptions, asked)), words

    async def _wait_in_line(self, thread_id: str, listener: Listener, withdrawn: Future[None]) -> None:
        """Wait until the thread answers nothing else, and say so. Raises NotSent when the turn is taken back."""
        codex = self.codex.asynchronous
        while codex.is_answering(thread_id):
            listener(TurnQueued(thread_id, self._answering_cell(thread_id)))
            idle = asyncio.ensure_future(codex.idle(thread_id))
            await asyncio.wait({idle, asyncio.wrap_future(withdrawn)}, return_when=FIRST_COMPLETED)
            if withdrawn.done():
                idle.cancel()
                raise NotSent

    def _answering_cell(self, thread_id: str) -> int | None:
        return next((turn.cell for turn in self.running if turn.thread_id == thread_id), None)

    async def _unkept_thread(self, options: ParsedLine) -> AsyncThread:
        """A thread in memory: with this notebook's past, where that can still be read."""
        codex = self.codex.asynchronous
        try:
            if not options.values.get("new"):
                return await codex.thread_fork((await self.thread()).id, ephemeral=True)
        except CodexError as error:
            log.info("nothing of the conversation so far goes along: %s", error)
        return await codex.thread_start(ephemeral=True)

    async def _thread_for(self, options: ParsedLine) -> AsyncThread:
        chosen = options.text("thread")
        if chosen:
            return await self.resume(chosen)
        if options.values.get("new"):
            return await self.new_thread()
        return await self.thread()

    async def thread(self) -> AsyncThread:
        """This notebook's thread: the one it had before, else a new one; a copy's is a fork."""
        if self._thread is None:
            codex = self.codex.asynchronous
            notebook = await self._recognised()
            if notebook is not None and notebook.thread_id is not None:
                kept = await codex.thread_resume(notebook.thread_id)
                self._note = await self._continues(kept, "continues thread")
                self._thread = await self.use(kept)
            elif notebook is not None and notebook.original is not None:
                kept = await codex.thread_resume(notebook.original.thread_id)
                copy = f"a copy of {_name(notebook.original)}: continues in a fork of thread"
                self._note = await self._continues(kept, copy)
                self._thread = await self.use(await codex.thread_fork(kept.id))
            else:
                self._thread = await self.new_thread()
        return self._thread

    async def _continues(self, kept: AsyncThread, what: str) -> str | None:
        turns = await kept.history(include_items=False)
        if not turns:
            return None
        used = ago(kept.record.updated_at)
        return f"{what} {kept.id[:ID_SHOWN]}… ({count(len(turns), 'turn')}, {used}) · `%codex new`"

    async def _recognised(self) -> Recognition | None:
        """Which notebook this is; nothing is written."""
        if self._notebook is None:
            evidence = gather(self.shell, self.magics.cells)
            if evidence is not None:
                store = self.codex.asynchronous.store
                self._notebook = await store.run(lambda store: recognise(store, evidence))
        return self._notebook

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
        notebook = await self._recognised()
        return notebook.thread_id if notebook is not None else None

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
        self._thread, self.unkept = thread, None
        notebook = await self._recognised()
        if notebook is not None:
            original, evidence = notebook.original, notebook.evidence
            record = NotebookRecord(
                notebook.id, thread.id, evidence.here, copied_from=original.id if original else None
            )
            await self.codex.asynchronous.store.run(
                lambda store: store.keep_notebook(record, kernel=evidence.kernel)
            )
        return thread

    def _local_provider(self) -> Provider:
        if self._local is None:
            from ..local_service import Pace, start

            service = start(pace=Pace(per_second=A_READERS_PACE), open_access=True)
            home = Path(tempfile.mkdtemp(prefix="codex_magic-local-"))
            remove_home = weakref.finalize(service, _remove, home, os.getpid())
            service.sign_in(home)
            settings = dataclasses.replace(
                self.settings,
                codex_home=home,
                base_url=service.base_url,
                chatgpt_url=service.chatgpt_url,
                issuer=service.issuer,
            )
            self._local = service, dataclasses.replace(chatgpt(settings), name=LOCAL), remove_home
        return self._local[1]

    def _local_service(self) -> LocalService:
        self._local_provider()
        assert self._local is not None
        return self._local[0]


def _name(notebook: NotebookRecord) -> str:
    return Path(notebook.path).name if notebook.path else "another notebook"


def _cut_off(turn: TurnRecord) -> str:
    items = [entry.item for entry in turn.items]
    question = " ".join(input_text(item.content) for item in items if isinstance(item, UserMessage))
    came = any(not isinstance(item, UserMessage) for item in items)
    shown = " ".join(question.split())
    about = f'The answer to "{shown[:60]}{"…" if shown[60:] else ""}"' if shown else "An earlier turn"
    return f"{about} {CUT_OFF} {SOME_KEPT if came else NONE_CAME if shown else ''}".rstrip()


def _remove(folder: Path, process: int) -> None:
    """Unless this is a child of `process`, which may still need it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
