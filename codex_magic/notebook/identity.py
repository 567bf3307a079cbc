"""Which notebook this kernel belongs to, and which cell is running."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def notebook_key(shell: InteractiveShell, env: Mapping[str, str] | None = None) -> str | None:
    """What the notebook is recognised by after a kernel restart; `None` in a terminal.

    In this order: the path Jupyter Server gives (`JPY_SESSION_NAME`), the one VS Code gives, Colab's
    file id, else the kernel itself, whose connection file outlives its restarts.
    """
    env = os.environ if env is None else env
    session = env.get("JPY_SESSION_NAME")
    if session:
        return f"path:{Path(session).absolute()}" if _is_path(session) else f"session:{session}"
    vscode = shell.user_ns.get("__vsc_ipynb_file__")
    if isinstance(vscode, str) and vscode:
        return f"path:{vscode}"
    if "google.colab" in sys.modules and env.get("COLAB_NOTEBOOK_ID"):
        return f"colab:{env['COLAB_NOTEBOOK_ID']}"
    kernel = getattr(shell, "kernel", None)
    connection = getattr(getattr(kernel, "parent", None), "connection_file", None)
    return f"kernel:{Path(connection).stem}" if connection else None


def cell_id(shell: InteractiveShell) -> str | None:
    """The id of the cell that is running, as its front end sent it; `None` when it sends none."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    metadata: dict[str, Any] = (kernel.get_parent("shell") or {}).get("metadata") or {}
    for name in ("cellId", "cell_id"):
        found = metadata.get(name)
        if isinstance(found, str) and found:
            return found
    return None


def is_kernel(shell: InteractiveShell) -> bool:
    """Whether a front end shows rich output, as opposed to a terminal."""
    return getattr(shell, "kernel", None) is not None


def _is_path(session: str) -> bool:
    return session.endswith(".ipynb") or os.sep in session
