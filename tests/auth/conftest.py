"""The local service as issuer, a storage, and everything that signs in to one with the other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from codex_magic.auth.oauth import Issuer
from codex_magic.auth.sign_in import SignIn, TokenSource
from codex_magic.auth.storage import Storage
from codex_magic.protocol.settings import Settings
from tests.service import LocalService, start


@pytest.fixture
def issuer_service() -> Iterator[LocalService]:
    """A service that approves every sign-in by itself; nobody is signed in to it."""
    with start(auto_approve=True) as service:
        yield service


@pytest.fixture
def settings(issuer_service: LocalService, tmp_path: Path) -> Settings:
    return Settings(
        codex_home=tmp_path / "codex",
        home=tmp_path / "ours",
        base_url=issuer_service.base_url,
        chatgpt_url=issuer_service.chatgpt_url,
        issuer=issuer_service.issuer,
        callback_ports=(0,),
    )


@pytest.fixture
def storage(settings: Settings) -> Storage:
    return Storage.of(settings)


@pytest.fixture
def sign_in(settings: Settings) -> SignIn:
    return SignIn.of(settings)


@pytest.fixture
def source(settings: Settings) -> TokenSource:
    return TokenSource.of(settings)


@pytest.fixture
def hurried(settings: Settings) -> TokenSource:
    """A source whose patience with the issuer is short."""
    return TokenSource(Storage.of(settings), hasty(settings))


@pytest.fixture
def hurried_sign_in(settings: Settings) -> SignIn:
    return SignIn(Storage.of(settings), hasty(settings))


def hasty(settings: Settings) -> Issuer:
    return Issuer(settings.issuer, "codex_magic", "codex_magic/0", seconds=0.6)


ROOT = Path(__file__).parent.parent.parent


def environment(settings: Settings) -> dict[str, str]:
    """What makes another process use the same home and issuer."""
    return os.environ | {
        "CODEX_HOME": str(settings.codex_home),
        "CODEX_MAGIC_HOME": str(settings.home),
        "CODEX_MAGIC_BASE_URL": settings.base_url,
        "CODEX_MAGIC_CHATGPT_URL": settings.chatgpt_url,
        "CODEX_MAGIC_ISSUER": settings.issuer,
        "CODEX_MAGIC_CALLBACK_PORTS": "0",
    }


@pytest.fixture
def spawn(settings: Settings) -> Callable[[str], subprocess.Popen[str]]:
    """Start one flow of `signing.py`."""

    def start(flow: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.auth.signing", flow],
            cwd=ROOT,
            env=environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
