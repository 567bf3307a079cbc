"""Scenes with the official app-server: a home, the local service as its model, and a session of ours."""

from __future__ import annotations

import pytest

from codex_magic import Codex, CodexConfig
from tests.peers.agent import as_plan, as_provider


@pytest.fixture
def service(home, monkeypatch):
    """The local service as one more provider of the program's."""
    with as_provider(home, monkeypatch) as service:
        yield service


@pytest.fixture
def plan(home, tmp_path, monkeypatch):
    """The local service as the ChatGPT backend; nobody is signed in."""
    with as_plan(home, tmp_path / "tls", monkeypatch) as service:
        yield service


@pytest.fixture
def config(service):
    """A session whose agent asks the local service, and nobody else."""
    return CodexConfig(engine="app-server", provider=service.api_url, model="gpt-5.5")


@pytest.fixture
def codex(config):
    with Codex(config) as codex:
        yield codex


@pytest.fixture
def folder(tmp_path):
    """Where the agent works."""
    return tmp_path
