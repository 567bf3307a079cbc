"""What a turn over HTTP is asked with, and how it reaches the service."""

import os
import threading

import pytest

from codex_magic import (
    ExternalMessage,
    InvalidRequestError,
    LocalImageInput,
    MentionInput,
    SkillInput,
    TextInput,
)
from codex_magic.engines.backend import PERSONALITIES
from codex_magic.protocol.types import UserMessage
from tests.peers.agent import PNG, done
from tests.threads.backend import kinds, requests, sent, texts


def test_every_option_of_a_turn_reaches_the_service(codex, service):
    codex.thread_start().run(
        "echo: x",
        effort="high",
        summary="concise",
        verbosity="high",
        service_tier="priority",
        model="local-large",
        instructions="Be exact.",
    )
    body = requests(service)[0].json
    assert body["reasoning"] == {"effort": "high", "summary": "concise"}
    assert body["text"] == {"verbosity": "high"}
    assert (body["service_tier"], body["model"], body["instructions"]) == (
        "priority",
        "local-large",
        "Be exact.",
    )


@pytest.mark.parametrize("name", ["friendly", "pragmatic"])
def test_a_personality_is_told_in_the_instructions(codex, service, name):
    codex.thread_start(personality=name, base_instructions="You sort mail.").run(
        "echo: x", instructions="Do."
    )
    assert requests(service)[0].json["instructions"] == f"You sort mail.\n\nDo.\n\n{PERSONALITIES[name]}"


def test_none_is_a_personality_too_and_an_unknown_one_is_refused(codex, service):
    codex.thread_start(personality="none").run("echo: x", instructions="Do.")
    assert requests(service)[0].json["instructions"] == "Do."
    with pytest.raises(InvalidRequestError, match="friendly, pragmatic, none"):
        codex.thread_start(personality="grumpy").run("echo: x")


@pytest.mark.parametrize("content", ["mail came", ({"type": "input_text", "text": "mail came"},)])
def test_what_comes_from_outside_has_the_authority_of_a_tool(codex, service, content):
    thread = codex.thread_start()
    result = thread.run(ExternalMessage("inbox", content, namespace="apps"))
    call, output = sent(service)
    assert (call["type"], call["name"], call["namespace"]) == ("function_call", "inbox", "apps")
    assert output["call_id"] == call["call_id"]
    assert output["output"] == (content if isinstance(content, str) else list(content))
    assert done(result, UserMessage)[0].content[0].tool_name == "inbox"
    thread.run("echo: next")
    assert kinds(sent(service))[:2] == ["function_call", "function_call_output"]


def test_a_message_from_outside_comes_alone(codex):
    with pytest.raises(InvalidRequestError, match="only input"):
        codex.thread_start().run([TextInput("hi"), ExternalMessage("inbox", "x")])


def test_a_missing_skill_is_one_sentence(codex, service, tmp_path):
    with pytest.raises(InvalidRequestError, match="can't be read") as refused:
        codex.thread_start().run([TextInput("hi"), SkillInput("tea", str(tmp_path / "SKILL.md"))])
    assert "\n" not in str(refused.value)
    assert requests(service) == []


def test_what_has_an_address_and_no_path_is_named(codex, service):
    codex.thread_start().run([TextInput("hi"), MentionInput("mail", "app://mail")])
    assert "<path>app://mail</path>" in texts(sent(service))[1]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_a_file_that_takes_long_to_read_holds_nobody_up(codex, service, tmp_path):
    pipe = tmp_path / "slow.png"
    os.mkfifo(pipe)
    handle = codex.thread_start().turn([TextInput("echo: seen"), LocalImageInput(str(pipe))])
    assert codex.thread_start().run("echo: meanwhile").final_response == "meanwhile"
    threading.Thread(target=pipe.write_bytes, args=(PNG,)).start()
    assert handle.run().final_response == "seen"
    assert sent(service)[0]["content"][1]["image_url"].startswith("data:image/png;base64,")


def test_no_input_goes_on_with_what_there_is(codex, service):
    thread = codex.thread_start()
    thread.run("echo: a")
    assert done(thread.run([]), UserMessage) == []
    assert kinds(sent(service)) == ["user", "reasoning", "assistant"]
