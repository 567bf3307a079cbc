"""What a person is asked on the agent's behalf, and what stays of it."""

import re
from typing import Any

import pytest

from codex_magic.notebook.question import NOBODY, STOPPED, Question, choices, decision_line, question_text
from codex_magic.notebook.widgets import question_html
from codex_magic.protocol.types import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    CommandApproval,
    Decision,
    FileChangeApproval,
    PermissionsApproval,
    ToolCallApproval,
)

IDS: dict[str, Any] = {"thread_id": "t", "turn_id": "u", "item_id": "i"}
HOSTILE = '</pre><img src=x onerror="alert(1)"><script>alert(2)</script>&amp;'


def command(text="touch x", **more):
    return CommandApproval(command=f"/bin/bash -lc '{text}'", cwd="/w", reason="I must", **more, **IDS)


def change(*changes):
    return FileChangeApproval(changes=changes, **IDS)


def asked(request):
    return Question(request, "/w")


ADDED = {"path": "/w/new.py", "kind": {"type": "add"}, "diff": "x = 1\ny = 2\n"}
UPDATED: dict[str, Any] = {
    "path": "/else/old.py",
    "kind": {"type": "update", "move_path": None},
    "diff": "@@ -1 +1 @@\n-a\n+b\n",
}


def test_a_command_is_shown_without_the_agents_shell_and_with_folder_and_reason():
    seen = question_text(asked(command("touch x > y")))
    assert [passage.text for passage in seen.passages] == ["touch x > y"]
    assert seen.facts == (("Shell", "/bin/bash -lc"), ("Folder", "/w"), ("The agent's reason", "I must"))


def test_a_change_is_shown_as_a_diff_of_each_file():
    new, old = question_text(asked(change(ADDED, UPDATED))).passages
    assert (new.title, new.text) == ("New: new.py", "+x = 1\n+y = 2")
    assert (old.title, old.text) == ("Changed: /else/old.py", UPDATED["diff"].rstrip("\n"))


def test_a_tool_is_shown_with_its_arguments_and_permissions_as_they_are():
    tool = ToolCallApproval(tool="drop", arguments={"table": "all"}, **IDS)
    permissions = PermissionsApproval(permissions={"network": {"enabled": True}}, **IDS)
    assert '"table": "all"' in question_text(asked(tool)).passages[0].text
    assert "drop" in question_text(asked(tool)).title
    assert '"enabled": true' in question_text(asked(permissions)).passages[0].text


@pytest.mark.parametrize(
    "request_",
    [
        CommandApproval(command=HOSTILE, cwd=HOSTILE, reason=HOSTILE, **IDS),
        change({"path": HOSTILE, "kind": {"type": "add"}, "diff": HOSTILE}),
        ToolCallApproval(tool=HOSTILE, arguments={HOSTILE: HOSTILE}, **IDS),
        PermissionsApproval(permissions={HOSTILE: HOSTILE}, reason=HOSTILE, **IDS),
    ],
)
def test_nothing_of_the_models_is_html(request_):
    tags = set(re.findall(r"<(\w+)", question_html(question_text(asked(request_)))))
    assert tags <= {"p", "pre", "ins", "del", "span"}


def test_every_yes_stands_before_the_first_no():
    words = command(
        proposed_execpolicy_amendment=("git", "status"),
        proposed_network_policy_amendments=(
            {"host": "packages.test", "action": "allow"},
            {"host": "packages.test", "action": "deny"},
        ),
    )
    offered = choices(words)
    assert [choice.label.startswith("Yes") for choice in offered] == [True] * 4 + [False] * 2
    assert [choice.decision for choice in offered] == [
        Decision.accept,
        Decision.accept_for_session,
        AcceptWithExecpolicyAmendment(("git", "status")),
        ApplyNetworkPolicyAmendment("packages.test", "allow"),
        Decision.decline,
        Decision.cancel,
    ]
    assert offered[2].label == "Yes, and commands that begin with git status from now on"


def test_a_beginning_that_holds_one_whole_command_is_called_so():
    label = choices(command(proposed_execpolicy_amendment=("/bin/bash", "-lc", "touch x")))[2].label
    assert label == "Yes, and this very command from now on"


@pytest.mark.parametrize(
    ("decision", "label"),
    [
        (Decision.accept, "Allowed the command"),
        (Decision.accept_for_session, "Allowed the command for this session"),
        (
            AcceptWithExecpolicyAmendment(("git",)),
            "Allowed the command, and commands that begin with git from now on",
        ),
        (
            ApplyNetworkPolicyAmendment("packages.test", "allow"),
            "Allowed the command, and packages.test from now on",
        ),
        (Decision.decline, "Declined the command"),
        (Decision.cancel, "Declined the command, and stopped the turn"),
    ],
)
def test_a_decision_is_told_in_one_line(decision, label):
    question = asked(command())
    question.answer(decision)
    assert decision_line(question) == (label, "touch x")


def test_no_answer_is_told_as_what_it_was():
    unanswered, stopped = asked(change(ADDED, UPDATED)), asked(command())
    unanswered.refuse(NOBODY)
    stopped.refuse(STOPPED)
    assert decision_line(unanswered) == (NOBODY, "new.py, /else/old.py")
    assert decision_line(stopped) == ("Stopped before it was answered", "touch x")


def test_the_first_answer_holds():
    question = asked(command())
    question.answer(Decision.decline)
    question.answer(Decision.accept)
    question.refuse(NOBODY)
    assert decision_line(question) == ("Declined the command", "touch x")
