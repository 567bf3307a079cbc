"""Many kernels share one sign-in: one of them renews it, and no moment of a kill breaks it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from codex_magic.auth.credentials import Tokens, with_sign_in
from codex_magic.auth.storage import Storage, auth_path
from codex_magic.protocol.settings import Settings
from tests.auth.conftest import ROOT, environment
from tests.service import LocalService

PROCESSES = 8
ROUNDS = 20


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


# kill -9 -----------------------------------------------------------------------------------------

BEFORE, AFTER = "before anything was stored", "after it"

MOMENTS = [
    ("browser", "/oauth/token", BEFORE),
    ("browser", "/oauth/revoke", AFTER),
    ("device", "/deviceauth/usercode", BEFORE),
    ("device", "/deviceauth/token", BEFORE),
    ("device", "/oauth/token", BEFORE),
    ("device", "/oauth/revoke", AFTER),
    ("paste", "/oauth/token", BEFORE),
    ("paste", "/oauth/revoke", AFTER),
    ("key", "/oauth/revoke", AFTER),
    ("refresh", "/oauth/token", BEFORE),
    ("logout", "/oauth/revoke", BEFORE),
]


@pytest.mark.parametrize(("flow", "path", "moment"), MOMENTS)
def test_killed_in_the_middle_of_a_step(
    issuer_service: LocalService, settings: Settings, spawn: Any, flow: str, path: str, moment: str
) -> None:
    """The file is the old one or the new one, and the next process goes on at once."""
    issuer_service.sign_in(settings.codex_home)
    old = auth_path(settings.codex_home).read_bytes()
    issuer_service.faults.next("hold_headers", path=path)
    with spawn(flow) as process, ThreadPoolExecutor() as threads:
        driving = threads.submit(DRIVERS.get(flow, leave_alone), process, issuer_service)
        issuer_service.wait_for_hold(path=path)
        process.kill()
        process.wait()
        issuer_service.release()
        driving.exception()
    now = auth_path(settings.codex_home).read_bytes()
    assert (now == old) is (moment is BEFORE)
    found = Storage.of(settings).read()
    assert found is not None
    assert found.api_key or found.refresh_token
    with Storage.of(settings).locked():
        pass


def visit(process: subprocess.Popen[str], service: LocalService) -> None:
    httpx.get(process.stdout.readline().strip(), follow_redirects=True)  # type: ignore[union-attr]  # a pipe


def approve(process: subprocess.Popen[str], service: LocalService) -> None:
    if code := process.stdout.readline().strip():  # type: ignore[union-attr]  # a pipe
        service.approve_device(code)


def paste(process: subprocess.Popen[str], service: LocalService) -> None:
    back = httpx.get(process.stdout.readline().strip()).headers["location"]  # type: ignore[union-attr]  # a pipe
    process.stdin.write(f"{back}\n")  # type: ignore[union-attr]  # a pipe
    process.stdin.flush()  # type: ignore[union-attr]  # a pipe


def leave_alone(process: subprocess.Popen[str], service: LocalService) -> None:
    """It needs nobody."""


DRIVERS: dict[str, Callable[[subprocess.Popen[str], LocalService], None]] = {
    "browser": visit,
    "device": approve,
    "paste": paste,
}

WRITER = """
from codex_magic.auth.credentials import with_api_key
from codex_magic.auth.storage import Storage
from codex_magic.protocol.settings import Settings
storage = Storage.of(Settings.from_env())
for number in range(10_000):
    storage.update(lambda document: with_api_key(document, "sk-" + "x" * 99_999))
    if number == 3:
        print("writing", flush=True)
"""


@pytest.mark.parametrize("times", range(3))
def test_killed_in_the_middle_of_writing(settings: Settings, times: int) -> None:
    command = [sys.executable, "-c", WRITER]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(settings), stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.kill()
    found = Storage.of(settings).read()
    assert found is not None
    assert len(found.api_key or "") == 100_002


# What a process says -----------------------------------------------------------------------------


FAULTS = [None, "server_error", "refresh_token_reused", "refuse"]
SAID = [(flow, fault) for flow in ("browser", "device", "paste", "refresh", "turn") for fault in FAULTS]


@pytest.mark.parametrize(("flow", "fault"), [*SAID, ("key", None), ("logout", None)])
def test_no_secret_is_in_what_a_process_says_or_leaves(
    issuer_service: LocalService, settings: Settings, spawn: Any, flow: str, fault: str | None
) -> None:
    """Its logs at DEBUG and its tracebacks too, and every file but auth.json."""
    old = issuer_service.sign_in(settings.codex_home, expires_in=-60)
    if fault is not None:
        issuer_service.faults.next(fault, path="/oauth/token", times=5)
    with spawn(flow) as process:
        DRIVERS.get(flow, leave_alone)(process, issuer_service)
        said = "".join(process.communicate())
    left = [path.read_bytes() for path in settings.home.rglob("*") if path.is_file()]
    everything = said.encode() + b"".join(left)
    assert b"DEBUG" in everything
    for secret in [*secrets_of(issuer_service), old.access_token, old.id_token, old.refresh_token]:
        assert secret.encode() not in everything, secret


def secrets_of(service: LocalService) -> Iterator[str]:
    """What was sent to the issuer that nobody else may see."""
    for request in service.requests:
        form = request.json or {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        if isinstance(form, dict):
            yield from (
                form[name] for name in ("code", "code_verifier", "refresh_token", "token") if name in form
            )
        if "bearer" in request.headers.get("authorization", "").lower():
            yield request.headers["authorization"].split()[1]
    yield "sk-of-a-test"
