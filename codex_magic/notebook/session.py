"""The state of one notebook: its providers, the thread it is on, the turns that run, what failed last."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import os
import re
import shutil
import signal
import tempfile
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from ..context.secrets import OutgoingMask
from ..engines.approvals import Approvals
from ..protocol import types
from ..protocol.errors import CodexError, ConfigurationError, OptionError, StoreError, ThreadNotFoundError
from ..protocol.ids import new_id
from ..protocol.plain import shorten
from ..protocol.policy import policy_bounds
from ..protocol.settings import Settings
from ..responses.catalog import Catalog, find_model
from ..responses.client import AsyncClient, Usage, fetch_usage
from ..responses.provider import Provider, chatgpt
from ..threads.codex import AsyncThread
from ..threads.options import DEFAULT_INSTRUCTIONS, CodexConfig, TurnOptions, checked
from ..threads.store import NotebookRecord, Store, TurnRecord
from ..threads.sync import Codex, keep_running
from ..threads.turns import AsyncTurnHandle, Listener
from ..values.replay import KeptTurn
from ..waiting import Steps, begin_anew_in_children, finished
from .context import Context, Request, Told, learn_secrets
from .gathering import Kernel, deleted_turns, look
from .options import ParsedLine, approval, engine, folder, sandbox
from .options import checked as checked_option
from .recognition import Evidence, Recognition, gather, read_cells, recognise
from .replay import Question, Wish, service_of, wish
from .runs import Runs
from .screen import ID_SHOWN, Screen, ago, count
from .shell import Installed, NotebookSettings, NotSent
from .tools.registry import ToolRegistry
from .trace import Trace

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .extension import Extension
    from .login import LoginFlow
    from .mentioned import Mentioned
    from .suggestions import Suggestions
    from .tools.agent_files import AgentFiles
    from .tools.changes import Commit

T = TypeVar("T")

Offer = Callable[[Context, TurnOptions], TurnOptions]
"""Returns more options for a turn with these, about the notebook as it is when it is asked."""

log = logging.getLogger(__name__)

MOST_NAMED = 4
"""Files that are named of those that can't be put back."""

MOST_SENT = 16
"""Questions that are kept as they were sent; of earlier ones the store has what they brought along."""

MOST_ENDED = 16
"""Turns that are over and still listed by `%codex turns`."""

LOCAL = "local"
LOCAL_AGENT_MODEL = "gpt-5.5"  # the one of its models that the agent's program knows how to give its tools to


class Saving(Protocol):
    """What becomes of an answer in variables. `schema`: what the answer shall fit."""

    @property
    def schema(self) -> Mapping[str, Any] | None: ...

    def take(self, handle: AsyncTurnHandle | None) -> None:
        """Take what there is of a turn that is over; `None`: it never began."""


class Sent(NamedTuple):
    """A question that was sent. `output`: the id of its answer."""

    request: Request
    thread: str
    output: str


class Task(NamedTuple):
    """What a cell or a command asks. `brings`: what goes along besides; `after`: what is done with the whole answer;
    `saving`: what becomes of it in variables; `is_beside`: it does not take the place of what its cell has asked."""

    prompt: str
    options: ParsedLine
    brings: Sequence[Mentioned] = ()
    after: Callable[[Session, types.TurnResult], Steps[None]] | None = None
    saving: Saving | None = None
    is_beside: bool = False


