"""A front end with widgets, as far as a kernel can tell: it answers questions, clicks and types."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from tests.end_to_end.kernel import Kernel, KernelTimeout, Message, outputs

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class FrontEnd:
    """`messages`: all that the kernel published, whichever cell or thread it came from."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.messages: list[Message] = []
        self._models: dict[str, dict[str, Any]] = {}
        self._roots: set[str] = set()

    def run(self, code: str, cell: str | None = None) -> str:
        """Start a cell; gives the request's id at once."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": True,
            "stop_on_error": True,
        }
        request = self.kernel.client.session.msg(
            "execute_request", content, metadata={"cellId": cell or f"cell-{len(self.messages)}"}
        )
        self.kernel.client.shell_channel.send(request)
        return str(request["header"]["msg_id"])

    def idle(self, request: str) -> None:
        """Wait until that cell has ended."""
        self.until(lambda: any(_ends(message, request) for message in self.messages))

    def until(self, condition: Callable[[], Any], *, timeout: float = 30) -> Any:
        """Read what the kernel publishes until `condition` holds, and give what it gave."""
        while not (found := condition()):
            try:
                self._receive(self.kernel.client.get_iopub_msg(timeout=timeout))
            except queue.Empty:
                raise KernelTimeout(self.messages[-20:]) from None
        return found

    def model(self, **traits: str) -> str | None:
        """The id of the open widget whose state has these values."""
        for comm_id, state in self._models.items():
            if all(state.get(name) == value for name, value in traits.items()):
                return comm_id
        return None

    def shown(self, part: str) -> str | None:
        """The HTML that holds `part`, if a widget shows it."""
        values = (str(state.get("value", "")) for state in self._models.values())
        return next((value for value in values if part in value), None)

    def click(self, label: str) -> None:
        """Press it as soon as a person could: a widget is there before it is displayed."""
        self.click_on(self.until(lambda: self._displayed(description=label)))

    def click_on(self, comm_id: str) -> None:
        self._send(comm_id, {"method": "custom", "content": {"event": "click"}})

    def type(self, label: str, text: str) -> None:
        """As a person who pastes and presses Enter: that is told first, then the text."""
        comm_id = self.until(lambda: self._displayed(description=label))
        self._send(comm_id, {"method": "custom", "content": {"event": "submit"}})
        self._send(comm_id, {"method": "update", "state": {"value": text}, "buffer_paths": []})

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """All cells' outputs, as the notebook would save them now."""
        return outputs(self.messages)

    @property
    def open_widgets(self) -> int:
        return len(self._models)

    def _displayed(self, **traits: str) -> str | None:
        """The id of such a widget that an output or a displayed widget holds."""
        seen: set[str] = set()
        waiting = sorted(self._roots)
        while waiting:
            comm_id = waiting.pop()
            if comm_id in seen or (state := self._models.get(comm_id)) is None:
                continue
            if all(state.get(name) == value for name, value in traits.items()):
                return comm_id
            seen.add(comm_id)
            waiting += [child.removeprefix("IPY_MODEL_") for child in state.get("children", ())]
        return None

    def _send(self, comm_id: str, data: dict[str, Any]) -> None:
        message = self.kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.kernel.client.shell_channel.send(message)

    def _receive(self, message: Message) -> None:
        self.messages.append(message)
        content = message["content"]
        if message["msg_type"] == "comm_open":
            self._models[content["comm_id"]] = dict(content["data"]["state"])
        elif message["msg_type"] == "comm_msg":
            self._models[content["comm_id"]].update(content["data"].get("state", {}))
        elif message["msg_type"] == "comm_close":
            self._models.pop(content["comm_id"])
        elif (view := content.get("data", {}).get(WIDGET_VIEW)) is not None:
            self._roots.add(view["model_id"])


def _ends(message: Message, request: str) -> bool:
    return (
        message["parent_header"].get("msg_id") == request
        and message["msg_type"] == "status"
        and message["content"]["execution_state"] == "idle"
    )
