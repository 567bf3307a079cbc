"""What the agent asks a person, in words: what it would do, the answers there are, what was decided. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple

from ..display.exact import exact_diff, exact_line, exact_lines
from ..display.items import HEAD_CHARS, change_diff, change_kind, one_line, shell_and_script, shown_command
from ..protocol.types import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    ApprovalDecision,
    ApprovalRequest,
    CommandApproval,
    Decision,
    FileChangeApproval,
    PermissionsApproval,
)

NOBODY = "Not allowed, since nobody is here to answer"
ENDED = "Not answered here"
STOPPED = "Stopped before it was answered"


class Question:
    """One request, from being asked to being answered, by whichever thread comes first.

    Files below `folder` are named by their path in it.
    """

    def __init__(self, request: ApprovalRequest, folder: str) -> None:
        self.request = request
        self.folder = folder
        self.answered: Future[ApprovalDecision | None] = Future()
        """`None`: nobody answered, which is no."""
        self.reason = ENDED
        """Why nobody did."""

    @property
    def over(self) -> bool:
        return self.answered.done()

    def answer(self, decision: ApprovalDecision | None) -> None:
        """The first answer holds."""
        with suppress(InvalidStateError):
            self.answered.set_result(decision)

    def refuse(self, reason: str) -> None:
        """It is no, and no person said so."""
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
    """All that may be answered, every yes before the first no."""
    return [
        Choice("y", "Yes", Decision.accept),
        Choice("s", "Yes, for this session", Decision.accept_for_session),
        *_amendments(request),
        Choice("n", "No", Decision.decline),
        Choice("x", "No, and stop", Decision.cancel),
    ]


def _amendments(request: ApprovalRequest) -> list[Choice]:
    if not isinstance(request, CommandApproval):
        return []
    found = []
    if words := request.proposed_execpolicy_amendment:
        label = f"Yes, and {_allowed(words)} from now on"
        found.append(Choice("b", label, AcceptWithExecpolicyAmendment(words)))
    for number, proposed in enumerate(request.proposed_network_policy_amendments or (), 1):
        host, action = str(proposed.get("host")), str(proposed.get("action"))
        if action == "allow":
            label = f"Yes, and {exact_line(host)} from now on"
            found.append(Choice(f"h{number}", label, ApplyNetworkPolicyAmendment(host, action)))
    return found


class Passage(NamedTuple):
    """Text of the model's as it would take effect."""

    title: str
    text: str
    language: str = ""


class Shown(NamedTuple):
    """What a person needs to decide; none of it is Markdown or HTML."""

    title: str
    passages: tuple[Passage, ...]
    facts: tuple[tuple[str, str], ...]


def shown(question: Question) -> Shown:
    request = question.request
    match request:
        case CommandApproval():
            return _command(request)
        case FileChangeApproval():
            return _file_change(request, question.folder)
        case PermissionsApproval():
            title = "May the agent have these permissions?"
            return Shown(title, (_json("", request.permissions),), _facts(request.cwd, request.reason))
    name = f"{request.namespace}.{request.tool}" if request.namespace else request.tool
    passage = _json("", request.arguments)
    return Shown(f"May the agent call the Python function {exact_line(name)}?", (passage,), ())


def _command(request: CommandApproval) -> Shown:
    title = "May the agent run this command?"
    host = (request.network_approval_context or {}).get("host")
    if host is not None:
        title = f"May the agent's command reach {exact_line(str(host))}?"
    command = request.command or ""
    shell, script = shell_and_script(command)
    facts = (("Shell", exact_line(shell)),) if shell else ()
    return Shown(
        title, (Passage("", exact_lines(script), "sh"),), (*facts, *_facts(request.cwd, request.reason))
    )


def _file_change(request: FileChangeApproval, folder: str) -> Shown:
    count = len(request.changes)
    title = "May the agent change this file?" if count == 1 else f"May the agent change these {count} files?"
    verbs = {"add": "New", "delete": "Deleted", "update": "Changed"}
    passages = [
        Passage(
            f"{verbs[change_kind(change)]}: {_path(change, folder)}",
            exact_diff(change_diff(change).removesuffix("\n")),
            "diff",
        )
        for change in request.changes
    ]
    facts = _facts(None, request.reason)
    if request.grant_root:
        facts = (*facts, ("It asks to write, from now on, below", exact_line(request.grant_root)))
    return Shown(title, tuple(passages), facts)


def _facts(cwd: str | None, reason: str | None) -> tuple[tuple[str, str], ...]:
    """The reason is called the agent's, so that nobody takes it for ours."""
    facts = []
    if cwd:
        facts.append(("Folder", exact_line(cwd)))
    if reason and reason.strip():
        facts.append(("The agent's reason", exact_line(one_line(reason, 1_000))))
    return tuple(facts)


def _json(title: str, value: Any) -> Passage:
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    return Passage(title, exact_lines(text), "json")


def _path(change: dict[str, Any], folder: str) -> str:
    kind = change.get("kind")
    moved = kind.get("move_path") if isinstance(kind, dict) else None
    path = _below(str(change.get("path")), folder)
    return f"{path} → {_below(str(moved), folder)}" if moved else path


def _below(path: str, folder: str) -> str:
    with suppress(ValueError):
        path = str(PurePath(path).relative_to(folder))
    return exact_line(path).replace("→", "\\u{2192}")


def _allowed(words: Sequence[str]) -> str:
    """What a beginning of words stands for: with the agent's own shell before it, one command."""
    joined = shlex.join(words)
    if shown_command(joined) != joined:
        return "this very command"
    return f"commands that begin with {exact_line(joined)}"


def decided(question: Question) -> tuple[str, str]:
    """What was decided, and about what: for one line that stays."""
    noun, subject = _subject(question)
    match question.decision:
        case Decision.accept:
            return f"Allowed {noun}", subject
        case Decision.accept_for_session:
            return f"Allowed {noun} for this session", subject
        case AcceptWithExecpolicyAmendment(words):
            return f"Allowed {noun}, and {_allowed(words)} from now on", subject
        case ApplyNetworkPolicyAmendment(host, _):
            return f"Allowed {noun}, and {exact_line(host)} from now on", subject
        case Decision.cancel:
            return f"Declined {noun}, and stopped the turn", subject
        case None:
            return question.reason, subject
    return f"Declined {noun}", subject


def _subject(question: Question) -> tuple[str, str]:
    request = question.request
    match request:
        case CommandApproval():
            noun, text = "the command", shown_command(request.command or "")
        case FileChangeApproval():
            noun, text = "the change", ", ".join(_path(change, question.folder) for change in request.changes)
        case PermissionsApproval():
            noun, text = "the permissions", json.dumps(request.permissions, ensure_ascii=False)
        case _:
            arguments = json.dumps(request.arguments, ensure_ascii=False, default=str)
            noun, text = "the call", f"{request.tool}({arguments})"
    return noun, exact_line(one_line(text, HEAD_CHARS))
