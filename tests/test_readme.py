"""The README is true: every block in it is run, every target and variable it names exists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from codex_magic.protocol.settings import Settings
from tests.end_to_end.kernel import Kernel
from tests.service import LocalService

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


class Cell(NamedTuple):
    """`shown`: the lines the README prints below it."""

    source: str
    shown: list[str]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def cells(block: str) -> Iterator[Cell]:
    """The `In [n]:` cells of a block: continued by `...:` lines, followed by what they show."""
    for part in re.split(r"^In \[\d+\]: ", block, flags=re.MULTILINE)[1:]:
        first, *rest = part.splitlines()
        source = [first, *(line.partition("...:")[2][1:] for line in rest if "...:" in line)]
        shown = [re.sub(r"^Out\[\d+\]: ", "", line).strip() for line in rest if "...:" not in line]
        yield Cell("\n".join(source), [line for line in shown if line and line != "```"])


def text_of(outputs: list[dict]) -> str:
    """All that a reader sees, table cells divided as in the README."""
    seen = [
        output.get("text") or output["data"].get("text/markdown") or output["data"]["text/plain"]
        for output in outputs
    ]
    return re.sub(r"\\|</?(span|small)[^>]*>", "", "\n".join(seen))


def agents_too(block: str) -> Any:
    """The blocks that need the official program are known by their option."""
    return pytest.param(block, marks=pytest.mark.peer) if "--agent" in block else block


def run_session(block: str, kernel: Kernel) -> None:
    """Run the cells of a block; each shows what is printed below it."""
    for cell in cells(block):
        outputs = kernel.execute(cell.source)
        assert "error" not in {output["output_type"] for output in outputs}, cell.source
        seen = text_of(outputs)
        assert [line for line in cell.shown if line not in seen] == []


@pytest.mark.parametrize("block", [agents_too(block) for block in blocks("ipython")])
def test_a_session_runs_and_shows_what_it_says(block: str, service: LocalService, kernel: Kernel) -> None:
    run_session(block, kernel)


@pytest.mark.parametrize("block", blocks("python"))
def test_a_python_example_runs(block: str, service: LocalService, kernel: Kernel) -> None:
    [output] = kernel.execute(block)
    said = "order 17" if "describe.register" in block else "local service"
    assert said in output["text"]


@pytest.mark.parametrize("line", "".join(blocks("sh")).splitlines())
def test_a_command_is_there(line: str) -> None:
    program, target = line.partition("#")[0].split()
    assert program == "make"
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    subprocess.run(
        [program, "--dry-run", "--always-make", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL
    )


def test_no_block_is_left_out() -> None:
    languages = set(re.findall(r"^```(\w+)$", README, re.MULTILINE))
    assert languages == {"ipython", "python", "sh", "text"}


def test_the_layers_drawn_are_the_folders_there_are() -> None:
    drawn = set(re.findall(r"^(\w+)(?=/|  )", "".join(blocks("text")), re.MULTILINE))
    package = ROOT / "codex_magic"
    there = {path.parent.name for path in package.glob("*/__init__.py")} | {
        path.stem for path in package.glob("*.py")
    }
    assert drawn == there - {"__init__"}


def test_the_settings_listed_are_those_that_are_read() -> None:
    class Recorder(Mapping[str, str]):
        def __init__(self) -> None:
            self.read: set[str] = set()

        def __getitem__(self, name: str) -> str:
            self.read.add(name)
            raise KeyError(name)

        def __iter__(self) -> Iterator[str]:
            return iter(())

        def __len__(self) -> int:
            return 0

    environment = Recorder()
    Settings.from_env(environment)
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE)) == environment.read
