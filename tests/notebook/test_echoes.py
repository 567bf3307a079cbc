"""A server that repeats the key it was sent: what a cell prints, and what is stored of it."""

from __future__ import annotations

import pytest

from codex_magic.protocol.secrets import HIDDEN
from tests.echoes import KEY, completed, created, deltas, echoing, message, shows, sse


@pytest.fixture
def echo(monkeypatch):
    with echoing() as echo:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", echo.url)
        yield echo


def test_a_cell_shows_no_key(echo, home, run):
    ask = "%%codex --provider openai --model m\nhi"
    echo.answer = 401, {}, f'{{"error": {{"message": "No such key: {KEY}", "code": "{KEY}"}}}}'.encode()
    shown = run(ask)
    echo.answer = 200, {}, sse(created(), *deltas(f"it is {KEY}.", 4), message(f"it is {KEY}."), completed())
    shown += run(ask)
    assert f"it is {HIDDEN}." in shown.replace("\\", "").replace("&lt;", "<")
    for command in ("history", "show 1", "status", "threads"):
        shown += run(f"%codex {command}")
    assert not shows(shown)
    files = [path.read_bytes().decode(errors="replace") for path in home.rglob("*") if path.is_file()]
    assert not any(map(shows, files))


def test_a_password_in_the_providers_address_is_not_told(echo, home, run):
    address = echo.url.replace("//", f"//me:{KEY}@")
    echo.answer = 200, {}, sse(created(), message(f"it is {KEY}."), completed())
    shown = run(f"%codex provider {address}") + run("%%codex --model m\nhi")
    echo.answer = 500, {}, KEY.encode()
    shown += run("%codex status") + run("%codex history") + run("%codex threads")
    assert not shows(shown)
    stored = [path for path in home.rglob("threads.db*") if shows(path.read_bytes().decode(errors="replace"))]
    assert stored == []
