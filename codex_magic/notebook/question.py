"""What the agent asks a person, in words: what it would do, the answers to choose from, what was decided. Pure."""

from __future__ import annotations

import json
import secrets
import shlex
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from ..display.exact import (
    ESCAPED,
    HEAD_CHARS,
    change_diff,
    change_kind,
    diff_size,
    exact_diff,
    exact_line,
    exact_lines,
    shell_and_script,
    text_diff,
)
from ..engines.approvals import LASTING, is_at_work
from ..protocol import types
from ..protocol.plain import shorten
from ..protocol.policy import policy_bounds
from ..protocol.types import ApprovalDecision, ApprovalRequest, Decision
from .tools.files import NOT_KEPT

NOBODY = "Declined (no one was available to approve)"
ENDED = "Not answered here"
STOPPED = "Stopped before it was answered"


class CodeRun(NamedTuple):
    """May this code of an answer run in the kernel? What a command asks, and no engine. `facts`: as `RunApproval`'s."""

    code: str
    facts: tuple[tuple[str, str], ...] = ()


Request = ApprovalRequest | CodeRun


class Question:
    """One request and its first answer, from any thread; files below `folder` are named by their path in it.

    `output`: the id of the answer whose turn asks.
    """

    def __init__(self, request: Request, folder: str, output: str = "") -> None:
        self.request = request
        self.folder = folder
        self.output = output
        self.id = secrets.token_urlsafe(16)
        """Who knows it was shown the question by this kernel."""
        self.number = 0
        """What a person calls it by."""
        self.shown_at: float | None = None
        """When all of it was shown for the first time, in Unix seconds; no yes from before that counts."""
        self.on_page = False
        """Whether a page shows it as a card of its own."""
        self.page = ""
        """The session of the page where it was answered first; empty where it was none."""
        self._lock = threading.Lock()
        self._claimed: tuple[ApprovalDecision | None] | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called when a page begins to show it."""
        self.answered: Future[ApprovalDecision | None] = Future()
        """`None`: nobody answered, which is no."""
        self.reason = ENDED
        """Why nobody answered."""

    @property
    def over(self) -> bool:
        return self.answered.done()

    def claim(self, decision: ApprovalDecision | None) -> bool:
        """Keep all other answers out, unless there is one; return whether this is the one that holds."""
        with self._lock:
            if self._claimed is None and not self.over:
                self._claimed = (decision,)
            return self._claimed == (decision,)

    def answer(self, decision: ApprovalDecision | None) -> None:
        """Answer; the first answer holds."""
        if self.claim(decision):
            with suppress(InvalidStateError):
                self.answered.set_result(decision)

    @cached_property
    def about(self) -> tuple[object, ...]:
        """What exactly is asked; a yes for longer than once holds for the same alone."""
        return exactly(self.request)

    @cached_property
    def text(self) -> QuestionText:
        return question_text(self)

    def decision(self, key: str, reason: str = "") -> ApprovalDecision | None:
        """Return what one of its choices stands for; `None`: no choice of its own, or it was not shown yet."""
        choice = next((each for each in choices(self.request) if each.key == key), None)
        if choice is None or self.shown_at is None:
            return None
        reason = reason.strip()
        return types.DeclineBecause(reason) if choice.takes_reason and reason else choice.decision

    def choose(self, key: str, reason: str = "") -> None:
        """Answer with one of its choices."""
        if (decision := self.decision(key, reason)) is not None:
            self.answer(decision)

    def show(self) -> None:
        """Note that all of it is shown from now on."""
        self.shown_at = self.shown_at or time.time()

    def is_lasting(self) -> bool:
        """Whether it was answered by what holds for longer than once."""
        if not self.over or self.answered.cancelled():
            return False
        decision = self.answered.result()
        yes = (Decision.accept, Decision.accept_and_run, Decision.accept_in_kernel, Decision.try_first)
        once = (None, *yes, Decision.decline, Decision.cancel)
        return not isinstance(decision, types.DeclineBecause) and decision not in once

    def grant(self) -> tuple[str, str]:
        """Return what holds for longer than once, as the button said, and what it is about."""
        decision = self.answered.result()
        label = next(each.label for each in choices(self.request) if each.decision == decision)
        passage = self.text.passages[0]
        about = passage.title or passage.text
        if isinstance(self.request, types.ToolCallApproval):
            about = self.request.tool
        return label.removeprefix("Approve ").removeprefix("Always allow "), shorten(about, HEAD_CHARS)

    def card(self, waiting: int, following: str) -> dict[str, Any]:
        """Return what a page draws: the first of so many questions, and the title of the one that follows."""
        self.show()
        if not self.on_page:
            self.on_page = True
            self.changed()
        return {
            "question": self.id,
            "number": self.number,
            "title": self.text.title,
            "passages": [{**passage._asdict(), "hint": passage.hint()} for passage in self.text.passages],
            "facts": [list(fact) for fact in self.text.facts],
            "images": list(self.text.images),
            "choices": [
                {**{name: getattr(each, name) for name in SHOWN}, "reason": each.takes_reason}
                for each in choices(self.request)
            ],
            "waiting": waiting,
            "following": following,
            **self._edit(),
        }

    def _edit(self) -> dict[str, Any]:
        """Return what a page compares where a cell would be changed: it shows that as it stands there then."""
        request = self.request
        if not isinstance(request, types.CellApproval) or request.action != "edit":
            return {}
        names = ("cell", "base", "text", "old", "new")
        return {"edit": {name: getattr(request, name) for name in names}}

    def refuse(self, reason: str) -> None:
        """Answer no because of `reason`, and not because a person said so."""
        self.reason = reason
        self.answer(None)


def exactly(request: Request) -> tuple[object, ...]:
    """Return what a request is about, whoever asks it and why: equal for two that would do the same.

    A file may change in any way, but for being deleted; a tool may be called with anything.
    """
    match request:
        case types.CommandApproval():
            where = json.dumps(request.network_approval_context, sort_keys=True)
            return "command", request.command, request.cwd, where
        case types.FileChangeApproval(changes=changes):
            files = {(str(each.get("path")), _moved(each), change_kind(each) == "delete") for each in changes}
            return "files", frozenset(files), request.grant_root, is_at_work(request)
        case types.PermissionsApproval():
            return "permissions", json.dumps(request.permissions, sort_keys=True), request.cwd
        case types.ReadingApproval():
            return "read", request.folder
        case types.RunApproval():
            return "run", request.code, request.stays
        case CodeRun():
            return "run here", request.code
    return "tool", request.namespace, request.tool


class Choice(NamedTuple):
    """`key`: what is typed for it where there are no buttons. `side`: where its button stands; `more` is one fold away.

    `short`: what its key does, in a word or two. `takes_reason`: a person may say why, and the model hears it.
    """

    key: str
    label: str
    decision: ApprovalDecision
    side: Literal["no", "yes", "more"] = "more"
    short: str = ""
    takes_reason: bool = False

    @property
    def is_lasting(self) -> bool:
        """Whether it is a yes for longer than once."""
        return self.decision in LASTING or not isinstance(self.decision, Decision)


SHOWN = ("key", "label", "short", "side")
"""Fields of a choice that a page draws."""

CHOICES = (
    Choice("d", "Decline", Decision.decline, "no", "decline"),
    Choice("w", "Decline and say why …", Decision.decline, "no", "say why", takes_reason=True),
    Choice("s", "Approve for this session", Decision.accept_for_session, "yes", "session"),
    Choice("a", "Approve", Decision.accept, "yes", "approve"),
)


READING_CHOICES = (
    Choice("d", "No", Decision.decline, "no", "no"),
    Choice("w", "No, and say why …", Decision.decline, "no", "say why", takes_reason=True),
    Choice("s", "In this notebook", Decision.accept_for_session, "yes", "this notebook"),
    Choice("a", "This time", Decision.accept, "yes", "this time"),
)


CELL_VERBS = {action: action.capitalize() for action in ("run", "move", "delete", "restart", "interrupt")}


def _cell_choices(request: types.CellApproval) -> list[Choice]:
    """Return the answers to a change of a cell; `Apply` alone runs nothing."""
    verb = CELL_VERBS.get(request.action, "Apply")
    if request.action == "restart" and request.steps:
        verb = "Restart and run"
    yes = [Choice("a", verb, Decision.accept, "yes", verb.lower())]
    if verb == "Apply" and request.kind == "code":
        yes.insert(0, Choice("r", "Apply and run", Decision.accept_and_run, "yes", "apply and run"))
    return [
        Choice("d", "Reject", Decision.decline, "no", "reject"),
        *yes,
        Choice("w", "Reject and say why …", Decision.decline, takes_reason=True),
    ]


TRY_FIRST = Choice("t", "Try first", Decision.try_first, "yes", "try first")


def choices(request: Request) -> list[Choice]:
    """Return all answers, in the order in which they are offered."""
    if isinstance(request, CodeRun):
        return [CHOICES[0], CHOICES[-1]]
    if isinstance(request, types.RunApproval) and not (request.no_trial or request.trial):
        return [*CHOICES[:2], TRY_FIRST, *CHOICES[2:], *more_choices(request)]
    own: Iterable[Choice] = CHOICES
    if isinstance(request, types.CellApproval):
        own = _cell_choices(request)
    elif isinstance(request, types.ReadingApproval):
        own = READING_CHOICES
    offered = [*own, *more_choices(request)]
    return offered if policy_bounds().always else [each for each in offered if not each.is_lasting]


def more_choices(request: ApprovalRequest) -> list[Choice]:
    """Return the answers that are one fold away: what holds from now on, and the end of the turn."""
    lasting: list[Choice] = []
    if isinstance(request, types.ReadingApproval):
        lasting = [Choice("e", "Always, in every notebook", Decision.accept_always)]
    if isinstance(request, types.CommandApproval):
        if words := request.proposed_execpolicy_amendment:
            joined = shlex.join(words)
            # With the agent's own shell before it, a beginning of words stands for one command.
            allowed = "exactly this command"
            if shell_and_script(joined)[1] == joined:
                allowed = f"commands that start with {exact_line(joined)}"
            decision = types.AcceptWithExecpolicyAmendment(words)
            lasting.append(Choice("c", f"Always allow {allowed}", decision))
        for number, proposed in enumerate(request.proposed_network_policy_amendments or (), 1):
            host, action = str(proposed.get("host")), str(proposed.get("action"))
            if action == "allow":
                label = f"Always allow {exact_line(host)}"
                lasting.append(Choice(f"h{number}", label, types.ApplyNetworkPolicyAmendment(host, action)))
    return [*lasting, Choice("x", "Decline and stop the turn", Decision.cancel)]


class Passage(NamedTuple):
    """Text of the model's as it would take effect."""

    title: str
    text: str
    language: str = ""

    def hint(self) -> str:
        """Say what a person may miss in it: lines further down, and what is not seen."""
        lines = self.text.split("\n")
        hints = [f"{len(lines)} lines: scroll to read all."] if len(lines) > SHOWN_LINES else []
        hidden = ((number, ESCAPED.search(line)) for number, line in enumerate(lines, 1))
        number, match = next(((number, match) for number, match in hidden if match), (0, None))
        if match is not None:
            hints.append(f"Line {number} has an invisible character, shown as {match[0]}.")
        return " ".join(hints)


