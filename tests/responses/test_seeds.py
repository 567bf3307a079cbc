"""Every parameter, method and event of two clients that people come from, each done here against the service.

The names are those of codex-open-client's API reference (0.2.2) and codex-backend-sdk's README (0.1.1).
"""

from __future__ import annotations

import base64
import dataclasses
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import codex_open_client
import httpx
import pytest

from codex_magic import auth
from codex_magic.auth.storage import Storage
from codex_magic.protocol.errors import CodexError, ResponseAborted, ServiceError
from codex_magic.protocol.settings import Settings
from codex_magic.responses import events, inputs
from codex_magic.responses.client import Client
from codex_magic.responses.parameters import Timeouts
from codex_magic.responses.response import Response
from codex_magic.responses.streaming import ResponseStream
from tests.home import service_variables
from tests.service import LocalService, start

LOOK = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current temperature for a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SCHEMA = {
    "title": "person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PNG = b"\x89PNG\r\n\x1a\n"
SESSION = "01a1fa97-0000-7000-8000-000000000000"


OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


@pytest.fixture
def service(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalService]:
    """The local service, signed in to; its page that asks the person says yes by itself."""
    with start(auto_approve=True) as service:
        service.sign_in(home / ".codex")
        for name, value in service_variables(service).items():
            monkeypatch.setenv(name, value)
        yield service


@pytest.fixture
def client(service: LocalService) -> Iterator[Client]:
    with Client() as client:
        yield client


# Parameters: theirs, ours, and where it shows in what is sent ---------------------------------------

Sent = dict[str, Any]
Parameter = tuple[str, dict[str, Any], Callable[[Sent], Any], Any]

OPEN_CLIENT: list[Parameter] = [
    ("model", {"model": "local-small"}, lambda sent: sent["model"], "local-small"),
    ("instructions", {"instructions": "Be brief."}, lambda sent: sent["instructions"], "Be brief."),
    ("input", {"input": "Hi"}, lambda sent: sent["input"][0]["content"][0]["text"], "Hi"),
    ("input", {"input": [{"role": "user", "content": "Hi"}]}, lambda sent: len(sent["input"]), 1),
    ("stream", {"stream": True}, lambda sent: sent["stream"], True),
    ("stream", {"stream": False}, lambda sent: sent["stream"], True),
    ("tools", {"tools": [LOOK]}, lambda sent: sent["tools"], [LOOK]),
    (
        "tool_choice",
        {"tools": [LOOK], "tool_choice": "required"},
        lambda sent: sent["tool_choice"],
        "required",
    ),
    ("parallel_tool_calls", {"parallel_tool_calls": True}, lambda sent: sent["parallel_tool_calls"], True),
    (
        "reasoning",
        {"reasoning": codex_open_client.Reasoning(effort="low", summary="auto")},
        lambda sent: sent["reasoning"],
        {"effort": "low", "summary": "auto"},
    ),
    (
        "text",
        {"text": codex_open_client.TextConfig(verbosity="low")},
        lambda sent: sent["text"],
        {"verbosity": "low"},
    ),
    ("service_tier", {"service_tier": "priority"}, lambda sent: sent["service_tier"], "priority"),
    ("service_tier", {"service_tier": "auto"}, lambda sent: sent.get("service_tier"), None),
    ("include", {"include": ["x"]}, lambda sent: sent["include"], ["x", "reasoning.encrypted_content"]),
    ("previous_response_id", {"previous_response_id": "earlier"}, lambda sent: len(sent["input"]), 3),
    ("timeout", {"timeout": 30.0}, lambda sent: "timeout" in sent, False),
]

BACKEND_SDK: list[Parameter] = [
    (
        "user_message",
        {"input": ["What's in this image?", inputs.input_image("https://example.com/photo.jpg")]},
        lambda sent: [part["type"] for part in sent["input"][0]["content"]],
        ["input_text", "input_image"],
    ),
    ("model", {"model": "local-large"}, lambda sent: sent["model"], "local-large"),
    ("instructions", {"instructions": ""}, lambda sent: bool(sent["instructions"]), True),
    (
        "conversation_history",
        {"input": [inputs.user("a"), inputs.assistant("b"), "c"]},
        lambda sent: [item["role"] for item in sent["input"]],
        ["user", "assistant", "user"],
    ),
    ("tools", {"tools": [LOOK]}, lambda sent: sent["tools"], [LOOK]),
    ("tool_choice", {"tools": [LOOK]}, lambda sent: sent["tool_choice"], "auto"),
    (
        "tool_choice",
        {"tools": [LOOK], "tool_choice": {"type": "function", "name": "get_weather"}},
        lambda sent: sent["tool_choice"]["name"],
        "get_weather",
    ),
    ("parallel_tool_calls", {"parallel_tool_calls": False}, lambda sent: sent["parallel_tool_calls"], False),
    ("reasoning", {"reasoning": "medium"}, lambda sent: sent["reasoning"], {"effort": "medium"}),
    (
        "reasoning_summary",
        {"reasoning": {"effort": "medium", "summary": "concise"}},
        lambda sent: sent["reasoning"]["summary"],
        "concise",
    ),
    ("verbosity", {"verbosity": "high"}, lambda sent: sent["text"]["verbosity"], "high"),
    ("output_schema", {"output_schema": SCHEMA}, lambda sent: sent["text"]["format"]["schema"], SCHEMA),
    (
        "include_reasoning",
        {"reasoning": {"summary": "auto"}},
        lambda sent: sent["include"],
        ["reasoning.encrypted_content"],
    ),
    ("web_search", {"web_search": "cached"}, lambda sent: sent["tools"][0]["external_web_access"], False),
    ("web_search", {"web_search": "live"}, lambda sent: sent["tools"][0]["external_web_access"], True),
    ("web_search", {"web_search": "disabled"}, lambda sent: "tools" in sent, False),
    ("store", {"store": False}, lambda sent: sent["store"], False),
    ("service_tier", {"service_tier": "fast"}, lambda sent: sent["service_tier"], "priority"),
    ("service_tier", {"service_tier": "flex"}, lambda sent: sent["service_tier"], "flex"),
    ("prompt_cache_key", {"prompt_cache_key": SESSION}, lambda sent: sent["prompt_cache_key"], SESSION),
]


@pytest.mark.parametrize(("name", "ours", "where", "expected"), [*OPEN_CLIENT, *BACKEND_SDK])
def test_a_parameter(
    service: LocalService,
    client: Client,
    name: str,
    ours: dict[str, Any],
    where: Callable[[Sent], Any],
    expected: Any,
) -> None:
    ours = {"input": "hello", **ours}
    if "previous_response_id" in ours:
        ours["previous_response_id"] = client.responses.create("earlier").id
    answered = client.responses.create(**ours)
    if isinstance(answered, ResponseStream):
        answered = answered.get_final_response()
    assert answered.status == "completed"
    assert where(service.requests[-1].json) == expected


@pytest.mark.peer("codex-open-client")
def test_no_parameter_is_left_out() -> None:
    theirs = inspect.signature(codex_open_client._responses.Responses.create).parameters
    assert {name for name, *_ in OPEN_CLIENT} == theirs.keys() - {"self"}
    assert {name for name, *_ in BACKEND_SDK} == set(
        "user_message model instructions conversation_history tools tool_choice parallel_tool_calls reasoning "
        "reasoning_summary verbosity output_schema include_reasoning web_search store service_tier "
        "prompt_cache_key".split()
    )


# A client's own parameters --------------------------------------------------------------------------


def redirected(url: str) -> str:
    return str(httpx.get(url).headers["location"])


def retries(service: LocalService, home: Path) -> None:
    service.faults.next("server_error", times=3)
    with Client(max_retries=2, sleep=lambda _: None) as client, pytest.raises(ServiceError):
        client.responses.create("hello", model="local-large")
    assert len(service.requests) == 3


def timeout(service: LocalService, home: Path) -> None:
    service.faults.next("no_headers")
    with Client(timeout=0.1, max_retries=0) as client, pytest.raises(CodexError, match="in time"):
        client.responses.create("hello", model="local-large")
    assert Client(timeout=Timeouts(idle=5))._core.timeouts.idle == 5


def token_path(service: LocalService, home: Path) -> None:
    service.sign_in(home / "elsewhere")
    settings = dataclasses.replace(Settings.from_env(), codex_home=home / "elsewhere")
    with Client(settings=settings) as client:
        assert client.responses.create("echo: hi").output_text == "hi"


def login_handler(service: LocalService, home: Path) -> None:
    settings = dataclasses.replace(Settings.from_env(), codex_home=home / "nobody")
    with Client(settings=settings, login_handler=redirected) as client:
        assert client.responses.create("echo: hi").output_text == "hi"


def no_browser(service: LocalService, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_MAGIC_CALLBACK_PORTS", "0")
    visits: list[threading.Thread] = []

    def visit(text: str) -> None:
        link = {"follow_redirects": True}
        visits.append(threading.Thread(target=httpx.get, args=[text.split()[-1]], kwargs=link))
        visits[-1].start()

    monkeypatch.setattr("builtins.print", visit)
    assert auth.login(no_browser=True).access_token
    visits[0].join()


def headless(service: LocalService, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links: list[str] = []
    monkeypatch.setattr("builtins.print", lambda text: links.append(text.split()[-1]))
    monkeypatch.setattr("builtins.input", lambda _: redirected(links[-1]))
    assert auth.get_token(headless=True, token_path=home / "auth.json")
    assert len(links) == 1


@pytest.mark.parametrize("do", [retries, timeout, token_path, login_handler])
def test_a_parameter_of_the_client(
    service: LocalService,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    do: Callable[[LocalService, Path], None],
) -> None:
    do(service, home)


@pytest.mark.parametrize("do", [headless, no_browser])
def test_a_way_to_sign_in(
    service: LocalService, home: Path, monkeypatch: pytest.MonkeyPatch, do: Callable[..., None]
) -> None:
    do(service, home, monkeypatch)


# Methods and functions ------------------------------------------------------------------------------


def streamed(service: LocalService, client: Client) -> None:
    with client.responses.stream("echo: naïve") as stream:
        assert "".join(stream.text_deltas()) == "naïve"
        assert stream.get_final_response().output_text == stream.output_text == "naïve"
    assert isinstance(list(client.responses.create("hello", stream=True))[-1], events.ResponseCompleted)


def responded(service: LocalService, client: Client) -> None:
    response = client.responses.create("echo: all of it")
    assert response.output_text == "all of it"
    assert response.usage is not None
    assert response.usage.output_tokens > 0


def aborted(service: LocalService, client: Client) -> None:
    with client.responses.stream("pace: 100\nexplain lists") as stream:
        first = next(stream.text_deltas())
        client.abort()
        with pytest.raises(ResponseAborted):
            next(stream)
    assert stream.output_text.startswith(first)
    service.wait_for_disconnect(path="/responses")
    client.abort()  # nothing to abort is fine


def listed(service: LocalService, client: Client) -> None:
    models = client.models.list()
    assert [(model.slug, model.context_window) for model in models if model.slug == "local-large"]
    client.models.list()
    client.models.list(force_refresh=True)
    asked = [request for request in service.requests if request.path.endswith("/models")]
    assert len(asked) == 2
    assert asked[0].query == {"client_version": Settings.from_env().client_version}


def retrieved(service: LocalService, client: Client) -> None:
    assert client.models.retrieve("local-small").display_name


def conversed(service: LocalService, client: Client) -> None:
    history: list[dict[str, Any]] = []
    for question in ("My name is Alice.", "did I ask?"):
        history.append(inputs.user(question))
        response = client.responses.create(history)
        history += response.output
    assert "1. My name is Alice." in response.output_text


def called(service: LocalService, client: Client) -> None:
    """Their ToolCall has parsed_arguments(), as_history_item() and to_tool_result()."""
    history = [inputs.user('use the tool get_weather with {"city": "Paris"}')]
    [call] = client.responses.create(history, tools=[LOOK]).tool_calls
    result = {"temperature": 22, **json.loads(call["arguments"])}
    history += [call, inputs.function_call_output(call, result)]
    assert '"temperature":22' in client.responses.create(history, tools=[LOOK]).output_text


def looked_at(service: LocalService, client: Client) -> None:
    from_base64 = inputs.input_image(f"data:image/png;base64,{base64.b64encode(PNG).decode()}")
    response = client.responses.create(
        ["What is this?", inputs.input_image("https://x/a.jpg"), from_base64, PNG]
    )
    assert "3 images" in response.output_text


def structured(service: LocalService, client: Client) -> None:
    text = client.responses.create("a person", output_schema=SCHEMA).output_text
    assert json.loads(text).keys() == {"name", "age"}
    assert client.responses.parse("a person", text_format=SCHEMA).output_parsed.keys() == {"name", "age"}


def compacted(service: LocalService, client: Client) -> None:
    history = [inputs.user("one"), inputs.assistant("1"), inputs.user("two"), inputs.assistant("2")]
    short = client.responses.compact(history)
    assert short.added[0]["type"] == "compaction"
    assert "turn 3" in client.responses.create([*short.added, "hello"]).output_text


def used(service: LocalService, client: Client) -> None:
    usage = client.usage()
    assert usage.plan == "plus"
    assert usage.limits.effective is not None


def rung(service: LocalService, client: Client) -> None:
    call = client.realtime.calls.create(OFFER, instructions="You are concise.", session_id=SESSION)
    assert call.answer_sdp.startswith("v=0")
    assert call.call_id.startswith("rtc_")
    assert call.call_id in call.sideband_url


def authenticated(service: LocalService, client: Client) -> None:
    """Nothing to call: a request signs in, renews, and says so when it can't."""
    client.responses.create("hello")
    assert service.requests[-1].headers["authorization"] == f"Bearer {auth.get_token()}"


def signed_in_in_two_steps(service: LocalService, client: Client) -> None:
    pending = auth.start_login()
    found = auth.finish_login(pending, callback_url=redirected(pending.url))
    assert auth.get_token() == found.access_token


def refreshed(service: LocalService, client: Client) -> None:
    stored = Storage.of(Settings.from_env()).read()
    assert stored is not None
    assert stored.refresh_token is not None
    assert auth.refresh(stored.refresh_token).access_token == auth.get_token() != stored.access_token


def introduced(service: LocalService, client: Client) -> None:
    headers = auth.build_headers(auth.get_token())
    assert headers["ChatGPT-Account-ID"] == auth.get_account_id(auth.get_token())


METHODS: list[tuple[str, Callable[[LocalService, Client], None]]] = [
    ("CodexClient.responses.create, ResponseStream, get_final_response, client.stream", streamed),
    ("client.respond", responded),
    ("client.abort", aborted),
    ("client.models.list, client.list_models", listed),
    ("client.get_model", retrieved),
    ("conversation_history", conversed),
    ("ToolCall", called),
    ("image_url, image_b64", looked_at),
    ("output_schema, responses.parse", structured),
    ("client.compact", compacted),
    ("client.usage", used),
    ("client.create_realtime_call", rung),
    ("client.authenticate", authenticated),
    ("start_login, finish_login, PendingLogin", signed_in_in_two_steps),
    ("refresh", refreshed),
    ("get_token, build_headers, get_account_id", introduced),
]


@pytest.mark.parametrize(("names", "do"), METHODS, ids=[names for names, _ in METHODS])
def test_a_method(
    service: LocalService, client: Client, names: str, do: Callable[[LocalService, Client], None]
) -> None:
    do(service, client)


# Events ---------------------------------------------------------------------------------------------

THOUGHT = {"reasoning": {"effort": "low", "summary": "auto"}}
CALL = {"tools": [LOOK]}

EVENTS: list[tuple[str, type, str, dict[str, Any]]] = [
    ("TextDelta", events.OutputTextDelta, "hello", {}),
    ("ReasoningDelta", events.ReasoningSummaryTextDelta, "hello", THOUGHT),
    ("ToolCall", events.OutputItemDone, "use the tool get_weather", CALL),
    ("OutputItem", events.OutputItemDone, "hello", {}),
    ("ResponseCompleted", events.ResponseCompleted, "hello", {}),
    ("ResponseCreatedEvent", events.ResponseCreated, "hello", {}),
    ("ResponseInProgressEvent", events.ResponseInProgress, "hello", {}),
    ("ResponseCompletedEvent", events.ResponseCompleted, "hello", {}),
    ("ResponseIncompleteEvent", events.ResponseIncomplete, "fault: incomplete\nhello", {}),
    ("ResponseOutputItemAddedEvent", events.OutputItemAdded, "hello", {}),
    ("ResponseOutputItemDoneEvent", events.OutputItemDone, "hello", {}),
    ("ResponseOutputTextDeltaEvent", events.OutputTextDelta, "hello", {}),
    ("ResponseOutputTextDoneEvent", events.OutputTextDone, "hello", {}),
    (
        "ResponseFunctionCallArgumentsDeltaEvent",
        events.FunctionCallArgumentsDelta,
        "use the tool get_weather",
        CALL,
    ),
    (
        "ResponseFunctionCallArgumentsDoneEvent",
        events.FunctionCallArgumentsDone,
        "use the tool get_weather",
        CALL,
    ),
    ("ResponseReasoningSummaryTextDeltaEvent", events.ReasoningSummaryTextDelta, "hello", THOUGHT),
    ("ResponseReasoningSummaryTextDoneEvent", events.ReasoningSummaryTextDone, "hello", THOUGHT),
]


@pytest.mark.parametrize(("name", "kind", "prompt", "more"), EVENTS)
def test_an_event(client: Client, name: str, kind: type, prompt: str, more: dict[str, Any]) -> None:
    with client.responses.stream(prompt, **more) as stream:
        assert kind in {type(event) for event in stream}


def test_a_failure_is_raised_where_they_give_an_event(client: Client) -> None:
    """ResponseFailed(code, message), ResponseFailedEvent."""
    with pytest.raises(ServiceError) as caught:
        client.responses.create("fault: failed code=slow_down\nhello")
    assert caught.value.code == "slow_down"
    assert isinstance(caught.value.response, Response)


@pytest.mark.peer("codex-open-client")
def test_no_event_is_left_out() -> None:
    theirs = {
        name for name in codex_open_client.__all__ if name.startswith("Response") and name.endswith("Event")
    }
    failures = {"ResponseFailedEvent", "ResponseStreamEvent"}
    assert theirs - {name for name, *_ in EVENTS} == failures & theirs
