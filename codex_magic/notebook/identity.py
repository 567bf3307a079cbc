"""Which cell of which kernel is running."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..protocol.ids import is_cell_id

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def cell_id(shell: InteractiveShell) -> str | None:
    """The id of the cell that is running, as its front end sent it; `None` when it sends none."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return None
    metadata: dict[str, Any] = (kernel.get_parent("shell") or {}).get("metadata") or {}
    for name in ("cellId", "cell_id"):
        found = metadata.get(name)
        if isinstance(found, str) and found:
            # VS Code's address of a cell is made of its place: the next session's cell there is another.
            return found if is_cell_id(found) else f"{Path(connection_file(kernel) or '').stem}:{found}"
    return None


def is_kernel(shell: InteractiveShell) -> bool:
    """Whether a front end shows rich output, as opposed to a terminal."""
    return getattr(shell, "kernel", None) is not None


def connection_file(kernel: Any) -> str | None:
    """Its path; the name holds the kernel's id, which a restart keeps."""
    file = getattr(getattr(kernel, "parent", None), "connection_file", None)
    return str(file) if file else None
