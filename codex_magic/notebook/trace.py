"""Where the time of a turn goes, by what is told of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..protocol import types

PHASES = ("waiting in line", "connecting", "first token", "streaming", "tools", "waiting for approval")
LINE, CONNECT, FIRST, STREAM, TOOLS, APPROVAL = PHASES

_ACTIONS = (types.CommandExecution, types.FileChange, types.ToolCall)


class Trace:
    """The seconds of each phase, one after the other; `display` goes on beside them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PHASES, 0.0)
        self.display = 0.0
        self._clock, self._since, self._phase = clock, clock(), LINE
        self._acting: set[str] = set()
        self._waiting: set[str] = set()
        self._is_over = False

    @property
    def phases(self) -> dict[str, float]:
        """Return the seconds of each phase until now, or until the turn was over."""
        now = 0.0 if self._is_over else self._clock() - self._since
        return {**self.seconds, self._phase: self.seconds[self._phase] + now}

    def hear(self, notification: types.Notification) -> None:
        """Take one notification in, at the moment at which it comes."""
        match notification:
            case types.TurnStarted():
                self._enter(CONNECT)
            case types.RateLimitsUpdated() if self._phase == CONNECT:
                self._enter(FIRST)
            case types.ItemStarted(item=item) if isinstance(item, _ACTIONS):
                self._acting.add(item.id)
                (self._waiting.add if item.status == "waiting" else self._waiting.discard)(item.id)
                self._enter(APPROVAL if self._waiting else TOOLS)
            case types.ItemCompleted(item=item) if isinstance(item, _ACTIONS):
                self._acting.discard(item.id)
                self._waiting.discard(item.id)
                self._enter(APPROVAL if self._waiting else TOOLS if self._acting else FIRST)
            case types.TurnCompleted():
                self._enter(self._phase)
                self._is_over = True
            case types.AgentMessageDelta() | types.ReasoningSummaryDelta() | types.ReasoningTextDelta():
                if self._phase != STREAM and not self._acting:
                    self._enter(STREAM)

    def _enter(self, phase: str) -> None:
        now = self._clock()
        if not self._is_over:
            self.seconds[self._phase] += now - self._since
        self._since, self._phase = now, phase
