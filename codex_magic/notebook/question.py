"""What the agent asks a person, in words: what it would do, the answers to choose from, what was decided. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple

from ..display.exact import (
    HEAD_CHARS,
    change_diff,
    change_kind,
    exact_diff,
    exact_line,
    exact_lines,
    shell_and_script,
    shown_command,
)
from ..protocol import types
from ..protocol.plain import shorten
from ..protocol.types import ApprovalDecision, ApprovalRequest, Decision

NOBODY = "Not allowed, since nobody is here to answer"
ENDED = "Not answered here"
STOPPED = "Stopped before it was answered"


class Question:
    """One request and its first answer, from any thread; files below `folder` are named by their path in it."""

    def __init__(self, request: ApprovalRequest, folder: str) -> None:
        self.request = request
        self.folder = folder
        self.answered: Future[ApprovalDecision | None] = Future()
        """`None`: nobody answered, which is no."""
        self.reason = ENDED
        """Why nobody answered."""

    @property
    def over(self) -> bool:
        return self.answered.done()

    def answer(self, decision: ApprovalDecision | None) -> None:
        """The first answer holds."""
        with suppress(InvalidStateError):
            self.answered.set_result(decision)

    def refuse(self, reason: str) -> None:
        """Answer no because of `reason`, and not because a person said so."""
        self.reason = reason
        self.answer(None)

    @property
    def decision(self) -> ApprovalDecision | None:
        return None if self.answered.cancelled() else self.answered.result()


class Choice(NamedTuple):
    """`key`: what is typed for it where there are no buttons."""

    key: str
    label: str
    decision: ApprovalDecision


def choices(request: ApprovalRequest) -> list[Choice]:
    """Return all that may be answered, every yes before the first no."""
    lasting: list[Choice] = []
    if isinstance(request, types.CommandApproval):
        if words := request.proposed_execpolicy_amendment:
            label = f"Yes, and {_allowed_commands(words)} from now on"
            lasting.append(Choice("b", label, types.AcceptWithExecpolicyAmendment(words)))
        for number, proposed in enumerate(request.proposed_network_policy_amendments or (), 1):
            host, action = str(proposed.get("host")), str(proposed.get("action"))
            if action == "allow":
                label = f"Yes, and {exact_line(host)} from now on"
                lasting.append(Choice(f"h{number}", label, types.ApplyNetworkPolicyAmendment(host, action)))
    return [
        Choice("y", "Yes", Decision.accept),
        Choice("s", "Yes, for this session", Decision.accept_for_session),
        *lasting,
        Choice("n", "No", Decision.decline),
        Choice("x", "No, and stop", Decision.cancel),
    ]


class Passage(NamedTuple):
    """Text of the model's as it would take effect."""

    title: str
    text: str
    language: str = ""


class QuestionText(NamedTuple):
    """What a person needs to decide; none of it is Markdown or HTML."""

    title: str
    passages: tuple[Passage, ...]
    facts: tuple[tuple[str, str], ...]


def question_text(question: Question) -> QuestionText:
    """Return the whole question; of `facts` the reason is called the agent's, so that nobody takes it for ours."""
    request, facts = question.request, []
    match request:
        case types.CommandApproval():
            host = (request.network_approval_context or {}).get("host")
            title = "May the agent run this command?"
            if host is not None:
                title = f"May the agent's command reach {exact_line(str(host))}?"
            shell, script = shell_and_script(request.command or "")
            passages = [Passage("", exact_lines(script), "sh")]
            if shell:
                facts.append(("Shell", exact_line(shell)))
        case types.FileChangeApproval():
            passages = [_change(change, question.folder) for change in request.changes]
            files = "this file" if len(passages) == 1 else f"these {len(passages)} files"
            title = f"May the agent change {files}?"
        case types.PermissionsApproval():
            title, passages = "May the agent have these permissions?", [_json(request.permissions)]
        case _:
            name = f"{request.namespace}.{request.tool}" if request.namespace else request.tool
            title = f"May the agent call the Python function {exact_line(name)}?"
            return QuestionText(title, (_json(request.arguments),), ())
    if not isinstance(request, types.FileChangeApproval) and request.cwd:
        facts.append(("Folder", exact_line(request.cwd)))
    if request.reason and request.reason.strip():
        facts.append(("The agent's reason", exact_line(shorten(request.reason, 1_000))))
    if isinstance(request, types.FileChangeApproval) and request.grant_root:
        facts.append(("It asks to write, from now on, below", exact_line(request.grant_root)))
    return QuestionText(title, tuple(passages), tuple(facts))


def _change(change: dict[str, Any], folder: str) -> Passage:
    verb = {"add": "New", "delete": "Deleted", "update": "Changed"}[change_kind(change)]
    diff = change_diff(change).removesuffix("\n")
    return Passage(f"{verb}: {_path(change, folder)}", exact_diff(diff), "diff")


def _json(value: Any) -> Passage:
    return Passage("", exact_lines(json.dumps(value, ensure_ascii=False, indent=2, default=str)), "json")


def _path(change: dict[str, Any], folder: str) -> str:
    kind = change.get("kind")
    moved = kind.get("move_path") if isinstance(kind, dict) else None
    path = _below(str(change.get("path")), folder)
    return f"{path} → {_below(str(moved), folder)}" if moved else path


def _below(path: str, folder: str) -> str:
    with suppress(ValueError):
        path = str(PurePath(path).relative_to(folder))
    return exact_line(path).replace("→", "\\u{2192}")


def _allowed_commands(words: Sequence[str]) -> str:
    """What a beginning of words stands for: with the agent's own shell before it, one command."""
    joined = shlex.join(words)
    is_beginning = shown_command(joined) == joined
    return f"commands that begin with {exact_line(joined)}" if is_beginning else "this very command"


def decision_line(question: Question) -> tuple[str, str]:
    """Return what was decided, and about what: for one line that stays."""
    request = question.request
    match request:
        case types.CommandApproval():
            noun, subject = "the command", shown_command(request.command or "")
        case types.FileChangeApproval():
            noun = "the change"
            subject = ", ".join(_path(change, question.folder) for change in request.changes)
        case types.PermissionsApproval():
            noun, subject = "the permissions", json.dumps(request.permissions, ensure_ascii=False)
        case _:
            arguments = json.dumps(request.arguments, ensure_ascii=False, default=str)
            noun, subject = "the call", f"{request.tool}({arguments})"
    match question.decision:
        case Decision.accept:
            label = f"Allowed {noun}"
        case Decision.accept_for_session:
            label = f"Allowed {noun} for this session"
        case types.AcceptWithExecpolicyAmendment(words):
            label = f"Allowed {noun}, and {_allowed_commands(words)} from now on"
        case types.ApplyNetworkPolicyAmendment(host, _):
            label = f"Allowed {noun}, and {exact_line(host)} from now on"
        case Decision.cancel:
            label = f"Declined {noun}, and stopped the turn"
        case decision:
            label = question.reason if decision is None else f"Declined {noun}"
    return label, exact_line(shorten(subject, HEAD_CHARS))
