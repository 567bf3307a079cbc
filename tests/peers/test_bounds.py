"""What the agent's commands can't reach: files that hold secrets, and notebooks that they would write."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from codex_magic import Codex, CodexConfig, Sandbox
from codex_magic.protocol.types import CommandExecution, Decision, Warned
from tests.peers import without_profiles
from tests.peers.agent import asked_with, done, escalated, use

codex_cli_bin = pytest.importorskip("codex_cli_bin")

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(sys.platform == "win32", reason="the commands are those of a POSIX shell"),
]

SECRETS = ".env sub/prod.env a/b/.env.local .netrc id_rsa id_ed25519.pub .pypirc .ssh/config server.pem sub/server.pem"
OF_THE_USER = ".ssh/id_ed25519 .netrc .aws/credentials .codex/auth.json"
BOTH = [Sandbox.read_only, Sandbox.workspace_write]


def plant(folder, names):
    for name in names.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"planted in {name}")


@pytest.fixture
def work(home, folder, config):
    """A folder with secrets, data and a notebook; the user's own secrets are in `home`."""
    plant(home, OF_THE_USER.replace(" .codex/auth.json", ""))
    plant(folder, f"{SECRETS} data.csv n.ipynb deep/lib/site/cacert.pem")
    return folder


def output(result):
    [command] = done(result, CommandExecution)
    return command.aggregated_output


def leaked(service):
    return "planted" in json.dumps(
        [each.json["input"] for each in service.requests if each.path.endswith("/responses")]
    )


@pytest.mark.parametrize("sandbox", [*BOTH, None])
def test_secrets_in_files_never_reach_the_model(codex, service, home, work, sandbox):
    thread = codex.thread_start(cwd=str(work), sandbox=sandbox)
    thread.run(use("exec_command", cmd=f"cat {SECRETS}; true"))
    names = " ".join(f"{home}/{name}" for name in OF_THE_USER.split())
    thread.run(use("exec_command", cmd=f"cat {names}; true"))
    assert not leaked(service)


@pytest.mark.parametrize("sandbox", BOTH)
def test_other_files_stay_readable(codex, work, sandbox):
    thread = codex.thread_start(cwd=str(work), sandbox=sandbox)
    names = "data.csv n.ipynb deep/lib/site/cacert.pem"
    said = output(thread.run(use("exec_command", cmd=f"cat {names}")))
    assert said == "".join(f"planted in {name}" for name in names.split())


def test_a_yes_to_a_command_outside_the_sandbox_shows_no_secret(codex, service, work):
    options = {"sandbox": Sandbox.read_only, "approvals": asked_with(Decision.accept)}
    thread = codex.thread_start(cwd=str(work), **options)
    thread.run(escalated("cat .env; true"))
    assert output(thread.run(escalated("echo written | tee out.txt"))) == "written\n"
    assert not leaked(service)


def test_what_may_be_written_is_written_and_no_notebook(codex, work):
    thread = codex.thread_start(cwd=str(work), sandbox=Sandbox.workspace_write)
    before = sorted(path.name for path in work.iterdir())
    thread.run(use("exec_command", cmd="echo x > n.ipynb; rm n.ipynb; mv o n.ipynb; echo more >> data.csv"))
    assert (work / "n.ipynb").read_text() == "planted in n.ipynb"
    assert (work / "data.csv").read_text() == "planted in data.csvmore\n"
    assert sorted(path.name for path in work.iterdir()) == before  # nor is anything left behind


def test_no_notebook_below_the_folder_is_written_however_many_there_are(codex, work):
    names = [f"sub.d/deep/n{number}.ipynb" for number in range(60)]
    plant(work, f"{' '.join(names)} .venv/pyvenv.cfg .venv/n.ipynb")
    thread = codex.thread_start(cwd=str(work), sandbox=Sandbox.workspace_write)
    thread.run(
        use(
            "exec_command",
            cmd="for f in sub.d/deep/*.ipynb; do echo x > $f; unlink $f; done; echo x > sub.d/deep/new.txt",
        )
    )
    assert [name for name in names if (work / name).read_text() != f"planted in {name}"] == []
    assert (work / "sub.d/deep/new.txt").exists()


def test_a_notebook_that_was_renamed_does_not_come_back(codex, work):
    thread = codex.thread_start(cwd=str(work), sandbox=Sandbox.workspace_write)
    thread.run(use("exec_command", cmd="true"))
    (work / "n.ipynb").rename(work / "renamed.ipynb")
    assert "renamed.ipynb" in output(thread.run(use("exec_command", cmd="ls")))
    assert not (work / "n.ipynb").exists()


