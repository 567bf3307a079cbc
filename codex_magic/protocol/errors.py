"""Every error this package raises on purpose.

CodexError                     one sentence (`message`) and what to do next (`hint`)
├── OptionError                a wrong option, command or setting
├── ConfigurationError         nothing to work with: no model, no provider, no such file
├── NoStoredAnswerError        a question that is only to be replayed was never answered
├── AuthError                  the service refused the credentials
│   ├── NotSignedInError       there are none
│   ├── AccountChangedError    another account has been signed in meanwhile
│   └── LoginError             a sign-in that did not come about
├── InvalidRequestError        refused by us before sending, or by the service (400)
│   ├── ContextWindowError     the input is longer than the model takes
│   └── ModelNotFoundError     no such model; `near` names the closest ones
├── RateLimitError             too fast (429); `retry_after`
│   └── UsageLimitError        the plan's quota is used up; `resets_at`, `plan`, `window`
├── ServiceError               the service failed or is overloaded (5xx, failed responses)
│   └── BlockedError           a web page came instead of an answer (Cloudflare, a proxy)
├── UnreachableError           no connection; DNS, TLS, refused
│   └── TimedOutError          connected, but nothing came in time
├── StreamError                the stream ended too early or made no sense; `response` is what came
├── ResponseAborted            `abort()` ended it; `response` is what came
├── OutputError                the answer is not what was asked for; its `text` and `response`
│   ├── RefusedError           the model declined
│   ├── TruncatedError         it stopped before the end; `reason`
│   └── InvalidOutputError     no JSON, or not what the schema says
├── JsonRpcError               the app-server refused a request; `code`, `data`
│   ├── MethodNotFoundError    it knows no such request
│   ├── InvalidParamsError     it can't read the request
│   └── ServerBusyError        it is overloaded (-32001); worth another try
├── StoreError                 the thread store can't be read or written
└── ThreadNotFoundError        no such thread
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .secrets import mask


class CodexError(Exception):
    """Base of all errors here. `str(error)` is the sentence and, after it, the hint."""

    hint: str = ""
    response: Any
    """What had arrived of the answer when it failed (a `responses.Response`)."""
    history: Any = None
    """With tools: the input and all that came before the request that failed, to go on with."""
    result: Any = None
    """With a turn: what became of it (a `TurnResult`)."""
    status: int | None
    """The HTTP status that it came with; `None` without one, or inside a stream."""
    request_id: str | None = None
    """What the service's support asks for."""

    def __init__(
        self, message: str, *, hint: str | None = None, status: int | None = None, response: Any = None
    ) -> None:
        self.message = mask(message)
        super().__init__(self.message)
        if hint is not None:
            self.hint = mask(hint)
        self.status = status
        self.response = response

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class OptionError(CodexError):
    """A wrong option, command or setting."""


class ConfigurationError(CodexError):
    """Nothing to work with: no model chosen, an unknown provider, a missing program."""


class NoStoredAnswerError(CodexError):
    """A question that is only to be replayed was never answered, or not with this context and model."""

    hint = "Its words, the cells above, earlier answers or the model differ. Ask anew: `%%codex --again`"

    def __init__(self) -> None:
        super().__init__("There is no stored answer to this question.")


class AuthError(CodexError):
    """The service refused the credentials."""

    hint = "Sign in again: `%codex login` (or `codex login` in a terminal)."


class NotSignedInError(AuthError):
    """No credentials were found."""

    hint = "Sign in with `%codex login` (or `codex login` in a terminal), set OPENAI_API_KEY, or try it without an account: `%codex provider local`"

    def __init__(self, message: str = "You are not signed in.", *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)


class AccountChangedError(AuthError):
    """Another account was signed in to under us; nothing goes on under its name unasked."""

    hint = "Restart the kernel to continue with that account, or sign in again with the other."

    def __init__(self, now: str | None, *, hint: str | None = None) -> None:
        super().__init__(f"The sign-in now belongs to another account ({now or 'unknown'}).", hint=hint)


class LoginError(AuthError):
    """A sign-in that did not come about."""

    hint = "Start the sign-in again."


