"""A page with our extension, as far as a kernel can tell: it says what runs, draws answers, and clicks on cards."""

from __future__ import annotations

from functools import partial
from typing import Any

from codex_magic.notebook.extension import PROTOCOL
from codex_magic.notebook.magics import PAGE_REQUEST
from tests.end_to_end.kernel import OURS, START_SECONDS, Kernel, Message, outputs
from tests.end_to_end.widgets import FrontEnd

Reply = dict[str, Any]


class ExtendedFrontEnd(FrontEnd):
    """`cells`: the code cells of its notebook, by their ids, top to bottom. It can't change them, unless `edits`."""

    def __init__(self, kernel: Kernel, cells: dict[str, str] | None = None) -> None:
        super().__init__(kernel)
        self.cells = cells or {}
        self.edits = cells is not None
        self.done: list[Reply] = []
        """The errands that it was sent on and has done."""
        self.runs: dict[str, str] = {}
        """By the id of a cell: the request whose outputs are the cell's."""

    def run(self, code: str, cell: str | None = None) -> str:
        cell = cell or f"cell-{len(self.messages)}"
        assert self.tell("run", cell=cell, executor="browser", selection="", **self.notebook())["ok"]
        return super().run(code, cell)

    def notebook(self) -> Reply:
        cells = [{"id": id, "kind": "code", "source": source} for id, source in self.cells.items()]
        return {"path": "a.ipynb", "cells": cells}

    def tell(self, op: str, **content: Any) -> Reply:
        """Send one request over the control channel, and wait for its reply."""
        return self._replied(op, content)[0]

    def _replied(self, op: str, content: Reply) -> tuple[Reply, str]:
        client = self.kernel.client
        message = client.session.msg(PAGE_REQUEST, {"op": op, "protocol": PROTOCOL, **content})
        client.control_channel.send(message)
        while True:
            reply = client.get_control_msg(timeout=START_SECONDS)
            if reply["parent_header"].get("msg_id") == message["header"]["msg_id"]:
                return dict(reply["content"]), str(message["header"]["msg_id"])

    def _receive(self, message: Message) -> None:
        super()._receive(message)
        if message["msg_type"] == "codex_delta" and "errand" in message["content"]:
            self._do(message["content"]["errand"])

    def _do(self, errand: str, once: str = "this page") -> None:
        """Take an errand, and do it where the cell still holds what it is about."""
        reply = self.tell("errand", id=errand, once=once)
        if not reply["ok"]:
            return
        work = reply["work"]
        outcome, cell = self._change(work) if self.edits else ("refused", "")
        if outcome == "done" and work["kind"] != "look":
            self.done.append(work)
        report = {"outcome": outcome, "cell": cell, "source": self.cells.get(cell, ""), **self.notebook()}
        _, request = self._replied("errand_done", {"id": errand, "once": once, **report})
        if work.get("runs"):
            self.runs[cell] = request

    def _change(self, work: Reply) -> tuple[str, str]:
        kind, cell = work["kind"], work.get("cell", "")
        if kind not in ("look", "add") and cell not in self.cells:
            return "gone", cell
        if "base" in work and self.cells[cell] != work["base"]:
            return "conflict", cell
        if kind == "edit":
            self.cells[cell] = work["text"]
        elif kind == "add":
            cell = f"added-{len(self.cells)}"
            self._put(cell, work["text"], work["below"])
        elif kind == "move":
            self._put(cell, self.cells.pop(cell), work["below"])
        elif kind == "delete":
            del self.cells[cell]
        return "done", cell

    def _put(self, cell: str, source: str, below: str) -> None:
        order = list(self.cells.items())
        at = [*self.cells].index(below) + 1 if below in self.cells else 0
        self.cells = dict([*order[:at], (cell, source), *order[at:]])

    def shown_in(self, cell: str) -> list[Reply]:
        """The outputs of a cell that ran for the kernel."""
        request = self.runs[cell]
        return outputs([each for each in self.messages if each["parent_header"].get("msg_id") == request])

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