SHOWN_LINES = 10
"""What a passage shows at once, where no line is broken."""


class QuestionText(NamedTuple):
    """What a person needs to decide; none of it is Markdown or HTML."""

    title: str
    passages: tuple[Passage, ...]
    facts: tuple[tuple[str, str], ...]
    images: tuple[str, ...] = ()
    """As `data:` addresses."""


def question_text(question: Question) -> QuestionText:
    """Return the whole question; of `facts` the reason is what Codex says, so that nobody takes it for ours."""
    request, facts = question.request, []
    match request:
        case types.CommandApproval():
            host = (request.network_approval_context or {}).get("host")
            title = "Allow Codex to run this command?"
            if host is not None:
                title = f"Allow Codex to reach {exact_line(str(host))} with this command?"
            shell, script = shell_and_script(request.command or "")
            passages = [Passage("", exact_lines(script), "sh")]
            if shell:
                facts.append(("Shell", exact_line(shell)))
        case types.FileChangeApproval(changes=changes):
            passages = [_change(change, question.folder) for change in changes]
            files = f"these {len(passages)} files"
            if len(changes) == 1:
                name = _path(changes[0], question.folder)
                files = name if len(name) <= 60 else "this file"  # no title has room for more
            title = f"Allow Codex to change {files}?"
            added, removed = diff_size("\n".join(map(change_diff, changes)))
            facts.append(("Size", f"{added} line{'s' * (added != 1)} added, {removed} removed"))
        case types.PermissionsApproval():
            title, passages = "Allow Codex these permissions?", [_json(request.permissions)]
        case CodeRun(code, seen):
            passage = Passage("", exact_lines(code), "python")
            return QuestionText("Run this code in this cell?", (passage,), _exact([*seen]))
        case types.RunApproval():
            return _run_text(request)
        case types.CellApproval(facts=seen):
            return QuestionText(_cell_title(request), _cell_passages(request), _exact([*seen]))
        case types.McpToolApproval(tool=tool, server=server, description=described):
            title = f"Allow Codex to call {exact_line(tool)} of the MCP server {exact_line(server)}?"
            says = ("The server says", f"“{exact_line(shorten(described, 300))}”")
            return QuestionText(title, (_json(request.arguments),), (says,) if described else ())
        case types.ReadingApproval(folder=folder):
            first = Passage("It starts with:", exact_lines(_call(request)), "python")
            what = f"variables, cells, outputs and the files in {exact_line(folder)}"
            facts = [("May read", what), ("Changes", "nothing; known secrets are masked")]
            return QuestionText("Allow Codex to read this notebook?", (first,), tuple(facts))
        case _:
            name = f"{request.namespace}.{request.tool}" if request.namespace else request.tool
            title = f"Allow Codex to call the Python function {exact_line(name)}?"
            return QuestionText(title, (_json(request.arguments),), ())
    if not isinstance(request, types.FileChangeApproval) and request.cwd:
        facts.append(("In", exact_line(request.cwd)))
    if isinstance(request, types.CommandApproval):
        facts.append(("Can’t be undone", NOT_KEPT))
    if request.reason and request.reason.strip():
        facts.append(("Codex says", f"“{exact_line(shorten(request.reason, 1_000))}”"))
    if isinstance(request, types.FileChangeApproval) and request.grant_root:
        facts.append(("Also allows, from now on, to write below", exact_line(request.grant_root)))
    return QuestionText(title, tuple(passages), tuple(facts))


