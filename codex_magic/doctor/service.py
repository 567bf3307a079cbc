"""The checks that ask the service: network, sign-in, models, one smallest request, the WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from ..auth.credentials import Credentials
from ..auth.http import ApiKeyAuth
from ..auth.storage import Storage
from ..net import Call, one_line, send
from ..protocol.errors import AuthError, CodexError, ConfigurationError, NotSignedInError
from ..protocol.settings import Settings
from ..responses.catalog import Model, default_model, find_model
from ..responses.client import AsyncClient
from ..responses.parameters import Timeouts
from ..responses.provider import Provider
from ..responses.turn_socket import OPEN_SECONDS, handshake, named_headers
from ..waiting import awaited, in_thread
from .findings import Finding, Level

CHECKS = ("Network", "Sign-in", "Models", "Request", "WebSocket")

REACH_SECONDS = 10.0  # for a connection and a first answer; a network that needs longer breaks answers too
ANSWER_SECONDS = 25.0  # for the smallest request, of a model that thinks first

QUESTION = "Reply with the word OK and nothing else."
_LEAST_EFFORTS = ("none", "minimal", "low")

_DAY = 86400


async def ask_all(
    settings: Settings, provider: Provider, model: str | None, found: dict[str, Finding]
) -> Finding:
    """Put what each check finds into `found`, as it comes; returns what stands for those that are missing."""
    stored = await awaited(in_thread(lambda: sign_in(settings, provider), daemon=True))
    found["Sign-in"] = stored
    looking = asyncio.ensure_future(awaited(in_thread(lambda: network(settings, provider), daemon=True)))
    silence = Timeouts(connect=REACH_SECONDS, first_byte=ANSWER_SECONDS, idle=ANSWER_SECONDS)
    try:
        if stored.level is Level.failed:
            return Finding("", Level.skipped, "needs a sign-in")
        async with AsyncClient(provider, settings=settings, timeout=silence, max_retries=0) as client:
            try:
                used = await _models(client, model, found)
            except AuthError as refused:
                found["Sign-in"] = Finding.of("Sign-in", refused)
                return Finding("", Level.skipped, "needs a sign-in")
            except CodexError as error:
                if (await looking).level is Level.failed:
                    return Finding("", Level.skipped, "needs the network")
                found["Models"] = Finding.of("Models", error)
                return Finding("", Level.skipped, "needs a model")
            checks = {"Request": _request, "WebSocket": _websocket}.items()
            answers = await asyncio.gather(*(_found(name, look, client, used) for name, look in checks))
            found |= {each.check: each for each in answers}
        return Finding("", Level.skipped, "not reached")
    finally:
        found["Network"] = await looking


Look = Callable[[AsyncClient, Model], Awaitable[Finding]]


async def _found(name: str, look: Look, client: AsyncClient, model: Model) -> Finding:
    try:
        return await look(client, model)
    except CodexError as error:
        return Finding.of(name, error)


def network(settings: Settings, provider: Provider) -> Finding:
    """Whether each server answers at all, whatever it says."""
    urls = [provider.base_url]
    if provider.is_codex and provider.base_url == settings.base_url:
        urls.append(settings.issuer)
    began = time.monotonic()
    for url in urls:
        try:
            send(Call(url, {}, b"", REACH_SECONDS), ca_bundle=settings.ca_bundle)
        except CodexError as error:
            return Finding.of("Network", error)
    hosts = " and ".join(dict.fromkeys(urlsplit(url).netloc.rpartition("@")[2] for url in urls))
    took = f"{(time.monotonic() - began) * 1000:.0f} ms"
    return Finding("Network", Level.ok, f"{hosts} answered in {took}{_by_proxy()}")


def _by_proxy() -> str:
    """Name the variables, never their values: those may hold a password."""
    kinds = [kind for kind in getproxies() if kind != "no"]
    return f"; proxies set for {', '.join(sorted(kinds))}" if kinds else "; no proxy"


def sign_in(settings: Settings, provider: Provider) -> Finding:
    """What is stored of the sign-in, and since when. Raises ConfigurationError where that can't be read."""
    ok = Finding("Sign-in", Level.ok, "")
    if isinstance(provider.auth, ApiKeyAuth):
        return ok._replace(text="an API key")
    if not provider.is_codex or provider.base_url != settings.base_url:
        return ok._replace(text="none needed")
    storage = Storage.of(settings)
    try:
        stored = storage.read()
    except ConfigurationError as error:
        return Finding.of("Sign-in", error)
    if stored is None or stored.access_token is None:
        return Finding.of("Sign-in", NotSignedInError("Nobody is signed in."))
    text = f"ChatGPT{f' ({stored.plan} plan)' if stored.plan else ''}{_age(stored)}"
    if not storage.is_writable():
        hint = "Make it writable, or set CODEX_HOME to a folder that is."
        return Finding("Sign-in", Level.warning, f"{text}; {storage.name} can't be written", hint)
    if stored.expires_at is None or stored.expires_at > time.time():
        return ok._replace(text=text)
    if stored.refresh_token is None:
        return Finding("Sign-in", Level.failed, f"{text}; it has ended", AuthError.hint)
    return ok._replace(text=f"{text}; has ended, the next request renews it")


def _age(stored: Credentials) -> str:
    """Say when it was renewed, and until when it is good."""
    words = ""
    if stored.last_refresh is not None:
        days = int(max(0.0, time.time() - stored.last_refresh) // _DAY)
        words = f", renewed {'today' if not days else f'{days} days ago' if days > 1 else 'yesterday'}"
    if stored.expires_at is not None:
        words += f", until {datetime.fromtimestamp(stored.expires_at).astimezone():%Y-%m-%d %H:%M}"
    return words


async def _models(client: AsyncClient, wanted: str | None, found: dict[str, Finding]) -> Model:
    """Return the model that is used. Raises CodexError where there is none."""
    models = [*await client.models.list()]
    used = find_model(models, wanted) if wanted else default_model(models)
    chosen = "chosen" if wanted else "the default"
    found["Models"] = Finding("Models", Level.ok, f"{len(models)}, of which {used.slug} is {chosen}")
    return used


async def _request(client: AsyncClient, model: Model) -> Finding:
    """Ask the smallest question there is."""
    effort = next((each for each in _LEAST_EFFORTS if each in model.efforts), None)
    began = time.monotonic()
    response = await asyncio.wait_for(
        client.responses.create(QUESTION, model=model.slug, reasoning=effort, instructions=QUESTION),
        ANSWER_SECONDS,
    )
    cost = f", {response.usage.total_tokens} tokens" if response.usage else ""
    return Finding("Request", Level.ok, f"answered in {time.monotonic() - began:.1f} s{cost}")


async def _websocket(client: AsyncClient, model: Model) -> Finding:
    """Whether long turns may use one; without it they go over HTTP."""
    outgoing = client.transport.core.response_request(QUESTION, {"model": model.slug}, None)
    try:
        opening = handshake(client.transport, outgoing, named_headers(outgoing))
        socket = await asyncio.wait_for(opening, OPEN_SECONDS)
    except ConfigurationError as error:
        return Finding.of("WebSocket", error, Level.note)
    except (CodexError, httpx.HTTPError, asyncio.TimeoutError) as error:
        reason = one_line(str(error)).rstrip(".") or type(error).__name__
        hint = "Nothing to do: turns go over HTTP. A proxy may not let it through."
        return Finding("WebSocket", Level.note, reason, hint)
    await socket.close()
    return Finding("WebSocket", Level.ok, "opened")
