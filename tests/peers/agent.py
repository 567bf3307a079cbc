"""What the tests of the official app-server share: homes, prompts and what to look at afterwards."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from codex_magic.protocol.types import AgentMessageDelta
from tests.home import QUIET, service_variables
from tests.service import start

CONFIG = f"""
model = "gpt-5.5"
{QUIET}"""

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc00000030101"
    "0018dd8db00000000049454e44ae426082"
)

PATCH = "*** Begin Patch\n*** Add File: new.txt\n+one line\n*** End Patch\n"


needs_zstd = pytest.mark.skipif(
    sys.version_info < (3, 14) and importlib.util.find_spec("zstandard") is None,
    reason="the binary compresses its requests with zstd, which needs Python 3.14 or the zstandard package",
)


@contextmanager
def as_provider(home, monkeypatch):
    """The local service as one more provider of the program's, over http."""
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text(CONFIG)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with start(open_access=True) as service:
        yield service


@contextmanager
def as_plan(home, folder, monkeypatch, *, websocket=False):
    """The local service as the ChatGPT backend, over TLS; nobody is signed in."""
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text('cli_auth_credentials_store = "file"\n' + CONFIG)
    with start(tls=folder, auto_approve=True, websocket=websocket) as service:
        variables = {
            **service_variables(service),
            "CODEX_CA_CERTIFICATE": str(service.ca_file),
            "CODEX_REFRESH_TOKEN_URL_OVERRIDE": service.issuer + "/oauth/token",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield service


def by_the_cli(service, home, *arguments):
    """A turn of the Codex CLI in a terminal; the id of its thread."""
    import codex_cli_bin  # whoever has none of it skips before

    provider = (
        f'model_providers.local={{name="local", base_url="{service.api_url}", wire_api="responses"}}',
        'model_provider="local"',
    )
    command = [str(codex_cli_bin.bundled_codex_path()), "exec", "--json", "--skip-git-repo-check"]
    settings = [part for line in provider for part in ("-c", line)]
    ran = subprocess.run(
        [*command, *settings, *arguments],
        cwd=home,
        env={**os.environ, "CODEX_HOME": str(home / ".codex")},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
        check=True,
    )
    events = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    return events[0]["thread_id"]


def sent(service, number=-1):
    return [request.json for request in service.requests if request.path.endswith("/responses")][number]


def said(body):
    """Role and text of the messages after those that the program puts before every thread."""
    messages = [item for item in body["input"] if item["type"] == "message"]
    told = [(item["role"], item["content"][0].get("text", "")) for item in messages]
    around = next(n for n, (_, text) in enumerate(told) if text.startswith("<environment_context>"))
    return told[around + 1 :]


def use(tool, **arguments):
    return f"use the tool {tool} with {json.dumps(arguments)}"


def escalated(command):
    return use("exec_command", cmd=command, sandbox_permissions="require_escalated", justification="I must")


def done(result, kind):
    return [item for item in result.items if isinstance(item, kind)]


def asked_with(answer):
    """An approvals callable that keeps what it was asked and always answers the same."""

    requests: list[Any] = []

    def approvals(request):
        requests.append(request)
        return answer

    keeping: Any = approvals
    keeping.requests = requests
    return keeping


def held(codex, service, *, after=2, count=1, **options):
    """A turn whose answer stopped after a few words."""
    service.faults.next("hold", after=after)
    thread = codex.thread_start(**options)
    handle = thread.turn("repeat 2000", summary="none")
    service.wait_for_hold(count=count)
    return thread, handle


def first_words(handle):
    """Reads on until something was said; to let go of it would be to stop the turn."""
    for notification in handle.stream():
        if isinstance(notification, AgentMessageDelta):
            yield notification.delta


def program():
    """The process id of the one program that this process runs."""
    [running] = programs()
    return running.pid


def programs(parent=None):
    """Those of this process, or of another."""
    return [each for each in psutil.Process(parent).children() if each.name() == "codex"]
