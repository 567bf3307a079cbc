"""Where Responses requests go, and what that server insists on: values, no IO beyond auth.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from ..auth.credentials import auth_path, read_credentials
from ..auth.http import ApiKeyAuth, ChatGPTAuth
from ..auth.network import header_value, introduction
from ..protocol.errors import ConfigurationError, NotSignedInError
from ..protocol.settings import Settings
from .request import CODEX_RULES, OPEN_RULES, Rules


@dataclass(frozen=True)
class Provider:
    """A server that speaks the Responses API."""

    name: str
    base_url: str
    """Without a slash at the end; `/responses` and `/models` are below it."""
    auth: httpx.Auth | None = None
    rules: Rules = OPEN_RULES
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request: how we introduce ourselves."""
    models_query: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            usable = httpx.URL(self.base_url).scheme in ("http", "https")
        except httpx.InvalidURL:
            usable = False
        if not usable:
            raise ConfigurationError(
                f"{self.base_url!r} is not the address of a server.",
                hint="It starts with http:// or https://, e.g. http://localhost:8000/v1",
            )


def chatgpt(settings: Settings) -> Provider:
    """The Codex backend, with the ChatGPT sign-in of the Codex CLI."""
    return Provider(
        name="chatgpt",
        base_url=settings.base_url,
        auth=ChatGPTAuth(auth_path(settings.codex_home)),
        rules=CODEX_RULES,
        headers={
            **introduction(settings),
            "originator": header_value(settings.originator),
            "version": header_value(settings.client_version),
        },
        models_query={"client_version": settings.client_version},
    )


def openai(settings: Settings) -> Provider:
    """OpenAI's API, with OPENAI_API_KEY or the key that `codex login` stored."""
    key = settings.openai_api_key or _stored_key(settings)
    if key is None:
        raise NotSignedInError(
            "There is no OpenAI API key.",
            hint="Set OPENAI_API_KEY, or use your ChatGPT plan: %codex provider chatgpt",
        )
    return Provider(
        name="openai",
        base_url=settings.openai_base_url,
        auth=ApiKeyAuth(key),
        headers=introduction(settings),
    )


def custom(
    base_url: str, api_key: str | None = None, *, name: str = "custom", settings: Settings | None = None
) -> Provider:
    """Any server that speaks the Responses API. Without `settings` the environment's are used."""
    return Provider(
        name=name,
        base_url=base_url.rstrip("/"),
        auth=ApiKeyAuth(api_key) if api_key else None,
        headers=introduction(settings or Settings.from_env()),
    )


def _stored_key(settings: Settings) -> str | None:
    """The key of a CLI signed in with one; a key beside a ChatGPT sign-in is not ours to spend."""
    stored = read_credentials(auth_path(settings.codex_home))
    return stored.api_key if stored is not None and stored.mode == "apikey" else None
