"""Where things are and how we introduce ourselves; read from the environment once, at the edge."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .secrets import Secret

CLIENT_VERSION = "0.163.0"
"""The Codex client version whose requests ours are compared with; the backend hides newer models
from older versions (`minimal_client_version` in its catalog)."""

ORIGINATOR = "codex_magic"


@dataclass(frozen=True)
class Settings:
    """Every path, address and identity the package uses. Build one with `Settings.from_env()`."""

    codex_home: Path
    """The CLI's home: auth.json."""
    home: Path
    """Ours: threads.db and the remembered catalogs."""
    base_url: str = "https://chatgpt.com/backend-api/codex"
    """Responses base of the `chatgpt` provider."""
    chatgpt_url: str = "https://chatgpt.com/backend-api"
    issuer: str = "https://auth.openai.com"
    codex_bin: str | None = None
    agent_idle_seconds: float = 600.0
    """How long the agent's program stays when nothing of it runs; the next turn starts it again
    (`CODEX_MAGIC_AGENT_IDLE_MINUTES`)."""
    agent_variables: tuple[str, ...] = ()
    """Variables that the agent and its commands get although their names look secret, `*` for any characters
    (`CODEX_MAGIC_AGENT_VARIABLES`, separated by commas)."""
    answers: str = "auto"
    """Whether stored answers will do: auto, keep, new or replay (`CODEX_MAGIC_ANSWERS`)."""
    openai_api_key: Secret | str | None = None
    """Kept as a `Secret`."""
    openai_base_url: str = "https://api.openai.com/v1"
    originator: str = ORIGINATOR
    user_agent: str | None = None
    """`None`: built from the originator, our version and the platform."""
    client_version: str = CLIENT_VERSION
    ca_bundle: str | None = None
    """A PEM file trusted besides the system's (`CODEX_CA_CERTIFICATE`)."""
    redirect_host: str = "127.0.0.1"
    """How the browser sign-in spells its own address; older clients said `localhost`."""
    callback_ports: tuple[int, ...] = (1455, 1457)
    """Where it waits for the browser; the issuer knows no others."""

    def __post_init__(self) -> None:
        if self.openai_api_key is not None:
            object.__setattr__(self, "openai_api_key", Secret.of(self.openai_api_key))

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read the variables listed in the README; unset and empty both mean the default."""
        env = os.environ if env is None else env

        def read(name: str) -> str | None:
            return env.get(name) or None

        def url(name: str, default: str) -> str:
            return (read(name) or default).rstrip("/")

        codex_home = read("CODEX_HOME")
        if (home := read("CODEX_MAGIC_HOME")) is None:
            import platformdirs  # nobody pays for it who says where

            home = platformdirs.user_data_dir("codex-magic", appauthor=False)
        ports = _words(read("CODEX_MAGIC_CALLBACK_PORTS"))
        return cls(
            codex_home=Path(codex_home).expanduser() if codex_home else Path.home() / ".codex",
            home=Path(home).expanduser(),
            base_url=url("CODEX_MAGIC_BASE_URL", cls.base_url),
            chatgpt_url=url("CODEX_MAGIC_CHATGPT_URL", cls.chatgpt_url),
            issuer=url("CODEX_MAGIC_ISSUER", cls.issuer),
            codex_bin=read("CODEX_MAGIC_CODEX_BIN"),
            agent_idle_seconds=_seconds(read("CODEX_MAGIC_AGENT_IDLE_MINUTES"), cls.agent_idle_seconds),
            agent_variables=_words(read("CODEX_MAGIC_AGENT_VARIABLES")),
            answers=read("CODEX_MAGIC_ANSWERS") or cls.answers,
            openai_api_key=read("OPENAI_API_KEY"),
            openai_base_url=url("OPENAI_BASE_URL", cls.openai_base_url),
            originator=read("CODEX_MAGIC_ORIGINATOR") or cls.originator,
            user_agent=read("CODEX_MAGIC_USER_AGENT"),
            client_version=read("CODEX_MAGIC_CLIENT_VERSION") or cls.client_version,
            ca_bundle=read("CODEX_CA_CERTIFICATE"),
            redirect_host=read("CODEX_MAGIC_REDIRECT_HOST") or cls.redirect_host,
            callback_ports=tuple(int(port) for port in ports if port.isdigit()) or cls.callback_ports,
        )


def _seconds(minutes: str | None, default: float) -> float:
    """`"2.5"` is 150; what is no number, or less than nothing, is the default."""
    with suppress(ValueError):
        if (seconds := float(minutes or "nan") * 60) >= 0:
            return seconds
    return default


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())