def _cell_title(request: types.CellApproval) -> str:
    cells = f"{len(request.steps)} cell{'s' * (len(request.steps) > 1)}"
    if request.action == "restart":
        then = f" and run {cells}" if request.steps else ""
        return f"Restart the kernel{then}? All variables are lost."
    if request.steps:
        return f"Run {cells}, one after the other?"
    verb = {"edit": "Change", **CELL_VERBS}.get(request.action)
    return f"{verb} {request.name}?" if verb else "Add this cell?"


def _cell_passages(request: types.CellApproval) -> tuple[Passage, ...]:
    if request.action == "edit":
        return (Passage("", exact_diff(text_diff(request.base, request.text)), "diff"),)
    if request.steps or request.action == "restart":
        steps = request.steps
        return tuple(Passage(exact_line(each.name), exact_lines(each.source), "python") for each in steps)
    text = request.text if request.action == "add" else request.base
    return (Passage("", exact_lines(text), "python" if request.kind == "code" else request.kind),)


def _run_text(request: types.RunApproval) -> QuestionText:
    title, passages = "Allow Codex to run this code?", [Passage("", exact_lines(request.code), "python")]
    facts, trial = list(request.facts), request.trial
    if trial is None:
        facts += [("Can’t be tried first", request.no_trial)] if request.no_trial else []
        return QuestionText(title, tuple(passages), _exact(facts))
    if trial.output:
        passages.append(Passage("It showed, when it was tried:", exact_lines(trial.output)))
    facts.append(("Tried first", trial.outcome))
    if trial.held:  # it ran
        facts += [("Would change", line) for line in trial.changes]
        facts.append(("Held", f"{trial.held}; it ran in a copy of the kernel, and nothing of it lasts"))
    return QuestionText(title, tuple(passages), _exact(facts), trial.images)


