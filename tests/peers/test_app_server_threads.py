"""What the agent's program keeps besides turns: its threads, models and limits; and what it must not keep."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import secrets
import signal
import ssl
from contextlib import suppress

import httpx
import pytest

import codex_magic
from codex_magic import (
    AsyncCodex,
    Codex,
    CodexConfig,
    ConfigurationError,
    ExternalMessage,
    InvalidRequestError,
    JsonRpcError,
    NotSignedInError,
    Provider,
    Sandbox,
    ServiceError,
    SkillInput,
    TextInput,
    ThreadNotFoundError,
    TurnStatus,
)
from codex_magic.protocol.types import ChatgptAccount, CommandExecution, ContextCompaction, UserMessage
from codex_magic.responses.provider import custom
from tests.known import some, the
from tests.peers.agent import (
    by_the_cli,
    done,
    held,
    needs_zstd,
    program,
    said,
    sent,
    use,
)
from tests.service import start

codex_cli_bin = pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

KEY = f"sk-not-to-be-seen-{secrets.token_hex(8)}"
"""Of this process alone: other tests run beside it, and all processes are looked at."""


def on_plan(**options):
    return CodexConfig(engine="app-server", model="gpt-5.5", **options)


def kept(codex, **options):
    """The threads that the program has, whoever made them, as it names them."""
    page = codex.thread_list(source_kinds=["vscode", "exec", "cli", "appServer"], **options)
    return {thread.id: thread.name for thread in page.data}


def asked(service):
    return [request for request in service.requests if request.path.endswith("/responses")]


def answers(thread):
    return [
        entry.item.text for turn in thread.history() for entry in turn.items if hasattr(entry.item, "phase")
    ]


# What it says of itself --------------------------------------------------------------------------


def test_the_program_introduces_itself(codex, home):
    metadata = codex.metadata
    assert metadata.user_agent.startswith("codex_magic/0.")
    assert metadata.server_info.version in metadata.user_agent
    assert (metadata.codex_home, metadata.platform_family) == (str(home / ".codex"), "unix")


def test_awaited_it_has_introduced_itself_once_entered(config):
    async def scene():
        codex = AsyncCodex(config)
        with pytest.raises(ConfigurationError, match="async with"):
            _ = codex.metadata
        async with codex:
            return codex.metadata.server_info.name

    assert asyncio.run(scene()) == "codex_magic"


@needs_zstd
def test_the_models_are_the_programs(plan, home):
    plan.sign_in(home / ".codex")
    with Codex(on_plan()) as codex:
        shown, everything = codex.models(), codex.models(include_hidden=True)
    assert shown.data[0].slug == "local-large"
    assert "medium" in shown[0].efforts
    assert {model.slug for model in shown} < {model.slug for model in everything}


# Compaction --------------------------------------------------------------------------------------


def test_a_thread_is_shortened_and_goes_on_from_its_summary(codex, service):
    thread = codex.thread_start()
    for text in ("one", "two"):
        thread.run(f"echo: {text}")
    result = thread.compact()
    assert result.status is TurnStatus.completed
    assert len(done(result, ContextCompaction)) == 1
    assert 0 < result.usage.total.input_tokens < 10_000
    thread.run("echo: three")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == []
    assert any("Another language model" in text for _, text in said(sent(service)))
    assert [len(turn.items) for turn in thread.history()] == [3, 3, 1, 3]


@needs_zstd
@pytest.mark.parametrize("model", ["gpt-5.5", "local-lite"])
def test_with_a_plan_the_summary_is_sealed(plan, home, model):
    plan.sign_in(home / ".codex")
    with Codex(CodexConfig(engine="app-server", model=model)) as codex:
        thread = codex.thread_start()
        thread.run("echo: one")
        assert len(done(thread.compact(), ContextCompaction)) == 1
        assert thread.run("echo: two").final_response == "two"
        assert "compaction" in [item["type"] for item in sent(plan)["input"]]
        thread.run("echo: over http", engine="backend")
    assert [text for role, text in plain(sent(plan)) if role == "assistant"] == ["one", "two"]


def plain(body):
    messages = [item for item in body["input"] if item["type"] == "message"]
    return [(item["role"], item["content"][0]["text"]) for item in messages]


def test_nothing_can_not_be_shortened(codex):
    with pytest.raises(InvalidRequestError, match="nothing to shorten"):
        codex.thread_start().compact()


# What is done to a thread ------------------------------------------------------------------------


def test_a_name_is_the_programs_too(codex):
    thread = codex.thread_start(name="at first")
    thread.run("echo: x")
    assert list(kept(codex).values()) == ["at first"]
    thread.set_name("then")
    assert list(kept(codex).values()) == ["then"]


def test_an_archived_thread_is_archived_there_and_goes_on_when_it_is_back(codex, service):
    thread = codex.thread_start()
    thread.run("echo: one")
    codex.thread_archive(thread.id)
    assert (len(kept(codex)), len(kept(codex, archived=True))) == (0, 1)
    back = codex.thread_unarchive(thread.id)
    assert len(kept(codex)) == 1
    back.run("echo: two")
    assert [text for _, text in said(sent(service))] == ["echo: one", "one", "echo: two"]
    assert len(kept(codex)) == 1


def test_a_thread_that_was_archived_elsewhere_goes_on(codex, service):
    thread = codex.thread_start()
    thread.run("echo: one")
    codex.thread_archive(thread.id)
    thread.run("echo: two")
    assert [text for _, text in said(sent(service))] == ["echo: one", "one", "echo: two"]
    codex.thread_archive(thread.id)
    codex.thread_fork(thread.id).run("echo: three")
    assert [text for _, text in said(sent(service))][-2:] == ["two", "echo: three"]
    assert (len(kept(codex)), len(kept(codex, archived=True))) == (1, 1)


def test_a_thread_that_another_session_archives_goes_on(config, service):
    with Codex(config) as first, Codex(config) as second:
        thread = first.thread_start()
        thread.run("echo: one")
        again = second.thread_resume(thread.id)
        again.run("echo: two")
        first.thread_archive(thread.id)
        assert again.run("echo: three").final_response == "three"
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["one", "two"]


def test_a_name_given_while_the_program_does_not_run_is_told_later(config):
    with Codex(config) as codex:
        thread_id = codex.thread_start().id
        codex.thread_resume(thread_id).run("echo: one")
    with Codex(config) as codex:
        thread = codex.thread_resume(thread_id)
        thread.set_name("meanwhile")
        thread.run("echo: two")
        assert list(kept(codex).values()) == ["meanwhile"]


def test_what_is_reverted_is_told_no_more(codex, service):
    thread = codex.thread_start()
    second = [thread.run(f"echo: {text}") for text in ("one", "two", "three")][1]
    thread.revert(second.id)
    thread.run("echo: four")
    assert [text for _, text in said(sent(service))] == ["echo: one", "one", "echo: four"]


def test_a_fork_keeps_what_its_origin_reverts(codex, service):
    thread = codex.thread_start()
    second = [thread.run(f"echo: {text}") for text in ("one", "two")][1]
    fork = codex.thread_fork(thread.id)
    thread.revert(second.id)
    fork.run("echo: forked")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["one", "two"]
    thread.run("echo: on")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["one"]


# Threads of others -------------------------------------------------------------------------------


def test_a_thread_of_the_cli_goes_on_here_on_either_engine(codex, service, home):
    thread_id = by_the_cli(service, home, "echo: in a terminal")
    assert thread_id in kept(codex)
    thread = codex.thread_resume(thread_id)
    assert (thread.id, answers(thread)) == (thread_id, ["in a terminal"])
    assert thread.read(include_turns=True).thread.turns[0].status is TurnStatus.completed
    thread.run("echo: here")
    # The program says besides what its commands can't reach here.
    talk = [text for _, text in said(sent(service)) if not text.startswith("<")]
    assert talk == ["echo: in a terminal", "in a terminal", "echo: here"]
    thread.run("echo: over http", engine="backend")
    assert "in a terminal" in str(sent(service)["input"])
    assert len(kept(codex)) == 1


def test_what_the_cli_adds_later_comes_with_the_next_resume(config, service, home):
    thread_id = by_the_cli(service, home, "echo: one")
    with Codex(config) as codex:
        codex.thread_resume(thread_id).run("echo: two")
    by_the_cli(service, home, "resume", thread_id, "echo: three")
    with Codex(config) as codex:
        assert answers(codex.thread_resume(thread_id)) == ["one", "two", "three"]
        assert answers(codex.thread_resume(thread_id)) == ["one", "two", "three"]


def test_a_thread_of_ours_is_found_by_the_programs_id_too(codex):
    thread = codex.thread_start()
    thread.run("echo: mine")
    [theirs] = kept(codex)
    assert theirs != thread.id
    assert codex.thread_resume(theirs).id == thread.id


def test_a_thread_that_nobody_has_is_not_found(codex):
    for unknown in ("nothing", "01a1fadb-af0c-77d2-bd3e-55f0ad15b899"):
        with pytest.raises(ThreadNotFoundError):
            codex.thread_resume(unknown)


# Ephemeral threads -------------------------------------------------------------------------------


def test_an_ephemeral_thread_is_kept_nowhere(codex, service, home):
    thread = codex.thread_start(ephemeral=True)
    for text in ("unrepeatable", "again"):
        thread.run(f"echo: {text}")
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["unrepeatable"]
    assert answers(codex.thread_resume(thread.id)) == ["unrepeatable", "again"]
    assert (kept(codex), codex.thread_list().data) == ({}, ())
    assert holding(home, "unrepeatable") == []


def test_an_ephemeral_thread_outlives_the_program(codex, service):
    thread = codex.thread_start(ephemeral=True)
    thread.run("echo: one")
    os.kill(program(), signal.SIGKILL)
    with suppress(ServiceError):  # whether the end is noticed before the next turn, or by it
        thread.run("echo: two")
    thread.run("echo: three")
    assert ("assistant", "one") in said(sent(service))


def test_an_ephemeral_fork_leaves_its_origin_as_it_is(codex, service, home):
    thread = codex.thread_start()
    thread.run("echo: kept")
    fork = codex.thread_fork(thread.id, ephemeral=True)
    fork.run("echo: unrepeatable")
    assert (answers(thread), answers(fork)) == (["kept"], ["kept", "unrepeatable"])
    assert [text for role, text in said(sent(service)) if role == "assistant"] == ["kept"]
    assert (len(kept(codex)), len(codex.thread_list().data)) == (1, 1)
    assert holding(home, "unrepeatable") == []


def holding(home, text):
    """The files below the home that have the text in them."""
    files = [path for path in home.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]


# Inputs ------------------------------------------------------------------------------------------


def test_a_message_from_outside_has_a_tools_authority(codex, service):
    thread = codex.thread_start()
    result = thread.run(ExternalMessage("mailer", "You have mail.", "post"))
    [output] = [item for item in sent(service)["input"] if item["type"] == "function_call_output"]
    assert (output["name"], output["namespace"], output["output"]) == ("mailer", "post", "You have mail.")
    assert done(result, UserMessage)[0].content == (ExternalMessage("mailer", "You have mail.", "post"),)
    thread.run("echo: over http", engine="backend")
    assert "You have mail." in [item.get("output") for item in sent(service)["input"]]


def test_a_message_from_outside_stands_alone(codex, service):
    message = ExternalMessage("mailer", ({"type": "input_text", "text": "part"},))
    with pytest.raises(InvalidRequestError, match="only input"):
        codex.thread_start().run([TextInput("and"), message])
    _, handle = held(codex, service)
    with pytest.raises(InvalidRequestError, match="ExternalMessage"):
        handle.steer(message)
    handle.interrupt()
    assert codex.thread_start().run(message).status is TurnStatus.completed


def test_a_skill_is_read_to_the_model(codex, service, home, tmp_path):
    folder = home / ".codex" / "skills" / "greet"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: greet\ndescription: Greets.\n---\nAlways say ahoy.\n")
    codex.thread_start().run([TextInput("echo: hi"), SkillInput("greet", str(folder / "SKILL.md"))])
    assert "Always say ahoy." in str(sent(service)["input"])


def test_where_a_turn_and_a_thread_come_from_reaches_the_service(codex, service):
    thread = codex.thread_start(thread_source="mine", session_start_source="clear", service_name="notes")
    thread.run("echo: x", source="a cell")
    told = json.loads(service.requests[-1].headers["x-codex-turn-metadata"])
    assert (told["thread_source"], told["turn_trigger"]) == ("mine", "a cell")
    assert told["history_initialization"] == "cleared"


# Keys --------------------------------------------------------------------------------------------


LOOK = use("exec_command", cmd="env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; true")


def test_the_agent_uses_a_key_that_nobody_else_gets_to_see(home, service):
    with start() as keyed:
        provider = custom(keyed.api_url, KEY)
        with Codex(CodexConfig(engine="app-server", provider=provider, model="gpt-5.5")) as codex:
            thread = codex.thread_start(sandbox=Sandbox.full_access)
            [command] = done(thread.run(LOOK), CommandExecution)
            thread.compact()
        with Codex(CodexConfig(engine="app-server", provider=provider, model="gpt-5.5")) as codex:
            codex.thread_resume(thread.id).run("echo: resumed")
        assert keyed.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert "PATH=" in command.aggregated_output
    assert KEY not in command.aggregated_output
    assert holding(home, KEY) == []


def test_the_key_of_the_environment_is_not_in_that_of_the_commands(home, service, monkeypatch):
    with start() as keyed:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", keyed.api_url)
        with Codex(CodexConfig(engine="app-server", provider="openai", model="gpt-5.5")) as codex:
            result = codex.thread_start(sandbox=Sandbox.read_only).run(LOOK)
        assert keyed.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    [command] = done(result, CommandExecution)
    assert "OPENAI_API_KEY=" not in command.aggregated_output
    assert KEY not in command.aggregated_output
    assert holding(home, KEY) == []


def test_without_a_sign_in_the_key_of_the_environment_is_used(service, monkeypatch):
    with start() as keyed:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", keyed.api_url)
        with Codex(on_plan()) as codex:
            assert codex.thread_start().run("echo: keyed").final_response == "keyed"
        assert keyed.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_two_keys_of_one_server_are_two_agents(service):
    with start() as keyed, Codex(on_plan()) as codex:
        for key in ("sk-one", "sk-two"):
            codex.thread_start(model_provider=custom(keyed.api_url, key)).run("echo: x")
            assert keyed.requests[-1].headers["authorization"] == f"Bearer {key}"


def test_a_sign_in_that_is_no_key_is_not_passed_on(service):
    provider = Provider("odd", service.api_url, auth=httpx.BasicAuth("me", "secret"))
    with Codex(on_plan()) as codex, pytest.raises(ConfigurationError, match="API key") as refused:
        codex.thread_start(model_provider=provider).run("hi")
    assert "secret" not in str(refused.value)


def test_a_provider_of_the_programs_own_configuration_goes_by_its_name(service, home):
    with open(home / ".codex" / "config.toml", "a") as file:
        file.write(f'[model_providers.mine]\nname = "mine"\nbase_url = "{service.api_url}"\n')
    with Codex(on_plan()) as codex:
        thread = codex.thread_start(model_provider="mine")
        thread.run("echo: by name")
    with Codex(on_plan(provider="mine")) as codex:
        codex.thread_resume(thread.id).run("echo: again")
        with pytest.raises(JsonRpcError, match="nobody"):
            codex.thread_start(model_provider="nobody").run("hi")
    assert [text for _, text in said(sent(service))] == ["echo: by name", "by name", "echo: again"]


# Accounts ----------------------------------------------------------------------------------------


@needs_zstd
def test_who_signs_in_with_a_code_asks_the_agent_until_they_sign_out(plan):
    with Codex(on_plan()) as codex:
        thread = codex.thread_start()
        with pytest.raises(NotSignedInError):
            thread.run("echo: too early")
        login = codex.login_chatgpt_device_code()
        plan.approve_device(login.user_code)
        assert login.wait().success
        assert the(ChatgptAccount, codex.account().account).type == "chatgpt"
        assert thread.run("echo: now").final_response == "now"
        codex.logout()
        with pytest.raises(NotSignedInError):
            thread.run("echo: too late")


@needs_zstd
def test_who_signs_in_with_a_browser_asks_the_agent(plan, home):
    with Codex(on_plan()) as codex:
        login = codex.login_chatgpt()
        trusted = ssl.create_default_context(cafile=plan.ca_file)
        httpx.get(login.auth_url, verify=trusted, follow_redirects=True)
        assert login.wait().success
        assert codex.thread_start().run("echo: signed in").final_response == "signed in"


@needs_zstd
def test_the_agent_follows_who_signs_in_and_out_elsewhere(plan, home):
    plan.sign_in(home / ".codex")
    with Codex(on_plan()) as codex:
        thread = codex.thread_start()
        thread.run("echo: one")
        plan.sign_in(home / ".codex", email="another@example.org")
        thread.run("echo: two")
        assert [text for role, text in said(sent(plan)) if role == "assistant"] == ["one"]
        assert len({request.headers["chatgpt-account-id"] for request in asked(plan)}) == 2
        (home / ".codex" / "auth.json").unlink()
        with pytest.raises(NotSignedInError):
            thread.run("echo: three")


@needs_zstd
@pytest.mark.parametrize("engine", ["app-server", "backend"])
def test_what_is_left_of_the_plan(plan, home, engine):
    plan.sign_in(home / ".codex")
    with Codex(CodexConfig(engine=engine)) as codex:
        limits = codex.rate_limits()
    assert (some(limits.primary).window_duration_mins, limits.plan_type) == (300, "plus")
    assert 0 < some(limits.effective).used_percent <= 100


@pytest.mark.parametrize("engine", ["app-server", "backend"])
def test_a_key_has_no_limits_to_tell_of(plan, engine):
    with Codex(CodexConfig(engine=engine)) as codex:
        with pytest.raises(NotSignedInError):
            codex.rate_limits()
        codex.login_api_key("sk-test")
        with pytest.raises(ConfigurationError, match="what is left"):
            codex.rate_limits()


# Configuration -----------------------------------------------------------------------------------


def test_a_session_may_be_configured_as_with_the_official_sdk(config, service, tmp_path):
    binary = str(codex_cli_bin.bundled_codex_path())
    values = {name: getattr(config, name) for name in ("engine", "provider", "model")}
    given = CodexConfig(
        **values,
        codex_bin=binary,
        cwd=str(tmp_path),
        env={"MY_VARIABLE": "seen by the agent"},
        config_overrides=('model_reasoning_effort="high"',),
        client_name="my_client",
        client_title="Mine",
        client_version="9.9",
    )
    with Codex(given) as codex:
        [command] = done(codex.thread_start().run(use("exec_command", cmd="pwd; env")), CommandExecution)
    told = command.aggregated_output.splitlines()
    assert told[0] == str(tmp_path)
    assert "MY_VARIABLE=seen by the agent" in told
    assert sent(service)["reasoning"]["effort"] == "high"
    assert service.requests[-1].headers["originator"] == "my_client"


def test_a_session_may_bring_the_whole_command(config, service):
    binary = str(codex_cli_bin.bundled_codex_path())
    given = CodexConfig(
        engine="app-server",
        provider=service.api_url,
        model="gpt-5.5",
        launch_args_override=(binary, "-c", 'model_verbosity="low"', "app-server"),
    )
    with Codex(given) as codex:
        assert codex.thread_start().run("echo: mine").final_response == "mine"
    assert sent(service)["text"]["verbosity"] == "low"


@pytest.mark.peer("openai-codex")
@pytest.mark.parametrize(
    "name", ["Codex", "AsyncCodex", "Thread", "AsyncThread", "TurnHandle", "AsyncTurnHandle"]
)
def test_every_parameter_of_the_official_sdk_is_taken(name):
    theirs, ours = getattr(pytest.importorskip("openai_codex"), name), getattr(codex_magic, name)
    methods = [each for each in dir(theirs) if not each.startswith("_") and callable(getattr(theirs, each))]
    for method in methods:
        taken = inspect.signature(getattr(ours, method)).parameters
        assert set(inspect.signature(getattr(theirs, method)).parameters) <= set(taken), method
