"""Which provider a word stands for. It imports httpx, so it is imported with the first turn only."""

from __future__ import annotations

from collections.abc import Callable

from ..auth.http import ChatGPTAuth
from ..auth.storage import Storage
from ..auth.tokens import TokenSource
from ..protocol.errors import CodexError, ConfigurationError
from ..protocol.settings import Settings
from ..responses.provider import Provider, chatgpt, custom, openai
from .options import is_address

_NAMED: dict[str, Callable[[Settings], Provider]] = {"chatgpt": chatgpt, "openai": openai}


def named_provider(name: str, settings: Settings) -> Provider:
    """The provider a word or a base URL stands for. Raises ConfigurationError for another word."""
    if name in _NAMED:
        return _NAMED[name](settings)
    if is_address(name):
        return custom(name, name=name.rstrip("/"), settings=settings)
    raise ConfigurationError(
        f"There is no provider {name!r}.",
        hint="Use chatgpt, openai, local or the base URL of a Responses server.",
    )


def signed_in_provider(settings: Settings) -> str:
    """`chatgpt` when signed in with it, else `openai` when there is a key, else `chatgpt`."""
    credentials = Storage.of(settings).read()
    if credentials is not None:
        return "chatgpt" if credentials.mode == "chatgpt" else "openai"
    return "openai" if settings.openai_api_key else "chatgpt"


def follower(provider: Provider) -> TokenSource | None:
    """What has to hear of a sign-in, where the provider has one."""
    return provider.auth.source if isinstance(provider.auth, ChatGPTAuth) else None


def answerer_of(provider: Provider) -> str:
    """Whose encrypted reasoning this is: that of a provider and, where there are several, an account."""
    source = follower(provider)
    if source is None:
        return provider.name
    try:
        return f"{provider.name} {source.current().account_id}"
    except CodexError:
        return provider.name  # nothing will be answered; the request will say why
