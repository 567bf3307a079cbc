"""A stored turn in place of a new one.

Nothing of it acts: a tool that was called is not called again, and a command does not run. What is stored is found by
its question in the thread store of this user, never in a notebook's file: whoever wrote that could put words into the
model's mouth, and a notebook that is run by nbconvert or papermill does not know its file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from ..engines.replay import input_items, replayed
from ..engines.seam import Tell, TurnRequest
from ..protocol import types
from ..protocol.errors import CodexError, InvalidRequestError
from ..protocol.ids import new_id
from ..threads.store import Store, TurnRecord
from ..threads.turns import AsyncTurnHandle, Work, final_response
from .journal import Journal

TEXTS = (types.AgentMessage, types.Reasoning)
"""What is told again of a turn in another thread."""

SAYS_NOTHING = (types.UserMessage, types.ContextCompaction)


def dialogue(turns: Iterable[TurnRecord]) -> list[list[str]]:
    """Return what was asked and answered in these turns, as the next question is about it."""
    failed = types.TurnStatus.failed
    return [[*turn.asked, "", *turn.told] for turn in turns if turn.told or turn.status is not failed]


def find_turn(store: Store, journal: Journal, keys: Sequence[bytes]) -> TurnRecord | None:
    """Return the latest turn that has answered the question behind one of the keys, else one that failed."""
    turns = [store.turn(id) for key in keys for id in journal.turns(key) if store.has_turn(id)]
    for status in (types.TurnStatus.completed, types.TurnStatus.failed):
        if found := next((turn for turn in turns if turn.status is status), None):
            return found
    return None


def told_again(stored: TurnRecord, note: str) -> Work:
    """Return the work of a turn that tells the texts of another one. It raises CodexError where that one failed."""

    async def tell_again(request: TurnRequest, tell: Tell) -> None:
        about = request.thread_id, request.turn_id
        begun = types.Turn(request.turn_id, types.TurnStatus.in_progress, started_at=int(time.time()))
        tell(types.TurnStarted(request.thread_id, begun, stored.model))
        asked = types.UserMessage(new_id(), request.inputs, request.cell_id)
        tell(types.ItemCompleted(*about, asked, await input_items(request.inputs)))
        items = [entry.item for entry in stored.items]
        for item in items:
            if isinstance(item, TEXTS):
                tell(types.ItemCompleted(*about, item, replayed(item)))
        if stored.usage is not None:
            tell(types.TokenUsageUpdated(*about, stored.usage))
        steps = sum(not isinstance(item, TEXTS + SAYS_NOTHING) for item in items)
        left_out = f" · {steps} step{'s' * (steps > 1)} not repeated" if steps else ""
        tell(types.Noted(request.thread_id, note + left_out))
        if stored.status is types.TurnStatus.failed:
            raise CodexError(stored.error.message if stored.error else "The turn failed.")

    return tell_again


class KeptTurn(AsyncTurnHandle):
    """A turn that is over, told once more with all of its steps: nothing is asked, and nothing is written."""

    def __init__(self, stored: TurnRecord, note: str) -> None:
        self.id, self.thread_id = stored.id, stored.thread_id
        self.exception, self.unkept = None, None
        self._process = os.getpid()
        turn, items = stored.as_turn(), [entry.item for entry in stored.items]
        values: dict[str, Any] = {"items": items, "final_response": final_response(items)}
        self.result = types.TurnResult(**msgspec.structs.asdict(turn) | values, usage=stored.usage)
        self._listeners = []
        self._log = [types.TurnStarted(self.thread_id, turn, stored.model)]
        self._log += [types.ItemCompleted(self.thread_id, self.id, item) for item in items]
        if stored.usage is not None:
            self._log.append(types.TokenUsageUpdated(self.thread_id, self.id, stored.usage))
        self._log += [types.Noted(self.thread_id, note), types.TurnCompleted(self.thread_id, turn)]

    async def interrupt(self) -> None:
        """Do nothing: it is over."""

    async def ended(self) -> None:
        """Return at once."""

    async def steer(self, input: types.RunInput) -> types.TurnSteerResponse:
        raise InvalidRequestError("This turn no longer accepts input.", hint="Start a new one.")
