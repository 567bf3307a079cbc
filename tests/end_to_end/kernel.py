"""A real kernel in its own process, driven as a notebook drives it."""

from __future__ import annotations

import atexit
import os
import queue
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.known import some

Message = dict[str, Any]

OURS = "application/vnd.codex-magic.v1+json"

START_SECONDS = 60
"""A kernel's first start on a busy two-core machine, with room."""


class KernelTimeout(Exception):
    """The kernel said nothing for too long; `seen` are the messages before."""

    def __init__(self, seen: list[Message]) -> None:
        super().__init__(f"the kernel fell silent after {[message['msg_type'] for message in seen]}")


def own_sockets() -> dict[str, str]:
    """Settings of a KernelManager: sockets of its own. Free TCP ports are found by looking, and two test
    processes that look at once find the same."""
    if sys.platform == "win32":
        return {}
    folder = tempfile.mkdtemp(prefix="kernel-")  # short: the path of a socket is
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return {"transport": "ipc", "ip": os.path.join(folder, "k")}


class Kernel:
    """`execute(code)` blocks until the kernel is idle again and gives the outputs a notebook would save.
    `python`: of another environment than this one."""

    def __init__(self, folder: Path | None = None, *, python: Path | None = None, **settings: str) -> None:
        """`settings`: of the KernelManager."""
        self.manager = KernelManager(kernel_name="python3", **own_sockets(), **settings)
        if python is not None:
            some(self.manager.kernel_spec).argv[0] = str(python)
        self.manager.start_kernel(cwd=str(folder or Path.home()))
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=START_SECONDS)

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def send(
        self,
        code: str,
        *,
        cell_id: str | None = None,
        allow_stdin: bool = False,
        deleted_cells: Sequence[str] = (),
    ) -> str:
        """Ask for `code` to be run, as the cell `cell_id`; returns the request's id at once.

        `deleted_cells`: the ids of those that were deleted since the cell before ran.
        """
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell_id, "deletedCells": list(deleted_cells)} if cell_id else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def messages(self, request: str, *, timeout: float = 60) -> Iterator[Message]:
        """What the kernel publishes about `request`, as it comes, until it is idle again."""
        seen: list[Message] = []
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=timeout)
            except queue.Empty:
                raise KernelTimeout(seen) from None
            if message["parent_header"].get("msg_id") != request:
                continue
            seen.append(message)
            yield message
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return

    def execute(
        self, code: str, *, cell_id: str | None = None, deleted_cells: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        return outputs(self.messages(self.send(code, cell_id=cell_id, deleted_cells=deleted_cells)))

    def value(self, expression: str) -> str:
        """`repr` of an expression in the kernel, read without running a cell."""
        reply = self.client.execute(
            "", silent=True, user_expressions={"value": expression}, reply=True, timeout=60
        )
        return str(reply["content"]["user_expressions"]["value"]["data"]["text/plain"])

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()

    def restart(self) -> None:
        """As the restart button: the same notebook, a new process."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=START_SECONDS)


def outputs(messages: Iterator[Message] | list[Message]) -> list[dict[str, Any]]:
    """The messages folded as a front end folds them into a cell's outputs."""
    found: list[dict[str, Any]] = []
    by_display: dict[str, dict[str, Any]] = {}
    cleared = False
    for message in messages:
        kind, content = message["msg_type"], message["content"]
        display = content.get("transient", {}).get("display_id")
        if kind in ("display_data", "execute_result", "error", "stream") and cleared:
            found, by_display, cleared = [], {}, False
        if kind == "clear_output":
            cleared = content["wait"]
            found = found if cleared else []
        elif kind == "update_display_data":
            by_display[display].update(data=content["data"], metadata=content["metadata"])
        elif kind == "stream" and found and found[-1].get("name") == content["name"]:
            found[-1]["text"] += content["text"]
        elif kind in ("display_data", "execute_result", "error", "stream"):
            found.append({"output_type": kind, **content})
            if display is not None:
                by_display[display] = found[-1]
    return found


def markdown(cell_outputs: list[dict[str, Any]]) -> str:
    """The Markdown of every output that has some, in order, without what makes a line small."""
    shown = "\n\n".join(
        output["data"]["text/markdown"]
        for output in cell_outputs
        if output.get("data", {}).get("text/markdown")
    )
    return re.sub("</?small[^>]*>", "", shown)


def state(cell_outputs: list[dict[str, Any]]) -> str:
    """How the one answer among the outputs ended: `done`, `interrupted` or `error`."""
    [answer] = [output["data"][OURS] for output in cell_outputs if OURS in output.get("data", {})]
    return str(answer["state"])
