"""How a server is reached: whom we trust, how we introduce ourselves, how a failed connection is told.

Texts of others are quoted, cut to one line and stripped of anything that looks like a secret.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass_environment  # type: ignore[attr-defined]  # undocumented

from . import __version__
from .protocol.errors import CodexError, ConfigurationError, TimedOutError, UnreachableError
from .protocol.plain import shorten
from .protocol.secrets import HIDDEN, hide, mask, masked
from .protocol.settings import Settings


@contextmanager
def _without(module: str) -> Iterator[None]:
    """Let what is imported here do without a module, as if that were not installed."""
    sys.modules.setdefault(module, None)  # type: ignore[arg-type]  # what the import system takes for "not there"
    try:
        yield
    finally:
        if sys.modules[module] is None:
            del sys.modules[module]


# Its command line takes longer to import than all the rest of it, where click is installed.
with _without("httpx._main"):
    import httpx

E = TypeVar("E", bound=BaseException)
M = TypeVar("M", httpx.HTTPTransport, httpx.AsyncHTTPTransport)

_SHAPES = re.compile(
    r"(?i:Bearer)\s+[^\s\"',;]+"
    r"|\beyJ[\w-]+\.[\w-]+(?:\.[\w-]*)?"  # JWT
    r"|\b(?:sk-|sess-|rt_|ac_)[\w*.-]{6,}"  # API keys, as OpenAI masks them too; refresh tokens; codes
    r"|\b(?:gh[opsru]_|github_pat_|glpat-|hf_|xox[abprs]-|AKIA|AIza)[\w-]{16,}"
)
_LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""They log addresses, and at DEBUG the headers of answers."""
_LONGEST_ANSWER = 1 << 20  # bytes of the sign-in service's answer; its tokens are a few thousand
_LONGEST_TEXT = 300  # characters of a service's text that still read as one sentence


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
    here = platform.uname()
    usual = f"{settings.originator}/{__version__} ({here.system} {here.release}; {here.machine})"
    return {"User-Agent": header_value(settings.user_agent or usual)}


def header_value(text: str) -> str:
    """Return the text with everything percent-encoded that a header can't hold."""
    return quote(text.strip(), errors="replace", safe=" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def trust(url: str, ca_bundle: str | None) -> ssl.SSLContext:
    """certifi or SSL_CERT_FILE / SSL_CERT_DIR, the system's store, and `ca_bundle`."""
    if url.startswith("http:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; loading a store takes 20 ms
    with _reading("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE")) as ours:
        if ours:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ours)
    with _reading("SSLKEYLOGFILE", os.environ.get("SSLKEYLOGFILE")):
        context = httpx.create_ssl_context()
    context.load_default_certs()
    with _reading("CODEX_CA_CERTIFICATE", ca_bundle):
        if ca_bundle:
            context.load_verify_locations(ca_bundle)
    return context


@contextmanager
def _reading(variable: str, path: str | None) -> Iterator[str | None]:
    try:
        yield path
    except OSError as error:
        is_read = isinstance(error, ssl.SSLError) or not error.errno
        reason = "no PEM certificates" if is_read else error.strerror
        message = f"The file {path!r} can't be used ({reason})."
        raise ConfigurationError(message, hint=f"Check {variable}, or unset it.") from error


