"""openai-python against the local service: as the public API, and as the Codex backend."""

from __future__ import annotations

import asyncio

import pytest

openai = pytest.importorskip("openai")

pytestmark = pytest.mark.peer("openai")


@pytest.fixture
def client(service):
    with openai.OpenAI(base_url=service.api_url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def codex(service):
    tokens = service.issue_tokens()
    headers = {"ChatGPT-Account-ID": tokens.account_id}
    key = tokens.access_token
    with openai.OpenAI(
        base_url=service.base_url, api_key=key, default_headers=headers, max_retries=0
    ) as client:
        yield client


def test_a_streamed_turn_on_the_public_api(client):
    stream = client.responses.create(model="local-large", input="echo: naïve 漢字", stream=True)
    events = list(stream)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "naïve 漢字"
    assert events[-1].response.output_text == "naïve 漢字"


def test_a_streamed_turn_on_the_codex_backend(codex):
    stream = codex.responses.create(
        model="local-large",
        instructions="Answer.",
        input=[{"role": "user", "content": "echo: $\\alpha$"}],
        store=False,
        stream=True,
        reasoning={"effort": "low", "summary": "auto"},
    )
    events = list(stream)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "$\\alpha$"
    assert any(event.type == "response.reasoning_summary_text.delta" for event in events)
    assert events[-1].response.output == []


def test_an_answer_without_a_stream(client):
    answer = client.responses.create(model="local-large", input="echo: whole")
    assert (answer.output_text, answer.status) == ("whole", "completed")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_the_async_client(service):
    async def turn():
        async with openai.AsyncOpenAI(base_url=service.api_url, api_key="any", max_retries=0) as client:
            stream = await client.responses.create(model="local-large", input="echo: later", stream=True)
            return [event async for event in stream][-1].response.output_text

    assert asyncio.run(turn()) == "later"


def test_the_streaming_helper(client):
    with client.responses.stream(model="local-large", input="echo: helped") as stream:
        assert stream.get_final_response().output_text == "helped"


def test_a_tool_round_trip(client):
    tools = [
        {
            "type": "function",
            "name": "look",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}},
                "required": ["place"],
                "additionalProperties": False,
            },
        }
    ]
    asked = {"role": "user", "content": 'use the tool look with {"place": "Oslo"}'}
    [call] = client.responses.create(model="local-large", input=[asked], tools=tools).output
    assert (call.name, call.arguments) == ("look", '{"place": "Oslo"}')
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain in Oslo"}
    answer = client.responses.create(
        model="local-large", input=[asked, call.model_dump(exclude_none=True), output], tools=tools
    )
    assert "rain in Oslo" in answer.output_text


def test_a_structured_answer(client):
    pydantic = pytest.importorskip("pydantic")
    city = pydantic.create_model("City", name=(str, ...), people=(int, ...))
    answer = client.responses.parse(model="local-large", input="a city", text_format=city)
    assert isinstance(answer.output_parsed, city)


def test_the_models_are_listed(client):
    assert "local-large" in [model.id for model in client.models.list()]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("too_many_requests", "RateLimitError"),
        ("usage_limit", "RateLimitError"),
        ("token_expired", "AuthenticationError"),
        ("model_not_found", "NotFoundError"),
        ("overloaded", "InternalServerError"),
        ("cloudflare", "PermissionDeniedError"),
    ],
)
def test_a_refusal_is_understood(service, client, fault, error):
    service.faults.next(fault)
    with pytest.raises(getattr(openai, error)):
        client.responses.create(model="local-large", input="hello")
