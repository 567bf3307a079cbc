"""Virtual environments that hold what pip brings, and nothing of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def build_wheel(folder: Path) -> Path:
    """The wheel, built by the backend that pyproject.toml names (hatchling, in the test environment)."""
    code = f"import hatchling.build; print(hatchling.build.build_wheel({str(folder)!r}))"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / run.stdout.split()[-1]


def make_environment(folder: Path) -> Path:
    """A fresh virtual environment's Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def pip_install(python: Path, *what: str) -> None:
    """pip alone may leave this machine: it asks the registry it is configured for, outside the guard."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *what]
    subprocess.run(command, env=environment, check=True)


def packages_of(python: Path) -> set[str]:
    code = "import json, importlib.metadata as m; print(json.dumps([d.name for d in m.distributions()]))"
    return set(json.loads(subprocess.check_output([python, "-I", "-c", code])))


def bytes_of(python: Path) -> int:
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = Path(subprocess.check_output([python, "-I", "-c", code], text=True).strip())
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