class Session:
    """Created at the first use of a magic; the environment is read then."""

    def __init__(
        self, shell: InteractiveShell, settings: NotebookSettings, runs: Runs, extension: Extension
    ) -> None:
        self.shell, self.settings, self.runs = shell, settings, runs
        self.extension = extension
        self.installed = Installed()
        self.screen = Screen(shell, extension)
        self.env = Settings.from_env()
        with suppress(ConfigurationError):  # where a policy can't be read, every use of it says so
            _keep_within_policy(settings)
        self.blocking = Codex(CodexConfig(settings=self.env))
        self.codex = self.blocking.asynchronous
        self.last_error: BaseException | None = None
        self.rate_limits: types.RateLimits | None = None
        self._left_out: list[str] = []  # what was said last of files that can't be put back
        self.running: list[RunningTurn] = []  # those that are not over, oldest first
        self.ended: deque[TurnRow] = deque(maxlen=MOST_ENDED)
        self._turns = itertools.count(1)
        self.unkept: StoreError | None = None  # why this notebook's conversation is in memory only
        self._evidence: Evidence | None = None
        self._notebook: Recognition | None = None
        self.mask = OutgoingMask()
        """With the numbers of the thread that was asked last."""
        self._masks: dict[str, OutgoingMask] = {}  # by thread
        self.readable: str | None = None  # the folder whose notebook the model may read until the kernel ends
        self.acting: set[tuple[str, str]] = set()  # those that seemed quiet, and were not
        self.committed: list[Commit] = []  # code that ran and stays, oldest first
        self.tools = ToolRegistry()
        self.sent: dict[str, Sent] = {}
        """The last questions, by their turns, oldest first."""
        self.trace: Trace | None = None  # where the time of the last turn went
        self._thread: AsyncThread | None = None
        self._note: str | None = None  # what the next answer says of the thread it continues
        self._login: LoginFlow | None = None
        self._local: LocalProvider | None = None
        self._suggestions: Suggestions | None = None
        begin_anew_in_children(self)

    def heed_termination(self) -> None:
        """Write what came of running turns when this process is ended, unless somebody else sees to that."""
        _replace_termination(signal.SIG_DFL, _keep_and_end)

    def forked(self) -> object:
        """See `waiting.begin_anew_in_children`: the turns that run and the sign-in that waits are the parent's."""
        left, self.running, self._login = (self.running, self._login), [], None
        return left

    def close(self) -> None:
        if self._login is not None:
            self._login.close().result()
        if self._suggestions is not None:
            self.blocking.call(self._suggestions.close())
        self.blocking.close()
        _replace_termination(_keep_and_end, signal.SIG_DFL)
        if self._local is not None:
            self._local.close()

    def wait(self, work: Coroutine[Any, Any, T]) -> Steps[T]:
        """Run `work` in the background loop, and wait for it. Raises what it raises."""
        return (yield from finished(self.blocking.submit(work)))

    def start_turn(
        self, task: Task, listener: Listener, approvals: Approvals, offer: Offer, *, output: str
    ) -> RunningTurn:
        """Send what a cell asks, when its thread answers nothing else. Raises OptionError, ConfigurationError.

        `listener` is called in the background loop with each notification. `offer` gives the turn its tools.
        `output`: the id of the answer.
        """
        context, prompt = self.gather_context(task)
        # Of an id of its own, so that it counts as long as its answer stands in the notebook.
        asking = new_id() if task.is_beside else context.kernel.cell
        turn_options = self.turn_options(task.options, approvals, cell=asking)
        turn_options["output_schema"] = task.saving.schema if task.saving else None
        turn_options |= offer(context, turn_options)
        files = None
        if turn_options["engine"] == "app-server":
            from .tools.agent_files import AgentFiles

            files = AgentFiles(str(turn_options["cwd"]))
            turn_options["approvals"] = files.asking(turn_options["approvals"] or approvals)
        # `execution_count` is the number of the next cell in newer IPythons.
        cell = len(self.shell.user_ns["In"]) - 1
        turn = RunningTurn(self, prompt, task, context, listener, cell=cell, output=output)
        turn.number, turn.files = next(self._turns), files
        turn.wish = wish(self.answers, self.service, task.options, context, self.env)
        turn.started = self.blocking.submit(self._start_turn(turn, turn_options))
        self.running.append(turn)
        self.extension.turns[output] = turn
        return turn

    def keep(self, files: AgentFiles) -> None:
        """Note what the agent's turn has changed, for an undo."""
        from .tools.changes import Commit, remember

        if commit := Commit(None, files.end()):
            remember(self.committed, commit)

    def turn_options(
        self, options: ParsedLine, approvals: Approvals, *, cell: str | None = None
    ) -> TurnOptions:
        """Return all that holds for a turn of `cell`: its own options, else the notebook's settings.

        Raises OptionError.
        """

        def chosen(name: str) -> str | None:
            return options.text(name) or getattr(self.settings, name) or None

        name = "app-server" if options.values.get("agent") else engine(self.settings.engine)
        bound = next((word for word in ("sandbox", "approval", "cwd") if word in options.values), None)
        if name == "backend" and bound is not None:
            hint = f"For example: `%%codex --agent --{bound} ...`"
            raise OptionError(f"--{bound} needs --agent.", hint=hint)
        provider, model = chosen("provider"), chosen("model")
        turn_options: TurnOptions = {
            "engine": name,
            "model": model,
            "instructions": chosen("instructions") or DEFAULT_INSTRUCTIONS,
            "effort": chosen("effort"),
            "verbosity": chosen("verbosity"),
            "service_tier": chosen("tier"),
            "cell_id": cell,
            "mask": None if options.values.get("no-mask") else self.mask,
        }
        if name == "backend":
            return {**turn_options, "model_provider": self.provider(provider)}
        if provider == LOCAL:
            turn_options["model"] = model or LOCAL_AGENT_MODEL
        return {
            **turn_options,
            # All of them, so that nothing of an earlier cell holds.
            "sandbox": sandbox(chosen("sandbox") or ""),
            "approval_mode": approval(chosen("approval") or ""),
            "cwd": folder(chosen("cwd") or ""),
            "approvals": approvals,
            "model_provider": self.agent_provider(provider),
        }

    async def _start_turn(self, turn: RunningTurn, turn_options: TurnOptions) -> AsyncTurnHandle:
        """Raises NotSent when it is withdrawn in time, else CodexError."""

        def tell(notification: types.Notification) -> None:
            turn.trace.hear(notification)
            if turn.files is not None:
                turn.files.hear(notification)
            match notification:
                case types.RateLimitsUpdated(rate_limits=limits):
                    self.rate_limits = limits
                case types.ItemCompleted(item=types.ToolCall() as call):
                    self.tools.note(call)
            turn.listener(notification)

        wanted = turn.options.text("thread")
        own = self.new_thread if turn.options.values.get("new") else self.thread
        try:
            thread = await (self.resume(wanted) if wanted else own())
            handle = await self._start_on(thread, turn, turn_options, tell)
        except StoreError as problem:
            if problem.is_busy or wanted:
                raise
            self.unkept = problem
            try:
                past = None if turn.options.values.get("new") else await self.thread()
                copy = await self.codex.thread_fork(past.id, ephemeral=True) if past else None
            except CodexError as error:
                log.info("nothing of the conversation so far goes along: %s", error)
                copy = None
            self._thread = thread = copy or await self.codex.thread_start(ephemeral=True)
            handle = await self._start_on(thread, turn, turn_options, tell)
        handle.subscribe(tell)
        return handle

    async def _start_on(
        self, thread: AsyncThread, turn: RunningTurn, turn_options: TurnOptions, tell: Listener
    ) -> AsyncTurnHandle:
        """Start the turn on `thread`, and tell first what there is to say of the thread."""
        note, self._note = self._note if self._thread is thread else None, None
        if (notebook := await self._recognise()) is not None:
            turn_options["notebook"] = self.extension.notebook = notebook.id
        if name := turn.options.text("name"):
            await thread.set_name(name)
        await self._wait_in_line(thread.id, turn, tell)
        cut_off = await self.codex.store_of(thread.id).run(lambda store: store.take_cut_off(thread.id))
        turn_options["left_out"] = await self.deleted_turns(thread, turn.context.kernel)
        told = await self._told(thread, turn.context, turn.prompt, turn_options)
        if turn_options["mask"] is not None:
            turn_options["mask"] = self.mask = await self.mask_of(thread)
        # Not `thread.turn`: what one cell overrides must not hold for the next one.
        checked_options = checked("turn", TurnOptions, turn_options)
        provider = turn.options.text("provider")
        service = service_of(provider) if provider else self.service
        question = Question(self.codex, thread, service, turn.context, told, checked_options)
        if turn.wish.kinds and (stored := await question.answer(turn.wish)) is not None:
            for line in turn.context.notes:
                tell(types.Noted(thread.id, line))
            turn.is_kept = isinstance(stored, KeptTurn)
            return stored
        left_out = await turn.files.begin() if turn.files is not None else []
        handle = await self.codex.start_turn(thread.record, told.inputs, checked_options)
        turn.question = question
        for old in [*self.sent][: 1 - MOST_SENT]:
            del self.sent[old]
        self.sent[handle.id] = Sent(Request(told, turn_options, []), thread.id, turn.output)
        if self.unkept is not None:
            end = "This conversation is not saved: it is gone when the kernel ends."
            tell(types.Warned(None, f"{self.unkept} {end}"))
        elif note is not None:
            tell(types.Noted(thread.id, note))
        if left_out != self._left_out:
            self._left_out = left_out
            tell(types.Noted(thread.id, _left_out_line(left_out)))
        for line in filter(None, (*turn.context.notes, told.line)):
            tell(types.Noted(thread.id, line))
        if self.unkept is not None:
            return handle
        for each in cut_off:
            if each.cell_id is None or each.cell_id != turn_options.get("cell_id"):
                tell(types.Warned(thread.id, _cut_off_warning(each)))
        return handle

    async def preview(
        self, context: Context, prompt: str, options: ParsedLine, turn_options: TurnOptions
    ) -> Request:
        """Return what a question would be sent with; nothing is sent, and no thread is made."""
        if (notebook := await self._recognise()) is not None:
            turn_options["notebook"] = notebook.id
        wanted = options.text("thread")
        known = await (self.resolve(wanted) if wanted else self.current_id())
        if known is None or options.values.get("new"):
            return Request(context.told(prompt, {}, OutgoingMask(of=self.mask)), turn_options, [])
        thread = await self.codex.thread_resume(known)
        turn_options["left_out"] = await self.deleted_turns(thread, context.kernel)
        earlier = await thread.history()
        cells, cell = [turn.cell_id for turn in earlier], turn_options.get("cell_id")
        if cell is not None and cell in cells:
            earlier = earlier[: cells.index(cell)]  # what runs again takes the place of what it was
        return Request(await self._told(thread, context, prompt, turn_options), turn_options, earlier)

    async def deleted_turns(self, thread: AsyncThread, kernel: Kernel) -> list[str]:
        """Return the ids of this notebook's turns of the thread whose cells were deleted."""
        notebook = await self._recognise() if kernel.page or kernel.deleted else None
        if notebook is None:
            return []
        path = self.path

        def look(store: Store) -> list[str]:
            notebooks = store.notebook_lineage(notebook.id)
            turns = store.history(thread.id, include_items=False)
            return deleted_turns([each for each in turns if each.notebook in notebooks], kernel, path)

        return await self.codex.store.run(look)

    def look(self) -> Kernel:
        """Return what the kernel knows now; in the thread of the cell that runs."""
        kernel = look(self.shell, self.runs, self.extension.run)
        return kernel._replace(regions=self.extension.regions)

    async def _told(self, thread: AsyncThread, context: Context, prompt: str, options: TurnOptions) -> Told:
        """Return the question with what is new of the notebook to `thread`."""
        held: dict[str, str] = {}
        if not context.is_empty():
            cell, notebook = options.get("cell_id"), options.get("notebook")
            left_out = options.get("left_out") or ()
            held = await thread.held(cell_id=cell, notebook=notebook, prompt=prompt, left_out=left_out)
        return context.told(prompt, held, await self.mask_of(thread))

    async def mask_of(self, thread: AsyncThread) -> OutgoingMask:
        """Return the mask with the numbers that the thread has for secrets, also from other kernels."""
        if thread.id not in self._masks:
            store = self.codex.store_of(thread.id)
            numbers = await store.run(lambda store: store.placeholders(thread.id))
            self._masks[thread.id] = OutgoingMask(held=numbers | await thread.held(), of=self.mask)
        return self._masks[thread.id]

    def gather_context(self, task: Task) -> tuple[Context, str]:
        """Return what the running cell may tell of its notebook, and its prompt with expressions inserted.

        Raises OptionError for a setting that can't be.
        """
        options = task.options
        scope = options.text("context") or checked_option("context", self.settings.context or "above")
        kernel = self.look()
        mask = None if options.values.get("no-mask") else self.known_secrets()
        context = Context(self.shell, kernel, self.path, scope=scope, mask=mask)
        prompt = context.mention(task.prompt, int(options.text("rows") or self.settings.sample_rows))
        context.mentioned = [*task.brings, *context.mentioned]
        return context, prompt

    def known_secrets(self) -> OutgoingMask:
        """Return the notebook's mask, which knows what is secret now."""
        learn_secrets(self.mask, self.shell, self.path, self.settings.secrets)
        return self.mask

    def sources(self) -> dict[str, str]:
        """Return the cells as they stand in the page, else as they were saved or ran last, by their ids."""
        kernel = self.look()
        cells = kernel.page or read_cells(self.path or "") or ()
        ran = {run.cell: run.source for run in kernel.runs if run.cell is not None}
        return ran | {each.id: each.text for each in cells if each.id is not None}

    @property
    def path(self) -> str | None:
        """Where the notebook is, as far as that is known."""
        self._evidence = self._evidence or self._gather()
        known = self._notebook.evidence if self._notebook is not None else self._evidence
        return known.path if known is not None else None

    async def _wait_in_line(self, thread_id: str, turn: RunningTurn, tell: Listener) -> None:
        """Wait until the thread answers nothing else, and say so. Raises NotSent."""
        while self.codex.is_answering(thread_id):
            handles = ((each.cell, each.handle) for each in self.running)
            cell = next((n for n, handle in handles if handle and handle.thread_id == thread_id), None)
            tell(types.TurnQueued(thread_id, cell))
            idle = asyncio.ensure_future(self.codex.idle(thread_id))
            withdrawn = asyncio.wrap_future(turn.withdrawn)
            await asyncio.wait({idle, withdrawn}, return_when=asyncio.FIRST_COMPLETED)
            if withdrawn.done():
                idle.cancel()
                raise NotSent

    async def thread(self) -> AsyncThread:
        """Return this notebook's thread: the one it had before, else a new one; a copy's is a fork."""
        if self._thread is not None:
            return self._thread
        notebook = await self._recognise()
        original = notebook.original if notebook is not None else None
        past = notebook and (notebook.thread_id or (original and original.thread_id))
        if not past:
            return await self.new_thread()
        thread = await self.codex.thread_resume(past)
        if turns := await thread.history(include_items=False):
            name = Path(original.path).name if original and original.path else "another notebook"
            what = f"A copy of {name}: continues in a fork of" if original else "Continues"
            about = f"{count(len(turns), 'turn')}, last used {ago(thread.record.updated_at)}"
            self._note = f"{what} thread {thread.id[:ID_SHOWN]}: {about}. Start fresh: `%codex new`"
        return await self.use(await self.codex.thread_fork(thread.id) if original else thread)

    async def new_thread(self) -> AsyncThread:
        return await self.use(await self.codex.thread_start())

    async def resume(self, wanted: str) -> AsyncThread:
        """Continue the thread of that id, id beginning or name, or a whole id that the agent's program knows.

        Raises ThreadNotFoundError.
        """
        try:
            thread = await self.codex.thread_resume(await self.resolve(wanted))
        except ThreadNotFoundError as not_here:
            if re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", wanted) is None:
                raise
            try:
                provider = self.agent_provider(self.settings.provider)
                thread = await self.codex.thread_resume(wanted, engine="app-server", model_provider=provider)
            except ConfigurationError:  # no program keeps anything here
                raise not_here from None
        return await self.use(thread)

    async def fork(self, wanted: str | None) -> AsyncThread:
        """Continue in a fork of that thread, or of this notebook's."""
        source = await self.resolve(wanted) if wanted else (await self.thread()).id
        return await self.use(await self.codex.thread_fork(source))

    async def resolve(self, wanted: str) -> str:
        """Return the full id of the thread of that id, id beginning or name. Raises ThreadNotFoundError."""
        return await self.codex.store.run(lambda store: store.resolve(wanted))

    async def current_id(self) -> str | None:
        """Return the id of this notebook's thread, if it has one; none is created."""
        notebook = None if self._thread is not None else await self._recognise()
        return self._thread.id if self._thread is not None else notebook and notebook.thread_id

    async def use(self, thread: AsyncThread) -> AsyncThread:
        """Make `thread` this notebook's own, also after a restart."""
        self._thread, self.unkept = thread, None
        if (notebook := await self._recognise()) is not None:
            original, evidence = notebook.original, notebook.evidence
            copied_from = original.id if original else None
            record = NotebookRecord(notebook.id, thread.id, evidence.here, copied_from=copied_from)
            await self.codex.store.run(lambda store: store.keep_notebook(record, kernel=evidence.kernel))
        return thread

    async def notebook_id(self) -> str | None:
        """Return the id that the store has, or would have, for this notebook; `None` in a terminal."""
        notebook = await self._recognise()
        return notebook.id if notebook is not None else None

    def _gather(self) -> Evidence | None:
        return gather(self.shell, self.runs.cells, said=self.extension.said)

    async def _recognise(self) -> Recognition | None:
        """Return which notebook this is, unless its conversation can't be kept; nothing is written."""
        if self.unkept is not None:
            return None
        if self._notebook is None and (evidence := self._evidence or self._gather()):
            self._notebook = await self.codex.store.run(lambda store: recognise(store, evidence))
        return self._notebook

    @property
    def service(self) -> str:
        """Who answers, unless a cell says otherwise; nothing for OpenAI."""
        return service_of(self.settings.provider)

    @property
    def answers(self) -> str:
        """The setting of stored answers: the notebook's, else the environment's."""
        return self.settings.answers or self.env.answers

    def provider(self, choice: str | None = None) -> Provider:
        """Return the provider that `choice`, else the notebook's, stands for. Raises ConfigurationError."""
        choice = choice or self.settings.provider or None
        if choice == LOCAL:
            policy_bounds().check("provider", LOCAL)
        return self.local.provider if choice == LOCAL else self.codex.provider(choice)

    @property
    def local(self) -> LocalProvider:
        self._local = self._local or LocalProvider(self.env)
        return self._local

    def agent_provider(self, choice: str | None) -> str | None:
        """Return the same in the agent's words, to which the local service is a server like any other."""
        return self.local.service.api_url if choice == LOCAL else choice or None

    @property
    def login(self) -> LoginFlow:
        if self._login is None:
            from .login import LoginFlow  # signing in is rare, and its imports are not small

            async def ask_limits() -> types.RateLimits:
                return (await self.usage(self.provider("chatgpt"))).limits

            self._login = LoginFlow(self.blocking, ask_limits)
        return self._login

    @property
    def suggestions(self) -> Suggestions:
        if self._suggestions is None:
            from .suggestions import Suggestions  # most notebooks have none

            about = self.shell, self.runs, self.settings, self.env, self.mask
            self._suggestions = Suggestions(*about, codex=self.blocking, provider=self.provider)
        return self._suggestions

    def model_in_use(self) -> str:
        """Return the model that a question goes to; empty where only the service knows its default."""
        model = None if self.settings.model else Catalog(self.provider(), self.env).in_use(None)
        return model.slug if model is not None else self.settings.model

    async def check_model(self, name: str) -> None:
        """Raise ModelNotFoundError for a name that is not in the provider's list, if it has one."""
        models = await self.codex.models(provider=self.provider(), include_hidden=True)
        if models:
            find_model([*models], name)

    async def usage(self, provider: Provider) -> Usage:
        """Ask the service what is left of the plan. Raises ConfigurationError where there is none."""
        if provider.name not in (LOCAL, "chatgpt"):
            problem = f"The provider {provider.name} has no plan limits to show."
            raise ConfigurationError(problem, hint="Choose one that has: `%codex provider chatgpt`")
        address = self.local.service.chatgpt_url if provider.name == LOCAL else self.env.chatgpt_url
        async with AsyncClient(provider, settings=self.env) as client:
            usage = await fetch_usage(client.transport, address)
        self.rate_limits = usage.limits
        return usage


