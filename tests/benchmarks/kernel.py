"""What a real kernel adds between the socket and the screen, and what it sends.

Beside each stands the same thing without us in the same kind of kernel: a cell that asks by httpx alone and
shows what comes, or that only sleeps.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.benchmarks.measuring import Row, ratio, row, signed_in_service
from tests.end_to_end.held import hold
from tests.end_to_end.kernel import Kernel, Message
from tests.service import LocalService

LOAD_BAR = 0.25
FIRST_CELL_BAR = 5
FIRST_PAINT_BAR = 3
STOP_BAR = 3
SETTLED_SECONDS = 0.1
"""An interrupt that hits a kernel in the middle of its printing is lost at times, with or without us."""
BYTES_BAR = 0.05
GROWTH_BAR = 1.5

Pairs = Iterator[tuple[float, float]]
"""Seconds of ours, and without us."""

PER_DELTA = """
from IPython.display import Markdown, display
from codex_magic.local_service.answers import document
text = document(40_000)
shown = display(Markdown(""), display_id=True)
for end in range(20, len(text) + 1, 20):
    shown.update(Markdown(text[:end]))
"""
"""The usual way: the whole text again for every delta of 20 characters."""


def main() -> None:
    with signed_in_service() as service:
        for measure in (loading, first_cell, in_a_warm_kernel):
            for row in measure(service):
                print(json.dumps(row), flush=True)


def judged(what: str, base: str, bar: float, pairs: Pairs) -> Row:
    mine, bases = zip(*pairs, strict=True)
    return ratio(what, base, bar, mine, bases)


def loading(_: LocalService) -> Iterator[Row]:
    prepare = "import time; from IPython.core.interactiveshell import InteractiveShell; shell = InteractiveShell.instance()"

    def seconds(statement: str) -> float:
        code = f"{prepare}; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
        return float(subprocess.check_output([sys.executable, "-c", code]))

    pairs = (
        (seconds("shell.run_line_magic('load_ext', 'codex_magic')"), seconds("import httpx"))
        for _ in range(15)
    )
    yield judged("%load_ext codex_magic in a fresh IPython", "import httpx", LOAD_BAR, pairs)


def first_cell(service: LocalService) -> Iterator[Row]:
    """From the execute request to the question on the service's socket, with all lazy imports."""

    def seconds(prepare: str, cell: str) -> float:
        with Kernel() as kernel:
            kernel.execute(prepare)
            count = 1 + sum(request.path.endswith("/responses") for request in service.requests)
            begun = time.monotonic()
            request = kernel.send(cell)
            found = service.wait_for_request("/responses", 30, count=count).at - begun
            list(kernel.messages(request))
        return found

    bare = f"import httpx\nhttpx.post({service.base_url + '/responses'!r}, json={{}})"
    pairs = ((seconds("%load_ext codex_magic", "%%codex\necho: first"), seconds("", bare)) for _ in range(5))
    yield judged("first cell -> question on the socket", "httpx.post", FIRST_CELL_BAR, pairs)


def in_a_warm_kernel(service: LocalService) -> Iterator[Row]:
    with Kernel() as kernel:
        kernel.execute("%load_ext codex_magic")
        kernel.execute("%codex echo: warm")
        yield judged(
            "first delta on the socket -> first iopub message with it",
            "httpx and display()",
            FIRST_PAINT_BAR,
            first_paints(service, kernel),
        )
        yield judged("interrupt -> idle", "time.sleep()", STOP_BAR, interrupts(service, kernel))
        yield from sent(kernel)


def first_paints(service: LocalService, kernel: Kernel) -> Pairs:
    """From the release of a held answer to the kernel's first message that shows some of it."""

    holds = itertools.count(1)

    def seconds(cell: str) -> float:
        hold(service, after=0)
        request = kernel.send(cell)
        service.wait_for_hold(count=next(holds))
        begun = time.monotonic()
        service.release()
        at = [
            time.monotonic()
            for message in kernel.messages(request)
            if "show" in str(message["content"].get("data"))
        ]
        return at[0] - begun

    for _ in range(21):
        ours = seconds("%codex --new echo: shown at last")
        yield ours, seconds(by_httpx(service))


def by_httpx(service: LocalService) -> str:
    """The last request again, and each delta of its answer shown."""
    last = service.requests[-1]
    headers = {
        name: value for name, value in last.headers.items() if name in ("authorization", "chatgpt-account-id")
    }
    return f"""
import httpx, json
from IPython.display import Markdown, display
with httpx.stream("POST", {service.base_url + "/responses"!r}, json={last.json!r}, headers={headers!r}) as answer:
    for line in answer.iter_lines():
        if line.startswith("data: ") and (event := json.loads(line[6:]))["type"] == "response.output_text.delta":
            display(Markdown(event["delta"]))
"""


def interrupts(service: LocalService, kernel: Kernel) -> Pairs:
    def seconds(cell: str) -> float:
        request = kernel.send(cell)
        begun = 0.0
        for message in kernel.messages(request):
            if "before" in str(message["content"]) and message["msg_type"] != "execute_input" and not begun:
                time.sleep(SETTLED_SECONDS)
                begun = time.monotonic()
                kernel.interrupt()
        return time.monotonic() - begun

    for _ in range(11):
        hold(service, after=5)
        ours = seconds("%codex echo: some words before the stop, and more")
        service.release()
        yield ours, seconds("import time\nprint('before', flush=True)\ntime.sleep(100)")


def sent(kernel: Kernel) -> Iterator[Row]:
    """Bytes of everything a front end is sent for one answer, 2,000 deltas in 20 s."""
    small = answer_bytes(kernel, "%%codex --new\npace: 100 chars=20\nrepeat 40000")
    large = answer_bytes(kernel, "%%codex --new\npace: 100 chars=80\nrepeat 160000")
    usual = answer_bytes(kernel, PER_DELTA)
    share, growth = small / usual, large / small
    yield row(
        "kernel bytes, 40 KB at 100 deltas/s",
        f"<= {BYTES_BAR}x display() of the whole for each",
        f"{share:.3f}x ({small / 1e6:.2f} MB; {usual / 1e6:.1f} MB)",
        share <= BYTES_BAR,
    )
    yield row(
        "the same, 160 KB in the same time",
        f"<= {GROWTH_BAR}x",
        f"{growth:.2f}x ({large / 1e6:.2f} MB)",
        growth <= GROWTH_BAR,
    )


def answer_bytes(kernel: Kernel, code: str) -> int:
    messages = list(kernel.messages(kernel.send(code)))
    return sum(
        len(json.dumps(wire(message), ensure_ascii=False, default=str).encode()) for message in messages
    )


def wire(message: Message) -> Message:
    parts = ("header", "parent_header", "metadata", "content")
    return {part: message[part] for part in parts}


if __name__ == "__main__":
    main()
