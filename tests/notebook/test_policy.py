"""An administrator's policy in a notebook: settings, options and commands, cards, `%codex status` and the doctor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from codex_magic.notebook import options
from codex_magic.notebook.magics import loaded
from codex_magic.notebook.question import choices
from codex_magic.notebook.suggestions import Cursor
from codex_magic.protocol.policy import VARIABLE, Policy
from codex_magic.protocol.types import CommandApproval, Decision, ReadingApproval
from tests.known import some


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    path = tmp_path / "policy.toml"
    monkeypatch.setenv(VARIABLE, str(path))

    def write(text: str) -> Path:
        path.write_text(text)
        return path

    return write


BOUNDS = """
engine = ["backend"]
sandbox = ["read-only", "workspace-write"]
approval = ["ask"]
provider = ["local"]
model = ["local-*"]
context = ["none", "above"]
reads = ["ask"]
runs = ["no"]
"""


@pytest.mark.parametrize(
    "line",
    [
        "%codex engine app-server",
        "%codex sandbox full-access",
        "%codex approval auto",
        "%codex provider https://example.org/v1",
        "%codex model gpt-9",
        "%codex reads yes",
        "%codex runs ask",
        "%codex --context all Hello",
        "%codex -m gpt-9 Hello",
        "%codex -p https://example.org/v1 Hello",
        "%codex --agent Hello",
        "%config CodexMagics.context = 'outputs'\n%codex Hello",
        "%config CodexMagics.model = 'gpt-9'\n%codex Hello",
        "%config CodexMagics.engine = 'app-server'\n%codex Hello",
        "%config CodexMagics.reads = 'yes'\n%codex Hello",
    ],
)
def test_what_is_outside_is_refused_in_a_sentence_that_names_the_policy(service, run, policy, line):
    path = policy(BOUNDS)
    assert f"The policy of this machine ({path}) does not allow" in run(line)
    assert [request for request in service.requests if request.method == "POST"] == []


@pytest.mark.parametrize(
    "line",
    [
        "%codex engine backend",
        "%codex sandbox workspace-write",
        "%codex approval deny",
        "%codex provider local",
        "%codex model local-small",
        "%codex reads no",
        "%codex runs no",
        "%codex --context none Hello",
    ],
)
def test_what_is_inside_is_as_ever(service, run, policy, line):
    policy(BOUNDS)
    assert "The policy" not in run(line)


def test_defaults_that_are_outside_give_way_to_what_is_listed_first(service, run, policy):
    policy('runs = ["probes"]\ncontext = ["none"]\nreads = ["no"]')
    assert "Runs: probes" in run("%codex runs")
    assert "Reads: no" in run("%codex reads")
    run("x = 'from the cell above'")
    run("%codex Hello")
    assert "from the cell above" not in service.wait_for_request().body.decode()


def test_the_status_and_the_doctor_tell_it(service, run, policy):
    path = policy(BOUNDS)
    status = run("%codex status")
    assert str(path) in status.replace("\n", "")
    assert "runs: no" in status
    assert "runs: no" in run("%codex doctor --offline --report")


def test_one_that_cannot_be_read_is_told_and_nothing_is_sent(service, run, policy):
    policy("engine = [")
    assert "nothing is allowed" in run("%codex Hello")
    assert "[failed ] Policy" in run("%codex doctor --offline --report")
    assert service.requests == []


def test_a_card_offers_no_yes_for_longer(policy):
    policy("always = false")
    command = CommandApproval("t", "u", "i", "ls", "/", None, proposed_execpolicy_amendment=("ls",))
    reading = ReadingApproval("t", "u", "i", "read", {}, None, "/")
    for request in (command, reading):
        offered = {choice.decision for choice in choices(request)}
        assert offered == {Decision.decline, Decision.accept, Decision.cancel}
    policy("")
    assert Decision.accept_for_session in {choice.decision for choice in choices(command)}


def test_suggestions_while_typing_obey_it_too(service, shell, run, policy):
    policy('context = ["none"]\nmodel = ["local-large"]')
    run("price = 'from the cell above'")
    run("%config CodexMagics.context = 'above'")
    session = some(loaded(shell)).session
    cursor = Cursor("total = price", "", session.look(), "", 100_000)
    session.suggestions.suggest(cursor).result()
    body = service.wait_for_request().json
    assert body["model"] == "local-large"
    assert "<external_" not in str(body["input"])
    refused = session.suggestions.suggest(cursor._replace(model="local-small")).result()
    assert "does not allow" in refused.note


def test_a_policy_has_the_words_of_the_settings():
    words = {
        "engine": options.ENGINES,
        "sandbox": options.SANDBOXES,
        "approval": options.APPROVALS,
        "context": options.CONTEXTS,
        "reads": options.READS,
        "runs": options.RUNS,
    }
    for setting, each in words.items():
        assert msgspec.convert({setting: [*each]}, Policy).words(setting) == tuple(each)
    for setting in words:
        with pytest.raises(ValueError, match=setting):
            msgspec.convert({setting: ["another"]}, Policy)
