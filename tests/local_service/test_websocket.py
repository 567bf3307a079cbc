"""Responses over a WebSocket, as a client that knows nothing of us sees them."""

from __future__ import annotations

import json

import pytest
import websocket

from tests.local_service.raw_client import RawClient, text_of, user
from tests.service import start
from tests.service.faults import HANDSHAKE
from tests.service.websocket import MESSAGE

ENDS = {"response.completed", "response.incomplete", "response.failed", "error"}


class Socket:
    """Sends a request that the service takes, and reads to the end of the response."""

    def __init__(self, client, base_url=None, **headers):
        self.client = client
        url = (base_url or client.service.base_url).replace("http", "ws", 1) + "/responses"
        told = [f"{name}: {value}" for name, value in (client.headers | headers).items()]
        self.socket = websocket.create_connection(url, header=told, timeout=20, http_no_proxy=["127.0.0.1"])

    def send(self, prompt="hello", **changes):
        changes = {"stream": None} | changes
        self.tell({"type": "response.create", **self.client.body(prompt, **changes)})

    def tell(self, frame):
        self.socket.send(json.dumps(frame))

    def read(self):
        return json.loads(self.socket.recv())

    def rest(self):
        events = [self.read()]
        while events[-1]["type"] not in ENDS:
            events.append(self.read())
        return events

    def until(self, kind):
        while (event := self.read())["type"] != kind:
            pass
        return event

    def ask(self, prompt="hello", **changes):
        self.send(prompt, **changes)
        return self.rest()


@pytest.fixture
def service():
    with start(websocket=True) as service:
        yield service


@pytest.fixture
def client(service):
    client = RawClient(service)
    yield client
    client.http.close()


@pytest.fixture
def connect(client):
    opened = []

    def connect(*args, **headers):
        opened.append(Socket(client, *args, **headers))
        return opened[-1]

    yield connect
    for socket in opened:
        socket.socket.shutdown()


def test_a_response_comes_as_one_event_a_message(connect):
    events = connect().ask("echo: naïve 漢字")
    assert text_of(events) == "naïve 漢字"
    assert [event["type"] for event in events][:2] == ["codex.rate_limits", "response.created"]
    assert events[-1]["type"] == "response.completed"


def test_the_limits_come_first(connect):
    limits = connect().ask()[0]
    assert limits["plan_type"] == "plus"
    assert limits["rate_limits"]["primary"]["window_minutes"] == 300


def test_the_public_api_tells_no_limits(client, service, connect):
    assert connect(service.api_url).ask("echo: a")[0]["type"] == "response.created"


def test_one_connection_carries_one_response_after_another(connect):
    socket = connect()
    assert [text_of(socket.ask(f"echo: {word}")) for word in ("a", "b")] == ["a", "b"]


def test_the_handshake_tells_what_an_answer_would(connect):
    headers = connect().socket.handshake_response.headers
    assert headers["x-codex-turn-state"].startswith("ts_")
    assert headers["x-models-etag"]
    assert connect(**{"x-codex-turn-state": "mine"}).socket.getheaders()["x-codex-turn-state"] == "mine"


def test_the_next_response_goes_on_from_the_last(connect):
    socket = connect()
    first = socket.ask("what is a list?")[-1]["response"]["id"]
    assert "what is a list?" in text_of(socket.ask("so far?", previous_response_id=first))


@pytest.mark.parametrize("end", ["failed", "incomplete", "error"])
def test_what_did_not_complete_can_not_be_gone_on_from(service, connect, end):
    socket = connect()
    first = socket.ask("a")[-1]["response"]["id"]
    service.faults.next(end)
    socket.ask("b", previous_response_id=first)
    refused = socket.ask("c", previous_response_id=first)
    assert [event["type"] for event in refused] == ["error"]
    assert refused[0]["error"]["code"] == "previous_response_not_found"


def test_a_response_of_another_connection_is_not_known(connect):
    elsewhere = connect().ask("a")[-1]["response"]["id"]
    [refused] = connect().ask("b", previous_response_id=elsewhere)
    assert (refused["status"], refused["error"]["code"]) == (400, "previous_response_not_found")


def test_a_warm_up_runs_no_model_and_can_be_gone_on_from(connect):
    socket = connect()
    warm = socket.ask("what is a list?", generate=False)
    assert [event["type"] for event in warm if event["type"].startswith("response.output")] == []
    going_on = socket.ask("so far?", previous_response_id=warm[-1]["response"]["id"])
    assert "what is a list?" in text_of(going_on)


