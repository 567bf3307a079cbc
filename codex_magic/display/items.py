"""How each kind of item reads: as Markdown in a notebook, as plain text everywhere else.

A message is Markdown of the model's and goes through `SafeMarkdown`. Every other word that we did not
write ourselves (names, paths, commands, results) is escaped or set as code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from codex_magic.protocol import types
from codex_magic.protocol.plain import shorten, without_controls
from codex_magic.protocol.types import NEVER_DONE

from .exact import HEAD_CHARS, change_diff, change_kind, diff_size, shell_and_script, step_line, text_diff
from .table import without_marks

# The functions import `.safe_markdown` themselves: its parser would be loaded while a first request is prepared.

BODY_CHARS = 4_000
BODY_LINES = 40
"""Characters and lines of a command's output, a tool's result or a diff; the item itself keeps the rest."""

FOLD_START = (
    '<details{} style="margin-bottom:.6em"><summary>{}</summary><blockquote style="margin:.4em 0 .4em .3em">'
)
FOLD_END = "</blockquote></details>"
BAR_START, BAR_END = '<blockquote style="border-left-color:{};margin:.4em 0 .8em">', "</blockquote>"
QUIET_START, QUIET_END = '<small style="opacity:.7">', "</small>"
"""The only HTML ever displayed: what comes from outside is `html_text` there."""

ERROR, WARNING = (f"{BAR_START.format(colour)}\n\n{{}}\n\n{BAR_END}" for colour in ("#d32f2f", "#e65100"))
QUIET, STEER = f"{QUIET_START}{{}}{QUIET_END}", "> {}"
"""Forms of a notice."""

_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|min)(?!\w))")
"""The space before a unit, at which no line breaks."""

_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")


def fold(summary: str, markdown: str, *, is_open: bool = False) -> str:
    """`markdown`, its fences closed, behind a line that opens it; the blank lines end the HTML on both sides."""
    return f"{FOLD_START.format(' open' * is_open, summary)}\n\n{markdown}\n\n{FOLD_END}"


def html_text(text: str) -> str:
    """One line inside a tag of ours; readers that look for Markdown or mathematics in there find none."""
    shown = re.sub(r"[^\w\s.,;·+/()=-]|_", lambda mark: f"&#{ord(mark[0])};", text)
    return re.sub("&#(36|92);", r"<span>\g<0></span>", shown)


class Row(NamedTuple):
    """One line about something done, and what came out of it."""

    label: str
    code: str = ""
    notes: Sequence[str | None] = ()
    body: str = ""
    language: str = ""
    is_open: bool = False

    def markdown(self) -> str:
        from .safe_markdown import code_block, code_span, escape_markdown

        notes = "".join(f" · {note}" for note in self.notes if note).strip()
        if self.body:
            bold, text, code = f"<b>{self.label}</b>", html_text, f"<code>{html_text(self.code)}</code>"
        else:
            bold, text, code = f"**{self.label}**", escape_markdown, code_span(self.code)
        line = " ".join([bold, *[code] * bool(self.code), *[QUIET.format(text(notes))] * bool(notes)])
        return fold(line, code_block(self.body, self.language), is_open=self.is_open) if self.body else line

    def plain(self) -> str:
        """A reason follows what it is about, which nothing else would set apart."""
        verb, colon, reason = self.label.partition(": ")
        line = f"{verb}{colon.rstrip()} {self.code}".rstrip()
        return " · ".join(filter(None, (line, reason, *self.notes)))


class MarkdownBlock:
    """Markdown of the model's that grows at its end until the whole of it comes."""

    heading = beginning = ""
    """What stands above it, and what its own text is read as if it began with."""
    closed = False

    def __init__(self, text: str = "") -> None:
        from .safe_markdown import SafeMarkdown

        self.size = len(text)
        self._pieces = [text]
        self.safe = SafeMarkdown(self.beginning + text)

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
        return self.heading + (self.safe.text if self.closed else self.safe.settled)

    def plain(self) -> str:
        return without_controls(self.text)


