"""What the app-server asks, what a human is shown of it, and what goes back."""

import asyncio
from typing import Any

import pytest

from codex_magic.engines.app_server.turn import AgentTurn, default_answer
from codex_magic.engines.seam import TurnRequest
from codex_magic.engines.tools import ToolSet
from codex_magic.protocol.errors import MethodNotFoundError
from codex_magic.protocol.types import (
    AcceptWithExecpolicyAmendment,
    ApplyNetworkPolicyAmendment,
    Decision,
    DeclineBecause,
    FileChange,
    ItemStarted,
    Sandbox,
)
from codex_magic.responses.tools import tool

COMMAND = "item/commandExecution/requestApproval"
FILES = "item/fileChange/requestApproval"
PERMISSIONS = "item/permissions/requestApproval"
CALL = "item/tool/call"
CHANGES = ({"path": "a", "kind": {"type": "add"}, "diff": "+x"},)
no_connection: Any = None
WANTED = {"network": {"enabled": True}}


class Asked(AgentTurn):
    """A turn that has no program to interrupt."""

    interrupted = False

    async def interrupt(self):
        self.interrupted = True


class Scene:
    """The questions of a turn with one answer; keeps what was asked and whether the turn was ended."""

    def __init__(self, answer, tools=None, sandbox=None):
        self.answer, self.asked, self.interrupted = answer, [], False
        self.request = TurnRequest(
            thread_id="ours",
            turn_id="our turn",
            inputs=(),
            instructions="",
            approvals=self._approve,
            tools=tools,
            sandbox=sandbox,
        )
        self.allowed = set()

    async def _approve(self, request):
        self.asked.append(request)
        return self.answer

    def __call__(self, method, **params):
        params = {"threadId": "T", "turnId": "U", "itemId": "i", "startedAtMs": 1, **params}
        return asyncio.run(self._answered(method, params))

    async def _answered(self, method, params):
        turn = Asked(no_connection, "T", self.request, lambda told: None, self.allowed)
        turn.subscription.put(ItemStarted("T", "U", FileChange("i", CHANGES)))
        try:
            return await turn.answer(method, params)
        finally:
            self.interrupted = turn.interrupted


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (Decision.accept, "accept"),
        ("acceptForSession", "acceptForSession"),
        (None, "decline"),
        (Decision.cancel, "cancel"),
        (DeclineBecause("Not now."), "decline"),
        (
            AcceptWithExecpolicyAmendment(("git", "pull")),
            {"acceptWithExecpolicyAmendment": {"execpolicy_amendment": ["git", "pull"]}},
        ),
        (
            ApplyNetworkPolicyAmendment("example.com", "allow"),
            {
                "applyNetworkPolicyAmendment": {
                    "network_policy_amendment": {"host": "example.com", "action": "allow"}
                }
            },
        ),
    ],
)
def test_a_decision_about_a_command_in_the_servers_spelling(answer, sent):
    scene = Scene(answer)
    assert scene(COMMAND, command="ls", cwd="/w", reason="why", new_field=1) == {"decision": sent}
    [asked] = scene.asked
    assert (asked.thread_id, asked.turn_id, asked.command, asked.cwd) == ("ours", "our turn", "ls", "/w")


def test_a_proposed_amendment_is_shown_and_can_be_given_back():
    scene = Scene(None)
    scene(COMMAND, command="git pull", proposedExecpolicyAmendment=["git", "pull"])
    proposed = scene.asked[0].proposed_execpolicy_amendment
    again = Scene(AcceptWithExecpolicyAmendment(proposed))
    assert "acceptWithExecpolicyAmendment" in again(COMMAND)["decision"]


def test_an_amendment_that_can_not_be_sent_is_a_no():
    odd: list[Any] = [5, (object(),)]
    for amendment in odd:
        answered = Scene(AcceptWithExecpolicyAmendment(amendment))(COMMAND, command="ls")
        assert answered == {"decision": "decline"}


def test_a_file_change_comes_with_its_diff_and_knows_no_amendments():
    scene = Scene(AcceptWithExecpolicyAmendment(("x",)))
    assert scene(FILES) == {"decision": "decline"}
    assert scene.asked[0].changes == CHANGES


@pytest.mark.parametrize(
    ("answer", "granted", "scope", "interrupted"),
    [
        (Decision.accept, WANTED, "turn", False),
        (Decision.accept_for_session, WANTED, "session", False),
        (Decision.decline, {}, "turn", False),
        (Decision.cancel, {}, "turn", True),
    ],
)
def test_permissions_are_granted_whole_or_not_at_all(answer, granted, scope, interrupted):
    scene = Scene(answer)
    assert scene(PERMISSIONS, permissions=WANTED, cwd="/") == {"permissions": granted, "scope": scope}
    assert scene.interrupted == interrupted


def act():
    return "done"


def acting(**options):
    return ToolSet([tool(act, needs_approval=True, **options)])


def test_a_tool_that_is_cancelled_ends_the_turn():
    scene = Scene(Decision.cancel, acting())
    assert scene(CALL, tool="act", arguments={}, callId="c")["success"] is False
    assert scene.interrupted


def test_a_tool_beyond_the_sandbox_is_not_even_asked_about():
    scene = Scene(Decision.accept, acting(needs="workspace_write"), Sandbox.read_only)
    result = scene(CALL, tool="act", arguments={}, callId="c")
    assert "workspace-write" in result["contentItems"][0]["text"]
    assert (result["success"], scene.asked) == (False, [])


@pytest.mark.parametrize(
    ("answer", "success", "asked"),
    [(Decision.accept, True, 2), (Decision.accept_for_session, True, 1), (Decision.decline, False, 2)],
)
def test_a_tool_that_acts_is_asked_about(answer, success, asked):
    scene = Scene(answer, acting())
    for _ in range(2):
        result = scene(CALL, tool="act", arguments={}, callId="c", namespace=None)
        assert result["success"] == success
    assert len(scene.asked) == asked


def test_why_a_call_was_declined_is_its_result():
    result = Scene(DeclineBecause("Read it first."), acting())(CALL, tool="act", arguments={}, callId="c")
    assert result["success"] is False
    assert "Read it first." in result["contentItems"][0]["text"]


def test_a_tool_that_went_away_is_a_failure_the_model_reads():
    result = Scene(Decision.accept)(CALL, tool="gone", arguments={}, callId="c")
    assert result["success"] is False
    assert "gone" in result["contentItems"][0]["text"]


@pytest.mark.parametrize("method", [COMMAND, FILES, PERMISSIONS, CALL])
def test_without_a_turn_of_ours_the_answer_is_no(method):
    assert "accept" not in str(default_answer(method))


def test_what_we_know_nothing_of_is_refused():
    with pytest.raises(MethodNotFoundError):
        Scene(Decision.accept)("attestation/generate")
    with pytest.raises(MethodNotFoundError):
        default_answer("account/chatgptAuthTokens/refresh")