def test_a_tool_call_is_answered_with_its_output_alone(connect):
    socket = connect()
    tools = [{"type": "function", "name": "look", "parameters": {}}]
    called = socket.ask("use the tool look with {}", tools=tools)
    [call] = [
        event["item"]
        for event in called
        if event["type"] == "response.output_item.done" and event["item"]["type"] == "function_call"
    ]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "a lamp"}
    answer = socket.ask(tools=tools, input=[output], previous_response_id=called[-1]["response"]["id"])
    assert "a lamp" in text_of(answer)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"store": True}, "Store must be set to false"),
        ({"temperature": 1}, "Unsupported parameter: temperature"),
        ({"input": "hi"}, "Input must be a list"),
        ({"model": "nobody"}, "nobody"),
    ],
)
def test_what_a_post_refuses_is_refused(connect, changes, said):
    [refused] = connect().ask(**changes)
    assert (refused["type"], refused["status"]) == ("error", 400)
    assert said in refused["error"]["message"]


def test_the_lite_dialect_is_told_in_the_metadata(connect):
    metadata = {"ws_request_header_x_openai_internal_codex_responses_lite": "true"}
    [refused] = connect().ask(client_metadata=metadata)
    assert "Lite" in refused["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("usage_limit", 429, "usage_limit_reached"),
        ("overloaded", 503, "server_is_overloaded"),
        ("token_expired", 401, "token_expired"),
        ("websocket_connection_limit_reached", 400, "websocket_connection_limit_reached"),
        ("previous_response_not_found", 400, "previous_response_not_found"),
    ],
)
def test_a_refusal_comes_as_an_error_event(service, connect, kind, status, code):
    service.faults.next(kind)
    [refused] = connect().ask()
    assert refused["status"] == status
    assert code in (refused["error"].get("code"), refused["error"]["type"])


def test_a_connection_at_its_limit_is_closed(service, connect):
    service.faults.next("websocket_connection_limit_reached")
    socket = connect()
    socket.ask()
    assert socket.socket.recv() == ""


def test_a_binary_message(service, connect):
    service.faults.next("binary_frame")
    socket = connect()
    socket.send()
    kinds = [socket.socket.recv_data()[0] for _ in range(2)]
    assert kinds == [websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY]


def test_a_connection_breaks_in_the_middle(service, connect):
    service.faults.next("drop")
    socket = connect()
    socket.send()
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        socket.rest()


def test_an_interrupted_response_ends_and_the_connection_stays(service, connect):
    service.faults.next("hold")
    socket = connect()
    socket.send("explain")
    running = socket.until("response.created")["response"]["id"]
    service.wait_for_hold()
    socket.tell({"type": "response.interrupt", "response_id": running, "mode": "discard_partial_items"})
    assert socket.until("response.interrupt.accepted")["response_id"] == running
    assert socket.read()["type"] == "response.incomplete"
    assert text_of(socket.ask("echo: on")) == "on"


def test_what_does_not_run_can_not_be_interrupted(connect):
    socket = connect()
    socket.tell({"type": "response.interrupt", "response_id": "resp_1"})
    assert socket.read()["type"] == "response.interrupt.failed"


def test_two_at_once_are_one_too_many(service, connect):
    service.faults.next("hold")
    socket = connect()
    socket.send("explain")
    service.wait_for_hold()
    socket.send("echo: me too")
    assert "in progress" in socket.until("error")["error"]["message"]


def test_leaving_in_the_middle_is_noticed(service, connect):
    service.faults.next("hold")
    socket = connect()
    socket.send("explain")
    service.wait_for_hold()
    socket.socket.shutdown()
    assert service.wait_for_disconnect().method == MESSAGE


@pytest.mark.parametrize(
    ("kind", "status"), [("unauthorized", 401), ("cloudflare", 403), ("overloaded", 503)]
)
def test_a_handshake_can_be_refused(service, connect, kind, status):
    service.faults.next(kind, path=HANDSHAKE)
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        connect()
    assert refused.value.status_code == status


def test_nobody_gets_in_without_a_token(connect):
    with pytest.raises(websocket.WebSocketBadStatusException, match="401"):
        connect(Authorization="Bearer nonsense")


def test_a_post_goes_the_usual_way(client):
    assert client.text("echo: posted") == "posted"


def test_a_service_without_websockets_wants_a_post():
    with start() as service, pytest.raises(websocket.WebSocketBadStatusException, match="426"):
        Socket(RawClient(service))


def test_closing_the_service_closes_its_sockets(service, connect):
    service.faults.next("hold")
    socket = connect()
    socket.send("explain")
    service.wait_for_hold()
    service.close()
    with pytest.raises((websocket.WebSocketException, OSError)):
        socket.rest()


def test_messages_are_recorded(service, connect):
    connect(**{"X-Probe": "1"}).ask(input=[user("hi")])
    handshake, message = service.requests
    assert (handshake.method, message.method) == ("GET", MESSAGE)
    assert message.json["type"] == "response.create"
    assert message.headers["x-probe"] == "1"