class MessageBlock(MarkdownBlock):
    pass


class ValueBlock(MessageBlock):
    """A message that is JSON, set as code."""

    beginning = "```json\n"


class PlanBlock(MarkdownBlock):
    heading = "**Plan**\n\n"


class ReasoningBlock:
    """A thought. A notebook shows all of a turn's in one fold , plain text none."""

    closed = False

    def __init__(self) -> None:
        self.begun = 0.0
        self.seconds: float | None = None
        """By the view's clock, unless the item says how long it took."""
        self._summary: dict[int, MarkdownBlock] = {}
        self._content: dict[int, MarkdownBlock] = {}

    @property
    def size(self) -> int:
        return sum(part.size for part in self._parts())

    def add(self, index: int, delta: str, *, is_summary: bool = True) -> None:
        parts = self._summary if is_summary else self._content
        parts.setdefault(index, MarkdownBlock()).add(delta)

    def replace(self, item: types.Reasoning) -> None:
        if item.duration_ms is not None:
            self.seconds = item.duration_ms / 1000
        if item.summary or item.content:
            self._summary = dict(enumerate(map(MarkdownBlock, item.summary)))
            self._content = dict(enumerate(map(MarkdownBlock, item.content)))

    def close(self) -> None:
        self.closed = True

    def line(self) -> str:
        """What it is about now: the last heading of the summary."""
        headings = re.findall(r"(?m)^\*\*(.+?)\*\*", "\n\n".join(part.text for part in self._parts()))
        return f"Thinking: {shorten(headings[-1], 80)}" if headings else "Thinking …"

    def _parts(self) -> list[MarkdownBlock]:
        """The summary; the full text only where there is none."""
        return [*(self._summary or self._content).values()]

    def markdown(self) -> str:
        return "\n\n".join(each.markdown() for each in self._parts() if not types.is_empty_thought(each.text))

    def plain(self) -> str:
        return ""


class NoticeBlock:
    """A sentence outside any item, in one of the forms; what is between backticks is code.

    With a `label` its first sentence is bold, and what to do stands below it; else what of it is `bold`.
    """

    closed = True

    def __init__(self, form: str, message: str, label: str = "", *, bold: str = "") -> None:
        self.form, self._message, self._label, self._bold = form, " ".join(message.split()), label, bold
        self.size = len(message)

    def markdown(self) -> str:
        from .safe_markdown import marked

        if not self._label:
            text = marked(self._message)
            text = text.replace(self._bold, f"**{self._bold}**") if self._bold else text
            return self.form.format(_UNIT.sub("\N{NO-BREAK SPACE}", text)) * bool(text)
        what, *then = map(marked, re.split(r"(?<=[.!?]) (?=[^a-z])", self._message, maxsplit=1))
        return self.form.format("\\\n".join([f"**{self._label}: {what}**", *then]))

    def plain(self) -> str:
        return shorten(f"{self._label}: {without_marks(self._message)}".removeprefix(": "))


