"""What a machine may have that keeps the agent's program from work: each is named before a turn waits for it."""

from __future__ import annotations

import os
import sys

import pytest

from codex_magic import Codex, CodexConfig, ConfigurationError, UnreachableError
from tests.peers.agent import as_plan

pytest.importorskip("codex_cli_bin")

pytestmark = pytest.mark.peer


@pytest.fixture
def folder(home):
    """The program's own, with nothing in it."""
    folder = home / ".codex"
    folder.mkdir()
    return folder


def refusal(kind, **options):
    with Codex(CodexConfig(engine="app-server", **options)) as codex:
        with pytest.raises(kind) as refused:
            codex.thread_start().run("hi")
        return str(refused.value)


BROKEN = [
    ("[unclosed", 2),
    ("model = 3", 2),
    ('sandbox_mode = "bogus"', 2),
    ("[mcp_servers.x]\ncommand = 3", 3),
    ("tools = true\ntools = true", 3),
]


@pytest.mark.parametrize(("text", "line"), BROKEN)
def test_a_broken_configuration_is_named_with_its_line(folder, text, line):
    file = folder / "config.toml"
    file.write_text(f"# mine\n{text}\n")
    assert f"{file}:{line}:" in refusal(ConfigurationError)
    assert f"{file}:{line}:" in refusal(ConfigurationError, provider="http://127.0.0.1:9/v1")


def test_a_broken_configuration_is_no_missing_sign_in_and_can_be_corrected(service, home, config):
    file = home / ".codex" / "config.toml"
    text = file.read_text()
    file.write_text("[unclosed\n" + text)
    with Codex(config) as codex:
        thread = codex.thread_start()
        with pytest.raises(ConfigurationError):
            thread.run("hi")
        file.write_text(text)
        assert thread.run("echo: corrected").final_response == "corrected"


def test_bytes_that_are_no_text_are_named(folder):
    (folder / "config.toml").write_bytes(b'model = "\xff"\n')
    assert str(folder / "config.toml") in refusal(ConfigurationError)


def test_a_home_that_is_a_file_is_named(home):
    (home / ".codex").write_text("")
    assert str(home / ".codex") in refusal(ConfigurationError)


@pytest.mark.parametrize("name", ["auth.json", "config.toml"])
@pytest.mark.parametrize(
    "make",
    [
        "mkdir",
        pytest.param("mkfifo", marks=pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")),
    ],
)
def test_what_should_be_a_file_and_is_none_is_named(folder, name, make):
    getattr(os, make)(folder / name)
    assert str(folder / name) in refusal(ConfigurationError)
    assert str(folder / name) in refusal(ConfigurationError, provider="http://127.0.0.1:9/v1")


def test_a_certificate_that_nobody_trusts_is_named(home, tmp_path, monkeypatch):
    with as_plan(home, tmp_path / "tls", monkeypatch) as plan:
        plan.sign_in(home / ".codex")
        monkeypatch.delenv("CODEX_CA_CERTIFICATE")
        assert "CODEX_CA_CERTIFICATE" in refusal(ConfigurationError)


def test_a_plan_whose_service_is_out_of_reach_is_named(home, tmp_path, monkeypatch):
    with as_plan(home, tmp_path / "tls", monkeypatch) as plan:
        plan.sign_in(home / ".codex")
    assert "can't be reached" in refusal(UnreachableError)
