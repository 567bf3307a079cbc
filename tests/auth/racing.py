"""One of several processes that start a request at the same moment, round after round.

Usage: racing.py URL; a line on stdin starts a round, the status of its answer is printed.
"""

from __future__ import annotations

import sys

import httpx

from codex_magic.auth.http import ChatGPTAuth
from codex_magic.auth.sign_in import TokenSource
from codex_magic.protocol.settings import Settings

if __name__ == "__main__":
    with httpx.Client(auth=ChatGPTAuth(TokenSource.of(Settings.from_env()))) as client:
        print("ready", flush=True)
        for _ in sys.stdin:
            print(client.get(sys.argv[1]).status_code, flush=True)
