"""Threads and turns through the public door, over real HTTP."""

import asyncio
import signal
import threading

import pytest

import codex_magic.threads.codex as codex_module
from codex_magic import AsyncCodex, Codex, CodexConfig, TurnStatus
from codex_magic.protocol.errors import (
    ConfigurationError,
    InvalidRequestError,
    NotSignedInError,
    ThreadNotFoundError,
    UsageLimitError,
)
from codex_magic.protocol.types import (
    AgentMessage,
    AgentMessageDelta,
    ItemCompleted,
    LocalImageInput,
    MentionInput,
    SkillInput,
    TextInput,
    TurnCompleted,
)
from codex_magic.threads.store import Store
from tests.known import some, the
from tests.peers.agent import PNG
from tests.service import start

RESPONSES = "/backend-api/codex/responses"


def bodies(service):
    return [request.json for request in service.requests if request.path == RESPONSES]


def test_a_turn_answers_and_the_next_one_knows_of_it(codex, service):
    thread = codex.thread_start()
    assert thread.run("echo: Hello {name}!").final_response == "Hello {name}!"
    thread.run("echo: again")
    sent = [item["content"][0]["text"] for item in bodies(service)[1]["input"] if item["type"] == "message"]
    assert sent == ["echo: Hello {name}!", "Hello {name}!", "echo: again"]


def test_the_requests_of_a_thread_share_its_prompt_cache(codex, service):
    thread = codex.thread_start()
    thread.run("echo: a")
    second = thread.run("echo: b")
    keys = {
        (r.headers["session-id"], r.json["prompt_cache_key"]) for r in service.requests if r.path == RESPONSES
    }
    assert keys == {(thread.id, thread.id)}
    assert second.usage.last.cached_input_tokens > 0


def test_a_stream_tells_every_delta_before_the_completed_item(codex):
    told = list(codex.thread_start().turn("echo: one two three").stream())
    text = "".join(n.delta for n in told if isinstance(n, AgentMessageDelta))
    answers = [
        the(AgentMessage, n.item).text
        for n in told
        if isinstance(n, ItemCompleted) and n.item.__struct_config__.tag == "agentMessage"
    ]
    assert [text] == answers == ["one two three"]
    assert isinstance(told[-1], TurnCompleted)


def interrupted_after(thread, deltas):
    """A turn interrupted when that many pieces of its answer had come; the pieces."""
    handle = thread.turn("repeat 2000", summary="none")
    pieces = []
    for notification in handle.stream():
        if isinstance(notification, AgentMessageDelta):
            pieces.append(notification.delta)
            if len(pieces) == deltas:
                break
    handle.interrupt()
    return pieces


def test_an_interrupt_closes_the_connection_and_keeps_the_partial_answer(codex, service):
    service.faults.next("hold", after=3)
    thread = codex.thread_start()
    pieces = interrupted_after(thread, 3)
    service.wait_for_disconnect()
    kept = thread.history()[0]
    assert kept.status is TurnStatus.interrupted
    assert kept.items[-1].item.text == "".join(pieces)


def test_after_an_interrupt_the_next_turn_sends_the_partial_answer_and_says_so(codex, service):
    service.faults.next("hold", after=2)
    thread = codex.thread_start()
    interrupted_after(thread, 2)
    thread.run("echo: go on")
    roles = [item["role"] for item in bodies(service)[1]["input"] if item["type"] == "message"]
    assert roles == ["user", "assistant", "developer", "user"]


def test_a_thread_is_resumed_by_another_codex(service):
    with Codex() as first:
        thread_id = first.thread_start().id
        first.thread_resume(thread_id).run("echo: remember me")
    with Codex() as second:
        thread = second.thread_resume(thread_id)
        assert "echo: remember me" in str(thread.run("what did I ask before?").final_response)