def _exact(facts: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((label, exact_line(text)) for label, text in facts)


def _change(change: dict[str, Any], folder: str) -> Passage:
    verb = {"add": "New", "delete": "Deleted", "update": "Changed"}[change_kind(change)]
    diff = change_diff(change).removesuffix("\n")
    return Passage(f"{verb}: {_path(change, folder)}", exact_diff(diff), "diff")


def _call(request: types.ToolCallApproval) -> str:
    arguments = request.arguments if isinstance(request.arguments, dict) else {}
    return f"{request.tool}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


def _json(value: Any) -> Passage:
    return Passage("", exact_lines(json.dumps(value, ensure_ascii=False, indent=2, default=str)), "json")


def _path(change: dict[str, Any], folder: str) -> str:
    path, moved = _below(str(change.get("path")), folder), _moved(change)
    return f"{path} → {_below(moved, folder)}" if moved else path


def _moved(change: dict[str, Any]) -> str:
    """Return where a changed file goes, if it is moved."""
    kind = change.get("kind")
    return str(kind.get("move_path") or "") if isinstance(kind, dict) else ""


def _below(path: str, folder: str) -> str:
    with suppress(ValueError):
        path = str(PurePath(path).relative_to(folder))
    return exact_line(path).replace("→", "[U+2192]")


def decision_line(question: Question) -> tuple[str, str] | None:
    """Return what was decided, and about what, where no step of the turn tells it."""
    request = question.request
    if isinstance(request, types.RunApproval) and _is_tried(question):
        return "Tried first", exact_line(shorten(request.code, HEAD_CHARS))
    if isinstance(request, CodeRun) or not is_at_work(request):
        return None
    match request:
        case types.CommandApproval(network_approval_context=network):
            noun, subject = "the network", str((network or {}).get("host"))
        case types.PermissionsApproval(permissions=permissions):
            noun, subject = "the permissions", json.dumps(permissions, ensure_ascii=False)
        case types.FileChangeApproval(changes=changes):
            noun = "the change without the sandbox"
            subject = ", ".join(_path(change, question.folder) for change in changes)
    answer, label = question.answered, f"Approved {noun}"
    decision = None if answer.cancelled() else answer.result()
    if decision is None:
        label = question.reason
    elif decision in (Decision.decline, Decision.cancel) or isinstance(decision, types.DeclineBecause):
        label = f"Declined {noun}"
    elif decision is not Decision.accept:
        label += " for this session" if decision is Decision.accept_for_session else ", from now on"
    return label, exact_line(shorten(subject, HEAD_CHARS))


def _is_tried(question: Question) -> bool:
    answer = question.answered
    return answer.done() and not answer.cancelled() and answer.result() is Decision.try_first
