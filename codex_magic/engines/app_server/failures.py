"""The app-server's failures as errors of ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...net import one_line
from ...protocol import errors
from ...protocol.secrets import masked
from ...protocol.types import TurnError
from ...responses.failures import from_answer
from .messages import RpcError

LONGEST_INPUT = 1_048_576  # characters of text that the app-server takes for one turn


INVALID_CONFIGURATION = "Invalid configuration; using defaults."
"""How the warning begins with which it starts in spite of its config.toml; a turn is refused later."""

WAITING = "waiting for network"
_UNREACHED = ("workspace routing discovery failed", "error sending request", WAITING)
"""Words of the app-server where the service can't be reached. It never says why."""


def refused(method: str, error: RpcError) -> errors.CodexError:
    """Return the error for a refused request. The server says -32600 where JSON-RPC has other codes."""
    if isinstance(error.data, dict) and error.data.get("input_error_code") == "input_too_large":
        return input_too_long(error.data["actual_chars"])
    if any(words in error.message for words in _UNREACHED):
        return unreachable(error.message)
    kind = errors.JsonRpcError
    if error.code == -32001:  # overloaded
        kind = errors.ServerBusyError
    elif error.code == -32601 or error.message.startswith("Invalid request: unknown variant"):
        kind = errors.MethodNotFoundError
    elif error.code == -32602 or error.message.startswith("Invalid request:"):
        kind = errors.InvalidParamsError
    message = f"The codex program refused {method}: {one_line(error.message)}"
    return kind(message, code=error.code, data=masked(error.data))


def unreachable(message: str) -> errors.UnreachableError:
    behind = "behind a proxy or a company's certificate, HTTPS_PROXY and CODEX_CA_CERTIFICATE"
    hint = f"Check the network; {behind}."
    return errors.UnreachableError(f"The agent can't reach the service ({one_line(message)}).", hint=hint)


def invalid_configuration(details: str) -> errors.ConfigurationError:
    """`details`: the file, the line and the reason, as far as the app-server says them."""
    message = f"The agent's configuration can't be used: {one_line(details.strip(': ')).rstrip('.')}."
    return errors.ConfigurationError(message, hint="Correct it, then run the cell again.")


def input_too_long(characters: int) -> errors.InvalidRequestError:
    message = f"The prompt has {characters:,} characters; the agent accepts {LONGEST_INPUT:,}."
    hint = "Save the text in a file, and ask the agent to read the file."
    return errors.InvalidRequestError(message, hint=hint, code="input_too_large")


def turn_failure(error: TurnError | None) -> errors.CodexError:
    """Return the error for a failed turn, by its `codexErrorInfo`: a word, or a word with an HTTP status."""
    if error is None:
        return errors.ServiceError("The agent's turn failed and gave no reason.")
    info, status = error.codex_error_info, None
    if isinstance(info, dict) and info:
        info, details = next(iter(info.items()))
        status = details.get("httpStatusCode") if isinstance(details, dict) else None
    if info == "other" and error.message.startswith("{"):
        return from_answer(400, {}, error.message.encode())  # a refusal arrives as its bare body
    if any(words in error.message for words in _UNREACHED) or (info in _CONNECTIONS and status is None):
        return unreachable(error.message)
    if info in _CONNECTIONS:
        info = status
    kind = _KINDS.get(info) if isinstance(info, str | int) else None
    return (kind or partial(errors.ServiceError, status=status))(one_line(error.message))


_CONNECTIONS = ("httpConnectionFailed", "responseStreamConnectionFailed", "responseTooManyFailedAttempts")

_KINDS: dict[str | int, Callable[[str], errors.CodexError]] = {
    "contextWindowExceeded": errors.ContextWindowError,
    "sessionBudgetExceeded": errors.UsageLimitError,
    "usageLimitExceeded": errors.UsageLimitError,
    "rateLimitExceeded": errors.RateLimitError,
    429: errors.RateLimitError,
    "serverOverloaded": partial(errors.ServiceError, code="server_is_overloaded"),
    "unauthorized": errors.AuthError,
    401: errors.AuthError,
    403: errors.AuthError,
    "badRequest": errors.InvalidRequestError,
    "cyberPolicy": partial(errors.InvalidRequestError, code="cyber_policy"),
    "responseStreamDisconnected": errors.StreamError,
}