class InvalidRequestError(CodexError):
    """The request was refused, by us before sending or by the service."""

    def __init__(
        self, message: str, *, hint: str | None = None, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.param = param
        self.code = code


class ContextWindowError(InvalidRequestError):
    """The input is longer than the model's context window."""

    hint = "Start a new thread with `%codex new`, or ask with less context."


class ModelNotFoundError(InvalidRequestError):
    """No such model for this account. `near`: the closest names of the catalog, best first."""

    def __init__(self, model: str, *, near: Sequence[str] = (), message: str | None = None) -> None:
        self.model = model
        self.near = tuple(near)
        hint = f"Did you mean {' or '.join(self.near)}?" if self.near else "List the models: `%codex models`"
        super().__init__(message or f"There is no model {model!r} for this account.", hint=hint)


class RateLimitError(CodexError):
    """Too many requests. `retry_after`: seconds to wait, `None` when the service did not say."""

    hint = "Wait a moment and run the cell again."

    def __init__(self, message: str, *, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class UsageLimitError(RateLimitError):
    """The plan's quota is used up.

    `resets_at`: Unix seconds; `plan`: as the service spells it; `window`: its length in minutes
    (300 is the 5-hour window, 10080 the weekly one). Each `None` when unknown.
    """

    def __init__(
        self,
        message: str = "Your usage limit is reached.",
        *,
        resets_at: int | None = None,
        plan: str | None = None,
        window: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.resets_at = resets_at
        self.plan = plan
        self.window = window
        hint = "Try again later, or use another provider: `%codex provider openai`"
        if resets_at is not None:
            which = f"The {window_name(window)} limit" if window else "It"
            when = datetime.fromtimestamp(resets_at).astimezone()
            hint = f"{which} resets on {when:%a} {when.day} {when:%b, %H:%M}."
        super().__init__(message, retry_after=retry_after, hint=hint)


class ServiceError(CodexError):
    """The service failed. `status`: the HTTP status, `None` for a failure inside a stream."""

    hint = "Run the cell again in a moment."

    def __init__(
        self, message: str, *, status: int | None = None, code: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.code = code


class BlockedError(ServiceError):
    """Got a web page instead of an answer: Cloudflare, a proxy, a sign-in page of the network."""

    hint = "Check the network (VPN, proxy, data-centre address), open chatgpt.com once in a browser, and try again."


class UnreachableError(CodexError):
    """No connection to the service."""

    hint = "Check the network and the provider's address (`%codex provider`)."


class TimedOutError(UnreachableError):
    """The service was reached but sent nothing in time."""

    hint = "Run the cell again, or check the settings: `%codex status`"


class StreamError(CodexError):
    """The stream broke. `response`: what had arrived (a `responses.Response`), or `None`."""

    hint = "What has arrived is kept. Continue with `%codex continue`."


class ResponseAborted(CodexError):
    """The caller's own `abort()` ended the answer. `response`: what had arrived."""

    def __init__(self, message: str = "The answer was aborted.", *, response: Any = None) -> None:
        super().__init__(message, response=response)


class OutputError(CodexError):
    """The answer came, and is not what was asked for. `text`: what the model said; `response`: all of it."""

    def __init__(self, message: str, *, text: str, response: Any, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, response=response)
        self.text = text


class RefusedError(OutputError):
    """The model declined; `text` is what it said."""

    hint = "Rephrase the request."


class TruncatedError(OutputError):
    """The answer stopped before its end. `reason`: `max_output_tokens` or `content_filter`."""

    hint = "Ask for less at once."

    def __init__(self, message: str, *, text: str, response: Any, reason: str | None) -> None:
        super().__init__(message, text=text, response=response)
        self.reason = reason


class InvalidOutputError(OutputError):
    """No JSON, or not what the schema says."""

    hint = "Ask again, or let the model fix it: `parse(..., repair=1)`"


class JsonRpcError(CodexError):
    """The app-server refused a request. `code` and `data` as it sent them."""

    def __init__(self, message: str, *, code: int, data: Any = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.data = data


class MethodNotFoundError(JsonRpcError):
    """The app-server knows no such request: it is too old, or too new."""


class InvalidParamsError(JsonRpcError):
    """The app-server can't read the request."""


class ServerBusyError(JsonRpcError):
    """The app-server has too much to do; the same request may succeed in a moment."""

    hint = "Try again in a moment."


class StoreError(CodexError):
    """The thread store can't be read or written. `is_busy`: another program holds it, for now."""

    def __init__(self, message: str, *, hint: str | None = None, is_busy: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.is_busy = is_busy


class ThreadNotFoundError(CodexError):
    """No thread with that id."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(f"There is no thread {thread_id!r}.", hint="List the threads: `%codex threads`")
        self.thread_id = thread_id


def window_name(minutes: int) -> str:
    """`300` -> "5-hour", `10080` -> "weekly", anything else in its largest whole unit."""
    if minutes == 10080:
        return "weekly"
    for size, unit in ((1440, "day"), (60, "hour")):
        if minutes % size == 0:
            return f"{minutes // size}-{unit}"
    return f"{minutes}-minute"
