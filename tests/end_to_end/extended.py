"""A page with our extension, as far as a kernel can tell: it says what runs, draws answers, and clicks on cards."""

from __future__ import annotations

from functools import partial
from typing import Any

from codex_magic.notebook.extension import PROTOCOL
from codex_magic.notebook.magics import PAGE_REQUEST
from tests.end_to_end.kernel import OURS, START_SECONDS
from tests.end_to_end.widgets import FrontEnd

Reply = dict[str, Any]


class ExtendedFrontEnd(FrontEnd):
    def run(self, code: str) -> str:
        cell = f"cell-{len(self.messages)}"
        assert self.tell("run", cell=cell, path="a.ipynb", executor="browser", cells=[], selection="")["ok"]
        return super().run(code)

    def tell(self, op: str, **content: Any) -> Reply:
        """Send one request over the control channel, and wait for its reply."""
        client = self.kernel.client
        message = client.session.msg(PAGE_REQUEST, {"op": op, "protocol": PROTOCOL, **content})
        client.control_channel.send(message)
        while True:
            reply = client.get_control_msg(timeout=START_SECONDS)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"])

    def answer(self) -> str:
        """The id of the answer that streams, once it is there."""

        def streaming() -> str | None:
            facts = [output["data"][OURS] for output in self.outputs if OURS in output.get("data", {})]
            return next((str(each["id"]) for each in facts if each["state"] == "streaming"), None)

        return str(self.until(streaming))

    def attach(self) -> str:
        """Draw the answer that streams; returns its id."""
        id = self.answer()
        assert self.tell("attach", id=id)["ok"]
        return id

    def card(self, id: str, *, after: str = "") -> Reply:
        """The card below that answer, once there is one, and another than that of the question `after`."""
        while True:
            card = self.tell("approvals", id=id)["card"]
            if card is not None and card["question"] != after:
                return dict(card)
            self.until(partial(self._is_asked, id, len(self.messages)))

    def choose(self, card: Reply, label: str, reason: str = "") -> Reply:
        [key] = [choice["key"] for choice in card["choices"] if choice["label"] == label]
        return self.tell("decide", question=card["question"], choice=key, reason=reason)

    def _is_asked(self, id: str, since: int) -> bool:
        deltas = (each["content"] for each in self.messages[since:] if each["msg_type"] == "codex_delta")
        return any(delta["id"] == id and "asks" in delta for delta in deltas)
