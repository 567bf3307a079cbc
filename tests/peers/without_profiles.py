"""The codex program as on a machine that has no sandbox to offer: it refuses threads with permission profiles."""

from __future__ import annotations

import json
import subprocess
import sys

REFUSAL = "error creating thread: fs sandbox helper failed: bwrap: No permissions to create new namespace"


def main(command: list[str]) -> None:
    program = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    assert program.stdin is not None
    for line in sys.stdin:
        message = json.loads(line)
        if "permissions" in message.get("params", {}):
            answer = {"id": message["id"], "error": {"code": -32603, "message": REFUSAL}}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        else:
            program.stdin.write(line)
            program.stdin.flush()
    program.stdin.close()
    program.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
