"""How a cell that did not succeed ends: as failed, so that "Run all", papermill and nbconvert stop
there, but without a traceback, since what happened is on screen already."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class CellFailed(Exception):
    """The sentence on screen, for whoever runs the notebook unattended."""

    def _render_traceback_(self) -> list[str]:
        return []


class CellStopped(KeyboardInterrupt):
    """The user stopped the cell."""

    def _render_traceback_(self) -> list[str]:
        return []


class NotSent(Exception):
    """The user took a question back while it waited for the answer before it."""


QUIET = (CellFailed, CellStopped)


def silence(shell: InteractiveShell) -> None:
    """Let the shell pass over these exceptions, unless someone else handles some already."""
    if not shell.custom_exceptions:
        shell.set_custom_exc(QUIET, _pass_over)  # type: ignore[no-untyped-call]  # IPython is untyped here


def unsilence(shell: InteractiveShell) -> None:
    if shell.custom_exceptions == QUIET:
        shell.set_custom_exc((), None)  # type: ignore[no-untyped-call]  # IPython is untyped here


def _pass_over(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> list[str]:
    shell._last_traceback = []  # ipykernel would send the one before with this cell's reply
    return []
