"""How a server is reached: whom we trust, how we introduce ourselves, how a failed connection is told.

Texts of others are quoted, cut to one line and stripped of anything that looks like a secret.
"""

from __future__ import annotations

import logging
import platform
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies

import httpx

from . import __version__
from .protocol.errors import CodexError, ConfigurationError, TimedOutError, UnreachableError
from .protocol.plain import shorten
from .protocol.secrets import HIDDEN, hide, mask, masked
from .protocol.settings import Settings

_SHAPES = re.compile(
    r"(?i:Bearer)\s+[^\s\"',;]+"
    r"|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"  # JWT
    r"|\b(?:sk-|sess-|rt_|ac_)[\w*.-]{6,}"  # API keys, as OpenAI masks them too; refresh tokens; codes
    r"|\b(?:gh[opsru]_|github_pat_|glpat-|hf_|xox[abprs]-|AKIA|AIza)[\w-]{16,}"
)
_LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""They log addresses, and at DEBUG the headers of answers."""

_LONGEST_ANSWER = 1 << 20
"""Bytes of the sign-in service's answer that are read; its tokens are a few thousand."""

_LONGEST_TEXT = 300
"""Characters of a service's text that still read as one sentence."""


def scrub(text: str) -> str:
    """Return the text without the secrets in use, and without anything shaped like a token or key."""
    return _SHAPES.sub(HIDDEN, mask(text))


def _without_secrets(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    if (clean := mask(message)) != message:
        record.msg, record.args = clean, ()
    return True


def one_line(text: str) -> str:
    """A service's text, fit to stand in a sentence of ours."""
    return shorten(scrub(" ".join(text.split())), _LONGEST_TEXT)


def introduction(settings: Settings) -> dict[str, str]:
    return {
        "User-Agent": header_value(
            settings.user_agent or f"{settings.originator}/{__version__} {_platform()}"
        )
    }


@cache
def _platform() -> str:
    return f"({platform.system()} {platform.release()}; {platform.machine()})"


def header_value(text: str) -> str:
    """Return the text with everything percent-encoded that a header can't hold."""
    return quote(text.strip(), errors="replace", safe=" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def trust(url: str, ca_bundle: str | None) -> ssl.SSLContext:
    """certifi or SSL_CERT_FILE / SSL_CERT_DIR, the system's store, and `ca_bundle`."""
    if url.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; loading a store takes 20 ms
    context = httpx.create_ssl_context()
    context.load_default_certs()
    if ca_bundle:
        try:
            context.load_verify_locations(ca_bundle)
        except OSError as error:
            raise ConfigurationError(
                f"The CA file {ca_bundle!r} can't be read.", hint="Check CODEX_CA_CERTIFICATE."
            ) from error
    return context


@contextmanager
def readable_proxies() -> Iterator[None]:
    """Build HTTP clients inside: httpx then reads the proxy variables, and does not know every kind of proxy."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_secrets)
    try:
        hide(*(unquote(urlsplit(proxy).password or "") for proxy in getproxies().values()))
        yield
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise ConfigurationError(
            f"The proxy settings can't be used: {scrub(str(error))}.",
            hint="Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.",
        ) from error


E = TypeVar("E", bound=BaseException)


def without_secrets(error: E) -> E:
    """Return the same error, fit to be the cause of one of ours: no request, and no secret in its own causes' texts."""
    cause: BaseException | None = error
    while cause is not None:
        cause.args = masked(cause.args)
        if isinstance(cause, httpx.RequestError):
            cause._request = None
        cause = cause.__cause__ or cause.__context__
    return error


def no_answer(error: httpx.HTTPError, *, base_url: str) -> CodexError:
    """The error for a request that got no answer."""
    host = httpx.URL(base_url).netloc.decode()
    text = one_line(str(error))
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return TimedOutError(f"{host} could not be reached in time.")
        case httpx.TimeoutException():
            return TimedOutError(f"{host} did not answer in time.")
        case httpx.ProxyError():
            return UnreachableError(
                f"The proxy did not connect to {host} ({text.rstrip('.')}).",
                hint="Check HTTPS_PROXY and NO_PROXY.",
            )
        case httpx.ConnectError() if _is_untrusted(error):
            return ConfigurationError(
                f"The certificate of {host} is not trusted here.",
                hint="Set CODEX_CA_CERTIFICATE or SSL_CERT_FILE to your network's CA file.",
            )
    return UnreachableError(f"{host} can't be reached ({text.rstrip('.') or type(error).__name__}).")


def _is_untrusted(error: BaseException | None) -> bool:
    """Whether a certificate was refused. Each trust store has words of its own for that."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


@dataclass(frozen=True)
class Call:
    """A request to the sign-in service. It holds secrets and shows none."""

    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    seconds: float
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What no text may repeat."""

    def __post_init__(self) -> None:
        hide(*self.secrets)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Names in lower case."""
    body: bytes = field(repr=False)


def send(call: Call, *, ca_bundle: str | None) -> Answer:
    """Ask the sign-in service, on a connection of its own. Raises UnreachableError, TimedOutError.

    The error has no cause: the frames of the HTTP library hold what was sent.
    """
    with readable_proxies():
        http = httpx.Client(verify=trust(call.url, ca_bundle), timeout=call.seconds)
    failure: httpx.HTTPError
    with http:
        try:
            with http.stream("POST", call.url, headers=call.headers, content=call.body) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _LONGEST_ANSWER:
                        break
                return Answer(answer.status_code, dict(answer.headers), body)
        except httpx.HTTPError as error:
            failure = error
    raise no_answer(failure, base_url=call.url)
