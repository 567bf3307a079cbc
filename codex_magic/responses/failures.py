"""What went wrong, as an error of ours: from HTTP answers, from events inside a stream, from httpx.

Texts of the service are quoted, cut to one line and stripped of anything that looks like a secret.
"""

from __future__ import annotations

import base64
import difflib
import email.utils
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import httpx
import msgspec

from ..net import one_line
from ..protocol import errors
from ..protocol.errors import CodexError
from ..protocol.plain import decode_json
from ..protocol.secrets import masked
from ..protocol.types import RateLimits, RateLimitWindow

_MODEL_MISSING = re.compile(r"(?i)model\b.*\b(not found|is not supported|does not exist)|unknown model")
_TOO_LONG = re.compile(
    r"(?i)(exceed|longer|larger|greater|maximum|too long).{0,60}context.?(size|length|window)"
    r"|context.?(size|length|window).{0,40}(exceed|too long)"
)
_NO_MONEY = re.compile(r"(?i)insufficient (credit|balance|fund)|out of credits|payment required")
_UNIT = r"(ms|milliseconds?|d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?)(?![a-z])"
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 0.001, "mil": 0.001}
_AMOUNT = rf"(\d+(?:\.\d+)?) ?{_UNIT}"
_PAUSE = re.compile(rf"\b(?:again|retry|wait)\b\D{{0,16}}?(?:{_AMOUNT}[ ,]*(?:and )?)+", re.IGNORECASE)
"""A wait in words: "try again in 7m12s", "retry after 30 seconds"."""
_FAR_FUTURE = 1e11  # Unix seconds beyond which there is no date to show
_ENDED_SIGN_INS = {
    "token_expired": "Your sign-in has expired.",
    "token_invalidated": "Your sign-in was ended by the service (signed out, or a changed password).",
    "token_revoked": "Your sign-in was revoked.",
}
_HINTS = {
    "invalid_encrypted_content": (
        "Reasoning is sealed for one account and provider: leave the reasoning items of others out, "
        "or start a new thread with `%codex new`."
    ),
    "previous_response_not_found": "Send the earlier items in `input` instead: [*response.output, ...].",
    "cyber_policy": "Explain what it is for, or rephrase the request.",
    "invalid_prompt": "Rephrase the request.",
    "402": "Check the balance of your account there.",
    "413": "Send less at once: fewer or smaller files and images, or a new thread (`%codex new`).",
}
"""What to do next, by the code or the status of a refusal."""
_STATUSES = {
    name: status
    for status, names in {
        400: "badrequest invalidrequest invalidargument unsupportedparameter unsupportedvalue invalidvalue",
        401: "authentication unauthorized unauthenticated invalidapikey incorrectapikey invalidtoken",
        402: "insufficientcredits insufficientbalance paymentrequired billing billinghardlimitreached",
        403: "permission permissiondenied forbidden accessdenied",
        404: "notfound modelnotfound",
        413: "requesttoolarge payloadtoolarge",
        422: "unprocessableentity",
        429: "ratelimit ratelimitexceeded toomanyrequests resourceexhausted throttling",
    }.items()
    for name in names.split()
}
"""HTTP's number for what servers call a failure, in letters alone and without `error` at the end."""
TRANSIENT = frozenset({408, 409, 425, 500, 502, 503, 504, 507, *range(520, 528), 529, 530})
"""Statuses of a service, or of a proxy before it, that another try may mend."""

_PAGES = frozenset({200, 201, 202, 203, 403, 451, 511})  # with which networks and their gates send web pages
_LIMIT_CODES = frozenset({"usage_limit_reached", "usage_not_included", "insufficient_quota"})
_PLAN = "Check the account and its plan."
CHECK_ADDRESS = "Check the provider's address (`%codex provider`)."
_NO_CODEX = "Use an account whose plan includes Codex, or an API key: `%codex provider openai`"