class StepsBlock(NoticeBlock):
    """The steps of the plan, each ticked off in its place; as plain text the first plan."""

    def __init__(self) -> None:
        super().__init__("", "", "Plan")
        self._steps: list[tuple[str, str]] = []

    def replace(self, steps: Iterable[Mapping[str, Any]]) -> None:
        self._steps = [(shorten(str(s.get("step"))), str(s.get("status"))) for s in steps]
        self._message = self._message or "; ".join(step for step, _ in self._steps)
        self.size = sum(len(step) for step, _ in self._steps)

    def markdown(self) -> str:
        from .safe_markdown import escape_markdown

        done = [status == "completed" for _, status in self._steps]
        lines = [f"**Plan** {QUIET.format(f'· {sum(done)} of {len(done)} done')}"]
        for is_done, (step, status) in zip(done, self._steps, strict=True):
            now = f" {QUIET.format('· now')}" * (status == "inProgress")
            lines.append(f"{'☑' if is_done else '☐'} {escape_markdown(step)}{now}")
        return "\\\n".join(lines)


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
        ends = {"waiting": "stopped", "inProgress": status}
        if end := ends.get(getattr(self._item, "status", "")):
            self.replace(msgspec.structs.replace(self._item, status=end))

    @property
    def rows(self) -> list[Row]:
        if not self._rows:
            item = self._item
            if isinstance(item, types.CommandExecution) and item.aggregated_output is None:
                item = msgspec.structs.replace(item, aggregated_output=self._output)
            self._rows = item_rows(item)
        return self._rows

    @property
    def has_read(self) -> bool:
        """Whether it only read, and did."""
        item = self._item
        if not isinstance(item, types.ToolCall) or item.success is False:
            return False
        return item.status == "completed" and is_reading(item)

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
            return [Row(label, shorten(prompt or "", HEAD_CHARS), [_note(status)])]
        case types.ContextCompaction():
            return [Row("The earlier conversation was summarised to make room.")]
    name = shorten(types.item_type(item), HEAD_CHARS)
    return [Row("An item of a kind this version does not show:", name)]


def _command_row(item: types.CommandExecution) -> Row:
    command = step_line(shell_and_script(item.command)[1])
    label, note, time = _verb("run", item.status), _note(item.status), seconds(item.duration_ms)
    if item.exit_code is not None and item.status not in NEVER_DONE:
        label, note = "Failed" if item.status == "failed" else "Ran", f"exit code {item.exit_code}"
    elif item.status == "interrupted" and time:
        note, time = f"after {lasting(round((item.duration_ms or 0) / 1000))}", ""
    is_open = label in ("Running", "Failed")
    body = tail(item.aggregated_output or "")
    notes = [_APPROVALS.get(item.approval or ""), note, _words(item.reason), time]
    return Row(label, command, notes, body, is_open=is_open)


def _change_row(change: Mapping[str, Any], item: types.FileChange) -> Row:
    """Show the diff only of a settled change: before, the approval shows it."""
    path, diff, status = step_line(str(change.get("path"))), change_diff(change), item.status
    # The agent writes file after file, and reports one status for all of them.
    in_part = "some of it may be done" if status in ("failed", "interrupted") else ""
    size = "+{} −{}".format(*diff_size(diff)) if diff and status == "completed" else ""
    notes = [size, _note(status), _APPROVALS.get(item.approval or ""), _words(item.reason), in_part]
    body = "" if status in ("inProgress", "waiting") else head(diff)
    label = _verb(change_kind(change), status)
    return Row(label, path, notes, body, "diff", is_open=status not in NEVER_DONE)


_VERBS = {
    "run": ("Wants to run", "Running", "Ran", "Not run", "Failed", "Started"),
    "read": ("Wants to read", "Reading", "Read", "Not read", "Failed to read", "Read"),
    "move": ("Wants to move", "Moving", "Moved", "Not moved", "Failed to move", "Moves"),
    "call": ("Wants to call", "Calling", "Called", "Not called", "Failed", "Called"),
    "add": ("Wants to add", "Adding", "Added", "Not added", "Failed to add", "Adds"),
    "delete": ("Wants to delete", "Deleting", "Deleted", "Not deleted", "Failed to delete", "Deletes"),
    "update": ("Wants to change", "Changing", "Changed", "Not changed", "Failed to change", "Changes"),
    "interrupt": (
        "Wants to interrupt",
        "Interrupting",
        "Interrupted",
        "Not interrupted",
        "Failed",
        "Interrupts",
    ),
    # Whether it was restarted nobody knows who ended for it.
    "restart": ("Wants to restart", "Restarting", "Ended to restart", "Not restarted", "Failed", "Restarts"),
}


