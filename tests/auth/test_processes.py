"""Many kernels share one sign-in: one of them renews it, and no moment of a kill breaks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from codex_magic.auth.credentials import Tokens, with_sign_in
from codex_magic.auth.storage import Storage, auth_path
from codex_magic.local_service import LocalService
from codex_magic.protocol.settings import Settings

ROOT = Path(__file__).parent.parent.parent
PROCESSES = 8
ROUNDS = 20


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {
        "CODEX_HOME": str(settings.codex_home),
        "CODEX_MAGIC_HOME": str(settings.home),
        "CODEX_MAGIC_BASE_URL": settings.base_url,
        "CODEX_MAGIC_ISSUER": settings.issuer,
        "CODEX_MAGIC_CALLBACK_PORTS": "0",
    }


@pytest.fixture
def racers(issuer_service: LocalService, settings: Settings) -> Iterator[list[subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "tests.auth.racing", issuer_service.chatgpt_url + "/wham/usage"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    env = environment(settings)
    racers = [subprocess.Popen(command, cwd=ROOT, env=env, **pipes) for _ in range(PROCESSES)]  # type: ignore[call-overload]  # the pipes
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    yield racers
    for racer in racers:
        racer.communicate()


def test_of_many_processes_with_one_expired_token_one_refreshes(
    issuer_service: LocalService, settings: Settings, racers: list[subprocess.Popen[str]]
) -> None:
    """Every request succeeds, in every round, and whoever reads the file meanwhile can parse it."""
    done = threading.Event()
    broken: list[bytes] = []
    reader = threading.Thread(target=read_again_and_again, args=[settings, done, broken])
    store_expired_tokens(issuer_service, settings)
    reader.start()
    for round in range(ROUNDS):
        store_expired_tokens(issuer_service, settings)
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
        assert [racer.stdout.readline() for racer in racers if racer.stdout] == ["200\n"] * PROCESSES
        refreshes = [request for request in issuer_service.requests if request.path == "/oauth/token"]
        assert len(refreshes) == round + 1
    done.set()
    reader.join()
    assert broken == []


def store_expired_tokens(service: LocalService, settings: Settings) -> None:
    new = service.issue_tokens(expires_in=-60)
    tokens = Tokens(new.access_token, new.id_token, new.refresh_token)
    Storage.of(settings).update(lambda document: with_sign_in(document, tokens))


def read_again_and_again(settings: Settings, done: threading.Event, broken: list[bytes]) -> None:
    while not done.wait(0.001):
        data = auth_path(settings.codex_home).read_bytes()
        try:
            json.loads(data)
        except ValueError:
            broken.append(data)
