"""What an installation brings: our own files, few packages, little disk, nothing at `%load_ext`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.installing import bytes_of, packages_of, pip_install

MOST_PACKAGES = 12
MOST_BYTES = 15_000_000
"""Beyond ipython, ipykernel and ipywidgets."""

LAZY = {
    "codex_magic.display.safe_markdown",
    "codex_magic.local_service",
    "codex_magic.threads.store",
    "httpx",
    "ipywidgets",
    "markdown_it",
    "rich",
    "ssl",
}
"""What the first cell needs, or never, and `%load_ext` must not wait for."""


def test_the_wheel_holds_only_the_package_and_its_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    meta = next(name.split("/")[0] for name in names if ".dist-info/" in name)
    assert {name.split("/")[0] for name in names} == {"codex_magic", meta}
    assert f"{meta}/licenses/LICENSE" in names
    assert "codex_magic/py.typed" in names


@pytest.mark.registry
@pytest.mark.timeout(400)
def test_it_adds_few_packages_and_little_disk_to_a_notebook_user(bare_python: Path, wheel: Path) -> None:
    """A real `pip install` of the wheel beside ipython, ipykernel and ipywidgets."""
    pip_install(bare_python, "ipython", "ipykernel", "ipywidgets")
    packages, size = packages_of(bare_python), bytes_of(bare_python)
    pip_install(bare_python, str(wheel))
    assert len(packages_of(bare_python) - packages - {"codex-magic"}) <= MOST_PACKAGES
    assert bytes_of(bare_python) - size <= MOST_BYTES
    subprocess.run([bare_python, "-m", "IPython", "-c", "%load_ext codex_magic"], cwd="/", check=True)


def test_loading_the_extension_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from IPython.core.interactiveshell import InteractiveShell;"
        "shell = InteractiveShell.instance(); before = set(sys.modules);"
        "shell.run_line_magic('load_ext', 'codex_magic');"
        "print(*sorted(set(sys.modules) - before))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(run.stdout.split())
    assert "codex_magic.notebook.magics" in loaded
    assert loaded & LAZY == set()
    assert list(tmp_path.iterdir()) == []
