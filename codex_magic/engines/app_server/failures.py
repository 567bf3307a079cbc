"""The app-server's failures as errors of ours."""

from __future__ import annotations

from collections.abc import Callable

from ...net import one_line
from ...protocol import errors
from ...protocol.secrets import masked
from ...protocol.types import TurnError
from ...responses.failures import from_answer
from .messages import RpcError

OVERLOADED = -32001
LONGEST_INPUT = 1_048_576
"""Characters of text that the app-server takes for one turn."""


def refused(method: str, error: RpcError) -> errors.CodexError:
    """Return the error for a refused request. The server says -32600 where JSON-RPC has other codes."""
    if isinstance(error.data, dict) and error.data.get("input_error_code") == "input_too_large":
        return input_too_long(error.data["actual_chars"])
    kind = errors.JsonRpcError
    if error.code == OVERLOADED:
        kind = errors.ServerBusyError
    elif error.code == -32601 or error.message.startswith("Invalid request: unknown variant"):
        kind = errors.MethodNotFoundError
    elif error.code == -32602 or error.message.startswith("Invalid request:"):
        kind = errors.InvalidParamsError
    message = f"The app-server refused {method}: {one_line(error.message)}"
    return kind(message, code=error.code, data=masked(error.data))


def input_too_long(characters: int) -> errors.InvalidRequestError:
    return errors.InvalidRequestError(
        f"The prompt has {characters:,} characters; the agent takes {LONGEST_INPUT:,}.",
        hint="Put the text into a file and name the file.",
        code="input_too_large",
    )


def turn_failure(error: TurnError | None) -> errors.CodexError:
    """Return the error for a failed turn, by its `codexErrorInfo`: a word, or a word with an HTTP status."""
    if error is None:
        return errors.ServiceError("The agent's turn failed without saying why.")
    info, status = error.codex_error_info, None
    if isinstance(info, dict) and info:
        info, details = next(iter(info.items()))
        status = details.get("httpStatusCode") if isinstance(details, dict) else None
    if info == "other" and error.message.startswith("{"):
        return from_answer(400, {}, error.message.encode())  # a refusal arrives as its bare body
    return _FAILURES.get(str(info), _service_error)(one_line(error.message), status)


def _service_error(message: str, status: int | None) -> errors.CodexError:
    return errors.ServiceError(message, status=status)


def _connection_failed(message: str, status: int | None) -> errors.CodexError:
    if status in (401, 403):
        return errors.AuthError(message)
    return errors.RateLimitError(message) if status == 429 else _service_error(message, status)


def _unreachable(message: str, status: int | None) -> errors.CodexError:
    return errors.UnreachableError(message) if status is None else _connection_failed(message, status)


_FAILURES: dict[str, Callable[[str, int | None], errors.CodexError]] = {
    "contextWindowExceeded": lambda message, _: errors.ContextWindowError(message),
    "sessionBudgetExceeded": lambda message, _: errors.UsageLimitError(message),
    "usageLimitExceeded": lambda message, _: errors.UsageLimitError(message),
    "rateLimitExceeded": lambda message, _: errors.RateLimitError(message),
    "serverOverloaded": lambda message, _: errors.ServiceError(message, code="server_is_overloaded"),
    "unauthorized": lambda message, _: errors.AuthError(message),
    "badRequest": lambda message, _: errors.InvalidRequestError(message),
    "cyberPolicy": lambda message, _: errors.InvalidRequestError(message, code="cyber_policy"),
    "httpConnectionFailed": _unreachable,
    "responseStreamConnectionFailed": _unreachable,
    "responseStreamDisconnected": lambda message, _: errors.StreamError(message),
    "responseTooManyFailedAttempts": _connection_failed,
}
