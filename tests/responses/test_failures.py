"""What a service says about a failure becomes one sentence of ours, without secrets."""

from __future__ import annotations

import base64
import email.utils
import json
import time
from typing import Any

import pytest

from codex_magic.net import scrub
from codex_magic.protocol.errors import (
    AuthError,
    BlockedError,
    CodexError,
    ContextWindowError,
    InvalidRequestError,
    ModelNotFoundError,
    RateLimitError,
    ServiceError,
    UsageLimitError,
)
from codex_magic.responses.failures import from_answer, from_event

PAGE = b"<!DOCTYPE html><html><title>Just a moment...</title></html>"


def answered(status: int, body: Any = b"", headers: dict[str, str] | None = None, **more: Any) -> CodexError:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_answer(status, headers or {}, text, **more)


@pytest.mark.parametrize(
    ("status", "body", "error", "word"),
    [
        (400, {"detail": "Instructions are required"}, InvalidRequestError, "Instructions are required"),
        (400, {"detail": [{"loc": ["body", "input"]}]}, InvalidRequestError, "loc"),
        (400, {"error": {"message": "Bad", "param": "x", "code": "c"}}, InvalidRequestError, "Bad"),
        (400, {"error": {"code": "context_length_exceeded"}}, ContextWindowError, "longer"),
        (400, {"error": "plain words"}, InvalidRequestError, "plain words"),
        (400, b"not JSON \xff", InvalidRequestError, "not JSON"),
        (404, b"", InvalidRequestError, "address"),
        (401, {"detail": "Unauthorized"}, AuthError, "Unauthorized"),
        (401, {"error": {"code": "token_expired"}}, AuthError, "expired"),
        (401, {"error": {"code": "token_invalidated"}}, AuthError, "ended"),
        (401, {"error": {"code": "token_revoked"}}, AuthError, "revoked"),
        (403, {"detail": "No"}, AuthError, "No"),
        (403, PAGE, BlockedError, "web page"),
        (404, PAGE, InvalidRequestError, "address"),
        (302, b"", BlockedError, "redirects"),
        (429, {"error": {"type": "usage_limit_reached"}}, UsageLimitError, "limit"),
        (429, {"error": {"type": "usage_not_included"}}, AuthError, "plan"),
        (429, {"error": {"code": "insufficient_quota"}}, UsageLimitError, "quota"),
        (429, {"error": {"message": "Slow"}}, RateLimitError, "Slow"),
        (429, b"", RateLimitError, "Too many"),
        (500, b"oops", ServiceError, "oops"),
        (502, PAGE, ServiceError, "502"),
        (503, {"error": {"code": "server_is_overloaded"}}, ServiceError, "capacity"),
    ],
)
def test_an_answer(status: int, body: Any, error: type[CodexError], word: str) -> None:
    failure = answered(status, body)
    assert type(failure) is error
    assert word in str(failure)
    assert failure.hint or error is InvalidRequestError


def test_a_challenge_page_blocks_whatever_its_status() -> None:
    assert isinstance(answered(503, PAGE, {"cf-mitigated": "challenge"}), BlockedError)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "Model not found gpt-5x"}},
        {"detail": "The 'gpt-5x' model is not supported when using Codex with a ChatGPT account."},
        {"error": {"code": "model_not_found", "message": "nope"}},
        {"error": {"message": "The model `gpt-5x` does not exist or you do not have access to it."}},
    ],
)
def test_a_missing_model_is_told_with_near_names(body: Any) -> None:
    failure = answered(400, body, model="gpt-5x", names=["gpt-5x", "gpt-5.5", "gpt-5.6-sol", "other"])
    assert isinstance(failure, ModelNotFoundError)
    assert failure.near == ("gpt-5.5", "gpt-5.6-sol")


def test_a_usage_limit_says_when_and_which() -> None:
    error = {"type": "usage_limit_reached", "plan_type": "plus", "resets_at": 1795217439}
    headers = {"x-codex-primary-used-percent": "100", "x-codex-primary-window-minutes": "300"}
    failure = answered(429, {"error": error}, headers)
    assert isinstance(failure, UsageLimitError)
    assert (failure.resets_at, failure.plan, failure.window) == (1795217439, "plus", 300)


def test_a_usage_limit_that_says_nothing() -> None:
    error = {"type": "usage_limit_reached", "resets_at": None, "resets_in_seconds": None}
    failure = answered(429, {"error": error})
    assert isinstance(failure, UsageLimitError)
    assert failure.resets_at is None


def test_a_usage_limit_with_only_the_seconds_left() -> None:
    failure = answered(429, {"error": {"type": "usage_limit_reached", "resets_in_seconds": 3600}})
    assert isinstance(failure, UsageLimitError)
    assert failure.resets_at is not None
    assert abs(failure.resets_at - time.time() - 3600) < 60


