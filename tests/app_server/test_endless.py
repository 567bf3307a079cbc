"""A program that comes to no end: each turn of it can be stopped, keeps what was said, and leaves no trace."""

from __future__ import annotations

import gc
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codex_magic import Codex, CodexConfig, ServiceError, TurnStatus, UnreachableError
from codex_magic.display.view import TurnView
from codex_magic.engines.app_server import engine, turn
from codex_magic.protocol.types import AgentMessage, AgentMessageDelta, ErrorReported, Reasoning
from codex_magic.threads.sync import TurnHandle
from tests.app_server.tireless_server import command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the program's pipes are POSIX ones")

Open = Callable[[str], Codex]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "heard"


@pytest.fixture
def open_codex(log: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """A `Codex` on a program of that mode, which is killed early when it does not stop."""
    monkeypatch.setattr(turn, "STOP_SECONDS", 0.2)
    opened: list[Codex] = []

    def open_codex(mode: str) -> Codex:
        config = CodexConfig(engine="app-server", launch_args_override=command(mode, log))
        opened.append(Codex(config))
        return opened[-1]

    yield open_codex
    for codex in opened:
        codex.close()


@pytest.fixture
def unretrieved(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What asyncio has to say about failures that nobody took."""

    def messages() -> list[str]:
        gc.collect()
        return [each.getMessage() for each in caplog.records if each.name == "asyncio"]

    caplog.set_level(logging.ERROR)
    return messages


def begun(handle: TurnHandle) -> Iterator[Any]:
    """The notifications after the first words."""
    told = handle.stream()
    while not isinstance(next(told), AgentMessageDelta):
        pass
    return told


@pytest.mark.parametrize("mode", ["words", "items", "commands", "quiet", "deaf", "stubborn", "unfinished"])
def test_a_turn_without_end_is_stopped_with_what_was_said(
    open_codex: Open, unretrieved: Callable[[], list[str]], mode: str
) -> None:
    codex = open_codex(mode)
    handle = codex.thread_start().turn("hi")
    told = begun(handle)
    for _ in range(500 if mode in ("words", "items", "commands") else 0):
        next(told)
    handle.interrupt()
    result = handle.asynchronous.result
    assert result is not None
    assert result.status is TurnStatus.interrupted
    assert any(isinstance(item, AgentMessage) and "first words" in item.text for item in result.items)
    del told
    assert unretrieved() == []


def test_a_turn_that_never_begins_is_stopped_without_a_trace(
    open_codex: Open, log: Path, unretrieved: Callable[[], list[str]]
) -> None:
    codex = open_codex("silent")
    handle = codex.thread_start().turn("hi")
    while not log.exists() or "turn/start" not in log.read_text():
        codex.account()  # a round through the loop
    handle.interrupt()
    assert handle.asynchronous.result is not None
    assert handle.asynchronous.result.status is TurnStatus.interrupted
    assert unretrieved() == []


def test_questions_without_end_are_answered_until_the_turn_is_stopped(open_codex: Open) -> None:
    asked = threading.Semaphore(0)

    def approve(request: Any) -> str:
        asked.release()
        return "decline"

    handle = open_codex("questions").thread_start(approvals=approve).turn("hi")
    for _ in range(20):
        assert asked.acquire(timeout=10)
    handle.interrupt()
    assert handle.asynchronous.result is not None
    assert handle.asynchronous.result.status is TurnStatus.interrupted


def test_a_turn_that_begins_without_a_network_waits_for_none(
    open_codex: Open, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_MAGIC_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(UnreachableError):
        open_codex("offline").thread_start().run("hi")
    assert "turn/interrupt" in log.read_text()


def test_a_turn_that_has_begun_waits_for_the_network(open_codex: Open) -> None:
    handle = open_codex("cut off").thread_start().turn("hi")
    told = begun(handle)
    while not isinstance(next(told), ErrorReported):
        pass
    handle.interrupt()
    assert handle.asynchronous.result is not None
    assert handle.asynchronous.result.status is TurnStatus.interrupted


@pytest.mark.parametrize("mode", ["permissions, stubborn", "permissions, deaf"])
def test_a_cancel_that_the_program_does_not_heed_ends_the_turn_all_the_same(
    open_codex: Open, mode: str
) -> None:
    """The answer of a person, where the protocol has no word for it."""
    thread = open_codex(mode).thread_start(approvals=lambda request: "cancel")
    with pytest.raises(ServiceError, match="exit code"):
        thread.run("hi")


def test_pages_without_end_are_an_error(open_codex: Open, log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MOST_PAGES", 7)
    with pytest.raises(ServiceError, match="no last one"):
        open_codex("pages").models()
    assert log.read_text().split().count("model/list") == 7


@pytest.mark.parametrize(("thought", "left"), [("**Reading ", []), ("**Reading**\n\nIt has ", ["It has 5"])])
def test_thoughts_of_broken_connections_leave_no_empty_heads(
    open_codex: Open, thought: str, left: list[str]
) -> None:
    thread = open_codex(f"breaks {thought}").thread_start()
    handle = thread.turn("hi")
    view = TurnView()
    for told in handle.stream():
        view.feed(told)
    assert view.markdown().count(">Thought</small></summary>") == len(left)
    kept = [entry.item for entry in thread.history()[0].items if isinstance(entry.item, Reasoning)]
    assert [item.summary[0].splitlines()[-1] for item in kept] == left