def test_another_account_goes_on_with_the_thread_without_the_sealed_reasoning(codex, service, home):
    thread = codex.thread_start()
    thread.run("echo: mine")
    codex.logout()
    service.sign_in(home / ".codex", email="another@example.org")
    assert thread.run("echo: yours").final_response == "yours"
    sealed = ["reasoning" in [item["type"] for item in body["input"]] for body in bodies(service)]
    assert sealed == [False, False]


def test_a_fork_goes_its_own_way(codex):
    thread = codex.thread_start()
    thread.run("echo: shared")
    fork = codex.thread_fork(thread.id)
    fork.run("echo: only here")
    assert [len(thread.history()), len(fork.history())] == [1, 2]


def test_the_same_cell_replaces_its_turn(codex, service):
    thread = codex.thread_start()
    thread.run("echo: one", cell_id="a")
    thread.run("echo: two", cell_id="b")
    thread.run("echo: three", cell_id="a")
    assert len(bodies(service)[2]["input"]) == 1
    assert len(thread.history()) == 2


def test_threads_are_listed_searched_archived_and_brought_back(codex):
    thread = codex.thread_start(name="about pandas")
    codex.thread_start(name="other")
    assert [t.id for t in codex.thread_list(search_term="PANDAS").threads] == [thread.id]
    codex.thread_archive(thread.id)
    assert thread.id not in [t.id for t in codex.thread_list().threads]
    assert codex.thread_unarchive(thread.id).id == thread.id


def test_two_threads_stream_at_once(codex, service):
    service.faults.next("hold", after=1, times=2)
    handles = [
        codex.thread_start().turn(f"echo: {name} says a few words", summary="none") for name in ("one", "two")
    ]
    service.wait_for_hold(count=2)
    service.release()
    assert [handle.run().final_response for handle in handles] == [
        "one says a few words",
        "two says a few words",
    ]


def test_the_default_model_is_the_catalogs_and_is_asked_for_once(codex, service):
    thread = codex.thread_start()
    thread.run("echo: a")
    thread.run("echo: b")
    asked = [r for r in service.requests if r.path.endswith("/models")]
    assert len(asked) == 1
    assert {body["model"] for body in bodies(service)} == {"local-large"}


def test_a_used_up_quota_is_an_error_with_its_reset_time(codex, service):
    service.faults.next("usage_limit")
    with pytest.raises(UsageLimitError) as refused:
        codex.thread_start().run("hi")
    assert refused.value.resets_at
    assert refused.value.result.status is TurnStatus.failed
    assert len(bodies(service)) == 1


def test_an_output_schema_comes_back_as_json(codex):
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    answer = codex.thread_start().run("give me a number", output_schema=schema).final_response
    assert answer.replace(" ", "").startswith('{"n":')


def test_images_are_sent_as_data_urls(codex, service, tmp_path):
    picture = tmp_path / "dot.png"
    picture.write_bytes(PNG)
    codex.thread_start().run([TextInput("echo: seen"), LocalImageInput(str(picture))])
    text, image = bodies(service)[0]["input"][0]["content"]
    assert (text["type"], image["type"]) == ("input_text", "input_image")
    assert image["image_url"].startswith("data:image/png;base64,iVBOR")


def test_a_mentioned_file_and_a_skill_are_sent_as_their_text(codex, service, tmp_path):
    for name in ("utils.py", "SKILL.md"):
        (tmp_path / name).write_text(f"the text of {name}")
    mentioned = MentionInput("utils", str(tmp_path / "utils.py"))
    codex.thread_start().run([TextInput("hi"), mentioned, SkillInput("s", str(tmp_path / "SKILL.md"))])
    _, file, skill = [part["text"] for part in bodies(service)[0]["input"][0]["content"]]
    assert (file[:6], skill[:7]) == ("<file>", "<skill>")
    assert "the text of utils.py" in file
    assert "the text of SKILL.md" in skill
    with pytest.raises(InvalidRequestError, match="can't be read"):
        codex.thread_start().run(MentionInput("gone", str(tmp_path / "gone.py")))


