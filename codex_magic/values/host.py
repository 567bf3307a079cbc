"""What `ask` and `map` take from where they are called: a script by default, or a notebook that says so."""

from __future__ import annotations

import builtins
import os
import sys
from typing import TYPE_CHECKING, Literal

from ..protocol import notebook_host

if TYPE_CHECKING:
    from ..context.secrets import OutgoingMask
    from ..protocol.settings import Settings
    from ..protocol.types import RateLimits
    from ..responses.client import AsyncClient
    from ..responses.parameters import Parameters
    from ..responses.provider import Provider


Stored = Literal["no", "first", "only"]
"""`first`: what is not stored is asked. `only`: it is an error."""


class Host:
    """A script, which goes by the environment."""

    rows = 5
    """Rows of a table that go along with a question."""

    @property
    def settings(self) -> Settings:
        from ..protocol.settings import Settings

        return Settings.from_env()

    def provider(self, choice: str | Provider | None) -> Provider:
        """Return what `choice` stands for, else what is signed in. Raises ConfigurationError."""
        from ..threads.codex import AsyncCodex
        from ..threads.options import CodexConfig

        return AsyncCodex(CodexConfig(settings=self.settings)).provider(choice)

    def parameters(self) -> Parameters:
        """Return what holds for each request that does not say otherwise."""
        return {}

    @property
    def stored(self) -> Stored:
        """Whether an answer that is stored will do."""
        return "only" if self.settings.answers == "replay" else "no"

    async def limits(self, service: AsyncClient) -> RateLimits | None:
        """Return what is left of the plan that pays for `service`; `None` without one. Raises CodexError."""
        return (await service.usage()).limits if service.provider.is_codex else None

    def mask(self) -> OutgoingMask:
        """Return what takes secrets out of all that is sent."""
        from ..context.secrets import OutgoingMask, environment_secrets

        return OutgoingMask(environment_secrets(os.environ))

    def says_yes(self, question: str) -> bool:
        """Ask the person who is there; where nobody is, or no answer comes, it is a no."""
        is_terminal = getattr(builtins.input, "__module__", None) == "builtins"
        if is_terminal and not all(each is not None and each.isatty() for each in (sys.stdin, sys.stdout)):
            return False
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except (EOFError, OSError, RuntimeError):  # a kernel whose front end takes no line
            return False


def current() -> Host:
    """Return the host of the call that is made now."""
    return notebook_host() or Host()
