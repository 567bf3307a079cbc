"""All checks side by side, each with a limit of its own, so that none is waited for in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.request import getproxies

from ..protocol.errors import CodexError
from ..protocol.settings import Settings
from ..responses.provider import Provider
from ..threads.codex import AsyncCodex
from ..threads.options import CodexConfig, EngineName
from ..waiting import awaited, in_thread
from . import machine, service
from .findings import Finding, Level
from .machine import Page

MACHINE_SECONDS = 20.0  # for a check of this machine: a program that starts on a slow disk, a large store
SERVICE_SECONDS = 45.0  # for those that ask the service, one after the other


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is examined. `model`, `engine`: the chosen ones; `page`: `None` outside of IPython."""

    settings: Settings
    provider: Provider | CodexError
    model: str | None = None
    engine: EngineName = "backend"
    page: Page | None = None
    is_offline: bool = False

    @classmethod
    def of_environment(cls, *, is_offline: bool) -> Case:
        """Return that of a program without a notebook, which goes by the environment."""
        settings = Settings.from_env()
        provider: Provider | CodexError
        try:
            provider = AsyncCodex(CodexConfig(settings=settings)).provider()
        except CodexError as error:
            provider = error
        return cls(settings=settings, provider=provider, is_offline=is_offline)

    @property
    def addresses(self) -> list[str]:
        """Of all servers that may stand in a finding."""
        own = [] if isinstance(self.provider, CodexError) else [self.provider.base_url]
        settings = self.settings
        named = [settings.base_url, settings.chatgpt_url, settings.issuer, settings.openai_base_url]
        proxies = (each if "://" in each else f"http://{each}" for each in getproxies().values())
        return [*own, *named, *proxies]


async def examine(case: Case) -> list[Finding]:
    """Return what every check found, in the order of the table; raises nothing of theirs."""
    settings, is_agent = case.settings, case.engine == "app-server"
    of_machine: list[tuple[str, Callable[[], Finding]]] = [
        ("Certificates", lambda: machine.certificates(settings)),
        ("Agent", lambda: machine.program(settings, needed=is_agent)),
        ("Sandbox", lambda: machine.sandbox(settings, needed=is_agent)),
        ("Store", lambda: machine.store(settings)),
        ("Front end", lambda: machine.front_end(case.page)),
        ("Policy", machine.policy),
        ("Versions", machine.versions),
        ("System", machine.system),
    ]
    certificates, *others = await asyncio.gather(
        *(_within(MACHINE_SECONDS, name, awaited(in_thread(look, daemon=True))) for name, look in of_machine),
        _service(case),
    )
    assert isinstance(certificates, Finding)
    *of_this_machine, of_service = others
    assert isinstance(of_service, list)
    network, *rest = of_service
    return [network, certificates, *rest, *(each for each in of_this_machine if isinstance(each, Finding))]


async def _service(case: Case) -> list[Finding]:
    names = service.CHECKS
    provider = case.provider
    if isinstance(provider, CodexError):
        return [
            Finding.of(name, provider) if name == "Sign-in" else Finding(name, Level.skipped, "no provider")
            for name in names
        ]
    if case.is_offline:
        offline = Finding("", Level.skipped, "not asked: --offline")
        stored = await _within(
            MACHINE_SECONDS,
            "Sign-in",
            awaited(in_thread(lambda: service.sign_in(case.settings, provider), daemon=True)),
        )
        return [stored if name == "Sign-in" else offline._replace(check=name) for name in names]
    found: dict[str, Finding] = {}
    asking = service.ask_all(case.settings, provider, case.model, found)
    late = await _within(SERVICE_SECONDS, "", asking)
    return [found.get(name) or late._replace(check=name) for name in names]


async def _within(seconds: float, name: str, look: Awaitable[Finding]) -> Finding:
    """Return what a check found, or that it failed or took too long."""
    try:
        return await asyncio.wait_for(look, seconds)
    except asyncio.TimeoutError:
        return Finding(name, Level.warning, f"no result within {seconds:.0f} seconds")
    except CodexError as error:
        return Finding.of(name, error)
    except Exception as error:  # noqa: BLE001  # one check that breaks must not hide what the others found
        return Finding(name, Level.warning, f"the check itself failed: {type(error).__name__}: {error}")