def _verb(action: str, status: str) -> str:
    """Return the label for an action in this status; a stopped one may be done in part."""
    waiting, doing, done, undone, failed, left = _VERBS[action]
    if status in NEVER_DONE:
        return f"{undone}: {'nobody to ask' if status == 'unanswered' else status}"
    labels = {"waiting": waiting, "inProgress": doing, "completed": done, "left": left, "failed": failed}
    return labels.get(status, "Stopped")


_NOTES = {
    **dict.fromkeys(("inProgress", "completed", "failed", *NEVER_DONE), ""),
    "waiting": "waiting for your approval",
    "interrupted": "while running",
    "unfinished": "did not finish",
    "left": "had not ended when the turn did",
}


def _note(status: str) -> str:
    return _NOTES.get(status, shorten(status, 40))


READINGS = {
    "list_variables": ("variables", "variables: "),
    "inspect_variable": ("variable", ""),
    "read_notebook": ("notebook", "cell "),
    "search_notebook": ("notebook", "notebook: "),
    "read_file": ("file", ""),
}
"""The tools that only read, with the name of what they read, without arguments and before them."""

FRAME = re.compile(r"</?external_\w+>")
"""Tells the model what is data; nothing for users."""


def is_reading(item: types.ToolCall) -> bool:
    """Whether it is a call of one of those; some models put all tools into the namespace `functions`."""
    return item.tool in READINGS and item.namespace in (None, "functions")


def _reading_row(item: types.ToolCall) -> Row:
    """Return what was read, by the arguments, whatever the model called them, and what it was shown of it."""
    whole, before = READINGS[item.tool]
    arguments = item.arguments if isinstance(item.arguments, dict) else {}
    about = ", ".join(str(each) for each in arguments.values() if each not in (None, ""))
    body = head(FRAME.sub("", _result(item))) or "(empty)" * (item.content_items is not None)
    approval = "approved for this notebook" if item.approval == "acceptForSession" else ""
    notes = [approval or _APPROVALS.get(item.approval or ""), _note(item.status), seconds(item.duration_ms)]
    status = "failed" if item.success is False and item.status == "completed" else item.status
    code = step_line(shorten(f"{before}{about}" if about else whole, HEAD_CHARS))
    return Row(_verb("read", status), code, notes, "" if status in NEVER_DONE else body)


def read_together(rows: Sequence[Row]) -> Row:
    """Return one row for all that was read in a row."""
    codes = [*dict.fromkeys(row.code for row in rows)]
    notes = [*dict.fromkeys(note for row in rows for note in row.notes if note and "approved" in note)]
    body = "\n\n".join(f"{row.code}\n{row.body}" for row in rows)
    return Row(rows[0].label, shorten(", ".join(codes), HEAD_CHARS), notes, body)


RUN_PYTHON = "run_python"


def _run_row(item: types.ToolCall) -> Row:
    """Return what ran in the kernel: its first line, and folded all of it with what the model was shown."""
    arguments = item.arguments if isinstance(item.arguments, dict) else {}
    code = str(arguments.get("code", ""))
    shown = head(FRAME.sub("", _result(item)))
    is_new = item.success is False and item.status == "completed"
    label = "Failed" if is_new else _verb("run", item.status)
    is_this = item.approval == "acceptInKernel"
    approval = "this code approved" if is_this else _APPROVALS.get(item.approval or "")
    has_looked = arguments.get("scope") != "commit" and item.status == "completed"
    notes = [approval, "only looked" if has_looked else "", *_ending(item, item.status)]
    body = f"{code.rstrip()}\n\n{shown}".rstrip() if item.status not in NEVER_DONE else code
    return Row(label, step_line(code), notes, body, is_open=label == "Failed")


