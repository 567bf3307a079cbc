"""What a turn asks of the program, in the protocol's words."""

import pytest

from codex_magic import ExternalMessage, InvalidRequestError, MentionInput, NotSignedInError, TextInput
from codex_magic.engines.app_server.parameters import (
    fork_parameters,
    start_parameters,
    steer_input,
    thread_parameters,
    turn_parameters,
)
from codex_magic.engines.app_server.server import withheld
from codex_magic.engines.seam import TurnRequest
from codex_magic.protocol.settings import Settings
from codex_magic.responses.provider import custom, openai


def request(*inputs, **options):
    given = inputs or (TextInput("hi"),)
    return TurnRequest(thread_id="t", turn_id="u", inputs=given, instructions="Be brief.", **options)


def test_what_is_not_said_is_not_sent():
    assert set(thread_parameters(request(), None)) == {"developerInstructions", "approvalPolicy"}
    assert start_parameters(request()) == fork_parameters(request()) == {}
    assert set(turn_parameters(request())) == {"input", "approvalPolicy"}


def test_where_a_thread_comes_from_is_said_once_and_of_a_turn_each_time():
    asked = request(thread_source="a", session_start_source="clear", service_name="c", source="d")
    assert start_parameters(asked) == {
        "threadSource": "a",
        "sessionStartSource": "clear",
        "serviceName": "c",
    }
    assert fork_parameters(asked) == {"threadSource": "a"}
    assert turn_parameters(asked)["turnTrigger"] == "d"


def test_a_message_from_outside_is_the_output_of_a_tool():
    parts = ({"type": "input_text", "text": "x"},)
    given = turn_parameters(request(ExternalMessage("mailer", parts, "post")))
    assert given["input"] == []
    assert given["toolOutput"] == {"name": "mailer", "namespace": "post", "output": parts}


def test_a_message_from_outside_is_whole_and_no_steering():
    message = ExternalMessage("mailer", "x")
    with pytest.raises(InvalidRequestError):
        turn_parameters(request(message, TextInput("y")))
    with pytest.raises(InvalidRequestError):
        steer_input([message])
    assert steer_input([MentionInput("docs", "app://docs")])[0]["type"] == "mention"


def test_a_key_goes_into_memory():
    provider = custom("http://127.0.0.1:1/v1", "sk-1")
    config = thread_parameters(request(config={"web_search": "live"}), provider)["config"]
    assert config["model_providers"]["codex_magic"]["experimental_bearer_token"] == "sk-1"
    assert set(config) == {"model_provider", "model_providers", "web_search"}


def test_a_server_without_a_key_is_given_none():
    config = thread_parameters(request(), custom("http://127.0.0.1:1/v1"))["config"]
    assert set(config["model_providers"]["codex_magic"]) == {
        "name",
        "base_url",
        "wire_api",
        "requires_openai_auth",
    }
    assert set(config) == {"model_provider", "model_providers"}


def test_a_variable_that_holds_the_providers_key_is_withheld_whatever_its_name():
    environment = {"A": "sk-1", "B": "b", "MY_TOKEN": "x", "AWS_KEY": "y"}
    assert withheld(environment, allowed=["AWS_*"], key="sk-1") == ["A", "MY_TOKEN"]


@pytest.mark.parametrize(
    ("config", "merged"),
    [
        ({}, {"shell_environment_policy.exclude": ["A"]}),
        ({"shell_environment_policy.exclude": ["X"]}, {"shell_environment_policy.exclude": ["A"]}),
        (
            {"shell_environment_policy": {"inherit": "core", "exclude": ["X"]}},
            {"shell_environment_policy": {"inherit": "core", "exclude": ["A"]}},
        ),
    ],
)
def test_the_rest_of_a_policy_stays_as_it_was_given(config, merged):
    assert thread_parameters(request(config=config), None, ["A"])["config"] == merged


def test_without_any_key_openai_is_not_signed_in_to():
    with pytest.raises(NotSignedInError):
        openai(Settings.from_env())
