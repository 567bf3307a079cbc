"""How each kind of item reads: as Markdown in a notebook, as plain text everywhere else.

A message is Markdown of the model's and goes through `SafeMarkdown`. Every other word that we did not
write ourselves (names, paths, commands, results) is escaped or set as code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from codex_magic.protocol import types
from codex_magic.protocol.plain import shorten, without_controls
from codex_magic.protocol.types import NEVER_DONE

from .exact import HEAD_CHARS, change_diff, change_kind, shown_command

# The functions import `.safe_markdown` themselves: its parser would be loaded while a first request is prepared.

BODY_CHARS = 4_000
BODY_LINES = 40
"""Characters and lines of a command's output, a tool's result or a diff; the item itself keeps the rest."""

FOLD_START = {
    title: f'<details style="margin-bottom:.6em"><summary>{title}</summary>'
    '<blockquote style="margin:.4em 0 .4em .3em">'
    for title in ("Reasoning", "Result")
}
FOLD_END = "</blockquote></details>"
ERROR_START = '<blockquote style="border-left-color:#d32f2f;margin:.4em 0 .8em">'
ERROR_END = "</blockquote>"
QUIET_START, QUIET_END = '<small style="opacity:.7">', "</small>"
"""The only HTML ever displayed: constants, so nothing from outside can be in it."""

NOTICE, STEER = "**{}:** {}", "> {}: {}"
ERROR = f"{ERROR_START}\n\n{NOTICE}\n\n{ERROR_END}"
QUIET = f"{QUIET_START}{{}}{{}}{QUIET_END}"
"""Forms of a notice: its label and what it says."""

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_DRAWN_OVER = re.compile(r"[^\n]*\r")
_HEADING = re.compile(r"^\*\*(.+?)\*\*", re.M)


def fold(title: str, markdown: str) -> str:
    """`markdown`, its fences closed, behind a line that opens it; the blank lines end the HTML on both sides."""
    return f"{FOLD_START[title]}\n\n{markdown}\n\n{FOLD_END}"


class Row(NamedTuple):
    """One line about something done, and what came out of it."""

    label: str
    code: str = ""
    notes: tuple[str, ...] = ()
    body: str = ""
    language: str = ""
    folded: bool = False

    def markdown(self) -> str:
        from .safe_markdown import code_block, code_span, escape_markdown

        line = f"**{self.label}** {code_span(self.code)}" if self.code else f"**{self.label}**"
        if self.notes:
            line += " " + QUIET.format("", escape_markdown("· " + " · ".join(self.notes)))
        if not self.body:
            return line
        body = code_block(self.body, self.language)
        return f"{line}\n\n{fold('Result', body) if self.folded else body}"

    def plain(self) -> str:
        return " · ".join([f"{self.label} {self.code}".rstrip(), *self.notes])


class MarkdownBlock:
    """Markdown of the model's that grows at its end until the whole of it comes."""

    heading = ""
    closed = False

    def __init__(self, text: str = "") -> None:
        from .safe_markdown import SafeMarkdown

        self.size = len(text)
        self._pieces = [text]
        self.safe = SafeMarkdown(text)

    @property
    def text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def add(self, delta: str) -> None:
        self.size += len(delta)
        self._pieces.append(delta)
        self.safe.feed(delta)

    def replace(self, item: types.AgentMessage | types.Plan) -> None:
        if item.text != self.text:
            MarkdownBlock.__init__(self, item.text)

    def close(self) -> None:
        self.closed = True

    def markdown(self) -> str:
        return self.heading + self.safe.text

    def plain(self) -> str:
        return without_controls(self.text)


class MessageBlock(MarkdownBlock):
    """What the model says."""


class PlanBlock(MarkdownBlock):
    """The model's plan."""

    heading = "**Plan**\n\n"


class ReasoningBlock:
    """One line about it while it lasts, folded away afterwards; no plain text."""

    closed = False

    def __init__(self) -> None:
        self.size = 0
        self._summary: dict[int, list[str]] = {}
        self._content: dict[int, list[str]] = {}
        self._folded: str | None = None

    def add(self, index: int, delta: str, *, is_summary: bool = True) -> None:
        (self._summary if is_summary else self._content).setdefault(index, []).append(delta)
        self.size = 1

    def replace(self, item: types.Reasoning) -> None:
        if item.summary or item.content:
            self._summary = {index: [part] for index, part in enumerate(item.summary)}
            self._content = {index: [part] for index, part in enumerate(item.content)}

    def close(self) -> None:
        self.closed = True
        self.size = sum(map(len, self._parts()))
        self._folded = None

    def line(self) -> str:
        """What it is about now: the last heading of the summary."""
        headings = _HEADING.findall("\n\n".join(self._parts()))
        return f"Thinking: {shorten(headings[-1], 80)}" if headings else "Thinking …"

    def _parts(self) -> list[str]:
        """The summary; the full text only where there is none."""
        parts = ("".join(pieces) for pieces in (self._summary or self._content).values())
        return [part for part in parts if part.strip()]

    def markdown(self) -> str:
        from .safe_markdown import escape_markdown, safe_markdown

        if not self.closed:
            return QUIET.format("", escape_markdown(self.line()))
        if self._folded is None:
            text = "\n\n".join(part for part in self._parts() if not types.is_empty_thought(part))
            self._folded = fold("Reasoning", safe_markdown(text)) if text else ""
        return self._folded

    def plain(self) -> str:
        return ""