class TurnRow(NamedTuple):
    """What is listed of a turn; `seconds`: how long it takes, or took."""

    number: int
    cell: int
    prompt: str
    state: str
    seconds: float


class RunningTurn:
    """A turn of the notebook, from its request until all of it is on screen.

    `listener` hears what is to be told of it; `cell`: the number of its cell; `output`: the id of its answer.
    `started` has its handle, once the thread answers nothing else, else NotSent or a CodexError; `withdrawn` is
    done when it is to be taken back before that, `over` at its end.
    """

    def __init__(
        self,
        session: Session,
        prompt: str,
        task: Task,
        context: Context,
        listener: Listener,
        *,
        cell: int,
        output: str,
    ) -> None:
        self.prompt, self.options, self.context, self.cell = prompt, task.options, context, cell
        self.output, self.listener, self._saving = output, listener, task.saving
        self.trace = Trace()
        session.trace = self.trace
        self.wish: Wish
        self.question: Question | None = None
        self.is_kept = False
        self.started: Future[AsyncTurnHandle]
        self.number = 0
        """What a person calls it by."""
        self.files: AgentFiles | None = None
        """What the agent changes, if that answers."""
        self.withdrawn: Future[None] = Future()
        self.over: Future[None] = Future()
        self._session = session
        self.began = time.monotonic()

    @property
    def handle(self) -> AsyncTurnHandle | None:
        """`None` before it has started, and when it never will."""
        started = self.started
        is_there = started.done() and not started.cancelled() and started.exception() is None
        return started.result() if is_there else None

    def row(self, state: str = "") -> TurnRow:
        """`state`: what it does, if it runs; else how it ended is said."""
        result = self.handle.result if self.handle is not None else None
        ended = "not sent" if result is None else result.status.value.replace("completed", "done")
        return TurnRow(self.number, self.cell, self.prompt, state or ended, time.monotonic() - self.began)

    def stop(self) -> None:
        """Interrupt it, as soon as it has started, or take it back if it still waits; from any thread."""
        with suppress(InvalidStateError):
            self.withdrawn.set_result(None)
        submit = self._session.blocking.submit
        self.started.add_done_callback(lambda _: self.handle and submit(self.handle.interrupt()))

    def steer(self, text: str) -> None:
        """Add to its question, as soon as it has started; from any thread. What goes wrong is told in the answer."""
        submit = self._session.blocking.submit
        self.started.add_done_callback(lambda _: self.handle and submit(self._steer(self.handle, text)))

    async def _steer(self, handle: AsyncTurnHandle, text: str) -> None:
        try:
            await handle.steer(text)
        except CodexError as error:
            self.listener(types.Warned(None, f"Codex did not get “{shorten(text, 60)}”. {error}"))

    def end(self) -> None:
        """Leave the running turns, and save what the cell's options want of the answer."""
        self._session.running.remove(self)
        self._session.ended.append(self.row())
        del self._session.extension.turns[self.output]
        if self._saving is not None:
            self._saving.take(self.handle)
        if self.files is not None:
            self._session.keep(self.files)
        if self.question is not None and self.handle is not None:
            # A kernel that is to run no other cell may end at once.
            self._session.blocking.submit(self.question.note(self.handle)).result()
        self.over.set_result(None)