def test_half_a_character_in_a_prompt_is_replaced_not_fatal(codex):
    assert codex.thread_start().run("echo: a\ud83d b \U0001f40d").final_response == "a\ufffd b \U0001f40d"


def test_what_does_not_exist_is_said(codex):
    with pytest.raises(ThreadNotFoundError):
        codex.thread_resume("nothing")
    with pytest.raises(ConfigurationError, match="provider"):
        codex.thread_start().run("hi", model_provider="nobody")


def test_without_a_sign_in_the_error_says_what_to_do():
    with Codex() as codex, pytest.raises(NotSignedInError, match="codex login"):
        codex.thread_start().run("hi")


def test_the_api_is_the_same_when_awaited(service):
    async def scene():
        async with AsyncCodex() as codex:
            thread = await codex.thread_start()
            handle = await thread.turn("echo: awaited")
            told = [n async for n in handle.stream()]
            again = await thread.run("echo: once more")
        return the(TurnCompleted, told[-1]).turn.status, again.final_response

    assert asyncio.run(scene()) == (TurnStatus.completed, "once more")


def test_closing_interrupts_what_runs(service):
    service.faults.next("hold", after=1)
    with Codex() as codex:
        handle = codex.thread_start().turn("repeat 2000", summary="none")
        service.wait_for_hold()
    service.wait_for_disconnect()
    assert some(handle.asynchronous.result).status is TurnStatus.interrupted


def test_a_server_that_asks_for_no_key_by_its_base_url():
    with start(open_access=True) as open_service:
        config = CodexConfig(provider=open_service.api_url, model="local-small")
        with Codex(config) as codex:
            assert codex.thread_start().run("echo: plain").final_response == "plain"


def test_the_openai_provider_sends_the_key(service, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", service.api_url)
    with Codex(CodexConfig(provider="openai", model="local-small")) as codex:
        assert codex.thread_start().run("echo: keyed").final_response == "keyed"
    assert service.requests[-1].headers["authorization"] == "Bearer sk-test"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="needs POSIX signals to press Ctrl-C")
def test_ctrl_c_ends_a_blocking_run_and_stops_the_turn(codex, service):
    service.faults.next("hold", after=1)
    main = some(threading.main_thread().ident)

    def press():
        service.wait_for_hold()
        signal.pthread_kill(main, signal.SIGINT)

    presser = threading.Thread(target=press)
    presser.start()
    with pytest.raises(KeyboardInterrupt):
        codex.thread_start().run("repeat 2000", summary="none")
    service.wait_for_disconnect()
    presser.join()


def test_this_package_introduces_itself(codex, home):
    metadata = codex.metadata
    assert metadata == codex.asynchronous.metadata
    assert metadata.user_agent.startswith(f"{metadata.server_info.name}/{metadata.server_info.version}")
    assert metadata.codex_home == str(home / ".codex")


def test_models_come_as_a_list_and_as_data(codex):
    shown, everything = codex.models(), codex.models(include_hidden=True)
    assert shown.data[0].slug == shown[0].slug == "local-large"
    assert len(shown) < len(everything)


def test_an_ephemeral_thread_is_in_no_file_and_in_no_list(codex, service, home):
    thread = codex.thread_start(ephemeral=True, name="passing")
    thread.run("echo: unrepeatable")
    thread.run("echo: again")
    assert len(bodies(service)[1]["input"]) > 1
    assert [turn.status for turn in codex.thread_resume(thread.id).history()] == [TurnStatus.completed] * 2
    assert codex.thread_list().data == codex.thread_list(archived=True).data == ()
    assert not any(
        b"unrepeatable" in path.read_bytes() for path in (home / "codex-magic").glob("threads.db*")
    )


