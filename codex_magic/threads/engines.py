"""Which engine runs a turn: providers, their engines over HTTP, and the agent's programs.

Each is made at its first use, and what it imports (httpx above all) comes with that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..engines.seam import Engine
from ..protocol.errors import CodexError, ConfigurationError
from ..protocol.settings import Settings
from .options import NAMED, CodexConfig, Options, is_address, is_foreign

if TYPE_CHECKING:
    from ..auth.sign_in import TokenSource
    from ..engines.app_server.engine import AppServerEngine
    from ..engines.backend import BackendEngine
    from ..responses.provider import Provider


class Engines:
    """The engines of one `AsyncCodex`, as its configuration has them."""

    def __init__(self, config: CodexConfig, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._providers: dict[str, Provider] = {}
        self.begin_in_process()

    def begin_in_process(self) -> None:
        """Let go of the engines of before: they are closed, or the parent process's."""
        self.followers: list[TokenSource] = []
        """Whose requests go on with the account that is signed in to here."""
        self._backends: dict[tuple[str, str], BackendEngine] = {}
        self._agents: dict[tuple[str, str | None], AppServerEngine] = {}

    def leave_loop(self) -> None:
        """Let go of the agent's programs, whose event loop has ended."""
        for agent in self._agents.values():
            agent.abandon()
        self._agents = {}

    async def close(self) -> None:
        engines: list[Engine] = [*self._backends.values(), *self._agents.values()]
        for engine in engines:
            await engine.close()

    def choose(self, options: Options) -> tuple[Engine, str]:
        """Return the engine of a turn, and the identity under which its reasoning is sealed."""
        choice = options.get("model_provider") or self._config.provider
        if (options.get("engine") or self._config.engine) == "backend":
            provider = self.provider(choice)
            return self.backend(provider), _sealing_identity(provider)
        agent = self.agent(choice)
        return agent, f"app-server {choice}" if is_foreign(choice) else agent.sealed_for

    # Over HTTP -----------------------------------------------------------------------------------

    def provider(self, choice: str | Provider | None = None) -> Provider:
        """Return the provider that `choice`, else the configuration, else the sign-in stands for.

        Raises ConfigurationError for a word that is no provider's.
        """
        choice = choice or self._config.provider or _signed_in_name(self._settings)
        if not isinstance(choice, str):
            return choice
        if choice not in self._providers:
            from ..responses.provider import chatgpt, custom, openai

            if choice in NAMED:
                named = chatgpt if choice == "chatgpt" else openai
                self._providers[choice] = named(self._settings)
            elif is_address(choice):
                self._providers[choice] = custom(choice, name=choice.rstrip("/"), settings=self._settings)
            else:
                raise ConfigurationError(
                    f"There is no provider {choice!r}.",
                    hint="Use chatgpt, openai, local or the base URL of a Responses server.",
                )
        return self._providers[choice]

    def backend(self, provider: Provider) -> BackendEngine:
        """Return the engine that sends its requests to `provider`."""
        key = provider.name, provider.base_url
        if key not in self._backends:
            from ..engines.backend import BackendEngine

            self._backends[key] = BackendEngine(provider, self._settings)
            if source := _token_source(provider):
                self.followers.append(source)
        return self._backends[key]

    @property
    def need_sign_in(self) -> bool:
        choice = self._config.provider
        return choice is None or (choice if isinstance(choice, str) else choice.name) in NAMED

    # The agent -----------------------------------------------------------------------------------

    @property
    def agents(self) -> list[AppServerEngine]:
        return list(self._agents.values())

    def agent(self, choice: str | Provider | None = None) -> AppServerEngine:
        """Return the agent whose program sends its requests there: one process for each server and key."""
        from ..engines.app_server.engine import AppServerEngine
        from ..engines.app_server.server import Launch
        from ..responses.provider import key_of

        provider = self.provider_for_agent(choice)
        key = (provider.base_url, key_of(provider)) if provider else ("", None)
        if key not in self._agents:
            config = self._config
            launch = Launch(
                command=config.launch_args_override,
                config=config.config_overrides,
                env=config.env or {},
                client_title=config.client_title or Launch.client_title,
                client_version=config.client_version or Launch.client_version,
            )
            stand_in = self.provider("openai") if self._settings.openai_api_key else None
            self._agents[key] = AppServerEngine(self._settings, provider, stand_in=stand_in, launch=launch)
        return self._agents[key]

    def provider_for_agent(self, choice: str | Provider | None = None) -> Provider | None:
        """Return where the agent's program is told to send its requests; `None`: where it would by itself."""
        choice = choice or self._config.provider
        if choice is None or choice == "chatgpt" or is_foreign(choice):
            return None
        provider = self.provider(choice)
        is_own = provider.is_codex and provider.base_url == self._settings.base_url
        return None if is_own else provider


def _signed_in_name(settings: Settings) -> str:
    """`chatgpt` when signed in with it, else `openai` when there is a key, else `chatgpt`."""
    from ..auth.storage import Storage

    credentials = Storage.of(settings).read()
    if credentials is not None:
        return "chatgpt" if credentials.mode == "chatgpt" else "openai"
    return "openai" if settings.openai_api_key else "chatgpt"


def _token_source(provider: Provider) -> TokenSource | None:
    """What has to hear of a sign-in, where the provider has one."""
    from ..auth.http import ChatGPTAuth

    return provider.auth.source if isinstance(provider.auth, ChatGPTAuth) else None


def _sealing_identity(provider: Provider) -> str:
    """Whose encrypted reasoning this is: that of a provider and, where there are several, an account."""
    with suppress(CodexError):  # else nothing will be answered; the request will say why
        if source := _token_source(provider):
            return f"{provider.name} {source.current().account_id}"
    return provider.name
