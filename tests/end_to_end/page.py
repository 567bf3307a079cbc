"""A notebook that is open in JupyterLab, without the browser: the same requests to a real Jupyter server."""

from __future__ import annotations

import queue
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from jupyter_client.blocking.client import BlockingKernelClient

from tests.end_to_end.kernel import START_SECONDS, Message, outputs
from tests.end_to_end.lab import JupyterServer

Cell = dict[str, Any]


def new_untitled(server: JupyterServer, folder: str = "") -> str:
    """File > New > Notebook; the path the server gave it."""
    made = httpx.post(f"{server.url}/api/contents/{folder}", json={"type": "notebook"})
    return str(made.raise_for_status().json()["path"])


class Page:
    """One notebook with its cells and its kernel; what is not saved is in the page alone."""

    def __init__(self, server: JupyterServer, path: str) -> None:
        self.path = path
        self._api = httpx.Client(base_url=f"{server.url}/api", timeout=START_SECONDS)
        self.notebook = self._send("GET", f"/contents/{path}")["content"]
        self.cells: list[Cell] = self.notebook["cells"]
        for cell in self.cells:  # as JupyterLab does with a file of an older format
            cell.setdefault("id", uuid.uuid4().hex[:8])
        session = self._send(
            "POST",
            "/sessions",
            {
                "path": path,
                "name": Path(path).name,
                "type": "notebook",
                "kernel": {"name": "python3"},
            },
        )
        self._session = session["id"]
        self._kernel = session["kernel"]["id"]
        self.client = BlockingKernelClient(
            connection_file=str(server.runtime / f"kernel-{self._kernel}.json")
        )
        self.client.load_connection_file()
        self.client.start_channels()
        self._wait_until_ready()

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the tab; the kernel lives on."""
        self.client.stop_channels()
        self._api.close()

    def shut_down(self) -> None:
        """File > Close and Shut Down Notebook."""
        self._send("DELETE", f"/sessions/{self._session}")
        self.close()

    def run(self, source: str, *, cell: Cell | None = None) -> list[dict[str, Any]]:
        """Run a new cell at the end, or an old one with this source; its outputs."""
        if cell is None:
            cell = {"cell_type": "code", "id": uuid.uuid4().hex[:8], "metadata": {}, "execution_count": None}
            self.cells.append(cell)
        cell["source"] = source
        cell["outputs"] = outputs(self._messages(self._execute(source, cell["id"])))
        for output in cell["outputs"]:
            output.pop("transient", None)
        return list(cell["outputs"])

    def _wait_until_ready(self) -> None:
        """Not the client's own wait, which takes a kernel for dead on a busy machine."""
        for _ in range(START_SECONDS):
            asked = self.client.kernel_info()
            with suppress(queue.Empty):
                while self.client.get_iopub_msg(timeout=1)["parent_header"].get("msg_id") != asked:
                    pass
                return
        raise TimeoutError("the kernel does not answer")

    def _execute(self, source: str, cell_id: str) -> str:
        content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": cell_id})
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def _messages(self, request: str) -> list[Message]:
        seen: list[Message] = []
        while not seen or seen[-1]["content"].get("execution_state") != "idle":
            message = self.client.get_iopub_msg(timeout=START_SECONDS)
            if message["parent_header"].get("msg_id") == request:
                seen.append(message)
        return seen

    def save(self) -> None:
        self._send("PUT", f"/contents/{self.path}", {"type": "notebook", "content": self.notebook})

    def rename(self, path: str) -> None:
        """File > Rename or a drag in the file browser, while the kernel lives."""
        self._send("PATCH", f"/contents/{self.path}", {"path": path})
        self._send("PATCH", f"/sessions/{self._session}", {"path": path, "name": Path(path).name})
        self.path = path

    def restart(self) -> None:
        self._send("POST", f"/kernels/{self._kernel}/restart")
        self._wait_until_ready()

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._api.request(method, path, json=body).raise_for_status()
        return answer.json() if answer.content else None