def test_an_ephemeral_thread_is_gone_with_its_codex(service):
    with Codex() as first:
        thread_id = first.thread_start(ephemeral=True).id
    with Codex() as second, pytest.raises(ThreadNotFoundError):
        second.thread_resume(thread_id)


def test_forks_of_ephemeral_threads_and_ephemeral_forks_are_kept_nowhere(codex, service):
    origin = codex.thread_start()
    first, _ = [origin.run(f"echo: {text}") for text in ("one", "two")]
    fork = codex.thread_fork(origin.id, ephemeral=True, last_turn_id=first.id)
    fork.run("echo: three")
    of_fork = codex.thread_fork(fork.id)
    of_fork.run("echo: four")
    assert [len(thread.history()) for thread in (origin, fork, of_fork)] == [2, 2, 3]
    assert [thread.id for thread in codex.thread_list().data] == [origin.id]


def test_an_ephemeral_thread_can_be_named_archived_and_reverted(codex):
    thread = codex.thread_start(ephemeral=True)
    turn = thread.run("echo: one")
    thread.set_name("a name")
    thread.revert(turn.id)
    codex.thread_archive(thread.id)
    read = thread.read(include_turns=True).thread
    assert (read.name, read.turns, read.archived_at is None) == ("a name", (), False)


def test_over_http_a_list_has_no_sources(codex):
    thread = codex.thread_start()
    page = codex.thread_list(source_kinds=["cli"], section_id="x", use_state_db_only=True)
    assert [each.id for each in page.data] == [thread.id]


def test_a_configuration_may_bring_its_own_variables(service, home, tmp_path):
    service.sign_in(tmp_path / "other")
    config = CodexConfig(
        env={"CODEX_HOME": str(tmp_path / "other")}, cwd=str(tmp_path), client_name="my_client"
    )
    with Codex(config) as codex:
        assert codex.metadata.codex_home == str(tmp_path / "other")
        thread = codex.thread_start()
        thread.run("echo: x")
        assert thread.read().thread.cwd == str(tmp_path)
    assert service.requests[-1].headers["originator"] == "my_client"


def test_a_turn_that_was_taken_for_dead_is_taken_back_by_who_runs_it(codex, service, monkeypatch):
    monkeypatch.setattr(codex_module, "RENEW_SECONDS", 0.01)
    service.faults.next("hold", after=1)
    thread = codex.thread_start()
    handle = thread.turn("echo: long", summary="none")
    service.wait_for_hold()
    with Store(codex.asynchronous.settings.home / "threads.db") as elsewhere:
        elsewhere._db.execute("UPDATE turns SET owner = NULL")
        while [turn.id for turn in elsewhere.recover()] != [handle.id]:
            elsewhere._db.execute("UPDATE turns SET owner = NULL")
        while elsewhere.turn(handle.id).status is not TurnStatus.in_progress:
            pass
        assert elsewhere.recover() == []
    service.release()
    assert handle.run().final_response == "long"
    assert thread.history()[0].status is TurnStatus.completed


@pytest.mark.parametrize("look", ["history", "read", "thread_list"])
def test_whoever_looks_finds_a_dead_turn_interrupted(codex, look):
    thread = codex.thread_start()
    path = codex.asynchronous.settings.home / "threads.db"
    with Store(path) as dead:
        turn = dead.begin_turn(thread.id)
        dead._db.execute("UPDATE turns SET owner = NULL")
        looks = {"history": thread.history, "read": thread.read, "thread_list": codex.thread_list}
        looks[look]()
        assert dead.turn(turn.id).status is TurnStatus.interrupted


def test_a_question_that_could_not_be_asked_is_kept(codex, service):
    thread = codex.thread_start()
    with pytest.raises(ConfigurationError):
        thread.run("Why?", model_provider=f"{service.api_url}/nowhere")
    [turn] = thread.history()
    assert turn.status is TurnStatus.failed
    assert turn.items[0].item.content == (TextInput("Why?"),)
