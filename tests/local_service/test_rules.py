"""What is refused, with the words of the real services."""

from __future__ import annotations

import pytest

from codex_magic.local_service.conversation import seal
from tests.local_service.raw_client import RawClient, assistant, user
from tests.service import start

LITE = {"x-openai-internal-codex-responses-lite": "true"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "seen"}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"instructions": None}, "Instructions are required"),
        ({"store": None}, "Store must be set to false"),
        ({"store": True}, "Store must be set to false"),
        ({"stream": False}, "Stream must be set to true"),
        ({"input": "hello"}, "Input must be a list"),
        ({"input": [{"role": "system", "content": "x"}]}, "System messages are not allowed"),
        ({"temperature": 0.5}, "Unsupported parameter: temperature"),
        ({"max_output_tokens": 9}, "Unsupported parameter: max_output_tokens"),
        ({"previous_response_id": "resp_1"}, "Unsupported parameter: previous_response_id"),
        ({"background": True}, "Unsupported parameter: background"),
        ({"service_tier": "auto"}, "Unsupported service_tier: auto"),
        (
            {"model": "gpt-none"},
            "The 'gpt-none' model is not supported when using Codex with a ChatGPT account.",
        ),
    ],
)
def test_the_codex_backend_refuses(client, change, text):
    response = client.post(**change)
    assert (response.status_code, response.json()) == (400, {"detail": text})


def test_a_developer_message_stands_for_instructions(client):
    developer = {
        "type": "message",
        "role": "developer",
        "content": [{"type": "input_text", "text": "Be brief."}],
    }
    assert client.post(instructions=None, input=[developer, user("hello")]).status_code == 200


@pytest.mark.parametrize(
    ("item", "item_id"),
    [
        ({"type": "reasoning", "id": "rs_1", "summary": []}, "rs_1"),
        ({"type": "item_reference", "id": "msg_1"}, "msg_1"),
    ],
)
def test_an_id_without_content_is_not_found(client, item, item_id):
    response = client.post(input=[item, user("hello")])
    assert response.status_code == 404
    assert f"Item with id '{item_id}' not found." in response.json()["error"]["message"]


def test_reasoning_of_the_same_account_can_be_sent_again(client):
    events = client.events(reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"])
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert items[0]["type"] == "reasoning"
    assert client.post(input=[user("hello"), *items, user("again")]).status_code == 200


def test_reasoning_of_another_account_can_not(client):
    foreign = {"type": "reasoning", "summary": [], "encrypted_content": seal("another account", {})}
    refused = client.post(input=[foreign, user("hello")])
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_encrypted_content")


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([user("hello"), CALL], "No tool output found for function call call_1."),
        ([user("hello"), OUTPUT], "No tool call found for function call output with call_id call_1."),
    ],
)
def test_calls_and_outputs_belong_together(client, items, text):
    assert client.post(input=items).json()["error"]["message"] == text


@pytest.mark.parametrize(("role", "kind"), [("assistant", "input_text"), ("user", "output_text")])
def test_content_must_fit_its_role(client, role, kind):
    message = {"type": "message", "role": role, "content": [{"type": kind, "text": "x"}]}
    error = client.post(input=[message]).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "input[0].content[0]")


def test_an_effort_that_the_model_does_not_have(client):
    error = client.post(reasoning={"effort": "minimal"}).json()["error"]
    assert (error["code"], error["param"]) == ("unsupported_value", "reasoning.effort")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
    ],
)
def test_a_strict_schema_must_be_closed_and_complete(client, schema):
    text = {"format": {"type": "json_schema", "name": "thing", "strict": True, "schema": schema}}
    assert client.post(text=text).json()["error"]["code"] == "invalid_json_schema"
    tool = {"type": "function", "name": "look", "strict": True, "parameters": schema}
    assert client.post(tools=[tool]).json()["error"]["code"] == "invalid_function_parameters"


@pytest.mark.parametrize(
    "change", [{}, {"parallel_tool_calls": False}, {"reasoning": {"context": "all_turns"}}]
)
def test_lite_needs_all_turns_and_single_calls(client, change):
    assert client.post(headers=LITE, **change).status_code == 400


def test_a_whole_lite_request_is_answered(client):
    change = {"parallel_tool_calls": False, "reasoning": {"context": "all_turns"}}
    assert client.post(headers=LITE, **change).status_code == 200


@pytest.mark.parametrize(("version", "status"), [(None, 404), ("0.150.0", 404), ("0.163.0", 200)])
def test_a_new_model_needs_a_new_client(client, version, status):
    headers = {"version": version} if version else {}
    assert client.post(model="local-next", headers=headers).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"input": [1]}',
        b'{"input": [{"content": [{}]}]}',
        b'{"input": [{"type": "function_call"}]}',
        b'{"tools": [{"type": "namespace", "name": "a", "tools": [{"type": "function"}]}]}',
        b'{"text": {"format": {"type": "json_schema"}}}',
    ],
)
def test_a_body_that_makes_no_sense_is_refused(client, body):
    url = client.service.base_url + "/responses"
    assert client.http.post(url, content=body, headers=client.headers).status_code == 400


def test_a_lenient_service_refuses_nothing():
    with start(strict=False) as service:
        client = RawClient(service)
        assert "hello" in client.text("echo: hello", instructions=None, temperature=1, model="any")
        client.http.close()


def test_websockets_are_refused_so_that_clients_send_a_post(client):
    headers = client.headers | {"Upgrade": "websocket", "Connection": "Upgrade"}
    assert client.http.get(client.service.base_url + "/responses", headers=headers).status_code == 426


def test_the_public_api_wants_a_key(client):
    url = client.service.api_url + "/responses"
    body = {"model": "local-large", "input": "hello"}
    assert client.http.post(url, json=body).status_code == 401
    assert client.http.post(url, json=body, headers={"Authorization": "Bearer any"}).status_code == 200


def test_open_access_wants_no_key():
    with start(open_access=True) as service:
        client = RawClient(service)
        for base in (service.api_url, service.base_url):
            assert client.http.post(base + "/responses", json=client.body()).status_code == 200
        client.http.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": "gpt-none", "input": "x"}, 404),
        ({"input": "x"}, 400),
        ({"model": "local-large"}, 400),
        ({"model": "local-large", "input": "x", "previous_response_id": "resp_1"}, 400),
    ],
)
def test_the_public_api_refuses(client, body, status):
    url = client.service.api_url + "/responses"
    refused = client.http.post(url, json=body, headers={"Authorization": "Bearer any"})
    assert refused.status_code == status
    assert refused.json()["error"]["type"] == "invalid_request_error"


def test_partial_answers_can_be_sent_again(client):
    assert client.post(input=[user("explain"), assistant("So far"), user("continue")]).status_code == 200


@pytest.mark.parametrize(
    "path", ["/backend-api/plugins/featured", "/anything", "/backend-api/codex/responses/compact"]
)
def test_what_is_not_there_is_a_harmless_404(client, path):
    response = client.http.post(client.service.url + path, headers=client.headers)
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
