"""Whether a cell is asked anew, or has its stored answer: which one, by what its question is made of."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from ..auth.storage import Storage
from ..protocol import types
from ..protocol.errors import InvalidRequestError, NoStoredAnswerError, StoreError
from ..protocol.ids import is_number
from ..threads.options import Options
from ..threads.store import Store, TurnRecord
from ..values.journal import Journal
from ..values.replay import SAYS_NOTHING, TEXTS, KeptTurn, dialogue, find_turn, told_again
from .context import Context, Told
from .environment import is_attended
from .options import answers
from .screen import ago

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from ..protocol.settings import Settings
    from ..threads.codex import AsyncCodex, AsyncThread
    from ..threads.turns import AsyncTurnHandle
    from .options import ParsedLine

log = logging.getLogger(__name__)

WHOLE, CODE = "whole", "code"
"""The question with all that is known of the notebook, or with the code above it alone: nbconvert and papermill tell a
kernel of nothing else."""

_NUMBERS = re.compile(r"\bIn ?\[\d+\]")


class Wish(NamedTuple):
    """`kinds`: by which of its keys a stored answer is looked for; none: it is asked anew. `is_must`: or not at all.

    `is_own`: the one that this cell has itself will do, unless something was done for it: what came of that may be
    gone, and a kernel that began anew has lost it.
    """

    kinds: tuple[str, ...] = ()
    is_must: bool = False
    is_own: bool = False


ANEW = Wish()


def wish(word: str, provider: str, options: ParsedLine, context: Context, settings: Settings) -> Wish:
    """Return whether a stored answer will do for this cell, by the setting's `word` and who is asked.

    Raises OptionError for a setting that can't be.
    """
    if options.values.get("again"):
        return ANEW
    provider = options.text("provider") or provider
    word = "replay" if options.values.get("replay") else answers(word)
    if word == "replay":
        return Wish((WHOLE, CODE), is_must=True)
    if word == "keep" or (word == "auto" and context.kernel.is_one_of_many):
        return Wish((WHOLE,), is_own=True)
    is_alone = word == "auto" and is_helpless(context.shell, service_of(provider), settings)
    return Wish((WHOLE, CODE)) if is_alone else ANEW


def is_helpless(shell: InteractiveShell, provider: str, settings: Settings) -> bool:
    """Whether nobody is there to sign in, and nobody has."""
    if is_attended(shell) or provider or settings.openai_api_key:
        return False
    return Storage.of(settings).read() is None


def service_of(provider: str) -> str:
    """Return the same for OpenAI with whichever sign-in: nothing."""
    return "" if provider in ("chatgpt", "openai") else provider


class Question:
    """What a cell asks `thread`, with all that its answer depends on."""

    def __init__(
        self,
        codex: AsyncCodex,
        thread: AsyncThread,
        service: str,
        context: Context,
        told: Told,
        turn_options: Options,
    ) -> None:
        self._codex, self._thread, self._service = codex, thread, service
        self._context, self._told, self._options = context, told, turn_options

    async def answer(self, wish: Wish) -> AsyncTurnHandle | None:
        """Return a turn that has the stored answer: its own one where this cell has it, else one that tells it again.

        `None`: it is to be asked. Raises NoStoredAnswerError where it is not.
        """
        history, cell = await self._history(), self._options.get("cell_id")
        is_own = cell is not None and not is_number(cell)
        earlier = list(takewhile(lambda turn: not is_own or turn.cell_id != cell, history))
        try:
            stored = await self._codex.store.run(lambda store: self._find(store, wish, earlier))
        except StoreError as error:
            log.info("no stored answer can be looked for: %s", error)
            stored = None
        if stored is None and wish.is_must:
            raise NoStoredAnswerError
        if stored is None:
            return None
        when = ago(stored.completed_at or stored.started_at)
        since = "" if when == "just now" else f" from {when}"
        is_whole = stored.status is types.TurnStatus.completed
        is_its_own = is_own and (stored.cell_id, stored.notebook) == (cell, self._options.get("notebook"))
        if wish.is_own and not (is_its_own and is_whole and _is_talk(stored)):
            return None
        if is_own and is_whole and any(turn.id == stored.id and turn.cell_id == cell for turn in history):
            return KeptTurn(stored, f"Kept{since} · `%%codex --again`")
        work = told_again(stored, f"Replayed{since} · `%%codex --again`")
        return await self._codex.start_turn(self._thread.record, self._told.inputs, self._options, work=work)

    async def note(self, handle: AsyncTurnHandle) -> None:
        """Note that this turn has answered it, or failed at the question itself."""
        result = handle.result
        is_refused = isinstance(handle.exception, InvalidRequestError)
        if result is None or not (is_refused or result.status is types.TurnStatus.completed):
            return
        earlier = list(takewhile(lambda turn: turn.id != handle.id, await self._history()))

        def note(_: Store) -> None:
            with Journal(self._codex.settings.home) as journal:
                keys = {journal.key(*self._parts(kind, earlier)) for kind in (WHOLE, CODE)}
                effort, source = self._options.get("effort") or "", self._context.kernel.source
                journal.note_turn(keys, handle.id, effort=effort, source=source)

        try:
            await self._codex.store.run(note)
        except StoreError as error:
            log.info("this question is not known again: %s", error)

    async def _history(self) -> list[TurnRecord]:
        """Return the thread's turns with what was asked and answered, without what was done for it."""
        kinds = ("userMessage", "agentMessage")
        store = self._codex.store_of(self._thread.id)
        return await store.run(lambda file: file.history(self._thread.id, kinds=kinds))

    def _find(self, store: Store, wish: Wish, earlier: Sequence[TurnRecord]) -> TurnRecord | None:
        with Journal(self._codex.settings.home) as journal:
            keys = [journal.key(*self._parts(kind, earlier)) for kind in wish.kinds]
            return find_turn(store, journal, keys)

    def _parts(self, kind: str, earlier: Sequence[TurnRecord]) -> tuple[Any, ...]:
        """Return what the question is made of, without what another run of the same cells has otherwise."""
        context, names = self._context, _DECISIVE
        cells = context.around.all if context.scope == "all" else context.around.above
        told = [each for each in cells if kind == WHOLE or each.kind == "code"]
        error = context.around.error
        if context.scope == "none":
            told, error = [], ""
        return (
            kind,
            self._service,
            {name: self._options.get(name) for name in names},
            [_NUMBERS.sub("In[]", text) for text in map(_text, self._told.inputs) if text],
            [(each.kind, each.source.strip(), each.outputs) for each in told],
            _NUMBERS.sub("In[]", error),
            dialogue(earlier),
        )


def _is_talk(turn: TurnRecord) -> bool:
    """Whether nothing was run or changed for it, and no function of the user's called."""
    from ..display.items import is_reading  # what is kept is shown next

    items = (entry.item for entry in turn.items)
    return all(
        isinstance(item, TEXTS + SAYS_NOTHING) or (isinstance(item, types.ToolCall) and is_reading(item))
        for item in items
    )


_DECISIVE = ("engine", "model", "effort", "verbosity", "instructions", "output_schema", "sandbox")
"""The options of a turn that its answer depends on."""


def _text(part: types.InputItem) -> str:
    """Return a part of a question; the cells above, of which only news are told, are looked at whole."""
    match part:
        case types.ContextInput(name="notebook"):
            return ""
        case types.ContextInput(value=text) | types.TextInput(text) | types.ImageInput(url=text):
            return text
    return str(part)
