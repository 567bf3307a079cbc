"""Put the built JupyterLab extension into wheel and source distribution.

It is built here where npm is and something has changed since. An editable installation takes what
`make labextension` has built; without either, codex_magic is installed without the extension, and works.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).parent
BUILT = HERE / "prebuilt" / "codex-magic"
INSTALLED = f"share/jupyter/labextensions/{BUILT.name}"
SOURCES = (
    "bundle.config.cjs",
    "package.json",
    "package-lock.json",
    "tsconfig.json",
    "schema",
    "src",
    "style",
)


class LabExtensionHook(BuildHookInterface[Any]):
    """Adds the folder; see the module."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable" and is_stale():
            self._build()
        if not (BUILT / "package.json").exists():
            self.app.display_warning(
                "Without the JupyterLab extension: `make labextension` builds it (Node.js)."
            )
        elif self.target_name == "wheel":
            build_data["shared_data"][str(BUILT)] = INSTALLED
        else:
            build_data["artifacts"].append("/labextension/prebuilt")

    def _build(self) -> None:
        npm = shutil.which("npm")
        if npm is None or not (HERE / "src").exists():
            return
        shutil.rmtree(BUILT, ignore_errors=True)
        for command in (["ci"], ["run", "build"]):
            subprocess.run([npm, *command], cwd=HERE, check=True)


def is_stale() -> bool:
    """Whether a source is newer than what was built."""
    if not (BUILT / "package.json").exists():
        return True
    built = (BUILT / "package.json").stat().st_mtime
    sources = (HERE / name for name in SOURCES)
    files = (file for source in sources for file in [source, *source.rglob("*")])
    return any(file.exists() and file.stat().st_mtime > built for file in files)