@pytest.mark.parametrize("when", [9e11, -5, "soon", []])
def test_a_reset_that_is_no_date(when: Any) -> None:
    failure = answered(429, {"error": {"type": "usage_limit_reached", "resets_at": when}})
    assert isinstance(failure, UsageLimitError)
    assert failure.resets_at is None


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"Retry-After": "1.5"}, "", 1.5),
        ({"retry-after": email.utils.formatdate(0, usegmt=True)}, "", 0.0),
        ({"retry-after": "soon"}, "", None),
        ({"retry-after": "Mon, 45 Jan 99999999999 00:00:00 GMT"}, "", None),
        ({}, "Rate limit. Please try again in 1.5s.", 1.5),
        ({}, "Try again in 120ms", 0.12),
        ({}, "try again in 20 seconds", 20.0),
        ({}, "Slow down", None),
    ],
)
def test_the_pause_a_service_asks_for(headers: dict[str, str], message: str, seconds: float | None) -> None:
    failure = answered(429, {"error": {"message": message}}, headers)
    assert isinstance(failure, RateLimitError)
    assert failure.retry_after == seconds


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ({"code": "context_length_exceeded", "message": "x"}, None, ContextWindowError),
        ({"code": "cyber_policy", "message": "x"}, None, InvalidRequestError),
        ({"code": "invalid_prompt", "message": "x"}, None, InvalidRequestError),
        ({"code": "insufficient_quota", "message": "x"}, None, UsageLimitError),
        ({"code": "usage_not_included", "message": "x"}, None, AuthError),
        ({"code": "rate_limit_exceeded", "message": "x"}, None, RateLimitError),
        ({"code": "server_is_overloaded", "message": "x"}, None, ServiceError),
        ({"code": "new_code", "message": "x"}, None, ServiceError),
        ({"message": "x"}, 429, RateLimitError),
        ({"code": "token_expired"}, 401, AuthError),
        ({"message": "x"}, 400, InvalidRequestError),
        ("just words", None, ServiceError),
        (None, None, ServiceError),
    ],
)
def test_a_failure_inside_a_stream(error: Any, status: int | None, kind: type[CodexError]) -> None:
    assert type(from_event(error, status=status)) is kind


@pytest.mark.parametrize(
    "secret",
    [
        "Bearer abc.def",
        "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "sk-proj-abcdefghijklmnop",
        "sk-abc***********xyz",
        "rt_0123456789abcdef",
        "sess-0123456789abcdef",
    ],
)
def test_secrets_of_a_text_are_hidden(secret: str) -> None:
    failure = answered(401, {"error": {"message": f"Incorrect API key provided: {secret}. Go away."}})
    for word in secret.split():
        assert word == "Bearer" or word not in str(failure)
    assert "Go away" in str(failure)


def test_ordinary_words_are_not_secrets() -> None:
    text = "Ask risk-averse people, at_least_once; sk-learn, eyewitness.testimony, the attribute is rt."
    assert scrub(text) == text


def test_a_long_text_is_cut_to_one_line() -> None:
    failure = answered(500, b"line\n" * 500)
    assert "\n" not in str(failure)
    assert len(str(failure)) < 450


def test_every_refusal_names_its_status_and_request() -> None:
    for status in (400, 401, 403, 404, 429, 500):
        failure = answered(status, {"detail": "No"}, {"X-Request-Id": "req"})
        assert (failure.status, failure.request_id) == (status, "req")
    assert answered(500, b"", {"x-oai-request-id": "oai"}).request_id == "oai"


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"x-error-json": base64.b64encode(b'{"error":{"code":"token_revoked"}}').decode()}, "revoked"),
        ({"x-error-json": "not base64", "x-openai-authorization-error": "no seat"}, "no seat"),
        ({"x-error-json": base64.b64encode(b"no JSON").decode()}, "refused"),
    ],
)
def test_an_answer_without_words_is_read_from_its_headers(headers: dict[str, str], word: str) -> None:
    failure = answered(401, b"", headers)
    assert isinstance(failure, AuthError)
    assert word in failure.message


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ({"code": "invalid_encrypted_content"}, "sealed"),
        ({"code": "previous_response_not_found"}, "response.output"),
        ({"code": "cyber_policy"}, "rephrase"),
        ({"code": "invalid_value", "param": "input[0].content[1].image_url"}, "PNG"),
    ],
)
def test_a_refusal_says_what_to_do(error: dict[str, str], word: str) -> None:
    assert word in answered(400, {"error": {"message": "No", **error}}).hint


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 5000 + b"]" * 5000,
        b'{"error":' * 5000 + b"1" + b"}" * 5000,
        b"12345",
        b"null",
        b"[]",
        b'"text"',
        b"\xff",
        b'{"error": 5}',
        b'{"detail": {}}',
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 418, 422, 429, 500, 599])
def test_any_body_at_all_is_an_error_of_ours(status: int, body: bytes) -> None:
    failure = answered(status, body)
    assert failure.message.endswith((".", "…"))
