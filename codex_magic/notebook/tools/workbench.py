"""Where the code of one turn runs: in the shell's own thread, beside the cell that asks, or between the cells."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ...protocol.types import Trial
from .changes import Before, Commit, remember
from .execution import Execution, Runner
from .files import Picture

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .place import Place
    from .trial import Copy

NO_AWAIT = (
    "`await` can't be used at the top here: the cell blocks the event loop. Use asyncio.run in a thread."
)


class Work:
    """Code on its way from the engine to the shell's thread; `done` has what became of it, and is cancelled when
    it never ran. `message`: whose outputs a page shows in another cell than the one that asks."""

    def __init__(
        self,
        code: str,
        *,
        is_probe: bool,
        is_guarded: bool = False,
        message: Mapping[str, Any] | None = None,
        trial_seconds: float = 0.0,
    ) -> None:
        """`trial_seconds`: it is only tried, for so long; `tried` has what came of it."""
        self.code, self.is_probe, self.is_guarded = code, is_probe, is_guarded
        self.message, self.trial_seconds = message, trial_seconds
        self.done: Future[Execution] = Future()
        self.tried: Future[Trial] = Future()


class Workbench:
    """Runs code at a place, in the thread that drives its turn; what ran and stays is added to `committed`."""

    def __init__(
        self, shell: InteractiveShell, place: Place, committed: list[Commit], *, is_users: bool = False
    ) -> None:
        self._shell: Any = shell  # of a kernel, or of a terminal
        self._place, self._committed = place, committed
        self._runner = Runner(shell, is_users=is_users)
        self._open: list[Work] = []
        self._copies: list[Copy] = []

    async def run(
        self, code: str, *, is_probe: bool, is_guarded: bool, message: Mapping[str, Any] | None = None
    ) -> Execution:
        """Run code, from the engine's loop. Raises CancelledError when the turn ends before it has begun."""
        work = Work(code, is_probe=is_probe, is_guarded=is_guarded, message=message)
        self._add(work)
        return await asyncio.wrap_future(work.done)

    async def try_first(self, code: str, *, stays: bool, seconds: float) -> Trial:
        """Run code in a copy of the kernel, as `run` does in the kernel itself. Raises CancelledError."""
        work = Work(code, is_probe=not stays, trial_seconds=seconds)
        self._add(work)
        return await asyncio.wrap_future(work.tried)

    def _add(self, work: Work) -> None:
        if self._place.is_closed:
            raise asyncio.CancelledError
        self._open.append(work)
        self._place.put(partial(self._take, work))

    def begin(self, code: str) -> Future[Execution]:
        """Begin with code that stays, in the thread that drives the turn."""
        work = Work(code, is_probe=False, is_guarded=False)
        self._open.append(work)
        self._take(work)
        return work.done

    def waits(self) -> bool:
        """Whether a cell of the user's runs, which the code of a background turn waits for."""
        lock = getattr(getattr(self._shell, "kernel", None), "_main_asyncio_lock", None)
        return self._place.is_background and lock is not None and bool(lock.locked())

    def _take(self, work: Work) -> None:
        """Begin with work that has come, in the thread that drives the turn. Raises KeyboardInterrupt where the
        user stops it."""
        if work.done.done():
            if not work.done.cancelled() and work.done.result().was_stopped:
                raise KeyboardInterrupt
        elif self._place.is_background:
            self._begin_between_cells(work)
        elif self._place.is_blocking:
            self._work_off(self._run(work))
        else:
            self._place.context.run(asyncio.ensure_future, self._run(work))

    def close(self) -> None:
        """Stop what runs, and begin nothing more; from any thread."""
        for work in self._open:
            work.done.cancel()
            work.tried.cancel()
        for copy in self._copies:
            copy.kill()
        self._runner.interrupt()

    async def _run(self, work: Work) -> None:
        if work.trial_seconds:
            self._open.remove(work)
            self._try(work)
            return
        if not work.done.set_running_or_notify_cancel():
            return
        before = Before(self._shell.user_ns, work.code)
        picture = None if work.is_guarded else Picture(os.curdir)
        try:
            with _shown_for(self._shell, work.message):
                execution = await self._runner.run(
                    work.code, is_probe=work.is_probe, is_guarded=work.is_guarded
                )
        except BaseException as error:
            work.done.set_exception(error)
            raise
        finally:
            self._open.remove(work)
        execution.changes = before.differences()
        before.close()
        files = picture.changes() if picture is not None else None
        if commit := Commit(None if work.is_probe else before, files):
            remember(self._committed, commit)
        with suppress(InvalidStateError):
            work.done.set_result(execution)
        self._place.put(partial(self._take, work))

    def _try(self, work: Work) -> None:
        from .trial import Copy, why_not

        if not work.tried.set_running_or_notify_cancel():
            return
        why = why_not(self._shell)
        if not why:
            try:
                copy = Copy(
                    self._shell,
                    self._runner,
                    work.code,
                    stays=not work.is_probe,
                    seconds=work.trial_seconds,
                    done=work.tried,
                )
                self._copies.append(copy)
            except (OSError, RuntimeError) as error:
                why = str(error)
        if why:
            work.tried.set_result(Trial(f"not tried: {why}"))

    def _work_off(self, steps: Coroutine[Any, Any, None]) -> None:
        """Run steps to their end here, where a loop may be running that nobody can await."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._shell.loop_runner(steps)
            return
        with suppress(StopIteration):
            steps.send(None)
            steps.throw(RuntimeError(NO_AWAIT))

    def _begin_between_cells(self, work: Work) -> None:
        kernel = self._shell.kernel

        async def run() -> None:
            # ipykernel 7 holds this lock while a cell runs; ipykernel 6 has a queue instead.
            async with getattr(kernel, "_main_asyncio_lock", None) or nullcontext():
                await self._run(work)

        def begin() -> None:
            if hasattr(kernel, "schedule_dispatch"):
                kernel.schedule_dispatch(run)
            else:
                self._place.context.run(asyncio.ensure_future, run())

        kernel.io_loop.add_callback(begin)


@contextmanager
def _shown_for(shell: Any, message: Mapping[str, Any] | None) -> Iterator[None]:
    """Have what is shown go to who sent that message, in place of the cell that runs."""
    if message is None or not hasattr(shell, "set_parent"):
        yield
        return
    before = shell.get_parent()
    shell.set_parent(dict(message))
    try:
        yield
    finally:
        sys.stdout.flush()  # what is printed is sent later, to who is the parent then
        sys.stderr.flush()
        shell.set_parent(before)
