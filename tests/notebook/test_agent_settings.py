"""The words that bound the agent, in cells and in settings."""

import os
import sys

import pytest

from codex_magic.notebook.commands import offers
from codex_magic.notebook.magics import loaded
from codex_magic.notebook.options import parse_line
from codex_magic.protocol.errors import OptionError
from codex_magic.protocol.types import ApprovalMode, Sandbox


@pytest.fixture
def magics(shell):
    return loaded(shell)


@pytest.fixture
def options(magics):
    """What a cell with that first line asks of the engine."""

    async def never(request):
        raise AssertionError

    return lambda line: magics.session.turn_options(parse_line(line), never)


def test_without_a_word_the_backend_answers_and_is_told_of_no_bounds(options):
    asked = options("")
    assert asked["engine"] == "backend"
    assert {"sandbox", "approval_mode", "cwd", "approvals"} & set(asked) == set()


def test_the_agent_reads_and_asks_unless_told_otherwise(options):
    asked = options("--agent")
    assert asked["engine"] == "app-server"
    assert (asked["sandbox"], asked["approval_mode"]) == (Sandbox.read_only, ApprovalMode.ask)
    assert asked["cwd"] == os.getcwd()


@pytest.mark.parametrize(
    ("word", "mode"),
    [
        ("ask", ApprovalMode.ask),
        ("untrusted", ApprovalMode.untrusted),
        ("deny", ApprovalMode.deny_all),
        ("auto", ApprovalMode.auto_review),
        ("deny_all", ApprovalMode.deny_all),
        ("never", ApprovalMode.deny_all),
    ],
)
def test_a_cell_says_who_approves(options, word, mode):
    assert options(f"--agent --approval {word}")["approval_mode"] is mode


@pytest.mark.parametrize("word", ["full-access", "full_access", "danger-full-access"])
def test_a_cell_says_what_is_reached(options, word):
    assert options(f"--agent --sandbox {word}")["sandbox"] is Sandbox.full_access


def test_what_a_cell_overrides_holds_for_that_cell(options, run):
    run("%codex engine app-server")
    run("%codex sandbox workspace-write")
    assert options("--sandbox full-access")["sandbox"] is Sandbox.full_access
    assert options("")["sandbox"] is Sandbox.workspace_write


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("--agent --sandbox readonly", "Did you mean read-only"),
        ("--agent --approval maybe", "ask, untrusted, deny, auto"),
        ("--agent --cwd nowhere", "No such folder: 'nowhere'"),
        ("--sandbox read-only", "needs --agent"),
    ],
)
def test_a_wrong_bound_is_refused_before_anything_is_asked(options, line, word):
    with pytest.raises(OptionError, match=word):
        options(line)


def test_a_wrong_setting_is_refused_too(options, magics):
    magics.sandbox = "everything"
    with pytest.raises(OptionError, match="everything"):
        options("--agent")


def test_a_folder_may_be_relative_or_below_home(options, home, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (home / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    assert options("--agent --cwd here")["cwd"] == str(tmp_path / "here")
    assert options("--agent --cwd ~/there")["cwd"] == str(home / "there")


def test_a_folder_that_is_set_stays_when_the_kernel_moves(options, run, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    run("%codex cwd here")
    monkeypatch.chdir(tmp_path / "here")
    assert options("--agent")["cwd"] == str(tmp_path / "here")


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("engine", "backend (answers"),
        ("engine app-server", "app-server (the Codex program"),
        ("engine agent", "app-server (the Codex program"),
        ("sandbox", "read-only"),
        ("sandbox full_access", "full-access (no sandbox"),
        ("approval never", "deny (never leaves the sandbox"),
        ("approval sometimes", "Unknown approval 'sometimes'"),
        ("cwd /nowhere", "No such folder"),
    ],
)
def test_a_setting_is_shown_with_its_meaning(run, command, shown):
    assert shown in run(f"%codex {command}")


def test_the_status_tells_the_bounds_of_the_agent(service, run):
    assert "sandbox" not in run("%codex status")
    run("%codex engine app-server")
    status = run("%codex status")
    assert all(row in status for row in ("app-server", "read-only", "you are asked", os.getcwd()))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("%codex sandbox w", ["workspace-write"]),
        ("%%codex --agent --approval un", ["untrusted"]),
        ("%codex engine a", ["app-server"]),
        ("%%codex --agent --cwd su", ["sub/"]),
        ("%codex cwd sub/d", ["sub/deeper/"]),
        ("%%codex --backg", ["--background"]),
    ],
)
def test_they_complete(magics, tmp_path, monkeypatch, line, found):
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert offers(magics.session, line, line.split()[-1]) == found


def test_nothing_to_stop_or_to_steer_is_a_sentence(run):
    assert run("%codex stop").strip() == "Nothing is running."
    assert run("%codex steer faster").startswith("Nothing is running.")


def test_a_terminal_has_no_background(service, run):
    assert "works in notebooks only" in run("%%codex --background\necho: x")


def test_the_local_agent_needs_no_account(options, magics):
    asked = options("--agent -p local")
    assert asked["model_provider"].startswith("http://127.0.0.1")
    assert asked["model"]


def test_a_missing_program_is_one_sentence_that_says_how_to_get_it(shell, run, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "codex_cli_bin", None)
    told = run("%%codex --agent -p local\necho: x")
    assert "The codex program is not installed." in told
    assert "codex-magic[agent]" in told
