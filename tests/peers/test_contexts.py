"""What the model is told of a notebook: the same by the official program as over HTTP, and kept between the two."""

from __future__ import annotations

import json

import pytest

from codex_magic import Codex, ContextInput, InvalidRequestError, Sandbox, TextInput
from codex_magic.context.secrets import NamedSecret, OutgoingMask
from codex_magic.protocol.types import CommandExecution, CommandOutputDelta
from tests.peers.agent import done, said, sent, use

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

LONG = "x = 1\n" * 5_000


def asked(prompt, value=LONG, **held):
    return [ContextInput("notebook", value, held), TextInput(prompt)]


def framed(value=LONG):
    return "user", f"<external_notebook>{value}</external_notebook>"


def test_a_long_context_stands_before_its_question_in_every_request(codex, service):
    thread = codex.thread_start()
    result = thread.run(asked("echo: a", a="1"))
    first = sent(service)["input"]
    assert said(sent(service)) == [framed(), ("user", "echo: a")]
    assert result.items[0].content == tuple(asked("echo: a", a="1"))
    thread.run(asked("echo: b"))
    assert sent(service)["input"][: len(first)] == first
    assert said(sent(service))[3:] == [framed(), ("user", "echo: b")]  # the same once more is told once more
    assert thread.held() == {"a": "1"}


def test_the_program_frames_a_context_as_it_does_its_own(codex, service, monkeypatch):
    from codex_magic.engines.app_server import parameters

    thread = codex.thread_start()
    thread.run(asked("echo: a", "x = 1\n"))
    [ours, _] = said(sent(service))
    params = parameters.turn_parameters
    entry = {"notebook": {"kind": "untrusted", "value": "x = 1\n"}}
    monkeypatch.setattr(
        parameters, "turn_parameters", lambda request: {**params(request), "additionalContext": entry}
    )
    codex.thread_start().run("echo: a")
    assert said(sent(service))[0] == ours


def test_a_context_survives_a_fork_a_new_process_and_a_cell_that_runs_again(codex, config, service):
    thread = codex.thread_start()
    thread.run(asked("echo: a", "1", a="1"), cell_id="one")
    thread.run(asked("echo: b", "2", b="1"), cell_id="two")
    codex.close()
    with Codex(config) as anew:
        thread = anew.thread_resume(thread.id)
        thread.run(asked("echo: B", "3", b="2"), cell_id="two")
        assert thread.held() == {"a": "1", "b": "2"}
    assert said(sent(service)) == [
        framed("1"),
        ("user", "echo: a"),
        ("assistant", "a"),
        framed("3"),
        ("user", "echo: B"),
    ]


def test_a_turn_that_is_taken_back_takes_its_context_along(codex, service):
    thread = codex.thread_start()
    thread.run(asked("echo: a", "1"))
    thread.revert(thread.run(asked("echo: b", "2")).id)
    thread.run("echo: c")
    assert said(sent(service)) == [framed("1"), ("user", "echo: a"), ("assistant", "a"), ("user", "echo: c")]


@pytest.mark.parametrize("engines", [("app-server", "backend"), ("backend", "app-server")])
def test_another_engine_is_told_the_same(codex, service, engines):
    thread = codex.thread_start(engine=engines[0])
    thread.run(asked("echo: a", a="1"))
    codex.thread_resume(thread.id, engine=engines[1]).run("echo: b")
    messages = [item for item in sent(service)["input"] if item["type"] == "message"][-4:]
    assert [(each["role"], each["content"][0]["text"]) for each in messages] == [
        framed(),
        ("user", "echo: a"),
        ("assistant", "a"),
        ("user", "echo: b"),
    ]
    assert thread.held() == {"a": "1"}


def test_a_compaction_takes_contexts_away(codex, service):
    thread = codex.thread_start()
    thread.run(asked("echo: a", "1", a="1"))
    thread.compact()
    assert thread.held() == {}
    thread.run(asked("echo: b", "1", a="1"))
    assert said(sent(service))[-2:] == [framed("1"), ("user", "echo: b")]
    assert [text for _, text in said(sent(service))].count(framed("1")[1]) == 1
    assert thread.held() == {"a": "1"}


def test_a_running_turn_takes_no_context(codex, service):
    service.faults.next("hold", after=2)
    handle = codex.thread_start().turn("repeat 2000")
    service.wait_for_hold()
    with pytest.raises(InvalidRequestError):
        handle.steer(asked("more"))
    handle.interrupt()


def test_what_the_agent_saw_of_a_secret_is_masked_for_who_goes_on_and_in_the_store(
    codex, service, home, folder
):
    """Its own program tells the model what a command prints; from here on the secret stays."""
    secret = "s3cret-Value-1"
    (folder / "notes.txt").write_text(f"the key is {secret}\n" * 3)
    mask = OutgoingMask([NamedSecret("API_KEY", secret)])
    thread = codex.thread_start(cwd=str(folder), sandbox=Sandbox.read_only)
    result = thread.run(use("exec_command", cmd="cat notes.txt; sleep 2; cat notes.txt"), mask=mask)
    assert "«SECRET_1»" in done(result, CommandExecution)[0].aggregated_output
    assert secret not in str(result)
    count = len(service.requests)
    codex.thread_resume(thread.id, engine="backend").run("echo: b", mask=mask)
    later = json.dumps([each.json for each in service.requests[count:]])
    assert "the key is" in later
    assert secret not in later
    kept = b"".join(path.read_bytes() for path in (home / "codex-magic").rglob("*") if path.is_file())
    assert b"the key is" in kept
    assert secret.encode() not in kept


def test_a_stopped_turn_leaves_no_secret_that_the_agent_saw(codex, service, home, folder):
    secret = "s3cret-Value-1"
    (folder / "notes.txt").write_text(f"the key is {secret}\n" * 3)
    mask = OutgoingMask([NamedSecret("API_KEY", secret)])
    thread = codex.thread_start(cwd=str(folder), sandbox=Sandbox.read_only)
    turn = thread.turn(use("exec_command", cmd="cat notes.txt; sleep 60"), mask=mask)
    seen = ""
    for event in turn.stream():
        seen += event.delta if isinstance(event, CommandOutputDelta) else ""
        if "the key is" in seen:
            break
    assert secret not in seen
    count = len(service.requests)
    codex.thread_resume(thread.id, engine="backend").run("echo: b", mask=mask)
    assert secret not in json.dumps([each.json for each in service.requests[count:]])
    kept = b"".join(path.read_bytes() for path in (home / "codex-magic").rglob("*") if path.is_file())
    assert "the key is «SECRET_1»".encode() in kept
    assert secret.encode() not in kept
