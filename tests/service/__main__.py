"""`python -m tests.service`: run the strict service until Ctrl-C or SIGTERM, for programs of other processes."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from tests.service import Pace, start

INSTRUCTIONS = """\
The local service listens on {service.url}; its answers are scripted. Ctrl-C ends it.

Any client of the Responses API:
  export OPENAI_BASE_URL={service.api_url} OPENAI_API_KEY=local

The Codex backend, as with a ChatGPT plan:
  export CODEX_MAGIC_BASE_URL={service.base_url}
  export CODEX_MAGIC_CHATGPT_URL={service.chatgpt_url}
  export CODEX_MAGIC_ISSUER={service.issuer}"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.service", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--pace", type=Pace.parse, default=Pace(40), help="deltas a second (40), or max")
    sign_in = "write an auth.json there that this service accepts; one that is there is overwritten"
    parser.add_argument("--sign-in", type=Path, metavar="CODEX_HOME", help=sign_in)
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with start(port=options.port, pace=options.pace, open_access=True) as service:
        if options.sign_in is not None:
            service.sign_in(options.sign_in)
        home = f"\n  export CODEX_HOME={options.sign_in.resolve()}" if options.sign_in else ""
        print(INSTRUCTIONS.format(service=service) + home, flush=True)
        # a wait without a timeout can't be interrupted on Windows
        while not stop.wait(1):
            pass


if __name__ == "__main__":
    main()