class NoticeBlock:
    """A sentence outside any item, in one of the forms; what is between backticks is code."""

    closed = True

    def __init__(self, form: str, message: str, label: str = "") -> None:
        self.form, self._message, self._label = form, message, label
        self.size = len(message)

    def markdown(self) -> str:
        from .safe_markdown import marked

        return self.form.format(self._label, marked(self._message)) if self._message else ""

    def plain(self) -> str:
        from .safe_markdown import CODE

        text = CODE.sub(r"\1", self._message)
        return shorten(f"{self._label}: {text}".removeprefix(": "))


class StepsBlock(NoticeBlock):
    """The steps of the plan, each ticked off in its place; as plain text the first plan."""

    def __init__(self) -> None:
        super().__init__(NOTICE, "", "Plan")
        self._steps: list[tuple[str, str]] = []

    def replace(self, steps: Iterable[Mapping[str, Any]]) -> None:
        self._steps = [(shorten(str(s.get("step"))), str(s.get("status"))) for s in steps]
        self._message = self._message or "; ".join(step for step, _ in self._steps)
        self.size = sum(len(step) for step, _ in self._steps)

    def markdown(self) -> str:
        from .safe_markdown import escape_markdown

        steps = []
        for step, status in self._steps:
            now = " *(now)*" if status == "inProgress" else ""
            steps.append(f"- [{'x' if status == 'completed' else ' '}] {escape_markdown(step)}{now}")
        return "\n".join(["**Plan**\n", *steps])


class ActivityBlock:
    """Any other item: something is done, may report, and ends."""

    closed = False

    def __init__(self) -> None:
        self._item: types.ThreadItem = types.CommandExecution(id="", command="")
        self._output = ""
        self._rows: list[Row] = []

    @property
    def size(self) -> int:
        return sum(len(row.code) + len(row.body) for row in self.rows)

    def add_output(self, delta: str) -> None:
        """Add a command's output; only the end is kept, as only the end is shown."""
        self._output = (self._output + delta)[-2 * BODY_CHARS :]
        self._rows = []

    def replace(self, item: types.ThreadItem) -> None:
        self._item = item
        self._rows = []

    def replace_changes(self, changes: tuple[dict[str, Any], ...]) -> None:
        """Show the changes of a file change that have been reported so far."""
        if isinstance(self._item, types.FileChange):
            self.replace(msgspec.structs.replace(self._item, changes=changes))

    def close(self, status: str = "left") -> None:
        """End the block; an item that is still in progress gets `status`."""
        self.closed = True
        now = getattr(self._item, "status", "")
        if now == "waiting":
            self.replace(msgspec.structs.replace(self._item, status="stopped"))
        elif now == "inProgress":
            self.replace(msgspec.structs.replace(self._item, status=status))

    @property
    def rows(self) -> list[Row]:
        if not self._rows:
            item = self._item
            if isinstance(item, types.CommandExecution) and item.aggregated_output is None:
                item = msgspec.structs.replace(item, aggregated_output=self._output)
            self._rows = item_rows(item)
        return self._rows

    def markdown(self) -> str:
        return "\n\n".join(row.markdown() for row in self.rows)

    def plain(self) -> str:
        return "\n".join(row.plain() for row in self.rows) if self.closed else ""


Block = MarkdownBlock | ReasoningBlock | NoticeBlock | ActivityBlock


def item_rows(item: types.ThreadItem) -> list[Row]:
    """Return the rows of an item that is neither message, plan nor reasoning."""
    match item:
        case types.CommandExecution():
            return [_command_row(item)]
        case types.FileChange(changes=changes):
            return [_change_row(change, item) for change in changes]
        case types.ToolCall():
            return [_call_row(item)]
        case types.WebSearch(query=query):
            return [Row("Searched the web", shorten(query, HEAD_CHARS))]
        case types.ImageGeneration(status=status, revised_prompt=prompt):
            label = {"completed": "Made an image", "inProgress": "Making an image"}.get(status, "No image:")
            return [Row(label, shorten(prompt or "", HEAD_CHARS), _notes(status))]
        case types.ContextCompaction():
            return [Row("The earlier conversation was summarised to make room.")]
    name = shorten(types.item_type(item), HEAD_CHARS)
    return [Row("An item of a kind this version does not show:", name)]