def _keep_within_policy(settings: NotebookSettings) -> None:
    """Let what nobody has chosen be what the policy of this machine has in its place."""
    bounds, traits = policy_bounds(), settings.traits()
    for name in ("engine", "approval", "context", "reads", "runs"):
        if (word := getattr(settings, name)) == traits[name].default_value:
            setattr(settings, name, bounds.usual(name, word))


def _left_out_line(left_out: list[str]) -> str:
    """Say before a turn of which files below its folder nothing is kept."""
    if not left_out:
        return "`%codex undo` can put back all that it changes in its folder."
    some = ", ".join(left_out[:MOST_NAMED])
    more = f" and {len(left_out) - MOST_NAMED} more" if len(left_out) > MOST_NAMED else ""
    return f"`%codex undo` can put back what it changes in its folder, but not {some}{more}."


def _cut_off_warning(turn: TurnRecord) -> str:
    """Say of a turn that its kernel ended before it, and what is kept."""
    items = [entry.item for entry in turn.items]
    messages = [item for item in items if isinstance(item, types.UserMessage)]
    question = " ".join(types.input_text(message.content) for message in messages).strip()
    about = f'The answer to "{shorten(question, 61)}"' if question else "An earlier turn"
    kept = " Nothing of the answer had arrived; the question is kept." if question else ""
    if len(messages) < len(items):
        kept = " What had arrived, all but its last second, is kept. Continue with `%codex continue`."
    return f"{about} was cut off when its kernel ended.{kept}"


