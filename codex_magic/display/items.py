"""How each kind of item reads: as Markdown in a notebook, as plain text everywhere else.

A message is Markdown of the model's and goes through `SafeMarkdown`. Every other word that we did not
write ourselves (names, paths, commands, results) is escaped or set as code.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Any, Literal, NamedTuple

import msgspec

from codex_magic.protocol.types import (
    NEVER_DONE,
    AgentMessage,
    CommandExecution,
    ContextCompaction,
    FileChange,
    ImageGeneration,
    Plan,
    Reasoning,
    ThreadItem,
    ToolCall,
    WebSearch,
    is_empty_thought,
    item_type,
)

HEAD_CHARS = 300
"""Characters of a command or a tool's arguments, on their one line."""
BODY_CHARS = 4_000
BODY_LINES = 40
"""Characters and lines of a command's output, a tool's result or a diff; the item itself keeps the rest."""

FOLD_START = {
    "Reasoning": "<details><summary>Reasoning</summary>",
    "Result": "<details><summary>Result</summary>",
}
FOLD_END = "</details>"
"""The only HTML ever displayed: constants, so nothing from outside can be in it."""

_NOT_DRAWN = dict.fromkeys(code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t")
_ESCAPE_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_DRAWN_OVER = re.compile(r"[^\n]*\r")
_HEADING = re.compile(r"^\*\*(.+?)\*\*", re.M)


def without_controls(text: str) -> str:
    """`text` without the characters that drive a terminal; line feeds and tabs stay.

    Character by character, so the pieces of a stream give together what the whole gives.
    """
    return text.translate(_NOT_DRAWN)


def fold(title: str, markdown: str) -> str:
    """`markdown`, its fences closed, behind a line that opens it.

    The blank lines end the HTML block on both sides, and no list or quotation inside can take in a last
    line that stands in the first column.
    """
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

        head = f"**{self.label}** {code_span(self.code)}" if self.code else f"**{self.label}**"
        line = " · ".join([head, *map(escape_markdown, self.notes)])
        if not self.body:
            return line
        body = code_block(self.body, self.language)
        return f"{line}\n\n{fold('Result', body) if self.folded else body}"

    def plain(self) -> str:
        return " · ".join([f"{self.label} {self.code}".rstrip(), *self.notes])


class MarkdownBlock:
    """Markdown of the model's that grows at its end until the whole of it comes."""

    heading = ""

    def __init__(self) -> None:
        self.closed = False
        self._begin("")

    def _begin(self, text: str) -> None:
        self.size = len(text)
        self._pieces = [text]
        self._unsafe = [text]
        self._safe: Any = None

    @property
    def settled(self) -> bool:
        """Whether `plain()` is final; until then it only grows."""
        return self.closed

    @property
    def text(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def add(self, delta: str) -> None:
        self.size += len(delta)
        self._pieces.append(delta)
        self._unsafe.append(delta)

    def replace(self, item: AgentMessage | Plan) -> None:
        if item.text != self.text:
            self._begin(item.text)

    def close(self) -> None:
        self.closed = True

    def markdown(self) -> str:
        from .safe_markdown import SafeMarkdown

        if self._safe is None:
            self._safe = SafeMarkdown()
        self._safe.feed("".join(self._unsafe))
        self._unsafe.clear()
        return self.heading + str(self._safe.text)

    def plain(self) -> str:
        return without_controls(self.text)


class MessageBlock(MarkdownBlock):
    """What the model says."""


class PlanBlock(MarkdownBlock):
    """The model's plan."""

    heading = "**Plan**\n\n"


class ReasoningBlock:
    """One line about it while it lasts, folded away afterwards; no plain text."""

    settled = True

    def __init__(self) -> None:
        self.closed = False
        self.size = 0
        self._summary: dict[int, list[str]] = {}
        self._content: dict[int, list[str]] = {}
        self._folded: str | None = None

    def add_summary(self, index: int, delta: str) -> None:
        self._summary.setdefault(index, []).append(delta)
        self.size = 1

    def add_content(self, index: int, delta: str) -> None:
        self._content.setdefault(index, []).append(delta)
        self.size = 1

    def replace(self, item: Reasoning) -> None:
        if item.summary or item.content:
            self._summary = {index: [part] for index, part in enumerate(item.summary)}
            self._content = {index: [part] for index, part in enumerate(item.content)}

    def close(self) -> None:
        self.closed = True
        self.size = sum(map(len, self._parts()))
        self._folded = None

    @property
    def heading(self) -> str:
        """The last heading of the summary; empty before the first."""
        for part in reversed(self._parts()):
            if headings := _HEADING.findall(part):
                return one_line(headings[-1], 80)
        return ""

    def _parts(self) -> list[str]:
        """The summary; the full text only where there is none."""
        parts = ("".join(pieces) for pieces in (self._summary or self._content).values())
        return [part for part in parts if part.strip()]

    def markdown(self) -> str:
        from .safe_markdown import escape_markdown, safe_markdown

        if not self.closed:
            return f"*Thinking: {escape_markdown(self.heading)}*" if self.heading else "*Thinking …*"
        if self._folded is None:
            text = "\n\n".join(part for part in self._parts() if not is_empty_thought(part))
            self._folded = fold("Reasoning", safe_markdown(text)) if text else ""
        return self._folded

    def plain(self) -> str:
        return ""


class NoticeBlock:
    """A sentence of the service's, outside any item."""

    closed = settled = True

    def __init__(self, label: str, message: str) -> None:
        self._label = label
        self._message = message
        self.size = len(message)

    def markdown(self) -> str:
        from .safe_markdown import escape_markdown

        return f"**{self._label}:** {escape_markdown(self._message)}"

    def plain(self) -> str:
        return f"{self._label}: {one_line(self._message)}"


class QuietBlock:
    """A line that is smaller than the answer."""

    closed = settled = True

    def __init__(self, message: str) -> None:
        self._message = message
        self.size = len(message)

    def markdown(self) -> str:
        from .safe_markdown import code_span, escape_markdown

        parts = (part.strip() for part in self._message.split("`"))
        shown = [code_span(part) if n % 2 else escape_markdown(part) for n, part in enumerate(parts)]
        return f'<small style="opacity:.7">{" ".join(filter(None, shown))}</small>'

    def plain(self) -> str:
        return one_line(self._message.replace("`", ""))


class StepsBlock(NoticeBlock):
    """The steps of the plan, each ticked off in its place; as plain text the first plan."""

    def __init__(self) -> None:
        super().__init__("Plan", "")
        self._steps: list[tuple[str, str]] = []

    def replace(self, steps: Iterable[Mapping[str, Any]]) -> None:
        self._steps = [(one_line(str(s.get("step"))), str(s.get("status"))) for s in steps]
        self._message = self._message or "; ".join(step for step, _ in self._steps)
        self.size = sum(len(step) for step, _ in self._steps)

    def markdown(self) -> str:
        from .safe_markdown import escape_markdown

        steps = []
        for step, status in self._steps:
            now = " *(now)*" if status == "inProgress" else ""
            steps.append(f"- [{'x' if status == 'completed' else ' '}] {escape_markdown(step)}{now}")
        return "\n".join(["**Plan**\n", *steps])


class SteerBlock(NoticeBlock):
    """What the user has added while the model answered."""

    def __init__(self, message: str) -> None:
        super().__init__("You", message)

    def markdown(self) -> str:
        from .safe_markdown import escape_markdown

        return f"> You: {escape_markdown(self._message)}"


class ActivityBlock:
    """Any other item: something is done, may report, and ends."""

    def __init__(self) -> None:
        self.closed = False
        self._item: ThreadItem = CommandExecution(id="", command="")
        self._output = ""
        self._rows: list[Row] = []

    @property
    def settled(self) -> bool:
        return self.closed

    @property
    def size(self) -> int:
        return sum(len(row.code) + len(row.body) for row in self.rows)

    def add_output(self, delta: str) -> None:
        """Add a command's output; only the end is kept, as only the end is shown."""
        self._output = (self._output + delta)[-2 * BODY_CHARS :]
        self._rows = []

    def replace(self, item: ThreadItem) -> None:
        self._item = item
        self._rows = []

    def replace_changes(self, changes: tuple[dict[str, Any], ...]) -> None:
        """Show the changes of a file change that have been reported so far."""
        if isinstance(self._item, FileChange):
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
            if isinstance(item, CommandExecution) and item.aggregated_output is None:
                item = msgspec.structs.replace(item, aggregated_output=self._output)
            self._rows = item_rows(item)
        return self._rows

    def markdown(self) -> str:
        return "\n\n".join(row.markdown() for row in self.rows)

    def plain(self) -> str:
        return "\n".join(row.plain() for row in self.rows) if self.closed else ""


Block = MarkdownBlock | ReasoningBlock | NoticeBlock | QuietBlock | ActivityBlock


@singledispatch
def item_rows(item: ThreadItem) -> list[Row]:
    """Return the rows of an item that is neither message, plan nor reasoning."""
    return [Row("An item of a kind this version does not show:", one_line(item_type(item), HEAD_CHARS))]


@item_rows.register
def _(item: CommandExecution) -> list[Row]:
    command = one_line(shown_command(item.command), HEAD_CHARS)
    label, notes = _verb("run", item.status), _notes(item.status)
    if item.exit_code is not None and item.status not in NEVER_DONE:
        label, notes = "Ran", (f"exit code {item.exit_code}",)
    return [Row(label, command, notes + _seconds(item.duration_ms), tail(item.aggregated_output or ""))]


@item_rows.register
def _(item: FileChange) -> list[Row]:
    """Show the diff only of a settled change: before, the approval shows it."""
    return [
        Row(
            _verb(change_kind(change), item.status),
            one_line(str(change.get("path")), HEAD_CHARS),
            (*_notes(item.status), *_IN_PART.get(item.status, ())),
            "" if item.status in ("inProgress", "waiting") else head(change_diff(change)),
            "diff",
        )
        for change in item.changes
    ]


_VERBS = {
    "run": ("Wants to run", "Runs", "Ran", "Not run:", "Failed", "Started"),
    "call": ("Wants to call", "Calls", "Called", "Not called:", "Failed", "Called"),
    "add": ("Wants to add", "Adds", "Added", "Not added:", "Failed to add", "Adds"),
    "delete": ("Wants to delete", "Deletes", "Deleted", "Not deleted:", "Failed to delete", "Deletes"),
    "update": ("Wants to change", "Changes", "Changed", "Not changed:", "Failed to change", "Changes"),
}


def _verb(action: str, status: str) -> str:
    """Return the label for an action in this status; a stopped one may be done in part."""
    waiting, doing, done, undone, failed, left = _VERBS[action]
    if status in NEVER_DONE:
        return undone
    labels = {"waiting": waiting, "inProgress": doing, "completed": done, "left": left, "failed": failed}
    return labels.get(status, "Stopped")


_NOTES: dict[str, tuple[str, ...]] = {
    "waiting": (),
    "inProgress": (),
    "completed": (),
    "failed": (),
    "unanswered": ("nobody to ask",),
    "interrupted": ("while running",),
    "unfinished": ("did not finish",),
    "left": ("had not ended when the turn did",),
}

_IN_PART = dict.fromkeys(("failed", "interrupted"), ("some of it may be done",))
"""The agent writes file after file, and reports one status for all of them."""


def _notes(status: str) -> tuple[str, ...]:
    return _NOTES.get(status, (one_line(status, 40),))


def shown_command(command: str) -> str:
    """`command` without the shell that the agent wraps around each of its commands."""
    return shell_and_script(command)[1]


def shell_and_script(command: str) -> tuple[str, str]:
    """Return the agent's own shell around `command` (empty: none), and the script it runs.

    Only the system's own: what merely calls itself a shell is nothing to hide from who has to say yes.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return "", command
    # In double quotes a shell takes a backslash from these too, and shlex does not.
    is_exact = "\\$" not in command and "\\`" not in command
    if is_exact and len(words) == 3 and words[1] in ("-c", "-lc") and words[0] in _SHELLS:
        return " ".join(words[:2]), words[2]
    return "", command


_SHELLS = {f"{folder}/{name}" for folder in ("/bin", "/usr/bin") for name in ("bash", "sh", "zsh")}


def change_kind(change: Mapping[str, Any]) -> Literal["add", "delete", "update"]:
    kind = change.get("kind")
    name = kind.get("type") if isinstance(kind, dict) else kind
    return "add" if name == "add" else "delete" if name == "delete" else "update"


def change_diff(change: Mapping[str, Any]) -> str:
    """Return the change of one file as a diff; for an added or deleted file the agent sends its text alone."""
    text, kind = str(change.get("diff") or ""), change_kind(change)
    if kind == "update":
        return text
    sign = "+" if kind == "add" else "-"
    lines = [f"{sign}{line}" for line in text.removesuffix("\n").split("\n")] if text else []
    if text and not text.endswith("\n"):
        lines.append("\\ No newline at end of file")
    return "".join(f"{line}\n" for line in lines)


@item_rows.register
def _(item: ToolCall) -> list[Row]:
    tool = f"{item.namespace}.{item.tool}" if item.namespace else item.tool
    status = "failed" if item.success is False and item.status == "completed" else item.status
    arguments = "" if item.arguments is None else _json(item.arguments)
    if isinstance(item.arguments, dict):
        arguments = ", ".join(f"{name}={_json(value)}" for name, value in item.arguments.items())
    call = one_line(f"{tool}({arguments})", HEAD_CHARS)
    parts = (str(part.get("text", f"[{part.get('type')}]")) for part in item.content_items or ())
    body = head("\n".join(parts))
    return [Row(_verb("call", status), call, _notes(status) + _seconds(item.duration_ms), body, folded=True)]


@item_rows.register
def _(item: WebSearch) -> list[Row]:
    return [Row("Searched the web", one_line(item.query, HEAD_CHARS))]


@item_rows.register
def _(item: ImageGeneration) -> list[Row]:
    label = {"completed": "Made an image", "inProgress": "Makes an image"}.get(item.status, "No image:")
    return [Row(label, one_line(item.revised_prompt or "", HEAD_CHARS), _notes(item.status))]


@item_rows.register
def _(item: ContextCompaction) -> list[Row]:
    return [Row("The earlier conversation was summarised to make room.")]


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


def one_line(text: str, limit: int = 1_000) -> str:
    line = without_controls(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


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
