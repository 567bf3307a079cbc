"""What a turn looks like so far: notifications are folded in, Markdown and plain text come out.

Pure: no clock, no output. A surface decides where it is shown, a `Painter` when.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from codex_magic.protocol.errors import window_name
from codex_magic.protocol.ids import new_id
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    CommandOutputDelta,
    ErrorReported,
    FileChangeUpdated,
    ItemCompleted,
    ItemStarted,
    ModelRerouted,
    Noted,
    Notification,
    Plan,
    PlanDelta,
    RateLimits,
    RateLimitsUpdated,
    Reasoning,
    ReasoningSummaryDelta,
    ReasoningTextDelta,
    ThreadItem,
    ThreadTokenUsage,
    TokenUsageUpdated,
    Turn,
    TurnCompleted,
    TurnError,
    TurnPlanUpdated,
    TurnQueued,
    TurnStarted,
    TurnStatus,
    UnknownNotification,
    UserMessage,
    Warned,
    input_text,
)

from .items import (
    ActivityBlock,
    Block,
    MarkdownBlock,
    MessageBlock,
    NoticeBlock,
    PlanBlock,
    QuietBlock,
    ReasoningBlock,
    SteerBlock,
    StepsBlock,
    one_line,
    seconds,
)

MIME = "application/vnd.codex-magic.v1+json"

State = Literal["streaming", "done", "interrupted", "error"]

STATES: dict[TurnStatus, State] = {
    TurnStatus.in_progress: "streaming",
    TurnStatus.completed: "done",
    TurnStatus.interrupted: "interrupted",
    TurnStatus.failed: "error",
}

IF_IT_STAYS = "*If this stays, show the answer with `%codex show`.*"
"""A page that is loaded again while an answer comes hears no more of it; the end replaces this line."""

NOT_SENT = "Not sent: stopped while it waited for another answer in this thread."

RUNS = "*Running in the background.* `%codex steer TEXT` adds to it, `%codex stop` stops it."

PLAIN_WHILE_STREAMING = "Codex is answering … If this stays, show the answer with %codex show."
"""A front end that reads only `text/plain` cannot redraw it either, and the text twice in every update nearly
doubles the bytes (1.70 MB instead of 0.94 for 40,000 characters in 20 s): it comes with the last one."""

ItemBlock = TypeVar("ItemBlock", MessageBlock, PlanBlock, ReasoningBlock, ActivityBlock, StepsBlock)


class TurnView:
    """One turn on screen. `feed` every notification of it; read `bundle()` whenever something is to be shown.

    Items stand in the order in which they started; a completed item replaces what its deltas had built.
    """

    def __init__(self, *, id: str | None = None, model: str | None = None, background: bool = False) -> None:
        self.id = id or new_id()
        """The output's `display_id`, unchanged for the life of the view."""
        self.background = background
        """Whether its cell has ended while it goes on."""
        self.state: State = "streaming"
        self.thread_id: str | None = None
        self.turn_id: str | None = None
        self.model = model
        self.rerouted_from: str | None = None
        self.usage: ThreadTokenUsage | None = None
        self.limits: RateLimits | None = None
        self.duration_ms: int | None = None
        self.error: TurnError | None = None
        self._retrying: TurnError | None = None
        self._asking = False
        self._queued: TurnQueued | None = None
        self._withdrawn = False
        self._prompt: str | None = None
        self._blocks: dict[str, Block] = {}
        self._cut_off: list[str] = []
        """Thoughts that a broken connection has ended; they are thought again from the beginning."""

    @classmethod
    def of(
        cls,
        items: Iterable[ThreadItem],
        *,
        turn_id: str,
        thread_id: str,
        status: TurnStatus,
        error: TurnError | None = None,
        usage: ThreadTokenUsage | None = None,
        model: str | None = None,
        duration_ms: int | None = None,
    ) -> TurnView:
        """Return the view of a stored turn, as if it had just been watched."""
        turn = Turn(turn_id, status, error=error, duration_ms=duration_ms)
        view = cls()
        view.feed(TurnStarted(thread_id, turn, model))
        for item in items:
            view.feed(ItemCompleted(thread_id, turn_id, item))
        if usage is not None:
            view.feed(TokenUsageUpdated(thread_id, turn_id, usage))
        view.feed(TurnCompleted(thread_id, turn))
        return view

    def feed(self, notification: Notification) -> None:
        """Fold one notification in. Those that say nothing about a turn's looks are passed over."""
        match notification:
            case AgentMessageDelta(item_id=id, delta=delta):
                self._block(id, MessageBlock).add(delta)
            case PlanDelta(item_id=id, delta=delta):
                self._block(id, PlanBlock).add(delta)
            case ReasoningSummaryDelta(item_id=id, summary_index=index, delta=delta):
                self._block(id, ReasoningBlock).add_summary(index, delta)
            case ReasoningTextDelta(item_id=id, content_index=index, delta=delta):
                self._block(id, ReasoningBlock).add_content(index, delta)
            case CommandOutputDelta(item_id=id, delta=delta):
                self._block(id, ActivityBlock).add_output(delta)
            case FileChangeUpdated(item_id=id, changes=changes):
                self._block(id, ActivityBlock).replace_changes(changes)
            case TurnPlanUpdated(plan=plan):
                self._block("steps of the turn", StepsBlock).replace(plan)
            case ItemStarted(item=item):
                self._take(item)
            case ItemCompleted(item=item):
                self._take(item, completed=True)
            case Warned(message=message):
                self._blocks[new_id()] = NoticeBlock("Warning", message)
            case Noted(message=message):
                self._blocks[f"note {len(self._blocks)}"] = QuietBlock(message)
            case _:
                self._take_state(notification)

    def _take(self, item: ThreadItem, *, completed: bool = False) -> None:
        if isinstance(item, UserMessage):
            # The first one is the prompt, which stands above; the next ones are what the user has added.
            self._prompt = self._prompt or item.id
            if item.id != self._prompt and completed:
                self._blocks[item.id] = SteerBlock(input_text(item.content))
            return
        block: Any = self._block(item.id, _BLOCKS.get(type(item), ActivityBlock))
        block.replace(item)
        if completed:
            block.close()

    def _take_state(self, notification: Notification) -> None:
        """Fold in what concerns the turn as a whole."""
        match notification:
            case TurnQueued():
                self._queued = notification
            case TurnStarted(thread_id=thread_id, turn=turn, model=model):
                self._queued = None
                self.thread_id, self.turn_id = thread_id, turn.id
                self.model = model or self.model
            case UnknownNotification(method="thread/status/changed", params=params):
                self._asking = "waitingOnApproval" in (params.get("status") or {}).get("activeFlags", ())
            case TokenUsageUpdated(token_usage=usage):
                self.usage = usage
            case RateLimitsUpdated(rate_limits=limits):
                self.limits = limits
            case ModelRerouted(from_model=from_model, to_model=to_model):
                self.rerouted_from, self.model = from_model, to_model
            case ErrorReported(error=error, will_retry=True):
                self._retrying = error
                written = (ReasoningBlock, MessageBlock, PlanBlock)  # it is written again
                texts = {id: block for id, block in self._blocks.items() if isinstance(block, written)}
                self._cut_off = [id for id, block in texts.items() if not block.closed]
            case ErrorReported(error=error):
                self.error = error
            case TurnCompleted(turn=turn):
                self.error = turn.error or self.error
                self.duration_ms = turn.duration_ms
                self._end(STATES[turn.status])

    def interrupt(self) -> None:
        """End the turn as interrupted: no engine has reported its end."""
        self._end("interrupted")

    def withdraw(self) -> None:
        """End a turn that the user took back while it waited for another."""
        self._withdrawn = True
        self._end("interrupted")

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self._blocks.values())

    @property
    def size(self) -> int:
        """About how many characters there are to show."""
        return sum(block.size for block in self._blocks.values())

    def markdown(self) -> str:
        """All of it as Markdown that is safe to show."""
        parts: list[str] = []
        above: Block | None = None
        for block in self._blocks.values():
            text = block.markdown()
            if not text:
                continue
            if isinstance(block, MessageBlock) and isinstance(above, MarkdownBlock):
                # Else a list that ends one would go on in the other.
                parts.append("***")
            parts.append(text)
            above = block
        parts += self._closing_markdown()
        return "\n\n".join(parts) or "*Working …*"

    def _closing_markdown(self) -> list[str]:
        from .safe_markdown import escape_markdown

        if self.state == "streaming":
            return list(filter(None, [self._status()]))
        lines = []
        if self.error is not None:
            lines.append(f"**Error:** {escape_markdown(self.error.message)}")
        if self.state == "interrupted":
            lines.append(
                f"*{NOT_SENT}*" if self._withdrawn else "*Interrupted.* `%codex continue` goes on from here."
            )
        if footer := self.footer():
            lines.append(f"*{escape_markdown(footer)}*")
        return lines

    def _status(self) -> str:
        """Return what the turn is doing, where that is not to answer."""
        from .safe_markdown import escape_markdown

        if self._queued is not None:
            cell = self._queued.cell
            other = "another answer" if cell is None else rf"the answer of cell \[{cell}\]"
            return f"*Queued: waits for {other} in this thread.*"
        if self._asking:
            return "*Waiting for a yes or a no …*"
        if self._retrying is not None:
            return f"*Trying again: {escape_markdown(self._retrying.message)}*"
        return RUNS if self.background else ""

    def plain(self) -> str:
        """Return the text as it came, without control characters, and a line for each other thing that happened.

        Only grows while items complete as their deltas said; so the difference to the last call can be printed.
        """
        parts = []
        for block in self._blocks.values():
            parts.append(block.plain())
            if not block.settled:
                break
        return "\n\n".join(filter(None, [*parts, *self.closing_lines()]))

    def closing_lines(self) -> list[str]:
        """Return how the turn ended, where there is more to say than that it did."""
        lines = []
        if self.state != "streaming" and self.error is not None:
            lines.append(f"Error: {one_line(self.error.message)}")
        if self.state == "interrupted":
            lines.append(NOT_SENT if self._withdrawn else "Interrupted. %codex continue goes on from here.")
        return lines

    def footer(self) -> str:
        """Model, tokens, time and quota; what is unknown is left out, and all of it where nothing came."""
        if self.state == "error" and self.usage is None:
            return ""
        parts = [one_line(self.model or "")]
        if self.rerouted_from:
            parts[0] += f" (rerouted from {one_line(self.rerouted_from)})"
        if self.usage is not None:
            total = self.usage.total
            cached = total.cached_input_tokens and 100 * total.cached_input_tokens / total.input_tokens
            parts.append(f"{total.input_tokens:,} in" + (f" ({cached:.0f} % cached)" if cached else ""))
            parts.append(f"{total.output_tokens:,} out")
        if self.duration_ms is not None:
            parts.append(seconds(self.duration_ms) + (", in the background" if self.background else ""))
        if self.limits is not None and self.limits.effective is not None:
            window = self.limits.effective
            minutes = window.window_duration_mins
            name = f"{window_name(minutes)} limit" if minutes else "limit"
            parts.append(f"{name} {window.used_percent:.0f} % used")
        return " · ".join(filter(None, parts))

    def bundle(self, state: State | None = None) -> dict[str, Any]:
        """Return the MIME bundle; `state` overrides the view's own. No message text outside the two texts."""
        state = state or self.state
        facts = {
            "v": 1,
            "id": self.id,
            "state": state,
            "thread": self.thread_id,
            "turn": self.turn_id,
            "model": self.model,
            "usage": msgspec.to_builtins(self.usage.total) if self.usage else None,
        }
        markdown, plain = self.markdown(), PLAIN_WHILE_STREAMING
        if state != "streaming":
            plain = self.plain()
        elif self._blocks and not self._status():
            markdown += f"\n\n*Answering …* {IF_IT_STAYS}"
        else:
            markdown += f" {IF_IT_STAYS}"
        return {
            MIME: {name: value for name, value in facts.items() if value is not None},
            "text/markdown": markdown,
            "text/plain": plain,
        }

    def _block(self, item_id: str, kind: type[ItemBlock]) -> ItemBlock:
        """The item's block, begun here if a delta comes before its start."""
        for cut_off in self._cut_off:
            self._blocks.pop(cut_off, None)
        self._cut_off = []
        block = self._blocks.get(item_id)
        if not isinstance(block, kind):
            block = self._blocks[item_id] = kind()
        self._retrying = None
        return block

    def _end(self, state: State) -> None:
        self.state = state
        for block in self._blocks.values():
            if isinstance(block, ActivityBlock) and not block.closed:
                block.close("left" if state == "done" else "unfinished")
            elif not isinstance(block, NoticeBlock | QuietBlock) and not block.closed:
                block.close()


_BLOCKS: dict[type[Any], type[Any]] = {AgentMessage: MessageBlock, Plan: PlanBlock, Reasoning: ReasoningBlock}
