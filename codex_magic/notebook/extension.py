"""What our extension of JupyterLab and Notebook 7 tells the kernel, over the control channel.

That channel is read in a thread of its own, also while a cell runs. Imported by `%load_ext`, so it imports
nothing that costs; what the page says is checked where it is read.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

REQUEST, REPLY = "codex_request", "codex_reply"

PROTOCOL = 1
"""Of the messages; `labextension/src/protocol.ts` has the same."""

WAIT_SECONDS = 0.05
"""What the page says of a cell and the cell itself come over two channels, in any order."""

MOST_CELLS = 64
"""Remembered of one kernel; a cell that runs again says everything anew."""


class Extension:
    """What the page has said of the cells that ask Codex, by the cell's id; from any thread."""

    def __init__(self) -> None:
        self._runs: dict[str, Mapping[str, Any]] = {}
        self._said = threading.Condition()
        self.is_attached = False
        """Whether the page has ever said something."""

    def answer(self, content: object) -> dict[str, Any]:
        """Take in one request; return what it is answered."""
        about = {"protocol": PROTOCOL, "version": __version__}
        if not isinstance(content, Mapping) or content.get("op") != "run":
            return {"ok": False, **about}
        cell = content.get("cell")
        if content.get("protocol") != PROTOCOL or not isinstance(cell, str):
            return {"ok": False, **about}
        with self._said:
            self.is_attached = True
            self._runs.pop(cell, None)
            while len(self._runs) >= MOST_CELLS:
                del self._runs[next(iter(self._runs))]
            self._runs[cell] = content
            self._said.notify_all()
        return {"ok": True, **about}

    def run(self, cell: str | None) -> Mapping[str, Any] | None:
        """Return, once, what the page said of the notebook when it ran this cell; `None` where it says nothing.

        Waits for a page that has spoken before; such a page may be closed by now, so it waits shortly.
        """
        if cell is None or not self.is_attached:
            return None
        end = time.monotonic() + WAIT_SECONDS
        with self._said:
            while cell not in self._runs and (left := end - time.monotonic()) > 0:
                self._said.wait(left)
            return self._runs.pop(cell, None)


def listen(shell: InteractiveShell, extension: Extension) -> None:
    """Let the kernel of this shell answer the extension; a terminal has none to answer."""
    kernel: Any = getattr(shell, "kernel", None)
    handlers = getattr(kernel, "control_handlers", None)
    if handlers is None:
        return

    def handle(stream: Any, identity: Any, message: dict[str, Any]) -> None:
        reply = extension.answer(message.get("content"))
        kernel.session.send(stream, REPLY, reply, message, ident=identity)

    handlers[REQUEST] = handle


def stop_listening(shell: InteractiveShell) -> None:
    getattr(getattr(shell, "kernel", None), "control_handlers", {}).pop(REQUEST, None)
