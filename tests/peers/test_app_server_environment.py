"""Which variables the codex program and the commands of its agent get, as the commands themselves tell."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager

import pytest

from codex_magic import Codex, CodexConfig, Sandbox
from codex_magic.protocol.types import CommandExecution, Decision
from tests.peers.agent import as_provider, asked_with, done, escalated, use

pytest.importorskip("codex_cli_bin")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a POSIX shell"),
]

OF_THE_HUB = "JUPYTERHUB_API_TOKEN JUPYTERHUB_API_URL JUPYTERHUB_USER JUPYTERHUB_OAUTH_SCOPES JPY_API_TOKEN JPY_PARENT_PID"
BY_NAME = (
    "GH_TOKEN GITHUB_PAT HF_TOKEN NPM_TOKEN npm_config__auth AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY"
    " AWS_SESSION_TOKEN AZURE_API_KEY OPENAI_API_KEY MISTRAL_APIKEY DB_PASSWORD DB_PASS MYSQL_PWD PGPASSWORD"
    " SMTP_PASSWD KEY_PASSPHRASE GOOGLE_APPLICATION_CREDENTIALS BASIC_AUTH HTTP_AUTHORIZATION SESSION_COOKIE"
    " SENTRY_DSN DATABASE_URL REDIS_URL MONGODB_URI AZURE_STORAGE_CONNECTION_STRING SLACK_WEBHOOK_URL"
    " SSH_PRIVATE_FILE SIGNING_SECRET dbPassword githubToken ACCESS_JWT"
)
BY_VALUE = {
    "WAREHOUSE": "postgres://me:pass@warehouse/db",
    "PLAIN": "ghp_" + "a1" * 18,
}
KEPT = (
    "PATH HOME LANG CUDA_VISIBLE_DEVICES CONDA_PREFIX TOKENIZERS_PARALLELISM KEYBOARD_LAYOUT HTTPS_PROXY"
    " MY_PROJECT"
)
PLANTED = {
    **{name: f"made up {name}" for name in f"{OF_THE_HUB} {BY_NAME}".split()},
    **BY_VALUE,
}
LOOK = "env; tr '\\0' '\\n' < /proc/1/environ 2> /dev/null; true"


@pytest.fixture
def service(home, monkeypatch):
    for name in KEPT.split():
        monkeypatch.setenv(name, os.environ.get(name, "made up"))
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    with as_provider(home, monkeypatch) as service:
        monkeypatch.setenv("HTTPS_PROXY", "http://me:pass@127.0.0.1:9")
        yield service


@contextmanager
def agent(service, **options):
    given = {"provider": service.api_url, "model": "gpt-5.5", **options}
    with Codex(CodexConfig(engine="app-server", **given)) as codex:
        yield codex


def variables(result):
    """The names that the one command of a turn wrote."""
    [command] = done(result, CommandExecution)
    lines = command.aggregated_output.splitlines()
    return {line.partition("=")[0] for line in lines if "=" in line}


def configure(home, text):
    with open(home / ".codex" / "config.toml", "a") as file:
        file.write(text)


@pytest.mark.parametrize("sandbox", list(Sandbox))
def test_commands_get_no_variable_of_the_hub_and_none_that_holds_a_secret(service, sandbox):
    with agent(service) as codex:
        thread = codex.thread_start(sandbox=sandbox)
        for _ in range(2):  # the second may have the program's snapshot of the shell
            seen = variables(thread.run(use("exec_command", cmd=LOOK)))
            assert seen & set(PLANTED) == set()
            assert set(KEPT.split()) <= seen


def test_an_approved_command_outside_the_sandbox_gets_none_either(service):
    with agent(service) as codex:
        thread = codex.thread_start(approvals=asked_with(Decision.accept), sandbox=Sandbox.read_only)
        seen = variables(thread.run(escalated(LOOK)))
    assert "PATH" in seen
    assert seen & set(PLANTED) == set()


def test_the_users_own_policy_holds_as_well(service, home, monkeypatch):
    configure(
        home,
        '[shell_environment_policy]\nexclude = ["MY_*"]\nset = {FROM_CONFIG = "1"}\n'
        '[model_providers.other]\nname = "other"\nbase_url = "http://127.0.0.1:9"\nenv_key = "AZURE_API_KEY"\n',
    )
    with agent(service) as codex:
        seen = variables(codex.thread_start().run(use("exec_command", cmd=LOOK)))
        own = {"shell_environment_policy": {"exclude": ["CONDA_PREFIX"]}}
        given = variables(codex.thread_start(config=own).run(use("exec_command", cmd=LOOK)))
    assert "FROM_CONFIG" in seen
    assert seen & {"MY_PROJECT", *PLANTED} == set()
    assert given & {"CONDA_PREFIX", *PLANTED} == set()
    assert "MY_PROJECT" in given


def test_a_resumed_thread_keeps_them_out(service, home):
    configure(
        home,
        '[model_providers.other]\nname = "o"\nbase_url = "http://127.0.0.1:9"\nenv_key = "AZURE_API_KEY"\n',
    )
    with agent(service) as codex:
        thread = codex.thread_start()
        thread.run("echo: hello")
    with agent(service) as codex:
        seen = variables(codex.thread_resume(thread.id).run(use("exec_command", cmd=LOOK)))
    assert seen & set(PLANTED) == set()


def test_a_provider_of_the_programs_own_configuration_still_reads_its_key(service, home):
    configure(
        home,
        f'[model_providers.mine]\nname = "mine"\nbase_url = "{service.api_url}"\nenv_key = "AZURE_API_KEY"\n',
    )
    with agent(service, provider="mine") as codex:
        seen = variables(codex.thread_start().run(use("exec_command", cmd=LOOK)))
    assert service.requests[-1].headers["authorization"] == "Bearer made up AZURE_API_KEY"
    assert "AZURE_API_KEY" not in seen


def test_what_the_user_lets_pass_reaches_commands(service, monkeypatch):
    monkeypatch.setenv("CODEX_MAGIC_AGENT_VARIABLES", "GH_TOKEN, AWS_*")
    with agent(service) as codex:
        seen = variables(codex.thread_start().run(use("exec_command", cmd=LOOK)))
    aws = {name for name in PLANTED if name.startswith("AWS_")}
    assert seen & set(PLANTED) == {"GH_TOKEN", *aws}


def test_an_mcp_server_gets_what_its_configuration_names(service, home, tmp_path):
    script, written = tmp_path / "server.py", tmp_path / "seen.json"
    script.write_text(
        f"import json, os, sys\njson.dump(list(os.environ), open({str(written)!r}, 'w'))\nsys.stdin.read()\n"
    )
    configure(
        home,
        f"[mcp_servers.mine]\ncommand = {json.dumps(sys.executable)}\nargs = [{json.dumps(str(script))}]\n"
        'env_vars = ["GH_TOKEN"]\nstartup_timeout_sec = 1\n',
    )
    with agent(service) as codex:
        thread = codex.thread_start()
        seen = variables(thread.run(use("exec_command", cmd=LOOK)))
    assert set(json.loads(written.read_text())) & set(PLANTED) == {"GH_TOKEN"}
    assert seen & set(PLANTED) == set()
