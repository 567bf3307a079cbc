"""What a person is asked on the agent's behalf, and what stays of it."""

import re
from typing import Any

import pytest

from codex_magic.notebook.question import (
    CHOICES,
    NOBODY,
    STOPPED,
    Question,
    decision_line,
    more_choices,
    question_text,
)
from codex_magic.notebook.tools.files import NOT_KEPT
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
    assert seen.title == "Allow Codex to run this command?"
    undone = ("Can’t be undone", NOT_KEPT)
    assert seen.facts == (("Shell", "/bin/bash -lc"), ("In", "/w"), undone, ("Codex says", "“I must”"))


def test_a_change_is_shown_as_a_diff_of_each_file():
    seen = question_text(asked(change(ADDED, UPDATED)))
    new, old = seen.passages
    assert seen.title == "Allow Codex to change these 2 files?"
    assert seen.facts == (("Size", "3 lines added, 1 removed"),)
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
    assert tags <= {"p", "pre", "ins", "del", "span", "dl", "dt", "dd"}


def test_the_title_names_the_one_file_that_would_change():
    assert question_text(asked(change(ADDED))).title == "Allow Codex to change new.py?"


def test_declining_comes_first_and_approving_last():
    assert [choice.label for choice in CHOICES] == [
        "Decline",
        "Decline and say why …",
        "Approve for this session",
        "Approve",
    ]
    assert [choice.decision for choice in CHOICES] == [
        Decision.decline,
        Decision.decline,
        Decision.accept_for_session,
        Decision.accept,
    ]


def test_what_holds_from_now_on_is_one_fold_away():
    words = command(
        proposed_execpolicy_amendment=("git", "status"),
        proposed_network_policy_amendments=(
            {"host": "packages.test", "action": "allow"},
            {"host": "packages.test", "action": "deny"},
        ),
    )
    assert [(choice.label, choice.decision) for choice in more_choices(words)] == [
        (
            "Always allow commands that start with git status",
            AcceptWithExecpolicyAmendment(("git", "status")),
        ),
        ("Always allow packages.test", ApplyNetworkPolicyAmendment("packages.test", "allow")),
        ("Decline and stop the turn", Decision.cancel),
    ]


def test_a_beginning_that_holds_one_whole_command_is_called_so():
    label = more_choices(command(proposed_execpolicy_amendment=("/bin/bash", "-lc", "touch x")))[0].label
    assert label == "Always allow exactly this command"


REACH = command(network_approval_context={"host": "packages.test"})
AGAIN = FileChangeApproval(changes=(ADDED,), reason="command failed; retry without sandbox?", **IDS)
FOLDERS = PermissionsApproval(permissions={"network": True}, **IDS)


@pytest.mark.parametrize(
    ("request_", "decision", "line"),
    [
        (REACH, Decision.accept, ("Approved the network", "packages.test")),
        (
            REACH,
            ApplyNetworkPolicyAmendment("packages.test", "allow"),
            ("Approved the network, from now on", "packages.test"),
        ),
        (AGAIN, Decision.decline, ("Declined the change without the sandbox", "new.py")),
        (
            FOLDERS,
            Decision.accept_for_session,
            ("Approved the permissions for this session", '{"network": true}'),
        ),
    ],
)
def test_a_decision_about_more_than_its_step_is_told_in_one_line(request_, decision, line):
    question = asked(request_)
    question.answer(decision)
    assert decision_line(question) == line


@pytest.mark.parametrize(
    "request_", [command(), change(ADDED), ToolCallApproval(tool="drop", arguments={}, **IDS)]
)
def test_a_decision_about_a_step_stands_in_the_step_alone(request_):
    question = asked(request_)
    question.answer(Decision.accept)
    assert decision_line(question) is None


def test_no_answer_is_told_as_what_it_was():
    unanswered, stopped = asked(REACH), asked(FOLDERS)
    unanswered.refuse(NOBODY)
    stopped.refuse(STOPPED)
    assert decision_line(unanswered) == (NOBODY, "packages.test")
    assert decision_line(stopped) == ("Stopped before it was answered", '{"network": true}')


def test_the_first_answer_holds():
    question = asked(REACH)
    question.answer(Decision.decline)
    question.answer(Decision.accept)
    question.refuse(NOBODY)
    assert decision_line(question) == ("Declined the network", "packages.test")
