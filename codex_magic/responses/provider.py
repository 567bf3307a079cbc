"""Where Responses requests go, and what that server insists on: values, no IO beyond auth.json."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import httpx

from ..auth.http import ApiKeyAuth, ChatGPTAuth, stored_key
from ..auth.sign_in import TokenSource
from ..auth.storage import Storage
from ..net import header_value, introduction
from ..protocol.errors import ConfigurationError
from ..protocol.secrets import Secret, concealed
from ..protocol.settings import Settings


class _PasswordAuth(httpx.BasicAuth):
    def __init__(self, name: str, password: str) -> None:
        super().__init__(name, password)
        self._password = Secret(password)  # hides it, and can't be pickled


@dataclass(frozen=True)
class Provider:
    """A server that speaks the Responses API. Raises ConfigurationError for an address that is none."""

    name: str
    base_url: str
    """The address without a slash at the end; `/responses` and `/models` are below it."""
    auth: httpx.Auth | None = None
    is_codex: bool = False
    """Whether it is the Codex backend of ChatGPT, which does some things at other places or otherwise."""
    headers: Mapping[str, Secret | str] = field(default_factory=dict)
    """Sent with every request: how we introduce ourselves. Keys among them are kept as `Secret`s."""
    models_query: Mapping[str, Secret | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        url = httpx.URL()
        with suppress(httpx.InvalidURL):
            url = httpx.URL(self.base_url)
        if url.scheme not in ("http", "https"):
            hint = "It starts with http:// or https://, e.g. http://localhost:8000/v1"
            raise ConfigurationError(f"{self.base_url!r} is not the address of a server.", hint=hint)
        put = partial(object.__setattr__, self)
        put("headers", concealed(self.headers))
        put("models_query", concealed(self.models_query))
        if url.userinfo:
            plain = str(url.copy_with(userinfo=b""))
            put("auth", self.auth or _PasswordAuth(url.username, url.password))
            put("name", plain if self.name == self.base_url else self.name)
            put("base_url", plain)


def chatgpt(settings: Settings) -> Provider:
    """The Codex backend, with the ChatGPT sign-in of the Codex CLI."""
    return Provider(
        name="chatgpt",
        base_url=settings.base_url,
        auth=ChatGPTAuth(TokenSource.of(settings)),
        is_codex=True,
        headers={
            **introduction(settings),
            "originator": header_value(settings.originator),
            "version": header_value(settings.client_version),
        },
        models_query={"client_version": settings.client_version},
    )


def openai(settings: Settings) -> Provider:
    """OpenAI's API, with OPENAI_API_KEY or the key that `codex login` stored."""
    auth = ApiKeyAuth(settings.openai_api_key or partial(stored_key, Storage.of(settings)))
    auth.key()  # raises where none is stored
    return Provider("openai", settings.openai_base_url, auth, headers=introduction(settings))


def custom(
    base_url: str,
    api_key: Secret | str | None = None,
    *,
    name: str = "custom",
    settings: Settings | None = None,
) -> Provider:
    """Any server that speaks the Responses API. Without `settings` the environment's are used."""
    auth = ApiKeyAuth(api_key) if api_key else None
    return Provider(name, base_url.rstrip("/"), auth, headers=introduction(settings or Settings.from_env()))


def key_of(provider: Provider) -> str | None:
    """Return the API key of its requests, for a program that sends them; `None` without. Raises CodexError."""
    if provider.auth is None or isinstance(provider.auth, ApiKeyAuth):
        return provider.auth.key() if provider.auth else None
    what = f"{provider.name} has no API key of its own that another program could be given."
    raise ConfigurationError(what, hint="Describe the provider in the program's own config.toml.")
