"""A small MCP server over stdio, as a user's config.toml may name one: a few tools, which note what they were called with.

Usage: mcp_server.py LOG
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

Call = Callable[[dict[str, Any]], list[dict[str, Any]]]


class ServerTool(NamedTuple):
    name: str
    run: Call
    parameters: dict[str, dict[str, Any]]
    only_reads: bool = False

    def spec(self) -> dict[str, Any]:
        schema = {"type": "object", "properties": self.parameters, "required": [*self.parameters]}
        hints = {"readOnlyHint": self.only_reads, "destructiveHint": not self.only_reads}
        described = f"The tool {self.name} of the test's server."
        return {"name": self.name, "description": described, "inputSchema": schema, "annotations": hints}


_numbers = count(1000)


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def store(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": f"stored {arguments['value']}"}]


def look(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "42 rows"}]


def fail(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    raise ValueError("the table is gone")


def sign(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask the person for a name, in the middle of the call."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    number = next(_numbers)
    question = {"message": "Who signs this?", "requestedSchema": schema}
    send({"id": number, "method": "elicitation/create", "params": question})
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("id") == number:
            return [{"type": "text", "text": f"signed: {json.dumps(message.get('result'))}"}]
    return []


_TEXT = {"type": "string"}
TOOLS = {
    tool.name: tool
    for tool in (
        ServerTool("store", store, {"value": _TEXT}),
        ServerTool("look", look, {}, only_reads=True),
        ServerTool("fail", fail, {}),
        ServerTool("sign", sign, {}),
    )
}


def answer(method: str, params: dict[str, Any], log: Path) -> dict[str, Any] | None:
    if method == "initialize":
        about = {"name": "shop", "version": "1.0"}
        return {
            "protocolVersion": params["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": about,
        }
    if method == "tools/list":
        return {"tools": [tool.spec() for tool in TOOLS.values()]}
    if method == "tools/call":
        with log.open("a") as file:
            file.write(json.dumps([params["name"], params.get("arguments")]) + "\n")
        try:
            return {"content": TOOLS[params["name"]].run(params.get("arguments") or {}), "isError": False}
        except ValueError as error:
            return {"content": [{"type": "text", "text": str(error)}], "isError": True}
    return {} if method == "ping" else None


def main(log: Path) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        result = answer(message["method"], message.get("params") or {}, log)
        failed = {"error": {"code": -32601, "message": "no such method"}}
        send({"id": message["id"], **(failed if result is None else {"result": result})})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