CELL_TOOLS = {
    "add_cell": "add",
    "edit_cell": "update",
    "run_cell": "run",
    "move_cell": "move",
    "delete_cell": "delete",
    "restart_kernel": "restart",
    "interrupt_kernel": "interrupt",
}
"""The tools that change cells and the kernel, with what they do."""


def _cell_row(item: types.ToolCall) -> Row:
    """Return what became of a cell, and folded what was proposed and what the model was told."""
    arguments = item.arguments if isinstance(item.arguments, dict) else {}
    action = CELL_TOOLS[item.tool]
    is_undone = item.success is False and item.status in ("completed", "failed")
    status = "completed" if (action, item.status) == ("restart", "interrupted") else item.status
    verb = _VERBS[action][3] if is_undone else _verb(action, status)
    subject = f"cell {arguments.get('cell', '')}".rstrip()
    if action in ("add", "interrupt"):
        subject = "a cell" if action == "add" else "the cell that runs"
    elif action == "restart":
        last = str(arguments.get("run_up_to") or "")
        subject = f"the kernel and run up to cell {last}" if last else "the kernel"
    old, new = (str(arguments.get(name) or "") for name in ("old", "new"))
    proposed = text_diff(old, new) if action == "update" else str(arguments.get("source") or "")
    came = head(FRAME.sub("", _result(item))) if item.status not in NEVER_DONE else ""
    notes = [_APPROVALS.get(item.approval or ""), *_ending(item, status)]
    body = "\n\n".join(filter(None, (proposed, came)))
    return Row(verb, step_line(shorten(subject, HEAD_CHARS)), notes, body, "diff" if old or new else "")


def _call_row(item: types.ToolCall) -> Row:
    if item.tool == RUN_PYTHON and item.namespace is None:
        return _run_row(item)
    if item.tool in CELL_TOOLS and item.namespace is None:
        return _cell_row(item)
    if is_reading(item):
        return _reading_row(item)
    namespace = (item.namespace or "").removeprefix(types.MCP)
    tool = f"{namespace}.{item.tool}" if namespace else item.tool
    status = "failed" if item.success is False and item.status == "completed" else item.status
    arguments = "" if item.arguments is None else _json(item.arguments)
    if isinstance(item.arguments, dict):
        arguments = ", ".join(f"{name}={_json(value)}" for name, value in item.arguments.items())
    call = shorten(f"{tool}({arguments})", HEAD_CHARS)
    notes = [_APPROVALS.get(item.approval or ""), *_ending(item, status)]
    return Row(_verb("call", status), call, notes, head(_result(item)))


def _result(item: types.ToolCall) -> str:
    """Return the texts that the model was given."""
    return "\n".join(str(part.get("text", f"[{part.get('type')}]")) for part in item.content_items or ())


def _ending(item: types.ToolCall, status: str) -> tuple[str, str, str]:
    """Return the notes on how a call ended, why not, and after how long."""
    return _note(status), _words(item.reason), seconds(item.duration_ms)


_APPROVALS = {
    "accept": "approved",
    **dict.fromkeys(("acceptForSession", "acceptInKernel"), "approved for this session"),
    **dict.fromkeys(("always", "acceptAlways"), "always approved"),
}
"""The decision that stands in its step."""


def _words(reason: str | None) -> str:
    return f"you said “{step_line(reason)}”" if reason else ""


def seconds(duration_ms: int | None) -> str:
    """`3200` -> "3.2 s"; nothing for what took no noticeable time."""
    if duration_ms is None or duration_ms < 100:
        return ""
    return f"{duration_ms / 1000:.1f} s" if duration_ms < 60_000 else lasting(round(duration_ms / 1000))


def lasting(seconds: int) -> str:
    """`4` -> "4 s", `125` -> "2 min 5 s"."""
    return f"{seconds} s" if seconds < 60 else f"{seconds // 60} min {seconds % 60} s"


_json = partial(json.dumps, ensure_ascii=False, default=str)


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
    return without_controls(re.sub(r"[^\n]*\r", "", plain))
