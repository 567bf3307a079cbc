"""Environments beside the tests' own, for packages that can't or mustn't share it.

`NAME.in` lists what is installed there beside codex_magic, one requirement a line; `make constraints` writes
the versions to `NAME.txt`, and `make test` installs them before it runs the tests. What a folder `NAME` has in its
`package.json` is installed by npm, into `node` of that environment.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


def python_of(name: str) -> Path:
    """The interpreter of an environment."""
    python = Path(sys.prefix) / "envs" / name / "bin" / "python"
    if not python.exists():
        pytest.fail(f"make environments installs what this test needs: there is no {python}")
    return python
