"""The official Python SDK's public examples, retold by their purpose: each of them on both engines.

The model is the local service, a server of one's own for either engine. Numbers are those of the examples.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from typing import Any

import httpx
import pytest

from codex_magic import (
    ApiKeyAccount,
    ApprovalMode,
    AsyncCodex,
    ChatgptAccount,
    Codex,
    CodexConfig,
    CodexError,
    ImageInput,
    InvalidRequestError,
    JsonRpcError,
    LocalImageInput,
    MentionInput,
    Sandbox,
    ServiceError,
    SkillInput,
    TextInput,
    TurnStatus,
    is_retryable_error,
    retry_on_overload,
    tool,
)
from codex_magic.engines.backend import PERSONALITIES
from codex_magic.protocol.types import (
    AgentMessageDelta,
    ItemCompleted,
    TokenUsageUpdated,
    TurnCompleted,
    item_type,
)
from codex_magic.threads.options import TurnOptions
from tests.known import some
from tests.peers.agent import PNG, as_plan, as_provider, held, needs_zstd, sent

MODEL = "gpt-5.5"
PLAN: dict[str, Any] = {
    "type": "object",
    "properties": {"summary": {"type": "string"}, "actions": {"type": "array", "items": {"type": "string"}}},
    "required": ["summary", "actions"],
    "additionalProperties": False,
}


@pytest.fixture(params=["backend", pytest.param("app-server", marks=pytest.mark.peer)])
def engine(request):
    if request.param == "app-server":
        pytest.importorskip("codex_cli_bin", reason="needs the official binary")
    return request.param


@pytest.fixture
def service(home, monkeypatch):
    with as_provider(home, monkeypatch) as service:
        yield service


@pytest.fixture
def config(engine, service):
    return CodexConfig(engine=engine, provider=service.api_url, model=MODEL)


@pytest.fixture
def codex(config):
    with Codex(config) as codex:
        yield codex


@pytest.fixture
def plan(engine, home, tmp_path, monkeypatch):
    """The local service as ChatGPT and as OpenAI, over TLS; nobody is signed in."""
    with as_plan(home, tmp_path / "tls", monkeypatch) as service:
        monkeypatch.setenv("CODEX_MAGIC_CALLBACK_PORTS", "0")
        monkeypatch.setenv("OPENAI_BASE_URL", service.api_url)
        yield service


@pytest.fixture
def at_openai(engine, plan):
    with Codex(CodexConfig(engine=engine, model=MODEL)) as codex:
        yield codex


@pytest.fixture
def awaited(config):
    """Runs an async function of an `AsyncCodex`, in an event loop of its own."""

    def run(scene):
        async def live():
            async with AsyncCodex(config) as codex:
                return await scene(codex)

        return asyncio.run(live())

    return run


def conversation(body):
    """Who said what, without the blocks that a client adds by itself."""
    parts = [
        (item["role"], part["text"])
        for item in body["input"]
        if item["type"] == "message" and item["role"] in ("user", "assistant")
        for part in item["content"]
        if "text" in part
    ]
    return [(role, text) for role, text in parts if not text.lstrip().startswith("<")]


# 01 quickstart constructor -----------------------------------------------------------------------


def test_01_quickstart(codex):
    result = codex.thread_start(model=MODEL).run("echo: Hello!")
    assert result.final_response == "Hello!"
    assert [item_type(item) for item in result.items][::2] == ["userMessage", "agentMessage"]


def test_01_quickstart_awaited(awaited):
    async def scene(codex):
        thread = await codex.thread_start(model=MODEL)
        return await thread.run("echo: Hello!")

    assert awaited(scene).final_response == "Hello!"


# 02 turn run -------------------------------------------------------------------------------------


def test_02_a_result_says_all_about_its_turn(codex, service):
    service.faults.next("slow_headers", seconds=0.05)
    turn = codex.thread_start().turn(TextInput("Give 3 bullets about SIMD."))
    result = turn.run()
    assert (result.id, result.status, result.error) == (turn.id, TurnStatus.completed, None)
    assert result.started_at <= result.completed_at
    assert result.duration_ms >= 50
    assert result.items[-1].text == result.final_response
    assert result.usage.last.total_tokens > result.usage.last.output_tokens > 0


def test_02_a_result_awaited(awaited):
    async def scene(codex):
        thread = await codex.thread_start()
        turn = await thread.turn(TextInput("Give 3 bullets about SIMD."))
        return turn.id, await turn.run()

    turn_id, result = awaited(scene)
    assert (result.id, result.status) == (turn_id, TurnStatus.completed)


# 03 turn stream events ---------------------------------------------------------------------------


def check_told(told):
    methods = [event.method for event in told]
    assert methods[0] == "turn/started"
    assert {"item/started", "item/agentMessage/delta", "item/completed"} <= set(methods)
    assert "".join(event.delta for event in told if isinstance(event, AgentMessageDelta)) == "one two three"
    assert told[-1].turn.status is TurnStatus.completed


def test_03_a_turn_tells_its_events(codex):
    check_told(list(codex.thread_start().turn("echo: one two three").stream()))


def test_03_a_turn_tells_its_events_awaited(awaited):
    async def scene(codex):
        thread = await codex.thread_start()
        turn = await thread.turn("echo: one two three")
        return [event async for event in turn.stream()]

    check_told(awaited(scene))


# 04 models and metadata --------------------------------------------------------------------------


@needs_zstd
def test_04_models_and_metadata(at_openai, plan, home):
    plan.sign_in(home / ".codex")
    assert at_openai.metadata.user_agent
    assert at_openai.metadata.server_info.version
    shown, everything = at_openai.models(), at_openai.models(include_hidden=True)
    assert not any(model.hidden for model in shown)
    assert len(everything) > len(shown) > 0


@needs_zstd
def test_04_models_and_metadata_awaited(engine, plan, home):
    plan.sign_in(home / ".codex")

    async def scene():
        async with AsyncCodex(CodexConfig(engine=engine)) as codex:
            return await codex.models(include_hidden=True), codex.metadata

    models, metadata = asyncio.run(scene())
    assert any(model.hidden for model in models)
    assert metadata.user_agent


# 05 existing thread ------------------------------------------------------------------------------


def test_05_an_existing_thread_goes_on(config, service):
    with Codex(config) as codex:
        thread = codex.thread_start()
        thread.run("echo: Before.")
    with Codex(config) as codex:
        assert codex.thread_resume(thread.id).run("echo: After.").final_response == "After."
    assert conversation(sent(service)) == [
        ("user", "echo: Before."),
        ("assistant", "Before."),
        ("user", "echo: After."),
    ]


def test_05_an_existing_thread_goes_on_awaited(awaited, service):
    async def scene(codex):
        thread = await codex.thread_start()
        await thread.run("echo: Before.")
        again = await codex.thread_resume(thread.id)
        return await again.run("echo: After.")

    assert awaited(scene).final_response == "After."
    assert ("assistant", "Before.") in conversation(sent(service))


# 06 thread lifecycle and controls ----------------------------------------------------------------


def test_06_a_thread_is_listed_read_named_archived_and_brought_back(codex):
    thread = codex.thread_start(config={"model_reasoning_effort": "high"})
    turns = [thread.run("echo: Plan."), thread.run("echo: Again, simpler.")]
    reopened = codex.thread_resume(thread.id)
    assert [turn.id for turn in reopened.read(include_turns=True).thread.turns] == [t.id for t in turns]
    reopened.set_name("sdk-lifecycle-demo")
    assert [(t.id, t.name) for t in codex.thread_list(limit=20, archived=False).data] == [
        (thread.id, "sdk-lifecycle-demo")
    ]
    codex.thread_archive(reopened.id)
    assert codex.thread_list(limit=20).data == ()
    assert [t.id for t in codex.thread_list(limit=20, archived=True).data] == [thread.id]
    brought_back = codex.thread_unarchive(reopened.id)
    assert brought_back.run("echo: Once more.").final_response == "Once more."


def test_06_a_fork_and_a_revert_go_on_from_where_they_stand(codex, service):
    thread = codex.thread_start()
    thread.run("echo: First.")
    second = thread.run("echo: Second.")
    codex.thread_fork(thread.id).run("echo: Forked.")
    assert [text for role, text in conversation(sent(service)) if role == "assistant"] == [
        "First.",
        "Second.",
    ]
    thread.revert(second.id)
    thread.run("echo: Third.")
    assert [text for role, text in conversation(sent(service)) if role == "assistant"] == ["First."]


def test_06_a_compacted_thread_sends_less_and_goes_on(codex, service):
    thread = codex.thread_start()
    for number in range(3):
        thread.run(f"echo: Number {number}.")
    thread.compact()
    assert thread.run("echo: On.").final_response == "On."
    assert "Number 0." not in [text for role, text in conversation(sent(service)) if role == "assistant"]
    assert any("contextCompaction" in map(item_type, items(turn)) for turn in thread.history())


def items(turn):
    return [entry.item for entry in turn.items]


def test_06_a_lifecycle_awaited(awaited):
    async def scene(codex):
        thread = await codex.thread_start(name="before")
        await thread.run("echo: Hello.")
        await thread.set_name("after")
        await codex.thread_archive(thread.id)
        archived = await codex.thread_list(archived=True)
        back = await codex.thread_unarchive(thread.id)
        fork = await codex.thread_fork(back.id)
        await fork.run("echo: There.")
        await back.compact()
        return archived.data[0].name, (await fork.read(include_turns=True)).thread.turns

    name, turns = awaited(scene)
    assert (name, len(turns)) == ("after", 2)


# 07 image and text, 08 local image and text ------------------------------------------------------


def pictures(service):
    parts = [part for item in sent(service)["input"] for part in item.get("content") or ()]
    return [part["image_url"] for part in parts if part["type"] == "input_image"]


def data_url():
    return f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_07_an_image_by_address_is_seen_with_the_text(codex, service):
    question = [TextInput("What is in this picture?"), ImageInput(data_url())]
    answer = codex.thread_start().run(question).final_response
    assert "With 1 image." in answer
    assert len(pictures(service)) == 1


def test_08_an_image_file_is_seen_with_the_text(codex, service, tmp_path):
    (tmp_path / "sample.png").write_bytes(PNG)
    question = [TextInput("Read this picture."), LocalImageInput(str(tmp_path / "sample.png"))]
    assert "With 1 image." in codex.thread_start().run(question).final_response
    assert [url.partition(";")[0] for url in pictures(service)] == ["data:image/png"]


def test_07_08_images_awaited(awaited, service, tmp_path):
    (tmp_path / "sample.png").write_bytes(PNG)

    async def scene(codex):
        thread = await codex.thread_start()
        images = [ImageInput(data_url()), LocalImageInput(str(tmp_path / "sample.png"))]
        return await thread.run([TextInput("Compare these pictures."), *images])

    assert "With 2 images." in awaited(scene).final_response


# 09 async parity ---------------------------------------------------------------------------------


def test_09_awaited_and_blocking_ask_the_same(codex, awaited, service):
    options = {"effort": "low", "summary": "concise", "sandbox": Sandbox.read_only}
    blocking = codex.thread_start(cwd="/").run("echo: Hello.", **options)

    async def scene(codex):
        thread = await codex.thread_start(cwd="/")
        return await thread.run("echo: Hello.", **options)

    assert awaited(scene).final_response == blocking.final_response
    first, second = sent(service, -2), sent(service, -1)
    for name in first.keys() - {"input", "prompt_cache_key", "client_metadata"}:
        assert first[name] == second[name]
    assert first.keys() == second.keys()
    assert conversation(first) == conversation(second) == [("user", "echo: Hello.")]


# 10 error handling and retry ---------------------------------------------------------------------


def test_10_an_overloaded_service_is_asked_again(codex, service):
    service.faults.next("server_is_overloaded")
    thread = codex.thread_start()
    result = retry_on_overload(lambda: thread.run("echo: Retried."), max_attempts=3, initial_delay_s=0)
    assert result.final_response == "Retried."
    assert [turn.status.value for turn in thread.history()] == ["failed", "completed"]


def test_10_an_overloaded_service_is_asked_again_awaited(awaited, service):
    async def scene(codex):
        service.faults.next("server_is_overloaded")
        thread = await codex.thread_start()
        return await retry_on_overload(lambda: thread.run("echo: Retried."), initial_delay_s=0)

    assert awaited(scene).final_response == "Retried."


def test_10_what_stays_overloaded_is_an_error_worth_another_try(codex, service):
    service.faults.next("server_is_overloaded", times=2)
    thread = codex.thread_start()
    with pytest.raises(ServiceError) as failed:
        retry_on_overload(lambda: thread.run("echo: Never."), max_attempts=2, initial_delay_s=0)
    assert is_retryable_error(failed.value)
    assert failed.value.result.status is TurnStatus.failed


def test_10_other_errors_are_not_tried_again(codex, service):
    service.faults.next("usage_limit")
    thread = codex.thread_start()
    with pytest.raises(CodexError) as failed:
        retry_on_overload(lambda: thread.run("echo: No."), initial_delay_s=60)
    assert not is_retryable_error(failed.value)
    assert "limit" in failed.value.message


def test_10_a_refused_turn_says_why(codex):
    with pytest.raises(InvalidRequestError) as refused:
        codex.thread_start().run("echo: Never.", effort="hihg")
    assert refused.value.code == "unsupported_value"
    assert "hihg" in refused.value.message
    assert not is_retryable_error(refused.value)


def test_10_a_refused_request_of_the_program_has_its_code(codex, engine):
    """There is no JSON-RPC in process, and nobody who would refuse what only the program reads."""
    thread = codex.thread_start(config={"sandbox_mode": 7})
    if engine == "backend":
        assert thread.run("echo: Fine.").final_response == "Fine."
        return
    with pytest.raises(JsonRpcError, match="configuration") as refused:
        thread.run("echo: Never.")
    assert refused.value.code == -32600


# 11 cli mini app ---------------------------------------------------------------------------------


def chat(codex, lines):
    """A chat in the terminal: every line is a turn whose answer is printed as it arrives."""
    thread = codex.thread_start()
    for line in lines:
        usage = None
        print("assistant> ", end="")
        for event in thread.turn(line).stream():
            match event:
                case AgentMessageDelta(delta=delta):
                    print(delta, end="", flush=True)
                case TokenUsageUpdated():
                    usage = event.token_usage
                case TurnCompleted():
                    print(f"\nstatus> {event.turn.status.value}, tokens> {some(usage).last.total_tokens > 0}")


def test_11_a_chat_in_the_terminal(codex, capsys, service):
    chat(codex, ["echo: Hello.", "echo: And bye."])
    assert capsys.readouterr().out == (
        "assistant> Hello.\nstatus> completed, tokens> True\n"
        "assistant> And bye.\nstatus> completed, tokens> True\n"
    )
    assert [text for _, text in conversation(sent(service))] == ["echo: Hello.", "Hello.", "echo: And bye."]


def test_11_a_chat_awaited(awaited):
    async def scene(codex):
        thread = await codex.thread_start()
        answers = []
        for line in ("echo: Hello.", "What did I say before?"):
            turn = await thread.turn(line)
            told = [event.delta async for event in turn.stream() if isinstance(event, AgentMessageDelta)]
            answers.append("".join(told))
        return answers

    first, second = awaited(scene)
    assert first == "Hello."
    assert "Hello." in second


# 12 turn params kitchen sink ---------------------------------------------------------------------


def everything(folder):
    """Every option of a turn that the official SDK has."""
    return {
        "approval_mode": ApprovalMode.deny_all,
        "cwd": str(folder),
        "effort": "medium",
        "model": MODEL,
        "output_schema": PLAN,
        "personality": "pragmatic",
        "sandbox": Sandbox.read_only,
        "service_tier": "priority",
        "source": "schedule",
        "summary": "concise",
        "turn_service_tier": "priority",
    }


def check_everything(result, body, folder):
    assert result.status is TurnStatus.completed
    assert set(json.loads(result.final_response)) == {"summary", "actions"}
    assert (body["model"], body["service_tier"]) == (MODEL, "priority")
    assert body["reasoning"] == {"effort": "medium", "summary": "concise"}
    assert body["text"]["format"]["schema"] == PLAN
    if "instructions" in body:
        assert PERSONALITIES["pragmatic"] in body["instructions"]
        return
    about = json.loads(body["client_metadata"]["x-codex-turn-metadata"])
    assert (about["turn_trigger"], about["sandbox_mode"]) == ("schedule", "read-only")
    assert f"<cwd>{folder}</cwd>" in json.dumps(body["input"])


def test_12_a_turn_takes_every_option_at_once(codex, service, tmp_path):
    options = everything(tmp_path)
    check_everything(
        codex.thread_start().run("Analyze a safe rollout plan.", **options), sent(service), tmp_path
    )
    ours = {
        *("approvals", "cell_id", "engine", "instructions", "left_out", "mask"),
        *("model_provider", "notebook", "tools", "verbosity"),
    }
    assert set(options) == set(TurnOptions.__annotations__) - ours


def test_12_a_turn_takes_every_option_at_once_awaited(awaited, service, tmp_path):
    async def scene(codex):
        thread = await codex.thread_start()
        turn = await thread.turn("Analyze a safe rollout plan.", **everything(tmp_path))
        return await turn.run()

    check_everything(awaited(scene), sent(service), tmp_path)


# 13 model select and turn params -----------------------------------------------------------------


@needs_zstd
def test_13_a_model_is_chosen_and_thinks_hardest(at_openai, plan, home, tmp_path):
    plan.sign_in(home / ".codex")
    model = next(model for model in at_openai.models(include_hidden=True) if model.slug == MODEL)
    effort = model.efforts[-1]
    thread = at_openai.thread_start(model=model.slug, config={"model_reasoning_effort": effort})
    first = thread.run("echo: One sentence.", model=model.slug, effort=effort)
    assert first.usage.last.total_tokens > 0
    assert (sent(plan)["model"], sent(plan)["reasoning"]["effort"]) == (MODEL, effort)
    second = thread.run("A rollout plan.", **everything(tmp_path) | {"effort": effort})
    assert set(json.loads(second.final_response)) == {"summary", "actions"}
    assert sent(plan)["reasoning"] == {"effort": effort, "summary": "concise"}


# 14 turn controls --------------------------------------------------------------------------------


def test_14_a_steered_turn_answers_to_what_was_added(codex, service):
    _, turn = held(codex, service)
    assert turn.steer(TextInput("echo: Only ten.")).turn_id == turn.id
    told = list(turn.stream())
    assert told[-1].turn.status is TurnStatus.completed
    assert turn.run().final_response == "Only ten."
    asked = [text for role, text in conversation(sent(service)) if role == "user"]
    assert asked == ["repeat 2000", "echo: Only ten."]


def test_14_a_turn_is_steered_before_it_has_said_anything(codex):
    turn = codex.thread_start().turn("pace: 200\nrepeat 100000", summary="none")
    turn.steer(TextInput("echo: Only ten."))
    assert turn.run().final_response == "Only ten."


def test_14_a_turn_is_steered_at_once_awaited(awaited):
    async def scene(codex):
        thread = await codex.thread_start()
        turn = await thread.turn("pace: 200\nrepeat 100000", summary="none")
        await turn.steer(TextInput("echo: Only ten."))
        return await turn.run()

    assert awaited(scene).final_response == "Only ten."


def test_14_an_interrupted_turn_ends_and_keeps_what_it_said(codex, service):
    thread, turn = held(codex, service)
    turn.interrupt()
    told = list(turn.stream())
    assert told[-1].turn.status is TurnStatus.interrupted
    assert thread.run("echo: Next.").final_response == "Next."


def test_14_turn_controls_awaited(awaited, service):
    async def scene(codex):
        service.faults.next("hold", after=2, times=2)
        steered = await (await codex.thread_start()).turn("repeat 2000", summary="none")
        interrupted = await (await codex.thread_start()).turn("repeat 2000", summary="none")
        await asyncio.to_thread(service.wait_for_hold, count=2)
        await steered.steer("echo: Only ten.")
        await interrupted.interrupt()
        return await steered.run(), await interrupted.run()

    steered, interrupted = awaited(scene)
    assert steered.final_response == "Only ten."
    assert interrupted.status is TurnStatus.interrupted


# 15 login and account ----------------------------------------------------------------------------


def test_15_a_login_that_is_cancelled(at_openai):
    login = at_openai.login_chatgpt()
    assert login.auth_url.startswith("https://")
    assert login.cancel().status.value == "canceled"
    completed = login.wait()
    assert (completed.login_id, completed.success) == (login.login_id, False)
    assert at_openai.account().requires_openai_auth
    assert at_openai.account().account is None


@needs_zstd
def test_15_a_login_by_code_answers_and_a_logout_does_not(at_openai, plan):
    login = at_openai.login_chatgpt_device_code()
    assert login.verification_url
    plan.approve_device(login.user_code, email="me@example.com", plan="pro")
    assert login.wait().success
    assert at_openai.account().account == ChatgptAccount("me@example.com", "pro")
    thread = at_openai.thread_start()
    assert thread.run("echo: By plan.").final_response == "By plan."
    at_openai.logout()
    assert at_openai.account().account is None
    with pytest.raises(CodexError):
        thread.run("echo: No more.")


@needs_zstd
def test_15_a_login_by_browser_answers(at_openai, plan):
    login = at_openai.login_chatgpt()
    trusted = ssl.create_default_context(cafile=plan.ca_file)
    httpx.get(login.auth_url, verify=trusted, follow_redirects=True)
    assert login.wait().success
    assert at_openai.thread_start().run("echo: By browser.").final_response == "By browser."


@needs_zstd
def test_15_a_key_answers(at_openai, plan):
    at_openai.login_api_key("sk-made-up")
    assert at_openai.account().account == ApiKeyAccount()
    thread = at_openai.thread_start(config={"openai_base_url": plan.api_url})
    assert thread.run("echo: By key.").final_response == "By key."
    assert plan.wait_for_request("/v1/responses").headers["authorization"] == "Bearer sk-made-up"


def test_15_a_login_awaited(engine, plan):
    async def scene():
        async with AsyncCodex(CodexConfig(engine=engine)) as codex:
            login = await codex.login_chatgpt()
            cancelled = await login.cancel()
            return cancelled, await login.wait(), await codex.account()

    cancelled, completed, account = asyncio.run(scene())
    assert (cancelled.status.value, completed.success, account.account) == ("canceled", False, None)


# The article, the README and the reference -------------------------------------------------------


def test_article_many_files_are_looked_at_at_once(awaited, service):
    """A thread for each file, read-only and kept nowhere, all at the same time."""

    async def scene(codex):
        service.faults.next("hold", after=1, times=4)

        async def analyse(path):
            thread = await codex.thread_start(sandbox=Sandbox.read_only, ephemeral=True)
            return (await thread.run(f"echo: {path} in two sentences.", summary="none")).final_response

        tasks = [asyncio.ensure_future(analyse(path)) for path in ("a.py", "b.py", "c.py", "d.py")]
        await asyncio.to_thread(service.wait_for_hold, count=4)
        service.release()
        return await asyncio.gather(*tasks), await codex.thread_list()

    answers, listed = awaited(scene)
    assert answers == [f"{name}.py in two sentences." for name in "abcd"]
    assert listed.threads == ()


def test_article_a_schema_from_a_file(codex, tmp_path):
    (tmp_path / "findings.json").write_text(json.dumps(PLAN))
    schema = json.loads((tmp_path / "findings.json").read_text())
    result = codex.thread_start().run("Run the audit.", output_schema=schema)
    assert set(json.loads(result.final_response)) == set(PLAN["properties"])


def test_article_old_threads_are_archived(codex):
    old, new = codex.thread_start(name="old"), codex.thread_start(name="new")
    old.run("echo: Long ago.")
    new.run("echo: Just now.")
    page = codex.thread_list(limit=20, sort_key="updated_at")
    cutoff = new.read().thread.updated_at + 1
    for kept in page.threads:
        if kept.updated_at < cutoff and kept.name == "old":
            codex.thread_archive(kept.id)
    assert [thread.name for thread in codex.thread_list().data] == ["new"]


def test_article_pages_are_turned_with_a_cursor(codex):
    started = {codex.thread_start(name=str(number)).id for number in range(5)}
    page = codex.thread_list(limit=2)
    seen = [thread.id for thread in page.data]
    while page.next_cursor:
        page = codex.thread_list(limit=2, cursor=page.next_cursor)
        seen += [thread.id for thread in page.data]
    assert (len(seen), set(seen)) == (5, started)


def test_article_a_config_sets_the_effort(codex, service):
    codex.thread_start(config={"model_reasoning_effort": "high"}).run("echo: Audited.")
    assert sent(service)["reasoning"]["effort"] == "high"


def test_article_instructions_are_given_to_the_model(codex, service):
    thread = codex.thread_start(
        base_instructions="You review code.", developer_instructions="Be a pirate.", personality="friendly"
    )
    thread.run("echo: Arr.")
    told = json.dumps([sent(service).get("instructions"), sent(service)["input"]])
    assert "You review code." in told
    assert "Be a pirate." in told


def test_article_two_handles_stream_side_by_side(codex, service):
    service.faults.next("hold", after=1, times=2)
    turns = [codex.thread_start().turn(f"echo: From {name}.", summary="none") for name in ("one", "two")]
    service.wait_for_hold(count=2)
    service.release()
    answers = {}

    def read(turn):
        told = list(turn.stream())
        assert {event.turn_id for event in told if isinstance(event, ItemCompleted)} == {turn.id}
        answers[turn.id] = "".join(event.delta for event in told if isinstance(event, AgentMessageDelta))

    readers = [threading.Thread(target=read, args=(turn,)) for turn in turns]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [answers[turn.id] for turn in turns] == ["From one.", "From two."]


def test_article_a_file_is_mentioned(codex, service, tmp_path):
    module = tmp_path / "utils.py"
    module.write_text("def simplify(): ...\n")
    thread = codex.thread_start(cwd=str(tmp_path))
    thread.run([TextInput("Explain this module:"), MentionInput("utils", str(module))])
    assert "utils" in json.dumps(sent(service)["input"])


def test_article_a_skill_is_used(codex, service, home):
    skill = home / ".codex" / "skills" / "simplify" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text(
        "---\nname: simplify\ndescription: Makes code simpler.\n---\nRemove what is not needed.\n"
    )
    codex.thread_start().run([TextInput("Use $simplify here."), SkillInput("simplify", str(skill))])
    assert "Remove what is not needed." in json.dumps(sent(service)["input"])


def test_reference_a_sandbox_holds_for_its_turn_and_the_next(codex):
    written = []

    @tool(needs=Sandbox.workspace_write)
    def write(text: str) -> str:
        """Writes it down."""
        written.append(text)
        return "written"

    thread = codex.thread_start(sandbox=Sandbox.workspace_write, tools=[write])
    thread.run('use the tool write with {"text": "Fixed."}')
    thread.run('use the tool write with {"text": "Reviewed."}', sandbox=Sandbox.read_only)
    thread.run('use the tool write with {"text": "Still read-only."}')
    assert written == ["Fixed."]


def test_readme_closing_is_the_end_of_a_with(config):
    codex = Codex(config)
    assert codex.thread_start().run("echo: Said.").final_response == "Said."
    codex.close()


def test_article_nothing_starts_before_the_first_use(engine, home):
    Codex(CodexConfig(engine=engine)).close()
    AsyncCodex(CodexConfig(engine=engine))
    assert list(home.iterdir()) == []
