"""What servers, gateways and proxies were seen to send in place of what the documentation says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from codex_magic.protocol.errors import (
    AuthError,
    BlockedError,
    CodexError,
    InvalidRequestError,
    RateLimitError,
    ServiceError,
    StreamError,
)
from codex_magic.protocol.secrets import hide
from tests.responses.conftest import Asker
from tests.responses.wire import CREATED, HANG, Wire, event, good, message, plain, stream

BROKE = {"message": "Insufficient credits.", "code": 402}


def frame(data: Any, name: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


# Errors inside a stream ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        frame({"error": BROKE}),
        frame({"error": BROKE}, "error"),
        frame(BROKE, "error"),
        frame(BROKE),
        frame({"type": "response.error", "error": BROKE}),
        frame({"type": "error", "error": BROKE, "param": {"a": 1}, "status": "402"}),
        frame({"type": "error", **BROKE, "param": {"a": 1}}),
        frame({"error": "Insufficient credits."}),
        frame("Insufficient credits.", "error"),
        frame({"type": None, "error": {"error": BROKE}}),
        frame({"success": False, "errors": [BROKE]}),
        frame({"type": "insufficient_credits_error", **BROKE}),
        event("error", error=None, code=None, message=None)
        + event("response.failed", response={"error": BROKE}),
        event("response.failed", error=BROKE),
        event("response.failed", response={"error": None}) + event("error", **BROKE),
        event("response.failed", response={"error": None}) + frame({"error": BROKE}),
    ],
)
@pytest.mark.parametrize("before", [b"", CREATED], ids=["first", "later"])
def test_an_error_in_any_shape_is_final_and_in_its_own_words(
    ask: Asker, wire: Wire, data: bytes, before: bytes
) -> None:
    wire.answer(stream(before + data))
    with pytest.raises(InvalidRequestError, match="Insufficient credits"):
        ask()
    assert len(wire.requests) == 1


@pytest.mark.parametrize("rest", [[HANG], []], ids=["held open", "ended"])
def test_a_failure_without_a_reason_does_not_wait_long_for_one(
    ask: Asker, wire: Wire, rest: list[Any]
) -> None:
    wire.answer(stream(CREATED, event("response.failed", response={"error": None}), *rest))
    with pytest.raises(ServiceError):
        ask()


def test_an_event_is_named_by_its_line_where_its_payload_is_not(ask: Asker, wire: Wire) -> None:
    pieces = [frame({"delta": "Hello"}, "response.output_text.delta"), message("Hello")]
    wire.answer(stream(CREATED, *pieces, frame({"response": {}}, "response.completed")))
    assert ask().output_text == "Hello"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "400"}, InvalidRequestError),
        ({"code": 400}, InvalidRequestError),
        ({"code": 422.0}, InvalidRequestError),
        ({"code": "401"}, AuthError),
        ({"code": 403}, AuthError),
        ({"status": "429"}, RateLimitError),
        ({"code": 429}, RateLimitError),
        ({"type": "rate_limit_error"}, RateLimitError),
        ({"code": "too_many_requests"}, RateLimitError),
        ({"type": "invalid_request_error", "code": None}, InvalidRequestError),
        ({"type": "BadRequestError"}, InvalidRequestError),
        ({"type": "authentication_error"}, AuthError),
        ({"code": "invalid_api_key"}, AuthError),
        ({"type": "permission_error"}, AuthError),
        ({"code": "503"}, ServiceError),
        ({"type": "overloaded_error"}, ServiceError),
        ({"code": "server_error"}, ServiceError),
    ],
)
def test_numbers_and_words_of_an_error_are_read(
    ask: Asker, wire: Wire, error: dict[str, Any], kind: type[CodexError]
) -> None:
    wire.answer(stream(CREATED, frame({"type": "error", "error": {"message": "No.", **error}})))
    with pytest.raises(CodexError, match="No") as caught:
        ask()
    assert type(caught.value) is kind
    assert len(ask.retried) == (5 if kind in (RateLimitError, ServiceError) else 0)


# JSON in place of a stream -----------------------------------------------------------------------------

ITEM = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}
WHOLE = {"id": "resp_1", "object": "response", "status": "completed", "output": [ITEM]}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WHOLE),
        json.dumps(WHOLE) + "\n\n",
        "\n" + json.dumps(WHOLE, indent=2) + "\n",
        json.dumps(WHOLE, indent=2).replace("{\n", "{\n\n").replace("\n", "\r\n"),
        "\n".join(json.dumps(json.loads(piece.split(b"data: ")[1])) for piece in good()),
    ],
    ids=["one line", "blank line after", "indented", "blank lines inside", "a line for each event"],
)
def test_an_answer_as_json_is_read(ask: Asker, wire: Wire, text: str) -> None:
    wire.answer(stream(text[:40].encode(), text[40:].encode(), content_type="application/json"))
    assert ask().output_text == "Hello"
    assert "Hello" in "".join(getattr(each, "delta", "") for each in ask.events)


@pytest.mark.parametrize(
    "body", [{"error": BROKE}, BROKE, {"detail": "Insufficient credits."}, [{"error": BROKE}]]
)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_error_as_json_in_a_200_is_read(ask: Asker, wire: Wire, body: Any, indent: int | None) -> None:
    wire.answer(plain(200, json.dumps(body, indent=indent).encode()))
    with pytest.raises(InvalidRequestError, match="Insufficient credits"):
        ask()
    assert len(wire.requests) == 1


@pytest.mark.parametrize("depth", [90, 5000])
def test_an_error_under_deep_json(ask: Asker, wire: Wire, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    wire.answer(plain(200, b'{"error": {"message": "No.", "code": 400, "more": %s}}' % deep))
    with pytest.raises(InvalidRequestError, match="No"):
        ask()


def test_a_response_as_json_tells_its_failure(ask: Asker, wire: Wire) -> None:
    failed = {
        **WHOLE,
        "status": "failed",
        "output": [],
        "error": {"code": "invalid_prompt", "message": "No."},
    }
    wire.answer(plain(200, failed))
    with pytest.raises(InvalidRequestError, match="No"):
        ask()


def test_a_web_page_without_a_type_in_a_200(ask: Asker, wire: Wire) -> None:
    wire.answer(plain(200, b"\n<!doctype html><html>Sign in to the network</html>"))
    with pytest.raises(BlockedError, match="web page"):
        ask()
    assert len(wire.requests) == 1


@pytest.mark.parametrize("size", [1, 1000], ids=["in single bytes", "at once"])
def test_a_text_in_a_200_tells_its_first_words(ask: Asker, wire: Wire, size: int) -> None:
    hide(key := "a-key-that-nobody-may-read")
    text = f"upstream connect error, {key}\nreset: ".encode() + b"overflow " * 60
    wire.answer(stream(*(text[at : at + size] for at in range(0, len(text), size))))
    with pytest.raises(StreamError, match=r"upstream connect error.*reset: overflow") as caught:
        ask()
    assert key not in str(caught.value)
    assert len(caught.value.message) < 400


@pytest.mark.parametrize("body", [b": only\n: comments\n\n", b"event: x\nid: 1\n\n", b""])
def test_a_stream_without_events_has_no_words(ask: Asker, wire: Wire, body: bytes) -> None:
    wire.answer(stream(body))
    with pytest.raises(StreamError, match="ended before"):
        ask()


# Statuses of proxies -------------------------------------------------------------------------------------

PAGE = b"<html><body>nginx</body></html>"


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503, 504, 507, 520, 522, 524, 529, 530])
@pytest.mark.parametrize(
    "body", [b"", PAGE, b'{"error":{"message":"Later."}}'], ids=["empty", "page", "json"]
)
def test_a_failure_that_may_pass_is_tried_again(ask: Asker, wire: Wire, status: int, body: bytes) -> None:
    wire.answer(plain(status, body), stream(*good("Hello")))
    assert ask().output_text == "Hello"
    assert isinstance(ask.retried[0], ServiceError)
    assert str(status) in str(ask.retried[0])


@pytest.mark.parametrize("status", [400, 401, 402, 405, 413, 422, 501])
def test_a_page_with_a_refusal_is_no_blocked_network(ask: Asker, wire: Wire, status: int) -> None:
    wire.answer(plain(status, PAGE, content_type="text/html"))
    with pytest.raises(CodexError) as caught:
        ask()
    assert not isinstance(caught.value, BlockedError)
    assert len(wire.requests) == 1


# Waits in words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 7m12s.", 432.0),
        ("Please try again in 2m3.5s", 123.5),
        ("try again in 6h12m43s", 22363.0),
        ("Try again in 1h0m.", 3600.0),
        ("try again in 350ms", 0.35),
        ("Retry after 2 minutes and 5 seconds.", 125.0),
        ("Please wait 1 hour before you go on", 3600.0),
        ("Try again in about 3 days", 259200.0),
        ("Try again later: 3 models are busy", None),
    ],
)
@pytest.mark.parametrize("where", ["answer", "stream", "header"])
def test_a_wait_in_words(ask: Asker, wire: Wire, words: str, seconds: float | None, where: str) -> None:
    error = {"code": "rate_limit_exceeded", "message": f"{'Rate limit. ' * 40}{words}"}
    if where == "stream":
        wire.answer(stream(event("error", error=error)))
    elif where == "answer":
        wire.answer(plain(429, {"error": error}))
    else:
        wire.answer(plain(429, retry_after=words.rpartition(" in ")[2]))
    with pytest.raises(RateLimitError) as caught:
        ask()
    if where != "header" or " in " in words:
        assert caught.value.retry_after == seconds
    assert len(wire.requests) == (1 if (caught.value.retry_after or 0) > 60 else 6)


@pytest.mark.parametrize("header", ["\u00b2".encode().decode("latin-1"), "-1", "nan", "inf", "1e400"])
def test_a_pause_that_is_no_number_of_seconds(ask: Asker, wire: Wire, header: str) -> None:
    wire.answer(plain(429, retry_after=header))
    with pytest.raises(RateLimitError):
        ask()


# Advice ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [plain(401), plain(403), stream(event("error", code=401)), plain(403, PAGE)]
)
def test_advice_is_for_the_provider_that_failed(ask: Asker, wire: Wire, answer: Any) -> None:
    wire.answer(answer)
    with pytest.raises(CodexError) as caught:
        ask()
    assert caught.value.hint
    assert "chatgpt" not in caught.value.hint
    assert "codex login" not in caught.value.hint


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_names_its_target_as_the_next_step(ask: Asker, wire: Wire, status: int) -> None:
    wire.answer(plain(status, location="https://user:secret@example.com/v1/responses/?token=hidden"))
    with pytest.raises(BlockedError, match=r"https://example\.com/v1/responses") as caught:
        ask()
    assert caught.value.hint.endswith("`%codex provider https://example.com/v1`")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
