"""What works where pip brought what is declared and nothing else: the README's sessions, each command, and
one sentence in place of whatever an extra would have brought."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from packaging.requirements import Requirement

from codex_magic.notebook.commands import COMMANDS
from tests.end_to_end.kernel import Kernel
from tests.home import OFFLINE
from tests.pins import pins
from tests.service import LocalService
from tests.test_packaging import ROOT, packages_of, pip_install
from tests.test_readme import blocks, cells, text_of

pytestmark = [pytest.mark.registry, pytest.mark.timeout(900)]

PROMPT = r"\r\nIn \[\d+\]: "

SESSIONS = [block for block in blocks("ipython") if "--agent" not in block]

TRACEBACK = "Traceback (most recent call last)"

READS_THE_LAST_ERROR = "debug"


@pytest.fixture(scope="module")
def plain_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment made by `pip install .`, as the README says."""
    folder = tmp_path_factory.mktemp("plain")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip_install(python, str(ROOT))
    return python


@pytest.fixture
def python(plain_python: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with nothing of this checkout in reach."""
    monkeypatch.setenv("PYTHONPATH", str(OFFLINE))
    monkeypatch.setenv("PATH", str(home))  # where no codex program is
    monkeypatch.chdir(home)
    return plain_python


class Terminal:
    """IPython in a terminal of 80 columns that can't redraw, so that all it shows stays readable."""

    def __init__(self, python: Path) -> None:
        command = "-m IPython --simple-prompt --no-banner --no-confirm-exit --colors=NoColor"
        self.child = pexpect.spawn(
            str(python), command.split(), encoding="utf-8", timeout=60, dimensions=(40, 80), echo=False
        )
        self.child.expect(r"In \[1\]: ")

    def run(self, source: str) -> str:
        """What it shows. Several lines go in as one call."""
        self.child.sendline(source if "\n" not in source else f"get_ipython().run_cell({source!r});")
        self.child.expect(PROMPT)
        return str(self.child.before).replace("\r\n", "\n")


@pytest.fixture
def terminal(python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "dumb")
    terminal = Terminal(python)
    yield terminal
    terminal.child.close(force=True)


def test_no_kernel_comes_along(plain_python: Path) -> None:
    """So what runs here runs without one."""
    assert packages_of(plain_python) & {"ipykernel", "jupyter_client", "pyzmq", "notebook"} == set()


@pytest.mark.parametrize("block", SESSIONS)
def test_a_session_of_the_readme_runs_in_a_terminal(
    block: str, service: LocalService, terminal: Terminal
) -> None:
    for cell in cells(block):
        seen = terminal.run(cell.source)
        assert TRACEBACK not in seen
        assert "Error:" not in seen
        assert [line for line in cell.shown if not is_shown(line, seen)] == []


def is_shown(line: str, seen: str) -> bool:
    """Whatever the width of the table's columns."""
    return squeezed(line) in squeezed(seen)


def squeezed(text: str) -> str:
    return re.sub(r"[ \\]+", " ", text)


@pytest.mark.parametrize("block", blocks("python"))
def test_an_example_of_the_readme_runs_as_a_script(block: str, service: LocalService, python: Path) -> None:
    run = subprocess.run([python, "-c", block], capture_output=True, text=True, check=True)
    asks = any(call in block for call in ("Codex(", "Client(", "codex_magic.ask("))
    assert ("local service" if asks else "customer: Ada") in run.stdout


def test_every_command_answers_in_a_terminal(service: LocalService, terminal: Terminal) -> None:
    """Bare, whatever it then says is missing: an argument, a thread, the program of the agent."""
    terminal.run("%load_ext codex_magic")
    for name in COMMANDS.keys() - {"logout"}:
        seen = terminal.run(f"%codex {name}")
        assert seen.strip()
        assert TRACEBACK not in seen or name == READS_THE_LAST_ERROR
        assert "ModuleNotFoundError" not in seen


def test_a_terminal_signs_in_and_out(service: LocalService, home: Path, terminal: Terminal) -> None:
    (home / ".codex" / "auth.json").unlink()
    terminal.run("%load_ext codex_magic")
    terminal.child.sendline("%codex login device")
    request = service.wait_for_request("/deviceauth/token", 60)
    service.approve_device(request.json["user_code"])
    terminal.child.expect("Signed in as")
    terminal.child.expect(PROMPT)
    assert "Signed out" in terminal.run("%codex logout")


# What an extra would have brought -------------------------------------------------------------------


def test_without_the_agents_program_one_sentence_says_how_to_get_it(terminal: Terminal) -> None:
    terminal.run("%load_ext codex_magic")
    seen = terminal.run("%codex --agent hello")
    assert "codex-magic[agent]" in seen
    assert TRACEBACK not in seen


def test_without_a_keyring_one_sentence_says_how_to_get_it(home: Path, terminal: Terminal) -> None:
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text('cli_auth_credentials_store = "keyring"\n')
    terminal.run("%load_ext codex_magic")
    for line in ("%codex account", "%codex What is a generator?"):
        seen = terminal.run(line)
        assert "codex-magic[keyring]" in seen
        assert TRACEBACK not in seen


def test_without_the_websocket_extra_a_turn_goes_over_http_quietly(
    service: LocalService, python: Path
) -> None:
    code = """
import asyncio
from codex_magic import AsyncClient

async def main():
    async with AsyncClient() as client, client.responses.one_turn() as responses:
        for _ in range(4):
            response = await responses.create("echo: over HTTP")
        print(response.output_text)

asyncio.run(main())
"""
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert "over HTTP" in run.stdout
    assert run.stderr == ""
    assert {request.method for request in service.requests if request.path.endswith("/responses")} == {"POST"}


# With a kernel --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain_python_with_a_kernel(plain_python: Path) -> Path:
    """The same environment from here on."""
    pip_install(plain_python, "ipykernel")
    return plain_python


@pytest.mark.usefixtures("plain_python_with_a_kernel")
@pytest.mark.parametrize("block", SESSIONS)
def test_a_session_of_the_readme_runs_in_a_kernel(block: str, service: LocalService, python: Path) -> None:
    with Kernel(python=python) as kernel:
        assert str(python.parent.parent) in kernel.value("__import__('codex_magic').__file__")
        for cell in cells(block):
            outputs = kernel.execute(cell.source)
            assert "error" not in {output["output_type"] for output in outputs}, cell.source
            seen = text_of(outputs)
            assert [line for line in cell.shown if line not in seen] == []


# With the oldest versions ----------------------------------------------------------------------------

OF_EACH_LAYER = """
    responses/test_client.py responses/test_failures.py responses/test_network.py auth/test_http.py
    threads/test_codex.py display/test_terminal.py notebook/test_commands.py local_service/test_service.py
""".split()


def test_the_oldest_versions_that_are_declared_are_new_enough(
    requirements: list[Requirement], wheel: Path, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    python = tmp_path / ("Scripts" if os.name == "nt" else "bin") / "python"
    oldest = [
        f"{requirement.name}=={bound.version}"
        for requirement in requirements
        for bound in requirement.specifier
        if bound.operator == ">=" and "extra" not in str(requirement.marker)
    ]
    versions = pins()
    tools = [f"{name}=={versions[name]}" for name in ("pytest", "pytest-timeout", "hypothesis")]
    tools.append("jupyter-client")  # the pinned one wants a newer tornado
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install: list[str | Path] = [
        python,
        *"-m pip install -qq --disable-pip-version-check".split(),
        wheel,
        *oldest,
        *tools,
    ]
    subprocess.run(install, env=environment, check=True)
    tests = [f"tests/{name}" for name in OF_EACH_LAYER]
    run = subprocess.run(
        [python, *"-m pytest -q -p no:cacheprovider".split(), *tests],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