def _command_row(item: types.CommandExecution) -> Row:
    command = shorten(shown_command(item.command), HEAD_CHARS)
    label, notes = _verb("run", item.status), _notes(item.status)
    if item.exit_code is not None and item.status not in NEVER_DONE:
        label, notes = "Ran", (f"exit code {item.exit_code}",)
    notes = (*_approval(item), *notes, *_seconds(item.duration_ms))
    return Row(label, command, notes, tail(item.aggregated_output or ""))


def _change_row(change: Mapping[str, Any], item: types.FileChange) -> Row:
    """Show the diff only of a settled change: before, the approval shows it."""
    path, diff, status = shorten(str(change.get("path")), HEAD_CHARS), change_diff(change), item.status
    # The agent writes file after file, and reports one status for all of them.
    in_part = ("some of it may be done",) if status in ("failed", "interrupted") else ()
    signs = [line[:1] for line in diff.splitlines() if not line.startswith(("+++ ", "--- "))]
    size = (f"+{signs.count('+')} −{signs.count('-')}",) if diff and status == "completed" else ()
    notes = (*size, *_notes(status), *_approval(item), *in_part)
    body = "" if status in ("inProgress", "waiting") else head(diff)
    return Row(_verb(change_kind(change), status), path, notes, body, "diff")


_VERBS = {
    "run": ("Wants to run", "Running", "Ran", "Not run:", "Failed", "Started"),
    "call": ("Wants to call", "Calling", "Called", "Not called:", "Failed", "Called"),
    "add": ("Wants to add", "Adding", "Added", "Not added:", "Failed to add", "Adds"),
    "delete": ("Wants to delete", "Deleting", "Deleted", "Not deleted:", "Failed to delete", "Deletes"),
    "update": ("Wants to change", "Changing", "Changed", "Not changed:", "Failed to change", "Changes"),
}


def _verb(action: str, status: str) -> str:
    """Return the label for an action in this status; a stopped one may be done in part."""
    waiting, doing, done, undone, failed, left = _VERBS[action]
    if status in NEVER_DONE:
        return undone
    labels = {"waiting": waiting, "inProgress": doing, "completed": done, "left": left, "failed": failed}
    return labels.get(status, "Stopped")


_NOTES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("waiting", "inProgress", "completed", "failed"), ()),
    "unanswered": ("nobody to ask",),
    "interrupted": ("while running",),
    "unfinished": ("did not finish",),
    "left": ("had not ended when the turn did",),
}


def _notes(status: str) -> tuple[str, ...]:
    return _NOTES.get(status, (shorten(status, 40),))


def _call_row(item: types.ToolCall) -> Row:
    tool = f"{item.namespace}.{item.tool}" if item.namespace else item.tool
    status = "failed" if item.success is False and item.status == "completed" else item.status
    arguments = "" if item.arguments is None else _json(item.arguments)
    if isinstance(item.arguments, dict):
        arguments = ", ".join(f"{name}={_json(value)}" for name, value in item.arguments.items())
    call = shorten(f"{tool}({arguments})", HEAD_CHARS)
    parts = (str(part.get("text", f"[{part.get('type')}]")) for part in item.content_items or ())
    body = head("\n".join(parts))
    notes = (*_approval(item), *_notes(status), *_seconds(item.duration_ms))
    return Row(_verb("call", status), call, notes, body, folded=True)


_APPROVALS = {
    "accept": "approved",
    "acceptForSession": "approved for this session",
    "always": "always approved",
}


def _approval(item: types.CommandExecution | types.FileChange | types.ToolCall) -> tuple[str, ...]:
    """Return the decision that stands in its step."""
    return (_APPROVALS[item.approval],) if item.approval in _APPROVALS else ()


def _seconds(duration_ms: int | None) -> tuple[str, ...]:
    """Return the time as a note; none for what took no noticeable time."""
    return () if duration_ms is None or duration_ms < 100 else (seconds(duration_ms),)


def seconds(duration_ms: int) -> str:
    """`3200` -> "3.2 s"; from a minute on "2 min 5 s"."""
    if duration_ms < 60_000:
        return f"{duration_ms / 1000:.1f} s"
    minutes, rest = divmod(round(duration_ms / 1000), 60)
    return f"{minutes} min {rest} s"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def head(text: str) -> str:
    """Return the first lines of `text`, and how many are left out."""
    lines = _drawn(text).split("\n")
    shown = "\n".join(lines[:BODY_LINES])[:BODY_CHARS].split("\n")
    left = len(lines) - len(shown)
    return "\n".join([*shown, f"… {left} more lines"] if left else shown)


def tail(text: str) -> str:
    """Return the last lines of `text`."""
    return "\n".join(_drawn(text[-2 * BODY_CHARS :]).split("\n")[-BODY_LINES:])[-BODY_CHARS:]


def _drawn(text: str) -> str:
    """`text` as a terminal leaves it: no colours, and of a line drawn again and again the last state."""
    plain = _ESCAPE_SEQUENCE.sub("", text).replace("\r\n", "\n").rstrip()
    return without_controls(_DRAWN_OVER.sub("", plain))
