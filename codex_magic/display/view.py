"""What a turn looks like so far: notifications are folded in, Markdown and plain text come out.

Pure: no output. A surface decides where it is shown, a `Painter` when.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec

from codex_magic.protocol import types
from codex_magic.protocol.errors import window_name
from codex_magic.protocol.ids import new_id
from codex_magic.protocol.plain import shorten
from codex_magic.protocol.types import Notification, TurnStatus

from . import MIME, items
from .items import Block, MarkdownBlock, NoticeBlock, ReasoningBlock

State = Literal["streaming", "done", "interrupted", "error"]

STATES: dict[TurnStatus, State] = {
    TurnStatus.in_progress: "streaming",
    TurnStatus.completed: "done",
    TurnStatus.interrupted: "interrupted",
    TurnStatus.failed: "error",
}

IF_IT_STAYS = "If this stays, show the answer with `%codex show`."
"""A page that is loaded again while an answer comes hears no more of it; the end replaces this line."""

ItemBlock = TypeVar(
    "ItemBlock", items.MessageBlock, items.PlanBlock, ReasoningBlock, items.ActivityBlock, items.StepsBlock
)


class TurnView:
    """One turn on screen. `feed` every notification of it; read `bundle()` whenever something is to be shown.

    Items stand in the order in which they started; a completed item replaces what its deltas had built.
    `clock` gives seconds: what it measures is shown while the turn runs, and for thoughts that nobody else measured.
    """

    def __init__(
        self,
        *,
        id: str | None = None,
        model: str | None = None,
        background: bool = False,
        is_value: bool = False,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.id = id or new_id()
        """The output's `display_id`, unchanged for the life of the view."""
        self.background = background
        """Whether its cell has ended while it goes on."""
        self._message = items.ValueBlock if is_value else items.MessageBlock
        self.state: State = "streaming"
        self.thread_id: str | None = None
        self.turn_id: str | None = None
        self.model = model
        self.rerouted_from: str | None = None
        self.usage: types.ThreadTokenUsage | None = None
        self.limits: types.RateLimits | None = None
        self.duration_ms: int | None = None
        self.error: types.TurnError | None = None
        self._clock, self._begun = clock, clock()
        self._retrying: types.TurnError | None = None
        self._queued: types.TurnQueued | None = None
        self._asking = self._withdrawn = False
        self._prompt: str | None = None
        self._reasons: set[str] = set()
        """Why something was declined: its step says so, and the words that go to the model are the same."""
        self._blocks: dict[str, Block] = {}
        self._cut_off: list[str] = []
        """Thoughts that a broken connection has ended; they are thought again from the beginning."""

    @classmethod
    def of(
        cls,
        turn: types.Turn,
        thread_id: str,
        *,
        usage: types.ThreadTokenUsage | None = None,
        model: str | None = None,
    ) -> TurnView:
        """Return the view of a stored turn, as if it had just been watched."""
        view = cls()
        view.feed(types.TurnStarted(thread_id, turn, model))
        for item in turn.items:
            view.feed(types.ItemCompleted(thread_id, turn.id, item))
        if usage is not None:
            view.feed(types.TokenUsageUpdated(thread_id, turn.id, usage))
        view.feed(types.TurnCompleted(thread_id, turn))
        return view

    def feed(self, notification: Notification) -> None:
        """Fold one notification in. Those that say nothing about a turn's looks are passed over."""
        match notification:
            case types.AgentMessageDelta(item_id=id, delta=delta):
                self._block(id, self._message).add(delta)
            case types.PlanDelta(item_id=id, delta=delta):
                self._block(id, items.PlanBlock).add(delta)
            case types.ReasoningSummaryDelta(item_id=id, summary_index=index, delta=delta):
                self._block(id, ReasoningBlock).add(index, delta)
            case types.ReasoningTextDelta(item_id=id, content_index=index, delta=delta):
                self._block(id, ReasoningBlock).add(index, delta, is_summary=False)
            case types.CommandOutputDelta(item_id=id, delta=delta):
                self._block(id, items.ActivityBlock).add_output(delta)
            case types.FileChangeUpdated(item_id=id, changes=changes):
                self._block(id, items.ActivityBlock).replace_changes(changes)
            case types.TurnPlanUpdated(plan=plan):
                self._block("steps of the turn", items.StepsBlock).replace(plan)
            case types.ItemStarted(item=item):
                self._take(item)
            case types.ItemCompleted(item=item):
                self._take(item, completed=True)
            case types.Warned(message=message):
                self._blocks[new_id()] = NoticeBlock(items.WARNING, message, "Warning")
            case types.Noted(message=message):
                self._blocks[new_id()] = NoticeBlock(items.QUIET, message)
            case types.TurnQueued():
                self._queued = notification
            case types.TurnStarted(thread_id=thread_id, turn=turn, model=model):
                self._queued = None
                self.thread_id, self.turn_id = thread_id, turn.id
                self.model = model or self.model
            case types.UnknownNotification(method="thread/status/changed", params=params):
                self._asking = "waitingOnApproval" in (params.get("status") or {}).get("activeFlags", ())
            case types.TokenUsageUpdated(token_usage=usage):
                self.usage = usage
            case types.RateLimitsUpdated(rate_limits=limits):
                self.limits = limits
            case types.ModelRerouted(from_model=from_model, to_model=to_model):
                self.rerouted_from, self.model = from_model, to_model
            case types.ErrorReported(error=error, will_retry=True):
                self._retrying = error
                written = (ReasoningBlock, MarkdownBlock)  # it is written again
                texts = [id for id, block in self._blocks.items() if isinstance(block, written)]
                self._cut_off = [id for id in texts if not self._blocks[id].closed]
            case types.ErrorReported(error=error):
                self.error = error
            case types.TurnCompleted(turn=turn):
                self.error = turn.error or self.error
                self.duration_ms = turn.duration_ms
                self._end(STATES[turn.status])

    def _take(self, item: types.ThreadItem, *, completed: bool = False) -> None:
        if isinstance(item, types.UserMessage):
            # The first one is the prompt, which stands above; the next ones are what the user has added.
            self._prompt = self._prompt or item.id
            text = types.input_text(item.content)
            if item.id != self._prompt and completed and text not in self._reasons:
                self._blocks[item.id] = NoticeBlock(items.STEER, f"You: {text}")
            return
        if isinstance(item, types.CommandExecution | types.FileChange | types.ToolCall) and item.reason:
            self._reasons.add(item.reason)
        kinds: dict[type[Any], type[Any]] = {**_BLOCKS, types.AgentMessage: self._message}
        block: Any = self._block(item.id, kinds.get(type(item), items.ActivityBlock))
        block.replace(item)
        if completed:
            self._close(block)

    def interrupt(self, *, withdrawn: bool = False) -> None:
        """End a turn whose end no engine has reported; `withdrawn`: taken back while it waited for another."""
        self._withdrawn = withdrawn
        self._end("interrupted")

    @property
    def blocks(self) -> tuple[Block, ...]:
        return tuple(self._blocks.values())

    @property
    def size(self) -> int:
        """About how many characters there are to show."""
        return sum(block.size for block in self._blocks.values())

    def markdown(self, hint: str = "") -> str:
        """All of it as Markdown that is safe to show; `hint` is for the time until the turn ends."""
        parts: list[str] = []
        above: Block | None = None
        read: list[items.Row] = []
        thoughts = [block for block in self._blocks.values() if isinstance(block, ReasoningBlock)]
        for block in [*self._blocks.values(), *self.below(hint)]:
            if isinstance(block, ReasoningBlock):
                text = self._thoughts(thoughts) if block is thoughts[0] else ""
            else:
                text = block.markdown()
            if not text:
                continue
            read = [*read, *block.rows] if isinstance(block, items.ActivityBlock) and block.has_read else []
            if len(read) > 1:
                parts[-1] = items.read_together(read).markdown()
                continue
            if isinstance(block, items.MessageBlock) and isinstance(above, MarkdownBlock):
                # Else a list that ends one would go on in the other.
                parts.append("***")
            steps = isinstance(block, items.ActivityBlock) and isinstance(above, items.ActivityBlock)
            if steps and parts[-1].startswith("**") and text.startswith("**"):
                parts[-1] += f"\\\n{text}"  # lines without anything to unfold stand close together
            else:
                parts.append(text)
            above = block
        return "\n\n".join(parts) or NoticeBlock(items.QUIET, "Working …").markdown()

    def _thoughts(self, thoughts: list[ReasoningBlock]) -> str:
        """Return all thoughts in one fold, in the place of the first, with the time they took; open while it grows."""
        is_live = self.state == "streaming" and not thoughts[-1].closed
        now, texts = self._clock(), [text for thought in thoughts if (text := thought.markdown())]
        seconds = int(sum(now - each.begun if each.seconds is None else each.seconds for each in thoughts))
        title = "Thinking" + (f" · {items.lasting(seconds)}" if seconds else " …")
        if not is_live:
            title = "Thought" + f" for {items.lasting(seconds)}" * bool(seconds)
            title += f" in {len(texts)} steps" * (len(texts) > 1)
        if not texts:
            return items.QUIET.format(title) if is_live else ""
        return items.fold(items.QUIET.format(title), "\n\n".join(texts), is_open=is_live)

    def below(self, hint: str = "") -> list[NoticeBlock]:
        """Return what stands below the items: how the turn ended and its facts, or what it is doing."""
        if self.state != "streaming":
            left = self._left()
            low = left.split(",")[0] if "resets" in left else ""
            footer = "" if self.state == "interrupted" else self.footer()
            return [*self.endings(), NoticeBlock(items.QUIET, footer, bold=low)]
        status = "Running in the background. `%codex steer TEXT` adds to it, `%codex stop` stops it."
        if self._queued is not None:
            cell = self._queued.cell
            other = "another answer" if cell is None else f"the answer of cell [{cell}]"
            status = f"Queued: waits for {other} in this thread."
        elif self._asking:
            status = "Waiting for your approval …"
        elif self._retrying is not None:
            status = f"Trying again: {self._retrying.message}"
        elif not self.background:
            seconds = int(self._clock() - self._begun)
            doing = "Answering …" if self._blocks else "Working …"
            status = (doing + f" {items.lasting(seconds)}." * bool(seconds)) if hint else ""
        return [NoticeBlock(items.QUIET, f"{status} {hint}".strip())]

    def plain(self) -> str:
        """Return the text as it came, without control characters, and a line for each other thing that happened.

        Only grows while items complete as their deltas said; so the difference to the last call can be printed.
        """
        parts = []
        for block in self._blocks.values():
            parts.append(block.plain())
            if not block.closed and not isinstance(block, ReasoningBlock):
                break
        parts += [block.plain() for block in self.endings()]
        return "\n\n".join(filter(None, parts))

    def endings(self) -> list[NoticeBlock]:
        """Return how the turn ended, where there is more to say than that it did."""
        endings: list[NoticeBlock] = []
        if self.state != "streaming" and self.error is not None:
            endings.append(NoticeBlock(items.ERROR, self.error.message, "Error"))
        if self.state == "interrupted":
            seconds = round((self.duration_ms or 0) / 1000)
            after = f" after {items.lasting(seconds)}" if seconds else ""
            after += ", in the background" * self.background
            after += f" · {self.usage.total.output_tokens:,} tokens out" if self.usage else ""
            message = f"Interrupted{after}. Continue with `%codex continue`."
            if self._withdrawn:
                message = "Not sent: stopped while it waited for another answer in this thread."
            endings.append(NoticeBlock(items.QUIET, message))
        return endings

    def footer(self) -> str:
        """Model, tokens, time and quota; what is unknown is left out, and all of it where nothing came."""
        if self.state == "error" and self.usage is None:
            return ""
        parts = [shorten(self.model or "")]
        if self.rerouted_from:
            parts[0] += f" (rerouted from {shorten(self.rerouted_from)})"
        if self.usage is not None:
            total = self.usage.total
            cached = total.cached_input_tokens and 100 * total.cached_input_tokens / total.input_tokens
            note = f" ({cached:.0f} % cached)" if cached else ""
            parts.append(f"{total.input_tokens:,} tokens in{note}, {total.output_tokens:,} out")
        if self.duration_ms is not None:
            where = "in the background" if self.background else ""
            parts.append(", ".join(filter(None, (items.seconds(self.duration_ms), where))))
        return " · ".join(filter(None, [*parts, self._left()]))

    def _left(self) -> str:
        """Return what is left of the plan, and from when it is little the day of the next."""
        window = self.limits.effective if self.limits is not None else None
        if window is None:
            return ""
        minutes, left = window.window_duration_mins, max(0.0, 100 - window.used_percent)
        name = "limit" if minutes is None else "week" if minutes == 10080 else f"{window_name(minutes)} limit"
        shown = f"{left:.0f} % of the {name} left"
        if left > 20 or window.resets_at is None:
            return shown
        when = datetime.fromtimestamp(window.resets_at).astimezone()
        return f"{shown}, resets {when:%a} {when.day} {when:%b}"

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
        is_over = state != "streaming"
        return {
            MIME: {name: value for name, value in facts.items() if value is not None},
            "text/markdown": self.markdown("" if is_over else IF_IT_STAYS),
            # What reads only this cannot redraw it either, and the text twice in each update doubles the bytes.
            "text/plain": self.plain() if is_over else f"Codex is answering … {IF_IT_STAYS.replace('`', '')}",
        }

    def _block(self, item_id: str, kind: type[ItemBlock]) -> ItemBlock:
        """The item's block, begun here if a delta comes before its start."""
        for cut_off in self._cut_off:
            self._blocks.pop(cut_off, None)
        self._cut_off = []
        block = self._blocks.get(item_id)
        if not isinstance(block, kind):
            block = self._blocks[item_id] = kind()
            if isinstance(block, ReasoningBlock):
                block.begun = self._clock()
        self._retrying = None
        return block

    def _close(self, block: Any) -> None:
        block.close()
        if isinstance(block, ReasoningBlock) and block.seconds is None:
            block.seconds = self._clock() - block.begun

    def _end(self, state: State) -> None:
        self.state = state
        for block in self._blocks.values():
            if isinstance(block, items.ActivityBlock) and not block.closed:
                block.close("left" if state == "done" else "unfinished")
            elif not isinstance(block, NoticeBlock) and not block.closed:
                self._close(block)


_BLOCKS: dict[type[Any], type[Any]] = {types.Plan: items.PlanBlock, types.Reasoning: ReasoningBlock}
