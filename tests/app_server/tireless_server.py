"""Stands for a codex program that comes to no end, in the way that its first argument names.

`command` is what starts it. What it was asked it writes, a method a line, to the file of the second argument.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

THREAD = {"id": "t", "name": None}
TURN = {"id": "u", "items": [], "status": "inProgress"}
ABOUT = {"threadId": "t", "turnId": "u"}


def command(mode: str, log: Path) -> tuple[str, ...]:
    return sys.executable, __file__, mode, str(log)


class Server:
    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.stopped = threading.Event()
        self._writing = threading.Lock()
        self._questions = 0

    def write(self, **message: Any) -> None:
        with self._writing:
            sys.stdout.write(json.dumps(message) + "\n")
            sys.stdout.flush()

    def tell(self, method: str, **params: Any) -> None:
        self.write(method=method, params={**ABOUT, **params})

    def hear(self, message: dict[str, Any]) -> None:
        method, id = message.get("method"), message.get("id")
        if method is None:
            if self.mode == "questions":
                self.ask()
        elif id is not None:
            answers: dict[str, Callable[[Any], None]] = {
                "initialize": lambda id: self.write(id=id, result={"userAgent": "test/0.163.0 (Linux)"}),
                "thread/start": lambda id: self.write(id=id, result={"thread": THREAD, "model": "m"}),
                "thread/resume": lambda id: self.write(id=id, result={"thread": THREAD, "model": "m"}),
                "account/read": lambda id: self.write(id=id, result={"requiresOpenaiAuth": False}),
                "turn/start": self.begin,
                "turn/interrupt": self.stop,
                "model/list": lambda id: self.write(id=id, result={"data": [], "nextCursor": "more"}),
            }
            answers.get(method, lambda id: self.write(id=id, result={}))(id)

    def begin(self, id: Any) -> None:
        if self.mode == "silent":
            return
        self.write(id=id, result={"turn": TURN})
        if self.mode.startswith("breaks"):
            self.break_off(self.mode.removeprefix("breaks "))
            return
        if self.mode == "offline":
            self.wait_for_network()
            return
        if self.mode.startswith("plays "):
            for method, params in json.loads(self.mode.removeprefix("plays ")):
                self.tell(method, **params)
            self.tell("turn/completed", turn={**TURN, "status": "completed"})
            return
        self.tell("item/agentMessage/delta", itemId="i", delta="first words ")
        if self.mode == "cut off":
            self.wait_for_network()
        if self.mode in ("words", "items", "commands"):
            threading.Thread(target=self.go_on, daemon=True).start()
        elif self.mode == "questions":
            self.ask()
        elif self.mode.startswith("permissions"):
            params = {"itemId": "p", "permissions": {}, "cwd": "/", "startedAtMs": 1}
            self.write(id=1, method="item/permissions/requestApproval", params={**ABOUT, **params})

    def stop(self, id: Any) -> None:
        self.stopped.set()
        if self.mode.endswith("deaf"):
            return
        if self.mode.endswith("stubborn"):
            self.write(id=id, error={"code": -32600, "message": "not now"})
            return
        self.write(id=id, result={})
        if self.mode != "unfinished":
            self.tell("turn/completed", turn={**TURN, "status": "interrupted"})

    def go_on(self) -> None:
        number = 0
        while not self.stopped.is_set():
            number += 1
            if self.mode == "words":
                self.tell("item/agentMessage/delta", itemId="i", delta="word ")
            elif self.mode == "commands":
                self.tell("item/commandExecution/outputDelta", itemId="c", delta="line\n")
            else:
                item = {
                    "id": f"r{number}",
                    "type": "reasoning",
                    "summary": [f"thought {number}"],
                    "content": [],
                }
                self.tell("item/started", item=item)
                self.tell("item/completed", item=item)

    def wait_for_network(self) -> None:
        """As the real one does without end where its requests reach nobody."""
        item = {"id": "q", "type": "userMessage", "content": [{"type": "text", "text": "hi"}]}
        self.tell("item/started", item=item)
        self.tell("item/completed", item=item)
        error = {"message": "Reconnecting... waiting for network", "additionalDetails": "Connection failed"}
        self.tell("error", error=error, willRetry=True)

    def break_off(self, thought: str) -> None:
        """As the real one does where each of six connections breaks."""
        for attempt in range(6):
            item = {"id": f"r{attempt}", "type": "reasoning", "summary": [], "content": []}
            self.tell("item/started", item=item)
            self.tell(
                "item/reasoning/summaryTextDelta",
                itemId=item["id"],
                summaryIndex=0,
                delta=f"{thought}{attempt}",
            )
            if attempt < 5:
                error = {"message": f"Reconnecting... {attempt + 1}/5"}
                self.tell("error", error=error, willRetry=True)
        self.tell("turn/completed", turn={**TURN, "status": "failed", "error": {"message": "disconnected"}})

    def ask(self) -> None:
        """One question after the other, for as long as they are answered."""
        self._questions += 1
        params = {"itemId": f"q{self._questions}", "command": "true", "cwd": "/", "startedAtMs": 1}
        self.write(
            id=self._questions, method="item/commandExecution/requestApproval", params={**ABOUT, **params}
        )


def main(mode: str, log: str) -> None:
    server = Server(mode)
    with open(log, "a", buffering=1) as heard:
        for line in sys.stdin:
            message = json.loads(line)
            heard.write(f"{message.get('method')}\n")
            server.hear(message)


if __name__ == "__main__":
    main(*sys.argv[1:])