def from_answer(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    model: str | None = None,
    names: Iterable[str] = (),
) -> CodexError:
    """Return the error for a status other than 200. `names`: the catalog's models, to suggest near ones."""
    headers = masked({name.lower(): value for name, value in headers.items()})
    fault = _Fault.from_body(body, headers)
    is_about_the_model = fault.code == "model_not_found" or _MODEL_MISSING.search(fault.message)
    error: CodexError
    if "cf-mitigated" in headers or (status in _PAGES and is_web_page(headers, body)):
        error = errors.BlockedError(f"Got a web page instead of an answer (HTTP {status}).")
    elif 300 <= status < 400:
        error = _redirect(status, headers.get("location", ""))
    elif model and status in (400, 404) and is_about_the_model:
        error = model_not_found(model, names, fault.message)
    else:
        error = fault.error(status)
    error.status, error.request_id = status, headers.get("x-request-id") or headers.get("x-oai-request-id")
    return error


def _redirect(status: int, location: str) -> errors.BlockedError:
    hint, target = CHECK_ADDRESS, "another one"
    with suppress(httpx.InvalidURL):
        url = httpx.URL(location).copy_with(userinfo=b"", query=None, fragment=None)
        target = one_line(str(url)) or target
        if url.is_absolute_url:
            base = re.sub(r"/(responses|models)?/?$", "", target)
            hint = f"If you trust that address, use it as the provider: `%codex provider {base}`"
    return errors.BlockedError(f"The address redirects to {target} (HTTP {status}).", hint=hint)


def fitted(error: CodexError, elsewhere: str) -> CodexError:
    """Return the error with advice for the provider of that name; what the classes say is for ChatGPT, `""`."""
    key = "Check OPENAI_API_KEY, or store another key: `%codex login key`"
    advice = {
        errors.AuthError: key if elsewhere == "openai" else f"Check the API key for {elsewhere}.",
        errors.BlockedError: "Check the provider's address (`%codex provider`) and the network (VPN, proxy).",
        errors.UsageLimitError: f"Check the balance and the limits of your account at {elsewhere}.",
    }
    if elsewhere and error.hint in (type(error).hint, _PLAN, errors.UsageLimitError().hint):
        error.hint = advice.get(type(error), error.hint)
    return error


def is_unexplained(error: CodexError) -> bool:
    """Whether a refusal, in a stream too, may be one of the dialect: neither its code nor its parameter says otherwise."""
    is_plain = type(error) is errors.InvalidRequestError and not error.hint
    is_odd = is_plain and error.status in (None, 400, 404, 422)
    return is_odd or isinstance(error, errors.ModelNotFoundError)


def model_not_found(model: str, names: Iterable[str], words: str = "") -> errors.ModelNotFoundError:
    """Return the error with the closest of the names; `words` of the service count where they name another one."""
    others = [name for name in names if name != model]
    near = difflib.get_close_matches(model, others, n=3, cutoff=0.4)
    is_another = "'" in words and not re.search(rf"(?<!\w){re.escape(model)}(?!\w)", words)
    return errors.ModelNotFoundError(model, near=near, message=_sentence(words) if is_another else None)


def is_web_page(headers: Mapping[str, str], body: bytes) -> bool:
    begins_as_one = body.lstrip()[:9].lower().startswith((b"<!doctype", b"<html"))
    return begins_as_one or headers.get("content-type", "").startswith("text/html")


def from_event(
    error: Any, *, status: int | None = None, headers: Mapping[str, Any] | None = None
) -> CodexError:
    """Return the error for the `error` of a `response.failed` or `error` event; `status` if that carries one."""
    fault = _Fault.from_json(error, {name.lower(): str(value) for name, value in (headers or {}).items()})
    if fault.is_too_long or fault.code in ("cyber_policy", "invalid_prompt"):
        return fault.request_error(400)
    status = _status_of(status) or fault.status
    if status is None or status >= 500 or status in TRANSIENT:
        return fault.limit_error() if fault.is_about_limits else fault.service_error(status=None)
    return fault.error(status)


def _status_of(said: Any) -> int | None:
    """Return HTTP's status for what a server says of a failure: a number, its digits, or a word."""
    if (status := number(said)) is not None:
        return int(status) if 400 <= status < 600 else None
    return _STATUSES.get(re.sub("[^a-z]", "", str(said).lower()).removesuffix("error"))


