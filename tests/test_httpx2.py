"""The client works as well on httpx2, which continues httpx, where its `alias_httpx()` stands in for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.end_to_end.kernel import Kernel, markdown
from tests.service import LocalService
from tests.test_packaging import ROOT

pytest.importorskip("httpx2", reason="httpx2 needs Python 3.11")

LEFT_OUT = ["test_sse.py", "test_robustness.py", "test_store*.py", "test_processes.py"]
"""Long tests of what no HTTP library changes: parsing, the store, and processes that race for one file."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("layer", ["responses", "auth", "threads"])
def test_the_tests_of_a_layer_pass_on_httpx2(layer: str) -> None:
    ignored = [f"--ignore-glob=*/{name}" for name in LEFT_OUT]
    command = [sys.executable, *"-m pytest -q -p no:cacheprovider".split(), *ignored, f"tests/{layer}"]
    environment = os.environ | {"HTTPX2": "1", "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_those_tests_and_their_children_have_httpx2_in_place_of_httpx() -> None:
    code = "import codex_magic.responses.transport as transport; print(transport.httpx.__name__)"
    environment = os.environ | {"HTTPX2": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout == "httpx2\n"


def test_a_notebook_takes_httpx2_before_its_first_use(service: LocalService, kernel: Kernel) -> None:
    kernel.execute("%load_ext codex_magic")
    kernel.execute("import httpx2; httpx2.alias_httpx()")
    assert "over httpx2" in markdown(kernel.execute("%codex echo: over httpx2"))
    assert kernel.value("__import__('codex_magic').responses.transport.httpx.__name__") == "'httpx2'"