def _replace_termination(old: object, new: Any) -> None:
    """Handle SIGTERM in another way, where it is handled in the `old` one. Signals are the main thread's."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is old:
        signal.signal(signal.SIGTERM, new)


def _keep_and_end(number: int, frame: FrameType | None) -> None:
    """Write what came of running turns before SIGTERM ends this process."""
    keep_running()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTERM)


class LocalProvider:
    """The built-in imitation of the service, with a home and an account of its own, until `close`."""

    def __init__(self, settings: Settings) -> None:
        from ..local_service import Pace, start  # never part of a session that does not ask for it

        # About as many deltas a second as a real model writes.
        self.service = start(pace=Pace(per_second=100), open_access=True)
        home = Path(tempfile.mkdtemp(prefix="codex_magic-local-"))
        self._remove_home = weakref.finalize(self.service, _remove, home, os.getpid())
        self.service.sign_in(home)
        urls = {name: getattr(self.service, name) for name in ("base_url", "chatgpt_url", "issuer")}
        settings = dataclasses.replace(settings, codex_home=home, **urls)
        self.provider: Provider = dataclasses.replace(chatgpt(settings), name=LOCAL)

    def close(self) -> None:
        self.service.close()
        self._remove_home()


def _remove(folder: Path, process: int) -> None:
    """Remove the folder, unless this is a child of `process`, which may still need it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
