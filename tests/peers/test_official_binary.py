"""The official binary against the local service: as one more provider, and as the ChatGPT backend."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from tests.home import QUIET
from tests.known import some
from tests.peers.agent import needs_zstd
from tests.service import start

codex_cli_bin = pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer

PROVIDER = """
model = "gpt-5.5"
model_provider = "local"
[model_providers.local]
name = "local"
base_url = "{base_url}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = {retries}
"""

CHATGPT = """
model = "{model}"
chatgpt_base_url = "{chatgpt_url}/"
openai_base_url = "{base_url}"
cli_auth_credentials_store = "file"
"""


OFFLINE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
"""A proxy that nobody runs: what is not for this machine goes nowhere."""


def environment(home, **variables):
    return {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home), **OFFLINE, **variables}


def run_codex(home, *arguments, **variables):
    command = [str(codex_cli_bin.bundled_codex_path()), *arguments]
    env = environment(home, **variables)
    return subprocess.run(
        command, cwd=home, env=env, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
    )


def ask(home, prompt, **variables):
    """The events that `codex exec` prints."""
    done = run_codex(home, "exec", "--json", "--skip-git-repo-check", "-s", "read-only", prompt, **variables)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def items(events, kind):
    done = [event["item"] for event in events if event["type"] == "item.completed"]
    return [item for item in done if item["type"] == kind]


@pytest.fixture
def custom():
    with start(open_access=True) as service:
        yield service


def configure(home, text):
    (home / "config.toml").write_text(text + QUIET)


def test_a_turn_with_a_custom_provider(custom, tmp_path):
    configure(tmp_path, PROVIDER.format(base_url=custom.api_url, retries=0))
    events = ask(tmp_path, "echo: naïve 漢字 {braces}")
    assert [item["text"] for item in items(events, "agent_message")] == ["naïve 漢字 {braces}"]
    assert events[-1]["type"] == "turn.completed"
    assert events[-1]["usage"]["output_tokens"] > 0


def test_its_request_passes_the_rules_of_the_codex_backend(custom, tmp_path):
    configure(tmp_path, PROVIDER.format(base_url=custom.base_url, retries=0))
    events = ask(tmp_path, "echo: strict")
    assert [item["text"] for item in items(events, "agent_message")] == ["strict"]


def test_it_runs_the_command_that_the_script_asks_for(custom, tmp_path):
    configure(tmp_path, PROVIDER.format(base_url=custom.api_url, retries=0))
    events = ask(tmp_path, 'use the tool exec_command with {"cmd": "echo from the shell"}')
    [command] = items(events, "command_execution")
    [answer] = items(events, "agent_message")
    assert (command["exit_code"], command["aggregated_output"].strip()) == (0, "from the shell")
    assert "from the shell" in answer["text"]


def test_it_tries_again_after_a_broken_stream(custom, tmp_path):
    configure(tmp_path, PROVIDER.format(base_url=custom.api_url, retries=1))
    custom.faults.next("drop")
    events = ask(tmp_path, "echo: second try")
    assert items(events, "agent_message")[-1]["text"] == "second try"
    assert events[-1]["type"] == "turn.completed"


def test_it_stops_at_a_usage_limit(custom, tmp_path):
    configure(tmp_path, PROVIDER.format(base_url=custom.api_url, retries=1))
    custom.faults.next("usage_limit")
    events = ask(tmp_path, "hello")
    assert events[-1]["type"] == "turn.failed"
    assert "usage limit" in events[-1]["error"]["message"]


def test_it_finds_the_sign_in_that_the_service_wrote(custom, tmp_path):
    custom.sign_in(tmp_path)
    status = run_codex(tmp_path, "login", "status")
    assert "Logged in using ChatGPT" in status.stdout + status.stderr


def test_it_signs_in_with_a_device_code(custom, tmp_path):
    configure(tmp_path, 'cli_auth_credentials_store = "file"\n')
    command = [codex_cli_bin.bundled_codex_path(), "login", "--device-auth"]
    command += ["--experimental_issuer", custom.issuer]
    with subprocess.Popen(
        command, env=environment(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as login:
        shown = next(found for line in some(login.stdout) if (found := re.search(r"[A-Z]{4}-[A-Z]{5}", line)))
        custom.approve_device(shown[0])
        assert login.wait(timeout=30) == 0
    assert json.loads((tmp_path / "auth.json").read_text())["tokens"]["refresh_token"]


def test_it_revokes_its_token_when_it_signs_out(custom, tmp_path):
    tokens = custom.sign_in(tmp_path)
    run_codex(tmp_path, "logout", CODEX_REFRESH_TOKEN_URL_OVERRIDE=custom.issuer + "/oauth/token")
    assert custom.wait_for_request("/oauth/revoke").json["token"] == tokens.refresh_token
    assert not (tmp_path / "auth.json").exists()


@pytest.fixture
def backend(tmp_path):
    with start(tls=tmp_path / "tls") as service:
        yield service


def ask_backend(backend, home, prompt, *, model):
    configure(home, CHATGPT.format(model=model, chatgpt_url=backend.chatgpt_url, base_url=backend.base_url))
    trusted = {"CODEX_CA_CERTIFICATE": str(backend.ca_file)}
    refreshing = {"CODEX_REFRESH_TOKEN_URL_OVERRIDE": backend.issuer + "/oauth/token"}
    return items(ask(home, prompt, **trusted, **refreshing), "agent_message")


@needs_zstd
@pytest.mark.parametrize("model", ["gpt-5.5", "local-lite"])
def test_a_turn_with_a_chatgpt_plan(backend, tmp_path, model):
    tokens = backend.sign_in(tmp_path)
    [answer] = ask_backend(backend, tmp_path, "echo: over https", model=model)
    assert answer["text"] == "over https"
    assert backend.wait_for_request("/codex/responses").headers["chatgpt-account-id"] == tokens.account_id


@needs_zstd
def test_it_refreshes_an_expired_token(backend, tmp_path):
    backend.sign_in(tmp_path, expires_in=-60)
    [answer] = ask_backend(backend, tmp_path, "echo: refreshed", model="gpt-5.5")
    assert answer["text"] == "refreshed"
    assert backend.wait_for_request("/oauth/token").json["grant_type"] == "refresh_token"


@needs_zstd
def test_it_recovers_from_a_refused_token(backend, tmp_path):
    old = backend.sign_in(tmp_path)
    backend.revoke(old.access_token)
    [answer] = ask_backend(backend, tmp_path, "echo: recovered", model="gpt-5.5")
    assert answer["text"] == "recovered"