class _Fault:
    """What a service says about a failure, whichever of its shapes it used."""

    def __init__(self, details: Mapping[str, Any], message: str, headers: Mapping[str, str]) -> None:
        self.details, self.headers, self._text = details, headers, message
        kind = "" if details.get("type") == "error" else str(details.get("type") or "")
        self.code = str(details.get("code") or kind)
        self.names = {self.code, kind}
        self.message = one_line(message)
        self.quoted = f": {_sentence(self.message)}" if self.message else "."  # to end a sentence with
        self.is_too_long = _TOO_LONG.search(f"{self.code} {kind} {self.message}") is not None
        self.is_about_limits = not _LIMIT_CODES.isdisjoint(self.names)
        said = (details.get(name) for name in ("status", "status_code", "code", "type"))
        in_words = 402 if _NO_MONEY.search(message) else 400 if _MODEL_MISSING.search(message) else None
        self.status = next(filter(None, map(_status_of, said)), in_words)

    @classmethod
    def from_body(cls, body: bytes, headers: Mapping[str, str]) -> _Fault:
        try:
            fault = cls.from_json(decode_json(body), headers)
        except ValueError:
            text = "" if is_web_page(headers, body) else body.decode(errors="replace")
            fault = cls({}, text, headers)
        if fault.code or fault.message:
            return fault
        try:  # what a gateway notes beside an answer without words
            note = decode_json(base64.b64decode(headers.get("x-error-json", "")))
        except ValueError:
            note = headers.get("x-openai-authorization-error")
        return cls.from_json(note, headers)

    @classmethod
    def from_json(cls, body: Any, headers: Mapping[str, str]) -> _Fault:
        """Read `{"detail": ...}`, `{"error": {...}}`, `{"error": "text"}`, the inner object alone, lists, or a text."""
        details = masked(body)
        while isinstance(details, dict) and (inner := details.get("error") or details.get("errors")):
            details = inner[0] if isinstance(inner, list) else inner
        if not isinstance(details, dict):
            return cls({}, "" if details is None else str(details), headers)
        text = details.get("message") or details.get("detail") or ""
        return cls(details, text if isinstance(text, str) else msgspec.json.encode(text).decode(), headers)

    def error(self, status: int) -> CodexError:
        if status == 401:
            ended = _ENDED_SIGN_INS.get(self.code)
            return errors.AuthError(ended or f"The service refused the credentials{self.quoted}")
        if status == 403:
            return errors.AuthError(f"The service does not allow this{self.quoted}", hint=_PLAN)
        if status == 429 or self.is_about_limits:
            return self.limit_error()
        if status >= 500 or status in TRANSIENT:
            return self.service_error(status)
        return self.request_error(status)

    def limit_error(self) -> CodexError:
        if "usage_not_included" in self.names:
            return errors.AuthError("Your plan does not include Codex.", hint=_NO_CODEX)
        if not self.is_about_limits:
            return errors.RateLimitError(f"Too many requests{self.quoted}", retry_after=self._pause())
        rate_limits = limits_from_headers(self.headers, now=time.time())
        spent = rate_limits.effective if rate_limits else None
        resets_at = number(self.details.get("resets_at"))
        left = number(self.details.get("resets_in_seconds"))
        if resets_at is None and left is not None:
            resets_at = time.time() + left
        if resets_at is None and spent:
            resets_at = spent.resets_at
        is_credit = "insufficient_quota" in self.names
        return errors.UsageLimitError(
            "Your API account has no quota left." if is_credit else "Your usage limit is reached.",
            resets_at=None if resets_at is None or not 0 <= resets_at < _FAR_FUTURE else int(resets_at),
            plan=self.details.get("plan_type") or (rate_limits.plan_type if rate_limits else None),
            window=spent.window_duration_mins if spent else None,
        )

    def request_error(self, status: int) -> errors.InvalidRequestError:
        param = self.details.get("param")
        if self.is_too_long:
            said = "" if self.code == "context_length_exceeded" else self.message
            message = f"The conversation is longer than the model can read{': ' if said else ''}{said}"
            return errors.ContextWindowError(_sentence(message), code=self.code)
        hint = _HINTS.get(self.code) or _HINTS.get(str(status))
        if str(param).endswith("image_url"):
            hint = "Send the image as PNG, JPEG, GIF or WebP, and not too large."
        elif status in (404, 405) and not self.details:
            hint = CHECK_ADDRESS
        what = f"The service refused the request: {_sentence(self.message or f'HTTP {status}')}"
        return errors.InvalidRequestError(what, hint=hint, param=param, code=self.code or None)

    def service_error(self, status: int | None) -> errors.ServiceError:
        what = f"The service failed{f' (HTTP {status})' if status else ''}{self.quoted}"
        if self.code in ("server_is_overloaded", "slow_down"):
            what = "The service has no capacity for this model now."
        return errors.ServiceError(what, status=status, code=self.code or None)

    def _pause(self) -> float | None:
        """Return the seconds of `Retry-After` (a number, a date or words), or of the message's own words."""
        header = self.headers.get("retry-after", "").strip()
        milliseconds = number(self.headers.get("retry-after-ms"))
        in_body = number(self.details.get("retry_after"))
        for seconds in (milliseconds and milliseconds / 1000, number(header), in_body):
            if seconds is not None:
                return max(0.0, seconds)
        with suppress(ValueError, TypeError, OverflowError):
            return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
        words = _PAUSE.search(f"wait {header}") or _PAUSE.search(self._text)
        amounts = re.findall(_AMOUNT, words[0].lower()) if words else []
        waits = [float(amount) * _SECONDS.get(unit[:3], _SECONDS[unit[0]]) for amount, unit in amounts]
        return round(sum(waits), 3) if waits else None


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def no_limits(who: str) -> errors.ConfigurationError:
    hint = "Only a ChatGPT plan has limits of this kind."
    return errors.ConfigurationError(f"{who} does not report what is left.", hint=hint)


