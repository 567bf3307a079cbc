"""The app-server's errors as ours."""

import json

import pytest

from codex_magic.engines.app_server.failures import refused, turn_failure
from codex_magic.engines.app_server.messages import RpcError
from codex_magic.protocol.errors import (
    AuthError,
    ContextWindowError,
    InvalidParamsError,
    InvalidRequestError,
    JsonRpcError,
    MethodNotFoundError,
    RateLimitError,
    ServerBusyError,
    ServiceError,
    StreamError,
    UnreachableError,
    UsageLimitError,
)
from codex_magic.protocol.types import TurnError
from tests.known import the


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-32001, "Server overloaded; retry later.", ServerBusyError),
        (-32600, "Invalid request: unknown variant `x`, expected one of …", MethodNotFoundError),
        (-32600, "Invalid request: missing field `threadId`", InvalidParamsError),
        (-32600, "failed to load configuration: unknown variant `bogus`", JsonRpcError),
        (-32601, "list_turns is not supported yet", MethodNotFoundError),
        (-32600, "thread not found: x", JsonRpcError),
        (-32603, "internal", JsonRpcError),
    ],
)
def test_a_refused_request(code, message, kind):
    error = refused("thread/start", RpcError(code, message))
    assert type(error) is kind
    assert the(JsonRpcError, error).code == code
    assert "thread/start" in str(error)


def test_a_list_of_all_methods_is_cut():
    assert len(str(refused("m", RpcError(-32600, "unknown variant " + "x " * 9000)))) < 500


def test_too_much_text_is_said_with_both_numbers():
    data = {"input_error_code": "input_too_large", "max_chars": 1048576, "actual_chars": 2000000}
    assert "2,000,000" in str(refused("turn/start", RpcError(-32602, "no", data)))


def test_what_the_service_refused_is_told_in_its_words():
    body = {"error": {"message": "No such effort.", "param": "reasoning.effort", "code": "unsupported_value"}}
    failure = turn_failure(TurnError(json.dumps(body), "other"))
    assert isinstance(failure, InvalidRequestError)
    assert failure.message == "The service refused the request: No such effort."
    assert failure.code == "unsupported_value"


@pytest.mark.parametrize(
    ("info", "kind"),
    [
        ("contextWindowExceeded", ContextWindowError),
        ("usageLimitExceeded", UsageLimitError),
        ("rateLimitExceeded", RateLimitError),
        ("serverOverloaded", ServiceError),
        ("unauthorized", AuthError),
        ("badRequest", InvalidRequestError),
        ("fromTheFuture", ServiceError),
        (None, ServiceError),
        ({"httpConnectionFailed": {"httpStatusCode": 401}}, AuthError),
        ({"httpConnectionFailed": {"httpStatusCode": None}}, UnreachableError),
        ({"responseStreamDisconnected": {"httpStatusCode": None}}, StreamError),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 429}}, RateLimitError),
        ({"responseTooManyFailedAttempts": {"httpStatusCode": 503}}, ServiceError),
    ],
)
def test_a_failed_turn(info, kind):
    assert type(turn_failure(TurnError("it went wrong", info))) is kind


def test_no_secret_is_repeated():
    assert "sk-abcdefgh" not in str(turn_failure(TurnError("key sk-abcdefgh refused", "unauthorized")))
