"""What `threads` needs of an engine: run one turn and tell what happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from ..protocol import types
from ..protocol.secrets import mask
from .approvals import Approvals, Outcomes

if TYPE_CHECKING:
    from .tools import ToolSet


class Continuation(msgspec.Struct, frozen=True):
    """The latest turn of this history that the app-server has too, in a thread with the same past."""

    place: types.TurnPlace
    is_last: bool  # whether nothing follows it there and the thread is this one's own; else it is forked
    unseen: tuple[dict[str, Any], ...] = ()  # the Responses items of what came after it


class Earlier(NamedTuple):
    """The turns before, for an engine that sends them itself."""

    items: tuple[dict[str, Any], ...]  # responses items, oldest first
    context: types.TokenUsage | None  # token usage of the last request, or `None` after a compaction


async def nothing_earlier() -> Earlier:
    return Earlier((), None)


class TurnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One turn, complete: an engine needs nothing else."""

    thread_id: str
    turn_id: str
    inputs: tuple[types.InputItem, ...]
    instructions: str
    model: str | None = None
    effort: str | None = None
    summary: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    output_schema: dict[str, Any] | None = None
    cell_id: str | None = None
    cwd: str | None = None
    sandbox: types.Sandbox | None = None
    approval_mode: types.ApprovalMode | None = None
    """`None`: `ask` when there are `approvals`, else `deny_all`."""
    approvals: Approvals | None = None
    tools: ToolSet | None = None
    mask: Callable[[str], str] = mask
    """Takes secrets out of what tools give, of what is added to a running turn, and of what the agent brings along."""
    personality: str | None = None
    source: str | None = None
    service_name: str | None = None
    session_start_source: str | None = None
    thread_source: str | None = None
    base_instructions: str | None = None
    config: dict[str, Any] | None = None
    ephemeral: bool | None = None
    name: str | None = None  # the thread's
    past: str = ""  # a digest of the turns before
    earlier: Callable[[], Awaitable[Earlier]] = nothing_earlier
    """Reads them; with `continuation` the app-server mostly needs none of it."""
    continuation: Continuation | None = None

    outcomes: Outcomes = msgspec.field(default_factory=Outcomes)

    async def ask(self, question: types.ApprovalRequest) -> types.ApprovalDecision | None:
        """Put a question to `approvals`, unless all is to be denied. `None` is no."""
        approvals = None if self.approval_mode is types.ApprovalMode.deny_all else self.approvals
        return await self.outcomes.ask(approvals, question)


Tell = Callable[[types.Notification], None]


class Engine(Protocol):
    async def run(self, request: TurnRequest, tell: Tell) -> None:
        """Run one turn and `tell` what happens: a `TurnStarted` with the model, then items and usage.

        Never a `TurnCompleted`: whoever called decides how the turn ended. To return is to complete it, a
        `CodexError` fails it, and a cancelled one is interrupted.
        """

    async def steer(self, turn_id: str, inputs: tuple[types.InputItem, ...]) -> None:
        """Add to the input of a turn that `run` is running. Raises InvalidRequestError when that can't be."""

    async def compact(self, request: TurnRequest, tell: Tell) -> None:
        """Run a turn that sends no question and shortens what the model is sent of the turns before."""

    async def close(self) -> None: ...