@contextmanager
def readable_proxies() -> Iterator[None]:
    """Build HTTP clients inside: httpx does not know every kind of proxy."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_secrets)
    for proxy in getproxies().values():
        with suppress(ValueError):
            hide(unquote(urlsplit(proxy).password or ""))
    try:
        yield
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        what = f"The proxy settings can't be used: {scrub(str(error)).rstrip('.')}."
        raise ConfigurationError(what, hint="Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY.") from error


def mounts(transport: Callable[..., M], *urls: str, **options: Any) -> dict[str, M | None]:
    """Return the `mounts` by which an HTTP client reaches these servers; the rest is for `transport`.

    httpx itself gives up at networks and IPv6 in NO_PROXY, and at an unknown kind of proxy that nothing uses.
    """
    proxies, ways = getproxies(), dict[str, M | None]()
    for url in map(httpx.URL, urls):
        if proxy := proxies.get(url.scheme) or proxies.get("all"):
            scheme = f"{url.scheme}://"
            if _is_direct(url, proxies.get("no", "")):
                ways[f"{scheme}{url.netloc.decode()}"] = None
            elif scheme not in ways:
                ways[scheme] = transport(proxy=proxy if "://" in proxy else f"http://{proxy}", **options)
    return ways


def _is_proxied(url: httpx.URL) -> bool:
    proxies = getproxies()
    is_set = bool(proxies.get(url.scheme) or proxies.get("all"))
    return is_set and not _is_direct(url, proxies.get("no", ""))


def _is_direct(url: httpx.URL, no_proxy: str) -> bool:
    """Whether NO_PROXY names the server: its name or a domain of it, address, network, with or without a port."""
    entries = [entry.rpartition("://")[2].removeprefix("*.") for entry in re.split(r"[,\s]+", no_proxy)]
    for entry in entries:
        with suppress(ValueError):  # most are names
            if ip_address(url.host) in ip_network(entry.strip("[]"), strict=False):
                return True
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    return "*" in entries or bool(proxy_bypass_environment(f"{host}:{port}", {"no": ",".join(entries)}))


def without_secrets(error: E) -> E:
    """Return the same error, fit to be the cause of one of ours: no request, and no secret in its own causes' texts."""
    for each in _with_causes(error):
        each.args = masked(each.args)
        if isinstance(each, httpx.RequestError):
            each._request = None
    return error


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def no_answer(error: httpx.HTTPError, *, base_url: str) -> CodexError:
    """The error for a request that got no answer."""
    host = httpx.URL(base_url).netloc.decode()
    text = one_line(str(error))
    way = " through the proxy" if _is_proxied(httpx.URL(base_url)) else ""
    hint = "Check HTTPS_PROXY and NO_PROXY."
    match error:
        case httpx.ConnectTimeout() | httpx.PoolTimeout():
            return TimedOutError(f"{host} could not be reached in time{way}.", hint=hint if way else None)
        case httpx.TimeoutException():
            return TimedOutError(f"{host} did not answer in time.")
        case httpx.ProxyError():
            what = f"The proxy did not connect to {host} ({text.rstrip('.')})."
            return UnreachableError(what, hint=hint)
        case httpx.ConnectError() if ssl.SSLCertVerificationError in map(type, _with_causes(error)):
            file = "Set CODEX_CA_CERTIFICATE or SSL_CERT_FILE to your network's CA file."
            return ConfigurationError(f"The certificate of {host} is not trusted here.", hint=file)
    why = text.rstrip(".") or type(error).__name__
    if not way:
        return UnreachableError(f"{host} can't be reached ({why}).")
    what = f"{host} can't be reached through the proxy ({why})."
    return UnreachableError(what, hint=hint if isinstance(error, httpx.ConnectError) else None)


@dataclass(frozen=True)
class Call:
    """A request to the sign-in service. It holds secrets and shows none."""

    url: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    seconds: float
    secrets: tuple[str, ...] = field(default=(), repr=False)  # which no text may repeat

    def __post_init__(self) -> None:
        hide(*self.secrets)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(repr=False)  # their names in lower case
    body: bytes = field(repr=False)


def send(call: Call, *, ca_bundle: str | None) -> Answer:
    """Ask the sign-in service, on a connection of its own. Raises UnreachableError, TimedOutError."""
    with readable_proxies():
        verify = trust(call.url, ca_bundle)
        ways = mounts(httpx.HTTPTransport, call.url, verify=verify)
        http = httpx.Client(verify=verify, timeout=call.seconds, trust_env=False, mounts=ways)
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
    raise no_answer(failure, base_url=call.url)  # without a cause: frames of httpx hold what was sent
