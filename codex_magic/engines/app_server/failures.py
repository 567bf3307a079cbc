"""What the app-server says went wrong, as errors of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...net import one_line
from ...protocol.errors import (
    AuthError,
    CodexError,
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
from ...protocol.secrets import masked
from ...protocol.types import TurnError
from ...responses.failures import from_answer
from .framing import RpcError

OVERLOADED = -32001
LONGEST_INPUT = 1_048_576
"""Characters of text that the app-server takes for one turn."""


def refused(method: str, error: RpcError) -> CodexError:
    """The error for a refused request. The server says -32600 where JSON-RPC has other codes."""
    if isinstance(error.data, dict) and error.data.get("input_error_code") == "input_too_large":
        return input_too_long(error.data["actual_chars"])
    return _kind(error)(
        f"The app-server refused {method}: {one_line(error.message)}",
        code=error.code,
        data=masked(error.data),
    )


def _kind(error: RpcError) -> type[JsonRpcError]:
    if error.code == OVERLOADED:
        return ServerBusyError
    if error.code == -32601 or error.message.startswith("Invalid request: unknown variant"):
        return MethodNotFoundError
    if error.code == -32602 or error.message.startswith("Invalid request:"):
        return InvalidParamsError
    return JsonRpcError


def input_too_long(characters: int) -> InvalidRequestError:
    return InvalidRequestError(
        f"The prompt has {characters:,} characters; the agent takes {LONGEST_INPUT:,}.",
        hint="Put the text into a file and name the file.",
        code="input_too_large",
    )


def turn_failure(error: TurnError | None) -> CodexError:
    """The error for a failed turn, by its `codexErrorInfo`: a word, or a word with an HTTP status."""
    if error is None:
        return ServiceError("The agent's turn failed without saying why.")
    word, status = _info(error.codex_error_info)
    if word == "other" and error.message.startswith("{"):
        return from_answer(400, {}, error.message.encode())  # a refusal arrives as its bare body
    return _FAILURES.get(word, _service_error)(one_line(error.message), status)


def _info(info: Any) -> tuple[str, int | None]:
    if isinstance(info, dict) and info:
        word, details = next(iter(info.items()))
        return word, details.get("httpStatusCode") if isinstance(details, dict) else None
    return str(info), None


def _service_error(message: str, status: int | None) -> CodexError:
    return ServiceError(message, status=status)


def _connection_failed(message: str, status: int | None) -> CodexError:
    if status is None:
        return UnreachableError(message)
    return _too_many_attempts(message, status)


def _too_many_attempts(message: str, status: int | None) -> CodexError:
    if status in (401, 403):
        return AuthError(message)
    return RateLimitError(message) if status == 429 else ServiceError(message, status=status)


_FAILURES: dict[str, Callable[[str, int | None], CodexError]] = {
    "contextWindowExceeded": lambda message, _: ContextWindowError(message),
    "sessionBudgetExceeded": lambda message, _: UsageLimitError(message),
    "usageLimitExceeded": lambda message, _: UsageLimitError(message),
    "rateLimitExceeded": lambda message, _: RateLimitError(message),
    "serverOverloaded": lambda message, _: ServiceError(message, code="server_is_overloaded"),
    "unauthorized": lambda message, _: AuthError(message),
    "badRequest": lambda message, _: InvalidRequestError(message),
    "cyberPolicy": lambda message, _: InvalidRequestError(message, code="cyber_policy"),
    "httpConnectionFailed": _connection_failed,
    "responseStreamConnectionFailed": _connection_failed,
    "responseStreamDisconnected": lambda message, _: StreamError(message),
    "responseTooManyFailedAttempts": _too_many_attempts,
}