TURN = """
import sys
from codex_magic import Codex, CodexConfig, Sandbox
with Codex(CodexConfig(engine="app-server", provider=sys.argv[1], model="gpt-5.5")) as codex:
    codex.thread_start(cwd=sys.argv[2], sandbox=Sandbox.workspace_write).run(sys.argv[3])
"""


def test_what_a_killed_kernel_leaves_behind_the_next_turn_removes(codex, service, work):
    plant(work, ".agents/mine")
    before = sorted(path.name for path in work.iterdir())
    endless = use("exec_command", cmd="echo begun; touch begun; sleep 60")
    killed = subprocess.Popen([sys.executable, "-c", TURN, service.api_url, str(work), endless])
    while not (work / "begun").exists():
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    (work / "begun").unlink()
    assert (work / ".codex").exists()
    codex.thread_start(cwd=str(work), sandbox=Sandbox.workspace_write).run(use("exec_command", cmd="true"))
    assert sorted(path.name for path in work.iterdir()) == before


def test_the_bounds_hold_in_a_resumed_thread_a_fork_and_another_folder(codex, config, service, work, folder):
    thread = codex.thread_start(cwd=str(work), sandbox=Sandbox.read_only)
    first = thread.run("echo: a")
    thread.run("echo: b")
    other = folder / "other"
    plant(other, ".env")
    codex.close()
    with Codex(config) as anew:
        for each in (anew.thread_resume(thread.id), anew.thread_fork(thread.id, last_turn_id=first.id)):
            each.run(use("exec_command", cmd="cat .env; true"), sandbox=Sandbox.read_only)
            each.run(use("exec_command", cmd="cat .env; true"), sandbox=Sandbox.workspace_write)
            each.run(use("exec_command", cmd="cat .env; true"), cwd=str(other))
    assert not leaked(service)


def test_a_turn_may_have_another_sandbox_than_the_one_before(codex, work):
    thread = codex.thread_start(cwd=str(work), sandbox=Sandbox.full_access)
    touch = use("exec_command", cmd="echo x > new.txt; cat .env; true")
    for sandbox, is_written, is_read in [
        (Sandbox.full_access, True, True),
        (Sandbox.read_only, False, False),
        (Sandbox.workspace_write, True, False),
        (Sandbox.full_access, True, True),
        (Sandbox.read_only, False, False),
    ]:
        (work / "new.txt").unlink(missing_ok=True)
        said = output(thread.run(touch, sandbox=sandbox))
        assert ((work / "new.txt").exists(), "planted" in said) == (is_written, is_read)


def test_the_users_own_profile_stays(codex, home, service, work):
    own = {"default_permissions": "mine", "permissions": {"mine": {"extends": ":workspace"}}}
    thread = codex.thread_start(cwd=str(work), config=own)
    assert "planted" in output(thread.run(use("exec_command", cmd="cat .env; touch new.txt")))
    assert (work / "new.txt").exists()


def test_where_nothing_can_be_bounded_a_turn_says_so_and_goes_on(service, work):
    program = str(codex_cli_bin.bundled_codex_path())
    command = (sys.executable, without_profiles.__file__, program, "app-server")
    config = CodexConfig(
        engine="app-server", provider=service.api_url, model="gpt-5.5", launch_args_override=command
    )
    with Codex(config) as codex:
        turn = codex.thread_start(cwd=str(work), sandbox=Sandbox.read_only).turn(
            use("exec_command", cmd="cat data.csv")
        )
        [warning] = [each.message for each in turn.stream() if isinstance(each, Warned)]
    assert ".env" in warning
    assert output(turn.run()) == "planted in data.csv"


@pytest.mark.parametrize("place", ["AGENTS.md", "AGENTS.override.md", "../AGENTS.md", "TEAM.md"])
def test_instructions_in_the_folder_and_above_reach_the_model(codex, home, service, folder, place):
    if place == "TEAM.md":
        settings = home / ".codex" / "config.toml"
        settings.write_text(f'project_doc_fallback_filenames = ["TEAM.md"]\n{settings.read_text()}')
    (work := folder / "work").mkdir()
    (folder / ".git").mkdir()
    (work / place).write_text("Say it in Latin.")
    codex.thread_start(cwd=str(work), sandbox=Sandbox.read_only).run("echo: Salve")
    assert "Say it in Latin." in json.dumps(service.requests[-1].json)
