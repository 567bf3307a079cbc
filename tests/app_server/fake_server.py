"""Stands for the codex program where the real one does not misbehave: `command` writes such a program.

It shakes hands, then does as the method of each request says.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

BUSY = {"code": -32001, "message": "Server overloaded; retry later."}


def command(folder: Path, *, version: str = "0.163.0") -> str:
    """The path of an executable that is this server."""
    path = folder / "codex"
    path.write_text(f"#!/bin/sh\nexec {sys.executable} {__file__} {version}\n")
    path.chmod(0o700)
    return str(path)


def write(**message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main(version: str) -> None:
    refusals = 0
    for line in sys.stdin:
        message = json.loads(line)
        method, id = message.get("method"), message.get("id")
        if method == "initialize":
            write(id=id, result={"userAgent": f"test/{version} (Linux)", "pid": os.getpid()})
        elif method == "test/busy" and refusals < message["params"]["times"]:
            refusals += 1
            write(id=id, error=BUSY)
        elif method == "test/garbage":
            sys.stdout.write("no json\n\n[]\n")
            write(id=id, result={})
        elif method == "test/crash":
            sys.stderr.write("\x1b[31mthe disk is full\x1b[0m\n")
            sys.stderr.flush()
            os._exit(3)
        elif method == "test/ask":
            write(id=id, method=message["params"]["method"], params={"threadId": "t"})
            asked = id
        elif method == "test/silence":
            pass
        elif method is None:
            write(id=asked, result={"answer": message})
        elif id is not None:
            write(id=id, result={"method": method})


if __name__ == "__main__":
    main(sys.argv[1])
