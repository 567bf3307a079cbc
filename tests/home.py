"""The environment of a test or benchmark: a home of its own, and the local service in place of the real one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.service import LocalService

OFFLINE = Path(__file__).parent / "offline"
"""On PYTHONPATH it keeps a child process on this machine."""

QUIET = """
[analytics]
enabled = false
[features]
apps = false
plugins = false
remote_plugin = false
"""
"""A config.toml with which the codex program asks nobody but the model."""

_CLEARED = ("CODEX_", "OPENAI_", "JPY_", "JUPYTER", "IPYTHON", "VSCODE_", "COLAB_", "XDG_")
_PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


def personal_variables() -> list[str]:
    """The variables of the person at this machine that would change what is tested."""
    return [name for name in os.environ if name.startswith(_CLEARED) or name.upper() in _PROXIES]


def home_variables(home: Path) -> dict[str, str]:
    """What moves everything a session reads or writes below `home`, and keeps it on this machine."""
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    others = [entry for entry in path if entry and entry != str(OFFLINE)]
    return {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "CODEX_HOME": str(home / ".codex"),
        "CODEX_MAGIC_HOME": str(home / "codex-magic"),
        "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "run"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "lab" / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "lab" / "workspaces"),
        "PYTHONPATH": os.pathsep.join([str(OFFLINE), *others]),
    }


def service_variables(service: LocalService) -> dict[str, str]:
    return {
        "CODEX_MAGIC_BASE_URL": service.base_url,
        "CODEX_MAGIC_CHATGPT_URL": service.chatgpt_url,
        "CODEX_MAGIC_ISSUER": service.issuer,
    }