_FAMILY = "codex"  # the limits that count for every request; others belong to single models
_SHORT_WINDOW_MINUTES = 24 * 60  # of the primary window (5 hours) at most; the secondary one has a week
_FIELDS = ("used_percent", "window_minutes", "reset_at", "reset_after_seconds")  # in headers with `-` for `_`


def limits_from_headers(headers: Mapping[str, str], *, now: float) -> RateLimits | None:
    """Return the limits, `None` when the headers name none. `now`: Unix seconds."""
    values = {name.lower(): value for name, value in headers.items()}
    if f"x-{_FAMILY}-primary-used-percent" not in values:
        return None
    windows = [
        {name: values.get(f"x-{_FAMILY}-{which}-{name.replace('_', '-')}") for name in _FIELDS}
        for which in ("primary", "secondary")
    ]
    return _limits(windows, values.get("x-codex-plan-type") or None, now)


def limits_from_event(rate_limits: Mapping[str, Any], *, plan_type: str | None, now: float) -> RateLimits:
    """Return the limits that the `rate_limits` of a `codex.rate_limits` event tell. `now`: Unix seconds."""
    both = (rate_limits.get("primary"), rate_limits.get("secondary"))
    windows = [{"reset_at": raw.get("resets_at"), **raw} for raw in both if isinstance(raw, dict)]
    return _limits(windows, plan_type, now)


def _limits(windows: list[dict[str, Any]], plan_type: str | None, now: float) -> RateLimits:
    """Free plans send their weekly window as the primary one, so the length decides, not the name."""
    present: list[RateLimitWindow | None] = []
    for values in sorted(windows, key=lambda window: number(window.get("window_minutes")) or 0):
        percent, minutes, resets_at, wait = (number(values.get(name)) for name in _FIELDS)
        if resets_at is None and wait is not None:
            resets_at = now + wait
        if percent is not None:
            ends = None if resets_at is None else int(resets_at)
            present.append(RateLimitWindow(percent, int(minutes) if minutes else None, ends))
    if len(present) == 1 and present[0] and (present[0].window_duration_mins or 0) > _SHORT_WINDOW_MINUTES:
        present.insert(0, None)
    primary, secondary, *_ = [*present, None, None]
    return RateLimits(primary, secondary, plan_type=plan_type, limit_id=_FAMILY)


def number(value: Any) -> float | None:
    """Headers hold text, sometimes empty; events hold numbers."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) < 1e12 else None
